//! What a shard is asked to do, and where its answer goes.

use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{CheckAnswer, Refusal, SendAnswer};
use crate::domain::{Channel, Code, PhoneNumber, ServiceId};
use crate::engine::{SendOptions, SendPermit};
use crate::template::MessageStyle;

/// A number in a service: what state is kept for, and what decides which shard owns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NumberKey {
    /// The namespace.
    pub service: ServiceId,
    /// The number.
    pub number: PhoneNumber,
}

/// Where an answer goes. Holds the command's place among the commands in flight until then.
#[derive(Debug)]
pub struct Reply<T> {
    sender: oneshot::Sender<Result<T, Refusal>>,
    _place: OwnedSemaphorePermit,
}

/// The end at which an answer arrives. An error means that the shard dropped the command: it has
/// failed and restarts.
pub type Answer<T> = oneshot::Receiver<Result<T, Refusal>>;

impl<T> Reply<T> {
    /// A reply and the end at which its answer arrives.
    pub fn new(place: OwnedSemaphorePermit) -> (Self, Answer<T>) {
        let (sender, receiver) = oneshot::channel();
        (Self { sender, _place: place }, receiver)
    }

    /// Answers. A caller that has gone away does not change what was decided.
    pub fn send(self, answer: Result<T, Refusal>) {
        let _ = self.sender.send(answer);
    }
}

/// One command about one number.
#[derive(Debug)]
pub struct Command {
    /// Whom it is about.
    pub key: NumberKey,
    /// What is asked, and the decision once it is made.
    pub kind: CommandKind,
    /// How often another writer of the store came first.
    pub conflicts: u8,
}

impl Command {
    /// A command that has not been tried yet.
    pub fn new(key: NumberKey, kind: CommandKind) -> Self {
        Self { key, kind, conflicts: 0 }
    }
}

/// What is asked. Each kind carries its own decision, which leaves only when it is durable.
#[derive(Debug)]
pub enum CommandKind {
    /// Send a code.
    Send(SendCommand),
    /// Check a code.
    Check(CheckCommand),
    /// Take note of what the gateway did with a send.
    Settle(SettleCommand),
}

/// Send a code.
#[derive(Debug)]
pub struct SendCommand {
    /// What the code is like; `None` for the service's own.
    pub options: Option<SendOptions>,
    /// How the code is sent.
    pub channel: Channel,
    /// How the message is worded.
    pub style: MessageStyle,
    /// Where the answer goes once the gateway has answered too.
    pub reply: Reply<SendAnswer>,
    /// The decision.
    pub decided: Option<SendDecision>,
}

/// What was decided about a send.
#[derive(Debug, Clone, Copy)]
pub enum SendDecision {
    /// Hand it to delivery.
    Permitted(SendPermit),
    /// Refuse.
    Locked {
        /// Until the number may ask again.
        remaining: Duration,
    },
}

/// Check a code.
#[derive(Debug)]
pub struct CheckCommand {
    /// What was submitted; `None` when it cannot be a code.
    pub code: Option<Code>,
    /// Where the answer goes.
    pub reply: Reply<CheckAnswer>,
    /// The decision.
    pub decided: Option<CheckAnswer>,
}

/// Take note of what the gateway did with a send.
#[derive(Debug)]
pub struct SettleCommand {
    /// The permit that the send was made with.
    pub permit: SendPermit,
    /// How it ended.
    pub end: SendEnd,
    /// The reply of the send.
    pub reply: Reply<SendAnswer>,
    /// The decision.
    pub decided: Option<Result<SendAnswer, Refusal>>,
}

/// How a send ended, as far as the number's state and its caller's answer care.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendEnd {
    /// The provider accepted the message.
    Accepted {
        /// The provider's id of the message.
        message_id: String,
    },
    /// The number does not exist or cannot take messages; nothing was sent.
    NumberRefused,
    /// The provider refused otherwise, or did not answer in time.
    Failed {
        /// Whether the message may arrive all the same.
        may_have_been_sent: bool,
    },
    /// Too many messages were waiting; this one was not sent.
    Overloaded,
}

/// A send to hand to delivery, now that its decision is durable.
#[derive(Debug)]
pub struct Dispatch {
    /// Whom it goes to.
    pub key: NumberKey,
    /// The right to send, to be settled with the gateway's answer.
    pub permit: SendPermit,
    /// How the code is sent.
    pub channel: Channel,
    /// How the message is worded.
    pub style: MessageStyle,
    /// Where the answer goes in the end.
    pub reply: Reply<SendAnswer>,
}
