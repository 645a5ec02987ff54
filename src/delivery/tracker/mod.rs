//! What became of every send, and what is still to be sent.
//!
//! One record for each verification, with a row for each attempt. Notes change memory and are
//! written a moment later, many in one batch, through the store that the numbers' records go to;
//! nobody waits for them, except for a follow-up that has to survive a crash. Of what is written,
//! memory keeps only a small index and the follow-ups.

mod flush;
mod index;
mod list;
mod look;
mod note;
mod open;
mod pending;
mod plans;
mod record;
mod state;
mod status;
#[cfg(test)]
mod tests;
mod track;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use crate::clock::{Clock, SystemClock};
use crate::config::TrackerSettings;
use crate::domain::{GatewayName, Timestamp, TrackKey};
use crate::store::{MemoryStore, Store, StoreError};
use flush::Flusher;
use index::Index;
use plans::Plans;
use state::State;

pub use crate::gateway::{Receipt, ReceiptStatus};
pub use list::{Listing, TrackQuery, TrackRow};
pub use look::{Look, Seen, seen};
pub use note::{Dropped, Due, FollowUp, Hop, Parcel, Reason, SendNote, SendStatus, VerifyStatus};
pub use open::TrackerError;
pub use record::{TrackRecordError, decode, encode, key_of, rewritten, track_of};
pub use status::{StatusFilter, receipt_from_name};
pub use track::{Plan, Row, Track};

/// How long notes collect before they are written. What happens to one verification meanwhile is one
/// write; a crash loses at most so much of the list, and no follow-up that was promised.
const COLLECT: Duration = Duration::from_millis(250);

/// The pause before a store in trouble is tried again.
const TROUBLE: Duration = Duration::from_secs(1);

/// Time for the store to answer, without a limit of the caller's.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A cheap handle on the tracker.
#[derive(Clone)]
pub struct Tracker {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    /// Whoever holds it writes.
    flusher: tokio::sync::Mutex<Flusher>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    settings: TrackerSettings,
    commit_timeout: Duration,
    wake: Arc<Notify>,
    earlier: Arc<Notify>,
}

impl Default for Tracker {
    fn default() -> Self {
        Self::in_memory(Arc::new(SystemClock::start()))
    }
}

impl Tracker {
    /// The greatest number of an attempt.
    pub const LAST_ROW: u8 = track::ROWS_AT_MOST - 1;

    /// Reads what was remembered and goes on from there: follow-ups that were planned, or handed out
    /// and not begun, are due again. Runs a task that writes, until [`Tracker::close`] or until
    /// the last handle is gone. Needs a tokio runtime.
    ///
    /// # Errors
    /// When the store cannot be read, or a record in it cannot be understood.
    pub async fn open(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        settings: TrackerSettings,
        commit_timeout: Duration,
    ) -> Result<Self, TrackerError> {
        let remembered = open::read(&store, settings, clock.now()).await?;
        let (index, plans, outdated) = remembered.into_parts();
        let begins_over = index.is_over(&settings) || !outdated.is_empty();
        let tracker = Self::with(store, clock, settings, commit_timeout, State::new(settings, index, plans));
        tracker.inner.flusher.lock().await.remove(outdated);
        if begins_over {
            tracker.inner.wake.notify_one();
        }
        tokio::spawn(write_behind(Arc::downgrade(&tracker.inner), Arc::clone(&tracker.inner.wake)));
        Ok(tracker)
    }

    /// A tracker without a disk and without a task of its own, for tests and for programs that want
    /// to keep nothing.
    pub fn in_memory(clock: Arc<dyn Clock>) -> Self {
        let settings = TrackerSettings::default();
        let state = State::new(settings, Index::default(), Plans::default());
        Self::with(Arc::new(MemoryStore::new()), clock, settings, TIMEOUT, state)
    }

    fn with(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        settings: TrackerSettings,
        commit_timeout: Duration,
        state: State,
    ) -> Self {
        let (wake, earlier) = (Arc::clone(&state.wake), Arc::clone(&state.earlier));
        let (state, flusher) = (Mutex::new(state), tokio::sync::Mutex::default());
        Self {
            inner: Arc::new(Inner { state, flusher, store, clock, settings, commit_timeout, wake, earlier }),
        }
    }

    /// Remembers a delivery soon: nobody waits for the disk. When far too much waits for the disk
    /// already, the note is dropped, and the log says so.
    pub fn note_send(&self, note: SendNote) {
        let now = self.inner.clock.now();
        self.inner.state().send(note, now);
    }

    /// Remembers a delivery, and returns when that is durable: for what must go on after a crash.
    /// What comes next is planned when it is durable, and not before.
    ///
    /// # Errors
    /// When it is not durable. Nothing is then planned for this verification.
    pub async fn note_send_durably(&self, note: SendNote) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        let now = self.inner.clock.now();
        self.inner.state().send_urgently(note, now, reply);
        let inner = Arc::clone(&self.inner);
        // In a task, because a commit must be awaited to its end even if the caller goes away. The
        // first of several writes for all of them.
        tokio::spawn(async move { inner.write_urgent().await });
        answer.await.unwrap_or_else(|_| Err(StoreError::Unknown("the tracker has ended".into())))
    }

    /// The number of a verification's next attempt. The last of the rows that are remembered is written
    /// over by whatever comes after it, so no number is greater than [`Tracker::LAST_ROW`].
    pub fn attempts(&self, key: TrackKey) -> u8 {
        self.inner.state().index.get(&key).map_or(0, |slot| slot.attempts).min(Self::LAST_ROW)
    }

    /// Remembers what became of a verification soon. `Success` ends whatever is planned for it.
    pub fn note_check(&self, key: TrackKey, status: VerifyStatus) {
        let now = self.inner.clock.now();
        self.inner.state().check(key, status, now);
    }

    /// Remembers what a provider reported. Applying the same report again changes nothing, and one
    /// about an attempt that is not known is ignored.
    ///
    /// A next step that waits for it becomes due at once when the latest attempt has failed, and is
    /// dropped when that arrived, or failed in a way after which nothing is tried again.
    pub fn note_receipt(&self, receipt: &Receipt) {
        let now = self.inner.clock.now();
        self.inner.state().receipt(receipt.clone(), now);
    }

    /// A gateway is about to be asked to make what is planned. Returns when that is durable: after a
    /// crash nobody knows whether it was made, so it is not due again.
    ///
    /// # Errors
    /// When it is not durable: then it must not be made now. It is still planned, and due again soon.
    pub async fn begin_follow_up(&self, key: TrackKey) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        self.inner.state().begin(key, reply);
        let inner = Arc::clone(&self.inner);
        tokio::spawn(async move { inner.write_urgent().await });
        let begun = answer.await.unwrap_or_else(|_| Err(StoreError::Unknown("the tracker has ended".into())));
        if begun.is_err() {
            let due = self.inner.clock.now().plus(TROUBLE);
            self.inner.state().begin_again(key, due);
        }
        begun
    }

    /// Ends what is planned for a verification, and remembers why: the attempt that was to be
    /// repeated is `unsendable`. Without a plan that is the latest attempt, unless it was sent.
    pub fn drop_follow_up(&self, key: TrackKey, why: Dropped) {
        self.inner.state().drop_follow_up(key, why);
    }

    /// Takes the follow-ups whose time has come, the earliest 256. Each is handed out once: whoever
    /// takes one begins it before a gateway is asked, and notes what came of it, or drops it. After a
    /// crash it is due again if it was not begun, and so is one that nobody came back for a minute
    /// after it has expired.
    pub fn take_due(&self, now: Timestamp) -> Vec<Due> {
        self.inner.state().take_due(now)
    }

    /// When the next follow-up is due.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.inner.state().plans.next_due()
    }

    /// Returns when a follow-up was planned that is due before all others. For one waiter, which
    /// sleeps until [`Tracker::next_due`] or until this returns; what comes while nobody waits is
    /// told to the next wait.
    pub async fn earlier_due(&self) {
        self.inner.earlier.notified().await;
    }

    /// The gateway and the id of the last message that a gateway took for a verification, for the
    /// feedback to its provider. Reads the disk if it must.
    pub async fn accepted_message(&self, key: TrackKey) -> Option<(GatewayName, String)> {
        let flusher = self.inner.flusher.lock().await;
        flusher.accepted(&self.inner, key).await
    }

    /// Writes down everything that was noted.
    ///
    /// # Errors
    /// When the store refuses; it is tried again later.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let inner = Arc::clone(&self.inner);
        let flushed = tokio::spawn(async move { inner.flush().await }).await;
        flushed.unwrap_or_else(|_| Err(StoreError::Unknown("the tracker was interrupted".into())))
    }

    /// The same, before the store is closed. Nothing may be noted after it.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.flush().await
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes until nobody waits. Others may write in between.
    async fn write_urgent(&self) {
        while self.state().pending.is_urgent() {
            // Whoever waits is told about an error.
            let _ = self.flusher.lock().await.write_batch(self).await;
        }
    }

    /// Writes what waits now. What comes meanwhile collects for the next time.
    async fn flush(&self) -> Result<(), StoreError> {
        let mark = self.state().pending.mark();
        while !self.state().pending.has_passed(mark) {
            self.flusher.lock().await.write_batch(self).await?;
        }
        while self.flusher.lock().await.forget(self, self.clock.now()).await? {}
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // So that the task ends.
        self.wake.notify_one();
    }
}

async fn write_behind(tracker: Weak<Inner>, wake: Arc<Notify>) {
    loop {
        wake.notified().await;
        let mut pause = COLLECT;
        loop {
            // Not while the last handle goes away: there is nobody left to write for.
            if tracker.strong_count() == 0 {
                return;
            }
            tokio::time::sleep(pause).await;
            let Some(inner) = tracker.upgrade() else { return };
            match inner.flush().await {
                // Only the first of those that wait wakes this task.
                Ok(()) if inner.state().pending.is_empty() => break,
                Ok(()) => pause = COLLECT,
                Err(_) => pause = TROUBLE,
            }
        }
    }
}
