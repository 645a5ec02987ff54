//! The figures of the overview, in words.

use std::borrow::Borrow;
use std::time::Duration;

use super::page::moment;
use crate::domain::{Timestamp, seconds_up};
use crate::node::history::{Counts, Resolution};

/// A figure of this period, and a note about the one before.
pub struct Figure {
    pub name: &'static str,
    pub value: String,
    pub note: String,
    pub is_problem: bool,
}

/// Verifications from which on none that is verified is a problem.
const SOME: u64 = 5;

/// `failed` names failures.
pub fn figures(all: &Counts, before: Option<&Counts>, currency: &str, failed: &'static str) -> Vec<Figure> {
    let figures = |of: &Counts| {
        [
            ("Messages sent", grouped(of.accepted)),
            ("Numbers verified", grouped(of.verified)),
            ("Conversion", share(of.verified, of.begun)),
            (failed, grouped(of.failed.total())),
            ("Refused messages", grouped(of.refused.total())),
            ("Numbers locked out", grouped(of.lockouts)),
            ("Estimated cost", format!("{} {currency}", money(of.cost_micros))),
        ]
    };
    let mut earlier = before.map(figures).into_iter().flatten();
    let figure = |(name, value)| {
        let known = earlier.next().filter(|(_, value)| value != "–");
        let before = known.map(|(_, value)| format!("before: {value}"));
        let is_problem = name == "Conversion" && all.verified == 0 && all.begun >= SOME;
        let further = match name {
            _ if is_problem => Some("no code was right".to_owned()),
            "Refused messages" if all.saved_micros > 0 => {
                Some(format!("saved {} {currency}", money(all.saved_micros)))
            }
            _ => None,
        };
        let note = [before, further].into_iter().flatten().collect::<Vec<_>>().join(", ");
        Figure { name, value, note, is_problem }
    };
    figures(all).into_iter().map(figure).collect()
}

/// A step of the way from a message to a verified number.
pub struct Step {
    pub name: &'static str,
    pub count: u64,
    /// The share of the step before it; empty of the first.
    pub share: String,
    pub before: Option<u64>,
}

pub fn funnel(all: &Counts, before: Option<&Counts>) -> [Step; 4] {
    let step = |name, count: fn(&Counts) -> u64, whole: Option<u64>| Step {
        name,
        count: count(all),
        share: whole.map(|whole| share(count(all), whole)).unwrap_or_default(),
        before: before.map(count),
    };
    let (sent, delivered) = (all.accepted, all.delivery.total());
    // Without reports of all the messages that a gateway took are the step before a check.
    let before_check = if all.tried <= delivered { delivered } else { sent };
    [
        step("sent", |counts| counts.accepted, None),
        step("delivered, as reported", |counts| counts.delivery.total(), (delivered > 0).then_some(sent)),
        step("tried", |counts| counts.tried, Some(before_check)),
        step("verified", |counts| counts.verified, Some(all.tried)),
    ]
}

/// Counts with what they are of, but for those that are none.
fn in_words(counts: [(&str, u64); 5]) -> String {
    let counted = counts.into_iter().filter(|(_, count)| *count > 0);
    counted.map(|(what, count)| format!("{} {what}", grouped(count))).collect::<Vec<_>>().join(", ")
}

/// What refused messages.
pub fn refused_by(counts: &Counts) -> String {
    let refused = &counts.refused;
    in_words([
        ("by the guard", refused.guard),
        ("by budgets", refused.budget),
        ("by rate limits", refused.rate_limit),
        ("by lockouts", refused.lockout),
        ("by limits of verifications", refused.verification),
    ])
}

/// Why messages failed.
pub fn causes(counts: &Counts) -> String {
    let failed = &counts.failed;
    in_words([
        ("number not reachable", failed.number),
        ("configuration or account", failed.configuration),
        ("refused by the provider", failed.refused),
        ("no gateway available", failed.unavailable),
        ("outcome unknown", failed.unknown),
    ])
}

// Plots of counts over time: the template draws bars in SVG, which the page stretches, the labels beside them as text of
// the page, and a table with the values of all.

/// Plots over the same buckets of time.
pub struct Plots {
    pub all: Vec<Plot>,
    /// The time of each bucket, and its cost for the table.
    pub times: Vec<String>,
    pub costs: Vec<String>,
    /// What one bar is.
    pub bucket: &'static str,
}

pub struct Plot {
    /// The element's id.
    pub id: &'static str,
    pub title: String,
    pub series: Vec<Series>,
    /// The value at the top.
    pub top: u64,
}

/// Counts of one kind. A series is drawn over those before it, and narrower.
pub struct Series {
    /// Also its class in the style sheet.
    pub name: &'static str,
    /// Of each bucket.
    pub values: Vec<u64>,
}

impl Plots {
    /// The times below the first, the middle and the last bar.
    pub fn marks(&self) -> [&str; 3] {
        let last = self.times.len().saturating_sub(1);
        [0, last / 2, last].map(|place| self.times.get(place).map_or("", String::as_str))
    }

    /// The time, the values and the cost of each bucket in which something was counted.
    pub fn rows(&self) -> impl Iterator<Item = (&str, Vec<u64>, &str)> {
        let values = |bucket: usize| {
            let all = self.all.iter().flat_map(|plot| &plot.series);
            all.map(|series| series.values[bucket]).collect::<Vec<_>>()
        };
        let rows = self.times.iter().zip(&self.costs).enumerate();
        let rows = rows.map(move |(bucket, (time, cost))| (time.as_str(), values(bucket), cost.as_str()));
        rows.filter(|(_, values, _)| values.iter().any(|value| *value > 0))
    }
}

impl Plot {
    pub fn new<const N: usize>(id: &'static str, title: &str, series: [(&'static str, Vec<u64>); N]) -> Self {
        let series: Vec<_> = series.map(|(name, values)| Series { name, values }).into();
        let top = top_of(series.iter().flat_map(|series| &series.values).max().copied().unwrap_or(0));
        Self { id, title: title.to_owned(), series, top }
    }

    /// Where a bar ends: 0 is the top, 100 the bottom. A count is never invisible.
    pub fn end(&self, value: impl Borrow<u64>) -> u64 {
        100 - value.borrow().saturating_mul(100).div_ceil(self.top).min(100)
    }
}

impl Series {
    pub fn sum(&self) -> u64 {
        self.values.iter().sum()
    }
}

/// The smallest of 2, 4, 10, 20, 40, 100 .. that is not below `most`: half of it is a whole number.
fn top_of(most: u64) -> u64 {
    let mut step = 1_u64;
    loop {
        for top in [2, 4, 10].map(|factor| step.saturating_mul(factor)) {
            if top >= most {
                return top;
            }
        }
        step = step.saturating_mul(10);
    }
}

// Figures in words for people.

/// A count with its thousands set apart: `1,234,567`.
pub fn grouped(count: impl Borrow<u64>) -> String {
    let digits = count.borrow().to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A share in percent, `–` of nothing. More can be verified than began in a short time.
pub fn share(part: impl Borrow<u64>, whole: impl Borrow<u64>) -> String {
    let (part, whole) = (*part.borrow(), *whole.borrow());
    let tenths = (u128::from(part) * 1_000 + u128::from(whole) / 2).checked_div(u128::from(whole));
    tenths.map_or_else(|| "–".to_owned(), |tenths| format!("{}.{} %", tenths / 10, tenths % 10))
}

/// An amount to the cent, with its thousands set apart.
pub fn money(micros: impl Borrow<u64>) -> String {
    let micros = *micros.borrow();
    if (1..10_000).contains(&micros) {
        return "< 0.01".to_owned();
    }
    let cents = micros.saturating_add(5_000) / 10_000;
    format!("{}.{:02}", grouped(cents / 100), cents % 100)
}

/// An amount to a hundredth of a cent, with its sign.
pub fn exact_money(micros: impl Borrow<i64>) -> String {
    let micros = *micros.borrow();
    let parts = micros.unsigned_abs().saturating_add(50) / 100;
    let sign = if micros < 0 { "−" } else { "" };
    format!("{sign}{}.{:04}", grouped(parts / 10_000), parts % 10_000)
}

/// A time span that is left, rounded up.
pub fn time_left(left: Duration) -> String {
    let seconds = seconds_up(left);
    let minutes = seconds.div_ceil(60);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{minutes} min"),
        7_200..172_800 => format!("{} h", minutes.div_ceil(60)),
        _ => format!("{} days", minutes.div_ceil(24 * 60)),
    }
}

/// A time span of the overview, up to now.
pub struct Range {
    /// The value of `range` in the URL.
    pub id: &'static str,
    pub title: &'static str,
    pub resolution: Resolution,
    /// `None` since midnight.
    buckets: Option<u32>,
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
    /// The starts of its buckets. There is one at least.
    pub fn starts(&self, now: Timestamp) -> Vec<Timestamp> {
        let (last, length) = (self.resolution.bucket(now), self.resolution.length());
        let from = match self.buckets {
            Some(buckets) => last.minus(length * buckets.saturating_sub(1)),
            None => Resolution::Day.bucket(now),
        };
        let starts = std::iter::successors(Some(from), |start| Some(start.plus(length)));
        starts.take_while(|start| *start <= last).collect()
    }

    /// The time to the period before; `None` if its counts are no longer kept. A day goes before today.
    pub fn shift(&self) -> Option<Duration> {
        let (buckets, length) = (self.buckets.unwrap_or(24), self.resolution.length());
        let is_kept = length * buckets * 2 <= self.resolution.kept_for();
        is_kept.then(|| length * buckets)
    }

    /// The part of a moment that names a bucket.
    pub fn label(&self, start: Timestamp) -> String {
        let part = if self.resolution == Resolution::Day { 5..10 } else { 11..16 };
        moment(start).get(part).unwrap_or_default().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_ends_with_the_bucket_of_now() {
        let now = Timestamp::parse("2027-01-31T12:34:56Z").expect("a moment");
        let labels = ["00:00 12:00", "13:00 12:00", "01-18 01-31", "01-02 01-31"];
        for (range, expected) in RANGES.iter().zip(labels) {
            let starts = range.starts(now);
            let ends = [starts[0], starts[starts.len() - 1]].map(|start| range.label(start));
            assert_eq!(ends.join(" "), expected, "{}", range.id);
        }
    }
}
