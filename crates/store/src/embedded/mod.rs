//! The embedded store: a journal that makes changes durable, and a snapshot they rest in.
//!
//! Memory is the authority: whoever uses the store has loaded everything and is the only writer,
//! so there are no conflicts and revisions are not compared. One thread joins the batches of all
//! callers into one append to the journal and one `fdatasync`, and answers them. Every few seconds
//! a second thread brings what has changed into the snapshot and removes the journal segments that
//! carried it. `docs/data-directory.md` describes what is on the disk,
//! `docs/decisions/0002-journal.md` and `0013-snapshot.md` why.

mod bulk;
mod changes;
mod copy;
mod directory;
mod disk;
mod error;
mod extent;
mod frame;
mod health;
mod inspect;
mod journal;
mod message;
mod open;
mod prepare;
mod progress;
pub mod reading;
mod replay;
mod round;
mod segment;
mod snapshot;
#[cfg(test)]
mod tests;
mod watch;
mod writer;

use std::sync::Arc;
use std::sync::mpsc::TrySendError;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OnceCell, oneshot};

use self::changes::Change;
use self::copy::CopyRequest;
use self::health::Health;
use self::message::{Batch, Message};
use self::open::ToWriter;
use self::progress::Progress;
use self::snapshot::Snapshot;
use super::copy::LONGEST_RECORD;
use super::{
    BoxFuture, Copied, CopyProgress, Key, Kind, Outcome, Revision, Store, StoreError, Visitor, Write,
};
use onceward_core::clock::Clock;
use onceward_core::domain::Timestamp;

pub use self::bulk::{NewStore, check_new};
pub use self::directory::{create_durably, key_fingerprint_in};
pub use self::error::{OpenError, advice};
pub use self::inspect::{Examined, Finding, ReadOnly};
pub use self::open::OpenOptions;
pub use self::progress::Loading;

/// Appends to `buffer` the frame that a commit of `writes` adds to the journal: all that a commit costs before the
/// disk. For measurements; the store does it by itself.
pub fn append_frame(buffer: &mut Vec<u8>, sequence: u64, time: Timestamp, writes: &[Write]) {
    frame::encode(buffer, frame::FrameKind::Batch, sequence, time, writes.iter());
}

/// Durable records in a directory of this machine, for one process at a time. Dropping it without
/// [`Store::close`] is like a crash: nothing acknowledged is lost, the next start replays the
/// journal.
pub struct EmbeddedStore {
    writer: ToWriter,
    snapshot: Arc<Snapshot>,
    health: Arc<Health>,
    clock: Arc<dyn Clock>,
    loading: Arc<Loading>,
    newest_time: Timestamp,
    closed: OnceCell<Result<(), StoreError>>,
}

impl std::fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmbeddedStore").finish_non_exhaustive()
    }
}

impl EmbeddedStore {
    /// The newest time that the directory had when it was opened. Decisions must not be made by an earlier one.
    pub fn newest_time(&self) -> Timestamp {
        self.newest_time
    }

    fn reader(&self) -> Reader {
        Reader {
            writer: self.writer.clone(),
            snapshot: self.snapshot.clone(),
            clock: self.clock.clone(),
            loading: self.loading.clone(),
        }
    }

    fn submit(&self, writes: Vec<Write>) -> Result<oneshot::Receiver<Answer>, StoreError> {
        let longest = writes.iter().filter_map(|write| write.put.as_ref()).map(Bytes::len).max();
        if let Some(bytes) = longest.filter(|bytes| *bytes > LONGEST_RECORD) {
            return Err(StoreError::Unavailable(format!("a record of {bytes} bytes is too large")));
        }
        let bytes = frame::encoded_bytes(&writes);
        if bytes > frame::MAX_FRAME_BYTES - frame::FRAME_OVERHEAD {
            return Err(StoreError::Unavailable(format!("a batch of {bytes} bytes is too large")));
        }
        let (reply, answer) = oneshot::channel();
        match self.writer.try_send(Message::Commit(Batch { writes, bytes, reply })) {
            Ok(()) => Ok(answer),
            Err(TrySendError::Full(_)) => {
                Err(StoreError::Unavailable("too many batches are waiting for the disk".into()))
            }
            Err(TrySendError::Disconnected(_)) => Err(closed()),
        }
    }
}

impl Store for EmbeddedStore {
    fn load<'a>(
        &'a self,
        keys: &'a [Key],
        timeout: Duration,
    ) -> BoxFuture<'a, Result<Vec<Option<(Revision, Bytes)>>, StoreError>> {
        let (reader, keys) = (self.reader(), keys.to_vec());
        Box::pin(async move {
            let found = tokio::task::spawn_blocking(move || reader.load(keys));
            match tokio::time::timeout(timeout, found).await {
                Ok(found) => found.unwrap_or_else(|_| Err(interrupted())),
                Err(_) => Err(StoreError::Unavailable(format!("nothing was read within {timeout:?}"))),
            }
        })
    }

    fn cas(&self, writes: Vec<Write>, timeout: Duration) -> BoxFuture<'_, Result<Vec<Outcome>, StoreError>> {
        Box::pin(async move {
            if writes.is_empty() {
                return Ok(Vec::new());
            }
            let mut answer = self.submit(writes)?;
            if let Ok(answer) = tokio::time::timeout(timeout, &mut answer).await {
                return answer.unwrap_or_else(|_| Err(ended()));
            }
            // From here on the writer knows that nobody listens; what it said before counts.
            answer.close();
            answer.try_recv().unwrap_or_else(|_| {
                // If the disk hangs the log is to say so, also when nobody asks for health.
                let _ = self.health();
                Err(unanswered(timeout))
            })
        })
    }

    fn scan(&self, kind: Kind, visit: Visitor) -> BoxFuture<'_, Result<(), StoreError>> {
        let reader = self.reader();
        Box::pin(async move {
            let scanned = tokio::task::spawn_blocking(move || reader.scan(kind, visit));
            scanned.await.unwrap_or_else(|_| Err(interrupted()))
        })
    }

    fn about(&self, kind: Kind) -> u64 {
        self.snapshot.about(kind)
    }

    fn copy(&self, progress: Arc<CopyProgress>) -> BoxFuture<'_, Result<Copied, StoreError>> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let (writer, request) = (self.writer.clone(), CopyRequest { progress, reply });
            let sent = tokio::task::spawn_blocking(move || writer.send(Message::Copy(request)).is_ok());
            if !sent.await.unwrap_or(false) {
                return Err(closed());
            }
            answer
                .await
                .unwrap_or_else(|_| Err("the store is closed".into()))
                .map_err(StoreError::Unavailable)
        })
    }

    fn memory_is_authority(&self) -> bool {
        true
    }

    fn health(&self) -> Result<(), String> {
        self.health.check(self.clock.now())
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let close = || async {
                let (reply, answer) = oneshot::channel();
                let writer = self.writer.clone();
                let sent =
                    tokio::task::spawn_blocking(move || writer.send(Message::Close(reply)).is_ok()).await;
                if !sent.unwrap_or(false) {
                    return Err(ended());
                }
                answer.await.unwrap_or_else(|_| Err(ended()))
            };
            self.closed.get_or_init(close).await.clone()
        })
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        if let Err(TrySendError::Full(message)) = self.writer.try_send(Message::Abandon) {
            // Rare: wait for a place in the queue, but not here.
            let writer = self.writer.clone();
            std::thread::spawn(move || writer.send(message));
        }
    }
}

type Answer = Result<Vec<Outcome>, StoreError>;

/// Reads from the journal's writer and from the snapshot. Blocks.
struct Reader {
    writer: ToWriter,
    snapshot: Arc<Snapshot>,
    clock: Arc<dyn Clock>,
    loading: Arc<Loading>,
}

impl Reader {
    fn load(&self, keys: Vec<Key>) -> Result<Vec<Option<(Revision, Bytes)>>, StoreError> {
        let now = self.clock.now();
        let changes = self.ask(|reply| Message::Look(keys.clone(), reply))?;
        let unchanged: Vec<Key> = keys
            .into_iter()
            .zip(&changes)
            .filter(|(_, change)| change.is_none())
            .map(|(key, _)| key)
            .collect();
        let mut found = self.snapshot.find(&unchanged).map_err(|error| unreadable(&error))?.into_iter();
        let one = |change: Option<Change>| {
            if let Some(change) = change {
                return change.alive_at(now).map(|record| (Revision(change.sequence), record.clone()));
            }
            let entry = found.next().flatten()?;
            entry.alive_at(now).map(|record| (Revision(entry.sequence), record.clone()))
        };
        Ok(changes.into_iter().map(one).collect())
    }

    fn scan(&self, kind: Kind, mut visit: Visitor) -> Result<(), StoreError> {
        let now = self.clock.now();
        let overlay = self.ask(|reply| Message::Overlay(kind, reply))?;
        for (key, change) in overlay.of_kind(kind) {
            if let Some(record) = change.alive_at(now) {
                visit(*key, Revision(change.sequence), record);
            }
        }
        let mut records = 0;
        let what = match kind {
            Kind::Number => "loading the numbers",
            Kind::Track => "loading the list of sends",
            Kind::Service | Kind::Credential => "loading the services and their keys",
            Kind::Counter | Kind::SafeNumber => "loading the limits",
            Kind::Event => "loading what webhooks are to be told",
            Kind::Answered => "loading the answers kept for idempotency keys",
        };
        let mut progress = Progress::of(what, self.snapshot.about(kind), &self.clock, &self.loading);
        let mut entries = self.snapshot.of_kind(kind).map_err(|error| unreadable(&error))?;
        while let Some(entry) = entries.next_entry().map_err(|error| unreadable(&error))? {
            records += 1;
            progress.at(records, records);
            if let Some(record) = entry.alive_at(now)
                && overlay.change_of(&entry.key).is_none()
            {
                visit(entry.key, Revision(entry.sequence), record);
            }
        }
        tracing::debug!(?kind, records, "the snapshot was read");
        Ok(())
    }

    fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Message) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.writer.send(question(reply)).map_err(|_| closed())?;
        answer.blocking_recv().map_err(|_| closed())
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".into())
}

fn interrupted() -> StoreError {
    StoreError::Unavailable("reading was interrupted".into())
}

fn ended() -> StoreError {
    StoreError::Unknown("the journal's thread has ended".into())
}

fn unanswered(timeout: Duration) -> StoreError {
    StoreError::Unknown(format!("the disk did not answer within {timeout:?}"))
}

fn unreadable(error: &snapshot::SnapshotError) -> StoreError {
    StoreError::Unavailable(format!("the snapshot cannot be read: {error}"))
}
