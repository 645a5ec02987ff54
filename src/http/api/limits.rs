//! `/v2/Services/{ServiceSid}/RateLimits`, and below them `{RateLimitSid}/Buckets`.

use super::prelude::*;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct NewRateLimit {
    /// The name in requests and paths.
    pub unique_name: values::UniqueName,
    /// For people.
    #[schemars(example = &"one for each session")]
    pub description: Option<values::Note<512>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ChangedRateLimit {
    /// For people. An empty text removes it.
    #[schemars(example = &"one for each session")]
    pub description: Option<values::Note<512>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct BucketFields {
    /// Requests.
    #[schemars(example = 5)]
    pub max: Option<values::Whole<1, 1_000_000>>,
    /// Seconds.
    #[schemars(example = 60)]
    pub interval: Option<values::Whole<1, 604_800>>,
}

/// A named limit: requests pass values for it, and its buckets count them.
#[derive(Serialize, JsonSchema)]
pub struct RateLimit {
    pub sid: RateLimitSid,
    pub service_sid: ServiceSid,
    pub account_sid: AccountSid,
    /// The name in requests.
    pub unique_name: String,
    /// For people.
    pub description: Option<String>,
    pub date_created: Date,
    pub date_updated: Date,
    pub url: Url,
    pub links: RateLimitLinks,
}

impl RateLimit {
    pub fn new(frame: &Frame, service: Sid, limit: &registry::RateLimit) -> Self {
        Self {
            sid: Id(limit.sid),
            service_sid: Id(service),
            account_sid: Id(frame.account),
            unique_name: limit.unique_name.clone(),
            description: limit.description.clone(),
            date_created: limit.created.into(),
            date_updated: limit.updated.into(),
            url: frame.url(format_args!("/Services/{service}/RateLimits/{}", limit.sid)),
            links: RateLimitLinks {
                buckets: frame.url(format_args!("/Services/{service}/RateLimits/{}/Buckets", limit.sid)),
            },
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub struct RateLimitLinks {
    pub buckets: Url,
}

/// The number of requests with one value that are allowed within an interval.
#[derive(Serialize, JsonSchema)]
pub struct Bucket {
    pub sid: BucketSid,
    pub rate_limit_sid: RateLimitSid,
    pub service_sid: ServiceSid,
    pub account_sid: AccountSid,
    /// Requests.
    pub max: u32,
    /// Seconds.
    pub interval: u32,
    pub date_created: Date,
    pub date_updated: Date,
    pub url: Url,
}

impl Bucket {
    pub fn new(frame: &Frame, service: Sid, limit: Sid, bucket: &registry::Bucket) -> Self {
        Self {
            sid: Id(bucket.sid),
            rate_limit_sid: Id(limit),
            service_sid: Id(service),
            account_sid: Id(frame.account),
            max: bucket.max,
            interval: bucket.interval,
            date_created: bucket.created.into(),
            date_updated: bucket.updated.into(),
            url: frame.url(format_args!("/Services/{service}/RateLimits/{limit}/Buckets/{}", bucket.sid)),
        }
    }
}

async fn list(
    InService(caller, service, ()): InService,
    Listing((), page): Listing,
) -> Result<Listed<RateLimit>, Error> {
    let view = |limit| RateLimit::new(caller.frame(), service.sid, limit);
    page.of_all("rate_limits", &service.rate_limits, view)
}

async fn create(
    InService(caller, service, ()): InService,
    Params(new): Params<NewRateLimit>,
) -> Made<RateLimit> {
    let description = new.description.map(|text| text.0);
    let limit = caller.registry().create_rate_limit(service.sid, new.unique_name.0, description).await?;
    created(RateLimit::new(caller.frame(), service.sid, &limit))
}

async fn fetch(InService(caller, service, key): InService<String>) -> Answer<RateLimit> {
    Ok(Json(RateLimit::new(caller.frame(), service.sid, limit(&service, &key)?)))
}

async fn update(InService(caller, service, key): InService<String>, form: Form) -> Answer<RateLimit> {
    let limit = limit(&service, &key)?;
    let is_removed = form.has("Description", "");
    let given = form.read::<ChangedRateLimit>()?.description.map(|text| text.0);
    let description = given.or_else(|| limit.description.clone()).filter(|_| !is_removed);
    let changed = caller.registry().update_rate_limit(service.sid, limit.sid, description).await?;
    Ok(Json(RateLimit::new(caller.frame(), service.sid, &changed)))
}

async fn delete_limit(InService(caller, service, key): InService<String>) -> Gone {
    let limit = limit(&service, &key)?;
    caller.registry().delete_rate_limit(service.sid, limit.sid).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn list_buckets(
    InService(caller, service, key): InService<String>,
    Listing((), page): Listing,
) -> Result<Listed<Bucket>, Error> {
    let limit = limit(&service, &key)?;
    let view = |bucket| Bucket::new(caller.frame(), service.sid, limit.sid, bucket);
    page.of_all("buckets", &limit.buckets, view)
}

async fn create_bucket(
    InService(caller, service, key): InService<String>,
    Params(BucketFields { max, interval }): Params<BucketFields>,
) -> Made<Bucket> {
    let limit = limit(&service, &key)?.sid;
    let max = max.ok_or_else(|| Error::missing("Max"))?.0;
    let interval = interval.ok_or_else(|| Error::missing("Interval"))?.0;
    let bucket = caller.registry().create_bucket(service.sid, limit, max, interval).await?;
    created(Bucket::new(caller.frame(), service.sid, limit, &bucket))
}

async fn fetch_bucket(InService(caller, service, (key, bucket)): InService<OfBucket>) -> Answer<Bucket> {
    let limit = limit(&service, &key)?;
    let bucket = limit.bucket(&bucket.0)?;
    Ok(Json(Bucket::new(caller.frame(), service.sid, limit.sid, bucket)))
}

async fn update_bucket(
    InService(caller, service, (key, bucket)): InService<OfBucket>,
    Params(BucketFields { max, interval }): Params<BucketFields>,
) -> Answer<Bucket> {
    let limit = limit(&service, &key)?.sid;
    let (max, interval) = (max.map(|max| max.0), interval.map(|seconds| seconds.0));
    let changed = caller.registry().update_bucket(service.sid, limit, bucket.0, max, interval).await?;
    Ok(Json(Bucket::new(caller.frame(), service.sid, limit, &changed)))
}

async fn delete_bucket(InService(caller, service, (key, bucket)): InService<OfBucket>) -> Gone {
    let limit = limit(&service, &key)?;
    caller.registry().delete_bucket(service.sid, limit.sid, bucket.0).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The segments of a bucket's path: its limit, and its id.
type OfBucket = (String, BucketSid);

/// The limit with this id or unique name.
fn limit<'a>(service: &'a Service, segment: &str) -> Result<&'a registry::RateLimit, Error> {
    if let Some(sid) = Sid::parse(SidKind::RateLimit, segment) {
        return Ok(service.rate_limit(&sid)?);
    }
    let named = service.rate_limits.iter().find(|limit| limit.unique_name == *segment);
    named.ok_or(Error::NO_RESOURCE)
}

#[rustfmt::skip] // A table.
pub fn routes() -> Routes {
    Routes::new("Rate limits", "Named limits: a request passes a value for one, and each of its buckets counts that value.", Group::twilio(Access::Scope(Scope::Admin)))
        .post("/v2/Services/{ServiceSid}/RateLimits", create, made::<NewRateLimit, RateLimit>("CreateRateLimit", "Create a rate limit")
                .about("Without buckets it counts nothing yet."))
        .get("/v2/Services/{ServiceSid}/RateLimits", list, list_of::<(), RateLimit>("rate_limits", "ListRateLimit", "List rate limits"))
        .get("/v2/Services/{ServiceSid}/RateLimits/{Sid}", fetch, ok::<(), RateLimit>("FetchRateLimit", "Fetch a rate limit"))
        .post("/v2/Services/{ServiceSid}/RateLimits/{Sid}", update, ok::<ChangedRateLimit, RateLimit>("UpdateRateLimit", "Update a rate limit"))
        .delete("/v2/Services/{ServiceSid}/RateLimits/{Sid}", delete_limit, gone::<()>("DeleteRateLimit", "Delete a rate limit"))
}

#[rustfmt::skip] // A table.
pub fn bucket_routes() -> Routes {
    Routes::new("Buckets", "The number of requests with one value that are allowed within an interval.", Group::twilio(Access::Scope(Scope::Admin)))
        .post("/v2/Services/{ServiceSid}/RateLimits/{RateLimitSid}/Buckets", create_bucket, made::<BucketFields, Bucket>("CreateBucket", "Create a bucket")
                .requires(&["Max", "Interval"])
                .about("Counts from now on."))
        .get("/v2/Services/{ServiceSid}/RateLimits/{RateLimitSid}/Buckets", list_buckets, list_of::<(), Bucket>("buckets", "ListBucket", "List buckets"))
        .get("/v2/Services/{ServiceSid}/RateLimits/{RateLimitSid}/Buckets/{Sid}", fetch_bucket, ok::<(), Bucket>("FetchBucket", "Fetch a bucket"))
        .post("/v2/Services/{ServiceSid}/RateLimits/{RateLimitSid}/Buckets/{Sid}", update_bucket, ok::<BucketFields, Bucket>("UpdateBucket", "Update a bucket"))
        .delete("/v2/Services/{ServiceSid}/RateLimits/{RateLimitSid}/Buckets/{Sid}", delete_bucket, gone::<()>("DeleteBucket", "Delete a bucket"))
}
