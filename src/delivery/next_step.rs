//! The step after a gateway's error.

use std::time::Duration;

use crate::config::OnAmbiguous;
use crate::domain::Channel;
use crate::gateway::ErrorClass;

/// The wait before a gateway is asked once more when it did not ask for one.
const WAIT: Duration = Duration::from_millis(500);

/// The next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NextStep {
    /// Ask the next gateway.
    NextGateway,
    /// Reach the number in another way.
    OtherChannel,
    /// Ask no gateway any more, now or later.
    Stop,
}

/// The step after an error of this class.
pub(super) const fn next_step(class: ErrorClass, silent: OnAmbiguous) -> NextStep {
    match (class, silent) {
        // A person gets the same code twice at worst.
        (ErrorClass::Ambiguous, OnAmbiguous::Next)
        | (ErrorClass::Retry { .. } | ErrorClass::Configuration | ErrorClass::Refused, _) => {
            NextStep::NextGateway
        }
        (ErrorClass::NotReachableHere, _) => NextStep::OtherChannel,
        // Every gateway would refuse this number or respect its owner's opt-out. A blocked fraud attempt must not reach
        // another gateway.
        (ErrorClass::Ambiguous, OnAmbiguous::Stop)
        | (ErrorClass::BadNumber | ErrorClass::OptedOut | ErrorClass::Fraud, _) => NextStep::Stop,
    }
}

/// The channel that stands in for one which does not reach a number. A call reaches every telephone,
/// so nothing stands in for it.
pub(super) const fn stand_in(channel: Channel, voice: bool) -> Option<Channel> {
    match channel {
        Channel::WhatsApp => Some(Channel::Sms),
        Channel::Sms if voice => Some(Channel::Call),
        Channel::Sms | Channel::Call => None,
    }
}

/// The wait before a gateway that surely sent nothing is asked once more within the budget: `None`
/// when that does not fit what is `left` of it. An attempt is worth its while with `least` time.
pub(super) fn once_more(after: Option<Duration>, left: Duration, least: Duration) -> Option<Duration> {
    let wait = after.unwrap_or(WAIT);
    (wait.saturating_add(least) <= left).then_some(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_and_the_setting_say_what_comes_next() {
        for (class, next) in [
            (ErrorClass::Retry { after: None }, NextStep::NextGateway),
            (ErrorClass::Retry { after: Some(Duration::MAX) }, NextStep::NextGateway),
            (ErrorClass::Configuration, NextStep::NextGateway),
            (ErrorClass::Refused, NextStep::NextGateway),
            (ErrorClass::NotReachableHere, NextStep::OtherChannel),
            (ErrorClass::BadNumber, NextStep::Stop),
            (ErrorClass::OptedOut, NextStep::Stop),
            (ErrorClass::Fraud, NextStep::Stop),
        ] {
            for silent in [OnAmbiguous::Next, OnAmbiguous::Stop] {
                assert_eq!(next_step(class, silent), next, "{class:?}");
            }
        }
        assert_eq!(next_step(ErrorClass::Ambiguous, OnAmbiguous::Next), NextStep::NextGateway);
        assert_eq!(next_step(ErrorClass::Ambiguous, OnAmbiguous::Stop), NextStep::Stop);
    }

    #[test]
    fn a_text_message_stands_in_for_whatsapp_and_a_call_for_a_text_message() {
        for (channel, voice, expected) in [
            (Channel::WhatsApp, false, Some(Channel::Sms)),
            (Channel::WhatsApp, true, Some(Channel::Sms)),
            (Channel::Sms, true, Some(Channel::Call)),
            (Channel::Sms, false, None),
            (Channel::Call, true, None),
            (Channel::Call, false, None),
        ] {
            assert_eq!(stand_in(channel, voice), expected, "{channel:?} {voice}");
        }
    }

    #[test]
    fn a_gateway_is_asked_once_more_only_when_that_fits_the_budget() {
        let ms = Duration::from_millis;
        for (after, left_ms, expected) in [
            (None, 10_000, Some(ms(500))),
            (None, 1_500, Some(ms(500))),
            (None, 1_499, None),
            (None, 0, None),
            (Some(ms(3_000)), 10_000, Some(ms(3_000))),
            (Some(ms(0)), 1_000, Some(ms(0))),
            (Some(ms(9_000)), 10_000, Some(ms(9_000))),
            (Some(ms(9_001)), 10_000, None),
            (Some(Duration::MAX), 10_000, None),
        ] {
            assert_eq!(once_more(after, ms(left_ms), ms(1_000)), expected, "{after:?}, {left_ms} ms left");
        }
    }
}
