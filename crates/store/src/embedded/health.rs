//! The present trouble of the store, for `/readyz` and the log.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use onceward_core::clock::{Clock, LastingCondition};
use onceward_core::domain::Timestamp;

use super::error::in_words;
use crate::StoreSizes;

/// A write that takes longer than this is reported: the disk hangs.
const HANGS_AFTER: Duration = Duration::from_secs(5);

/// Consecutive failed checkpoints after which `/readyz` reports them. The journal keeps the data, therefore one failure
/// does not make the server unready.
const REPORTED_AFTER_CHECKPOINTS: u32 = 3;

/// Shared by the threads of a store, which report, and its handle.
pub(super) struct Health {
    clock: Arc<dyn Clock>,
    journal: Mutex<Option<LastingCondition>>,
    reserve: Mutex<Option<LastingCondition>>,
    checkpoint: Mutex<Option<LastingCondition>>,
    /// The number of consecutive failed checkpoints.
    failed_checkpoints: AtomicU32,
    /// The thread that ended although the store is in use.
    ended: OnceLock<&'static str>,
    /// When the write that is in progress began, in milliseconds of the clock; 0 for none.
    writing_since: AtomicU64,
    /// Since when batches wait for room in the journal, in the same way.
    waiting_since: AtomicU64,
    hang: Mutex<Option<LastingCondition>>,
    pub(super) sizes: Mutex<StoreSizes>,
}

impl Health {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            journal: Mutex::default(),
            reserve: Mutex::default(),
            checkpoint: Mutex::default(),
            failed_checkpoints: AtomicU32::default(),
            ended: OnceLock::default(),
            writing_since: AtomicU64::default(),
            waiting_since: AtomicU64::default(),
            hang: Mutex::default(),
            sizes: Mutex::default(),
        }
    }

    /// A batch could not be written, or can be again. Logged when that changes, and every 10 minutes
    /// while it lasts.
    pub(super) fn journal(&self, trouble: Option<&str>) {
        match self.change(&self.journal, trouble) {
            Some(Err(reason)) => tracing::error!(reason, "journal unavailable, writes refused"),
            Some(Ok(())) => tracing::info!("journal available again"),
            None => {}
        }
    }

    /// The next segment could not be reserved, or could be again. Logged in the same way.
    pub(super) fn reserve(&self, trouble: Option<&str>) {
        match self.change(&self.reserve, trouble) {
            Some(Err(reason)) => tracing::warn!(reason, "journal segment not reserved"),
            Some(Ok(())) => tracing::info!("journal segment reserved again"),
            None => {}
        }
    }

    /// Whether the last attempt to write to the journal failed.
    pub(super) fn journal_in_trouble(&self) -> bool {
        locked(&self.journal).is_some()
    }

    /// Whether the last attempt to reserve a segment failed.
    pub(super) fn reserve_in_trouble(&self) -> bool {
        self.reserve_trouble().is_some()
    }

    /// Why the last attempt to reserve a segment failed, if it did.
    pub(super) fn reserve_trouble(&self) -> Option<String> {
        locked(&self.reserve).as_ref().map(|trouble| trouble.reason.clone())
    }

    /// A checkpoint ended. Logged in the same way.
    pub(super) fn checkpoint(&self, trouble: Option<&str>) {
        match self.change(&self.checkpoint, trouble) {
            Some(Err(reason)) => tracing::error!(reason, "checkpoint failed, will be repeated"),
            Some(Ok(())) => tracing::info!("checkpoint succeeded again"),
            None => {}
        }
        match trouble {
            Some(_) => drop(self.failed_checkpoints.fetch_add(1, Ordering::Relaxed)),
            None => self.failed_checkpoints.store(0, Ordering::Relaxed),
        }
    }

    /// Why the last checkpoint failed, if it did.
    pub(super) fn checkpoint_trouble(&self) -> Option<String> {
        locked(&self.checkpoint).as_ref().map(|trouble| trouble.reason.clone())
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

    /// Logged like journal trouble, but noticed only by [`check`](Self::check).
    fn hang(&self, trouble: Option<&str>) {
        match self.change(&self.hang, trouble) {
            Some(Err(reason)) => tracing::error!(reason, "disk not responding, no write acknowledged"),
            Some(Ok(())) => tracing::info!("disk responding again"),
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
        if let Some(trouble) = &*locked(&self.journal) {
            let (reason, seconds) = (&trouble.reason, trouble.seconds(now));
            return Err(format!("the journal has not been writable for {seconds} s: {reason}"));
        }
        let failed = self.failed_checkpoints.load(Ordering::Relaxed);
        match &*locked(&self.checkpoint) {
            Some(trouble) if failed >= REPORTED_AFTER_CHECKPOINTS => {
                let (reason, seconds) = (&trouble.reason, trouble.seconds(now));
                Err(format!("the last {failed} checkpoints have failed, for {seconds} s: {reason}"))
            }
            _ => Ok(()),
        }
    }

    /// Stores `trouble` in words. Returns the change if it is to be logged: trouble that began or lasts
    /// ([`LastingCondition::report`]), or its end.
    fn change(
        &self,
        lasting: &Mutex<Option<LastingCondition>>,
        trouble: Option<&str>,
    ) -> Option<Result<(), String>> {
        let mut lasting = locked(lasting);
        let Some(trouble) = trouble else { return lasting.take().map(|_| Ok(())) };
        let reason = in_words(trouble);
        LastingCondition::report(&mut lasting, &reason, self.clock.now()).then_some(Err(reason))
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

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use onceward_core::clock::ManualClock;

    use super::super::tests::log_of;
    use super::*;

    #[test]
    fn lasting_trouble_is_logged_once_and_once_when_it_ends() {
        let health = Health::new(Arc::new(ManualClock::starting_at(Timestamp::EPOCH)));
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

    #[test]
    fn lasting_trouble_is_logged_every_ten_minutes_with_its_duration() {
        let clock = Arc::new(ManualClock::starting_at(Timestamp::EPOCH));
        let health = Health::new(clock.clone());
        let text = log_of(|| {
            for _ in 0..=25 * 60 {
                health.journal(Some("cannot write a.seg: No space left on device (os error 28)"));
                clock.advance(Duration::from_secs(1));
            }
        });
        assert_eq!(text.matches("journal unavailable").count(), 3, "{text}");
        let shown = health.check(clock.now()).expect_err("trouble");
        let expected =
            "the journal has not been writable for 1501 s: cannot write a.seg: No space left on device";
        assert_eq!(shown, expected);
    }
}
