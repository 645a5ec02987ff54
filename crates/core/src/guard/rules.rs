//! The rules of a service, and the findings of the guard: a verdict with the figures behind it.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::counters::{HISTORY_DAYS, Period, Tally};
use super::signals::{Dimension, Key};
use crate::domain::{Region, Timestamp};

/// What a rule does when a send breaks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    Off,
    /// The send passes, and the finding is recorded.
    Record,
    #[default]
    Block,
}

/// Names a rule in findings. Records contain the position of the variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Rule {
    /// A manual entry of the operator.
    Entry,
    /// `allowed-countries` and `blocked-countries`.
    CountryList,
    /// Numbers that are [`Special`](crate::domain::NumberType::Special).
    NumberType,
    /// A landline, for a text message.
    Landline,
    /// Messages to one number in a day.
    Number,
    Prefix,
    Country,
    Address,
    /// A budget of messages or money. The server decides it.
    Budget,
}

impl Rule {
    /// Every rule, and its name in metrics, answers and the log.
    pub const NAMES: [(Self, &'static str); 9] = [
        (Self::Entry, "entry"),
        (Self::CountryList, "country_list"),
        (Self::NumberType, "number_type"),
        (Self::Landline, "landline"),
        (Self::Number, "number"),
        (Self::Prefix, "prefix"),
        (Self::Country, "country"),
        (Self::Address, "address"),
        (Self::Budget, "budget"),
    ];

    pub fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|(rule, _)| *rule == self).map_or("", |(_, name)| name)
    }
}

/// Per cent of the usual figure that are allowed.
const RATIO: u64 = 150;

/// The most unverified messages that an adaptive rule allows where `usual` are usual; `None` for no limit.
pub(super) fn allowed_unverified(dimension: Dimension, period: Period, usual: u32) -> Option<u32> {
    let floor = match (dimension, period) {
        (Dimension::Prefix(_) | Dimension::Address(_), Period::Day) => 10,
        (Dimension::Address(_), Period::Hour) => 5,
        (Dimension::Country(_), Period::Hour) => 20,
        (Dimension::Country(_), Period::Day) => 30,
        (Dimension::Total, Period::Hour) => 40,
        (Dimension::Total, Period::Day) => 80,
        (Dimension::Prefix(_), Period::Hour) | (Dimension::Number(_), _) => return None,
    };
    // Some 3.6 standard deviations. Those who do not verify resend: the variance is more than twice the mean.
    let margin = floor.max(usual.saturating_mul(30).isqrt());
    let share = u64::from(usual) * RATIO / 100;
    Some(u32::try_from(share).unwrap_or(u32::MAX).saturating_add(margin))
}

/// The rules of one service. The default is meant for every service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardRules {
    /// [`Special`](crate::domain::NumberType::Special) numbers.
    pub number_types: Mode,
    /// Text messages to landlines.
    pub landlines: Mode,
    /// `None` for all countries.
    pub allowed_countries: Option<BTreeSet<Region>>,
    pub blocked_countries: BTreeSet<Region>,
    /// Messages to one number in a day.
    pub number: Mode,
    pub per_number: u32,
    pub prefix: Mode,
    pub country: Mode,
    pub address: Mode,
    /// All messages of the service. Above this limit, countries without users have no floor. It blocks nothing else.
    pub total: Mode,
    pub block_for: Duration,
    /// Days of history before adaptive rules refuse messages.
    pub learning_days: u32,
}

impl Default for GuardRules {
    fn default() -> Self {
        Self {
            number_types: Mode::Block,
            landlines: Mode::Block,
            allowed_countries: None,
            blocked_countries: BTreeSet::new(),
            number: Mode::Block,
            per_number: 20,
            prefix: Mode::Block,
            country: Mode::Block,
            address: Mode::Block,
            total: Mode::Block,
            block_for: Duration::from_secs(12 * 60 * 60),
            learning_days: HISTORY_DAYS,
        }
    }
}

/// A pending message weighs this part of an unverified one.
const PENDING_PART: u32 = 3;

/// The decision about a send and its reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assessment {
    /// A send that passes is counted; if no message leaves, [`super::Guard::withdraw`] takes it back. Of a refused one
    /// nothing is counted; one that [`Rule::Landline`] refuses can be repeated as a call.
    pub verdict: Result<(), Rule>,
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
    /// Whether this send began the block.
    pub begins_block: bool,
}

impl Finding {
    pub(super) const fn new(rule: Rule, key: Key, effect: Effect) -> Self {
        Self { rule, key, effect, figures: None, until: None, begins_block: false }
    }
}

/// The consequence of a finding. Records contain the position of the variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Effect {
    Refused,
    /// The rule only records.
    Recorded,
    /// There are not 14 days of history.
    Learning,
    /// The number was verified before.
    VerifiedNumber,
}

impl Effect {
    /// Its name in metrics, answers and the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Recorded => "recorded",
            Self::Learning => "learning",
            Self::VerifiedNumber => "verified_number",
        }
    }
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
