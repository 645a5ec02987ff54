//! `/v2/Services/{ServiceSid}/RateLimits`, and below them `{RateLimitSid}/Buckets`.

use super::prelude::*;
use crate::registry::{Bucket, RateLimit};

parameters! {
    pub struct NewRateLimit {
        /// The name in requests and paths.
        "UniqueName" = "session" => name: UniqueName,
        /// For people.
        "Description" = "one for each session" => description: Option<Note<512>>,
    }
}

parameters! {
    pub struct ChangedRateLimit {
        /// For people. An empty text removes it.
        "Description" = "one for each session" => description: Option<Note<512>>,
    }
}

parameters! {
    pub struct NewBucket {
        /// Requests.
        "Max" = "5" => max: Whole<1, 1_000_000>,
        /// Seconds.
        "Interval" = "60" => interval: Whole<1, 604_800>,
    }
}

parameters! {
    pub struct ChangedBucket {
        /// Requests.
        "Max" = "5" => max: Option<Whole<1, 1_000_000>>,
        /// Seconds.
        "Interval" = "60" => interval: Option<Whole<1, 604_800>>,
    }
}

view! {
    /// A named limit: requests pass values for it, and its buckets count them.
    RateLimitView as "RateLimit"(frame, service: Sid, limit: &RateLimit) {
        sid: RateLimitSid = Id(limit.sid),
        service_sid: ServiceSid = Id(service),
        account_sid: AccountSid = Id(frame.account),
        /// The name in requests.
        unique_name: String = limit.unique_name.clone(),
        /// For people.
        description: Option<String> = limit.description.clone(),
        date_created: Date = limit.created.into(),
        date_updated: Date = limit.updated.into(),
        url: Url = frame.url(format_args!("/Services/{service}/RateLimits/{}", limit.sid)),
        links: RateLimitLinks = RateLimitLinks::new(frame, service, limit.sid),
    }
}

view! {
    RateLimitLinks as "RateLimitLinks"(frame, service: Sid, limit: Sid) {
        buckets: Url = frame.url(format_args!("/Services/{service}/RateLimits/{limit}/Buckets")),
    }
}

view! {
    /// The number of requests with one value that are allowed within an interval.
    BucketView as "Bucket"(frame, service: Sid, limit: Sid, bucket: &Bucket) {
        sid: BucketSid = Id(bucket.sid),
        rate_limit_sid: RateLimitSid = Id(limit),
        service_sid: ServiceSid = Id(service),
        account_sid: AccountSid = Id(frame.account),
        /// Requests.
        max: u32 = bucket.max,
        /// Seconds.
        interval: u32 = bucket.interval,
        date_created: Date = bucket.created.into(),
        date_updated: Date = bucket.updated.into(),
        url: Url = frame.url(format_args!("/Services/{service}/RateLimits/{limit}/Buckets/{}", bucket.sid)),
    }
}

pub async fn list(InService(request, service, ()): InService) -> Answer<Listed<RateLimitView>> {
    request.list("rate_limits", service.rate_limits.iter(), |frame, limit| {
        RateLimitView::new(frame, service.sid, limit)
    })
}

pub async fn create(InService(request, service, new): InService<NewRateLimit>) -> Made<RateLimitView> {
    let limit = request.registry().create_rate_limit(service.sid, new.name, new.description).await?;
    created(RateLimitView::new(&request.frame(), service.sid, &limit))
}

pub async fn fetch(InService(request, service, ()): InService) -> Answer<RateLimitView> {
    Ok(Json(RateLimitView::new(&request.frame(), service.sid, limit(&request, &service, "Sid")?)))
}

pub async fn update(
    InService(request, service, params): InService<ChangedRateLimit>,
) -> Answer<RateLimitView> {
    let limit = limit(&request, &service, "Sid")?;
    let is_removed = request.fields.has("Description", "");
    let description = params.description.or_else(|| limit.description.clone()).filter(|_| !is_removed);
    let changed = request.registry().update_rate_limit(service.sid, limit.sid, description).await?;
    Ok(Json(RateLimitView::new(&request.frame(), service.sid, &changed)))
}

pub async fn delete(InService(request, service, ()): InService) -> Gone {
    let limit = limit(&request, &service, "Sid")?;
    request.registry().delete_rate_limit(service.sid, limit.sid).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn list_buckets(InService(request, service, ()): InService) -> Answer<Listed<BucketView>> {
    let limit = limit(&request, &service, "RateLimitSid")?;
    let view = |frame: &Frame<'_>, bucket| BucketView::new(frame, service.sid, limit.sid, bucket);
    request.list("buckets", limit.buckets.iter(), view)
}

pub async fn create_bucket(InService(request, service, new): InService<NewBucket>) -> Made<BucketView> {
    let limit = limit(&request, &service, "RateLimitSid")?.sid;
    let bucket = request.registry().create_bucket(service.sid, limit, new.max, new.interval).await?;
    created(BucketView::new(&request.frame(), service.sid, limit, &bucket))
}

pub async fn fetch_bucket(InService(request, service, ()): InService) -> Answer<BucketView> {
    let limit = limit(&request, &service, "RateLimitSid")?;
    let bucket = limit.bucket(&bucket(&request)?)?;
    Ok(Json(BucketView::new(&request.frame(), service.sid, limit.sid, bucket)))
}

pub async fn update_bucket(
    InService(request, service, params): InService<ChangedBucket>,
) -> Answer<BucketView> {
    let (limit, bucket) = (limit(&request, &service, "RateLimitSid")?.sid, bucket(&request)?);
    let ChangedBucket { max, interval } = params;
    let changed = request.registry().update_bucket(service.sid, limit, bucket, max, interval).await?;
    Ok(Json(BucketView::new(&request.frame(), service.sid, limit, &changed)))
}

pub async fn delete_bucket(InService(request, service, ()): InService) -> Gone {
    let limit = limit(&request, &service, "RateLimitSid")?;
    request.registry().delete_bucket(service.sid, limit.sid, bucket(&request)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The limit in this segment of the path, by its id or its unique name.
fn limit<'a>(request: &Request, service: &'a Service, name: &str) -> Result<&'a RateLimit, Error> {
    let segment = request.param(name)?;
    if let Some(sid) = Sid::parse(SidKind::RateLimit, segment) {
        return Ok(service.rate_limit(&sid)?);
    }
    let named = service.rate_limits.iter().find(|limit| limit.unique_name == *segment);
    named.ok_or(Error::NotFound)
}

fn bucket(request: &Request) -> Result<Sid, Error> {
    request.sid("Sid", SidKind::Bucket)
}

#[rustfmt::skip] // A table.
pub fn routes() -> ApiRouter {
    ApiRouter::of(ApiGroup::twilio("Rate limits",
            "Named limits: a request passes a value for one, and each of its buckets counts that value.",
            Access::Scope(Scope::Admin)))
        .post("/v2/Services/{ServiceSid}/RateLimits", create,
            operation(create, "CreateRateLimit", "Create a rate limit")
                .about("Without buckets it counts nothing yet."))
        .get("/v2/Services/{ServiceSid}/RateLimits", list,
            listing(list, "rate_limits", "ListRateLimit", "List rate limits"))
        .get("/v2/Services/{ServiceSid}/RateLimits/{Sid}", fetch, operation(fetch, "FetchRateLimit", "Fetch a rate limit"))
        .post("/v2/Services/{ServiceSid}/RateLimits/{Sid}", update,
            operation(update, "UpdateRateLimit", "Update a rate limit"))
        .delete("/v2/Services/{ServiceSid}/RateLimits/{Sid}", delete,
            operation(delete, "DeleteRateLimit", "Delete a rate limit"))
        .merge(ApiRouter::of(ApiGroup::twilio("Buckets",
            "The number of requests with one value that are allowed within an interval.",
            Access::Scope(Scope::Admin)))
        .post("/v2/Services/{ServiceSid}/RateLimits/{RateLimitSid}/Buckets", create_bucket,
            operation(create_bucket, "CreateBucket", "Create a bucket").about("Counts from now on."))
        .get("/v2/Services/{ServiceSid}/RateLimits/{RateLimitSid}/Buckets", list_buckets,
            listing(list_buckets, "buckets", "ListBucket", "List buckets"))
        .get("/v2/Services/{ServiceSid}/RateLimits/{RateLimitSid}/Buckets/{Sid}", fetch_bucket,
            operation(fetch_bucket, "FetchBucket", "Fetch a bucket"))
        .post("/v2/Services/{ServiceSid}/RateLimits/{RateLimitSid}/Buckets/{Sid}", update_bucket,
            operation(update_bucket, "UpdateBucket", "Update a bucket"))
        .delete("/v2/Services/{ServiceSid}/RateLimits/{RateLimitSid}/Buckets/{Sid}", delete_bucket,
            operation(delete_bucket, "DeleteBucket", "Delete a bucket")))
}
