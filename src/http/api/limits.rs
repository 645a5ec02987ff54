//! `/v2/Services/{ServiceSid}/RateLimits`, and below them `{RateLimitSid}/Buckets`.

use super::prelude::*;
use crate::domain::SidKind;
use crate::http::openapi::Doc;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct NewRateLimit {
    /// The name in requests and paths.
    pub unique_name: values::Unchecked<64>,
    /// For people.
    pub description: Option<values::Note<512>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ChangedRateLimit {
    /// For people. An empty text removes it.
    pub description: Option<values::Note<512>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct BucketFields {
    /// Requests.
    pub max: Option<values::Whole<1, 1_000_000>>,
    /// Seconds.
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
    fn new(caller: &Caller, service: Sid, limit: &registry::RateLimit) -> Self {
        let below = |path| caller.url(format_args!("/v2/Services/{service}/RateLimits/{}{path}", limit.sid));
        Self {
            sid: Id(limit.sid),
            service_sid: Id(service),
            account_sid: caller.account(),
            unique_name: limit.unique_name.clone(),
            description: limit.description.clone(),
            date_created: limit.created.into(),
            date_updated: limit.updated.into(),
            url: below(""),
            links: RateLimitLinks { buckets: below("/Buckets") },
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
    fn new(caller: &Caller, service: Sid, limit: Sid, bucket: &registry::Bucket) -> Self {
        let path = format!("/v2/Services/{service}/RateLimits/{limit}/Buckets/{}", bucket.sid);
        Self {
            sid: Id(bucket.sid),
            rate_limit_sid: Id(limit),
            service_sid: Id(service),
            account_sid: caller.account(),
            max: bucket.max,
            interval: bucket.interval,
            date_created: bucket.created.into(),
            date_updated: bucket.updated.into(),
            url: caller.url(path),
        }
    }
}

async fn list(of: InService, Listing((), page): Listing) -> Result<Listed<RateLimit>, Error> {
    page.of_all("rate_limits", &of.service.rate_limits, |limit| RateLimit::new(&of, of.service.sid, limit))
}

async fn create(of: InService, Params(new): Params<NewRateLimit>) -> Made<RateLimit> {
    let (service, description) = (of.service.sid, new.description.map(|text| text.0));
    let limit = of.registry().create_rate_limit(service, new.unique_name.0, description).await?;
    created(RateLimit::new(&of, service, &limit))
}

async fn fetch(of: InService<String>) -> Answer<RateLimit> {
    Ok(Json(RateLimit::new(&of, of.service.sid, of.limit(&of.path)?)))
}

async fn update(of: InService<String>, form: Form) -> Answer<RateLimit> {
    let limit = of.limit(&of.path)?;
    let is_removed = form.has("Description", "");
    let given = form.read::<ChangedRateLimit>()?.description.map(|text| text.0);
    let description = given.or_else(|| limit.description.clone()).filter(|_| !is_removed);
    let changed = of.registry().update_rate_limit(of.service.sid, limit.sid, description).await?;
    Ok(Json(RateLimit::new(&of, of.service.sid, &changed)))
}

async fn delete_limit(of: InService<String>) -> Gone {
    of.registry().delete_rate_limit(of.service.sid, of.limit(&of.path)?.sid).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn list_buckets(of: InService<String>, Listing((), page): Listing) -> Result<Listed<Bucket>, Error> {
    let limit = of.limit(&of.path)?;
    page.of_all("buckets", &limit.buckets, |bucket| Bucket::new(&of, of.service.sid, limit.sid, bucket))
}

async fn create_bucket(of: InService<String>, Params(new): Params<BucketFields>) -> Made<Bucket> {
    let (service, limit) = (of.service.sid, of.limit(&of.path)?.sid);
    let max = new.max.ok_or_else(|| Error::missing("Max"))?.0;
    let interval = new.interval.ok_or_else(|| Error::missing("Interval"))?.0;
    let bucket = of.registry().create_bucket(service, limit, max, interval).await?;
    created(Bucket::new(&of, service, limit, &bucket))
}

async fn fetch_bucket(of: InService<OfBucket>) -> Answer<Bucket> {
    let limit = of.limit(&of.path.0)?;
    Ok(Json(Bucket::new(&of, of.service.sid, limit.sid, limit.bucket(&of.path.1.0)?)))
}

async fn update_bucket(of: InService<OfBucket>, Params(new): Params<BucketFields>) -> Answer<Bucket> {
    let (service, limit) = (of.service.sid, of.limit(&of.path.0)?.sid);
    let (max, interval) = (new.max.map(|max| max.0), new.interval.map(|seconds| seconds.0));
    let changed = of.registry().update_bucket(service, limit, of.path.1.0, max, interval).await?;
    Ok(Json(Bucket::new(&of, service, limit, &changed)))
}

async fn delete_bucket(of: InService<OfBucket>) -> Gone {
    of.registry().delete_bucket(of.service.sid, of.limit(&of.path.0)?.sid, of.path.1.0).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The segments of a bucket's path: its limit, and its id.
type OfBucket = (String, BucketSid);

impl<P> InService<P> {
    /// The limit with this id or unique name.
    fn limit(&self, segment: &str) -> Result<&registry::RateLimit, Error> {
        let sid = Sid::parse(SidKind::RateLimit, segment);
        let is_it = |of: &&registry::RateLimit| sid.map_or(of.unique_name == *segment, |sid| of.sid == sid);
        self.service.rate_limits.iter().find(is_it).ok_or(Error::NO_RESOURCE)
    }
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
        .post("/v2/Services/{ServiceSid}/RateLimits/{RateLimitSid}/Buckets", create_bucket, Doc { requires: &["Max", "Interval"], ..made::<BucketFields, Bucket>("CreateBucket", "Create a bucket") }
                .about("Counts from now on."))
        .get("/v2/Services/{ServiceSid}/RateLimits/{RateLimitSid}/Buckets", list_buckets, list_of::<(), Bucket>("buckets", "ListBucket", "List buckets"))
        .get("/v2/Services/{ServiceSid}/RateLimits/{RateLimitSid}/Buckets/{Sid}", fetch_bucket, ok::<(), Bucket>("FetchBucket", "Fetch a bucket"))
        .post("/v2/Services/{ServiceSid}/RateLimits/{RateLimitSid}/Buckets/{Sid}", update_bucket, ok::<BucketFields, Bucket>("UpdateBucket", "Update a bucket"))
        .delete("/v2/Services/{ServiceSid}/RateLimits/{RateLimitSid}/Buckets/{Sid}", delete_bucket, gone::<()>("DeleteBucket", "Delete a bucket"))
}
