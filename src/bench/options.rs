//! What is asked for, checked by whoever asks.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A run. `src/cli/bench` makes it of the command line, and keeps its limits.
#[derive(Debug, Clone)]
pub struct Options {
    /// What the clients do.
    pub workload: Workload,
    /// Which answers they expect.
    pub answers: Answers,
    /// Connections, each with one request at a time. At least 1.
    pub connections: u32,
    /// Requests per second of an open loop; `None`: as many as are answered.
    pub rate: Option<u32>,
    /// How long the double takes for each answer.
    pub gateway_delay: Duration,
    /// Numbers that are in the store of our own server before it starts.
    pub live_numbers: u64,
    /// Length of one window; each round has one for each server.
    pub window: Duration,
    /// Rounds. At least 1.
    pub rounds: u32,
    /// What all choices are drawn from.
    pub seed: u64,
    /// Where our own server keeps its data, in a directory that is removed at the end.
    pub disk: PathBuf,
    /// The program that is started as our own server and as the reference servers.
    pub program: PathBuf,
    /// Variables that our own server gets.
    pub environment: Vec<(String, String)>,
    /// A server that is there already, in place of one of our own.
    pub target: Option<Target>,
    /// Servers to compare with.
    pub beside: Vec<Beside>,
}

/// A server that is there already.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where the double of Twilio listens for it.
    pub gateway_listen: SocketAddr,
    /// Its process, for CPU time and memory.
    pub pid: Option<u32>,
}

/// What the clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// A code is sent to a fresh number and verified.
    SendVerify,
    /// Codes are sent to fresh numbers.
    Send,
    /// A code is sent to a fresh number, and wrong codes follow until it is locked.
    WrongCodes,
    /// Numbers that were locked before the window are sent to and checked in turn.
    Locked,
    /// Codes are sent to the same numbers again and again.
    Resend,
    /// Some of all of it.
    Mix,
}

/// Which messages and statuses the server answers with: `redis-version-answers` of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// As the Redis version's documents say.
    Documented,
    /// As its code does.
    AsBuilt,
}

/// A server to compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    /// This program, beside a server that was there before.
    Onceward,
    /// hyper and reqwest, without any state.
    Ceiling,
    /// The same job with the state in Redis, as Redis comes: a crash loses what was answered since its last snapshot.
    Redis,
    /// The same, with every write of Redis on the disk before it answers.
    RedisDurable,
}

impl Workload {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::SendVerify, Self::Send, Self::WrongCodes, Self::Locked, Self::Resend, Self::Mix];

    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::SendVerify => "send-verify",
            Self::Send => "send",
            Self::WrongCodes => "wrong-codes",
            Self::Locked => "locked",
            Self::Resend => "resend",
            Self::Mix => "mix",
        }
    }
}

impl Answers {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Documented, Self::AsBuilt];

    /// As on the command line and in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Documented => "documented",
            Self::AsBuilt => "as-built",
        }
    }
}

impl Beside {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Onceward, Self::Ceiling, Self::Redis, Self::RedisDurable];

    /// As on the command line and in the results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Onceward => "onceward",
            Self::Ceiling => "ceiling",
            Self::Redis => "redis",
            Self::RedisDurable => "redis-durable",
        }
    }
}

impl fmt::Display for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whoever waits for a run and wants to know how far it is.
pub trait Watcher: Send + Sync {
    /// Something begins, such as `round 2 of 5: onceward`.
    fn begins(&self, what: &str);
    /// So much of the time that is measured has passed.
    fn at(&self, passed: Duration);
}
