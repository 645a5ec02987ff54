//! `/v2/Services/{ServiceSid}/RateLimits`, and below them `{RateLimitSid}/Buckets`.

use hyper::StatusCode;

use super::context::{Failure, RequestContext};
use super::page::Page;
use super::params::{Count, Line, Note, Removable, parameters};
use super::view::{BucketView, RateLimitView};
use crate::domain::{Sid, SidKind};
use crate::http::answer::Answer;
use crate::registry::BucketFields;

parameters! {
    /// A new rate limit.
    pub struct NewRateLimit {
        /// What requests call it.
        "UniqueName" = "session" => name: Line<64>,
        /// What people call it.
        "Description" = "one for each session" => description: Option<Note<512>>,
    }
}

parameters! {
    /// A change of a rate limit.
    pub struct ChangedRateLimit {
        /// What people call it. Empty takes it away.
        "Description" = "one for each session" => description: Option<Removable<Note<512>>>,
    }
}

parameters! {
    /// A new bucket.
    pub struct NewBucket {
        /// Requests.
        "Max" = "5" => max: Count<1, 1_000_000>,
        /// Seconds.
        "Interval" = "60" => interval: Count<1, 604_800>,
    }
}

parameters! {
    /// A change of a bucket.
    pub struct ChangedBucket {
        /// Requests.
        "Max" = "5" => max: Option<Count<1, 1_000_000>>,
        /// Seconds.
        "Interval" = "60" => interval: Option<Count<1, 604_800>>,
    }
}

/// `GET`.
pub fn list(request: &RequestContext<'_>) -> Result<Answer, Failure> {
    let service = request.service()?;
    let page = Page::read(&request.fields)?;
    let frame = request.frame();
    let view = |limit| RateLimitView::new(&frame, service.sid, limit);
    Ok(request.listed("rate_limits", page.of(service.rate_limits.iter(), view), &[]))
}

/// `POST`.
pub async fn create(request: &RequestContext<'_>) -> Result<Answer, Failure> {
    let service = request.service()?.sid;
    let NewRateLimit { name: Line(name), description } = request.read()?;
    let description = description.map(|Note(text)| text);
    let made = request.v2.registry.create_rate_limit(service, name, description).await?;
    Ok(Answer::json(StatusCode::CREATED, &RateLimitView::new(&request.frame(), service, &made)))
}

/// `GET` of one.
pub fn fetch(request: &RequestContext<'_>) -> Result<Answer, Failure> {
    let service = request.service()?;
    let limit = service.rate_limit(&limit(request)?)?;
    Ok(Answer::json(StatusCode::OK, &RateLimitView::new(&request.frame(), service.sid, limit)))
}

/// `POST` of one.
pub async fn update(request: &RequestContext<'_>) -> Result<Answer, Failure> {
    let service = request.service()?;
    let sid = limit(request)?;
    let ChangedRateLimit { description } = request.read()?;
    let description = match description {
        Some(Removable(text)) => text.map(|Note(text)| text),
        None => service.rate_limit(&sid)?.description.clone(),
    };
    let changed = request.v2.registry.update_rate_limit(service.sid, sid, description).await?;
    Ok(Answer::json(StatusCode::OK, &RateLimitView::new(&request.frame(), service.sid, &changed)))
}

/// `DELETE` of one.
pub async fn delete(request: &RequestContext<'_>) -> Result<Answer, Failure> {
    let service = request.service()?.sid;
    let limit = limit(request)?;
    request.v2.registry.delete_rate_limit(service, limit).await?;
    Ok(Answer::empty())
}

/// `GET` of the buckets.
pub fn list_buckets(request: &RequestContext<'_>) -> Result<Answer, Failure> {
    let service = request.service()?;
    let limit = service.rate_limit(&limit(request)?)?;
    let page = Page::read(&request.fields)?;
    let frame = request.frame();
    let view = |bucket| BucketView::new(&frame, service.sid, limit.sid, bucket);
    Ok(request.listed("buckets", page.of(limit.buckets.iter(), view), &[]))
}

/// `POST` of a bucket.
pub async fn create_bucket(request: &RequestContext<'_>) -> Result<Answer, Failure> {
    let service = request.service()?.sid;
    let limit = limit(request)?;
    let NewBucket { max: Count(max), interval: Count(interval) } = request.read()?;
    let wanted = BucketFields { max: Some(max), interval: Some(interval) };
    let made = request.v2.registry.create_bucket(service, limit, wanted).await?;
    Ok(Answer::json(StatusCode::CREATED, &BucketView::new(&request.frame(), service, limit, &made)))
}

/// `GET` of one bucket.
pub fn fetch_bucket(request: &RequestContext<'_>) -> Result<Answer, Failure> {
    let service = request.service()?;
    let limit = service.rate_limit(&limit(request)?)?;
    let bucket = limit.bucket(&bucket(request)?)?;
    Ok(Answer::json(StatusCode::OK, &BucketView::new(&request.frame(), service.sid, limit.sid, bucket)))
}

/// `POST` of one bucket.
pub async fn update_bucket(request: &RequestContext<'_>) -> Result<Answer, Failure> {
    let service = request.service()?.sid;
    let (limit, bucket) = (limit(request)?, bucket(request)?);
    let ChangedBucket { max, interval } = request.read()?;
    let wanted = BucketFields { max: max.map(|Count(max)| max), interval: interval.map(|Count(span)| span) };
    let changed = request.v2.registry.update_bucket(service, limit, bucket, wanted).await?;
    Ok(Answer::json(StatusCode::OK, &BucketView::new(&request.frame(), service, limit, &changed)))
}

/// `DELETE` of one bucket.
pub async fn delete_bucket(request: &RequestContext<'_>) -> Result<Answer, Failure> {
    let service = request.service()?.sid;
    let (limit, bucket) = (limit(request)?, bucket(request)?);
    request.v2.registry.delete_bucket(service, limit, bucket).await?;
    Ok(Answer::empty())
}

fn limit(request: &RequestContext<'_>) -> Result<Sid, Failure> {
    request.sid_behind("RateLimits", SidKind::RateLimit)
}

fn bucket(request: &RequestContext<'_>) -> Result<Sid, Failure> {
    request.sid_behind("Buckets", SidKind::Bucket)
}
