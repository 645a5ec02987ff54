//! Reports the progress of a long reading to the log and to `/readyz`.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use onceward_core::clock::Clock;
use onceward_core::domain::Timestamp;

const LOGGED_EVERY: Duration = Duration::from_secs(1);

/// Reading the clock costs as much as a small record does.
const RECORDS_PER_LOOK: u64 = 256;

/// The progress of reading a data directory, as text for people.
#[derive(Debug, Default)]
pub struct Loading(Mutex<Option<LoadingStep>>);

/// One of the readings.
#[derive(Debug, Clone, Copy)]
struct LoadingStep {
    what: &'static str,
    records: u64,
    /// The finished part in hundredths, and the time for the rest at the same rate.
    part: Option<(u64, Duration)>,
}

impl Loading {
    fn set(&self, step: LoadingStep) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(step);
    }
}

impl fmt::Display for Loading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(LoadingStep { what, records, part }) = step else {
            return f.write_str("opening the data directory");
        };
        write!(f, "{what}, {records} records so far")?;
        match part {
            Some((percent, left)) => write!(f, ", {percent} %, about {} s more", whole_seconds(left)),
            None => Ok(()),
        }
    }
}

/// Reports the progress of one reading.
pub(super) struct Progress {
    what: &'static str,
    /// The expected number of records; 0 if it is not known.
    all: u64,
    clock: Arc<dyn Clock>,
    loading: Arc<Loading>,
    began: Timestamp,
    said: Timestamp,
    looked: u64,
}

impl Progress {
    /// `what` is the step that the log names, such as "reading the journal"; `all` is the expected number of records,
    /// or 0.
    pub(super) fn of(what: &'static str, all: u64, clock: &Arc<dyn Clock>, loading: &Arc<Loading>) -> Self {
        let now = clock.now();
        loading.set(LoadingStep { what, records: 0, part: None });
        Self { what, all, clock: clock.clone(), loading: loading.clone(), began: now, said: now, looked: 0 }
    }

    /// Reports the number of records so far. Logged once a second.
    pub(super) fn at(&mut self, records: u64) {
        if records.saturating_sub(self.looked) < RECORDS_PER_LOOK {
            return;
        }
        self.looked = records;
        let now = self.clock.now();
        let part = self.part(records, now);
        self.loading.set(LoadingStep { what: self.what, records, part });
        if now.since(self.said) >= LOGGED_EVERY {
            self.said = now;
            if let Some((percent, left)) = part {
                tracing::info!(
                    step = self.what,
                    records,
                    percent,
                    seconds_left = whole_seconds(left),
                    "data directory loading"
                );
            } else {
                tracing::info!(step = self.what, records, "data directory loading");
            }
        }
    }

    fn part(&self, records: u64, now: Timestamp) -> Option<(u64, Duration)> {
        // More may have been found than was expected.
        let (done, all) = (u128::from(records.min(self.all)), u128::from(self.all));
        let percent = u64::try_from((done * 100).checked_div(all)?).ok()?;
        let left = (now.since(self.began).as_millis() * (all - done)).checked_div(done)?;
        Some((percent, Duration::from_millis(u64::try_from(left).ok()?)))
    }
}

/// Never 0 while there is something left.
fn whole_seconds(left: Duration) -> u128 {
    left.as_millis().div_ceil(1_000)
}

#[cfg(test)]
mod tests {
    use super::super::tests::log_of;
    use super::*;
    use onceward_core::clock::ManualClock;

    #[test]
    fn a_reading_that_takes_seconds_is_logged_once_in_each() {
        let (manual, clock) = clocks();
        let log = log_of(|| {
            let mut progress = Progress::of("reading the snapshot", 0, &clock, &Arc::default());
            for records in 1..=10 * RECORDS_PER_LOOK {
                if records % RECORDS_PER_LOOK == 0 {
                    manual.advance(LOGGED_EVERY / 2);
                }
                progress.at(records);
            }
        });
        assert_eq!(log.matches("data directory loading step=\"reading the snapshot\"").count(), 5, "{log}");
        assert!(log.contains(&format!("records={}", 10 * RECORDS_PER_LOOK)), "{log}");
        assert!(!log.contains("percent"), "it is not known how much it is: {log}");
    }

    #[test]
    fn with_a_known_total_the_log_and_readyz_say_how_long_it_takes() {
        let (manual, clock) = clocks();
        let loading = Arc::default();
        let log = log_of(|| {
            let mut progress = Progress::of("loading", 10_000, &clock, &loading);
            assert_eq!(loading.to_string(), "loading, 0 records so far");
            manual.advance(LOGGED_EVERY * 3);
            progress.at(2_500);
            assert_eq!(loading.to_string(), "loading, 2500 records so far, 25 %, about 9 s more");
            progress.at(20_000);
            assert_eq!(loading.to_string(), "loading, 20000 records so far, 100 %, about 0 s more");
        });
        assert!(log.contains("records=2500 percent=25 seconds_left=9"), "{log}");
    }

    fn clocks() -> (Arc<ManualClock>, Arc<dyn Clock>) {
        let manual = Arc::new(ManualClock::starting_at(Timestamp::from_millis(1_700_000_000_000)));
        (manual.clone(), manual)
    }
}
