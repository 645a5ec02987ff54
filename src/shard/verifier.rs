//! The front door: one handle that the HTTP layer and library users call.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::{Code, PhoneNumber, ServiceId};
use crate::engine::SendOptions;

/// Ask for a code to be sent.
#[derive(Debug, Clone)]
pub struct SendRequest {
    /// The namespace it is counted in.
    pub service: ServiceId,
    /// Whom it goes to.
    pub number: PhoneNumber,
    /// What the code is like; `None` for the service's own.
    pub options: Option<SendOptions>,
    /// The message's text, with `{code}` where the code goes (already expanded otherwise).
    pub template: Arc<str>,
}

/// Ask whether a code is right.
#[derive(Debug)]
pub struct CheckRequest {
    /// The namespace it is counted in.
    pub service: ServiceId,
    /// Whose code it is.
    pub number: PhoneNumber,
    /// What was submitted; `None` when it cannot be a code, which counts as a wrong one.
    pub code: Option<Code>,
}

/// What became of a send. Leaves the shard only when it is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendAnswer {
    /// The provider accepted the message.
    Sent {
        /// Wrong codes still allowed.
        attempts_left: u8,
        /// The provider's id of the message.
        message_id: String,
    },
    /// The number is locked out.
    Locked {
        /// Until it may ask again.
        remaining: Duration,
    },
    /// The provider says that the number does not exist or cannot take messages.
    NumberRefused,
    /// The provider refused otherwise, or did not answer in time.
    GatewayFailed,
}

/// What became of a check. Leaves the shard only when it is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckAnswer {
    /// The code was right, and is now used.
    Approved,
    /// It was not.
    Wrong {
        /// Wrong codes still allowed after this one.
        attempts_left: u8,
        /// Whether there was a live code to compare with.
        live: bool,
    },
    /// This wrong code used the last attempt: the number is locked from now on.
    LockedNow {
        /// Until it may ask again.
        remaining: Duration,
        /// Whether there was a live code to compare with.
        live: bool,
    },
    /// The number was locked already; the code was not looked at.
    Locked {
        /// Until it may ask again.
        remaining: Duration,
    },
}

/// Why a command was not decided. Nothing was guessed and nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Too many commands are waiting for an answer.
    #[error("too many requests are in progress")]
    Overloaded,
    /// Too many commands for this one number are waiting for an answer.
    #[error("too many requests for this number are in progress")]
    NumberBusy,
    /// The messages waiting for the gateway have filled their queue.
    #[error("too many messages are waiting for the gateway")]
    SendsOverloaded,
    /// The decision could not be made durable.
    #[error("the store is not available")]
    StoreUnavailable,
    /// The server is stopping, or the shard is restarting.
    #[error("the server is stopping or restarting")]
    Stopping,
}

/// A cheap handle on all shards.
#[derive(Debug, Clone)]
pub struct Verifier {}

impl Verifier {
    /// Sends a code and waits until the provider has accepted it. The command is carried out even
    /// if the caller goes away.
    pub async fn send(&self, _request: SendRequest) -> Result<SendAnswer, Refusal> {
        Err(Refusal::Stopping)
    }

    /// Checks a submitted code. The command is carried out even if the caller goes away.
    pub async fn check(&self, _request: CheckRequest) -> Result<CheckAnswer, Refusal> {
        Err(Refusal::Stopping)
    }
}
