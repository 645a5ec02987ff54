//! The only place that reads real time.
//!
//! Everything else is handed a [`Clock`] or a [`Timestamp`], so a test decides what time it is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use crate::domain::Timestamp;

/// A source of wall-clock time.
pub trait Clock: Send + Sync + 'static {
    /// The present moment, as far as this clock knows. A clock may step backwards; whoever needs
    /// time that never runs backwards keeps the maximum of what it has seen.
    fn now(&self) -> Timestamp;
}

/// The machine's clock: the wall clock as it was when the program started, plus the time that has
/// passed since.
///
/// A step of the wall clock (an operator, NTP after a long silence) is not followed before the next
/// start. All that matters here is how long something lasts, and a step would end lockouts early
/// or keep codes alive. Small corrections are followed, because NTP makes them by changing the rate of
/// both clocks. Time that the machine was suspended counts.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    wall_at_start: Timestamp,
    up_at_start: Duration,
}

impl SystemClock {
    /// Reads the wall clock, once.
    pub fn start() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the one reader of real time")]
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        // A machine that believes it is before 1970 gets the epoch: every code is then fresh and
        // every lockout long, which errs on the strict side.
        let wall_at_start = Timestamp::EPOCH.plus(since_epoch.unwrap_or_default());
        Self { wall_at_start, up_at_start: uptime() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        self.wall_at_start.plus(uptime().saturating_sub(self.up_at_start))
    }
}

/// Time since the machine booted, time of suspension included. Never steps, never runs backwards.
fn uptime() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(seconds.unwrap_or(0), nanos.unwrap_or(0))
}

/// A clock that stands still until it is told to move, for tests and simulations.
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

    /// Jumps, forwards or backwards.
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

    #[test]
    fn the_machines_clock_does_not_run_backwards_and_starts_at_the_wall_clock() {
        let clock = SystemClock::start();
        let mut last = clock.wall_at_start;
        assert!(last > Timestamp::from_millis(1_700_000_000_000), "a machine of today");
        for _ in 0..10_000 {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
    }
}
