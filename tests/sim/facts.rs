//! Facts about one number: what clients, gateways and the disk see, and the order in which the shard decides. The checker
//! uses nothing else.

use onceward::domain::Timestamp;
use onceward::engine::CheckResult;
use onceward::shard::Fate;
use onceward::verification::{CheckOutcome, Failure, Refusal, SendOutcome};

use crate::number::{Memory, Step};

pub type CommandId = u64;

/// An error says which promise is broken.
pub type Checked = Result<(), String>;

/// A code, by the salt of its verification; shortened for display.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Salted(pub [u8; 16]);

impl std::fmt::Debug for Salted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self([a, b, c, ..]) = self;
        write!(f, "#{a:02x}{b:02x}{c:02x}")
    }
}

/// One event of one number.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// The event of the world that showed it. Facts of one event are in the order in which they happened.
    pub call: u64,
    pub number: usize,
    pub shard: usize,
    /// The time of the shard, in milliseconds.
    pub at: u64,
    /// The shard refuses new commands with `StoreUnavailable`.
    pub refuses: bool,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq)]
pub enum What {
    Command(CommandId, Stage),
    /// The disk has the decisions before this event.
    Stored(u64, Memory),
    /// The shard starts again from the disk, which has the decisions before this event.
    Reloaded(u64, Memory),
    /// Delivery asked whether a code is still usable.
    Usable {
        salt: Salted,
        said: bool,
    },
}

/// What happens to a command.
#[derive(Debug, Clone, PartialEq)]
pub enum Stage {
    Asked {
        step: Step,
        /// Otherwise the shard restarts, and `Stopping` is the answer.
        has_shard: bool,
    },
    /// The shard hears what became of its message.
    SendEnded(End),
    /// The shard hears a gateway's answer about its code.
    CheckEnded(CheckResult),
    /// The shard decides it.
    Decided {
        /// Whether a planned message was due under the key that it has.
        is_due: bool,
        /// The number's code afterwards. Only of a new code is it news, because it is drawn.
        drawn: Option<Salted>,
    },
    /// Its decision is durable or has failed, and its effects follow.
    Ended(Fate),
    /// Delivery got its message.
    Dispatched {
        salt: Salted,
        code: String,
        expires: u64,
    },
    /// A gateway that holds a code got the submitted one.
    Consulted {
        until: u64,
    },
    Answered(Outcome),
}

/// The end of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// A gateway accepted a message with our code.
    Ours,
    /// A gateway that holds the code accepted a message.
    Held,
    Postponed,
    /// Our code may have left.
    MaybeOurs,
    /// A gateway's own code may have left.
    MaybeHeld,
    // Surely nothing was sent.
    Failed,
    NumberRefused,
    Overloaded,
    NoLongerUsable,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Send(SendOutcome),
    Check(CheckOutcome),
    /// A planned send was made, or nothing is to be sent.
    Followed,
    Refused(Refusal),
    /// The shard or the process died with it.
    Dropped,
}

impl Outcome {
    pub const fn locked(until: u64) -> Self {
        Self::Send(Err(Failure::Locked { until: Timestamp::from_millis(until) }))
    }
}
