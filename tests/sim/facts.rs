//! Facts: what an observer of clients, gateways and the disk sees. The checker works on these alone.

use onceward::engine::CheckResult;
use onceward::numbers::{CheckOutcome, Refusal, SendOutcome};

/// Names one command of one client.
pub type CommandId = u64;

/// Which verification: its salt, shown short.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Salted(pub [u8; 16]);

impl std::fmt::Debug for Salted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self([a, b, c, ..]) = self;
        write!(f, "#{a:02x}{b:02x}{c:02x}")
    }
}

/// One thing that happened to one number. Times are milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// The call of a shard in which it was seen. Facts are in the order of calls, and those of one call in the order in
    /// which the shard decided them.
    pub call: u64,
    pub number: usize,
    pub shard: usize,
    /// When it was decided, by the shard's own time: one of these two.
    pub at: [u64; 2],
    /// Whether the command was in a commit that ended, or was given up, in this call.
    pub in_commit: bool,
    pub what: What,
}

impl Fact {
    /// Whether delivery or a gateway gets it, and no client.
    pub const fn is_handed_over(&self) -> bool {
        matches!(self.what, What::Dispatched { .. } | What::Consulted { .. })
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// A client asked.
    Asked(CommandId, Intent),
    /// A client was told.
    Answered(CommandId, Stage, Answer),
    /// A message was handed to delivery.
    Dispatched { command: CommandId, salt: Salted, code: String, expires: u64, planned: bool },
    /// A gateway that holds a code was asked about a submitted one.
    Consulted { until: u64 },
    /// A decision may have become durable, and its client was not told.
    Uncertain(CommandId, Stage),
    /// A commit that may hold the decision about this command is durable. A message does not leave if a later
    /// command of the same commit made its code useless, and a gateway is not asked if the commit took too
    /// long; the client is told so after a further decision.
    MayBeDecided(CommandId),
    /// The shard, or another one that owns the number from now on, has read it from the store.
    Reloaded,
    /// Delivery, or a call that is answered, asked whether a code can still be used.
    Usable { salt: Salted, said: bool },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intent {
    /// A code, with this life.
    Send { life: u64 },
    /// Is this the code?
    Check { code: Option<String> },
    /// The planned repetition of a code.
    Resume { salt: Salted },
}

/// The progress of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// No gateway was asked yet.
    Direct,
    /// Its message was handed over, and this came of it.
    Sent { salt: Salted, end: End },
    /// A gateway was asked about its code, and said this.
    CheckReported { salt: Salted, until: u64, result: CheckResult },
}

/// The result of a send, as far as the promises care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// A message with our code was accepted.
    Ours,
    /// A message of a gateway that holds the code was accepted.
    Held,
    /// Later.
    Postponed,
    /// Surely nothing was sent.
    Nothing,
    /// Our code may have left.
    MaybeOurs,
    /// A gateway's own code may have left.
    MaybeHeld,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Send(SendOutcome),
    Check(CheckOutcome),
    /// Of a planned send: it was made, or there is nothing to send.
    Followed,
    Refused(Refusal),
    /// The shard or the process died with it.
    Dropped,
}
