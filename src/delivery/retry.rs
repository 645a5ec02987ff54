//! The step after a gateway's error, and when a message that no gateway took is tried again.

use std::time::Duration;

use super::Failure;
use crate::config::RetrySettings;
use crate::domain::{Channel, Timestamp};
use crate::gateway::ErrorClass;

/// What follows an error of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AfterError {
    /// Ask the next gateway.
    NextGateway,
    /// Reach the number in another way.
    OtherChannel,
    /// Ask no gateway any more, now or later.
    Stop,
}

/// The step after an error of this class.
pub(super) const fn after_error(class: ErrorClass, channel: Channel) -> AfterError {
    match (class, channel) {
        // After silence a person gets the same code twice at worst.
        (
            ErrorClass::Ambiguous
            | ErrorClass::Retry { .. }
            | ErrorClass::Configuration
            | ErrorClass::Refused,
            _,
        ) => AfterError::NextGateway,
        // A person who replied STOP to text messages can be called.
        (ErrorClass::NotReachableHere, _) | (ErrorClass::OptedOut, Channel::Sms) => AfterError::OtherChannel,
        // Every gateway would refuse this number or respect its owner's opt-out. A blocked fraud attempt must not reach
        // another gateway.
        (ErrorClass::BadNumber | ErrorClass::OptedOut | ErrorClass::Fraud, _) => AfterError::Stop,
    }
}

/// The channel that stands in for one which does not reach a number. A call reaches every phone,
/// so nothing stands in for it.
pub(super) const fn stand_in(channel: Channel, voice: bool) -> Option<Channel> {
    match channel {
        Channel::WhatsApp | Channel::Telegram => Some(Channel::Sms),
        Channel::Sms if voice => Some(Channel::Call),
        Channel::Sms | Channel::Call => None,
    }
}

/// What the retry time depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct RetryInputs {
    /// Retries made so far.
    pub retries: u32,
    /// The earliest moment at which a gateway can be expected to accept it: the wait that the provider asked for, or
    /// the end of an open circuit.
    pub not_before: Timestamp,
    /// When the code expires.
    pub expires: Timestamp,
    /// The longest duration of this step of the workflow; `None` if no step follows.
    pub step_timeout: Option<Duration>,
    /// The present moment.
    pub now: Timestamp,
}

/// When to try again: after a wait that doubles with each retry, half of which is random, so that messages
/// that failed together are not retried together. `random` is any number. The error says that it was tried as often as is
/// allowed, or that the code, or the time of the workflow step, ends before.
pub(super) fn retry(
    settings: &RetrySettings,
    inputs: RetryInputs,
    random: u32,
) -> Result<Timestamp, Failure> {
    let RetryInputs { retries, not_before, expires, step_timeout, now } = inputs;
    if retries >= settings.max_retries {
        return Err(Failure::RetriesUsedUp);
    }
    let half = nominal(settings, retries) / 2;
    let least = half.max(not_before.since(now));
    let wait = least.saturating_add(half.mul_f64(f64::from(random) / f64::from(u32::MAX)));
    let due = now.plus(wait);
    let waited = || spent(settings, retries).saturating_add(wait);
    if due >= expires || step_timeout.is_some_and(|step_timeout| waited() > step_timeout) {
        return Err(Failure::NoLongerUsable);
    }
    Ok(due)
}

/// The wait after `retries` retries, without the random part and the provider's retry-after time.
fn nominal(settings: &RetrySettings, retries: u32) -> Duration {
    let factor = 2_u32.saturating_pow(retries);
    settings.first_wait.saturating_mul(factor).min(settings.longest_wait)
}

/// All waits before this one: how long the message has been tried, roughly.
fn spent(settings: &RetrySettings, retries: u32) -> Duration {
    // The waits stop growing long before; the rest of them only adds up.
    (0..retries.min(64)).fold(Duration::ZERO, |sum, n| sum.saturating_add(nominal(settings, n)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: RetrySettings = RetrySettings {
        max_retries: 20,
        first_wait: Duration::from_millis(500),
        longest_wait: Duration::from_secs(60),
    };

    const TOO_LATE: Result<Timestamp, Failure> = Err(Failure::NoLongerUsable);

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn after_ms(ms: u64) -> Timestamp {
        NOW.plus(Duration::from_millis(ms))
    }

    fn inputs(retries: u32) -> RetryInputs {
        RetryInputs { retries, not_before: NOW, expires: after_ms(600_000), step_timeout: None, now: NOW }
    }

    #[test]
    fn the_class_says_what_comes_next() {
        for (class, next) in [
            (ErrorClass::Ambiguous, AfterError::NextGateway),
            (ErrorClass::Retry { after: None }, AfterError::NextGateway),
            (ErrorClass::Retry { after: Some(Duration::MAX) }, AfterError::NextGateway),
            (ErrorClass::Configuration, AfterError::NextGateway),
            (ErrorClass::Refused, AfterError::NextGateway),
            (ErrorClass::NotReachableHere, AfterError::OtherChannel),
            (ErrorClass::BadNumber, AfterError::Stop),
            (ErrorClass::Fraud, AfterError::Stop),
        ] {
            for channel in Channel::ALL {
                assert_eq!(after_error(class, channel), next, "{class:?} {channel:?}");
            }
        }
        assert_eq!(after_error(ErrorClass::OptedOut, Channel::Sms), AfterError::OtherChannel);
        assert_eq!(after_error(ErrorClass::OptedOut, Channel::WhatsApp), AfterError::Stop);
        assert_eq!(after_error(ErrorClass::OptedOut, Channel::Call), AfterError::Stop);
    }

    #[test]
    fn a_text_stands_in_for_whatsapp_and_telegram_and_a_call_for_a_text() {
        for (channel, voice, expected) in [
            (Channel::WhatsApp, false, Some(Channel::Sms)),
            (Channel::WhatsApp, true, Some(Channel::Sms)),
            (Channel::Telegram, false, Some(Channel::Sms)),
            (Channel::Sms, true, Some(Channel::Call)),
            (Channel::Sms, false, None),
            (Channel::Call, true, None),
            (Channel::Call, false, None),
        ] {
            assert_eq!(stand_in(channel, voice), expected, "{channel:?} {voice}");
        }
    }

    #[test]
    fn the_wait_doubles_up_to_the_cap_and_half_of_it_is_random() {
        for (retries, shortest, longest) in [
            (0, 250, 500),
            (1, 500, 1_000),
            (2, 1_000, 2_000),
            (6, 16_000, 32_000),
            (7, 30_000, 60_000),
            (19, 30_000, 60_000),
        ] {
            assert_eq!(retry(&SETTINGS, inputs(retries), 0), Ok(after_ms(shortest)));
            assert_eq!(retry(&SETTINGS, inputs(retries), u32::MAX), Ok(after_ms(longest)));
            let Ok(due) = retry(&SETTINGS, inputs(retries), u32::MAX / 3) else { panic!("a retry") };
            assert!(due > after_ms(shortest) && due < after_ms(longest));
        }
    }

    #[test]
    fn it_is_never_tried_before_the_moment_that_the_provider_names() {
        let not_before = after_ms(90_000);
        for (random, due) in [(0, 90_000), (u32::MAX, 90_250)] {
            let inputs = RetryInputs { not_before, ..inputs(0) };
            assert_eq!(retry(&SETTINGS, inputs, random), Ok(after_ms(due)));
        }
        let past = RetryInputs { not_before: Timestamp::EPOCH, ..inputs(0) };
        assert_eq!(retry(&SETTINGS, past, 0), Ok(after_ms(250)));
    }

    #[test]
    fn a_code_that_has_expired_by_then_is_not_tried_again() {
        let expiring = |ms| RetryInputs { expires: after_ms(ms), ..inputs(0) };
        assert_eq!(retry(&SETTINGS, expiring(251), 0), Ok(after_ms(250)));
        assert_eq!(retry(&SETTINGS, expiring(250), 0), TOO_LATE);
        assert_eq!(retry(&SETTINGS, expiring(0), 0), TOO_LATE);
        let in_years = RetryInputs { not_before: Timestamp::from_millis(u64::MAX), ..inputs(0) };
        assert_eq!(retry(&SETTINGS, in_years, u32::MAX), TOO_LATE);
    }

    #[test]
    fn a_step_with_another_behind_it_is_tried_no_longer_than_it_may_take() {
        let patient =
            |retries, secs| RetryInputs { step_timeout: Some(Duration::from_secs(secs)), ..inputs(retries) };
        // 0.5 s have passed, and the next wait is 0.5 s at least.
        assert_eq!(retry(&SETTINGS, patient(1, 1), 0), Ok(after_ms(500)));
        assert_eq!(retry(&SETTINGS, patient(1, 1), u32::MAX), TOO_LATE);
        // 7.5 s have passed, and the next wait is 4 s at least.
        assert_eq!(retry(&SETTINGS, patient(4, 12), 0), Ok(after_ms(4_000)));
        assert_eq!(retry(&SETTINGS, patient(4, 11), 0), TOO_LATE);
        let boundless = RetrySettings { max_retries: u32::MAX, ..SETTINGS };
        let late = retry(&boundless, patient(u32::MAX - 1, 1_800), 0);
        assert_eq!(late, TOO_LATE);
    }
}
