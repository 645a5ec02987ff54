//! Decides whether a request passes a bucket: a sliding window in bounded memory.
//!
//! Pure: (counts, rules, now) in, counts and verdict out. A tally remembers when requests passed, oldest first. At most
//! [`CELLS`] requests are remembered one by one; a bucket that allows more remembers those within a sixteenth of its
//! interval together, as if all had come with the last of them. That errs in one direction only: they may count for up
//! to a sixteenth of the interval longer, never shorter.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::{Sid, Timestamp};

/// Moments that a bucket remembers apart, about.
const CELLS: u32 = 16;

/// A limit: the number of requests with one value, and its window in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketRule {
    /// `BL`.
    pub sid: Sid,
    /// Requests; 0 lets none pass.
    pub max: u32,
    /// Seconds; 0 is taken for 1.
    pub interval: u32,
}

impl BucketRule {
    fn interval(&self) -> Duration {
        Duration::from_secs(u64::from(self.interval.max(1)))
    }

    /// Whether a request at `now` is remembered together with one at `newest`, not later than it.
    fn joins(&self, newest: Timestamp, now: Timestamp) -> bool {
        let width = (u64::from(self.interval.max(1)) * 1_000 / u64::from(CELLS)).max(1);
        newest == now || (self.max > CELLS && newest.as_millis() / width == now.as_millis() / width)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ValueCounts {
    /// One for each bucket that remembers anything.
    pub tallies: Vec<Tally>,
}

/// The requests that one bucket remembers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    pub bucket: Sid,
    /// Requests that passed before this moment are not in here any more.
    pub since: Timestamp,
    /// Expiry time, independent of later changes of the bucket's interval.
    pub ends: Timestamp,
    /// When how many passed, the oldest first.
    pub marks: Vec<Mark>,
}

/// Requests that count as if they had passed at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// When the last of them did.
    pub at: Timestamp,
    pub count: u32,
}

/// The verdict about one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RateDecision {
    /// Every bucket lets it pass, and has counted it.
    Granted {
        /// The counts after the request.
        counts: ValueCounts,
        places: Vec<Counted>,
    },
    /// A bucket is full. Nothing was counted.
    Refused {
        /// When all full buckets have room again, unless another request comes first.
        until: Timestamp,
    },
}

/// Where one request was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    pub bucket: Sid,
    /// As of which moment.
    pub at: Timestamp,
}

/// Counts the request in every bucket if none is full.
pub fn take(counts: &ValueCounts, rules: &[BucketRule], now: Timestamp) -> RateDecision {
    let room = |rule: &BucketRule| counts.of(rule, now).and_then(|tally| tally.full_until(rule, now));
    let never = |rule: &BucketRule| (rule.max == 0).then(|| now.plus(rule.interval()));
    if let Some(until) = rules.iter().filter_map(|rule| room(rule).or_else(|| never(rule))).max() {
        return RateDecision::Refused { until };
    }
    let mut next = counts.live(now);
    let places = rules.iter().map(|rule| next.note(rule, now)).collect();
    RateDecision::Granted { counts: next, places }
}

/// Merges two states after a failed commit: keeps the larger tally of each bucket.
pub fn merge_pessimistic(before: ValueCounts, after: ValueCounts, now: Timestamp) -> ValueCounts {
    let mut merged = after;
    for earlier in before.tallies.into_iter().filter(|tally| now < tally.ends) {
        match merged.tallies.iter_mut().find(|tally| tally.bucket == earlier.bucket) {
            None => merged.tallies.push(earlier),
            Some(later) => {
                let since = later.since.max(earlier.since);
                if earlier.counted_since(since) > later.counted_since(since) {
                    *later = earlier;
                }
            }
        }
    }
    merged
}

/// Removes a request from the counts that still contain it.
pub fn give_back(counts: &ValueCounts, places: &[Counted], now: Timestamp) -> ValueCounts {
    let mut next = counts.live(now);
    for place in places {
        let tally = next.tallies.iter_mut().find(|t| t.bucket == place.bucket && t.since <= place.at);
        // It is in the first mark that is not before it: a later request only moves its mark on.
        if let Some(mark) = tally.and_then(|t| t.marks.iter_mut().find(|mark| place.at <= mark.at)) {
            mark.count = mark.count.saturating_sub(1);
        }
    }
    next.forget_empty();
    next
}

impl ValueCounts {
    /// When nothing of it counts any more.
    pub fn ends(&self) -> Timestamp {
        self.tallies.iter().map(|tally| tally.ends).max().unwrap_or(Timestamp::EPOCH)
    }

    fn live(&self, now: Timestamp) -> Self {
        Self { tallies: self.tallies.iter().filter(|tally| now < tally.ends).cloned().collect() }
    }

    fn of(&self, rule: &BucketRule, now: Timestamp) -> Option<&Tally> {
        self.tallies.iter().find(|tally| tally.bucket == rule.sid && now < tally.ends)
    }

    fn note(&mut self, rule: &BucketRule, now: Timestamp) -> Counted {
        let index = self.tallies.iter().position(|tally| tally.bucket == rule.sid);
        let index = index.unwrap_or_else(|| {
            let fresh = Tally { bucket: rule.sid, since: now, ends: now, marks: Vec::with_capacity(1) };
            self.tallies.push(fresh);
            self.tallies.len() - 1
        });
        let at = self.tallies.get_mut(index).map_or(now, |tally| tally.note(rule, now));
        Counted { bucket: rule.sid, at }
    }

    fn forget_empty(&mut self) {
        for tally in &mut self.tallies {
            tally.marks.retain(|mark| mark.count > 0);
        }
        self.tallies.retain(|tally| !tally.marks.is_empty());
    }
}

impl Tally {
    fn counted_since(&self, since: Timestamp) -> u64 {
        self.marks.iter().filter(|mark| since <= mark.at).map(|mark| u64::from(mark.count)).sum()
    }

    /// When there is room for one more, if there is none now.
    fn full_until(&self, rule: &BucketRule, now: Timestamp) -> Option<Timestamp> {
        let counts_until = |mark: &Mark| mark.at.plus(rule.interval());
        let mut passed: u64 = 0;
        // From the newest back: the mark that fills the bucket must expire first.
        for mark in self.marks.iter().rev().take_while(|mark| now < counts_until(mark)) {
            passed += u64::from(mark.count);
            if passed >= u64::from(rule.max) {
                // An interval that was made longer does not bring back what has ended under the shorter one.
                return Some(counts_until(mark).min(self.ends));
            }
        }
        None
    }

    /// Counts a request; the moment that it counts as of.
    fn note(&mut self, rule: &BucketRule, now: Timestamp) -> Timestamp {
        let gone = self.marks.iter().take_while(|mark| mark.at.plus(rule.interval()) <= now).count();
        if let Some(last) = self.marks.drain(..gone).next_back() {
            self.since = last.at.plus(Duration::from_millis(1));
        }
        // After a crash, time may continue from a slightly earlier value.
        let at = self.marks.last().map_or(now, |newest| newest.at.max(now));
        match self.marks.last_mut() {
            Some(newest) if newest.count < u32::MAX && rule.joins(newest.at, at) => {
                newest.at = at;
                newest.count += 1;
            }
            _ => self.marks.push(Mark { at, count: 1 }),
        }
        // A mark of a longer interval that was made shorter counts no longer than the newest one.
        self.ends = at.plus(rule.interval());
        at
    }
}
