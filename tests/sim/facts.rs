//! Facts that an observer of clients, gateways and the disk sees. The checker uses nothing else.

use onceward::engine::CheckResult;
use onceward::verification::{CheckOutcome, Refusal, SendOutcome};

pub type CommandId = u64;

/// An error says which promise is broken.
pub type Checked = Result<(), String>;

/// A verification, by its salt; shortened for display.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Salted(pub [u8; 16]);

impl std::fmt::Debug for Salted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self([a, b, c, ..]) = self;
        write!(f, "#{a:02x}{b:02x}{c:02x}")
    }
}

/// One event of one number. Times are milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// The shard's call that showed it. Facts are in the order of calls, and within one call in the order of the
    /// shard's decisions.
    pub call: u64,
    pub number: usize,
    pub shard: usize,
    /// When it was decided in the shard's own time: one of these two.
    pub at: [u64; 2],
    /// Whether the command was in a commit that ended or was given up in this call.
    pub in_commit: bool,
    pub what: What,
}

impl Fact {
    /// Whether it goes to delivery or a gateway instead of a client.
    pub const fn is_handed_over(&self) -> bool {
        matches!(self.what, What::Dispatched { .. } | What::Consulted { .. })
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum What {
    Asked(CommandId, Intent),
    Answered(CommandId, Stage, Outcome),
    /// Delivery got a message.
    Dispatched {
        command: CommandId,
        salt: Salted,
        code: String,
        expires: u64,
        planned: bool,
    },
    /// A gateway that holds a code got a submitted one.
    Consulted {
        until: u64,
    },
    /// A decision may have become durable without an answer to its client.
    Uncertain(CommandId, Stage),
    /// A commit that may contain this command's decision is durable. A message does not leave if a later command of the
    /// same commit made its code useless, and a gateway is not asked if the commit took too long; the client learns
    /// this after a further decision.
    MayBeDecided(CommandId),
    /// The shard, or the next owner of the number, has read it from the store, where an end until `latest` may be written.
    Reloaded {
        latest: u64,
    },
    /// Delivery asked whether a code is still usable, or a planned message was decided, which did not leave.
    Usable {
        salt: Salted,
        said: bool,
        planned: bool,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intent {
    /// Requests a code with this life.
    Send {
        life: u64,
    },
    Check {
        code: Option<String>,
    },
    /// Repeats a code as planned.
    Resume {
        salt: Salted,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// No gateway has been asked yet.
    Direct,
    /// The result of its message.
    Sent { salt: Salted, end: End },
    /// A gateway's answer about its code.
    CheckReported { salt: Salted, until: u64, result: CheckResult },
}

/// The result of a send, as far as the promises need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// A gateway accepted a message with our code.
    Ours,
    /// A gateway that holds the code accepted a message.
    Held,
    Postponed,
    /// Surely nothing was sent.
    Nothing,
    /// Our code may have left.
    MaybeOurs,
    /// A gateway's own code may have left.
    MaybeHeld,
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
