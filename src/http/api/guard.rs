//! `/v2/Guard/..`, which is not Twilio's: manual entries of the pumping guard and its explanations.

use std::sync::Arc;

use super::prelude::*;
use crate::limits::guard::operator::{Explanation, Item, MOST_MINUTES, SUBJECTS, USUAL_MINUTES, subject};
use crate::limits::guard::{EntryAction, EntryError, Key};

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct OfService {
    /// Of this service. Without it of all services, or of the service of the key.
    pub service_sid: Option<values::ServiceSid>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Explained {
    /// For this service. Without it for the service of the key, or the one that refused the number last, or the default one.
    pub service_sid: Option<values::ServiceSid>,
    /// For a client with this address. Without it for the client of the number's last refusal.
    pub device_ip: Option<values::Address>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct NewEntry {
    /// A number, a prefix (a number without its last four digits, and ****), a country, or a client's network or address;
    /// or all, with known-only.
    pub subject: values::GuardSubject,
    /// Whether messages need no allowance, are refused, or go only to numbers that were verified in the last 30 days.
    pub action: values::EntryAction,
    /// The length; the default is 720.
    pub minutes: Option<values::Whole<1, MOST_MINUTES>>,
    /// For this service. Without it for all services, or for the service of the key.
    pub service_sid: Option<values::ServiceSid>,
}

/// `GET` of the manual entries: those that end last first.
async fn list_entries(caller: Caller, Listing(of, page): Listing<OfService>) -> Result<Listed<Item>, Error> {
    let service = scope(&caller, of.service_sid)?.map(|service| service.id);
    page.of_all("entries", caller.running.guard.entries(service, usize::MAX), |item| item)
}

/// `POST` of an entry, which replaces that of the same subject.
async fn create_entry(caller: Caller, Params(new): Params<NewEntry>) -> Made<Item> {
    let key = Key::new(scope(&caller, new.service_sid)?.map(|service| service.id), new.subject.0);
    let minutes = new.minutes.map_or(USUAL_MINUTES, |minutes| minutes.0);
    created(set(&caller, key, Some(new.action.0), minutes).await?)
}

/// `DELETE` of an entry.
async fn delete_entry(
    caller: Caller,
    Segments(subject): Segments<values::GuardSubject>,
    Params(OfService { service_sid }): Params<OfService>,
) -> Gone {
    let key = Key::new(scope(&caller, service_sid)?.map(|service| service.id), subject.0);
    set(&caller, key, None, 0).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn set(caller: &Caller, key: Key, action: Option<EntryAction>, minutes: u32) -> Result<Item, Error> {
    let set = caller.running.guard.set_entry(key, action, minutes, caller.author()).await;
    set.map_err(|error| not_entered("Subject", error))?.ok_or(Error::NO_RESOURCE)
}

/// The error of an entry about this parameter.
pub fn not_entered(parameter: &'static str, error: EntryError) -> Error {
    match error {
        EntryError::TooMany => Error::conflict(error.to_string()),
        EntryError::OfNone(_) => Error::parameter(parameter, error),
        EntryError::Refused(refusal) => refusal.into(),
    }
}

/// `GET` of an explanation.
async fn explain(
    caller: Caller,
    _turn: Turn,
    Segments(about): Segments<String>,
    Params(Explained { service_sid, device_ip }): Params<Explained>,
) -> Answer<Explanation> {
    let subject = subject(&about, None).ok_or_else(|| Error {
        message: format!("The subject {about:?} is none of these: {SUBJECTS}.").into(),
        ..Error::NO_RESOURCE
    })?;
    let service = scope(&caller, service_sid)?.map(|service| service.id);
    let client = device_ip.map(|address| address.0.into());
    Ok(Json(caller.running.guard.explain(service, subject, client).await?))
}

/// The service that the caller asks for; `None` for all services. A key for one service gets its own.
fn scope(caller: &Caller, asked: Option<values::ServiceSid>) -> Result<Option<Arc<Service>>, Error> {
    let registry = &caller.running.registry;
    let asked = asked.map(|Id(sid)| registry.service(&sid)).transpose()?;
    let Some(own) = caller.who.service() else { return Ok(asked) };
    if asked.is_some_and(|asked| asked.id != own) {
        return Err(Error::NO_RESOURCE);
    }
    registry.service_by_id(own).ok_or(Error::NO_RESOURCE).map(Some)
}

#[rustfmt::skip] // A table.
pub fn routes() -> Routes {
    Routes::new("Guard", "Manual entries of the guard against SMS pumping, and why it refuses messages. A key for \
            one service sees and changes that service. Not in Twilio's API.", Group::twilio(Access::Scope(Scope::Admin)))
        .get("/v2/Guard/Explanations/{Subject}", explain, ok::<Explained, Explanation>("FetchGuardExplanation", "Explain what the guard does"))
        .post("/v2/Guard/Entries", create_entry, made::<NewEntry, Item>("CreateGuardEntry", "Allow or block messages")
                .about("Replaces the entry of the same subject."))
        .get("/v2/Guard/Entries", list_entries, list_of::<OfService, Item>("entries", "ListGuardEntry", "List manual entries")
                .about("Those that end last first."))
        .delete("/v2/Guard/Entries/{Subject}", delete_entry, gone::<OfService>("DeleteGuardEntry", "Remove a manual entry"))
}
