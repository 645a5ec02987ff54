//! Changes of the registry, decided on slot 0.

use std::collections::{BTreeMap, BTreeSet};

use rand::Rng as _;
use serde_json::Value;

use super::error::Result;
use super::service::{SLOT, ServiceRecord, service_id};
use super::{Bucket, Item, RateLimit, Registry, RegistryError, Service};
use crate::domain::{Sid, SidKind, Timestamp};
use crate::registry::audit::{Action, AuditEntry, Author, changed};
use crate::shard::{Id, Record, Refusal, Subject, Transaction};

/// Characters of a changed value that the audit log keeps.
const LONGEST_VALUE: usize = 80;

/// A change that is being decided: the records, and the time, ids and secrets of new ones.
pub(super) struct Draft<'a, 'b> {
    pub(super) view: &'a mut Transaction<'b>,
    pub(super) now: Timestamp,
    pub(super) author: Option<Author>,
    /// What the audit log says of a change of a service: what was done, and to which of its belongings.
    pub(super) audited: (Action, String),
}

impl Draft<'_, '_> {
    /// A new id. 128 random bits are never drawn twice.
    pub(super) fn sid(&mut self, kind: SidKind) -> Sid {
        Sid::new(kind, self.bytes())
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.view.rng().fill_bytes(&mut bytes);
        bytes
    }

    pub(super) fn put<R: Record>(&mut self, id: Id, record: &R) {
        self.view.put(id, Some(record));
    }

    pub(super) fn service(&mut self, id: Id) -> Result<Box<Service>> {
        match self.view.get(id) {
            Some(ServiceRecord::Present(service)) => Ok(service),
            _ => Err(RegistryError::NotFound(Item::Service)),
        }
    }

    /// Writes an entry of the audit log about the change, if it has an author.
    pub(super) fn record(&mut self, action: Action, service: Option<Sid>, subject: String, changes: String) {
        if let Some(author) = self.author.clone() {
            AuditEntry { changes, ..AuditEntry::new(author, action, service, subject) }.record(self.view);
        }
    }
}

/// The settings of a service and of the webhook with this id, as the audit log shows them.
fn values(service: &Service, webhook: &str) -> BTreeMap<String, String> {
    let settings = serde_json::to_value(&service.settings).unwrap_or_default();
    let text = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let settings = settings.as_object().into_iter().flatten();
    let mut values: BTreeMap<_, _> = settings.map(|(key, value)| (key.clone(), text(value))).collect();
    let bucket = |Bucket { max, interval, .. }: &Bucket| format!("{max} in {interval} s");
    let limit = |RateLimit { unique_name, buckets, .. }: &RateLimit| {
        format!("{unique_name} {}", buckets.iter().map(bucket).collect::<Vec<_>>().join(", "))
    };
    let mut also = |name: &str, value: String| drop(values.insert(name.to_owned(), value));
    also("rate limits", service.rate_limits.iter().map(limit).collect::<Vec<_>>().join("; "));
    also("test numbers", service.test_numbers.len().to_string());
    also("messaging services", service.messaging.len().to_string());
    if let Some(webhook) = service.webhooks.iter().find(|of| of.sid.to_string() == webhook) {
        also("name", webhook.friendly_name.clone());
        also("events", webhook.event_types.join(" "));
        also("url", webhook.url.clone());
        also("status", webhook.status.to_string());
    }
    values
}

/// What differs, with the beginning of what it was and is.
fn changes(before: &Service, after: &Service, webhook: &str) -> String {
    let (before, after) = (values(before, webhook), values(after, webhook));
    let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let change = |name: &String| {
        let [was, is] = [&before, &after].map(|values| values.get(name).map_or("", String::as_str));
        let short = |text: &str| text.chars().take(LONGEST_VALUE).collect::<String>();
        (was != is).then(|| changed(name, &short(was), &short(is)))
    };
    names.into_iter().filter_map(change).collect::<Vec<_>>().join("; ")
}

impl Registry {
    /// Decides a change in slot 0, also if the caller does not wait. The answer comes when it is durable. After an error
    /// nothing has changed.
    pub(super) fn decide<T: Send + 'static, E: From<Refusal> + Send + 'static>(
        &self,
        decide: impl FnOnce(&mut Draft<'_, '_>) -> Result<T, E> + Send + 'static,
    ) -> impl Future<Output = Result<T, E>> {
        let (now, author) = (self.wall(), self.author.clone());
        let audited = (Action::ServiceChanged, String::new());
        let decide = move |view: &mut Transaction<'_>| decide(&mut Draft { view, now, author, audited });
        let decided = self.inner.shards.decide(Subject { slot: SLOT, id: [0; 12] }, decide);
        async { decided.await.unwrap_or_else(|_| Err(Refusal::OutcomeUnknown.into())) }
    }

    /// Changes a service and what belongs to it.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        sid: Sid,
        decide: impl FnOnce(&mut Service, &mut Draft<'_, '_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let id = service_id(self.service(&sid)?.id);
        self.decide(move |draft| {
            let before = draft.service(id)?;
            let mut service = before.clone();
            let answer = decide(&mut service, draft)?;
            if service != before {
                service.updated = draft.now;
                draft.put(id, &ServiceRecord::Present(service.clone()));
                let (action, subject) = draft.audited.clone();
                let changes = changes(&before, &service, &subject);
                draft.record(action, Some(sid), subject, changes);
            }
            Ok(answer)
        })
        .await
    }

    /// The wall clock, which dates everything that is displayed. The time of signatures.
    pub fn wall(&self) -> Timestamp {
        self.inner.shards.clock().wall()
    }
}
