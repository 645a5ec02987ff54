//! Plots of counts over time: bars in SVG, which the page stretches, the labels beside them as text of the page, and a
//! table with the values of all.

use super::words::grouped;

/// The height of a plot in its own units. A bucket has the width 1.
const HEIGHT: u64 = 100;

/// Plots over the same buckets of time.
pub struct Plots {
    pub all: Vec<Plot>,
    /// The time of each bucket.
    times: Vec<String>,
    /// What one bar is.
    bucket: &'static str,
    /// A further column of the table: its heading, and a text for each bucket.
    column: (String, Vec<String>),
}

pub struct Plot {
    /// The element's id.
    pub id: String,
    pub title: String,
    /// What is shown, in a sentence.
    pub about: String,
    pub series: Vec<Series>,
    /// The value at the top.
    top: u64,
}

/// Counts of one kind. A series is drawn over those before it, and narrower.
pub struct Series {
    /// Also its class in the style sheet.
    pub name: &'static str,
    /// What it is in the table.
    heading: String,
    values: Vec<u64>,
}

impl Plots {
    pub fn new(times: Vec<String>, bucket: &'static str, column: (String, Vec<String>)) -> Self {
        Self { all: Vec::new(), times, bucket, column }
    }

    /// Adds a plot. `of` names in the table what its series are about.
    pub fn add<const N: usize>(
        &mut self,
        id: &str,
        title: &str,
        of: &str,
        series: [(&'static str, Vec<u64>); N],
    ) {
        let sums =
            series.iter().map(|(name, values)| format!("{} {name}", grouped(values.iter().sum::<u64>())));
        let about = format!("{}, by {}.", sums.collect::<Vec<_>>().join(" and "), self.bucket);
        let top = top_of(series.iter().flat_map(|(_, values)| values).max().copied().unwrap_or(0));
        let named = |(name, values)| Series { name, heading: format!("{of} {name}"), values };
        let (id, title) = (id.to_owned(), title.to_owned());
        self.all.push(Plot { id, title, about, series: series.into_iter().map(named).collect(), top });
    }

    pub fn width(&self) -> usize {
        self.times.len()
    }

    /// The times below the first, the middle and the last bar.
    pub fn marks(&self) -> [&str; 3] {
        let last = self.times.len().saturating_sub(1);
        [0, last / 2, last].map(|place| self.times.get(place).map_or("", String::as_str))
    }

    pub fn headings(&self) -> impl Iterator<Item = &str> {
        self.series().map(|series| series.heading.trim()).chain([self.column.0.as_str()])
    }

    /// The time and the values of each bucket in which something was counted.
    pub fn rows(&self) -> impl Iterator<Item = (&str, Vec<String>)> {
        self.times.iter().zip(&self.column.1).enumerate().filter_map(|(bucket, (time, column))| {
            let values = self.series().map(|series| series.values.get(bucket).copied().unwrap_or(0));
            let values: Vec<u64> = values.collect();
            let is_counted = values.iter().any(|value| *value > 0);
            let texts = values.into_iter().map(grouped).chain([column.clone()]);
            is_counted.then(|| (time.as_str(), texts.collect()))
        })
    }

    fn series(&self) -> impl Iterator<Item = &Series> {
        self.all.iter().flat_map(|plot| &plot.series)
    }
}

impl Plot {
    /// The values at the lines, from the top down.
    pub fn ticks(&self) -> [String; 3] {
        [self.top, self.top / 2, 0].map(grouped)
    }

    /// The bars of a series, as one path with a line for each. A count is never invisible.
    pub fn bars(&self, series: &Series) -> String {
        let bars = series.values.iter().enumerate().filter(|(_, value)| **value > 0);
        let bar = |(bucket, value): (usize, &u64)| {
            let height = value.saturating_mul(HEIGHT).div_ceil(self.top).min(HEIGHT);
            format!("M{bucket}.5 {HEIGHT}V{}", HEIGHT - height)
        };
        bars.map(bar).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn plots(values: &[u64]) -> Plots {
        let times: Vec<_> = (0..values.len()).map(|hour| format!("{hour:02}:00")).collect();
        let half = values.iter().map(|value| value / 2).collect();
        let mut plots = Plots::new(times.clone(), "hour", ("cost".to_owned(), times));
        let series = [("sent", values.to_vec()), ("verified", half)];
        plots.add("sends", "Messages", "Http", series);
        plots
    }

    #[test]
    fn the_top_is_a_round_number_whose_half_is_whole() {
        let tops = [0, 2, 3, 5, 11, 40, 41, 101, u64::MAX].map(top_of);
        assert_eq!(tops, [2, 2, 4, 10, 20, 40, 100, 200, u64::MAX]);
    }

    #[test]
    fn a_bar_has_the_height_of_its_count() {
        let bars = |values: &[u64]| {
            let plot = &plots(values).all[0];
            plot.series.iter().map(|series| plot.bars(series)).collect::<Vec<_>>()
        };
        assert_eq!(bars(&[0, 4, 1]), ["M1.5 100V0M2.5 100V75", "M1.5 100V50"]);
        assert_eq!(bars(&[0, 1_000])[0], "M1.5 100V0");
    }

    #[test]
    fn the_table_has_the_buckets_with_counts() {
        let plots = plots(&[0, 4, 0]);
        assert_eq!(plots.headings().collect::<Vec<_>>(), ["Http sent", "Http verified", "cost"]);
        assert_eq!(
            plots.rows().collect::<Vec<_>>(),
            [("01:00", ["4", "2", "01:00"].map(str::to_owned).into())]
        );
        assert_eq!(plots.marks(), ["00:00", "01:00", "02:00"]);
        assert_eq!(plots.all[0].ticks(), ["4", "2", "0"]);
        assert_eq!(plots.all[0].about, "4 sent and 2 verified, by hour.");
    }
}
