//! The time of the next attempt of a delivery, and the pause of a failing webhook. Decisions without I/O.

use std::time::Duration;

use crate::domain::Timestamp;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// The waits after each failed attempt, in seconds: about three days in all, as Standard Webhooks recommends.
const WAITS: [u64; 10] =
    [5, 30, 2 * MINUTE, 10 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, 24 * HOUR, 24 * HOUR];

const RETRY_AFTER_MAX: Duration = Duration::from_secs(6 * HOUR);

/// Lifetime of a delivery, from its event or its last replay.
pub(super) const LIFE: Duration = Duration::from_secs(5 * 24 * HOUR);

const PAUSE_MAX: Duration = Duration::from_secs(MINUTE);

/// When to try again after the failure of attempt `tries`; `None` if that was the last. A fifth of the wait is random:
/// events that failed together are not retried together. `random` is any number.
pub(super) fn next_attempt(
    now: Timestamp,
    since: Timestamp,
    tries: u8,
    retry_after: Option<Duration>,
    random: u32,
) -> Option<Timestamp> {
    let wait = Duration::from_secs(*WAITS.get(usize::from(tries).checked_sub(1)?)?);
    let wait = wait + (wait / 5).mul_f64(f64::from(random) / f64::from(u32::MAX));
    let due = now.plus(wait.max(retry_after.unwrap_or_default().min(RETRY_AFTER_MAX)));
    (!is_too_old(due, since)).then_some(due)
}

/// Returns `true` if a delivery has ended by `now`, even with attempts left.
pub(super) fn is_too_old(now: Timestamp, since: Timestamp) -> bool {
    now.since(since) >= LIFE
}

/// The pause of a webhook after this number of failures in a row.
pub(super) fn pause(failures: u32, retry_after: Option<Duration>) -> Duration {
    let doubled = Duration::from_secs(1).saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
    doubled.max(retry_after.unwrap_or_default()).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn wait(tries: u8, random: u32) -> Option<u64> {
        next_attempt(NOW, NOW, tries, None, random).map(|due| due.since(NOW).as_secs())
    }

    #[test]
    fn waits_grow_from_seconds_to_a_day_with_jitter_and_end_after_3_days() {
        let waits: Vec<_> = (1..=11).map(|tries| wait(tries, 0)).collect();
        let expected = [5, 30, 120, 600, 3_600, 10_800, 21_600, 43_200, 86_400, 86_400].map(Some);
        assert_eq!(waits[..10], expected);
        assert_eq!(waits[10], None);
        assert_eq!((wait(1, u32::MAX), wait(10, u32::MAX)), (Some(6), Some(103_680)));
        let in_all: u64 = waits.iter().flatten().sum();
        assert_eq!(in_all / 3_600, 70);
    }

    #[test]
    fn a_receiver_can_ask_for_more_time_within_limits() {
        let asked = |secs| {
            next_attempt(NOW, NOW, 1, Some(Duration::from_secs(secs)), 0).map(|due| due.since(NOW).as_secs())
        };
        assert_eq!([1, 77, 1_000_000].map(asked), [5, 77, 21_600].map(Some));
    }

    #[test]
    fn nothing_is_planned_behind_the_end() {
        let since = NOW.minus(LIFE).plus(Duration::from_secs(30));
        assert!(next_attempt(NOW, since, 1, None, 0).is_some());
        assert_eq!(next_attempt(NOW, since, 2, None, 0), None);
        assert!(is_too_old(since.plus(LIFE), since) && !is_too_old(NOW, since));
    }

    #[test]
    fn a_webhook_that_keeps_failing_is_asked_once_a_minute() {
        let pause = |failures| pause(failures, None).as_secs();
        assert_eq!([1, 2, 3, 6, 7, u32::MAX].map(pause), [1, 2, 4, 32, 60, 60]);
        assert_eq!(super::pause(1, Some(Duration::from_secs(7))).as_secs(), 7);
    }
}
