//! A plot of counts over time: bars in SVG, which the page stretches, and the labels beside them as text of the page.

use std::fmt::Write as _;

use super::overview::grouped;

/// The height of the plot in its own units.
const HEIGHT: u64 = 100;

/// The width of a bucket in its own units.
const STEP: usize = 10;

/// Counts of every bucket.
pub struct Plot {
    /// The element's id.
    pub id: &'static str,
    pub title: &'static str,
    /// What is shown, in a sentence.
    pub about: String,
    pub series: Vec<Series>,
    /// The time of each bucket.
    pub times: Vec<String>,
    /// The value at the top.
    top: u64,
}

pub struct Series {
    pub name: &'static str,
    /// Its class in the style sheet. A series is drawn over those before it, and narrower.
    pub class: &'static str,
    pub values: Vec<u64>,
    /// The bars, as the outline of one path.
    pub bars: String,
}

impl Series {
    pub fn new(name: &'static str, class: &'static str, values: Vec<u64>) -> Self {
        Self { name, class, values, bars: String::new() }
    }
}

impl Plot {
    pub fn new(
        id: &'static str,
        title: &'static str,
        about: String,
        times: Vec<String>,
        series: Vec<Series>,
    ) -> Self {
        let most = series.iter().flat_map(|series| &series.values).max().copied().unwrap_or(0);
        let mut plot = Self { id, title, about, series, times, top: top_of(most) };
        for place in 0..plot.series.len() {
            plot.series[place].bars = plot.bars(place);
        }
        plot
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

    /// The bars of the series at a place.
    fn bars(&self, place: usize) -> String {
        let (margin, mut path) = (1 + 2 * place, String::new());
        let values = self.series.get(place).map(|series| series.values.as_slice()).unwrap_or_default();
        for (bucket, value) in values.iter().enumerate().filter(|(_, value)| **value > 0) {
            let (left, width) = (bucket * STEP + margin, STEP - 2 * margin);
            // A count is never invisible.
            let height = (value * HEIGHT).div_ceil(self.top).min(HEIGHT);
            let _ = write!(path, "M{left} {HEIGHT}v-{height}h{width}v{height}z");
        }
        path
    }

    /// The place of each bucket from the left, and its time and values in words.
    pub fn slots(&self) -> impl Iterator<Item = (usize, String)> {
        self.times.iter().enumerate().map(|(bucket, time)| {
            let values = self.values(bucket).into_iter().zip(&self.series);
            let words = values.map(|(value, series)| format!("{value} {}", series.name));
            (bucket * STEP, format!("{time}: {}", words.collect::<Vec<_>>().join(", ")))
        })
    }

    /// The buckets in which something was counted: time and values.
    pub fn rows(&self) -> impl Iterator<Item = (&str, Vec<String>)> {
        let row = |(bucket, time): (usize, &'_ String)| (bucket, time.clone());
        let counted = self.times.iter().enumerate().map(row).filter(|(bucket, _)| {
            self.series.iter().any(|series| series.values.get(*bucket).is_some_and(|value| *value > 0))
        });
        counted.map(|(bucket, _)| (self.times[bucket].as_str(), self.values(bucket)))
    }

    fn values(&self, bucket: usize) -> Vec<String> {
        self.series.iter().map(|series| grouped(series.values.get(bucket).copied().unwrap_or(0))).collect()
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

    fn plot(values: &[u64]) -> Plot {
        let times = (0..values.len()).map(|hour| format!("{hour:02}:00")).collect();
        let series = Series::new("sent", "sent", values.to_vec());
        Plot::new("sends", "Messages", String::new(), times, vec![series])
    }

    #[test]
    fn the_top_is_a_round_number_whose_half_is_whole() {
        let tops = [0, 2, 3, 5, 11, 40, 41, 101, u64::MAX].map(top_of);
        assert_eq!(tops, [2, 2, 4, 10, 20, 40, 100, 200, u64::MAX]);
    }

    #[test]
    fn a_bar_has_the_height_of_its_count() {
        assert_eq!(plot(&[0, 4, 1]).series[0].bars, "M11 100v-100h8v100zM21 100v-25h8v25z");
        assert_eq!(plot(&[0, 1_000]).series[0].bars, "M11 100v-100h8v100z");
    }

    #[test]
    fn the_table_has_the_buckets_with_counts_and_every_bucket_has_words() {
        let plot = plot(&[0, 4, 0]);
        assert_eq!(plot.rows().collect::<Vec<_>>(), [("01:00", vec!["4".to_owned()])]);
        assert_eq!(plot.slots().nth(2), Some((20, "02:00: 0 sent".to_owned())));
        assert_eq!(plot.marks(), ["00:00", "01:00", "02:00"]);
        assert_eq!(plot.ticks(), ["4", "2", "0"]);
    }
}
