//! Why a message was not sent, for the log, the record of the attempt, and the caller.

use super::plan::Dropped;
use crate::domain::{Channel, Held};
use crate::engine::SendResult;
use crate::gateway::{ErrorClass, GatewayError};

/// Twilio's codes for a country that the account may not send to: `docs/reference/gateways.md`.
const COUNTRY: [u32; 4] = [21_408, 21_215, 13_227, 60_605];

/// Why no gateway accepted a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum DeliveryError {
    /// The gateway refused or failed, or its answer could not be understood.
    #[error(transparent)]
    Gateway(GatewayError),
    /// The budget ended while the gateway had the message: it may arrive.
    #[error("the gateway did not answer within the send budget; the message may arrive or not")]
    NoAnswerInTime,
    /// The budget ended before the gateway was asked.
    #[error("the send budget ended before the gateway could be asked; nothing was sent")]
    TimedOutWaiting,
    /// The code was used, replaced or locked, or it expired, before the message left.
    #[error("the code could no longer be used; nothing was sent")]
    NoLongerUsable,
    /// The queue of the gateway was full, or a permit would have come too late.
    #[error("too many messages are waiting for the gateway; nothing was sent")]
    Overloaded,
    /// The circuit of every gateway for this number is open.
    #[error("every gateway for this number is out of service; nothing was sent")]
    OutOfService,
    /// No gateway for this number serves the channel, or none that can repeat the code.
    #[error("no gateway that is configured for this number sends by {}; nothing was sent", .0.as_str())]
    NotServed(Channel),
    /// The verification has cost as many messages as it may.
    #[error("the verification has cost as many messages as it may; nothing was sent")]
    TooManyMessages,
}

/// The reason in the log when a gateway did not answer.
pub(super) const NO_ANSWER: &str = "no answer within the send budget";

/// Why a gateway took no message, as far as a caller can act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The number does not exist.
    BadNumber,
    /// The number cannot be reached on this channel, such as a landline by a text message.
    NotReachable,
    /// The owner of the number asked not to receive messages.
    OptedOut,
    /// The provider blocks the number as fraud.
    Blocked,
    /// The account may not send to the number's country.
    Country,
    /// No configured gateway sends on this channel.
    NotServed,
    /// It is unknown whether a message was sent.
    InDoubt,
    /// Any other reason on the provider's side. Nothing was sent.
    Gateway,
}

impl DeliveryError {
    /// Whether the message may have left, or may yet. `false` is certain.
    pub(super) fn may_have_been_sent(&self) -> bool {
        self.class().is_some_and(ErrorClass::may_have_been_sent)
    }

    /// The class of the gateway's error; `None` when no gateway was asked.
    const fn class(&self) -> Option<ErrorClass> {
        match self {
            Self::Gateway(error) => Some(error.class),
            Self::NoAnswerInTime => Some(ErrorClass::Ambiguous),
            Self::TimedOutWaiting
            | Self::NoLongerUsable
            | Self::Overloaded
            | Self::OutOfService
            | Self::NotServed(_)
            | Self::TooManyMessages => None,
        }
    }

    /// The result of the send. `held` names the gateway that holds the code if the message was sent after all.
    pub(super) fn result(&self, held: Option<Held>) -> SendResult {
        match self {
            Self::Overloaded => SendResult::Overloaded,
            Self::NoLongerUsable => SendResult::NoLongerUsable,
            error if error.class().is_some_and(ErrorClass::is_about_the_number) => SendResult::NumberRefused,
            error => SendResult::Failed { may_have_been_sent: error.may_have_been_sent(), held },
        }
    }

    /// Why a planned message that ended with this error is dropped.
    pub(super) const fn dropped(&self) -> Dropped {
        match self {
            Self::NoLongerUsable => Dropped::NotUsable,
            Self::TooManyMessages => Dropped::BudgetSpent,
            Self::Gateway(_)
            | Self::NoAnswerInTime
            | Self::TimedOutWaiting
            | Self::Overloaded
            | Self::OutOfService
            | Self::NotServed(_) => Dropped::Refused,
        }
    }

    /// The reason for the caller.
    pub(super) fn trouble(&self) -> Trouble {
        match self {
            error if error.may_have_been_sent() => Trouble::InDoubt,
            Self::NotServed(_) => Trouble::NotServed,
            Self::Gateway(error) if error.code.is_some_and(|code| COUNTRY.contains(&code)) => {
                Trouble::Country
            }
            Self::Gateway(error) => match error.class {
                ErrorClass::BadNumber => Trouble::BadNumber,
                ErrorClass::NotReachableHere => Trouble::NotReachable,
                ErrorClass::OptedOut => Trouble::OptedOut,
                ErrorClass::Fraud => Trouble::Blocked,
                ErrorClass::Retry { .. }
                | ErrorClass::Configuration
                | ErrorClass::Refused
                | ErrorClass::Ambiguous => Trouble::Gateway,
            },
            Self::NoAnswerInTime
            | Self::TimedOutWaiting
            | Self::NoLongerUsable
            | Self::Overloaded
            | Self::OutOfService
            | Self::TooManyMessages => Trouble::Gateway,
        }
    }
}
