//! A row: an allowance of unverified messages, and what is known of a number. How they fill and empty.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::rules::{Limit, Rule};
use super::signals::{ClientNet, Key};
use crate::domain::{Region, Timestamp};

const DAY: f64 = 86_400.0;

/// The mean of verifications decays over this time.
const USUAL_DAYS: f64 = 7.0;

/// A place that usually verifies less than this a day is taken for one without users. One number is above it for a week.
pub(super) const NO_USERS: f64 = 0.05;

/// Messages of one series that a verification pays back.
const SERIES_MESSAGES: u8 = 4;

/// The longest series: messages to one number from one client.
const SERIES_SECONDS: u32 = 3_600;

/// Messages in a day that a number needs no allowance for, if it was verified in the last 30 days.
const KNOWN_MESSAGES: u8 = 10;

/// The same of messages since its last verification in a day. The first needs none at all, the others one of the client.
const KNOWN_UNVERIFIED: u8 = 4;

/// What each further message takes of those that one number gets. Its verification does not pay it back: otherwise the
/// owner would get all that the users of its prefix pay for.
pub(super) const KNOWN_COST: f64 = 2.5;

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

/// Messages that a place or a number may still get before one is verified.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Allowance {
    pub(super) level: f64,
    /// Numbers that are verified in a day, a mean that decays over 7 days.
    pub(super) usual: f64,
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

    /// The most that verifications pay back in a day.
    fn most_paid(&self, limit: &Limit) -> f64 {
        limit.paid + self.usual
    }

    /// The level of the full allowance.
    pub(super) fn most(&self, limit: &Limit) -> f64 {
        limit.floor + limit.stored * limit.tolerance * self.usual
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

    /// Pays back messages of a number that was verified. `is_counted` adds it to the usual ones.
    pub(super) fn pay(&mut self, limit: &Limit, messages: f64, is_counted: bool) {
        if is_counted {
            self.usual += 1.0 / USUAL_DAYS;
        }
        let before = self.level;
        self.take(limit, -messages.min(self.most_paid(limit) - self.paid).max(0.0));
        // What a full allowance does not take is not paid.
        self.paid += (self.level - before).max(0.0);
    }
}

/// Positions of the allowances of a message.
pub(super) mod slot {
    pub const NUMBER: usize = 0;
    pub const PREFIX: usize = 1;
    pub const ADDRESS: usize = 2;
    pub const NETWORK: usize = 3;
    pub const UNPROVEN: usize = 4;
    pub const COUNTRY: usize = 5;
    pub const PROOF: usize = 6;
    pub const ALL: usize = 7;
}

/// What one message took. [`Guard::give_back`](super::Guard::give_back) undoes exactly that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ticket {
    /// Seconds since the epoch; 0 for a message that took nothing and does not count.
    pub(super) at: u32,
    pub(super) address: Option<ClientNet>,
    pub(super) country: Option<Region>,
    /// Whether one of each allowance, by [`slot`].
    pub(super) takes: [bool; slot::ALL],
    pub(super) is_known: bool,
    /// The entry that announced it.
    pub(super) announced: Option<Key>,
}

/// What is known of a number that got a message, or was refused one, in the last days.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct NumberState {
    /// Messages on the day of the allowance's time.
    messages: u8,
    /// Those since its last verification.
    unverified: u8,
    /// Messages of the present series that took allowances, as in [`Ticket::takes`].
    pub(super) took: [u8; slot::ALL],
    /// When the series began.
    began: u32,
    /// When a verification last paid back what its series took.
    paid: u32,
    /// The client of the series, and of the last message.
    pub(super) address: Option<ClientNet>,
    pub(super) country: Option<Region>,
    /// Also of a refused request. A crash forgets it.
    #[serde(skip)]
    pub(super) last_request_client: Option<ClientNet>,
    #[serde(skip)]
    pub(super) refused: Option<Refusals>,
}

/// Refusals of messages to one number in a day. A crash forgets them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Refusals {
    pub messages: u32,
    pub last: Timestamp,
    pub rule: Rule,
}

impl NumberState {
    /// The allowances that the next message to a known number needs, as positions of [`Ticket::takes`].
    pub(super) const fn needs(&self) -> Range<usize> {
        match (self.messages, self.unverified) {
            (0..KNOWN_MESSAGES, 0) => 0..0,
            (0..KNOWN_MESSAGES, 1..KNOWN_UNVERIFIED) => slot::ADDRESS..slot::UNPROVEN,
            _ => 0..slot::PROOF,
        }
    }

    /// The next verification pays back this client. Another client, or an hour, begins a series.
    pub(super) fn credit_client(&mut self, ticket: &Ticket) {
        let is_same = self.address == ticket.address && ticket.at.saturating_sub(self.began) < SERIES_SECONDS;
        if !is_same {
            (self.began, self.took) = (ticket.at, [0; slot::ALL]);
        }
        (self.address, self.last_request_client, self.country) =
            (ticket.address, ticket.address, ticket.country);
    }

    pub(super) fn send(&mut self, ticket: &Ticket) {
        self.credit_client(ticket);
        for (took, takes) in self.took.iter_mut().zip(ticket.takes) {
            *took = took.saturating_add(u8::from(takes));
        }
        self.messages = self.messages.saturating_add(1);
        self.unverified = self.unverified.saturating_add(1);
    }

    /// A message was not sent. Returns whether a verification has paid it meanwhile.
    pub(super) fn give_back(&mut self, ticket: &Ticket, now: u32) -> bool {
        if day(ticket.at) == day(now) {
            self.messages = self.messages.saturating_sub(1);
            self.unverified = self.unverified.saturating_sub(1);
        }
        for (took, takes) in self.took.iter_mut().zip(ticket.takes) {
            *took = took.saturating_sub(u8::from(takes));
        }
        self.paid >= ticket.at
    }

    /// The number was verified. Returns the messages that its series took.
    pub(super) fn verify(&mut self, now: u32) -> [u8; slot::ALL] {
        (self.unverified, self.paid) = (0, now);
        std::mem::take(&mut self.took).map(|took| took.min(SERIES_MESSAGES))
    }

    pub(super) fn refuse(&mut self, rule: Rule, address: Option<ClientNet>, now: Timestamp) {
        let today = self.refused.filter(|refused| day(seconds(refused.last)) == day(seconds(now)));
        let messages = today.map_or(0, |today| today.messages).saturating_add(1);
        (self.last_request_client, self.refused) = (address, Some(Refusals { messages, last: now, rule }));
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
            (state.messages, state.unverified) = (0, 0);
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
        let messages = self.number.as_ref().map_or(0, |number| number.messages);
        (whole((1e6 + users + f64::from(messages) - level) * 100.0), at)
    }
}

/// A number that was verified: the day of its last verification, and of the one that counted as usual, since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifiedNumber {
    pub day: u16,
    pub counted: u16,
}

/// Days for which a number is known.
const KNOWN_DAYS: u16 = 30;

/// Days in which a number counts once as usual.
const COUNTED_DAYS: u16 = 7;

impl VerifiedNumber {
    /// After a verification, with the earlier state; and whether it counts as usual.
    pub(super) fn after(earlier: Option<Self>, now: Timestamp) -> (Self, bool) {
        let day = u16::try_from(now.as_millis() / 86_400_000).unwrap_or(u16::MAX);
        let counted = earlier.map(|earlier| earlier.counted).filter(|counted| day < counted + COUNTED_DAYS);
        (Self { day, counted: counted.unwrap_or(day) }, counted.is_none())
    }

    /// When it is known no longer.
    pub fn expires(self) -> Timestamp {
        Timestamp::from_millis(u64::from(self.day.saturating_add(KNOWN_DAYS)) * 86_400_000)
    }
}
