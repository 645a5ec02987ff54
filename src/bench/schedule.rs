//! The open loop: when each request is to leave, whatever the server does.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Moments at even distances, one for each request of all connections together. A moment that passes while all
/// connections wait for answers is not lost: the first connection that is free takes it, and its request counts from
/// that moment. It is as long as the window, and so has an end.
#[derive(Debug)]
pub struct Schedule {
    rate: u32,
    moments: u64,
    next: AtomicU64,
    last_call: Duration,
}

impl Schedule {
    /// `rate` moments a second (at least 1) for as long as the window. What was to leave may do so until twice that time.
    pub fn new(rate: u32, window: Duration) -> Self {
        let moments = window.as_nanos() * u128::from(rate) / NANOS;
        let moments = u64::try_from(moments).unwrap_or(u64::MAX);
        Self { rate, moments, next: AtomicU64::new(0), last_call: window * 2 }
    }

    /// The next moment that nobody has taken, since the window began; `None` when there are none, or when it is so late
    /// that nothing may leave any more.
    pub fn take(&self, now: Duration) -> Option<Duration> {
        if now > self.last_call {
            return None;
        }
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        (index < self.moments).then(|| self.moment(index))
    }

    /// How many moments nobody took: requests that were to leave and did not.
    pub fn left_over(&self) -> u64 {
        self.moments.saturating_sub(self.next.load(Ordering::Relaxed))
    }

    fn moment(&self, index: u64) -> Duration {
        let nanos = u128::from(index) * NANOS / u128::from(self.rate.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

const NANOS: u128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_at_even_distances_for_as_long_as_the_window() {
        let schedule = Schedule::new(4, Duration::from_secs(1));
        let taken: Vec<_> = std::iter::from_fn(|| schedule.take(Duration::ZERO)).collect();
        assert_eq!(taken, [0, 250, 500, 750].map(Duration::from_millis));
        assert_eq!(schedule.left_over(), 0);
    }

    #[test]
    fn a_rate_that_does_not_divide_a_second_does_not_drift() {
        let schedule = Schedule::new(3, Duration::from_secs(1_000_000));
        assert_eq!(schedule.moment(2_999_997), Duration::from_secs(999_999));
    }

    #[test]
    fn moments_that_passed_are_taken_late_and_after_the_last_call_none_is() {
        let schedule = Schedule::new(10, Duration::from_secs(1));
        assert_eq!(schedule.take(Duration::from_secs(2)), Some(Duration::ZERO));
        assert_eq!(schedule.take(Duration::from_millis(2_001)), None);
        assert_eq!(schedule.left_over(), 9);
    }
}
