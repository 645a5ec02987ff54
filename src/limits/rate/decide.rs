//! Decides whether a request passes a bucket: a window that begins with its first request and lasts an interval.
//!
//! Pure: (counts, rules, now) in, counts and verdict out.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::{Sid, Timestamp};

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

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ValueCounts {
    /// One for each bucket that counted anything.
    pub tallies: Vec<Tally>,
}

/// The window of one bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    pub bucket: Sid,
    pub since: Timestamp,
    /// Expiry time, independent of later changes of the bucket's interval.
    pub ends: Timestamp,
    /// One, with the requests that passed. Records of a sliding window have several: all count until the window of the last
    /// one ends.
    pub marks: Vec<Mark>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    pub at: Timestamp,
    pub count: u32,
}

/// Where one request was counted: in the window that began then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    pub bucket: Sid,
    pub window: Timestamp,
}

/// The counts after a request, and where it was counted. If a bucket is full nothing is counted, and the error is when all
/// full ones have room again.
pub type Verdict = Result<(ValueCounts, Vec<Counted>), Timestamp>;

/// Counts the request in every bucket if none is full.
pub fn take(counts: &ValueCounts, rules: &[BucketRule], now: Timestamp) -> Verdict {
    let full_until = |rule: &BucketRule| {
        let window = counts.tallies.iter().find(|tally| tally.is_of(rule, now));
        let passed = window.map_or(0, Tally::passed);
        let end = window.map_or(now.plus(rule.interval()), |window| window.end(rule));
        (passed >= u64::from(rule.max)).then_some(end)
    };
    if let Some(until) = rules.iter().filter_map(full_until).max() {
        return Err(until);
    }
    let mut next = counts.live(now);
    let places = rules.iter().map(|rule| next.note(rule, now)).collect();
    Ok((next, places))
}

/// Merges two states after a failed commit: keeps the larger count of each bucket.
pub fn merge_pessimistic(before: &ValueCounts, after: ValueCounts, now: Timestamp) -> ValueCounts {
    let mut merged = after;
    for earlier in before.live(now).tallies {
        match merged.tallies.iter_mut().find(|tally| tally.bucket == earlier.bucket) {
            None => merged.tallies.push(earlier),
            Some(later) if later.passed() < earlier.passed() => *later = earlier,
            Some(_) => {}
        }
    }
    merged
}

/// Removes a request from the windows that still count it.
pub fn give_back(counts: &ValueCounts, places: &[Counted], now: Timestamp) -> ValueCounts {
    let mut next = counts.live(now);
    for place in places {
        let marks = next.tallies.iter_mut().filter(|tally| tally.bucket == place.bucket);
        if let Some(mark) =
            marks.filter_map(|tally| tally.marks.last_mut()).find(|mark| mark.at == place.window)
        {
            mark.count = mark.count.saturating_sub(1);
        }
    }
    next.tallies.retain(|tally| tally.passed() > 0);
    next
}

impl BucketRule {
    fn interval(&self) -> Duration {
        Duration::from_secs(u64::from(self.interval.max(1)))
    }
}

impl ValueCounts {
    /// When nothing of it counts any more.
    pub fn ends(&self) -> Timestamp {
        self.tallies.iter().map(|tally| tally.ends).max().unwrap_or(Timestamp::EPOCH)
    }

    fn live(&self, now: Timestamp) -> Self {
        Self { tallies: self.tallies.iter().filter(|tally| now < tally.ends).cloned().collect() }
    }

    fn note(&mut self, rule: &BucketRule, now: Timestamp) -> Counted {
        let window = self.tallies.iter_mut().find(|tally| tally.is_of(rule, now));
        if let Some(mark) = window.and_then(|window| window.marks.last_mut()) {
            mark.count = mark.count.saturating_add(1);
            return Counted { bucket: rule.sid, window: mark.at };
        }
        // A longer interval that was made shorter leaves a window that has ended early.
        self.tallies.retain(|tally| tally.bucket != rule.sid);
        let marks = vec![Mark { at: now, count: 1 }];
        self.tallies.push(Tally { bucket: rule.sid, since: now, ends: now.plus(rule.interval()), marks });
        Counted { bucket: rule.sid, window: now }
    }
}

impl Tally {
    fn is_of(&self, rule: &BucketRule, now: Timestamp) -> bool {
        self.bucket == rule.sid && now < self.end(rule)
    }

    fn end(&self, rule: &BucketRule) -> Timestamp {
        let began = self.marks.last().map_or(self.since, |mark| mark.at);
        self.ends.min(began.plus(rule.interval()))
    }

    fn passed(&self) -> u64 {
        self.marks.iter().map(|mark| u64::from(mark.count)).sum()
    }
}
