//! Plots of counts over time: the template draws bars in SVG, which the page stretches, the labels beside them as text of
//! the page, and a table with the values of all.

use std::borrow::Borrow;

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
