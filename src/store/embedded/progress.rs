//! Tells the log how far a long reading has come.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::domain::Timestamp;

/// The time between two messages.
const EVERY: Duration = Duration::from_secs(1);

/// Reading the clock costs as much as a small record does.
const RECORDS_PER_LOOK: u64 = 256;

/// Of one reading.
pub(super) struct Progress {
    what: &'static str,
    clock: Arc<dyn Clock>,
    said: Timestamp,
    looked: u64,
}

impl Progress {
    /// `what` is what the log says is going on, such as "reading the journal".
    pub(super) fn of(what: &'static str, clock: &Arc<dyn Clock>) -> Self {
        Self { what, clock: clock.clone(), said: clock.now(), looked: 0 }
    }

    /// There were so many records so far. Logged once a second.
    pub(super) fn at(&mut self, records: u64) {
        if records.saturating_sub(self.looked) < RECORDS_PER_LOOK {
            return;
        }
        self.looked = records;
        let now = self.clock.now();
        if now.since(self.said) >= EVERY {
            self.said = now;
            tracing::info!(records, "{}", self.what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::log::log_of;
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn when_reading_takes_seconds_the_log_says_how_far_it_is_once_in_each() {
        let manual = Arc::new(ManualClock::starting_at(Timestamp::from_millis(1_700_000_000_000)));
        let clock: Arc<dyn Clock> = manual.clone();
        let log = log_of(|| {
            let mut progress = Progress::of("reading the snapshot", &clock);
            for records in 1..=10 * RECORDS_PER_LOOK {
                if records % RECORDS_PER_LOOK == 0 {
                    manual.advance(EVERY / 2);
                }
                progress.at(records);
            }
        });
        assert_eq!(log.matches("reading the snapshot").count(), 5, "{log}");
        assert!(log.contains(&format!("records={}", 10 * RECORDS_PER_LOOK)), "{log}");
    }
}
