//! The findings of the guard: a verdict with the figures behind it.

use super::bucket::Figures;
use super::rules::{Mode, Rule};
use super::signals::Key;
use super::ticket::Ticket;
use crate::domain::Timestamp;

/// The decision about a send and its reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assessment {
    /// One that [`Rule::Landline`] refuses can be repeated as a call.
    pub verdict: Result<(), Refused>,
    /// What the message took, for [`super::Guard::give_back`] if it does not leave; nothing of a refused one.
    pub ticket: Ticket,
    /// Empty for most sends.
    pub findings: Vec<Finding>,
}

/// Why a send is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    pub rule: Rule,
    /// When a message can pass; `None` for a number or country that gets none.
    pub until: Option<Timestamp>,
}

/// A rule that a send broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    pub rule: Rule,
    pub key: Key,
    /// Or only records it.
    pub is_refused: bool,
    /// `None` for lists and types.
    pub figures: Option<Figures>,
    /// When a message passes the rule; `None` for lists and types.
    pub until: Option<Timestamp>,
}

impl Assessment {
    pub(super) fn of(findings: Vec<Finding>) -> Self {
        let refused = || findings.iter().filter(|finding| finding.is_refused);
        let until = refused().map(|finding| finding.until.ok_or(())).collect::<Result<Vec<_>, ()>>();
        let until = until.ok().and_then(|times| times.into_iter().max());
        let verdict = refused().next().map_or(Ok(()), |finding| Err(Refused { rule: finding.rule, until }));
        Self { verdict, ticket: Ticket::default(), findings }
    }
}

impl Refused {
    /// Whether the message lacked only buckets that one with [`Exemption::Allowances`](super::Exemption) does not need.
    pub const fn is_for_an_allowance(self) -> bool {
        matches!(self.rule, Rule::Prefix | Rule::Network | Rule::Country)
    }
}

impl Finding {
    pub(super) fn new(rule: Rule, key: Key, mode: Mode) -> Self {
        Self { rule, key, is_refused: mode == Mode::Block, figures: None, until: None }
    }
}
