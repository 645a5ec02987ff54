//! A bucket of unverified messages: how it empties and fills.

use std::cmp::Reverse;
use std::time::Duration;

use super::rows::{NO_USERS, Row, whole};
use super::rules::{GuardRules, Rule};
use super::signals::{Dimension, Key};
use crate::domain::Timestamp;

const DAY: f64 = 86_400.0;

/// The mean of verifications decays over this time.
pub(super) const USUAL_DAYS: f64 = 7.0;

/// The part of a day's usual messages that a full bucket has beside its floor. Numbers of an attacker's own in many small
/// countries would pay for those, too.
const STORED: f64 = 1.0 / 3.0;

/// The last part of a full bucket, which is kept for clients with users.
// Without it a bot with fresh addresses refuses nine of ten new users of a country that it attacks, with it one of three
// (`tests/pumping`, half of the users in known networks).
const KEPT: f64 = 0.2;

/// The whole seconds of a moment.
pub(super) const fn second(at: Timestamp) -> Timestamp {
    Timestamp::from_millis(at.as_millis() / 1_000 * 1_000)
}

/// The moment a part of a day after `at`.
fn after(at: Timestamp, days: f64) -> Timestamp {
    at.plus(Duration::from_secs(whole((days * DAY).ceil()).into()))
}

/// What a bucket of one kind holds and gets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(super) rule: Rule,
    /// Messages of one without users, and what it refills in a day.
    floor: f64,
    /// What each of its usual numbers refills in a day beyond that.
    of_users: f64,
    /// What a verification gives back for each of its messages.
    pub(super) gives_back: f64,
    /// What the verification of a new number gives beyond that. The unverified messages of its neighbours need it.
    pub(super) gains: f64,
    /// [`KEPT`], or nothing.
    kept: f64,
}

impl Terms {
    /// The table in `docs/concepts/guard.md`, `How it decides`.
    fn of(dimension: Dimension, GuardRules { floors, tolerance, .. }: &GuardRules) -> Self {
        let tolerance = f64::from(*tolerance);
        let (rule, [floor, of_users, gives_back, gains, kept]) = match dimension {
            Dimension::Prefix(_) => (Rule::Prefix, [floors.prefix, tolerance, 0.5, 0.0, KEPT]),
            Dimension::Network(_) => (Rule::Network, [floors.network, tolerance, 1.0, 2.0 * tolerance, 0.0]),
            Dimension::Country(Some(_)) => {
                (Rule::Country, [floors.country, tolerance, 1.0, 2.0 * tolerance, KEPT])
            }
            // Without it each of 200 countries would give an attacker its floor (`tests/pumping`).
            Dimension::Country(None) => (Rule::Country, [floors.others, 0.0, 1.0, 0.5 * tolerance, KEPT]),
            Dimension::Known(_) => (Rule::Number, [4.0, 0.0, 1.0, 0.0, 0.0]),
            // An owner who enters each code would else get any number of messages, and so would the owner of a range.
            _ => (Rule::Number, [floors.number, 0.0, 0.5, 0.5, 0.0]),
        };
        Self { rule, floor, of_users, gives_back, gains, kept }
    }
}

/// A bucket as it is at a moment.
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    pub key: Key,
    pub(super) terms: Terms,
    pub(super) row: Row,
    /// The last part of it, which the message in question may not use.
    reserve: f64,
}

impl Bucket {
    /// One that is not stored is full. With a clock that was set back nothing changes.
    pub fn new(key: Key, stored: Option<Row>, rules: &GuardRules, now: Timestamp) -> Self {
        let (terms, now) = (Terms::of(key.dimension, rules), second(now));
        let row = stored.unwrap_or(Row { level: f64::INFINITY, at: now, ..Row::default() });
        let mut current = Self { key, terms, row, reserve: 0.0 };
        let days = now.since(row.at).as_secs_f64() / DAY;
        current.row.at = now.max(row.at);
        current.row.level += days * current.refill();
        current.row.usual *= (-days / USUAL_DAYS).exp();
        current.take(0.0);
        current
    }

    /// Keeps the last part from a client without users. A full bucket still gives a message.
    pub(super) fn keep(&mut self) {
        self.reserve = (self.terms.kept * self.most()).min(self.most() - 1.0);
    }

    fn most(&self) -> f64 {
        self.terms.floor + STORED * self.terms.of_users * self.row.usual
    }

    fn refill(&self) -> f64 {
        self.terms.floor + self.terms.of_users * self.row.usual
    }

    /// Takes messages, or with less than none gives them back.
    pub(super) fn take(&mut self, messages: f64) {
        self.row.level = (self.row.level - messages).clamp(0.0, self.most());
    }

    /// To be stored until it is full, and no number is usual.
    pub(super) fn stored(self) -> Row {
        let until_unusual = USUAL_DAYS * (self.row.usual / NO_USERS).max(1.0).ln();
        Row { ends: after(self.row.at, until_unusual.max(2.0)), ..self.row }
    }

    /// When the next message passes; `None` for now.
    pub fn next_pass_at(&self) -> Option<Timestamp> {
        let missing = self.reserve + 1.0 - self.row.level;
        (missing > 0.0).then(|| after(self.row.at, missing / self.refill()))
    }

    pub fn figures(&self) -> Figures {
        let [level, most, usual] = [self.row.level, self.most(), self.row.usual.round()].map(whole);
        Figures { level, most, usual }
    }

    /// Whether it has less than half of its messages.
    pub fn is_low(&self) -> bool {
        self.row.level * 2.0 < self.most()
    }

    /// Sort key: the smallest share left first, then the largest bucket.
    pub fn rank(&self) -> (u32, Reverse<u32>) {
        (whole(self.row.level * 1_000.0 / self.most()), Reverse(whole(self.most())))
    }
}

/// The figures of a bucket, in whole messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Messages that it still has.
    pub level: u32,
    /// Messages of the full one.
    pub most: u32,
    /// Numbers that are verified in a day.
    pub usual: u32,
}
