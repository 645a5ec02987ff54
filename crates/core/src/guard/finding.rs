//! The answer of the guard: a verdict, and the figures behind it.

use serde::{Deserialize, Serialize};

use super::counters::{Period, Tally};
use super::rules::Rule;
use super::signals::Key;
use crate::domain::Timestamp;

/// A pending message weighs this part of an unverified one.
const PENDING_PART: u32 = 3;

/// What the server does with a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The send is counted. If no message leaves, [`Guard::withdraw`] takes it back.
    Allow,
    /// Nothing is counted. A send refused by [`Rule::Landline`] can be repeated as a call.
    Refuse(Rule),
}

/// The decision about a send and its reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assessment {
    pub verdict: Verdict,
    /// Empty for most sends. The first one with [`Effect::Refused`] is the reason of the verdict.
    pub findings: Vec<Finding>,
}

/// A rule that a send broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    pub rule: Rule,
    pub key: Key,
    pub effect: Effect,
    /// `None` for lists and types.
    pub figures: Option<Figures>,
    /// The end of the block or entry.
    pub until: Option<Timestamp>,
}

/// The consequence of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Refused,
    /// The rule only records.
    Recorded,
    /// There are not 14 days of history.
    Learning,
    /// The number was verified before.
    VerifiedNumber,
}

/// The figures that a rule compared: `unverified` and a third of `pending` with `limit`; for [`Rule::Number`] `sends`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    pub period: Period,
    pub tally: Tally,
    pub pending: u32,
    /// Unverified messages that are usual.
    pub usual: u32,
    pub limit: u32,
}

impl Figures {
    pub(super) const fn is_exceeded(&self) -> bool {
        let open = self.tally.unverified as u64 * PENDING_PART as u64 + self.pending as u64;
        open > self.limit as u64 * PENDING_PART as u64
    }
}
