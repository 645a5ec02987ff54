//! A plot of counts over time: bars in SVG, which the page stretches, and the labels beside them as text of the page.

use std::fmt::Write as _;

use super::words::grouped;

/// The height of the plot in its own units.
const HEIGHT: u64 = 100;

/// The width of a bucket in its own units.
const STEP: usize = 10;

/// Counts of every bucket.
pub struct Plot {
    /// The element's id.
    pub id: String,
    pub title: String,
    /// What is shown, in a sentence.
    pub about: String,
    pub series: Vec<Series>,
    /// A further column of the table: its heading, and a text for each bucket.
    pub column: Option<(String, Vec<String>)>,
    /// The time of each bucket.
    times: Vec<String>,
    /// The value at the top.
    top: u64,
}

/// Counts of one kind. A series is drawn over those before it, and narrower.
pub struct Series {
    /// Also its class in the style sheet.
    pub name: &'static str,
    /// The bars, as the outline of one path.
    pub bars: String,
    values: Vec<u64>,
}

impl Plot {
    pub fn new<const N: usize>(
        id: &str,
        title: &str,
        about: String,
        times: Vec<String>,
        series: [(&'static str, Vec<u64>); N],
    ) -> Self {
        let top = top_of(series.iter().flat_map(|(_, values)| values).max().copied().unwrap_or(0));
        let margins = (1..).step_by(2);
        let series = series.into_iter().zip(margins).map(|((name, values), margin)| {
            let bars = bars(&values, top, margin);
            Series { name, bars, values }
        });
        let (id, title, series) = (id.to_owned(), title.to_owned(), series.collect());
        Self { id, title, about, series, column: None, times, top }
    }

    pub fn width(&self) -> usize {
        self.times.len() * STEP
    }

    /// The values at the lines, from the top down.
    pub fn ticks(&self) -> [String; 3] {
        [self.top, self.top / 2, 0].map(grouped)
    }

    /// The times below the first, the middle and the last bar.
    pub fn marks(&self) -> [&str; 3] {
        let last = self.times.len().saturating_sub(1);
        [0, last / 2, last].map(|place| self.times.get(place).map_or("", String::as_str))
    }

    /// The place of each bucket from the left, and its time and values in words.
    pub fn slots(&self) -> impl Iterator<Item = (usize, String)> {
        self.buckets().map(|(bucket, time, values)| {
            let words =
                values.zip(&self.series).map(|(value, series)| format!("{} {}", grouped(value), series.name));
            (bucket * STEP, format!("{time}: {}", words.collect::<Vec<_>>().join(", ")))
        })
    }

    /// The time, the values and the further column of each bucket in which something was counted.
    pub fn rows(&self) -> impl Iterator<Item = (&str, Vec<String>)> {
        self.buckets().filter_map(|(bucket, time, values)| {
            let values: Vec<u64> = values.collect();
            let column = self.column.iter().filter_map(move |(_, texts)| texts.get(bucket).cloned());
            let is_counted = values.iter().any(|value| *value > 0);
            is_counted.then(|| (time, values.into_iter().map(grouped).chain(column).collect()))
        })
    }

    fn buckets(&self) -> impl Iterator<Item = (usize, &str, impl Iterator<Item = u64>)> {
        self.times.iter().enumerate().map(|(bucket, time)| {
            let values =
                self.series.iter().map(move |series| series.values.get(bucket).copied().unwrap_or(0));
            (bucket, time.as_str(), values)
        })
    }
}

/// Bars below `top`, with a margin on both sides. A count is never invisible.
fn bars(values: &[u64], top: u64, margin: usize) -> String {
    let (width, mut path) = (STEP - 2 * margin, String::new());
    for (bucket, value) in values.iter().enumerate().filter(|(_, value)| **value > 0) {
        let height = value.saturating_mul(HEIGHT).div_ceil(top).min(HEIGHT);
        let _ = write!(path, "M{} {HEIGHT}v-{height}h{width}v{height}z", bucket * STEP + margin);
    }
    path
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

    fn plot(values: &[u64]) -> Plot {
        let times = (0..values.len()).map(|hour| format!("{hour:02}:00")).collect();
        let half = values.iter().map(|value| value / 2).collect();
        Plot::new("sends", "Messages", String::new(), times, [("sent", values.to_vec()), ("verified", half)])
    }

    #[test]
    fn the_top_is_a_round_number_whose_half_is_whole() {
        let tops = [0, 2, 3, 5, 11, 40, 41, 101, u64::MAX].map(top_of);
        assert_eq!(tops, [2, 2, 4, 10, 20, 40, 100, 200, u64::MAX]);
    }

    #[test]
    fn a_bar_has_the_height_of_its_count_and_later_series_are_narrower() {
        let bars =
            |values: &[u64]| plot(values).series.into_iter().map(|series| series.bars).collect::<Vec<_>>();
        assert_eq!(bars(&[0, 4, 1]), ["M11 100v-100h8v100zM21 100v-25h8v25z", "M13 100v-50h4v50z"]);
        assert_eq!(bars(&[0, 1_000])[0], "M11 100v-100h8v100z");
    }

    #[test]
    fn the_table_has_the_buckets_with_counts_and_every_bucket_has_words() {
        let plot = plot(&[0, 4, 0]);
        assert_eq!(plot.rows().collect::<Vec<_>>(), [("01:00", vec!["4".to_owned(), "2".to_owned()])]);
        assert_eq!(plot.slots().nth(2), Some((20, "02:00: 0 sent, 0 verified".to_owned())));
        assert_eq!(plot.marks(), ["00:00", "01:00", "02:00"]);
        assert_eq!(plot.ticks(), ["4", "2", "0"]);
    }
}
