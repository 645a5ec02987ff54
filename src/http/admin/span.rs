//! Spans of time on the overview: its ranges up to now, and from one day to another.

use std::time::Duration;

use super::page::moment;
use crate::domain::Timestamp;
use crate::node::history::Resolution;

/// A time span up to now.
#[derive(Debug, PartialEq, Eq)]
pub struct Range {
    /// The value of `range` in the URL.
    pub id: &'static str,
    pub title: &'static str,
    pub resolution: Resolution,
    /// `None` since midnight.
    pub buckets: Option<u32>,
}

/// The index of the range that is shown unless the address names one.
pub const DAY: usize = 1;

pub static RANGES: [Range; 4] = [
    Range { id: "today", title: "Today", resolution: Resolution::Hour, buckets: None },
    Range { id: "day", title: "24 hours", resolution: Resolution::Hour, buckets: Some(24) },
    Range { id: "14d", title: "14 days", resolution: Resolution::Day, buckets: Some(14) },
    Range { id: "30d", title: "30 days", resolution: Resolution::Day, buckets: Some(30) },
];

impl Range {
    pub fn until(&self, now: Timestamp) -> Span {
        let (last, length) = (self.resolution.bucket(now), self.resolution.length());
        let from = match self.buckets {
            Some(buckets) => last.minus(length * buckets.saturating_sub(1)),
            None => Resolution::Day.bucket(now),
        };
        Span::new(Some(self.id), self.resolution, from, last.plus(length))
    }
}

/// Buckets of time.
#[derive(Debug, PartialEq, Eq)]
pub struct Span {
    /// The id of its range; `None` for one that a person chose.
    pub range: Option<&'static str>,
    pub resolution: Resolution,
    pub starts: Vec<Timestamp>,
    /// The end of the last bucket.
    pub to: Timestamp,
}

impl Span {
    fn new(range: Option<&'static str>, resolution: Resolution, from: Timestamp, to: Timestamp) -> Self {
        let starts = std::iter::successors(Some(from), |start| Some(start.plus(resolution.length())));
        Self { range, resolution, starts: starts.take_while(|start| *start < to).collect(), to }
    }

    /// By hours while these are kept, else by days; without buckets if nothing of it is kept. `None` if it ends before it
    /// begins.
    pub fn between(since: Option<Timestamp>, until: Option<Timestamp>, now: Timestamp) -> Option<Self> {
        let kept = |resolution: Resolution| now.minus(resolution.kept_for());
        let until = until.map_or(now, |until| until.min(now));
        let since = since.unwrap_or_default();
        let from = since.max(kept(Resolution::Day));
        let resolution = if from > kept(Resolution::Hour) { Resolution::Hour } else { Resolution::Day };
        let last = resolution.bucket(until.minus(Duration::from_millis(1)));
        let span = Self::new(None, resolution, resolution.bucket(from), last.plus(resolution.length()));
        (since < until).then_some(span)
    }

    pub fn from(&self) -> Timestamp {
        self.starts.first().copied().unwrap_or(self.to)
    }

    /// The time to the period before; `None` if its counts are no longer kept. A day goes before today.
    pub fn shift(&self, now: Timestamp) -> Option<Duration> {
        let length =
            if self.range == Some("today") { Resolution::Day.length() } else { self.to.since(self.from()) };
        let oldest = now.minus(self.resolution.kept_for());
        (self.from().minus(length) >= oldest).then_some(length)
    }

    /// The part of a moment that names a bucket.
    pub fn label(&self, start: Timestamp) -> String {
        let part = match self.resolution {
            Resolution::Day => 5..10,
            Resolution::Hour if self.starts.len() > 24 => 5..16,
            Resolution::Hour => 11..16,
        };
        moment(start).get(part).unwrap_or_default().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_ends_with_the_bucket_of_its_end_and_knows_the_one_before() {
        let at = |text| Timestamp::parse_day_or_moment(text).expect("a moment");
        let now = at("2027-01-31T12:34:56Z");
        let between = |since, until| Span::between(Some(at(since)), Some(at(until)), now);
        let days = between("2027-01-05", "2027-01-08").expect("a span");
        let hours = between("2027-01-29", "2027-01-31").expect("a span");
        let since = Span::between(None, Some(at("2027-01-08")), now).expect("a span");
        for (span, first, last, has_before) in [
            (RANGES[0].until(now), "00:00", "12:00", true),
            (RANGES[DAY].until(now), "13:00", "12:00", true),
            (RANGES[2].until(now), "01-18", "01-31", true),
            (RANGES[3].until(now), "01-02", "01-31", false),
            (days, "01-05", "01-07", true),
            (hours, "01-29 00:00", "01-30 23:00", false),
            (since, "12-30", "01-07", false),
        ] {
            let labels =
                [span.starts.first(), span.starts.last()].map(|start| span.label(*start.expect("a bucket")));
            assert_eq!((labels, span.shift(now).is_some()), ([first, last].map(str::to_owned), has_before));
        }
        assert_eq!(RANGES[0].until(now).shift(now), Some(Resolution::Day.length()));
        assert_eq!(between("2027-01-08", "2027-01-05"), None);
    }
}
