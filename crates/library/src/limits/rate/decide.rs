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

/// The window of one bucket. It begins with its first request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    pub bucket: Sid,
    pub since: Timestamp,
    /// Expiry time, independent of later changes of the bucket's interval.
    pub ends: Timestamp,
    /// One, with the requests that passed. The layout has room for several.
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
    let (mut next, mut full_until) = (counts.live(now), None);
    let places = rules.iter().map(|rule| {
        let interval = Duration::from_secs(u64::from(rule.interval.max(1)));
        // A longer interval that was made shorter leaves a window that has ended early.
        next.tallies.retain(|tally| tally.bucket != rule.sid || now < tally.since.plus(interval));
        let position = next.tallies.iter().position(|tally| tally.bucket == rule.sid);
        let position = position.unwrap_or_else(|| {
            let marks = vec![Mark { at: now, count: 0 }];
            next.tallies.push(Tally { bucket: rule.sid, since: now, ends: now.plus(interval), marks });
            next.tallies.len() - 1
        });
        let window = &mut next.tallies[position];
        if window.passed() >= u64::from(rule.max) {
            full_until = full_until.max(Some(window.ends.min(window.since.plus(interval))));
        }
        if let Some(mark) = window.marks.last_mut() {
            mark.count = mark.count.saturating_add(1);
        }
        Counted { bucket: rule.sid, window: window.since }
    });
    let places = places.collect();
    full_until.map_or(Ok((next, places)), Err)
}

/// Removes a request from the windows that still count it.
pub fn give_back(counts: &ValueCounts, places: &[Counted], now: Timestamp) -> ValueCounts {
    let mut next = counts.live(now);
    for tally in &mut next.tallies {
        let is_in = places.contains(&Counted { bucket: tally.bucket, window: tally.since });
        if let Some(mark) = tally.marks.last_mut().filter(|_| is_in) {
            mark.count = mark.count.saturating_sub(1);
        }
    }
    next.tallies.retain(|tally| tally.passed() > 0);
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
}

impl Tally {
    fn passed(&self) -> u64 {
        self.marks.iter().map(|mark| u64::from(mark.count)).sum()
    }
}
