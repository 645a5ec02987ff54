//! Why a message was not delivered.

use crate::domain::Channel;
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
    #[error("the send budget ended before the gateway could be asked; nothing was sent")]
    TimedOutWaiting,
    /// The code was used, replaced or locked, or it expired, before the message left.
    #[error("the code could no longer be used; nothing was sent")]
    NoLongerUsable,
    /// As many messages as are allowed to wait for the gateway were waiting already.
    #[error("too many messages are waiting for the gateway; nothing was sent")]
    Overloaded,
    /// The circuit of every gateway for this number is open.
    #[error("every gateway for this number is out of service; nothing was sent")]
    OutOfService,
    /// No gateway for this number serves the channel, or none that can repeat the code.
    #[error("no gateway that is configured for this number sends by {}; nothing was sent", .0.as_str())]
    NotServed(Channel),
    /// The verification has cost as many messages as one may.
    #[error("the verification has cost as many messages as it may; nothing was sent")]
    TooManyMessages,
    /// It was to be tried again later, and that could not be made durable.
    #[error("the message could not be put off, for the disk did not take that down; nothing was sent")]
    NotRemembered,
}

impl DeliveryError {
    /// Whether the message may have left, or may yet. `false` is certain.
    pub const fn may_have_been_sent(&self) -> bool {
        match self {
            Self::Gateway(error) => error.class.may_have_been_sent(),
            Self::NoAnswerInTime => true,
            Self::TimedOutWaiting
            | Self::NoLongerUsable
            | Self::Overloaded
            | Self::OutOfService
            | Self::NotServed(_)
            | Self::TooManyMessages
            | Self::NotRemembered => false,
        }
    }

    /// What the gateway's error means; `None` when the gateway was not the reason.
    pub const fn class(&self) -> Option<ErrorClass> {
        match self {
            Self::Gateway(error) => Some(error.class),
            Self::NoAnswerInTime => Some(ErrorClass::Ambiguous),
            Self::TimedOutWaiting
            | Self::NoLongerUsable
            | Self::Overloaded
            | Self::OutOfService
            | Self::NotServed(_)
            | Self::TooManyMessages
            | Self::NotRemembered => None,
        }
    }

    /// Whether the number itself is the reason: it does not exist or cannot take messages.
    pub fn is_about_the_number(&self) -> bool {
        self.class().is_some_and(ErrorClass::is_about_the_number)
    }
}
