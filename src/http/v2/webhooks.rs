//! `/v2/Services/{ServiceSid}/Webhooks`: who is told of events.

use hyper::StatusCode;

use super::ask::Ask;
use super::error::Error;
use super::fields::Fields;
use super::page::Page;
use super::value;
use super::view::WebhookView;
use crate::domain::SidKind;
use crate::http::answer::Answer;
use crate::registry::{WebhookFields, WebhookStatus};

/// `GET`.
pub fn list(ask: &Ask<'_>) -> Result<Answer, Error> {
    let service = ask.service()?;
    let page = Page::read(&ask.query)?;
    let (webhooks, has_more) = page.cut(service.webhooks.iter().collect());
    let frame = ask.frame();
    let views = webhooks.into_iter().map(|webhook| WebhookView::new(&frame, service.sid, webhook)).collect();
    let url = frame.url(&format!("/Services/{}/Webhooks", service.sid));
    Ok(Answer::json(StatusCode::OK, &page.listed("webhooks", views, has_more, &url, (&ask.query, &[]))))
}

/// `POST`: the one answer that shows the secret.
pub async fn create(ask: &Ask<'_>, fields: &Fields) -> Result<Answer, Error> {
    let service = ask.service()?.sid;
    let wanted = read(fields)?;
    value::required("FriendlyName", wanted.friendly_name.as_ref())?;
    value::required("EventTypes", wanted.event_types.as_ref())?;
    value::required("WebhookUrl", wanted.url.as_ref())?;
    let made = ask.v2.registry.create_webhook(service, wanted).await.map_err(|error| ask.failed(error))?;
    Ok(Answer::json(StatusCode::CREATED, &WebhookView::with_secret(&ask.frame(), service, &made)))
}

/// `GET` of one.
pub fn fetch(ask: &Ask<'_>) -> Result<Answer, Error> {
    let service = ask.service()?;
    let webhook = service.webhook(&ask.sid(3, SidKind::Webhook)?).map_err(|error| ask.failed(error))?;
    Ok(Answer::json(StatusCode::OK, &WebhookView::new(&ask.frame(), service.sid, webhook)))
}

/// `POST` of one.
pub async fn update(ask: &Ask<'_>, fields: &Fields) -> Result<Answer, Error> {
    let service = ask.service()?.sid;
    let webhook = ask.sid(3, SidKind::Webhook)?;
    let changed = ask.v2.registry.update_webhook(service, webhook, read(fields)?).await;
    let changed = changed.map_err(|error| ask.failed(error))?;
    Ok(Answer::json(StatusCode::OK, &WebhookView::new(&ask.frame(), service, &changed)))
}

/// `DELETE` of one.
pub async fn delete(ask: &Ask<'_>) -> Result<Answer, Error> {
    let service = ask.service()?.sid;
    let webhook = ask.sid(3, SidKind::Webhook)?;
    ask.v2.registry.delete_webhook(service, webhook).await.map_err(|error| ask.failed(error))?;
    Ok(Answer::empty())
}

fn read(fields: &Fields) -> Result<WebhookFields, Error> {
    let statuses = [("enabled", WebhookStatus::Enabled), ("disabled", WebhookStatus::Disabled)];
    // The newer form is the only one; whoever asks for the older one would not understand what comes.
    value::word(fields, "Version", &[("v2", ())])?;
    Ok(WebhookFields {
        friendly_name: fields.text("FriendlyName")?,
        event_types: Some(fields.texts("EventTypes")?).filter(|names| !names.is_empty()),
        url: fields.text("WebhookUrl")?,
        status: value::word(fields, "Status", &statuses)?,
    })
}
