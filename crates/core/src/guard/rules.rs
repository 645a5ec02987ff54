//! The rules of a service, and the findings of the guard: a verdict with the figures behind it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::allowance::Ticket;
use super::signals::{Dimension, Key};
use crate::domain::{Channel, NumberType, Region, Timestamp};
use crate::named;

named! {
    /// What a rule does when a send breaks it.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub enum Mode {
        Off = "off",
        /// The send passes, and the finding is recorded.
        Record = "record",
        #[default]
        Block = "block",
    }
}

named! {
    /// Names a rule in findings. Records contain the position of the variant.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    pub enum Rule {
        /// A manual entry of the operator.
        Entry = "entry",
        /// `allowed-countries` and `blocked-countries`.
        CountryList = "country_list",
        /// Numbers that are [`Special`](crate::domain::NumberType::Special).
        NumberType = "number_type",
        /// A landline, for a text message.
        Landline = "landline",
        /// Unverified messages to one number.
        Number = "number",
        /// The allowances.
        Prefix = "prefix",
        Address = "address",
        Network = "network",
        Country = "country",
        Unproven = "unproven",
        /// A budget of messages or money. The server decides it.
        Budget = "budget",
        /// The allowance of proofs of work.
        Proof = "proof",
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
    /// Unverified messages to one number. Refilled over a day.
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
    /// How an allowance fills, and the rule about it.
    pub(super) fn limit(&self, of: Dimension) -> Limit {
        // Parts of the floor that refill in a day, and of the reserve. With this refill, a prefix with one known number gives
        // less than 20 messages a day, with the ten that the number needs no allowance for. Then parts of the usual messages:
        // refilled in a day, stored and reserved. Numbers of an attacker's own in many small countries would pay for those, too.
        let (rule, floor, [refill, reserve], [usual, stored, reserve_of_usual], bonus) = match of {
            Dimension::Prefix(_) => (Rule::Prefix, self.prefix, [0.9, 0.3], [1.0, 1.0, 0.0], 2.0),
            Dimension::Address(_) => (Rule::Address, self.address, [1.0, 0.0], [1.0, 1.0, 0.0], 2.0),
            Dimension::Network(_) => (Rule::Network, self.network, [1.0, 0.0], [1.0, 1.0, 0.0], 2.0),
            Dimension::Unproven => (Rule::Unproven, self.unproven, [1.0, 0.25], [0.0, 0.0, 0.0], 0.5),
            Dimension::Proof => (Rule::Proof, self.unproven, [1.0, 0.0], [0.0, 0.0, 0.0], 0.5),
            Dimension::ProofsOf(_) => (Rule::Proof, self.address, [1.0, 0.0], [1.0, 1.0, 0.0], 2.0),
            Dimension::Country(_) => (Rule::Country, self.country, [0.7, 0.0], [1.0, 0.33, 0.25], 2.0),
            Dimension::Number(_) | Dimension::Total => {
                (Rule::Number, self.sends_per_number, [1.0, 0.0], [0.0, 0.0, 0.0], f64::INFINITY)
            }
        };
        let (floor, tolerance) = (f64::from(floor), f64::from(self.tolerance));
        Limit {
            rule,
            floor,
            refill: refill * floor,
            tolerance: usual * tolerance,
            stored,
            reserve: reserve * floor,
            reserve_of_usual: reserve_of_usual * tolerance,
            bonus: bonus * tolerance,
            paid: if rule == Rule::Prefix { 2.0 * floor } else { f64::INFINITY },
        }
    }

    /// Whether everything is off: then no message is refused or counted, but by a manual entry.
    pub fn are_off(&self) -> bool {
        let modes = [self.mode, self.number_types, self.landlines];
        let lists_no_country = self.allowed_countries.is_none() && self.blocked_countries.is_empty();
        lists_no_country && modes.iter().all(|mode| *mode == Mode::Off)
    }

    /// Whether the lists of countries permit messages to this country.
    pub fn permits(&self, country: Option<Region>) -> bool {
        let is_in = |list: &BTreeSet<Region>| country.is_some_and(|country| list.contains(&country));
        !is_in(&self.blocked_countries) && self.allowed_countries.as_ref().is_none_or(is_in)
    }

    /// The lists and types that a message breaks.
    pub fn fixed(
        &self,
        country: Option<Region>,
        number_type: NumberType,
        channel: Channel,
    ) -> impl Iterator<Item = (Rule, Effect)> {
        let is_text_to_landline = number_type == NumberType::Landline && channel != Channel::Call;
        let rules = [
            (Rule::CountryList, Mode::Block, !self.permits(country)),
            (Rule::NumberType, self.number_types, number_type == NumberType::Special),
            (Rule::Landline, self.landlines, is_text_to_landline),
        ];
        let broken = rules.into_iter().filter(|(_, mode, is_broken)| *is_broken && *mode != Mode::Off);
        broken.map(|(rule, mode, _)| (rule, Effect::of(mode)))
    }
}

/// How an allowance fills, in messages and messages a day.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    pub(super) rule: Rule,
    pub(super) floor: f64,
    pub(super) refill: f64,
    /// Messages for each usual one.
    pub(super) tolerance: f64,
    /// Days of its usual messages that a full allowance has.
    pub(super) stored: f64,
    /// The last messages, for prefixes, clients and countries with users; and that for each usual one.
    pub(super) reserve: f64,
    pub(super) reserve_of_usual: f64,
    /// What the verification of a new number pays beside what its series took.
    pub(super) bonus: f64,
    /// The most that verifications pay in a day, beside the usual ones. A user who verifies and the owner of a range who reads
    /// the codes look alike.
    pub(super) paid: f64,
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

impl Refused {
    /// Whether a message with a proof of work needs no allowance that this one lacks, but that of proofs.
    pub const fn gives_way_to_proof(self) -> bool {
        matches!(self.rule, Rule::Address | Rule::Network | Rule::Country | Rule::Unproven)
    }
}

impl Finding {
    pub(super) const fn new(rule: Rule, key: Key, effect: Effect) -> Self {
        Self { rule, key, effect, figures: None, until: None }
    }
}

named! {
    /// The consequence of a finding. Records contain the position of the variant.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    pub enum Effect {
        Refused = "refused",
        /// The rule only records.
        Recorded = "recorded",
    }
}

impl Effect {
    pub(super) const fn of(mode: Mode) -> Self {
        if matches!(mode, Mode::Block) { Self::Refused } else { Self::Recorded }
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
}
