//! Estimates a gateway's throughput and response time, to decide whether a message that has to wait for a permit can
//! still be sent in time, and when an answer is overdue. Without I/O and clock.

use std::time::Duration;

use tokio::time::Instant;

/// The inverse weight of each new answer in the moving average: with many permits the average follows a change
/// within a second, with few permits one slow answer does not distort it.
const WEIGHT: u32 = 8;

/// The number of answers after which the average decides when an answer is overdue.
const ANSWERS_NEEDED: u32 = 20;

/// An answer is overdue after this many times the average. If a gateway becomes slower, the server stops waiting too
/// early a few times at most: each time counts as an answer and raises the average by three eighths.
const OVERDUE_FACTOR: u32 = 4;

/// The throughput of one gateway.
#[derive(Debug, Default, Clone)]
pub(super) struct ThroughputEstimate {
    /// The time a permit is held, as a moving average; `None` before the first one was returned.
    average_hold: Option<Duration>,
    /// Permits returned, up to [`ANSWERS_NEEDED`].
    returned: u32,
    last_acquired: Option<Instant>,
}

impl ThroughputEstimate {
    /// A permit was acquired.
    pub fn acquired(&mut self, now: Instant) {
        self.last_acquired = Some(now);
    }

    /// A permit that was held for this long was returned.
    pub fn returned(&mut self, held: Duration) {
        self.average_hold = Some(match self.average_hold {
            None => held,
            Some(typical) => (typical * (WEIGHT - 1) + held) / WEIGHT,
        });
        self.returned = self.returned.saturating_add(1).min(ANSWERS_NEEDED);
    }

    /// The time after which an answer is overdue; `None` before that is known.
    pub fn overdue_after(&self) -> Option<Duration> {
        self.average_hold.filter(|_| self.returned >= ANSWERS_NEEDED).map(|typical| typical * OVERDUE_FACTOR)
    }

    /// The time a permit is held while all of them are: at least the time since the last one was acquired. Therefore a
    /// gateway that falls silent shows before its first answer is overdue.
    pub fn typical(&self, now: Instant) -> Duration {
        self.average_hold.unwrap_or_default().max(self.since_last(now))
    }

    /// The waiting time of the next message for one of `permits`, after `waiting` others.
    pub fn wait(&self, waiting: usize, permits: usize, now: Instant) -> Duration {
        let ahead = u32::try_from(waiting.saturating_add(1)).unwrap_or(u32::MAX);
        let permits = u32::try_from(permits.max(1)).unwrap_or(u32::MAX);
        self.typical(now).saturating_mul(ahead) / permits
    }

    /// The remaining waiting time of a message behind `ahead` others: the last permit was acquired a
    /// while ago.
    pub fn wait_left(&self, ahead: usize, permits: usize, now: Instant) -> Duration {
        self.wait(ahead, permits, now).saturating_sub(self.since_last(now))
    }

    fn since_last(&self, now: Instant) -> Duration {
        self.last_acquired.map_or(Duration::ZERO, |acquired| now.saturating_duration_since(acquired))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::budget::now;

    #[test]
    fn without_an_answer_no_wait_is_expected() {
        assert_eq!(ThroughputEstimate::default().wait(10_000, 1, now()), Duration::ZERO);
    }

    #[test]
    fn the_wait_of_all_messages_ahead_is_shared_by_the_permits() {
        let (mut estimate, now) = (ThroughputEstimate::default(), now());
        estimate.acquired(now);
        estimate.returned(Duration::from_secs(2));
        assert_eq!(estimate.wait(0, 10, now), Duration::from_millis(200));
        assert_eq!(estimate.wait(99, 10, now), Duration::from_secs(20));
    }

    #[test]
    fn the_typical_time_follows_a_gateway_that_slows_down_and_recovers() {
        let (mut estimate, now) = (ThroughputEstimate::default(), now());
        estimate.returned(Duration::from_millis(100));
        (0..40).for_each(|_| estimate.returned(Duration::from_secs(8)));
        assert!(estimate.typical(now) > Duration::from_secs(7));
        (0..40).for_each(|_| estimate.returned(Duration::from_millis(100)));
        assert!(estimate.typical(now) < Duration::from_millis(200));
    }

    #[test]
    fn an_answer_is_overdue_after_four_times_the_usual_time() {
        let mut estimate = ThroughputEstimate::default();
        (0..19).for_each(|_| estimate.returned(Duration::from_millis(300)));
        assert_eq!(estimate.overdue_after(), None);
        estimate.returned(Duration::from_millis(300));
        assert_eq!(estimate.overdue_after(), Some(Duration::from_millis(1_200)));
        // The gateway has become slow: a few answers are overdue until the average has followed.
        let gave_up = (0..100).position(|_| {
            let overdue = estimate.overdue_after().expect("known");
            estimate.returned(overdue.min(Duration::from_secs(4)));
            overdue >= Duration::from_secs(4)
        });
        assert_eq!(gave_up, Some(4));
    }

    #[test]
    fn a_silent_gateway_counts_as_slower_while_it_is_silent() {
        let (mut estimate, now) = (ThroughputEstimate::default(), now());
        estimate.returned(Duration::from_millis(100));
        estimate.acquired(now);
        assert_eq!(estimate.typical(now + Duration::from_secs(3)), Duration::from_secs(3));
        estimate.acquired(now + Duration::from_secs(3));
        assert_eq!(estimate.typical(now + Duration::from_secs(3)), Duration::from_millis(100));
    }
}
