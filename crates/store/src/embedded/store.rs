//! The store, as the owners of the records use it: a handle of the journal's thread and of the files.

use std::sync::{Arc, mpsc};

use onceward_core::clock::Clock;
use onceward_core::domain::Timestamp;
use parking_lot::Mutex;
use tokio::sync::{OnceCell, oneshot};

use super::directory::Directory;
use super::frame::{FRAME_HEAD, MAX_FRAME_BYTES};
use super::live::{LiveRecords, State};
use super::writer::{Batch, Shared};
use crate::record::RECORD_HEAD;
use crate::{
    BoxFuture, Done, LONGEST_RECORD, Owner, RecordRef, Slots, Store, StoreError, StoreSizes, Visitor, Write,
};

/// Durable records in a directory of this machine, for one process at a time. Dropping it without
/// [`Store::close`] is like a crash: nothing acknowledged is lost, the next start replays the
/// journal.
pub struct EmbeddedStore {
    pub(super) shared: Arc<Shared>,
    pub(super) directory: Directory,
    pub(super) clock: Arc<dyn Clock>,
    /// What the start has found, for the first restore.
    pub(super) found_at_start: Mutex<Option<LiveRecords>>,
    pub(super) newest_time: Timestamp,
    pub(super) closed: OnceCell<Result<(), StoreError>>,
}

impl std::fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmbeddedStore").finish_non_exhaustive()
    }
}

impl EmbeddedStore {
    /// Makes a checkpoint now and waits for its end. Without a change since the last one there is little to do. For
    /// tests.
    pub async fn checkpoint(&self) -> Result<(), StoreError> {
        let (reply, ended) = oneshot::channel();
        self.shared.ask(move |writer| writer.wanted.push(reply));
        ended.await.map_err(|_| StoreError::Closed)?
    }
}

impl Store for EmbeddedStore {
    fn commit(&self, writes: Vec<Write>, done: Done) {
        let lengths = || writes.iter().map(|write| RecordRef::from(write).encoded_bytes());
        let (bytes, longest) = (lengths().sum(), lengths().max().unwrap_or_default());
        if longest > RECORD_HEAD + LONGEST_RECORD || bytes > MAX_FRAME_BYTES - FRAME_HEAD {
            let reason = format!("a batch of {bytes} bytes, {longest} in one record, is too large");
            return done(Err(StoreError::Unavailable(reason)));
        }
        self.shared.commit(Batch { writes, bytes, done });
    }

    fn restore(&self, slots: Slots, mut visit: Visitor) -> BoxFuture<'_, Result<(), StoreError>> {
        let (found, shared) = (self.found_at_start.lock().take(), Arc::clone(&self.shared));
        let (directory, clock) = (self.directory.clone(), self.clock.clone());
        let read = move || {
            let state = || {
                shared.health.failure().map_or(Ok(()), |reason| Err(StoreError::Unavailable(reason)))?;
                let (reply, state) = mpsc::sync_channel(1);
                shared.ask(move |writer| {
                    let state = (writer.snapshot.clone(), Some(writer.journal.last.sequence));
                    let _ = reply.send(state);
                });
                state.recv().map_err(|_| StoreError::Closed)
            };
            let now: State = state()?;
            let found = match found.filter(|found| found.is_of(&now)) {
                Some(found) => found,
                None => LiveRecords::find(&directory, state)?,
            };
            found.each(clock.now(), &mut |key, expires, record| {
                if slots.contains(key.slot) { visit(key, expires, record) } else { Ok(()) }
            })
        };
        Box::pin(async move {
            let read = tokio::task::spawn_blocking(read).await;
            read.map_err(|_| StoreError::Unavailable("reading was interrupted".into()))?
        })
    }

    fn attach(&self, owners: Vec<Owner>) {
        self.shared.ask(move |writer| writer.owners = owners);
    }

    fn health(&self) -> Result<(), String> {
        self.shared.health.check()
    }

    fn failed(&self) -> BoxFuture<'_, String> {
        Box::pin(self.shared.health.failed())
    }

    /// Memory may differ from what the disk has once the store has failed.
    fn owns_records(&self) -> bool {
        self.shared.health.failure().is_none()
    }

    fn sizes(&self) -> Option<StoreSizes> {
        Some(self.shared.health.sizes())
    }

    fn newest_time(&self) -> Timestamp {
        self.newest_time
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let close = || async {
                drop(self.found_at_start.lock().take());
                let (reply, answer) = oneshot::channel();
                self.shared.ask(move |writer| writer.closing = Some(reply));
                tokio::select! {
                    biased;
                    answer = answer => answer.unwrap_or(Err(StoreError::Closed)),
                    // Its thread may hang for ever.
                    reason = self.shared.health.failed() => Err(StoreError::Unavailable(reason)),
                }
            };
            self.closed.get_or_init(close).await.clone()
        })
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.shared.ask(|writer| writer.is_abandoned = true);
    }
}
