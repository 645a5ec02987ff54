//! Changes of the registry, decided on slot 0.

use rand::Rng as _;
use serde_json::{Map, Value, json};
use tokio::sync::oneshot;

use super::service::{SLOT, ServiceRecord, service_id};
use super::{Bucket, Item, RateLimit, Registry, RegistryError, Service, Webhook, WebhookStatus};
use crate::domain::{Sid, SidKind, Timestamp};
use crate::registry::audit::{Action, Author, Change as Audited, ChangedValue};
use crate::shard::{Durability, Id, Record, Refusal, Subject, Transaction};

/// A change that is being decided: the records, and the time, ids and secrets of new ones.
pub(super) struct Draft<'a, 'b> {
    pub(super) view: &'a mut Transaction<'b>,
    pub(super) now: Timestamp,
    pub(super) author: Option<&'a Author>,
    /// What the audit log says of a change of a service.
    pub(super) audited: Audited,
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
        self.view.put(id, Some(record), Durability::Durable);
    }

    pub(super) fn service(&mut self, id: Id) -> Result<Box<Service>, RegistryError> {
        match self.view.get(id) {
            Some(ServiceRecord::Present(service)) => Ok(service),
            _ => Err(RegistryError::NotFound(Item::Service)),
        }
    }

    /// Writes an entry of the audit log about the change, if it has an author.
    pub(super) fn record(&mut self, change: Audited) {
        if let Some(author) = self.author {
            author.record(change, self.view);
        }
    }
}

/// The settings of a service, or the fields of the webhook that a draft changes: none before it exists, and after.
fn members(service: &Service, draft: &Draft<'_, '_>) -> Map<String, Value> {
    let webhook = draft.audited.resource.filter(|sid| sid.kind() == SidKind::Webhook);
    let Ok(webhook) = webhook.map(|sid| service.webhook(&sid)).transpose() else { return Map::new() };
    let value = match webhook {
        Some(Webhook { friendly_name, event_types, url, status, .. }) => {
            let is_enabled = *status == WebhookStatus::Enabled;
            json!({ "name": friendly_name, "events": event_types.join(" "), "url": url, "enabled": is_enabled })
        }
        None => serde_json::to_value(&service.settings).unwrap_or_default(),
    };
    let mut members = if let Value::Object(members) = value { members } else { Map::new() };
    if webhook.is_none() {
        let bucket = |Bucket { max, interval, .. }: &Bucket| format!("{max} in {interval} s");
        let limit = |RateLimit { unique_name, buckets, .. }: &RateLimit| {
            format!("{unique_name} {}", buckets.iter().map(bucket).collect::<Vec<_>>().join(", "))
        };
        let limits = service.rate_limits.iter().map(limit).collect::<Vec<_>>().join("; ");
        members.insert("rate limits".to_owned(), limits.into());
        members.insert("test numbers".to_owned(), service.test_numbers.len().into());
        members.insert("messaging services".to_owned(), service.messaging.len().into());
    }
    members
}

/// The subject of changes that create records: they wait for each other.
pub(super) const NEW: Id = [0xff; 12];

impl Registry {
    /// Decides a change about the record `id` of kind `R`, and answers when it is durable. After an error nothing has changed.
    pub(super) async fn decide<R: Record, T: Send + 'static, E: From<Refusal> + Send + 'static>(
        &self,
        id: Id,
        decide: impl Fn(&mut Draft<'_, '_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        self.submit::<R, T, E>(id, decide).await.unwrap_or_else(|_| Err(Refusal::OutcomeUnknown.into()))
    }

    /// The same without waiting.
    pub(super) fn submit<R: Record, T: Send + 'static, E: From<Refusal> + Send + 'static>(
        &self,
        mut id: Id,
        decide: impl Fn(&mut Draft<'_, '_>) -> Result<T, E> + Send + 'static,
    ) -> oneshot::Receiver<Result<T, E>> {
        // Ids of services have 24 bits: no subject of another kind has this byte.
        id[0] = 0x80 | R::KIND;
        let (now, author) = (self.wall(), self.author.clone());
        self.inner.shards.router().decide(Subject { slot: SLOT, id }, move |view| {
            let (author, audited) = (author.as_ref(), Audited::of(Action::ServiceChanged));
            decide(&mut Draft { view, now, author, audited })
        })
    }

    /// Changes a service and what belongs to it.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        sid: Sid,
        decide: impl Fn(&mut Service, &mut Draft<'_, '_>) -> Result<T, RegistryError> + Send + 'static,
    ) -> Result<T, RegistryError> {
        let id = service_id(self.service(&sid)?.id);
        self.decide::<ServiceRecord, _, _>(id, move |draft| {
            let before = draft.service(id)?;
            let mut service = before.clone();
            let answer = decide(&mut service, draft)?;
            if service != before {
                service.updated = draft.now;
                draft.put(id, &ServiceRecord::Present(service.clone()));
                let values = ChangedValue::between(&members(&before, draft), &members(&service, draft));
                draft.record(Audited { values, ..draft.audited.clone().in_service(Some(sid)) });
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
