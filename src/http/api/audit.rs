//! `/v2/Audit`, which is not Twilio's: who changed what, and when.

use super::prelude::*;
use crate::registry::audit::AuditEntry;
use crate::shard::LogRange;

parameters! {
    pub struct Filters {
        /// Of this service.
        "ServiceSid" = "VA0123456789abcdef0123456789abcdef" => service: Option<ServiceSid>,
        /// Created at or after this time.
        "DateCreatedAfter" = "2026-01-31T12:00:00Z" => after: Option<Timestamp>,
        /// Created before this time.
        "DateCreatedBefore" = "2026-02-28T12:00:00Z" => before: Option<Timestamp>,
    }
}

view! {
    /// A change, and who made it.
    AuditEntryView as "AuditEntry"(frame, entry: &AuditEntry) {
        account_sid: AccountSid = Id(frame.account),
        date_created: Date = entry.at.into(),
        /// Equal changes by one author within an hour are one entry; `date_created` is the last of them.
        date_first: Date = entry.first.into(),
        /// How often it was done.
        times: u32 = entry.times,
        /// What was done.
        action: &'static str = entry.action.as_str(),
        /// `account`: its credentials. `key`: an API key. `user`: a user of the server's machine. `session`: a person at the
        /// dashboard, signed in with the key, or with the account's credentials if there is none.
        #[schemars(regex(pattern = "^(account|key|user|session)$"))]
        actor: String = entry.actor.kind.clone(),
        /// The id of the key.
        actor_sid: Option<String> = entry.actor.key().map(|sid| sid.to_string()),
        /// The name of the key or of the user.
        actor_name: Option<String> = entry.actor.name.clone(),
        /// The id of the user.
        actor_uid: Option<u32> = entry.actor.id.as_ref().and_then(|id| id.parse().ok()),
        /// Null for what belongs to all services.
        service_sid: Option<ServiceSid> = entry.service.map(Id),
        /// The id of the key or the webhook.
        resource_sid: Option<String> = entry.resource().map(|sid| sid.to_string()),
        /// The number, masked, or another subject of the guard.
        number: Option<String> = Some(&entry.subject).filter(|subject| !subject.is_empty() && entry.resource().is_none()).cloned(),
        /// The id of the request, as in its response and in the log.
        request_id: Option<String> = entry.request_id.clone(),
    }
}

impl AuditEntryView {
    /// The action, and how often.
    pub fn what(&self) -> String {
        if self.times > 1 {
            format!("{} ({} times)", self.action, self.times)
        } else {
            self.action.to_owned()
        }
    }

    /// The kind of actor, and its name or else its id.
    pub fn who(&self) -> String {
        let id = || self.actor_sid.clone().or_else(|| Some(self.actor_uid?.to_string()));
        let name = self.actor_name.clone().or_else(id);
        [Some(self.actor.clone()), name].into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

/// `GET`: the newest first. A key for one service sees the entries of that service. The pages go on from the moment at which
/// the first one was asked for.
pub async fn list(Given(request, filters): Given<Filters>) -> Answer<Listed<AuditEntryView>> {
    let Filters { service, after, before } = filters;
    let mut page = request.page(Filters::NAMES)?;
    let (frame, until) = (request.frame(), Some(page.until(before)));
    let own =
        request.caller.service().map(|own| request.service_sid(own).ok_or(Error::NotFound)).transpose()?;
    let mut found = Vec::new();
    if own.is_none_or(|own| service.is_none_or(|service| service == own)) {
        let (service, since) = (service.or(own), after.unwrap_or_default());
        let (skip, limit, read) = (page.skip(), page.limit(), usize::MAX);
        let fits = |entry: &AuditEntry| service.is_none() || entry.service == service;
        let range = LogRange { since, until, fits, skip, limit, read };
        found = request.running.registry.audit().list(None, range).await?.records;
    }
    Ok(Json(page.of("entries", &found, |entry| AuditEntryView::new(&frame, entry))))
}

#[rustfmt::skip] // A table.
pub fn routes() -> ApiRouter {
    ApiRouter::of(ApiGroup::twilio("Audit log",
            "Who changed services, keys, webhooks, the guard and numbers, and when. Not in Twilio's API.",
            Access::Scope(Scope::Admin)))
        .get("/v2/Audit", list,
            listing(list, "entries", "ListAuditEntry", "List changes")
                .about("Newest first. A key for one service sees the changes of that service."))
}
