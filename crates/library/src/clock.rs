//! The reader of the system clock.
//!
//! Other code receives a [`Clock`] or a [`Timestamp`]; therefore a test decides what time it is.
//! `docs/internals/storage.md` says what happens when the machine's clock is wrong or is set.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use crate::domain::Timestamp;

pub use onceward_core::clock::{Clock, EngineClock, LATEST, ManualClock};

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
        Self { wall_at_start: wall(), up_at_start: uptime() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        self.wall_at_start.plus(uptime().saturating_sub(self.up_at_start))
    }

    fn wall(&self) -> Timestamp {
        wall()
    }
}

/// Measures how long something takes, for logs and metrics. Nothing is decided by it.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts to measure.
    #[expect(clippy::disallowed_methods, reason = "a duration that is shown; nothing is decided by it")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the start.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// The wall clock's time. An implausible time, before 1970 or after 9999, counts as the start of the clock: the data
/// directory's own time is later and wins.
fn wall() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "the one reader of real time")]
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    let shown = Timestamp::EPOCH.plus(since_epoch.unwrap_or_default());
    if shown > LATEST { Timestamp::EPOCH } else { shown }
}

/// Time since the machine booted, time of suspension included. Never steps, never runs backwards.
fn uptime() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(seconds.unwrap_or(0), nanos.unwrap_or(0))
}
