//! `/v2/Services/{ServiceSid}/MessagingConfigurations`: which gateway sends to which country.

use hyper::StatusCode;

use super::context::{Failure, RequestContext};
use super::page::Page;
use super::params::{Country, Id, MessagingServiceSid, parameters};
use super::view::MessagingConfigurationView;
use crate::http::answer::Answer;

parameters! {
    /// A new messaging configuration.
    pub struct New {
        /// Two letters of ISO 3166-1.
        "Country" = "DE" => country: Country,
        /// The gateway; a wrong one is answered with all that there are.
        "MessagingServiceSid" = "MG0123456789abcdef0123456789abcdef" => gateway: MessagingServiceSid,
    }
}

parameters! {
    /// A change of one.
    pub struct Changed {
        /// The gateway; a wrong one is answered with all that there are.
        "MessagingServiceSid" = "MG0123456789abcdef0123456789abcdef" => gateway: MessagingServiceSid,
    }
}

/// `GET`.
pub fn list(request: &RequestContext<'_>) -> Result<Answer, Failure> {
    let service = request.service()?;
    let page = Page::read(&request.fields)?;
    let frame = request.frame();
    let view = |configuration| MessagingConfigurationView::new(&frame, service.sid, configuration);
    Ok(request.listed("messaging_configurations", page.of(service.messaging.iter(), view), &[]))
}

/// `POST`.
pub async fn create(request: &RequestContext<'_>) -> Result<Answer, Failure> {
    let service = request.service()?.sid;
    let New { country: Country(country), gateway: Id(gateway) } = request.read()?;
    let made = request.v2.registry.create_messaging(service, country, gateway).await?;
    Ok(Answer::json(StatusCode::CREATED, &MessagingConfigurationView::new(&request.frame(), service, &made)))
}

/// `GET` of one.
pub fn fetch(request: &RequestContext<'_>) -> Result<Answer, Failure> {
    let service = request.service()?;
    let found = service.messaging(&country(request)?)?;
    Ok(Answer::json(StatusCode::OK, &MessagingConfigurationView::new(&request.frame(), service.sid, found)))
}

/// `POST` of one.
pub async fn update(request: &RequestContext<'_>) -> Result<Answer, Failure> {
    let service = request.service()?.sid;
    let country = country(request)?;
    let Changed { gateway: Id(gateway) } = request.read()?;
    let changed = request.v2.registry.update_messaging(service, country, gateway).await?;
    Ok(Answer::json(StatusCode::OK, &MessagingConfigurationView::new(&request.frame(), service, &changed)))
}

/// `DELETE` of one.
pub async fn delete(request: &RequestContext<'_>) -> Result<Answer, Failure> {
    let service = request.service()?.sid;
    let country = country(request)?;
    request.v2.registry.delete_messaging(service, country).await?;
    Ok(Answer::empty())
}

fn country(request: &RequestContext<'_>) -> Result<String, Failure> {
    request.behind("MessagingConfigurations").map(std::borrow::Cow::into_owned)
}
