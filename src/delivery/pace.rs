//! How fast a gateway works, as far as it decides whether a message that would have to wait for a place can
//! still be sent in time. Without I/O and clock.

use std::time::Duration;

use tokio::time::Instant;

/// What part of the difference to the typical time each further one makes up for: with many places it
/// follows a change within a second, with few it is not thrown by one slow answer.
const WEIGHT: u32 = 8;

/// The pace of one gateway.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// How long a place is held, as a moving average; nothing before the first one was given back.
    held: Option<Duration>,
    last_taken: Option<Instant>,
}

impl Pace {
    /// A place was taken.
    pub fn taken(&mut self, now: Instant) {
        self.last_taken = Some(now);
    }

    /// A place that was held for so long is free.
    pub fn freed(&mut self, held: Duration) {
        self.held = Some(match self.held {
            None => held,
            Some(typical) => (typical * (WEIGHT - 1) + held) / WEIGHT,
        });
    }

    /// How long a place is held, while all of them are: none of them was taken later than the last one, so
    /// a gateway that falls silent shows before its first answer fails to come.
    pub fn typical(&self, now: Instant) -> Duration {
        let at_least = self.last_taken.map_or(Duration::ZERO, |taken| now.saturating_duration_since(taken));
        self.held.unwrap_or_default().max(at_least)
    }

    /// How long the next to wait will wait for one of `places`, behind `waiting` others.
    pub fn wait(&self, waiting: usize, places: usize, now: Instant) -> Duration {
        let ahead = u32::try_from(waiting.saturating_add(1)).unwrap_or(u32::MAX);
        let places = u32::try_from(places.max(1)).unwrap_or(u32::MAX);
        self.typical(now).saturating_mul(ahead) / places
    }

    /// How much longer somebody waits who waits already, behind `ahead` others: the last place was taken a while ago.
    pub fn wait_left(&self, ahead: usize, places: usize, now: Instant) -> Duration {
        let since = self.last_taken.map_or(Duration::ZERO, |taken| now.saturating_duration_since(taken));
        self.wait(ahead, places, now).saturating_sub(since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::budget::now;

    #[test]
    fn before_anything_is_known_nobody_is_expected_to_wait() {
        assert_eq!(Pace::default().wait(10_000, 1, now()), Duration::ZERO);
    }

    #[test]
    fn the_wait_is_that_of_all_who_are_ahead_shared_by_the_places() {
        let (mut pace, now) = (Pace::default(), now());
        pace.taken(now);
        pace.freed(Duration::from_secs(2));
        assert_eq!(pace.wait(0, 10, now), Duration::from_millis(200));
        assert_eq!(pace.wait(99, 10, now), Duration::from_secs(20));
    }

    #[test]
    fn the_typical_time_follows_a_gateway_that_gets_slower_and_one_that_recovers() {
        let (mut pace, now) = (Pace::default(), now());
        pace.freed(Duration::from_millis(100));
        (0..40).for_each(|_| pace.freed(Duration::from_secs(8)));
        assert!(pace.typical(now) > Duration::from_secs(7));
        (0..40).for_each(|_| pace.freed(Duration::from_millis(100)));
        assert!(pace.typical(now) < Duration::from_millis(200));
    }

    #[test]
    fn a_gateway_that_falls_silent_gets_slower_while_it_says_nothing() {
        let (mut pace, now) = (Pace::default(), now());
        pace.freed(Duration::from_millis(100));
        pace.taken(now);
        assert_eq!(pace.typical(now + Duration::from_secs(3)), Duration::from_secs(3));
        pace.taken(now + Duration::from_secs(3));
        assert_eq!(pace.typical(now + Duration::from_secs(3)), Duration::from_millis(100));
    }
}
