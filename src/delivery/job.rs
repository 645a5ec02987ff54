//! What delivery is asked to do, and what it answers.

use super::DeliveryError;
use super::tracker::{FollowUp, Parcel};
use crate::domain::{Channel, Code, Held};

/// One message to deliver. Has no `Debug`: it contains a code.
pub struct Job {
    /// The verification: whom it goes to, how it is worded, and when it is worth nothing any more.
    pub about: Parcel,
    /// How it gets there. A follow-up brings its own.
    pub channel: Channel,
    /// The code.
    pub code: Code,
    /// The gateway that keeps this verification's code, because an earlier message was its own. No other
    /// can repeat the code, so only that one is asked.
    pub held: Option<Held>,
    /// Whether only gateways that carry our code may be asked: the caller chose it.
    pub ours_only: bool,
    /// Why it is sent.
    pub purpose: Purpose,
}

/// Why a message is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// Somebody asked for it and waits.
    Request,
    /// Its time has come.
    FollowUp(FollowUp),
}

/// How a delivery ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivered {
    /// A gateway took the message.
    Accepted {
        /// The provider's own id of the message.
        message_id: String,
        /// Who keeps the code, if not we.
        held: Option<Held>,
    },
    /// No gateway took it. It is tried again in the background, also after a restart.
    Postponed {
        /// An id of ours: `postponed-` and the attempt that is to be repeated.
        message_id: String,
    },
    /// No gateway took it, and none is asked again.
    Failed {
        /// Why.
        error: DeliveryError,
        /// Who keeps the code if the message was sent after all: only for an outcome in doubt.
        held: Option<Held>,
    },
}
