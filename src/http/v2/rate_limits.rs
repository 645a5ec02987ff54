//! `/v2/Services/{ServiceSid}/RateLimits`.

use hyper::StatusCode;

use super::ask::Ask;
use super::error::Error;
use super::fields::Fields;
use super::page::Page;
use super::value;
use super::view::RateLimitView;
use crate::domain::SidKind;
use crate::http::answer::Answer;

/// `GET`.
pub fn list(ask: &Ask<'_>) -> Result<Answer, Error> {
    let service = ask.service()?;
    let page = Page::read(&ask.query)?;
    let (limits, has_more) = page.cut(service.rate_limits.iter().collect());
    let frame = ask.frame();
    let views = limits.into_iter().map(|limit| RateLimitView::new(&frame, service.sid, limit)).collect();
    let url = frame.url(&format!("/Services/{}/RateLimits", service.sid));
    Ok(Answer::json(StatusCode::OK, &page.listed("rate_limits", views, has_more, &url, (&ask.query, &[]))))
}

/// `POST`.
pub async fn create(ask: &Ask<'_>, fields: &Fields) -> Result<Answer, Error> {
    let service = ask.service()?.sid;
    let name = value::required("UniqueName", fields.text("UniqueName")?)?;
    let made = ask.v2.registry.create_rate_limit(service, name, fields.text("Description")?).await;
    let made = made.map_err(|error| ask.failed(error))?;
    Ok(Answer::json(StatusCode::CREATED, &RateLimitView::new(&ask.frame(), service, &made)))
}

/// `GET` of one.
pub fn fetch(ask: &Ask<'_>) -> Result<Answer, Error> {
    let service = ask.service()?;
    let limit = ask.sid(3, SidKind::RateLimit)?;
    let limit = service.rate_limit(&limit).map_err(|error| ask.failed(error))?;
    Ok(Answer::json(StatusCode::OK, &RateLimitView::new(&ask.frame(), service.sid, limit)))
}

/// `POST` of one: an empty description takes it away, and none leaves it.
pub async fn update(ask: &Ask<'_>, fields: &Fields) -> Result<Answer, Error> {
    let service = ask.service()?;
    let sid = ask.sid(3, SidKind::RateLimit)?;
    let description = match fields.text_or_empty("Description")? {
        Some(text) => Some(text).filter(|text| !text.is_empty()),
        None => service.rate_limit(&sid).map_err(|error| ask.failed(error))?.description.clone(),
    };
    let changed = ask.v2.registry.update_rate_limit(service.sid, sid, description).await;
    let changed = changed.map_err(|error| ask.failed(error))?;
    Ok(Answer::json(StatusCode::OK, &RateLimitView::new(&ask.frame(), service.sid, &changed)))
}

/// `DELETE` of one.
pub async fn delete(ask: &Ask<'_>) -> Result<Answer, Error> {
    let service = ask.service()?.sid;
    let sid = ask.sid(3, SidKind::RateLimit)?;
    ask.v2.registry.delete_rate_limit(service, sid).await.map_err(|error| ask.failed(error))?;
    Ok(Answer::empty())
}
