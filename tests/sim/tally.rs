//! Counts of events: a simulation that silently stops covering one of them fails.

use std::collections::BTreeMap;
use std::fmt;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally(BTreeMap<String, u64>);

/// Events that must occur in some hundred seeds.
const EXPECTED: [&[&str]; 27] = [
    &["command send", "command check", "command resume", "command settle", "command settle_check"],
    &["answer Approved", "answer Wrong", "answer LockedNow", "answer Locked of a check"],
    &["answer Sent", "answer Sent, postponed", "answer Locked of a send", "answer NumberRefused"],
    &["answer GatewayFailed of a check", "answer GatewayFailed of a send"],
    &["refused NumberBusy", "refused StoreUnavailable", "refused SendsOverloaded", "refused Stopping"],
    &["answer Followed", "answer Dropped"],
    &["planned send made", "planned send not usable", "planned send without a plan"],
    &["a commit is applied", "a commit is of several numbers", "a commit is given up"],
    &["a commit is without the lease"],
    &["fault Unavailable", "fault UnknownApplied", "fault UnknownNotApplied", "fault Torn"],
    &["fault Hang, then applied", "fault Hang, then failed"],
    &["crash without a commit", "crash before the commit", "crash in the commit"],
    &["crash after the commit, unanswered", "crash while the store hangs"],
    &["a sweep", "a lease is lost", "a shard panics", "a batch waits for more commands"],
    &["a command for a former owner", "a command for a shard that restarts"],
    &["a former owner assumes a valid lease", "a former owner knows of the loss"],
    &["a former owner answers late", "a former owner refuses", "a former owner may not send"],
    &["a former owner answers from its memory"],
    &["a delayed transaction is applied", "a delayed transaction is refused"],
    &["outcome for an earlier life", "outcome lost in a restart"],
    &["send ends Ours", "send ends Held", "send ends Postponed"],
    &["send ends Nothing", "send ends MaybeOurs", "send ends MaybeHeld"],
    &["gateway says Approved", "gateway says Wrong", "gateway says NotLive"],
    &["gateway says NotAsked", "gateway says Unknown"],
    &["clock small step", "clock past expiry", "clock past lockout", "clock backwards"],
    &["usable yes", "usable no"],
    &["world of one shard", "world of two shards"],
];

impl Tally {
    pub fn count(&mut self, what: impl Into<String>) {
        *self.0.entry(what.into()).or_default() += 1;
    }

    pub fn add(&mut self, other: Self) {
        for (what, times) in other.0 {
            *self.0.entry(what).or_default() += times;
        }
    }

    pub fn commands(&self) -> u64 {
        self.0.iter().filter(|(what, _)| what.starts_with("command ")).map(|(_, times)| times).sum()
    }

    pub fn missing(&self) -> Vec<&'static str> {
        EXPECTED.concat().into_iter().filter(|name| !self.0.contains_key(*name)).collect()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, times) in &self.0 {
            writeln!(f, "{times:>12}  {what}")?;
        }
        write!(f, "{:>12}  commands in all", self.commands())
    }
}
