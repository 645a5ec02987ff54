//! What a shard is asked to do, and where its answer goes.

use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{CheckAnswer, Facts, Limit, Refusal, SendAnswer, Told, Trouble};
use crate::delivery::Purpose;
use crate::delivery::tracker::{Due, VerifyStatus};
use crate::domain::{Channel, Code, PhoneNumber, ServiceId, TrackKey};
use crate::engine::{CheckPermit, CheckResult, Ending, SendOptions, SendPermit, VerificationName};
use crate::template::MessageStyle;

pub use crate::engine::SendResult as SendEnd;

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

    /// Whether it reports how something ended. Such a command is never refused for want of room, and
    /// never waits for a check that is being asked: it may be what ends it.
    pub const fn is_a_report(&self) -> bool {
        match self.kind {
            CommandKind::Settle(_) | CommandKind::SettleCheck(_) => true,
            CommandKind::Send(_) | CommandKind::Resume(_) | CommandKind::Check(_) | CommandKind::End(_) => {
                false
            }
        }
    }
}

impl Command {
    /// Whether it leaves state behind even if nothing was known of its number. Everything else about
    /// such a number comes to nothing.
    pub const fn remembers_a_new_number(&self) -> bool {
        match self.kind {
            CommandKind::Send(_) => true,
            CommandKind::Resume(_)
            | CommandKind::Check(_)
            | CommandKind::End(_)
            | CommandKind::Settle(_)
            | CommandKind::SettleCheck(_) => false,
        }
    }
}

/// What is asked. Each kind carries its own decision, which leaves only when it is durable.
#[derive(Debug)]
pub enum CommandKind {
    /// Send a code.
    Send(SendCommand),
    /// Send the code that is out once more.
    Resume(ResumeCommand),
    /// Check a code.
    Check(CheckCommand),
    /// End a verification, or what was counted of a number.
    End(EndCommand),
    /// Take note of what the gateway did with a send.
    Settle(SettleCommand),
    /// Take note of what the gateway that holds a code said about a submitted one.
    SettleCheck(SettleCheckCommand),
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
    /// What is asked for beside a message, if a verification is to begin by itself.
    pub begin: Option<BeginWishes>,
    /// Where the answer goes once the gateway has answered too.
    pub reply: Reply<Told<SendAnswer>>,
    /// The decision.
    pub decided: Option<SendDecision>,
}

/// What is asked for beside a message.
#[derive(Debug, Clone, Default)]
pub struct BeginWishes {
    /// The code, where the caller brings one.
    pub brought: Option<Code>,
    /// Whether it is a test number: nobody is sent anything, and nothing is limited.
    pub is_test: bool,
}

/// What was decided about a send.
#[derive(Debug, Clone, Copy)]
pub enum SendDecision {
    /// Hand it to delivery.
    Permitted(SendPermit),
    /// Answer at once: nobody is sent anything.
    Silent(SendPermit),
    /// Refuse.
    Locked {
        /// Until the number may ask again.
        remaining: Duration,
    },
    /// Refuse by a rule.
    Limited(Limit, Option<Facts>),
}

/// Send the code that is out once more: nobody asked for that now, it was planned.
#[derive(Debug)]
pub struct ResumeCommand {
    /// What is to be sent.
    pub due: Box<Due>,
    /// Where it is told what came of it.
    pub reply: Reply<FollowedUp>,
    /// The decision.
    pub decided: Option<ResumeDecision>,
}

/// What was decided about a planned send.
#[derive(Debug, Clone, Copy)]
pub enum ResumeDecision {
    /// Hand it to delivery.
    Permitted(SendPermit),
    /// The code is not worth sending any more.
    NotUsable,
}

/// What became of a planned send, as far as whoever planned it must act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FollowedUp {
    /// Delivery had it, and has noted what came of it.
    Done,
    /// The code was used, replaced or locked, or it has expired.
    NotUsable,
    /// Delivery had no room for it; nothing was sent.
    NoRoom,
}

/// Check a code.
#[derive(Debug)]
pub struct CheckCommand {
    /// What was submitted; `None` when it cannot be a code.
    pub code: Option<Code>,
    /// Which verification the caller named.
    pub named: Option<VerificationName>,
    /// Whether it is a test number's.
    pub is_test: bool,
    /// Where the answer goes.
    pub reply: Reply<Told<CheckAnswer>>,
    /// The decision.
    pub decided: Option<CheckDecision>,
}

/// What was decided about a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckDecision {
    /// Answer, and tell the tracker if there was a verification.
    Answer(Told<CheckAnswer>, Option<CheckNote>),
    /// Ask the gateway that holds the code.
    Ask(CheckPermit),
}

/// What the tracker is told about a verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckNote {
    /// Which one.
    pub key: TrackKey,
    /// What became of it.
    pub status: VerifyStatus,
}

/// Take note of what the gateway that holds a code said about a submitted one.
#[derive(Debug)]
pub struct SettleCheckCommand {
    /// The permit that it was asked with.
    pub permit: CheckPermit,
    /// What it said.
    pub result: CheckResult,
    /// The reply of the check.
    pub reply: Reply<Told<CheckAnswer>>,
    /// The decision.
    pub decided: Option<(Told<CheckAnswer>, CheckNote)>,
}

/// End a verification, or what was counted of a number.
#[derive(Debug)]
pub struct EndCommand {
    /// How.
    pub ending: Ending,
    /// Which verification; `None` for whatever is under way.
    pub named: Option<VerificationName>,
    /// Where the answer goes.
    pub reply: Reply<Told<()>>,
    /// The decision.
    pub decided: Option<(Told<()>, Option<CheckNote>)>,
}

/// Take note of what the gateway did with a send.
#[derive(Debug)]
pub struct SettleCommand {
    /// The permit that the send was made with.
    pub permit: SendPermit,
    /// How it ended.
    pub end: SendEnd,
    /// What a gateway said, if it took no message.
    pub trouble: Option<Trouble>,
    /// Who is told.
    pub caller: Caller,
    /// The decision.
    pub decided: Option<Result<Told<SendAnswer>, Refusal>>,
}

/// Who waits for the end of a send.
#[derive(Debug)]
pub enum Caller {
    /// Somebody who asked for it.
    Client(Reply<Told<SendAnswer>>),
    /// Whoever sees to it that planned sends are made.
    FollowUp(Reply<FollowedUp>),
}

impl Caller {
    /// Tells them. A planned send has been made, or not, whatever became of the decision about it: it
    /// must not be made again because the store failed.
    pub fn answer(self, end: &SendEnd, answer: Result<Told<SendAnswer>, Refusal>) {
        match self {
            Self::Client(reply) => reply.send(answer),
            Self::FollowUp(reply) => reply.send(Ok(match end {
                SendEnd::NoLongerUsable => FollowedUp::NotUsable,
                SendEnd::Overloaded => FollowedUp::NoRoom,
                SendEnd::Accepted { .. }
                | SendEnd::Postponed { .. }
                | SendEnd::NumberRefused
                | SendEnd::Failed { .. } => FollowedUp::Done,
            })),
        }
    }
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
    /// Why it is sent.
    pub purpose: Purpose,
    /// Who is told in the end.
    pub caller: Caller,
}

/// A question for the gateway that holds a code, now that the attempt is durably counted.
#[derive(Debug)]
pub struct Ask {
    /// Whose code it is.
    pub key: NumberKey,
    /// The right to ask, to be settled with the answer.
    pub permit: CheckPermit,
    /// What was submitted.
    pub code: Code,
    /// Where the answer goes in the end.
    pub reply: Reply<Told<CheckAnswer>>,
}
