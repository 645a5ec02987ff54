//! `/v2/Guard/..`, which is not Twilio's: allowances of the pumping guard, its manual entries and its explanations.

use std::sync::Arc;

use super::prelude::*;
use crate::limits::guard::operator::{
    Explanation, Item, MOST_MINUTES, USUAL_MINUTES, entry_subject, masked, subject,
};
use crate::limits::guard::{EntryAction, EntryError, Key, PumpingGuard};

parameters! {
    pub struct OfService {
        /// Of this service. Without it of all services, or of the service of the key.
        "ServiceSid" = "VA0123456789abcdef0123456789abcdef" => service: Option<ServiceSid>,
    }
}

parameters! {
    pub struct NewEntry {
        /// A number, a prefix (a number without its last four digits, and ****), a country, a client address or a network; or
        /// all, with known-only.
        "Subject" = "+99290000****" => subject: GuardSubject,
        /// Whether messages need no allowance, are refused, or go only to numbers that were verified in the last 30 days.
        "Action" = "allow" => action: EntryAction,
        /// The length; the default is 720.
        "Minutes" = "90" => minutes: Option<Whole<1, MOST_MINUTES>>,
        /// For this service. Without it for all services, or for the service of the key.
        "ServiceSid" = "VA0123456789abcdef0123456789abcdef" => service: Option<ServiceSid>,
    }
}

/// `GET` of the allowances with less than half of their messages: those with the smallest part left first.
pub async fn list_allowances(Given(request, params): Given<OfService>) -> Answer<Listed<Item>> {
    list(&request, params.service, "allowances", |guard, service, most| {
        guard.low_allowances(service, most, masked)
    })
}

/// `GET` of the manual entries: those that end last first.
pub async fn list_entries(Given(request, params): Given<OfService>) -> Answer<Listed<Item>> {
    list(&request, params.service, "entries", |guard, service, _| guard.entries(service, masked))
}

/// `read` is told how many items are enough.
fn list(
    request: &Request,
    service: Option<Sid>,
    key: &'static str,
    read: impl FnOnce(&PumpingGuard, Option<ServiceId>, usize) -> Vec<Item>,
) -> Answer<Listed<Item>> {
    let (page, scope) = (request.page(OfService::NAMES)?, scope(request, service)?);
    let most = page.skip().saturating_add(page.limit());
    let items = read(&request.running.guard, scope.map(|service| service.id), most);
    Ok(Json(page.of(key, items.into_iter().skip(page.skip()), |item| item)))
}

/// `POST` of an entry, which replaces that of the same subject.
pub async fn create_entry(Given(request, params): Given<NewEntry>) -> Made<Item> {
    let NewEntry { subject, action, minutes, service } = params;
    let key = Key::new(scope(&request, service)?.map(|service| service.id), subject);
    let minutes = minutes.unwrap_or(USUAL_MINUTES);
    created(set(&request, key, Some(action), minutes).await?)
}

/// `DELETE` of an entry.
pub async fn delete_entry(Given(request, params): Given<OfService>) -> Gone {
    let subject = entry_subject(request.param("Subject")?, None).ok_or(Error::NotFound)?;
    let key = Key::new(scope(&request, params.service)?.map(|service| service.id), subject);
    set(&request, key, None, 0).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn set(request: &Request, key: Key, action: Option<EntryAction>, minutes: u32) -> Result<Item, Error> {
    let set = request.running.guard.set_entry(key, action, minutes, request.author()).await;
    let set = set.map_err(|error| match error {
        EntryError::TooMany(too_many) => Error::conflict(too_many.to_string()),
        EntryError::InNoPlan(_) | EntryError::OnlyAll | EntryError::IsSafe => {
            Error::parameter("Subject", error)
        }
        EntryError::Refused(refusal) => refusal.into(),
    });
    set?.ok_or(Error::NotFound)
}

/// `GET` of an explanation.
pub async fn explain(Given(request, params): Given<OfService>) -> Answer<Explanation> {
    let subject = subject(request.param("Subject")?, None).ok_or(Error::NotFound)?;
    let scope = scope(&request, params.service)?;
    Ok(Json(request.running.guard.explain(scope.as_deref(), subject).await?))
}

/// The service that the caller asks for; `None` for all services. A key for one service gets its own.
fn scope(request: &Request, asked: Option<Sid>) -> Result<Option<Arc<Service>>, Error> {
    let registry = &request.running.registry;
    let asked = asked.map(|sid| registry.service(&sid)).transpose()?;
    let Some(own) = request.caller.service() else { return Ok(asked) };
    if asked.is_some_and(|asked| asked.id != own) {
        return Err(Error::NotFound);
    }
    registry.service_by_id(own).ok_or(Error::NotFound).map(Some)
}

#[rustfmt::skip] // A table.
pub fn routes() -> ApiRouter {
    ApiRouter::of(ApiGroup::twilio("Guard",
            "Allowances of the guard against SMS pumping, manual entries, and why it refuses messages. A key for \
            one service sees and changes that service. Not in Twilio's API.",
            Access::Scope(Scope::Admin)))
        .get("/v2/Guard/Allowances", list_allowances,
            listing(list_allowances, "allowances", "ListGuardAllowance", "List low allowances")
                .about("Those with less than half of their messages, the smallest part first."))
        .get("/v2/Guard/Explanations/{Subject}", explain,
            operation(explain, "FetchGuardExplanation", "Explain what the guard does")
                .long()
                .about("Without ServiceSid of the ten services that refuse it or have the least left."))
        .post("/v2/Guard/Entries", create_entry,
            operation(create_entry, "CreateGuardEntry", "Allow or block messages")
                .about("Replaces the entry of the same subject."))
        .get("/v2/Guard/Entries", list_entries,
            listing(list_entries, "entries", "ListGuardEntry", "List manual entries")
                .about("Those that end last first. Numbers are masked."))
        .delete("/v2/Guard/Entries/{Subject}", delete_entry, operation(delete_entry, "DeleteGuardEntry", "Remove a manual entry"))
}
