//! `/v2/Guard/..`, which is not Twilio's: the blocks of the pumping guard, its manual entries and its explanations.

use std::sync::Arc;
use std::time::Duration;

use super::context::{Failure, PageItems, Request, RequestContext};
use super::error::Error;
use super::params::{GuardSubject, Id, Parameters as _, ServiceSid, Whole, parameters};
use crate::domain::{ServiceId, Sid, Timestamp};
use crate::guard::operator::{self, BlockView, DecisionView, EntryView, exact};
use crate::guard::{DecisionQuery, Dimension, Entry, EntryAction, EntryError, Key, Named, PumpingGuard};
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
        /// A number, a prefix (a number without its last four digits, and ****), a country or a client address.
        "Subject" = "+99290000****" => subject: GuardSubject,
        /// Whether messages pass the adaptive rules or are refused.
        "Action" = "allow" => action: EntryAction,
        /// The length; the default is 12.
        "Hours" = "12" => hours: Option<Whole<1, 8_760>>,
        /// For this service. Without it for all services, or for the service of the key.
        "ServiceSid" = "VA0123456789abcdef0123456789abcdef" => service: Option<ServiceSid>,
    }
}

const USUAL_HOURS: u32 = 12;

/// `GET` of the blocks: those that end last first.
pub fn list_blocks(request: &Request<'_, OfService>) -> Result<Response, Failure> {
    let (guard, scope) = (guard(request)?, scope(request, request.read()?.service)?);
    let blocks = guard.blocks(scope.map(|service| service.id));
    let sid = |id| request.service_sid(id);
    let items = request
        .page()?
        .of(blocks.into_iter(), |(key, until, figures)| BlockView::new(key, until, figures, sid));
    Ok(request.page_response("blocks", items, OfService::NAMES))
}

/// `GET` of the manual entries: those that end last first.
pub fn list_entries(request: &Request<'_, OfService>) -> Result<Response, Failure> {
    let (guard, scope) = (guard(request)?, scope(request, request.read()?.service)?);
    let entries = guard.entries(scope.map(|service| service.id));
    let sid = |id| request.service_sid(id);
    let items = request.page()?.of(entries.into_iter(), |(key, entry)| {
        EntryView::new(key, entry, Named(key.dimension).to_string(), sid)
    });
    Ok(request.page_response("entries", items, OfService::NAMES))
}

/// `POST` of an entry, which replaces that of the same subject.
pub async fn create_entry(request: &Request<'_, NewEntry>) -> Result<Response, Failure> {
    let NewEntry { subject: GuardSubject(dimension), action, hours, service } = request.read()?;
    let (guard, scope) = (guard(request)?, scope(request, service)?);
    let hours = hours.map_or(USUAL_HOURS, |Whole(hours)| hours);
    let until = request.now().plus(Duration::from_secs(u64::from(hours) * 3_600));
    let (key, entry) =
        (Key::new(scope.as_ref().map(|service| service.id), dimension), Entry { action, until });
    set(request, &guard, key, entry, scope.map(|service| service.sid)).await?;
    let sid = |id| request.service_sid(id);
    Ok(Response::created(&EntryView::new(key, entry, exact(dimension), sid)))
}

/// `DELETE` of an entry.
pub async fn delete_entry(request: &Request<'_, OfService>) -> Result<Response, Failure> {
    let (guard, scope) = (guard(request)?, scope(request, request.read()?.service)?);
    let key = Key::new(scope.as_ref().map(|service| service.id), subject(request, "Entries")?);
    let known = guard.entry(&key).ok_or(Failure::NotFound)?;
    let entry = Entry { until: request.now(), ..known };
    set(request, &guard, key, entry, scope.map(|service| service.sid)).await?;
    Ok(Response::empty())
}

/// `GET` of an explanation.
pub async fn explain(request: &Request<'_, OfService>) -> Result<Response, Failure> {
    let (guard, scope) = (guard(request)?, scope(request, request.read()?.service)?);
    let service = match scope {
        Some(service) => service,
        None => request.v2.registry.service_by_id(ServiceId::DEFAULT).ok_or(Failure::NotFound)?,
    };
    let subject = subject(request, "Explanations")?;
    let _place = request.v2.reads.begin(request.own_service())?;
    let explanation = guard.explain((service.id, service.sid), subject, request.is_for_all_services()).await;
    Ok(Response::ok(&explanation.map_err(Error::unavailable)?))
}

/// `GET` of the refusals and would-be refusals: those with the newest message first. The pages go on from the moment at
/// which the first one was asked for.
pub async fn list_decisions(request: &Request<'_, Filters>) -> Result<Response, Failure> {
    let (page, began) = request.page()?.begun(request.end_of_now());
    let Filters { service, after, before } = request.read()?;
    let (guard, scope) = (guard(request)?, scope(request, service)?);
    let _place = request.v2.reads.begin(request.own_service())?;
    let query = DecisionQuery {
        service: scope.map(|service| service.id),
        keys: Vec::new(),
        since: after.unwrap_or(Timestamp::EPOCH),
        until: Some(before.map_or(began, |before| before.min(began))),
        skip: page.skip(),
        limit: page.limit(),
    };
    let (decisions, has_more) = guard.decisions(&query).await.map_err(Error::unavailable)?;
    let (sees_all, sid) = (request.is_for_all_services(), |id| request.service_sid(id));
    let items = decisions.iter().map(|decision| DecisionView::new(decision, sees_all, sid)).collect();
    Ok(request.page_response("decisions", PageItems { page, items, has_more }, Filters::NAMES))
}

fn guard(request: &RequestContext<'_>) -> Result<PumpingGuard, Failure> {
    request.v2.verifications.guard().ok_or_else(|| Error::not_served("The guard's resources").into())
}

/// The service that the caller asks for; `None` for all services, which a key for one service may not ask for.
fn scope(request: &RequestContext<'_>, asked: Option<ServiceSid>) -> Result<Option<Arc<Service>>, Failure> {
    let registry = &request.v2.registry;
    let asked = asked.map(|Id(sid)| registry.service(&sid)).transpose()?;
    let Some(own) = request.own_service() else { return Ok(asked) };
    if asked.is_some_and(|asked| asked.id != own) {
        return Err(Failure::NotFound);
    }
    registry.service_by_id(own).ok_or(Failure::NotFound).map(Some)
}

fn subject(request: &RequestContext<'_>, segment: &str) -> Result<Dimension, Failure> {
    operator::subject(&request.behind(segment)?, None).ok_or(Failure::NotFound)
}

async fn set(
    request: &RequestContext<'_>,
    guard: &PumpingGuard,
    key: Key,
    entry: Entry,
    sid: Option<Sid>,
) -> Result<(), Failure> {
    guard.set_entry(key, entry, sid, request.author()).await.map_err(|error| {
        Failure::Error(match error {
            EntryError::TooMany(too_many) => Error::conflict(too_many.to_string()),
            EntryError::Refused(refusal) => Error::unavailable(refusal),
        })
    })
}
