//! The embedded store: a journal that makes batches durable, and snapshots that keep the journal short.
//!
//! Memory is the authority: the owners of the records have loaded everything and are the only writers. One thread joins
//! the batches of all owners into one append to the journal and one `fdatasync`, and calls them back. When the journal
//! has grown, the owners stream their records into a new snapshot, and the segments that it replaces go.
//! `docs/operate/data-directory.md` describes what is on the disk.

mod bulk;
mod checkpoint;
mod chunk;
mod database;
mod directory;
mod disk;
mod error;
mod frame;
mod health;
mod inspect;
mod journal;
mod merge;
mod open;
mod progress;
pub mod reading;
mod replay;
mod segment;
mod snapshot;
#[cfg(test)]
mod tests;
mod writer;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};

use onceward_core::clock::Clock;
use onceward_core::domain::Timestamp;
use tokio::sync::{OnceCell, oneshot};

use self::health::Health;
use self::open::Copies;
use self::replay::Strict;
use self::snapshot::OpenCopy;
use self::writer::{Batch, Pinned, WriterMessage};
use crate::{
    BoxFuture, Copied, CopyProgress, Done, Owner, Slots, Store, StoreError, StoreSizes, Visitor, Write,
};

pub use self::bulk::{NewStore, check_new};
pub use self::directory::{FORMAT, create_durably, key_fingerprint_in};
pub use self::error::{OpenError, advice};
pub use self::inspect::{CheckRecord, Examined, Finding, ReadOnly};
pub use self::open::{OpenOptions, StoreSettings};
pub use self::progress::Loading;
pub use self::replay::JournalSummary;

/// Appends to `buffer` the frame that a commit of `writes` adds to the journal, which is the whole work of a commit
/// before the disk. For measurements; the store does it itself.
pub fn append_frame(buffer: &mut Vec<u8>, sequence: u64, time: Timestamp, writes: &[Write]) {
    frame::encode(buffer, frame::FrameKind::Batch, sequence, time, writes.iter());
}

/// Durable records in a directory of this machine, for one process at a time. Dropping it without
/// [`Store::close`] is like a crash: nothing acknowledged is lost, the next start replays the
/// journal.
pub struct EmbeddedStore {
    reader: StoreReader,
    in_flight: Arc<AtomicUsize>,
    health: Arc<Health>,
    root: PathBuf,
    /// The files that the start has opened, for the first restore.
    start_copy: Mutex<Option<OpenCopy>>,
    /// Whether a copy is being made.
    copying: Arc<AtomicBool>,
    newest_time: Timestamp,
    /// Records in the snapshot that the start has opened.
    records_at_start: u64,
    closed: OnceCell<Result<(), StoreError>>,
}

impl std::fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmbeddedStore").finish_non_exhaustive()
    }
}

impl EmbeddedStore {
    /// Makes a checkpoint now, or repeats one that failed, and waits for its end. Without a change since the last one
    /// there is nothing to do. For tests.
    pub async fn checkpoint(&self) -> Result<(), StoreError> {
        let (reply, ended) = oneshot::channel();
        self.reader.writer.send(WriterMessage::Checkpoint(reply)).map_err(|_| StoreError::Closed)?;
        ended.await.map_err(|_| StoreError::Closed)?.map_err(StoreError::Unavailable)
    }

    fn submit(&self, batch: Batch) {
        if let Err(mpsc::SendError(WriterMessage::Commit(batch))) =
            self.reader.writer.send(WriterMessage::Commit(batch))
        {
            batch.answer(Err(StoreError::Closed));
        }
    }

    fn take_start_copy(&self) -> Option<OpenCopy> {
        self.start_copy.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Store for EmbeddedStore {
    fn commit(&self, writes: Vec<Write>, done: Done) {
        self.submit(Batch::new(writes, done, &self.in_flight));
    }

    fn commit_for_checkpoint(&self, writes: Vec<Write>, done: Done) {
        self.submit(Batch::new(writes, done, &self.in_flight).for_checkpoint());
    }

    fn restore(&self, slots: Slots, visit: Visitor) -> BoxFuture<'_, Result<(), StoreError>> {
        let reader = self.reader.clone();
        Box::pin(async move {
            let mut copy = self.take_start_copy();
            let read = tokio::task::spawn_blocking(move || reader.restore(&mut copy, slots, visit));
            read.await.map_err(|_| interrupted())?
        })
    }

    fn expected_records(&self) -> u64 {
        self.records_at_start
    }

    fn attach(&self, owners: Vec<Arc<dyn Owner>>) {
        let _ = self.reader.writer.send(WriterMessage::Attach(owners));
    }

    fn copy(&self, progress: Arc<CopyProgress>) -> BoxFuture<'_, Result<Copied, StoreError>> {
        let reader = self.reader.clone();
        Box::pin(async move {
            if self.copying.swap(true, Ordering::AcqRel) {
                let reason = "another copy is being made; try again when it is";
                return Err(StoreError::Unavailable(reason.into()));
            }
            let (guard, root) = (CopyGuard(self.copying.clone()), self.root.clone());
            let made = tokio::task::spawn_blocking(move || {
                let _guard = guard;
                reader.copy_all(&root, &progress)
            });
            made.await.unwrap_or_else(|_| Err(interrupted()))
        })
    }

    fn health(&self) -> Result<(), String> {
        self.health.check(self.reader.clock.now())
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
                drop(self.take_start_copy());
                let (reply, answer) = oneshot::channel();
                self.reader.writer.send(WriterMessage::Close(reply)).map_err(|_| ended())?;
                answer.await.unwrap_or_else(|_| Err(ended()))
            };
            self.closed.get_or_init(close).await.clone()
        })
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        let _ = self.reader.writer.send(WriterMessage::Abandon);
    }
}

/// Held while a copy is being made.
struct CopyGuard(Arc<AtomicBool>);

impl Drop for CopyGuard {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// Reads what the store has on the disk. Blocks.
#[derive(Clone)]
struct StoreReader {
    writer: Sender<WriterMessage>,
    journal: PathBuf,
    copies: Copies,
    clock: Arc<dyn Clock>,
    loading: Arc<Loading>,
}

impl StoreReader {
    fn pin(&self) -> Result<Pinned, StoreError> {
        let (reply, pinned) = mpsc::sync_channel(1);
        self.writer.send(WriterMessage::Pin(reply)).map_err(|_| StoreError::Closed)?;
        pinned.recv().map_err(|_| StoreError::Closed)
    }

    /// `copy` is a copy of a snapshot that is open already.
    fn restore(
        &self,
        copy: &mut Option<OpenCopy>,
        slots: Slots,
        mut visit: Visitor,
    ) -> Result<(), StoreError> {
        let (pinned, now) = (self.pin()?, self.clock.now());
        let manifest = &pinned.snapshot.manifest;
        self.loading.begin("loading", manifest.records);
        let mut records = 0;
        let mut from_snapshot = |key: crate::Key, expires, record: &[u8]| {
            records += 1;
            self.loading.at(records);
            if now < expires && slots.contains(key.slot) {
                visit(key, Some(record), expires);
            }
            Ok(())
        };
        // Records are whole; therefore those that were visited before a failure may come again.
        if let Err(error) = self.read_snapshot(copy, &pinned, &mut from_snapshot) {
            tracing::warn!(reason = ?error, "snapshot unreadable, reading it again");
            *copy = None;
            self.read_snapshot(copy, &pinned, &mut from_snapshot)
                .map_err(|error| unreadable(&self.copies.directory, error))?;
        }
        let mut from_journal = Strict(|record: frame::RecordRef<'_>| {
            if slots.contains(record.key.slot) {
                visit(record.key, record.put.filter(|_| now < record.expires), record.expires);
            }
        });
        replay::read(&self.journal, Some(manifest.covered), Some(pinned.until), &mut from_journal)
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(())
    }

    fn read_snapshot(
        &self,
        copy: &mut Option<OpenCopy>,
        pinned: &Pinned,
        visit: chunk::VisitRecord<'_>,
    ) -> Result<(), snapshot::SnapshotError> {
        if copy.as_ref().is_none_or(|copy| !Arc::ptr_eq(&copy.snapshot, &pinned.snapshot)) {
            *copy = None;
            *copy = Some(self.copies.open(&pinned.snapshot)?);
        }
        copy.as_ref().map_or(Ok(()), |copy| copy.read(visit))
    }

    fn copy_all(&self, root: &std::path::Path, progress: &CopyProgress) -> Result<Copied, StoreError> {
        let (pinned, now) = (self.pin()?, self.clock.now());
        let unreadable = |error| unreadable(&self.copies.directory, error);
        let copy = self.copies.open(&pinned.snapshot).map_err(unreadable)?;
        let merged = merge::Merge { copy: &copy, journal: &self.journal, until: Some(pinned.until), now };
        merge::into_file(&merged, root, progress).map_err(|error| StoreError::Unavailable(error.to_string()))
    }
}

fn interrupted() -> StoreError {
    StoreError::Unavailable("reading was interrupted".into())
}

fn ended() -> StoreError {
    StoreError::Unknown("the journal's thread has ended".into())
}

fn unreadable(directory: &std::path::Path, error: snapshot::SnapshotError) -> StoreError {
    StoreError::Unavailable(OpenError::snapshot(directory, error).to_string())
}
