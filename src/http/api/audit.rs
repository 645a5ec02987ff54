//! `/v2/Audit`, which is not Twilio's: who changed what, and when.

use super::prelude::*;
use crate::registry::audit;

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Filters {
    /// Of this service.
    pub service_sid: Option<values::ServiceSid>,
    /// Created at or after this time.
    pub date_created_after: Option<values::Timestamp>,
    /// Created before this time.
    pub date_created_before: Option<values::Timestamp>,
}

/// A change, and who made it.
#[derive(Serialize, JsonSchema)]
pub struct AuditEntry {
    pub account_sid: AccountSid,
    pub date_created: Date,
    /// What was done.
    pub action: &'static str,
    /// `account`: its credentials. `key`: an API key. `user`: a user of the server's machine. `session`: a person at the
    /// dashboard, signed in with the key, or with the account's credentials if there is none.
    pub actor: String,
    /// The id of the key.
    pub actor_sid: Option<String>,
    /// The name of the key.
    pub actor_name: Option<String>,
    /// The id of the user.
    pub actor_uid: Option<u32>,
    /// Null for what belongs to all services.
    pub service_sid: Option<ServiceSid>,
    /// The id of the key or the webhook.
    pub resource_sid: Option<String>,
    /// The number, masked, or another subject of the guard.
    pub number: Option<String>,
    /// The id of the request, as in its response and in the log.
    pub request_id: Option<String>,
}

impl AuditEntry {
    pub fn new(account: Sid, entry: &audit::AuditEntry) -> Self {
        Self {
            account_sid: Id(account),
            date_created: entry.at.into(),
            action: entry.action.as_str(),
            actor: entry.actor.kind.clone(),
            actor_sid: entry.actor.key().map(|sid| sid.to_string()),
            actor_name: entry.actor.name.clone(),
            actor_uid: entry.actor.id.as_ref().and_then(|id| id.parse().ok()),
            service_sid: entry.service.map(Id),
            resource_sid: entry.resource().map(|sid| sid.to_string()),
            number: (!entry.subject.is_empty() && entry.resource().is_none()).then(|| entry.subject.clone()),
            request_id: entry.request_id.clone(),
        }
    }

    /// The kind of actor, and its name or else its id.
    pub fn who(&self) -> String {
        let id = || self.actor_sid.clone().or_else(|| Some(self.actor_uid?.to_string()));
        let name = self.actor_name.clone().or_else(id);
        [Some(self.actor.clone()), name].into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

/// `GET`: the newest first. A key for one service sees the entries of that service.
async fn list(caller: Caller, Listing(filters, page): Listing<Filters>) -> Result<Listed<AuditEntry>, Error> {
    let service = filters.service_sid.map(|sid| sid.0);
    let (until, skip) = page.place(filters.date_created_before.map(|before| before.0));
    let own =
        caller.who.service().map(|own| caller.service_sid(own).ok_or(Error::NO_RESOURCE)).transpose()?;
    let mut found = Vec::new();
    if own.is_none_or(|own| service.is_none_or(|service| service == own)) {
        let (service, since) =
            (service.or(own), filters.date_created_after.map(|after| after.0).unwrap_or_default());
        let fits = |entry: &audit::AuditEntry| service.is_none() || entry.service == service;
        let range = LogRange { since, until, fits, skip, limit: page.limit() };
        found = caller.running.registry.audit(range).await?;
    }
    let account = caller.running.registry.account_sid();
    Ok(page.of_newest("entries", &found, |entry| entry.at, |entry| AuditEntry::new(account, entry)))
}

#[rustfmt::skip] // A table.
pub fn routes() -> Routes {
    Routes::new("Audit log", "Who changed services, keys, webhooks, the guard and numbers, and when. Not in Twilio's API.", Group::twilio(Access::Scope(Scope::Admin)))
        .get("/v2/Audit", list, list_of::<Filters, AuditEntry>("entries", "ListAuditEntry", "List changes")
                .about("Newest first. A key for one service sees the changes of that service."))
}
