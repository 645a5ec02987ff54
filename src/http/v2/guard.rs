//! `/v2/Guard/..`, which is not Twilio's: allowances of the pumping guard, its manual entries and its explanations.

use std::sync::Arc;
use std::time::Duration;

use super::context::{PageItems, Request};
use super::error::Error;
use super::params::{GuardSubject, Id, Parameters as _, ServiceSid, Whole, parameters};
use crate::domain::Timestamp;
use crate::guard::operator::{self, EntryView, USUAL_HOURS, masked};
use crate::guard::{DecisionQuery, Dimension, EntryAction, EntryError, Key, PumpingGuard};
use crate::http::response::Response;
use crate::registry::Service;

parameters! {
    /// The service of a question.
    pub struct OfService {
        /// Of this service. Without it of all services, or of the service of the key.
        "ServiceSid" = "VA0123456789abcdef0123456789abcdef" => service: Option<ServiceSid>,
    }
}

parameters! {
    /// The filters of the decisions.
    pub struct Filters {
        /// Of this service.
        "ServiceSid" = "VA0123456789abcdef0123456789abcdef" => service: Option<ServiceSid>,
        /// With a message at or after this time.
        "DateCreatedAfter" = "2026-01-31T12:00:00Z" => after: Option<Timestamp>,
        /// With the last message before this time.
        "DateCreatedBefore" = "2026-02-28T12:00:00Z" => before: Option<Timestamp>,
    }
}

parameters! {
    /// A manual entry.
    pub struct NewEntry {
        /// A number, a prefix (a number without its last four digits, and ****), a country, a client address or a network.
        "Subject" = "+99290000****" => subject: GuardSubject,
        /// Whether messages need no allowance, are refused, or are announced for a country.
        "Action" = "allow" => action: EntryAction,
        /// The messages that expect announces.
        "Messages" = "20000" => messages: Option<Whole<1, 1_000_000>>,
        /// The length; the default is 12.
        "Hours" = "12" => hours: Option<Whole<1, 8_760>>,
        /// The length in minutes, in place of Hours.
        "Minutes" = "90" => minutes: Option<Whole<1, 525_600>>,
        /// For this service. Without it for all services, or for the service of the key.
        "ServiceSid" = "VA0123456789abcdef0123456789abcdef" => service: Option<ServiceSid>,
    }
}

/// `GET` of the allowances with less than half of their messages: those with the smallest part left first.
pub async fn list_allowances(request: &Request<'_>, params: OfService) -> Result<Response, Error> {
    let (guard, scope) = (guard(request)?, scope(request, params.service)?);
    let page = request.page()?;
    let limit = page.skip().saturating_add(page.limit()).saturating_add(1);
    let low = guard.low_allowances(scope.map(|service| service.id), limit, masked);
    let page = page.of(low.into_iter(), |allowance| allowance);
    Ok(request.page_response("allowances", page, OfService::NAMES))
}

/// `GET` of the manual entries: those that end last first.
pub async fn list_entries(request: &Request<'_>, params: OfService) -> Result<Response, Error> {
    let (guard, scope) = (guard(request)?, scope(request, params.service)?);
    let entries = guard.entries(scope.map(|service| service.id));
    let view = |(key, entry)| guard.entry_view(key, entry, masked);
    Ok(request.page_response("entries", request.page()?.of(entries.into_iter(), view), OfService::NAMES))
}

/// `POST` of an entry, which replaces that of the same subject.
pub async fn create_entry(request: &Request<'_>, params: NewEntry) -> Result<Response, Error> {
    let NewEntry { subject: GuardSubject(subject), action, messages, hours, minutes, service } = params;
    let action = match (action, messages) {
        (EntryAction::Expect(_), Some(Whole(messages))) => EntryAction::Expect(messages),
        (EntryAction::Expect(_), None) => return Err(Error::missing("Messages")),
        (EntryAction::Allow | EntryAction::Block, Some(_)) => {
            return Err(Error::parameter("Messages", "only Action=expect announces messages"));
        }
        (action, _) => action,
    };
    let hours = hours.map_or(USUAL_HOURS, |Whole(hours)| hours);
    let minutes = minutes.map_or(hours * 60, |Whole(minutes)| minutes);
    let entry = set(request, subject, service, Some(action), minutes).await?;
    Ok(Response::created(&entry))
}

/// `DELETE` of an entry.
pub async fn delete_entry(request: &Request<'_>, params: OfService) -> Result<Response, Error> {
    set(request, subject(request)?, params.service, None, 0).await?;
    Ok(Response::empty())
}

async fn set(
    request: &Request<'_>,
    subject: Dimension,
    service: Option<ServiceSid>,
    action: Option<EntryAction>,
    minutes: u32,
) -> Result<EntryView, Error> {
    let (guard, scope) = (guard(request)?, scope(request, service)?);
    let key = Key::new(scope.map(|service| service.id), subject);
    let length = Duration::from_secs(u64::from(minutes) * 60);
    let set = guard.set_entry(key, action, length, request.author()).await;
    let set = set.map_err(|error| match error {
        EntryError::TooMany(too_many) => Error::conflict(too_many.to_string()),
        EntryError::NotACountry => Error::parameter("Subject", error),
        EntryError::Refused(refusal) => refusal.into(),
    });
    set?.ok_or(Error::NotFound)
}

/// `GET` of an explanation.
pub async fn explain(request: &Request<'_>, params: OfService) -> Result<Response, Error> {
    let (guard, scope) = (guard(request)?, scope(request, params.service)?);
    let subject = subject(request)?;
    let explanation = guard.explain(scope.as_deref(), subject).await;
    Ok(Response::ok(&explanation.map_err(Error::from)?))
}

/// `GET` of the refusals and would-be refusals: those with the newest message first. The pages go on from the moment at
/// which the first one was asked for.
pub async fn list_decisions(
    request: &Request<'_>,
    Filters { service, after, before }: Filters,
) -> Result<Response, Error> {
    let (page, began) = request.page()?.begun(request.end_of_now());
    let (guard, scope) = (guard(request)?, scope(request, service)?);
    let query = DecisionQuery {
        service: scope.map(|service| service.id),
        keys: Vec::new(),
        since: after.unwrap_or(Timestamp::EPOCH),
        until: Some(before.map_or(began, |before| before.min(began))),
        skip: page.skip(),
        limit: page.limit(),
    };
    let (decisions, has_more) = guard.decisions(&query).await.map_err(Error::from)?;
    let items = decisions.iter().map(|decision| guard.decision_view(decision)).collect();
    let items = PageItems { page, items, has_more };
    Ok(request.page_response("decisions", items, Filters::NAMES))
}

fn guard(request: &Request<'_>) -> Result<PumpingGuard, Error> {
    request.v2.verifications.guard().ok_or_else(|| Error::not_served("The guard's resources"))
}

/// The service that the caller asks for; `None` for all services, which a key for one service may not ask for.
fn scope(request: &Request<'_>, asked: Option<ServiceSid>) -> Result<Option<Arc<Service>>, Error> {
    let registry = &request.v2.registry;
    let asked = asked.map(|Id(sid)| registry.service(&sid)).transpose()?;
    let Some(own) = request.own_service() else { return Ok(asked) };
    if asked.is_some_and(|asked| asked.id != own) {
        return Err(Error::NotFound);
    }
    registry.service_by_id(own).ok_or(Error::NotFound).map(Some)
}

fn subject(request: &Request<'_>) -> Result<Dimension, Error> {
    operator::subject(&request.param("Subject")?, None).ok_or(Error::NotFound)
}
