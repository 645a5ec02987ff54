//! Changes: one after the other, durable before anybody sees them.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use rand::Rng as _;
use rand::rngs::StdRng;
use tokio::sync::OwnedMutexGuard;

use super::record::KEPT_UNTIL;
use super::{Inner, Registry, RegistryError};
use crate::domain::{Sid, SidKind};
use crate::store::{Key, Outcome, Revision, StoreError, Write};

/// Changes that may wait for their turn. Each waits for one commit, so even the last waits for seconds at most.
pub(super) const WAITING: usize = 256;

/// What whoever changes something has for itself.
pub(super) struct Writer {
    pub(super) rng: StdRng,
    /// Which version of each record is on the disk; `None` where nobody knows after a commit of unknown outcome.
    pub(super) revisions: HashMap<Key, Option<Revision>>,
    /// The next id of a service. Never goes back.
    pub(super) next_service: u32,
    /// The next number of a credential's record.
    pub(super) next_credential: u64,
}

impl Writer {
    /// A new id. 128 random bits are never drawn twice.
    pub(super) fn sid(&mut self, kind: SidKind) -> Sid {
        Sid::new(kind, self.bytes())
    }

    /// Random bytes.
    pub(super) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }
}

impl Registry {
    /// Runs one change alone, to its end even when whoever asked for it has gone.
    pub(super) async fn alone<T, F, C>(&self, change: C) -> Result<T, RegistryError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, RegistryError>> + Send + 'static,
        C: FnOnce(Arc<Inner>, OwnedMutexGuard<Writer>) -> F + Send + 'static,
    {
        let inner = Arc::clone(&self.0);
        let place = Arc::clone(&self.0.waiting).try_acquire_owned().map_err(|_| {
            RegistryError::Store(format!("{WAITING} changes are waiting for the disk already; try again"))
        })?;
        let carried_out = tokio::spawn(async move {
            let _place = place;
            let writer = Arc::clone(&inner.writer).lock_owned().await;
            change(inner, writer).await
        });
        carried_out
            .await
            .unwrap_or_else(|_| Err(RegistryError::Store("the change was interrupted".to_owned())))
    }
}

impl Inner {
    /// Makes one record durable, or removes it.
    ///
    /// # Errors
    /// [`RegistryError::Store`]: nothing has changed, as far as the store can say. What it could not say is asked again
    /// before the record's next change.
    pub(super) async fn write(
        &self,
        writer: &mut Writer,
        key: Key,
        put: Option<Bytes>,
    ) -> Result<(), RegistryError> {
        let expect = match writer.revisions.get(&key) {
            None => Revision::ABSENT,
            Some(Some(revision)) => *revision,
            Some(None) => self.revision_of(key).await?.0,
        };
        let write = |expect| Write { key, expect, put: put.clone(), gc_after: KEPT_UNTIL };
        let mut answer = self.store.cas(vec![write(expect)], self.commit_timeout).await;
        if self.store.memory_is_authority()
            && let Ok([Outcome::Conflict(present)]) = answer.as_deref()
        {
            // Only a commit of our own, whose end we did not hear, can have come in between.
            let expect = present.as_ref().map_or(Revision::ABSENT, |(revision, _)| *revision);
            answer = self.store.cas(vec![write(expect)], self.commit_timeout).await;
        }
        let outcome = match answer {
            Ok(outcomes) => outcomes.into_iter().next(),
            Err(StoreError::Unavailable(why)) => return Err(RegistryError::Store(why)),
            Err(StoreError::Unknown(why)) => {
                writer.revisions.insert(key, None);
                let (revision, present) = self.revision_of(key).await?;
                writer.revisions.insert(key, Some(revision));
                if present == put {
                    Some(Outcome::Applied(revision))
                } else {
                    return Err(RegistryError::Store(why));
                }
            }
        };
        match outcome {
            Some(Outcome::Applied(revision)) => {
                writer.revisions.insert(key, Some(revision));
                Ok(())
            }
            Some(Outcome::Conflict(present)) => {
                writer.revisions.insert(key, present.map(|(revision, _)| revision));
                Err(RegistryError::Store(
                    "somebody else has changed this at the same time; try again".to_owned(),
                ))
            }
            None => Err(RegistryError::Store("the store gave no answer".to_owned())),
        }
    }

    /// What is under a key now.
    async fn revision_of(&self, key: Key) -> Result<(Revision, Option<Bytes>), RegistryError> {
        let keys = [key];
        let found = self.store.load(&keys, self.commit_timeout).await;
        let found =
            found.map_err(|error| RegistryError::Store(error.to_string()))?.into_iter().next().flatten();
        Ok(found.map_or((Revision::ABSENT, None), |(revision, record)| (revision, Some(record))))
    }

    /// Tells whoever keeps something that was made of the services.
    pub(super) fn announce(&self) {
        self.generation.send_modify(|generation| *generation += 1);
    }
}
