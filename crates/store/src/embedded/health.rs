//! The present trouble of the store, for `/readyz` and the log.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use onceward_core::domain::Timestamp;

/// A write that takes longer than this is reported: the disk hangs.
const HANGS_AFTER: Duration = Duration::from_secs(5);

/// Consecutive failed checkpoints after which `/readyz` reports them. The journal keeps the data, therefore one failure
/// does not make the server unready.
const REPORTED_AFTER_CHECKPOINTS: u32 = 3;

/// Shared by the threads of a store, which report, and its handle.
#[derive(Debug, Default)]
pub(super) struct Health {
    journal: Mutex<Option<String>>,
    reserve: Mutex<Option<String>>,
    checkpoint: Mutex<Option<String>>,
    /// The number of consecutive failed checkpoints.
    failed_checkpoints: AtomicU32,
    /// The thread that ended although the store is in use.
    ended: OnceLock<&'static str>,
    /// When the write that is in progress began, in milliseconds of the clock; 0 for none.
    writing_since: AtomicU64,
    /// Since when batches wait for room in the journal, in the same way.
    waiting_since: AtomicU64,
    hang: Mutex<Option<String>>,
}

impl Health {
    /// A batch could not be written, or can be again. Logged once per change.
    pub(super) fn journal(&self, trouble: Option<&str>) {
        match change(&self.journal, trouble) {
            Some(true) => tracing::error!(reason = trouble, "journal unavailable, writes refused"),
            Some(false) => tracing::info!("journal available again"),
            None => {}
        }
    }

    /// The next segment could not be reserved, or could be again. Logged once per change.
    pub(super) fn reserve(&self, trouble: Option<&str>) {
        match change(&self.reserve, trouble) {
            Some(true) => {
                tracing::warn!(reason = trouble, "journal segment not reserved");
            }
            Some(false) => tracing::info!("journal segment reserved again"),
            None => {}
        }
    }

    /// Whether the last attempt to write to the journal failed.
    pub(super) fn journal_in_trouble(&self) -> bool {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Whether the last attempt to reserve a segment failed.
    pub(super) fn reserve_in_trouble(&self) -> bool {
        self.reserve_trouble().is_some()
    }

    /// Why the last attempt to reserve a segment failed, if it did.
    pub(super) fn reserve_trouble(&self) -> Option<String> {
        self.reserve.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A checkpoint ended. Logged once per change.
    pub(super) fn checkpoint(&self, trouble: Option<&str>) {
        match change(&self.checkpoint, trouble) {
            Some(true) => {
                tracing::error!(reason = trouble, "checkpoint failed, will be repeated");
            }
            Some(false) => tracing::info!("checkpoint succeeded again"),
            None => {}
        }
        match trouble {
            Some(_) => drop(self.failed_checkpoints.fetch_add(1, Ordering::Relaxed)),
            None => self.failed_checkpoints.store(0, Ordering::Relaxed),
        }
    }

    /// Why the last checkpoint failed, if it did.
    pub(super) fn checkpoint_trouble(&self) -> Option<String> {
        self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A thread ended although the store is in use. Only a restart helps.
    pub(super) fn thread_ended(&self, thread: &'static str) {
        if self.ended.set(thread).is_ok() {
            tracing::error!(thread, "store thread ended; restart the server");
        }
    }

    /// A write begins.
    pub(super) fn write_begins(&self, now: Timestamp) {
        self.writing_since.store(now.as_millis().max(1), Ordering::Relaxed);
    }

    /// The write has ended.
    pub(super) fn write_ended(&self) {
        self.writing_since.store(0, Ordering::Relaxed);
        self.hang(None);
    }

    /// Records since when batches wait for room in the journal; `None` if none waits.
    pub(super) fn waits(&self, now: Option<Timestamp>) {
        match now {
            Some(now) => {
                let since = now.as_millis().max(1);
                let _ = self.waiting_since.compare_exchange(0, since, Ordering::Relaxed, Ordering::Relaxed);
            }
            None if self.waiting_since.load(Ordering::Relaxed) != 0 => {
                self.waiting_since.store(0, Ordering::Relaxed);
                self.hang(None);
            }
            None => {}
        }
    }

    /// Logged once per change.
    fn hang(&self, trouble: Option<&str>) {
        match change(&self.hang, trouble) {
            Some(true) => {
                tracing::error!(reason = trouble, "disk not responding, no write acknowledged");
            }
            Some(false) => tracing::info!("disk responding again"),
            None => {}
        }
    }

    fn hangs(&self, now: Timestamp) -> Option<String> {
        let seconds = |since: &AtomicU64| {
            let since = since.load(Ordering::Relaxed);
            let lasts = now.since(Timestamp::from_millis(since));
            (since != 0 && lasts > HANGS_AFTER).then_some(lasts.as_secs())
        };
        let write = seconds(&self.writing_since)
            .map(|seconds| format!("the disk has not finished a write for {seconds} s"));
        write.or_else(|| {
            let seconds = seconds(&self.waiting_since)?;
            Some(format!(
                "the journal is full, and for {seconds} s the disk has not finished what makes room in it"
            ))
        })
    }

    /// `Ok` while writes can be expected to succeed.
    pub(super) fn check(&self, now: Timestamp) -> Result<(), String> {
        if let Some(thread) = self.ended.get() {
            return Err(format!("the {thread} thread has ended; restart the server"));
        }
        if let Some(trouble) = self.hangs(now) {
            self.hang(Some(&trouble));
            return Err(trouble);
        }
        if let Some(trouble) = &*self.journal.lock().unwrap_or_else(PoisonError::into_inner) {
            return Err(format!("the journal cannot be written: {trouble}"));
        }
        let failed = self.failed_checkpoints.load(Ordering::Relaxed);
        match self.checkpoint_trouble() {
            Some(trouble) if failed >= REPORTED_AFTER_CHECKPOINTS => {
                Err(format!("{failed} checkpoints in a row have failed: {trouble}"))
            }
            _ => Ok(()),
        }
    }
}

/// Held by a thread while it runs. Reports a panic of the thread when it is dropped. Without it the server would look
/// ready.
pub(super) struct ThreadWatch<F: FnOnce()> {
    health: Arc<Health>,
    thread: &'static str,
    on_panic: Option<F>,
}

impl<F: FnOnce()> ThreadWatch<F> {
    /// If the thread panics, `on_panic` is called, after health has changed.
    pub(super) fn over(thread: &'static str, health: &Arc<Health>, on_panic: F) -> Self {
        Self { health: health.clone(), thread, on_panic: Some(on_panic) }
    }

    /// The thread ends because the store does.
    pub(super) fn ends_in_order(mut self) {
        self.on_panic = None;
    }
}

impl<F: FnOnce()> Drop for ThreadWatch<F> {
    fn drop(&mut self) {
        if let Some(on_panic) = self.on_panic.take() {
            self.health.thread_ended(self.thread);
            on_panic();
        }
    }
}

/// Stores `trouble`. Returns whether there is trouble now if that has changed. A new reason is no change, because two
/// alternating reasons would fill the log.
fn change(kept: &Mutex<Option<String>>, trouble: Option<&str>) -> Option<bool> {
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    let before = kept.is_some();
    if before || trouble.is_some() {
        *kept = trouble.map(str::to_owned);
    }
    (before != trouble.is_some()).then_some(trouble.is_some())
}

#[cfg(test)]
mod tests {
    use super::super::tests::log_of;
    use super::*;

    #[test]
    fn lasting_trouble_is_logged_once_and_once_when_it_ends() {
        let health = Health::default();
        let text = log_of(|| {
            for _ in 0..2 {
                for reason in ["first", "first", "second", "first"] {
                    health.journal(Some(reason));
                    health.reserve(Some(reason));
                    health.checkpoint(Some(reason));
                }
                for _ in 0..3 {
                    health.journal(None);
                    health.reserve(None);
                    health.checkpoint(None);
                }
            }
        });
        assert_eq!(text.lines().count(), 12, "{text}");
        assert_eq!(text.matches("journal unavailable").count(), 2, "{text}");
        assert_eq!(text.matches("journal available again").count(), 2, "{text}");
    }
}
