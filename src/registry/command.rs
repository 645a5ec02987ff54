//! Changes of the registry, decided on slot 0.

use rand::Rng as _;
use rand::rngs::StdRng;
use tokio::sync::oneshot;

use super::service::{SLOT, ServiceRecord, service_id};
use super::{Item, Registry, RegistryError, Service};
use crate::domain::{Sid, SidKind, Timestamp};
use crate::registry::audit::{Action, Author, Change as Audited};
use crate::shard::{Durability, Id, Record, Refusal, Subject, Transaction};

/// Time, ids and secrets for new records.
pub(super) struct NewIds<'a> {
    pub(super) now: Timestamp,
    pub(super) rng: &'a mut StdRng,
    /// What the audit log says of a change of a service.
    pub(super) audited: Audited,
}

impl<'a> NewIds<'a> {
    pub(super) const fn new(now: Timestamp, rng: &'a mut StdRng) -> Self {
        Self { now, rng, audited: Audited::of(Action::ServiceChanged) }
    }

    /// A new id. 128 random bits are never drawn twice.
    pub(super) fn sid(&mut self, kind: SidKind) -> Sid {
        Sid::new(kind, self.bytes())
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }
}

/// Writes an entry of the audit log about a change, if it has an author.
pub(super) fn record(author: Option<&Author>, change: Audited, view: &mut Transaction<'_>) {
    if let Some(author) = author {
        author.record(change, view);
    }
}

/// The subject of changes that create records: they wait for each other.
pub(super) const NEW: Id = [0xff; 12];

impl Registry {
    /// Decides a change about the record `id` of kind `R`, and answers when it is durable. After an error nothing has changed.
    pub(super) async fn decide<R: Record, T: Send + 'static, E: From<Refusal> + Send + 'static>(
        &self,
        id: Id,
        decide: impl Fn(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        self.submit::<R, T, E>(id, decide).await.unwrap_or_else(|_| Err(Refusal::Stopping.into()))
    }

    /// The same without waiting.
    pub(super) fn submit<R: Record, T: Send + 'static, E: From<Refusal> + Send + 'static>(
        &self,
        mut id: Id,
        decide: impl Fn(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
    ) -> oneshot::Receiver<Result<T, E>> {
        // Ids of services have 24 bits: no subject of another kind has this byte.
        id[0] = 0x80 | R::KIND;
        self.inner.shards.router().decide(Subject { slot: SLOT, id }, decide)
    }

    pub(super) async fn change<T: Send + 'static>(
        &self,
        sid: Sid,
        decide: impl Fn(&mut Service, &mut NewIds<'_>) -> Result<T, RegistryError> + Send + 'static,
    ) -> Result<T, RegistryError> {
        self.change_service(sid, decide).await.map(|(_, answer)| answer)
    }

    /// The same, and returns the changed service.
    pub(super) async fn change_service<T: Send + 'static>(
        &self,
        sid: Sid,
        decide: impl Fn(&mut Service, &mut NewIds<'_>) -> Result<T, RegistryError> + Send + 'static,
    ) -> Result<(Service, T), RegistryError> {
        let id = service_id(self.service(&sid)?.id);
        let (now, author) = (self.wall(), self.author.clone());
        self.decide::<ServiceRecord, _, _>(id, move |view| {
            let Some(ServiceRecord::Present(before)) = view.get(id) else {
                return Err(RegistryError::NotFound(Item::Service));
            };
            let mut service = before.clone();
            let mut ids = NewIds::new(now, view.rng());
            let answer = decide(&mut service, &mut ids)?;
            let audited = ids.audited.in_service(Some(sid));
            if service != before {
                service.updated = now;
                view.put(id, Some(&ServiceRecord::Present(service.clone())), Durability::Durable);
                record(author.as_ref(), audited, view);
            }
            Ok((*service, answer))
        })
        .await
    }

    /// The wall clock, which dates everything that is displayed.
    /// The time of signatures.
    pub fn wall(&self) -> Timestamp {
        self.inner.shards.clock().wall()
    }
}
