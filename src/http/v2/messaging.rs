//! `/v2/Services/{ServiceSid}/MessagingConfigurations`: which gateway sends to which country.

use hyper::StatusCode;

use super::ask::Ask;
use super::error::Error;
use super::fields::Fields;
use super::page::Page;
use super::value;
use super::view::MessagingConfigurationView;
use crate::domain::{Sid, SidKind};
use crate::http::answer::Answer;

/// `GET`.
pub fn list(ask: &Ask<'_>) -> Result<Answer, Error> {
    let service = ask.service()?;
    let page = Page::read(&ask.query)?;
    let (found, has_more) = page.cut(service.messaging.iter().collect());
    let frame = ask.frame();
    let view = |configuration| MessagingConfigurationView::new(&frame, service.sid, configuration);
    let views = found.into_iter().map(view).collect();
    let url = frame.url(&format!("/Services/{}/MessagingConfigurations", service.sid));
    let listed = page.listed("messaging_configurations", views, has_more, &url, (&ask.query, &[]));
    Ok(Answer::json(StatusCode::OK, &listed))
}

/// `POST`.
pub async fn create(ask: &Ask<'_>, fields: &Fields) -> Result<Answer, Error> {
    let service = ask.service()?.sid;
    let country = value::required("Country", fields.text("Country")?)?;
    let gateway = gateway(fields)?;
    let made = ask.v2.registry.create_messaging(service, country, gateway).await;
    let made = made.map_err(|error| ask.failed(error))?;
    Ok(Answer::json(StatusCode::CREATED, &MessagingConfigurationView::new(&ask.frame(), service, &made)))
}

/// `GET` of one.
pub fn fetch(ask: &Ask<'_>) -> Result<Answer, Error> {
    let service = ask.service()?;
    let found = service.messaging(&ask.part(3)?).map_err(|error| ask.failed(error))?;
    Ok(Answer::json(StatusCode::OK, &MessagingConfigurationView::new(&ask.frame(), service.sid, found)))
}

/// `POST` of one.
pub async fn update(ask: &Ask<'_>, fields: &Fields) -> Result<Answer, Error> {
    let service = ask.service()?.sid;
    let country = ask.part(3)?.into_owned();
    let changed = ask.v2.registry.update_messaging(service, country, gateway(fields)?).await;
    let changed = changed.map_err(|error| ask.failed(error))?;
    Ok(Answer::json(StatusCode::OK, &MessagingConfigurationView::new(&ask.frame(), service, &changed)))
}

/// `DELETE` of one.
pub async fn delete(ask: &Ask<'_>) -> Result<Answer, Error> {
    let service = ask.service()?.sid;
    let country = ask.part(3)?.into_owned();
    ask.v2.registry.delete_messaging(service, country).await.map_err(|error| ask.failed(error))?;
    Ok(Answer::empty())
}

fn gateway(fields: &Fields) -> Result<Sid, Error> {
    let name = "MessagingServiceSid";
    value::required(name, value::sid(fields, name, SidKind::MessagingService)?)
}
