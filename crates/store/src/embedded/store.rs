//! The store, as the owners of the records use it: a handle of the journal's thread and of the files.

use std::sync::{Arc, mpsc};

use onceward_core::clock::Clock;
use onceward_core::domain::Timestamp;
use parking_lot::Mutex;
use tokio::sync::{OnceCell, oneshot};

use super::directory::Directory;
use super::health::Health;
use super::live::{LiveRecords, State};
use super::mailbox::{Batch, Mailbox};
use super::writer::Writer;
use crate::{BoxFuture, Done, Owner, Slots, Store, StoreError, StoreSizes, Visitor, Write};

/// Durable records in a directory of this machine, for one process at a time. Dropping it without
/// [`Store::close`] is like a crash: nothing acknowledged is lost, the next start replays the
/// journal.
pub struct EmbeddedStore {
    pub(super) mailbox: Arc<Mailbox<Writer>>,
    pub(super) directory: Directory,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) health: Arc<Health>,
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
        self.mailbox.ask(move |writer| writer.checkpoint(reply));
        ended.await.map_err(|_| StoreError::Closed)?
    }

    fn take_found_at_start(&self) -> Option<LiveRecords> {
        self.found_at_start.lock().take()
    }
}

impl Store for EmbeddedStore {
    fn commit(&self, writes: Vec<Write>, done: Done) {
        if let Some(batch) = Batch::new(writes, done) {
            self.mailbox.commit(batch);
        }
    }

    fn restore(&self, slots: Slots, mut visit: Visitor) -> BoxFuture<'_, Result<(), StoreError>> {
        let (found, mailbox) = (self.take_found_at_start(), Arc::clone(&self.mailbox));
        let (directory, clock) = (self.directory.clone(), self.clock.clone());
        let health = Arc::clone(&self.health);
        let read = move || {
            let state = || {
                health.failure().map_or(Ok(()), |reason| Err(StoreError::Unavailable(reason)))?;
                let (reply, state) = mpsc::sync_channel(1);
                mailbox.ask(move |writer| drop(reply.send(writer.state())));
                let (snapshot, until) = state.recv().map_err(|_| StoreError::Closed)?;
                Ok::<State, StoreError>((snapshot, Some(until)))
            };
            let now = state()?;
            let found = match found.filter(|found| found.is_of(&now, slots)) {
                Some(found) => found,
                None => directory.find(slots, state)?,
            };
            found.each(clock.now(), &mut *visit)
        };
        Box::pin(async move {
            let read = tokio::task::spawn_blocking(read).await;
            read.map_err(|_| StoreError::Unavailable("reading was interrupted".into()))?
        })
    }

    fn attach(&self, owners: Vec<Owner>) {
        self.mailbox.ask(move |writer| writer.attach(owners));
    }

    fn health(&self) -> Result<(), String> {
        self.health.check()
    }

    fn failed(&self) -> BoxFuture<'_, String> {
        Box::pin(self.health.failed())
    }

    /// Memory may differ from what the disk has once the store has failed.
    fn owns_records(&self) -> bool {
        !self.health.has_failed()
    }

    fn sizes(&self) -> Option<StoreSizes> {
        Some(self.health.sizes())
    }

    fn newest_time(&self) -> Timestamp {
        self.newest_time
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let close = || async {
                drop(self.take_found_at_start());
                let (reply, answer) = oneshot::channel();
                self.mailbox.ask(move |writer| writer.close(reply));
                tokio::select! {
                    biased;
                    answer = answer => answer.unwrap_or(Err(StoreError::Closed)),
                    // Its thread may hang for ever.
                    reason = self.health.failed() => Err(StoreError::Unavailable(reason)),
                }
            };
            self.closed.get_or_init(close).await.clone()
        })
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.mailbox.ask(Writer::abandon);
    }
}
