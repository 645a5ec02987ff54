//! What is wrong with the store, for `/readyz` and the log.

use std::sync::Arc;

use onceward_core::clock::{Clock, LastingCondition};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::StoreSizes;

/// Consecutive failed checkpoints after which `/readyz` reports them. The journal keeps the data, therefore one failure
/// does not make the server unready.
const REPORTED_AFTER_CHECKPOINTS: u32 = 3;

/// What works or does not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Writes end.
    Disk,
    /// Batches are written.
    Journal,
    Checkpoint,
}

/// Shared by the threads of the journal, which report, and the store's handle.
pub(super) struct Health {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    pub(super) sizes: Mutex<StoreSizes>,
    /// Why the store has failed for good.
    failed: watch::Sender<Option<String>>,
}

#[derive(Default)]
struct State {
    /// By [`Part`].
    troubles: [Option<LastingCondition>; 3],
    /// The number of consecutive failed checkpoints.
    failed_checkpoints: u32,
}

impl Health {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Mutex::default(), sizes: Mutex::default(), failed: watch::Sender::default() }
    }

    /// The result of the last attempt: why it failed, if it did. Logged when that changes, and every 10 minutes while it is
    /// an error.
    pub(super) fn report(&self, part: Part, trouble: Option<String>) {
        let (began, ended) = match part {
            Part::Disk => ("disk not responding, no write acknowledged", "disk responding again"),
            Part::Journal => ("journal unavailable, writes refused", "journal available again"),
            Part::Checkpoint => ("checkpoint failed, will be repeated", "checkpoint succeeded again"),
        };
        let (state, now) = (&mut *self.state.lock(), self.clock.now());
        if part == Part::Checkpoint {
            state.failed_checkpoints = if trouble.is_some() { state.failed_checkpoints + 1 } else { 0 };
        }
        let lasting = &mut state.troubles[part as usize];
        match trouble {
            None if lasting.take().is_some() => tracing::info!("{ended}"),
            Some(reason) if LastingCondition::report(lasting, &reason, now) => {
                tracing::error!(reason, "{began}");
            }
            _ => {}
        }
    }

    /// Why the last attempt failed, if it did.
    pub(super) fn trouble(&self, part: Part) -> Option<String> {
        self.state.lock().troubles[part as usize].as_ref().map(|trouble| trouble.reason.clone())
    }

    /// The store fails for good: only a restart helps.
    pub(super) fn fail(&self, reason: &str) {
        let fail = |failed: &mut Option<String>| failed.replace(reason.to_owned()).is_none();
        if self.failure().is_none() && self.failed.send_if_modified(fail) {
            tracing::error!(reason, "store failed, everything is refused until a restart");
        }
    }

    /// Why the store has failed, if it has.
    pub(super) fn failure(&self) -> Option<String> {
        self.failed.borrow().clone()
    }

    /// Returns why the store has failed, when it has.
    pub(super) async fn failed(&self) -> String {
        let mut failed = self.failed.subscribe();
        // The sender lives as long as `self`.
        let reason = failed.wait_for(Option::is_some).await;
        reason.ok().and_then(|reason| reason.clone()).unwrap_or_default()
    }

    /// `Ok` while writes can be expected to succeed.
    pub(super) fn check(&self) -> Result<(), String> {
        if let Some(reason) = self.failure() {
            return Err(format!("the store has failed, and only a restart helps: {reason}"));
        }
        let (now, state) = (self.clock.now(), self.state.lock());
        let [disk, journal, checkpoint] = state
            .troubles
            .each_ref()
            .map(|trouble| Some((&trouble.as_ref()?.reason, trouble.as_ref()?.seconds(now))));
        match (disk, journal, checkpoint, state.failed_checkpoints) {
            (Some((reason, _)), ..) => Err(reason.clone()),
            (_, Some((reason, seconds)), ..) => {
                Err(format!("the journal has not been writable for {seconds} s: {reason}"))
            }
            (.., Some((reason, seconds)), failed) if failed >= REPORTED_AFTER_CHECKPOINTS => {
                Err(format!("the last {failed} checkpoints have failed, for {seconds} s: {reason}"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use onceward_core::clock::ManualClock;
    use onceward_core::domain::Timestamp;

    use super::super::tests::log_of;
    use super::*;

    #[test]
    fn lasting_trouble_is_logged_every_ten_minutes_and_its_end_once() {
        let clock = Arc::new(ManualClock::starting_at(Timestamp::EPOCH));
        let health = Health::new(clock.clone());
        let reasons = ["cannot write a.seg: No space left on device", "another reason"];
        let text = log_of(|| {
            for ends in [true, false] {
                for second in 0..=25 * 60 {
                    health.report(Part::Journal, Some(reasons[second % 2].into()));
                    clock.advance(Duration::from_secs(1));
                }
                (0..3).filter(|_| ends).for_each(|_| health.report(Part::Journal, None));
            }
        });
        assert_eq!(text.matches("journal unavailable").count(), 6, "{text}");
        assert_eq!(text.matches("journal available again").count(), 1, "{text}");
        let shown = health.check().expect_err("trouble");
        let expected =
            "the journal has not been writable for 1501 s: cannot write a.seg: No space left on device";
        assert_eq!(shown, expected);
    }
}
