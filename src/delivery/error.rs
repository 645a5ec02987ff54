//! Why a message was not delivered.

use crate::gateway::{ErrorClass, GatewayError};

/// Why a delivery ended without the gateway's acceptance.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// The gateway refused, failed, or its answer could not be understood.
    #[error(transparent)]
    Gateway(GatewayError),
    /// The budget ended while the gateway had the message: it may arrive.
    #[error("the gateway did not answer within the send budget; the message may arrive or not")]
    NoAnswerInTime,
    /// The budget ended before the gateway was asked.
    #[error("no place at the gateway became free within the send budget; nothing was sent")]
    TimedOutWaiting,
    /// The code was used, replaced or locked, or it expired, before the message left.
    #[error("the code could no longer be used; nothing was sent")]
    NoLongerUsable,
    /// As many messages as are allowed to wait for the gateway were waiting already.
    #[error("too many messages are waiting for the gateway; nothing was sent")]
    Overloaded,
}

impl DeliveryError {
    /// Whether the message may have left, or may yet. `false` is certain.
    pub const fn may_have_been_sent(&self) -> bool {
        match self {
            Self::Gateway(error) => error.class.may_have_been_sent(),
            Self::NoAnswerInTime => true,
            Self::TimedOutWaiting | Self::NoLongerUsable | Self::Overloaded => false,
        }
    }

    /// What the gateway's error means; `None` when the gateway was not the reason.
    pub const fn class(&self) -> Option<ErrorClass> {
        match self {
            Self::Gateway(error) => Some(error.class),
            Self::NoAnswerInTime => Some(ErrorClass::Ambiguous),
            Self::TimedOutWaiting | Self::NoLongerUsable | Self::Overloaded => None,
        }
    }

    /// Whether the number itself is the reason: it does not exist or cannot take messages.
    pub fn is_about_the_number(&self) -> bool {
        self.class().is_some_and(ErrorClass::is_about_the_number)
    }
}
