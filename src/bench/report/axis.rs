//! Axes: where a value is, and which round values are marked.

use super::figures::{MEMORY, TIMES, decimals, unit};

/// One axis of a plot.
pub(super) struct Axis {
    /// What it shows, with the unit of its marks.
    pub title: String,
    pub marks: Vec<Mark>,
    scale: Scale,
    low: f64,
    high: f64,
}

/// A round value, with the words for it.
pub(super) struct Mark {
    pub at: f64,
    pub label: String,
}

#[derive(Clone, Copy)]
enum Scale {
    Even,
    /// Each step is a factor.
    Log,
    /// Percentiles: each step is one nine more.
    Nines,
}

/// About as many marks as can be told apart on a telephone.
const MARKS: f64 = 5.0;

/// Times shorter than this are drawn as this long, so that zero has a place on an axis of factors.
const SHORTEST_US: f64 = 0.1;

/// Percentiles that have a mark.
const PERCENTILES: [f64; 7] = [0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999];

impl Axis {
    /// From 0 to a round value that is not below `most`.
    pub fn even(title: &str, most: f64) -> Self {
        Self::even_in(title, most, 1.0)
    }

    /// A rate from 0, in millions or billions if it is so high that whole numbers would not fit.
    pub fn rate(title: &str, most: f64) -> Self {
        // Marks of a million and more would not fit beside the plot.
        let (size, name) = match most {
            most if most < 5e5 => (1.0, ""),
            most if most < 5e8 => (1e6, "million "),
            _ => (1e9, "billion "),
        };
        Self::even_in(&format!("{name}{title}"), most, size)
    }

    /// Memory from 0 bytes, in the unit that fits.
    pub fn memory(title: &str, most: f64) -> Self {
        let (size, name) = unit(most, MEMORY);
        Self::even_in(&format!("{title}, {name}"), most, size)
    }

    /// Seconds, from 0 to exactly `most`, in seconds, minutes or hours.
    pub fn seconds(title: &str, most: f64) -> Self {
        let units = [(1.0, "s"), (60.0, "min"), (3_600.0, "h")];
        let longest = units.iter().rev().find(|(size, _)| most >= size * 10.0);
        let (size, name) = longest.copied().unwrap_or((1.0, "s"));
        let mut axis = Self::even_in(&format!("{title}, {name}"), most, size);
        axis.high = most.max(axis.marks.get(1).map_or(1.0, |mark| mark.at));
        axis.marks.retain(|mark| mark.at <= axis.high);
        axis
    }

    /// Microseconds on a scale of factors, from a round time to a round time.
    pub fn times(title: &str, least: f64, most: f64) -> Self {
        let mut low = round_below(least.max(SHORTEST_US));
        let high = round_below(most.max(low));
        let above = |step: &f64| *step >= most * 0.999 && *step > low * 1.01;
        let mut high = steps_from(high).find(above).unwrap_or(high * 10.0);
        let leading: &[f64] = if high / low <= 1_000.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        if leading.len() == 1 {
            low = 10_f64.powf(low.log10().floor());
            high = 10_f64.powf((high.log10() - 1e-9).ceil());
        }
        let decades = (high / low).log10();
        #[expect(clippy::cast_possible_truncation, reason = "logarithms of finite numbers are small")]
        let (from, to) = ((low.log10() + 1e-9).floor() as i32, high.log10().ceil() as i32);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "from 1 to about a hundred"
        )]
        let every = (decades / 6.0).ceil().max(1.0) as usize;
        let powers = (from..=to).step_by(every);
        let values = powers.flat_map(|power| leading.iter().map(move |lead| lead * 10_f64.powi(power)));
        let inside = values.filter(|value| *value >= low * 0.999 && *value <= high * 1.001);
        let marks = inside.map(|at| Mark { at, label: round_time(at) }).collect();
        Self { title: title.to_owned(), marks, scale: Scale::Log, low, high }
    }

    /// Percentiles up to `most`, below 100.
    pub fn percentiles(title: &str, most: f64) -> Self {
        let high = most.max(90.0);
        let label = |at: f64| if at > 0.0 { format!("{at}") } else { "0".to_owned() };
        let marks =
            PERCENTILES.iter().filter(|at| **at <= high).map(|at| Mark { at: *at, label: label(*at) });
        Self { title: title.to_owned(), marks: marks.collect(), scale: Scale::Nines, low: 0.0, high }
    }

    /// How far along the axis a value is, from 0 to 1.
    pub fn place(&self, value: f64) -> f64 {
        let along = |value: f64| match self.scale {
            Scale::Even => value,
            Scale::Log => value.max(SHORTEST_US).log10(),
            Scale::Nines => -(1.0 - value.min(self.high) / 100.0).log10(),
        };
        let (low, high) = (along(self.low), along(self.high));
        let place = (along(value) - low) / (high - low);
        if place.is_finite() { place.clamp(0.0, 1.0) } else { 0.0 }
    }

    fn even_in(title: &str, most: f64, size: f64) -> Self {
        // Nothing that is measured needs an axis below this, and zero would have no marks at all.
        let most = (most / size).max(0.01);
        let rough = most / MARKS;
        let below = round_below(rough);
        let step = steps_from(below).find(|step| *step >= rough * 0.999).unwrap_or(below * 10.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "steps are above a thousandth"
        )]
        let places = (-step.log10()).ceil().clamp(0.0, 6.0) as usize;
        let mut marks = Vec::new();
        let mut at = 0.0;
        for number in 1..=7 {
            marks.push(Mark { at: at * size, label: decimals(at, places) });
            if at >= most * 0.999 {
                break;
            }
            at = step * f64::from(number);
        }
        let high = marks.last().map_or(size, |mark| mark.at);
        Self { title: title.to_owned(), marks, scale: Scale::Even, low: 0.0, high }
    }
}

/// The greatest of 1, 2, 5 times a power of ten that is not above the value.
fn round_below(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let fits = |lead: &&f64| **lead * power <= value * 1.001;
    [5.0, 2.0, 1.0].iter().find(fits).unwrap_or(&1.0) * power
}

/// Round values from a round value on, growing.
fn steps_from(value: f64) -> impl Iterator<Item = f64> {
    let power = 10_f64.powf((value * 1.001).log10().floor());
    [1.0, 2.0, 5.0, 10.0, 20.0, 50.0]
        .into_iter()
        .map(move |lead| lead * power)
        .filter(move |step| *step >= value * 0.999)
}

fn round_time(us: f64) -> String {
    let (size, name) = unit(us, TIMES);
    let value = us / size;
    format!("{} {name}", decimals(value, usize::from(value < 0.95)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.marks.iter().map(|mark| mark.label.as_str()).collect()
    }

    #[test]
    fn an_even_axis_has_round_marks_from_zero_to_beyond_the_most() {
        assert_eq!(labels(&Axis::even("", 29_112.0)), ["0", "10,000", "20,000", "30,000"]);
        assert_eq!(labels(&Axis::even("", 1.7)), ["0.0", "0.5", "1.0", "1.5", "2.0"]);
        assert_eq!(labels(&Axis::even("", 0.0)).first(), Some(&"0.000"));
        let memory = Axis::memory("memory", 90.0 * 1024.0 * 1024.0);
        assert_eq!(memory.title, "memory, MiB");
        assert_eq!(labels(&memory), ["0", "20", "40", "60", "80", "100"]);
    }

    #[test]
    fn an_axis_of_time_ends_with_the_run() {
        let axis = Axis::seconds("time", 50.2);
        assert_eq!(labels(&axis), ["0", "20", "40"]);
        assert!((axis.place(50.2) - 1.0).abs() < 1e-9);
        assert_eq!(Axis::seconds("time", 1_200.0).title, "time, min");
    }

    #[test]
    fn an_axis_of_factors_goes_from_round_time_to_round_time() {
        assert_eq!(labels(&Axis::times("", 830.0, 3_400.0)), ["500 us", "1 ms", "2 ms", "5 ms"]);
        assert_eq!(labels(&Axis::times("", 1_000.0, 1_000.0)), ["1 ms", "2 ms"]);
        // So wide that there is room for powers of ten only, and then it begins and ends with one.
        let long = Axis::times("", 12.0, 3e6);
        assert_eq!(labels(&long), ["10 us", "100 us", "1 ms", "10 ms", "100 ms", "1 s", "10 s"]);
        assert!((long.place(10_000.0) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn each_nine_more_is_one_step_further() {
        let axis = Axis::percentiles("", 99.99);
        assert_eq!(labels(&axis), ["0", "50", "90", "99", "99.9", "99.99"]);
        let places = [0.0, 90.0, 99.0, 99.9, 99.99].map(|at| axis.place(at));
        for (place, expected) in places.iter().zip([0.0, 0.25, 0.5, 0.75, 1.0]) {
            assert!((place - expected).abs() < 1e-9, "{places:?}");
        }
    }

    #[test]
    fn no_value_is_drawn_outside_the_plot() {
        for axis in [
            Axis::even("", 1e300),
            Axis::times("", 0.0, 1e300),
            Axis::seconds("", 0.0),
            Axis::even("", 1e-300),
        ] {
            assert!(axis.marks.len() >= 2 && axis.marks.len() < 12, "{:?}", labels(&axis));
            for value in [0.0, -1.0, 1e-300, 1e308, f64::NAN] {
                assert!((0.0..=1.0).contains(&axis.place(value)));
            }
        }
    }
}
