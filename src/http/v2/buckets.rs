//! `/v2/Services/{ServiceSid}/RateLimits/{RateLimitSid}/Buckets`.

use hyper::StatusCode;

use super::ask::Ask;
use super::error::Error;
use super::fields::Fields;
use super::page::Page;
use super::value;
use super::view::BucketView;
use crate::domain::SidKind;
use crate::http::answer::Answer;
use crate::registry::BucketFields;

/// `GET`.
pub fn list(ask: &Ask<'_>) -> Result<Answer, Error> {
    let service = ask.service()?;
    let limit = service.rate_limit(&ask.sid(3, SidKind::RateLimit)?).map_err(|error| ask.failed(error))?;
    let page = Page::read(&ask.query)?;
    let (buckets, has_more) = page.cut(limit.buckets.iter().collect());
    let frame = ask.frame();
    let view = |bucket| BucketView::new(&frame, service.sid, limit.sid, bucket);
    let views = buckets.into_iter().map(view).collect();
    let url = frame.url(&format!("/Services/{}/RateLimits/{}/Buckets", service.sid, limit.sid));
    Ok(Answer::json(StatusCode::OK, &page.listed("buckets", views, has_more, &url, (&ask.query, &[]))))
}

/// `POST`.
pub async fn create(ask: &Ask<'_>, fields: &Fields) -> Result<Answer, Error> {
    let service = ask.service()?.sid;
    let limit = ask.sid(3, SidKind::RateLimit)?;
    let wanted = read(fields)?;
    value::required("Max", wanted.max)?;
    value::required("Interval", wanted.interval)?;
    let made = ask.v2.registry.create_bucket(service, limit, wanted).await;
    let made = made.map_err(|error| ask.failed(error))?;
    Ok(Answer::json(StatusCode::CREATED, &BucketView::new(&ask.frame(), service, limit, &made)))
}

/// `GET` of one.
pub fn fetch(ask: &Ask<'_>) -> Result<Answer, Error> {
    let service = ask.service()?;
    let limit = service.rate_limit(&ask.sid(3, SidKind::RateLimit)?).map_err(|error| ask.failed(error))?;
    let bucket = limit.bucket(&ask.sid(5, SidKind::Bucket)?).map_err(|error| ask.failed(error))?;
    Ok(Answer::json(StatusCode::OK, &BucketView::new(&ask.frame(), service.sid, limit.sid, bucket)))
}

/// `POST` of one.
pub async fn update(ask: &Ask<'_>, fields: &Fields) -> Result<Answer, Error> {
    let service = ask.service()?.sid;
    let (limit, bucket) = (ask.sid(3, SidKind::RateLimit)?, ask.sid(5, SidKind::Bucket)?);
    let changed = ask.v2.registry.update_bucket(service, limit, bucket, read(fields)?).await;
    let changed = changed.map_err(|error| ask.failed(error))?;
    Ok(Answer::json(StatusCode::OK, &BucketView::new(&ask.frame(), service, limit, &changed)))
}

/// `DELETE` of one.
pub async fn delete(ask: &Ask<'_>) -> Result<Answer, Error> {
    let service = ask.service()?.sid;
    let (limit, bucket) = (ask.sid(3, SidKind::RateLimit)?, ask.sid(5, SidKind::Bucket)?);
    ask.v2.registry.delete_bucket(service, limit, bucket).await.map_err(|error| ask.failed(error))?;
    Ok(Answer::empty())
}

fn read(fields: &Fields) -> Result<BucketFields, Error> {
    let whole = |name| value::count(fields, name);
    Ok(BucketFields { max: whole("Max")?, interval: whole("Interval")? })
}
