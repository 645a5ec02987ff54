//! A row: an allowance of unverified messages, and what is known of a number. How they fill and empty.

use serde::{Deserialize, Serialize};

use super::rules::{GuardRules, Rule};
use super::signals::{ClientNet, Dimension};
use crate::domain::{Region, Timestamp};

const DAY: f64 = 86_400.0;

/// The mean of verifications decays over this time.
pub(super) const USUAL_DAYS: f64 = 7.0;

/// The part of a day's usual messages that a full allowance has beside its floor. Numbers of an attacker's own in many small
/// countries would pay for those, too.
const STORED: f64 = 1.0 / 3.0;

/// The last part of a full allowance, which is kept for clients with users.
// Without it a bot with fresh addresses refuses nine of ten new users of a country that it attacks, with it one of three
// (`tests/pumping`, half of the users in known networks).
const KEPT: f64 = 0.2;

/// A place that usually verifies less than this a day is taken for one without users. One number is above it for a week.
pub(super) const NO_USERS: f64 = 0.05;

/// Messages in a day to a known number since its last verification that take no allowance of its prefix and country.
const KNOWN_UNVERIFIED: u8 = 4;

/// What a known number's verification leaves taken of its message.
const VERIFIED_COSTS: f64 = 0.5;

/// Whole seconds since the epoch; the last one is in 2106.
pub(super) fn seconds(at: Timestamp) -> u32 {
    u32::try_from(at.as_millis() / 1_000).unwrap_or(u32::MAX)
}

const fn day(seconds: u32) -> u32 {
    seconds / 86_400
}

pub(super) fn whole(messages: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    {
        messages as u32
    }
}

/// The moment a part of a day after `at`.
fn after(at: u32, days: f64) -> Timestamp {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    let seconds = (days * DAY).ceil() as u64;
    Timestamp::from_millis(u64::from(at).saturating_add(seconds).saturating_mul(1_000))
}

/// How an allowance fills, in messages and messages a day.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    pub(super) rule: Rule,
    floor: f64,
    refill: f64,
    /// What its usual numbers refill in a day, each.
    of_users: f64,
    /// What the verification of a number pays back.
    pub(super) pays_back: f64,
    /// What that of a new number pays beyond it. The unverified messages of its neighbours need it.
    pub(super) pays_more: f64,
    /// [`KEPT`], or nothing.
    kept: f64,
}

impl Limit {
    /// The table in `docs/concepts/guard.md`, `How it decides`.
    pub(super) fn of(dimension: Dimension, rules: &GuardRules) -> Self {
        let GuardRules { floors, tolerance, unproven, sends_per_number, .. } = *rules;
        let (tolerance, number) = (f64::from(tolerance), f64::from(sends_per_number));
        let limit = |rule, floor, refill, [pays_back, pays_more]: [f64; 2]| Self {
            rule,
            floor,
            refill: refill * floor,
            of_users: tolerance,
            pays_back,
            pays_more: pays_more * tolerance,
            kept: KEPT,
        };
        // A verification pays a prefix less than its message took: else the owner of a range who reads the codes would get
        // any number of messages.
        match dimension {
            Dimension::Number(_) | Dimension::Total => {
                Self { of_users: 0.0, ..limit(Rule::Number, number, 1.0, [f64::INFINITY, 0.0]) }
            }
            Dimension::Network(_) | Dimension::Address(_) => {
                Self { kept: 0.0, ..limit(Rule::Network, floors.network, 1.0, [1.0, 2.0]) }
            }
            Dimension::Prefix(_) => limit(Rule::Prefix, floors.prefix, 0.9, [0.5, 0.0]),
            Dimension::Country(_) => limit(Rule::Country, floors.country, 0.7, [1.0, 2.0]),
            // Without it each of 200 countries would give an attacker its floor: 9,054 messages on the first day instead of
            // 389, and in a new installation 1,936 instead of 107 (`tests/pumping`).
            Dimension::Unproven => {
                Self { of_users: 0.0, ..limit(Rule::Unproven, f64::from(unproven), 1.0, [1.0, 0.5]) }
            }
        }
    }
}

/// Messages that a place or a number may still get before one is verified.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Allowance {
    pub(super) level: f64,
    /// Numbers that are verified in a day, a mean that decays over 7 days.
    pub(super) usual: f64,
    /// Seconds since the epoch.
    pub(super) at: u32,
}

impl Allowance {
    /// A full one.
    pub(super) const fn new(limit: &Limit, at: u32) -> Self {
        Self { level: limit.floor, usual: 0.0, at }
    }

    /// The state at `now`. With a clock that was set back nothing changes.
    pub(super) fn at(mut self, limit: &Limit, now: u32) -> Self {
        let days = f64::from(now.saturating_sub(self.at)) / DAY;
        if days > 0.0 {
            self.level += days * self.refill(limit);
            self.usual *= (-days / USUAL_DAYS).exp();
            self.at = now;
        }
        self.level = self.level.min(self.most(limit));
        self
    }

    /// Messages that come back in a day.
    fn refill(&self, limit: &Limit) -> f64 {
        limit.refill + limit.of_users * self.usual
    }

    /// The level of the full allowance.
    pub(super) fn most(&self, limit: &Limit) -> f64 {
        limit.floor + STORED * limit.of_users * self.usual
    }

    /// The part of the full allowance that is kept for clients with users. A full one still gives a message.
    pub(super) fn reserve(&self, limit: &Limit) -> f64 {
        let most = self.most(limit);
        (limit.kept * most).min(most - 1.0)
    }

    /// When it has so many messages; `None` for now.
    pub(super) fn has(&self, limit: &Limit, messages: f64) -> Option<Timestamp> {
        let missing = messages - self.level;
        (missing > 0.0).then(|| after(self.at, missing / self.refill(limit)))
    }

    /// Takes messages, or with less than none gives them back.
    pub(super) fn take(&mut self, limit: &Limit, messages: f64) {
        self.level = (self.level - messages).clamp(0.0, self.most(limit));
    }
}

/// Positions of what a message is to and from, in [`Ticket::takes`]. At 2 is the address, which has no allowance.
pub(super) mod slot {
    pub const NUMBER: usize = 0;
    pub const PREFIX: usize = 1;
    pub const NETWORK: usize = 3;
    pub const UNPROVEN: usize = 4;
    pub const COUNTRY: usize = 5;
    /// Not a place: the service has no outcomes, and the message took a part of one from each place.
    pub const WITHOUT_OUTCOMES: usize = 6;
    pub const ALL: usize = 7;
}

/// What one message took. [`Guard::give_back`](super::Guard::give_back) undoes exactly that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ticket {
    /// Seconds since the epoch.
    pub(super) at: u32,
    pub(super) address: Option<ClientNet>,
    pub(super) country: Option<Region>,
    /// Whether one of each allowance, by [`slot`].
    pub(super) takes: [bool; slot::ALL],
    /// The message came from the number's home.
    pub(super) is_home: bool,
}

impl Ticket {
    /// Whether it took anything.
    pub fn is_empty(&self) -> bool {
        !self.takes.contains(&true)
    }

    pub fn at(&self) -> Timestamp {
        Timestamp::from_millis(u64::from(self.at) * 1_000)
    }
}

/// What is known of a number that got a message in the last days.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct NumberState {
    /// Messages since its last verification, on the day of the allowance's time.
    pub(super) unverified: Unverified,
    /// Of the last message.
    pub address: Option<ClientNet>,
    pub(super) country: Option<Region>,
}

/// Unverified messages from a number's home in the upper four bits, and from elsewhere in the lower four: what comes from
/// elsewhere takes nothing from the person at home.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Unverified(u8);

impl Unverified {
    const MOST: u8 = 15;

    pub(super) const fn of(self, is_home: bool) -> u8 {
        if is_home { self.0 >> 4 } else { self.0 & Self::MOST }
    }

    pub(super) const fn set(&mut self, is_home: bool, messages: u8) {
        let messages = if messages > Self::MOST { Self::MOST } else { messages };
        self.0 = if is_home { self.0 & Self::MOST | messages << 4 } else { self.0 & !Self::MOST | messages };
    }
}

/// Whether a message to a known number needs the allowance at this [`slot`], after so many from the same side.
pub(super) const fn needs(earlier: u8, slot: usize) -> bool {
    match earlier {
        0 => slot == slot::NUMBER,
        1..KNOWN_UNVERIFIED => matches!(slot, slot::NUMBER | slot::NETWORK),
        _ => true,
    }
}

impl NumberState {
    /// A message was sent.
    pub(super) const fn count(&mut self, is_home: bool) {
        self.unverified.set(is_home, self.unverified.of(is_home) + 1);
    }

    /// What the last message took of the allowance at this [`slot`], if the number was known; of its own a half. An owner who
    /// enters each code would else get any number of messages.
    pub(super) fn last_took(&self, is_home: bool, slot: usize) -> f64 {
        let took = self.unverified.of(is_home).checked_sub(1).is_some_and(|earlier| needs(earlier, slot));
        match slot {
            _ if !took => 0.0,
            slot::NUMBER => 1.0 - VERIFIED_COSTS,
            _ => 1.0,
        }
    }

    /// A message was not sent.
    pub(super) fn give_back(&mut self, ticket: &Ticket, now: u32) {
        if day(ticket.at) == day(now) {
            let of = self.unverified.of(ticket.is_home);
            self.unverified.set(ticket.is_home, of.saturating_sub(1));
        }
    }
}

/// An allowance as it was last changed; and of a number, what else is known of it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Row {
    pub(super) allowance: Allowance,
    pub(super) number: Option<Box<NumberState>>,
}

impl Row {
    /// The state of the number at `now`.
    pub(super) fn number_at(&self, now: u32) -> Option<NumberState> {
        let mut state = **self.number.as_ref()?;
        if day(now) > day(self.allowance.at) {
            state.unverified = Unverified::default();
        }
        Some(state)
    }

    /// When it says nothing any more: it is full, and no number is usual.
    pub(super) fn expires(&self) -> Timestamp {
        let until_unusual = USUAL_DAYS * (self.allowance.usual / NO_USERS).max(1.0).ln();
        after(self.allowance.at, until_unusual.max(2.0))
    }

    /// What would be lost with it, in hundredths of messages; and its age. One with users is worth more than one without.
    pub(super) fn worth(&self) -> (u32, u32) {
        let Allowance { level, usual, at, .. } = self.allowance;
        let users = if usual >= NO_USERS { 1e6 + usual } else { 0.0 };
        (whole((1e6 + users - level) * 100.0), at)
    }
}

/// A number that was verified: the day of its last verification, and of the one that counted as usual, since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifiedNumber {
    pub day: u16,
    pub counted: u16,
    /// A keyed fingerprint of the network in which it was verified last; 0 if that is not known.
    pub home: u16,
}

/// The record of a number before and after a verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifiedChange {
    pub before: Option<VerifiedNumber>,
    /// `None` if there is no room for a new record.
    pub after: Option<VerifiedNumber>,
}

/// Days for which a number is known.
const KNOWN_DAYS: u16 = 30;

/// Days in which a number counts once as usual.
const COUNTED_DAYS: u16 = 7;

impl VerifiedNumber {
    /// The record after a verification, from the one before.
    pub(super) fn after(earlier: Option<Self>, home: u16, now: Timestamp) -> Self {
        let day = u16::try_from(now.as_millis() / 86_400_000).unwrap_or(u16::MAX);
        let counted = earlier.map(|earlier| earlier.counted).filter(|counted| day < counted + COUNTED_DAYS);
        let home = if home == 0 { earlier.map_or(0, |earlier| earlier.home) } else { home };
        Self { day, counted: counted.unwrap_or(day), home }
    }

    /// Whether the verification between the two records counts as usual.
    pub(super) fn counts_after(self, earlier: Option<Self>) -> bool {
        earlier.is_none_or(|earlier| earlier.counted != self.counted)
    }

    /// When it is known no longer.
    pub fn expires(self) -> Timestamp {
        Timestamp::from_millis(u64::from(self.day.saturating_add(KNOWN_DAYS)) * 86_400_000)
    }
}
