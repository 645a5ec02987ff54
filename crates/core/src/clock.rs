//! Time as a parameter: the trait and the clocks that read no hardware. The machine's clock belongs to the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::domain::Timestamp;

/// The latest believable time: the end of the year 9999. A later time means a broken clock, and sums with the longest
/// settings would nearly overflow.
pub const LATEST: Timestamp = Timestamp::LAST_READABLE;

/// A source of time.
pub trait Clock: Send + Sync + 'static {
    /// The time to decide by. It must not run backwards while the program runs.
    fn now(&self) -> Timestamp;

    /// The wall clock: for signatures, certificates and times that people read. Never for a decision, because an operator
    /// may set it at any moment.
    fn wall(&self) -> Timestamp {
        self.now()
    }
}

/// The time of decisions: that of its source, or ahead of it. At start it is brought up to where the data directory has
/// been ([`EngineClock::at_least`]). A wall clock that was set back before the start therefore makes nothing last longer.
/// Cheap to clone; all clones are one clock.
#[derive(Clone)]
pub struct EngineClock {
    source: Arc<dyn Clock>,
    /// Milliseconds ahead of the source.
    ahead: Arc<AtomicU64>,
}

impl EngineClock {
    /// Begins with what `source` shows.
    pub fn over(source: Arc<dyn Clock>) -> Self {
        Self { source, ahead: Arc::default() }
    }

    /// Makes it show no less than `time`.
    pub fn at_least(&self, time: Timestamp) {
        let ahead = time.min(LATEST).as_millis().saturating_sub(self.source.now().as_millis());
        self.ahead.fetch_max(ahead, Ordering::Relaxed);
    }
}

impl Clock for EngineClock {
    fn now(&self) -> Timestamp {
        self.source.now().plus(Duration::from_millis(self.ahead.load(Ordering::Relaxed)))
    }

    fn wall(&self) -> Timestamp {
        self.source.wall()
    }
}

/// A clock that a test or simulation moves.
#[derive(Debug)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that shows `start`.
    pub fn starting_at(start: Timestamp) -> Self {
        Self(AtomicU64::new(start.as_millis()))
    }

    /// Moves forward.
    pub fn advance(&self, by: Duration) {
        let millis = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.0.fetch_add(millis, Ordering::SeqCst);
    }

    /// Jumps; backwards only while no engine runs with it.
    pub fn set(&self, to: Timestamp) {
        self.0.store(to.as_millis(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);
    const HOUR: Duration = Duration::from_secs(3600);
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn when_it_is_brought_up_to_a_time_it_never_shows_less() {
        let source = Arc::new(ManualClock::starting_at(START));
        let clock = EngineClock::over(source.clone());
        clock.at_least(START.plus(HOUR));
        assert_eq!(clock.now(), START.plus(HOUR));
        clock.at_least(START);
        source.advance(SECOND);
        assert_eq!(clock.now(), START.plus(HOUR + SECOND), "and goes on at once");
        assert_eq!(clock.wall(), START.plus(SECOND), "the wall clock is as wrong as it was");
        clock.at_least(Timestamp::MAX);
        assert_eq!(clock.now(), LATEST);
    }
}
