//! Planned messages: the later send, and the progress of an attempt.

use serde::{Deserialize, Serialize};

use crate::domain::{Channel, Timestamp};
use crate::guard::Ticket;
use crate::named::named;

named! {
    ALL:
    /// The progress of an attempt. Records contain the position in this order.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
    pub enum SendStatus {
        /// Not tried yet.
        New = "new",
        /// The gateway refused it, failed, or did not answer.
        GatewayError = "gateway_error",
        /// The gateway took it.
        Sent = "sent",
        /// It is not tried any more.
        Unsendable = "unsendable",
    }
}

/// What the pumping guard has taken for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Allowance {
    /// Nothing: the request asked for no check.
    Exempt,
    /// This, and no message may have left. It is given back if none leaves.
    Held(Ticket),
    /// One message, and one may have left. The next step takes its own.
    Spent,
}

impl Allowance {
    /// What the guard gets back if no message leaves any more.
    pub const fn held(&self) -> Option<Ticket> {
        match self {
            Self::Held(ticket) => Some(*ticket),
            Self::Exempt | Self::Spent => None,
        }
    }
}

/// A message that is to be sent later, while no client waits for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowUp {
    /// When.
    pub due: Timestamp,
    /// The channel of the next attempt.
    pub channel: Channel,
    /// Why.
    pub reason: Reason,
    /// The step of the workflow that it belongs to, from 0.
    pub step: u8,
    /// Messages that gateways have taken for this verification so far.
    pub sent: u8,
    /// What the guard has taken for it.
    pub allowance: Allowance,
}

/// Why a message is sent later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// No gateway took it yet.
    Retry {
        /// The number of the attempt that is repeated.
        attempt: u8,
        /// Retries made so far.
        retries: u32,
    },
    /// It is the next step's turn, unless the message before it arrives.
    NextStep,
}
