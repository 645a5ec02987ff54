//! Counters in windows of an hour and a day, their history, and the bounded table that holds them.

use foldhash::fast::FixedState;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::signals::Key;
use crate::domain::Timestamp;

/// Days of history.
pub(super) const HISTORY_DAYS: u32 = 14;

/// Days for which a number counts as verified.
const VERIFIED_DAYS: u32 = 30;

/// The length of a window. Windows begin at whole hours and days of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Period {
    Hour,
    Day,
}

impl Period {
    pub const ALL: [Self; 2] = [Self::Hour, Self::Day];

    pub const fn millis(self) -> u64 {
        match self {
            Self::Hour => 3_600_000,
            Self::Day => 86_400_000,
        }
    }

    /// The number of whole periods since the epoch.
    pub fn index(self, at: Timestamp) -> u32 {
        u32::try_from(at.as_millis() / self.millis()).unwrap_or(u32::MAX)
    }

    /// The end of the period with this index.
    pub fn end(self, index: u32) -> Timestamp {
        Timestamp::from_millis((u64::from(index) + 1) * self.millis())
    }
}

/// Counted messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    pub sends: u32,
    pub verified: u32,
    /// Messages whose code has expired.
    pub unverified: u32,
}

/// A period that has ended: its index and its tally.
type Ended = (u32, Tally);

/// The current and the previous period.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Window {
    index: u32,
    current: Tally,
    previous: Tally,
}

impl Window {
    /// Enters the period with this index. Returns the index and the tally of the one that was current before.
    fn enter(&mut self, index: u32) -> Option<Ended> {
        // A clock that was set back stays in the later period.
        if index <= self.index {
            return None;
        }
        let ended = (self.index, self.current);
        self.previous = if index == self.index + 1 { self.current } else { Tally::default() };
        self.current = Tally::default();
        self.index = index;
        Some(ended)
    }

    /// The last hour or day: the current period, and the part of the previous one that is not past.
    fn sliding(mut self, period: Period, now: Timestamp) -> Tally {
        self.enter(period.index(now));
        let rest = period.millis() - now.as_millis() % period.millis();
        let part = |count: u32| u32::try_from(u64::from(count) * rest / period.millis()).unwrap_or(u32::MAX);
        let Self { current, previous, .. } = self;
        Tally {
            sends: current.sends.saturating_add(part(previous.sends)),
            verified: current.verified.saturating_add(part(previous.verified)),
            unverified: current.unverified.saturating_add(part(previous.unverified)),
        }
    }
}

/// The counter of a number, prefix or address, and a part of every other one.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Counter {
    hour: Window,
    day: Window,
    /// Messages whose codes have not expired. After a restart they are unknown.
    #[serde(skip)]
    pub(super) pending: u32,
    /// The day of the last verified message; 0 for none.
    verified_on: u32,
}

impl Counter {
    fn enter(&mut self, now: Timestamp) -> [Option<Ended>; 2] {
        [self.hour.enter(Period::Hour.index(now)), self.day.enter(Period::Day.index(now))]
    }

    pub(super) fn tally(&self, period: Period, now: Timestamp) -> Tally {
        let window = match period {
            Period::Hour => self.hour,
            Period::Day => self.day,
        };
        window.sliding(period, now)
    }

    pub(super) fn send(&mut self, is_pending: bool, now: Timestamp) {
        self.enter(now);
        self.pending = self.pending.saturating_add(u32::from(is_pending));
        self.each(|tally| tally.sends = tally.sends.saturating_add(1));
    }

    /// A message that was counted has not been sent.
    pub(super) fn withdraw(&mut self, now: Timestamp) {
        self.enter(now);
        self.pending = self.pending.saturating_sub(1);
        self.each(|tally| tally.sends = tally.sends.saturating_sub(1));
    }

    pub(super) fn verify(&mut self, messages: u32, now: Timestamp) {
        self.enter(now);
        self.pending = self.pending.saturating_sub(messages);
        self.each(|tally| tally.verified = tally.verified.saturating_add(messages));
        self.verified_on = Period::Day.index(now);
    }

    /// The codes of pending messages have expired. They count as unverified, unless they led to a block.
    pub(super) fn expire(&mut self, messages: u32, is_blocked: bool, now: Timestamp) {
        self.enter(now);
        self.pending = self.pending.saturating_sub(messages);
        if !is_blocked {
            self.each(|tally| tally.unverified = tally.unverified.saturating_add(messages));
        }
    }

    /// Forgets the unverified messages, and returns those of the current hour and day.
    pub(super) fn forgive(&mut self) -> [u32; 2] {
        self.hour.previous.unverified = 0;
        self.day.previous.unverified = 0;
        [&mut self.hour, &mut self.day].map(|window| std::mem::take(&mut window.current.unverified))
    }

    /// Forgets some unverified messages of the current hour and day.
    pub(super) fn deduct(&mut self, [hour, day]: [u32; 2]) {
        for (window, count) in [(&mut self.hour, hour), (&mut self.day, day)] {
            window.current.unverified = window.current.unverified.saturating_sub(count);
        }
    }

    /// Whether its number counts as verified on a day.
    pub(super) const fn is_verified(&self, day: u32) -> bool {
        self.verified_on > 0 && self.verified_on + VERIFIED_DAYS > day
    }

    /// When the counter says nothing any more.
    pub(super) fn expires(&self) -> Timestamp {
        let verified = if self.verified_on > 0 { self.verified_on + VERIFIED_DAYS } else { 0 };
        Period::Day.end((self.day.index + 1).max(verified))
    }

    fn each(&mut self, change: impl Fn(&mut Tally)) {
        change(&mut self.hour.current);
        change(&mut self.day.current);
    }

    /// Evidence that would be lost with the counter, then the day on which it was last used.
    fn worth(&self, today: u32) -> (u32, u32) {
        let Window { index, current, previous } = self.day;
        let days = if index + 1 < today { [Tally::default(); 2] } else { [current, previous] };
        let [sends, unverified] = [days[0].sends + days[1].sends, days[0].unverified + days[1].unverified];
        (4 * (unverified + self.pending) + sends + 2 * u32::from(self.is_verified(today)), index)
    }
}

/// The counter of a country or of all messages, with its history.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct History {
    pub(super) counter: Counter,
    /// At most 14 whole days, the oldest first.
    days: Vec<Day>,
    /// Verified messages in today's best hour that has ended.
    best_hour: u32,
    /// The day of the first message.
    first_day: u32,
    usual: Usual,
    /// Whether it has changed since it was last taken to be stored.
    #[serde(skip)]
    pub(super) is_changed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Day {
    verified: u32,
    unverified: u32,
    /// Verified messages of its best hour.
    best_hour: u32,
}

/// What the history says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Usual {
    /// Verified messages of the best day and the best hour.
    day: u32,
    hour: u32,
    /// Unverified messages for a thousand verified ones; `None` with too few messages.
    share: Option<u32>,
}

/// Verified messages of a day from which its share says something.
const MIN_VERIFIED: u32 = 10;

/// The highest share that is learned: half of all messages are verified.
const MAX_SHARE: u32 = 1_000;

/// The share without history.
const DEFAULT_SHARE: u32 = 250;

/// The share is that of the fourth best day. An attacker has to be there on eleven of fourteen days to change it.
const SHARE_RANK: usize = 3;

impl History {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { first_day: Period::Day.index(now), ..Self::default() }
    }

    /// Enters the current hour and day, before anything is counted.
    pub(super) fn enter(&mut self, now: Timestamp) {
        let [ended_hour, ended_day] = self.counter.enter(now);
        if let Some((_, hour)) = ended_hour {
            self.best_hour = self.best_hour.max(hour.verified);
        }
        let Some((index, Tally { verified, unverified, .. })) = ended_day else { return };
        let best_hour = std::mem::take(&mut self.best_hour);
        let quiet = Period::Day.index(now).saturating_sub(index + 1).min(HISTORY_DAYS);
        // The first call enters from day 0.
        if index > 0 {
            self.days.push(Day { verified, unverified, best_hour });
        }
        self.days.extend((0..quiet).map(|_| Day::default()));
        let past = self.days.len().saturating_sub(HISTORY_DAYS as usize);
        self.days.drain(..past);
        let mut shares: Vec<u32> = self.days.iter().filter_map(Day::share).collect();
        shares.sort_unstable();
        self.usual = Usual {
            day: self.days.iter().map(|day| day.verified).max().unwrap_or(0),
            hour: self.days.iter().map(|day| day.best_hour).max().unwrap_or(0),
            share: shares.get(SHARE_RANK.min(shares.len() / 2)).map(|share| (*share).min(MAX_SHARE)),
        };
    }

    /// Returns `true` with so many days of history.
    pub(super) fn is_learned(&self, days: u32, now: Timestamp) -> bool {
        self.learned_from(days) <= Period::Day.index(now)
    }

    /// The first day, counted from the epoch, with so many days of history.
    pub(super) const fn learned_from(&self, days: u32) -> u32 {
        self.first_day.saturating_add(days)
    }

    /// Returns `true` if no message was verified in the last 14 days.
    pub(super) const fn has_no_users(&self) -> bool {
        self.usual.day == 0
    }

    /// Unverified messages for a thousand verified ones.
    pub(super) fn share(&self) -> u32 {
        self.usual.share.unwrap_or(DEFAULT_SHARE)
    }

    /// Verified messages of the best day or hour, or of the present one if higher.
    pub(super) fn best(&self, period: Period, current: Tally) -> u32 {
        let history = match period {
            Period::Hour => self.usual.hour,
            Period::Day => self.usual.day,
        };
        history.max(current.verified)
    }

    /// The usual unverified messages of an hour or a day; with too little history by the share of all countries.
    pub(super) fn usual(&self, period: Period, share_of_all: u32, current: Tally) -> u32 {
        usual(self.best(period, current), self.usual.share.unwrap_or(share_of_all))
    }
}

/// Unverified messages that are usual with `verified` ones.
pub(super) fn usual(verified: u32, share: u32) -> u32 {
    u32::try_from(u64::from(verified) * u64::from(share) / 1_000).unwrap_or(u32::MAX)
}

impl Day {
    fn share(&self) -> Option<u32> {
        let share = u64::from(self.unverified) * 1_000 / u64::from(self.verified.max(1));
        (self.verified >= MIN_VERIFIED).then(|| u32::try_from(share).unwrap_or(u32::MAX))
    }
}

/// Counters of numbers, prefixes and addresses. A full table forgets the counter with the least evidence among the next
/// eight.
///
/// An attacker does not escape by filling the table. Only a message that was sent adds a counter, and the counter of an
/// attacked prefix is worth more than those that would push it out. To lose it, the attacker has to send more elsewhere
/// than the table has places, and countries and budgets count those messages.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) counters: IndexMap<Key, Counter, FixedState>,
    most: usize,
    /// The position from which the next victim is sought.
    hand: usize,
    /// The pages with a changed counter.
    changed: Vec<bool>,
}

/// Neighbours in the table, which are stored as one record.
const PAGE: usize = 64;

/// Counters that are compared when one has to go.
const COMPARED: usize = 8;

impl Table {
    pub(super) fn new(most: usize, seed: u64) -> Self {
        Self {
            counters: IndexMap::with_hasher(FixedState::with_seed(seed)),
            most: most.max(1),
            hand: 0,
            changed: Vec::new(),
        }
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Counter> {
        self.counters.get(key)
    }

    /// The counter, to be changed.
    pub(super) fn get_mut(&mut self, key: &Key) -> Option<&mut Counter> {
        let (place, _, counter) = self.counters.get_full_mut(key)?;
        mark(&mut self.changed, place / PAGE);
        Some(counter)
    }

    /// The counter, to be changed.
    pub(super) fn entry(&mut self, key: Key, now: Timestamp) -> &mut Counter {
        let known = self.counters.get_index_of(&key);
        if known.is_none() && self.counters.len() >= self.most {
            self.forget_one(now);
        }
        let place = known.unwrap_or_else(|| self.counters.insert_full(key, Counter::default()).0);
        mark(&mut self.changed, place / PAGE);
        &mut self.counters[place]
    }

    pub(super) fn remove(&mut self, key: &Key) {
        if let Some(place) = self.counters.get_index_of(key) {
            self.remove_at(place);
        }
    }

    /// The last counter takes the place of the removed one.
    fn remove_at(&mut self, place: usize) {
        self.counters.swap_remove_index(place);
        mark(&mut self.changed, place / PAGE);
        mark(&mut self.changed, self.counters.len() / PAGE);
    }

    /// The next page with a changed counter: its number, and its counters, which may be none.
    pub(super) fn take_changed(&mut self) -> Option<(u32, Vec<(Key, Counter)>)> {
        let page = self.changed.iter().position(|is_changed| *is_changed)?;
        self.changed[page] = false;
        let end = self.counters.len().min((page + 1) * PAGE);
        let counters = self.counters.get_range((page * PAGE).min(end)..end);
        let counters = counters.into_iter().flatten().map(|(key, counter)| (*key, *counter)).collect();
        Some((u32::try_from(page).unwrap_or(u32::MAX), counters))
    }

    /// Takes a stored page.
    pub(super) fn restore(&mut self, page: u32, counters: Vec<(Key, Counter)>, now: Timestamp) {
        // Its counters may come to other pages.
        mark(&mut self.changed, page as usize);
        for (key, counter) in counters {
            if now < counter.expires() {
                *self.entry(key, now) = counter;
            }
        }
    }

    fn forget_one(&mut self, now: Timestamp) {
        let len = self.counters.len();
        let places = (0..COMPARED.min(len)).map(|step| (self.hand + step) % len);
        let today = Period::Day.index(now);
        let worth = |place: &usize| self.counters.get_index(*place).map(|(_, counter)| counter.worth(today));
        let victim = places.min_by_key(worth);
        self.hand = (self.hand + COMPARED) % len;
        if let Some(victim) = victim {
            self.remove_at(victim);
        }
    }
}

fn mark(changed: &mut Vec<bool>, page: usize) {
    if changed.len() <= page {
        changed.resize(page + 1, false);
    }
    changed[page] = true;
}
