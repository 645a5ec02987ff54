//! `/v2/Guard/..`, which is not Twilio's: allowances of the pumping guard, its manual entries and its explanations.

use std::sync::Arc;

use super::context::Request;
use super::error::Error;
use super::params::{GuardSubject, Parameters as _, ServiceSid, Whole, parameters};
use crate::domain::{ServiceId, Sid};
use crate::http::response::Response;
use crate::limits::guard::operator::{Item, MOST_MINUTES, USUAL_MINUTES, masked, subject};
use crate::limits::guard::{EntryAction, EntryError, Key, PumpingGuard};
use crate::registry::Service;

parameters! {
    pub struct OfService {
        /// Of this service. Without it of all services, or of the service of the key.
        "ServiceSid" = "VA0123456789abcdef0123456789abcdef" => service: Option<ServiceSid>,
    }
}

parameters! {
    pub struct NewEntry {
        /// A number, a prefix (a number without its last four digits, and ****), a country, a client address or a network.
        "Subject" = "+99290000****" => subject: GuardSubject,
        /// Whether messages need no allowance, or are refused.
        "Action" = "allow" => action: EntryAction,
        /// The length; the default is 720.
        "Minutes" = "90" => minutes: Option<Whole<1, MOST_MINUTES>>,
        /// For this service. Without it for all services, or for the service of the key.
        "ServiceSid" = "VA0123456789abcdef0123456789abcdef" => service: Option<ServiceSid>,
    }
}

/// `GET` of the allowances with less than half of their messages: those with the smallest part left first.
pub async fn list_allowances(request: &Request<'_>, params: OfService) -> Result<Response, Error> {
    list(request, params.service, "allowances", |guard, service, most| {
        guard.low_allowances(service, most, masked)
    })
}

/// `GET` of the manual entries: those that end last first.
pub async fn list_entries(request: &Request<'_>, params: OfService) -> Result<Response, Error> {
    list(request, params.service, "entries", |guard, service, _| guard.entries(service, masked))
}

/// `read` is told how many items are enough.
fn list(
    request: &Request<'_>,
    service: Option<Sid>,
    key: &'static str,
    read: impl FnOnce(&PumpingGuard, Option<ServiceId>, usize) -> Vec<Item>,
) -> Result<Response, Error> {
    let (page, scope) = (request.page()?, scope(request, service)?);
    let most = page.skip().saturating_add(page.limit());
    let items = read(&guard(request)?, scope.map(|service| service.id), most);
    let items = page.of(items.into_iter().skip(page.skip()), |item| item);
    Ok(request.page_response(key, items, OfService::NAMES))
}

/// `POST` of an entry, which replaces that of the same subject.
pub async fn create_entry(request: &Request<'_>, params: NewEntry) -> Result<Response, Error> {
    let NewEntry { subject, action, minutes, service } = params;
    let key = Key::new(scope(request, service)?.map(|service| service.id), subject);
    let minutes = minutes.unwrap_or(USUAL_MINUTES);
    Ok(Response::created(&set(request, key, Some(action), minutes).await?))
}

/// `DELETE` of an entry.
pub async fn delete_entry(request: &Request<'_>, params: OfService) -> Result<Response, Error> {
    let subject = subject(&request.param("Subject")?, None).ok_or(Error::NotFound)?;
    let key = Key::new(scope(request, params.service)?.map(|service| service.id), subject);
    set(request, key, None, 0).await?;
    Ok(Response::empty())
}

async fn set(
    request: &Request<'_>,
    key: Key,
    action: Option<EntryAction>,
    minutes: u32,
) -> Result<Item, Error> {
    let set = guard(request)?.set_entry(key, action, minutes, request.author()).await;
    let set = set.map_err(|error| match error {
        EntryError::TooMany(too_many) => Error::conflict(too_many.to_string()),
        EntryError::InNoPlan(_) => Error::parameter("Subject", error),
        EntryError::Refused(refusal) => refusal.into(),
    });
    set?.ok_or(Error::NotFound)
}

/// `GET` of an explanation.
pub async fn explain(request: &Request<'_>, params: OfService) -> Result<Response, Error> {
    let subject = subject(&request.param("Subject")?, None).ok_or(Error::NotFound)?;
    let scope = scope(request, params.service)?;
    Ok(Response::ok(&guard(request)?.explain(scope.as_deref(), subject)))
}

fn guard(request: &Request<'_>) -> Result<PumpingGuard, Error> {
    request.v2.verifications.guard().ok_or_else(|| Error::not_served("The guard's resources"))
}

/// The service that the caller asks for; `None` for all services. A key for one service gets its own.
fn scope(request: &Request<'_>, asked: Option<Sid>) -> Result<Option<Arc<Service>>, Error> {
    let registry = &request.v2.registry;
    let asked = asked.map(|sid| registry.service(&sid)).transpose()?;
    let Some(own) = request.own_service() else { return Ok(asked) };
    if asked.is_some_and(|asked| asked.id != own) {
        return Err(Error::NotFound);
    }
    registry.service_by_id(own).ok_or(Error::NotFound).map(Some)
}
