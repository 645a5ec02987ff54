//! Times of answers, by what was answered.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use hyper::StatusCode;
use serde_json::Value;

use super::say;
use crate::driver::record;

/// Times by answer.
#[derive(Default)]
pub struct Tally {
    answers: BTreeMap<String, Histogram<u64>>,
}

impl Tally {
    /// Adds an answer.
    pub fn note(&mut self, asked_for: &str, status: StatusCode, body: &[u8], latency: Duration) {
        let message = serde_json::from_slice::<Value>(body).ok();
        let message = message.as_ref().and_then(|body| body["message"].as_str()).unwrap_or("?");
        let answer = format!("{asked_for} {} {message}", status.as_u16());
        record(self.answers.entry(answer).or_insert_with(times), latency);
    }

    /// Adds those of another one.
    pub fn add(&mut self, other: Self) {
        for (answer, more) in other.answers {
            self.answers.entry(answer).or_insert_with(times).add(more).expect("histograms of one kind");
        }
    }

    /// Prints them, each with how many there were.
    pub fn print(&self) {
        for (answer, times) in &self.answers {
            say(&row(answer, times));
        }
    }
}

/// No times yet.
pub fn times() -> Histogram<u64> {
    Histogram::new(3).expect("three digits")
}

/// What [`row`] prints.
pub fn head() -> String {
    format!("\n{:<72}{:>9}{:>10}{:>10}{:>10}", "", "answers", "p50 ms", "p99 ms", "max ms")
}

/// A line of a table.
pub fn row(name: &str, times: &Histogram<u64>) -> String {
    let (p50, p99, max) = (ms(times, 0.5), ms(times, 0.99), ms(times, 1.0));
    format!("{name:<72}{:>9}{p50:>10.2}{p99:>10.2}{max:>10.2}", times.len())
}

/// A quantile in milliseconds.
pub fn ms(times: &Histogram<u64>, quantile: f64) -> f64 {
    Duration::from_nanos(times.value_at_quantile(quantile)).as_secs_f64() * 1e3
}
