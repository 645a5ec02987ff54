//! Why a message was not sent, for the log, the record of the attempt, and the caller.

use super::plan::Dropped;
use crate::domain::{Channel, Timestamp};
use crate::engine::{PossiblySent, SendResult};
use crate::gateway::{ErrorClass, GatewayError};

/// Twilio's codes for a country that the account may not send to: `docs/reference/gateways.md`.
const COUNTRY: [u32; 4] = [21_408, 21_215, 13_227, 60_605];

/// Why no gateway accepted a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum DeliveryError {
    /// The gateway refused or failed, or its answer could not be understood.
    #[error(transparent)]
    Gateway(GatewayError),
    /// The gateway's time ended while it had the message: it may arrive.
    #[error("the gateway did not answer in time; the message may arrive or not")]
    NoAnswerInTime,
    /// The budget ended before a gateway was asked.
    #[error("the send budget ended before the gateway could be asked; nothing was sent")]
    TimedOutWaiting,
    /// The code was used, replaced or locked, or it expired, before the message left.
    #[error("the code could no longer be used; nothing was sent")]
    NoLongerUsable,
    /// The shard does not answer, or the node may have lost its lease in the cluster.
    #[error("it is unknown whether the code can still be used; nothing was sent")]
    StateUnknown,
    /// The queue of the gateway was full, or a permit would have come too late.
    #[error("too many messages are waiting for the gateway; nothing was sent")]
    Overloaded,
    /// The circuit of every gateway for this number is open.
    #[error("every gateway for this number is out of service; nothing was sent")]
    OutOfService {
        /// When the next message may probe one of them.
        until: Timestamp,
    },
    /// No gateway for this number serves the channel, or none that can repeat the code.
    #[error("no gateway that is configured for this number sends by {}; nothing was sent", .0.as_str())]
    NotServed(Channel),
    /// A budget of messages or money is spent.
    #[error("a budget of messages is spent; nothing was sent")]
    BudgetSpent {
        /// The end of its hour or day.
        until: Timestamp,
    },
    /// The store did not take the record of a budget.
    #[error("the budget of messages cannot be stored; nothing was sent")]
    BudgetUnknown,
    /// The verification has cost as many messages as it may.
    #[error("the verification has cost as many messages as it may; nothing was sent")]
    TooManyMessages,
}

/// The reason in the log when a gateway did not answer.
pub(super) const NO_ANSWER: &str = "no answer in time";

/// Why no gateway accepted a message, as far as a caller can act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureReason {
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
    /// The circuit of every gateway for the number is open.
    OutOfService {
        /// When the next message may probe one of them.
        until: Timestamp,
    },
    /// A budget of messages or money is spent.
    BudgetSpent {
        /// The end of its hour or day.
        until: Timestamp,
    },
    /// It is unknown whether the code is still live.
    StateUnknown,
    /// Any other reason on the provider's side.
    Gateway,
}

impl FailureReason {
    /// Says why the number itself is the reason; `None` for other reasons. Another request for it on this channel fails
    /// too.
    pub const fn number_problem(self) -> Option<&'static str> {
        match self {
            Self::BadNumber => Some("the provider says that the number does not exist"),
            Self::NotReachable => Some("the provider says that the number cannot be reached on this channel"),
            Self::OptedOut => Some("the owner of the number has asked the provider for no messages"),
            Self::Blocked
            | Self::Country
            | Self::NotServed
            | Self::OutOfService { .. }
            | Self::BudgetSpent { .. }
            | Self::StateUnknown
            | Self::Gateway => None,
        }
    }

    /// Whether the number itself is the reason.
    pub const fn is_about_the_number(self) -> bool {
        self.number_problem().is_some()
    }
}

impl DeliveryError {
    /// The result of a send that ends with this error.
    pub(super) fn result(&self, may_have_been_sent: Option<PossiblySent>) -> SendResult {
        match (may_have_been_sent, self) {
            (None, Self::Overloaded | Self::BudgetUnknown) => SendResult::Overloaded,
            (None, Self::NoLongerUsable) => SendResult::NoLongerUsable,
            (None, _) if self.reason().is_about_the_number() => SendResult::NumberRefused,
            (may_have_been_sent, _) => SendResult::Failed { may_have_been_sent },
        }
    }

    /// Why a planned message that ended with this error is dropped.
    pub(super) const fn dropped(&self) -> Dropped {
        match self {
            Self::NoLongerUsable => Dropped::NotUsable,
            Self::TooManyMessages | Self::BudgetSpent { .. } => Dropped::BudgetSpent,
            Self::Gateway(_)
            | Self::NoAnswerInTime
            | Self::TimedOutWaiting
            | Self::Overloaded
            | Self::BudgetUnknown
            | Self::OutOfService { .. }
            | Self::NotServed(_)
            | Self::StateUnknown => Dropped::Refused,
        }
    }

    /// The reason for the caller.
    pub(super) fn reason(&self) -> FailureReason {
        match self {
            Self::NotServed(_) => FailureReason::NotServed,
            Self::BudgetSpent { until } => FailureReason::BudgetSpent { until: *until },
            Self::StateUnknown => FailureReason::StateUnknown,
            Self::OutOfService { until } => FailureReason::OutOfService { until: *until },
            Self::Gateway(error) if error.code.is_some_and(|code| COUNTRY.contains(&code)) => {
                FailureReason::Country
            }
            Self::Gateway(error) => match error.class {
                ErrorClass::BadNumber => FailureReason::BadNumber,
                ErrorClass::NotReachableHere => FailureReason::NotReachable,
                ErrorClass::OptedOut => FailureReason::OptedOut,
                ErrorClass::Fraud => FailureReason::Blocked,
                ErrorClass::Retry { .. }
                | ErrorClass::Configuration
                | ErrorClass::Refused
                | ErrorClass::Ambiguous => FailureReason::Gateway,
            },
            Self::NoAnswerInTime
            | Self::TimedOutWaiting
            | Self::NoLongerUsable
            | Self::Overloaded
            | Self::BudgetUnknown
            | Self::TooManyMessages => FailureReason::Gateway,
        }
    }
}
