//! Allowances of unverified messages, and what is known of a number: how they fill and empty.

use serde::{Deserialize, Serialize};

use super::rules::Rule;
use super::signals::{ClientNet, Key, Signals};
use crate::domain::{Region, Timestamp};

const DAY: f64 = 86_400.0;

/// The mean of verifications decays over this time.
const USUAL_DAYS: f64 = 7.0;

/// A place that usually verifies less than this a day is taken for one without users. One number is above it for a week.
pub(super) const NO_USERS: f64 = 0.05;

/// The most that verifications pay back to a prefix in a day: this, or so many of its floors, and its usual ones. A user
/// who verifies and the owner of a range who reads the codes look alike.
const MOST_PAID: f64 = 20.0;
const MOST_PAID_FLOORS: f64 = 2.0;
const MOST_PAID_OF_USUAL: f64 = 1.0;

/// Messages of one attempt that a verification pays back.
const ATTEMPT_MESSAGES: u8 = 4;

/// The time in which the messages of an attempt are sent.
const ATTEMPT_SECONDS: u32 = 3_600;

/// Messages in a day that a number needs no allowance for, if it was verified in the last 30 days.
const KNOWN_MESSAGES: u8 = 10;

/// The same of messages since its last verification in a day.
const KNOWN_UNVERIFIED: u8 = 4;

/// What each further message takes of those that one number gets. Its verification does not pay it back: otherwise the
/// owner would get all that the users of its prefix pay for.
const KNOWN_COST: f64 = 2.5;

/// Whole seconds since the epoch; the last one is in 2106.
pub(super) fn seconds(at: Timestamp) -> u32 {
    u32::try_from(at.as_millis() / 1_000).unwrap_or(u32::MAX)
}

const fn day(seconds: u32) -> u32 {
    seconds / 86_400
}

/// How an allowance fills, in messages and messages a day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Limit {
    pub(super) floor: f64,
    pub(super) refill: f64,
    pub(super) tolerance: f64,
    /// Days of its usual messages that a full allowance has.
    pub(super) stored: f64,
    /// Whether [`MOST_PAID`] applies.
    pub(super) bounds_paid: bool,
}

/// Messages that a place may still get before one is verified.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Allowance {
    level: f64,
    /// Numbers that are verified in a day, a mean that decays over 7 days.
    usual: f64,
    /// Messages that were paid back; they are forgotten over a day.
    paid: f64,
    /// Seconds since the epoch.
    at: u32,
}

impl Allowance {
    /// A full one.
    pub(super) const fn new(limit: &Limit, at: u32) -> Self {
        Self { level: limit.floor, usual: 0.0, paid: 0.0, at }
    }

    /// The state at `now`. With a clock that was set back nothing changes.
    pub(super) fn at(mut self, limit: &Limit, now: u32) -> Self {
        let days = f64::from(now.saturating_sub(self.at)) / DAY;
        if days > 0.0 {
            self.level += days * self.refill(limit);
            self.usual *= (-days / USUAL_DAYS).exp();
            self.paid = (self.paid - days * self.most_paid(limit)).max(0.0);
            self.at = now;
        }
        self.level = self.level.min(self.most(limit));
        self
    }

    /// Messages that come back in a day.
    fn refill(&self, limit: &Limit) -> f64 {
        limit.refill + limit.tolerance * self.usual
    }

    /// The most that verifications pay back in a day, if that is bounded.
    fn most_paid(&self, limit: &Limit) -> f64 {
        MOST_PAID.max(MOST_PAID_FLOORS * limit.floor) + MOST_PAID_OF_USUAL * self.usual
    }

    /// The level of the full allowance.
    pub(super) fn most(&self, limit: &Limit) -> f64 {
        limit.floor + limit.stored * limit.tolerance * self.usual
    }

    pub(super) const fn level(&self) -> f64 {
        self.level
    }

    /// Numbers that are verified in a day.
    pub(super) const fn usual(&self) -> f64 {
        self.usual
    }

    /// When a message passes that leaves `kept`.
    pub(super) fn passes(&self, limit: &Limit, kept: f64) -> Option<Timestamp> {
        let missing = kept + 1.0 - self.level;
        if missing > 0.0 { Some(after(self.at, missing / self.refill(limit))) } else { None }
    }

    /// Takes one message.
    pub(super) fn take(&mut self) {
        self.level = (self.level - 1.0).max(0.0);
    }

    /// A message was not sent.
    pub(super) fn give_back(&mut self, limit: &Limit) {
        self.level = (self.level + 1.0).min(self.most(limit));
    }

    /// A number was verified whose attempt took `took` messages. `is_counted` adds it to the usual ones.
    pub(super) fn verified(&mut self, limit: &Limit, paid: f64, is_counted: bool) {
        if is_counted {
            self.usual += 1.0 / USUAL_DAYS;
        }
        let left = (self.most_paid(limit) - self.paid).max(0.0);
        let paid = if limit.bounds_paid { paid.min(left) } else { paid };
        let before = self.level;
        self.level = (before + paid).min(self.most(limit));
        // What a full allowance does not take is not paid.
        self.paid += (self.level - before).max(0.0);
    }

    /// When it says nothing any more: it is full, and no number is usual.
    pub(super) fn expires(&self) -> Timestamp {
        let until_unusual = USUAL_DAYS * (self.usual / NO_USERS).max(1.0).ln();
        after(self.at, until_unusual.max(2.0))
    }

    /// What would be lost with it; and its age. One with users is worth more than one without.
    pub(super) fn worth(&self) -> (f64, u32) {
        let users = if self.usual >= NO_USERS { 1e6 + self.usual } else { 0.0 };
        (users - self.level, self.at)
    }
}

/// What a message takes of those that one number gets. A full number still gets one.
fn cost(limit: f64, is_known: bool) -> f64 {
    if is_known { KNOWN_COST.min(limit) } else { 1.0 }
}

/// What one message took. [`Guard::give_back`](super::Guard::give_back) undoes exactly that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ticket {
    /// Seconds since the epoch; 0 for a message that took nothing and does not count.
    pub(super) at: u32,
    pub(super) address: Option<ClientNet>,
    pub(super) country: Option<Region>,
    /// Whether one of the allowances of prefix, address, network, unproven countries, and country.
    pub(super) places: [bool; 5],
    /// Whether its number was known.
    pub(super) is_known: bool,
    /// The entry that announced it.
    pub(super) announced: Option<Key>,
}

impl Ticket {
    fn takes(&self) -> bool {
        self.places.contains(&true)
    }
}

/// What is known of a number that got a message, or was refused one, in the last days.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NumberState {
    /// Unverified messages that it may still get. They come back over a day.
    level: f64,
    /// Seconds since the epoch.
    at: u32,
    /// Messages on the day of `at`.
    messages: u8,
    /// Those since its last verification.
    unverified: u8,
    /// Messages of the present attempt that took allowances.
    pub(super) took: u8,
    /// When the attempt began.
    began: u32,
    /// When a verification last paid back what its attempt took.
    paid: u32,
    pub(super) address: Option<ClientNet>,
    pub(super) country: Option<Region>,
    /// The last refusal, and how many there were on its day. A crash forgets it.
    #[serde(skip)]
    pub(super) refused: Option<Refusals>,
}

/// Refusals of messages to one number in a day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Refusals {
    pub messages: u32,
    pub last: Timestamp,
    pub rule: Rule,
    /// The client of the last one.
    pub address: Option<ClientNet>,
}

impl NumberState {
    pub(super) const fn new(limit: f64, at: u32) -> Self {
        Self {
            level: limit,
            at,
            messages: 0,
            unverified: 0,
            took: 0,
            began: 0,
            paid: 0,
            address: None,
            country: None,
            refused: None,
        }
    }

    /// The state at `now`, with `limit` unverified messages a day.
    pub(super) fn at(mut self, limit: f64, now: u32) -> Self {
        if now > self.at {
            self.level += f64::from(now - self.at) / DAY * limit;
            if day(now) > day(self.at) {
                (self.messages, self.unverified) = (0, 0);
            }
            self.at = now;
        }
        self.level = self.level.min(limit);
        self
    }

    /// Unverified messages that it may still get.
    pub(super) const fn level(&self) -> f64 {
        self.level
    }

    /// When the next message passes; `None` for now. One that needs no allowance always does.
    pub(super) fn passes(&self, limit: f64, is_known: bool) -> Option<Timestamp> {
        let missing = cost(limit, is_known) - self.level;
        let is_free = is_known && self.needs_no_allowance();
        if missing > 0.0 && !is_free { Some(after(self.at, missing / limit)) } else { None }
    }

    /// Whether a number that was verified in the last 30 days needs an allowance for the next message.
    pub(super) const fn needs_no_allowance(&self) -> bool {
        self.messages < KNOWN_MESSAGES && self.unverified < KNOWN_UNVERIFIED
    }

    /// One message is sent, which takes one of the allowances of `places`.
    pub(super) fn send(
        &mut self,
        signals: &Signals,
        places: [bool; 5],
        limit: f64,
        is_known: bool,
    ) -> Ticket {
        let Signals { address, country, .. } = *signals;
        let ticket = Ticket { at: self.at, address, country, places, is_known, announced: None };
        let takes = ticket.takes();
        let is_same = self.address == address && self.at.saturating_sub(self.began) < ATTEMPT_SECONDS;
        if !is_same {
            (self.began, self.took) = (self.at, 0);
        }
        (self.address, self.country) = (address, country);
        self.took = self.took.saturating_add(u8::from(takes));
        if takes {
            self.level = (self.level - cost(limit, is_known)).max(0.0);
        }
        self.messages = self.messages.saturating_add(1);
        self.unverified = self.unverified.saturating_add(1);
        ticket
    }

    /// A message was not sent. Returns whether its allowances get it back: not if a verification has paid it meanwhile.
    pub(super) fn give_back(&mut self, ticket: &Ticket, limit: f64) -> bool {
        if day(ticket.at) == day(self.at) {
            self.messages = self.messages.saturating_sub(1);
            self.unverified = self.unverified.saturating_sub(1);
        }
        if ticket.takes() {
            self.level = (self.level + cost(limit, ticket.is_known)).min(limit);
            if self.address == ticket.address && self.began <= ticket.at {
                self.took = self.took.saturating_sub(1);
            }
        }
        self.paid < ticket.at
    }

    /// The number was verified. Returns the messages that its attempt took.
    pub(super) fn verify(&mut self, limit: f64, was_known: bool) -> u8 {
        if !was_known {
            (self.level, self.paid) = (limit, self.at);
        }
        self.unverified = 0;
        std::mem::take(&mut self.took).min(ATTEMPT_MESSAGES)
    }

    /// The client of the last request.
    pub(super) fn last_address(&self) -> Option<ClientNet> {
        let later = self.refused.filter(|refused| seconds(refused.last) >= self.at);
        later.map_or(self.address, |refused| refused.address)
    }

    pub(super) fn refuse(&mut self, rule: Rule, address: Option<ClientNet>, now: Timestamp) {
        let earlier = self.refused.filter(|refused| day(seconds(refused.last)) == day(seconds(now)));
        let messages = earlier.map_or(0, |earlier| earlier.messages).saturating_add(1);
        self.refused = Some(Refusals { messages, last: now, rule, address });
    }

    /// When it is as that of a number without messages.
    pub(super) fn expires(&self) -> Timestamp {
        let refused = self.refused.map_or(0, |refused| seconds(refused.last));
        after(self.at.max(refused), 2.0)
    }

    /// What would be lost with it; and its age.
    pub(super) fn worth(&self) -> (f64, u32) {
        (f64::from(self.took) + f64::from(self.messages) - self.level, self.at)
    }
}

/// A number that was verified: the day of its last verification, and the one that counted as usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifiedNumber {
    /// Days since the epoch.
    day: u16,
    counted: u16,
}

/// Days for which a number is known.
const KNOWN_DAYS: u16 = 30;

/// Days in which a number counts once as usual.
const COUNTED_DAYS: u16 = 7;

impl VerifiedNumber {
    /// After a verification, with the earlier state; and whether it counts as usual.
    pub(super) fn after(earlier: Option<Self>, now: Timestamp) -> (Self, bool) {
        let day = Self::day_of(now);
        let counted = earlier.map(|earlier| earlier.counted).filter(|counted| day < counted + COUNTED_DAYS);
        (Self { day, counted: counted.unwrap_or(day) }, counted.is_none())
    }

    /// When it is known no longer.
    pub fn expires(self) -> Timestamp {
        Timestamp::from_millis(u64::from(self.day.saturating_add(KNOWN_DAYS)) * 86_400_000)
    }

    fn day_of(at: Timestamp) -> u16 {
        u16::try_from(at.as_millis() / 86_400_000).unwrap_or(u16::MAX)
    }

    /// The form of a table with many of them.
    pub const fn packed(self) -> [u16; 2] {
        [self.day, self.counted]
    }

    pub const fn unpacked([day, counted]: [u16; 2]) -> Self {
        Self { day, counted }
    }
}

/// The moment a part of a day after `at`.
fn after(at: u32, days: f64) -> Timestamp {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    let seconds = (days * DAY).ceil() as u64;
    Timestamp::from_millis(u64::from(at).saturating_add(seconds).saturating_mul(1_000))
}
