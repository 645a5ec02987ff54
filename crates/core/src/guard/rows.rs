//! The table of buckets and windows, and which of its rows the store lacks as they are.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::FixedState;
use indexmap::{IndexMap, IndexSet};
use serde::{Deserialize, Serialize};

use super::decide::Charged;
use super::rules::{Dimension, GuardRules, Key, Rule};
use crate::domain::{ServiceId, Timestamp};

/// Fewer changes than this are kept whatever rows there are.
const FEW: usize = 16;

/// Rows that are compared when one is dropped. Each is a miss of the processor's cache.
const COMPARED: usize = 16;

/// Buckets in memory: about 100 bytes each.
pub const MOST_BUCKETS: usize = 700_000;

/// A subject that usually verifies less than this a day is taken for one without users. One number is above it for a week.
pub(super) const NO_USERS: f64 = 0.05;

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
pub(super) const fn whole(messages: f64) -> u32 {
    messages as u32
}

/// Messages that a subject may still get before one is verified, or what was charged in a window.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Row {
    pub(super) level: f64,
    /// Numbers that are verified in a day, a mean that decays over 7 days.
    pub(super) usual: f64,
    /// The whole second in which a bucket was so, or the begin of a window.
    pub(super) at: Timestamp,
    /// When it says nothing any more.
    pub ends: Timestamp,
    /// What was charged in a window. Of a loan, when it closes, in milliseconds; 0 while it has not begun.
    pub amount: u64,
    /// It contains all of each [`Ticket`](super::Ticket) that was taken before this write.
    pub(super) written: u64,
}

impl Row {
    /// What would be lost with a bucket, in hundredths of messages; and its age. One with users is worth more than one
    /// without.
    fn worth(&self) -> (u32, Timestamp) {
        let is_needed = self.usual >= NO_USERS || self.ends == Timestamp::MAX;
        let users = if is_needed { 1e6 + self.usual } else { 0.0 };
        (whole((1e6 + users - self.level) * 100.0), self.at)
    }
}

/// A service whose users verify less than this a day is new, and a country one without users.
pub(super) const PROVEN: f64 = 10.0;

/// How long a new service is lent messages, from the first one or from [`PROVEN`] on. Its countries have allowances of
/// their own by then.
const LOAN_LASTS: Duration = Duration::from_secs(3 * 3_600);

/// What is to be charged in a window, and the most that it may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    pub key: Key,
    pub amount: u64,
    pub most: u64,
    /// Of the window: that of a budget is an hour or a day of UTC, that of a rate limit begins with its first charge.
    pub length: Duration,
}

impl Charge {
    pub(super) const fn rule(&self) -> Rule {
        if matches!(self.key.dimension, Dimension::Budget(_)) { Rule::Budget } else { Rule::RateLimit }
    }
}

/// Called for each window that the table gets or loses, with its service.
pub type Counted = Arc<dyn Fn(ServiceId, bool) + Send + Sync>;

/// The place of a row's map in [`Rows::maps`].
fn index(key: &Key) -> usize {
    usize::from(key.is_window())
}

#[derive(Clone)]
pub struct Rows {
    /// The buckets, and the windows.
    maps: [IndexMap<Key, Row, FixedState>; 2],
    /// Rows that have changed or were removed since they were last taken. Of too many, the removed ones are forgotten: their
    /// records then stay until they expire.
    changed: IndexSet<Key, FixedState>,
    /// The row of each that a sweep looks at next.
    swept: [usize; 2],
    /// Bound on buckets.
    most: usize,
    counted: Counted,
    /// Buckets that were dropped to make room.
    pub dropped: u64,
    /// How often rows were taken to be written.
    pub writes: u64,
}

impl Rows {
    /// `seed` is secret: it decides which keys collide.
    pub(super) fn new(most: usize, seed: u64, counted: Counted) -> Self {
        let hasher = FixedState::with_seed(seed);
        let maps = [(); 2].map(|()| IndexMap::with_hasher(hasher.clone()));
        let changed = IndexSet::with_hasher(hasher);
        Self { maps, changed, swept: [0; 2], most: most.max(1), counted, dropped: 0, writes: 0 }
    }

    pub fn get(&self, key: &Key) -> Option<Row> {
        self.maps[index(key)].get(key).copied()
    }

    pub fn held(&self) -> usize {
        self.maps.iter().map(IndexMap::len).sum()
    }

    pub fn buckets(&self) -> usize {
        self.maps[0].len()
    }

    /// At most `most` buckets from the index `start` on. One that moves meanwhile may be missed.
    pub fn page(&self, start: usize, most: usize) -> impl Iterator<Item = (Key, Row)> {
        self.maps[0].iter().skip(start).take(most).map(|(key, row)| (*key, *row))
    }

    /// It is not to be stored yet.
    pub(super) fn restore(&mut self, key: Key, row: Row) {
        if self.maps[index(&key)].insert(key, row).is_none() {
            self.count(key, true);
        }
    }

    pub(super) fn set(&mut self, key: Key, row: Row) {
        if self.buckets() >= self.most && !key.is_window() && self.get(&key).is_none() {
            self.drop_one();
        }
        self.mark_changed(key);
        self.restore(key, row);
    }

    /// Removes a row, also from the store.
    pub(super) fn remove(&mut self, key: Key) -> bool {
        let is_known = self.maps[index(&key)].swap_remove(&key).is_some();
        if is_known {
            self.count(key, false);
            self.mark_changed(key);
        }
        is_known
    }

    fn count(&self, key: Key, is_added: bool) {
        if key.is_window() {
            (self.counted)(key.service.unwrap_or(ServiceId::DEFAULT), is_added);
        }
    }

    /// The row is to be stored, or the record of one that is gone to be removed.
    pub fn mark_changed(&mut self, key: Key) {
        if self.changed.len() >= 2 * self.held().max(FEW) {
            self.changed.retain(|key| self.maps[index(key)].contains_key(key));
        }
        self.changed.insert(key);
    }

    pub fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// At most `most` changed rows to store; `None` removes one. They contain all tickets from before this write.
    pub fn take_changed(&mut self, most: usize) -> Vec<(Key, Option<Row>)> {
        self.writes += 1;
        let stored = |row: &mut Row| {
            row.written = self.writes;
            *row
        };
        let taken = std::iter::from_fn(|| self.changed.pop()).take(most);
        taken.map(|key| (key, self.maps[index(&key)].get_mut(&key).map(stored))).collect()
    }

    /// Drops the expired ones among so many next buckets and windows. Their records expire by themselves.
    pub fn sweep(&mut self, looks: [usize; 2], now: Timestamp) {
        for (of, looks) in looks.into_iter().enumerate() {
            for _ in 0..looks {
                match self.maps[of].get_index(self.swept[of]) {
                    Some((&key, row)) if row.ends <= now => {
                        self.maps[of].swap_remove_index(self.swept[of]);
                        self.count(key, false);
                    }
                    Some(_) => self.swept[of] += 1,
                    None => self.swept[of] = 0,
                }
            }
        }
    }

    /// Of some from all over the buckets, drops the one of the service with most of them that is worth least.
    fn drop_one(&mut self) {
        let (buckets, hand) = (&self.maps[0], usize::try_from(self.dropped).unwrap_or_default());
        let places = (0..COMPARED).map(|step| (hand + step * buckets.len() / COMPARED) % buckets.len());
        let compared: Vec<_> = places.filter_map(|place| buckets.get_index(place)).collect();
        let held = |of: &Key| compared.iter().filter(|(key, _)| key.service == of.service).count();
        let least = compared.iter().min_by_key(|(key, row)| (Reverse(held(key)), row.worth(), **key));
        if let Some(key) = least.map(|(key, _)| **key) {
            self.remove(key);
            self.dropped += 1;
        }
    }

    /// The present window of a charge.
    pub fn window(&self, Charge { key, length, .. }: &Charge, now: Timestamp) -> Row {
        // A window that was made shorter has ended early. A clock that was set back stays in the later one.
        let known = self.get(key).map(|row| Row { ends: row.ends.min(row.at.plus(*length)), ..row });
        known.filter(|row| now < row.ends).unwrap_or_else(|| {
            let millis = length.as_secs().max(1) * 1_000;
            let is_of_utc = matches!(key.dimension, Dimension::Budget(_));
            let past = if is_of_utc { now.as_millis() % millis } else { 0 };
            let at = now.minus(Duration::from_millis(past));
            Row { at, ends: at.plus(*length), ..Row::default() }
        })
    }

    /// Of the charges that do not fit, the one whose window ends last, of a rate limit before one of a budget; and the end.
    pub fn full<'a>(&self, charges: &'a [Charge], now: Timestamp) -> Option<(&'a Charge, Timestamp)> {
        let full = charges.iter().rev().filter_map(|charge| {
            let Row { amount, ends, .. } = self.window(charge, now);
            (amount.saturating_add(charge.amount) > charge.most).then_some((charge, ends))
        });
        full.max_by_key(|(charge, ends)| (charge.rule(), *ends))
    }

    /// Adds to a window, unless a later one has begun.
    pub(super) fn charge(&mut self, &Charged { key, since, ends, amount }: &Charged) {
        let row = self.get(&key).filter(|row| row.at >= since);
        let row = row.unwrap_or(Row { at: since, ends, ..Row::default() });
        if row.at == since {
            self.set(key, Row { amount: row.amount.saturating_add(amount), ..row });
        }
    }

    pub(super) fn give_back(&mut self, &Charged { key, since, amount, .. }: &Charged) {
        let Some(row) = self.get(&key).filter(|row| row.at == since) else { return };
        let row = Row { amount: row.amount.saturating_sub(amount), ..row };
        if row.amount > 0 {
            self.set(key, row);
        } else {
            self.remove(key);
        }
    }
}

// A bucket of unverified messages: how it empties and fills.

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
            Dimension::Loan => (Rule::Country, [floors.loan, 0.0, 1.0, 0.5 * tolerance, 0.0]),
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
        if messages > 0.0 {
            self.begin();
        }
    }

    /// A further number is usual.
    pub(super) fn add_user(&mut self) {
        self.row.usual += 1.0 / USUAL_DAYS;
        if self.row.usual >= PROVEN {
            self.begin();
        }
    }

    /// A loan closes some time from now.
    fn begin(&mut self) {
        if self.key.dimension == Dimension::Loan && self.row.amount == 0 {
            self.row.amount = self.row.at.plus(LOAN_LASTS).as_millis();
        }
    }

    /// Whether a loan has a message.
    pub(super) fn lends(&self) -> bool {
        let is_open = self.row.amount == 0 || self.row.at.as_millis() < self.row.amount;
        is_open && self.next_pass_at().is_none()
    }

    /// To be stored until it is full, and no number is usual. A loan that was begun is not lent again.
    pub(super) fn stored(self) -> Row {
        if self.key.dimension == Dimension::Loan && self.row.amount > 0 {
            return Row { ends: Timestamp::MAX, ..self.row };
        }
        let until_unusual = USUAL_DAYS * (self.row.usual / NO_USERS).max(1.0).ln();
        Row { ends: after(self.row.at, until_unusual.max(2.0)), ..self.row }
    }

    /// When the next message passes; `None` for now.
    pub fn next_pass_at(&self) -> Option<Timestamp> {
        let missing = self.reserve + 1.0 - self.row.level;
        (missing > 0.0).then(|| after(self.row.at, missing / self.refill()))
    }

    /// Whole messages that it still has.
    pub const fn left(&self) -> u32 {
        whole(self.row.level)
    }

    /// Whole messages of the full one.
    pub fn capacity(&self) -> u32 {
        whole(self.most())
    }

    /// Numbers that are verified in a day.
    pub fn usual(&self) -> u32 {
        whole(self.row.usual.round())
    }
}
