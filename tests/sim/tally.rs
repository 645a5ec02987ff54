//! Counts of events: a simulation that silently stops covering one of them fails.

use std::collections::BTreeMap;
use std::fmt;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally(BTreeMap<String, u64>);

/// Events that must occur in some hundred seeds: the beginnings and the ends of their names.
const EXPECTED: [(&str, &[&str]); 22] = [
    ("command", &["send", "check", "resume", "settle", "settle_check"]),
    ("answer", &["Followed", "Dropped"]),
    ("answer Check", &["Approved", "Wrong", "LockedNow", "Locked", "GatewayFailed"]),
    ("answer Send", &["Sent", "Postponed", "Locked", "GatewayFailed", "NumberRefused"]),
    ("answer Refused", &["NumberBusy", "StoreUnavailable", "SendsOverloaded", "Stopping"]),
    ("planned send", &["made", "not usable", "without a plan"]),
    ("a commit", &["is applied", "is of several numbers", "is given up", "is without the lease"]),
    ("fault", &["Unavailable", "UnknownApplied", "UnknownNotApplied", "Torn"]),
    ("fault Hang,", &["then applied", "then failed"]),
    ("crash", &["without a commit", "before the commit", "in the commit"]),
    ("crash", &["after the commit, unanswered", "while the store hangs"]),
    ("a", &["sweep", "lease is lost", "shard panics", "batch waits for more commands"]),
    ("a command for", &["a former owner", "a shard that restarts"]),
    ("a former owner", &["assumes a valid lease", "knows of the loss", "answers late"]),
    ("a former owner", &["refuses", "may not send", "answers from its memory"]),
    ("a delayed transaction", &["is applied", "is refused"]),
    ("outcome", &["for an earlier life", "lost in a restart"]),
    ("send ends", &["Ours", "Held", "Postponed", "Nothing", "MaybeOurs", "MaybeHeld"]),
    ("gateway says", &["Approved", "Wrong", "NotLive", "NotAsked", "Unknown"]),
    ("clock", &["small step", "past expiry", "past lockout", "backwards"]),
    ("usable", &["yes", "no"]),
    ("world of", &["one shard", "two shards"]),
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

    pub fn missing(&self) -> Vec<String> {
        let names =
            |(begin, ends): &(&str, &[&str])| ends.iter().map(|end| format!("{begin} {end}")).collect();
        EXPECTED.iter().flat_map::<Vec<_>, _>(names).filter(|name| !self.0.contains_key(name)).collect()
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
