//! The plots over time: the rounds one after the other, each server in its own windows.

use super::axis::Axis;
use super::figures::{memory, rate, time};
use super::plot::{Plot, Series};
use super::summary::median;
use crate::bench::results::{Results, Sample, Window};

/// Points on one line that a screen can show; beyond them neighbours become one.
const MOST_POINTS: usize = 300;

/// What is plotted over time.
struct Course {
    id: &'static str,
    title: &'static str,
    of: fn(&Sample) -> Option<f64>,
    shown: fn(f64) -> String,
    y: fn(f64, f64) -> Axis,
    /// Neighbours become their mean, or the greatest of them.
    joined: fn(&[f64]) -> f64,
}

#[expect(clippy::cast_precision_loss, reason = "bytes of memory of one machine")]
const COURSES: [Course; 4] = [
    Course {
        id: "throughput",
        title: "Throughput over time",
        of: |sample| Some(sample.requests_per_s),
        shown: |value| format!("{} requests/s", rate(value)),
        y: |_, most| Axis::rate("requests/s", most),
        joined: mean,
    },
    Course {
        id: "p99",
        title: "99th percentile over time",
        of: |sample| sample.p99_us,
        shown: time,
        y: |least, most| Axis::times("p99 of each second", least, most),
        joined: greatest,
    },
    Course {
        id: "cpu",
        title: "CPU over time",
        of: |sample| sample.cores,
        shown: |value| format!("{value:.2} cores"),
        y: |_, most| Axis::even("cores kept busy", most),
        joined: mean,
    },
    Course {
        id: "memory",
        title: "Memory over time",
        of: |sample| sample.memory_bytes.map(|bytes| bytes as f64),
        shown: memory,
        y: |_, most| Axis::memory("resident memory", most),
        joined: greatest,
    },
];

/// Throughput, p99, CPU and memory; those of which no server has a sample are left out.
pub(super) fn over_time(results: &Results) -> Vec<Plot> {
    let begins = begins(results);
    COURSES.iter().filter_map(|course| plot(course, results, &begins)).collect()
}

fn plot(course: &Course, results: &Results, begins: &[f64]) -> Option<Plot> {
    let mut described = Vec::new();
    let mut all = Vec::new();
    for (server, of) in results.servers.iter().enumerate() {
        let pieces = pieces(course, &of.windows, begins);
        let values: Vec<f64> = pieces.iter().flatten().map(|(_, value)| *value).collect();
        let least = values.iter().copied().min_by(f64::total_cmp);
        let most = values.iter().copied().max_by(f64::total_cmp);
        if let (Some(least), Some(most), Some(middle)) = (least, most, median(values)) {
            let [least, most, middle] = [least, most, middle].map(course.shown);
            described.push(format!("{}: from {least} to {most}, median {middle}.", of.name));
            all.push(Series { server, pieces, band: Vec::new() });
        }
    }
    let values = || all.iter().flat_map(|series| &series.pieces).flatten().map(|(_, value)| *value);
    let (least, most) = (values().min_by(f64::total_cmp)?, values().max_by(f64::total_cmp)?);
    let (end, inner) = begins.split_last()?;
    let x = Axis::seconds("time in the windows of a server", *end);
    let y = (course.y)(least, most);
    let description = format!("{}, the rounds one after the other. {}", course.title, described.join(" "));
    let breaks = inner.get(1..).unwrap_or_default();
    Some(Plot::new(course.id.to_owned(), course.title.to_owned(), description, (&x, &y), &all, breaks))
}

/// When each round begins, if a server's windows followed each other without a break, in seconds; at the end, when all
/// are over. A round is as long as its longest window.
fn begins(results: &Results) -> Vec<f64> {
    let rounds = results.servers.iter().map(|server| server.windows.len()).max().unwrap_or(0);
    let mut begins = vec![0.0];
    let mut now = 0.0;
    for round in 0..rounds {
        let windows = results.servers.iter().filter_map(|server| server.windows.get(round));
        let ends = windows
            .flat_map(|window| window.samples.iter().map(|sample| sample.at_s).chain([window.lasted_s]));
        now += ends.fold(0.0, f64::max);
        begins.push(now);
    }
    begins
}

/// The line of one server, broken between rounds and where there was nothing.
fn pieces(course: &Course, windows: &[Window], begins: &[f64]) -> Vec<Vec<(f64, f64)>> {
    let samples: usize = windows.iter().map(|window| window.samples.len()).sum();
    let joined = samples.div_ceil(MOST_POINTS).max(1);
    let mut pieces = Vec::new();
    for (window, begin) in windows.iter().zip(begins) {
        let mut piece = Vec::new();
        for neighbours in window.samples.chunks(joined) {
            let values: Vec<f64> = neighbours.iter().filter_map(course.of).collect();
            match neighbours.last().filter(|_| !values.is_empty()) {
                Some(last) => piece.push((begin + last.at_s, (course.joined)(&values))),
                None => pieces.push(std::mem::take(&mut piece)),
            }
        }
        pieces.push(piece);
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

fn mean(values: &[f64]) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a few neighbours")]
    let count = values.len() as f64;
    // Each is divided before the sum, so that large values stay finite.
    values.iter().map(|value| value / count).sum()
}

fn greatest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}
