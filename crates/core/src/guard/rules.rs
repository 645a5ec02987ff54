//! The rules of a service, and the findings of the guard: a verdict with the figures behind it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::allowance::{Limit, Ticket};
use super::signals::{Dimension, Key};
use crate::domain::{Channel, NumberType, Region, Timestamp};

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
    /// Unverified messages to one number.
    Number,
    /// The allowances.
    Prefix,
    Address,
    Network,
    Country,
    Unproven,
    /// A budget of messages or money. The server decides it.
    Budget,
}

impl Rule {
    /// Every rule, and its name in metrics, answers and the log.
    pub const NAMES: [(Self, &'static str); 11] = [
        (Self::Entry, "entry"),
        (Self::CountryList, "country_list"),
        (Self::NumberType, "number_type"),
        (Self::Landline, "landline"),
        (Self::Number, "number"),
        (Self::Prefix, "prefix"),
        (Self::Address, "address"),
        (Self::Network, "network"),
        (Self::Country, "country"),
        (Self::Unproven, "unproven"),
        (Self::Budget, "budget"),
    ];

    /// The rule about the allowance of a place.
    pub(super) const fn of(place: Dimension) -> Self {
        match place {
            Dimension::Number(_) => Self::Number,
            Dimension::Prefix(_) => Self::Prefix,
            Dimension::Address(_) => Self::Address,
            Dimension::Network(_) => Self::Network,
            Dimension::Country(_) => Self::Country,
            Dimension::Unproven => Self::Unproven,
            Dimension::Total => Self::Budget,
        }
    }

    pub fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|(rule, _)| *rule == self).map_or("", |(_, name)| name)
    }
}

/// The rules of one service. The default is meant for every service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardRules {
    /// What happens to a message without an allowance, and to one above `sends_per_number`.
    pub mode: Mode,
    /// [`Special`](crate::domain::NumberType::Special) numbers.
    pub number_types: Mode,
    /// Text messages to landlines.
    pub landlines: Mode,
    /// `None` for all countries.
    pub allowed_countries: Option<BTreeSet<Region>>,
    pub blocked_countries: BTreeSet<Region>,
    /// Unverified messages to one number. They come back over a day.
    pub sends_per_number: u32,
    /// Unverified messages in a day for each one that is usually verified.
    pub tolerance: u32,
    /// The floors of the allowances.
    pub prefix: u32,
    pub address: u32,
    pub network: u32,
    pub country: u32,
    pub unproven: u32,
}

impl Default for GuardRules {
    fn default() -> Self {
        Self {
            mode: Mode::Block,
            number_types: Mode::Block,
            landlines: Mode::Block,
            allowed_countries: None,
            blocked_countries: BTreeSet::new(),
            sends_per_number: 20,
            tolerance: 1,
            prefix: 10,
            address: 10,
            network: 30,
            country: 30,
            unproven: 60,
        }
    }
}

impl GuardRules {
    /// How an allowance fills.
    pub(super) fn limit(&self, dimension: Dimension) -> Limit {
        // The refill of a day, in tenths of the floor: a prefix with one known number then gives less than 20 messages a
        // day, with the ten that the number needs no allowance for.
        let (floor, tenths) = match dimension {
            Dimension::Prefix(_) => (self.prefix, 9),
            Dimension::Network(_) => (self.network, 10),
            Dimension::Country(_) => (self.country, 7),
            Dimension::Unproven => (self.unproven, 10),
            Dimension::Address(_) | Dimension::Number(_) | Dimension::Total => (self.address, 10),
        };
        Limit {
            floor: f64::from(floor),
            refill: f64::from(floor) * f64::from(tenths) / 10.0,
            // With what the users of small countries usually verify, numbers of an attacker's own in many would pay.
            tolerance: if dimension == Dimension::Unproven { 0.0 } else { f64::from(self.tolerance) },
            stored: if matches!(dimension, Dimension::Country(_)) { 0.33 } else { 1.0 },
            bounds_paid: matches!(dimension, Dimension::Prefix(_)),
        }
    }

    /// The lists and types that a message breaks.
    pub fn fixed(
        &self,
        country: Option<Region>,
        number_type: NumberType,
        channel: Channel,
    ) -> impl Iterator<Item = (Rule, Effect)> {
        let is_in = |list: &BTreeSet<Region>| country.is_some_and(|country| list.contains(&country));
        let is_outside = is_in(&self.blocked_countries)
            || self.allowed_countries.as_ref().is_some_and(|allowed| !is_in(allowed));
        let is_text_to_landline = number_type == NumberType::Landline && channel != Channel::Call;
        let rules = [
            (Rule::CountryList, Mode::Block, is_outside),
            (Rule::NumberType, self.number_types, number_type == NumberType::Special),
            (Rule::Landline, self.landlines, is_text_to_landline),
        ];
        let broken = rules.into_iter().filter(|(_, mode, is_broken)| *is_broken && *mode != Mode::Off);
        broken.map(|(rule, mode, _)| (rule, Effect::of(mode)))
    }
}

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
    pub effect: Effect,
    /// `None` for lists and types.
    pub figures: Option<Figures>,
    /// When a message passes the rule; `None` for lists and types.
    pub until: Option<Timestamp>,
}

impl Assessment {
    pub(super) fn of(findings: Vec<Finding>) -> Self {
        let refused = || findings.iter().filter(|finding| finding.effect == Effect::Refused);
        let until = refused().map(|finding| finding.until.ok_or(())).collect::<Result<Vec<_>, ()>>();
        let until = until.ok().and_then(|times| times.into_iter().max());
        let verdict = refused().next().map_or(Ok(()), |finding| Err(Refused { rule: finding.rule, until }));
        Self { verdict, ticket: Ticket::default(), findings }
    }
}

impl Finding {
    pub(super) const fn new(rule: Rule, key: Key, effect: Effect) -> Self {
        Self { rule, key, effect, figures: None, until: None }
    }
}

/// The consequence of a finding. Records contain the position of the variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Effect {
    Refused,
    /// The rule only records.
    Recorded,
}

impl Effect {
    /// Its name in metrics, answers and the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Recorded => "recorded",
        }
    }

    pub(super) const fn of(mode: Mode) -> Self {
        match mode {
            Mode::Block => Self::Refused,
            Mode::Record | Mode::Off => Self::Recorded,
        }
    }
}

/// The figures of an allowance, in whole messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Messages that it still has.
    pub level: u32,
    /// The level of the full allowance.
    pub most: u32,
    /// Numbers that are verified in a day.
    pub usual: u32,
    /// The last part of the level, for places with users.
    pub kept: u32,
}
