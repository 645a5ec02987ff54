//! Counts and latencies of one window, by kind of request.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::contract::Verdict;
use crate::error::BenchError;
use crate::results::{self, Latency, float};
use crate::schedule::nanos;
use crate::script::{Kind, Workload};

const PERCENTILES: &[f64] = &[
    1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 40.0, 45.0, 50.0, 55.0, 60.0, 65.0, 70.0, 75.0, 80.0,
    85.0, 90.0, 92.5, 95.0, 97.5, 98.0, 99.0, 99.25, 99.5, 99.75, 99.9, 99.95, 99.99, 99.995, 99.999,
];

/// Unexpected answers that are quoted, for each window.
const QUOTES: usize = 5;

/// Clients share a few tallies: two threads seldom want the same one, and memory does not grow with clients.
const SHARES: usize = 4;

/// Nanoseconds, up to an hour.
pub fn histogram() -> Result<Histogram<u64>, BenchError> {
    let histogram = Histogram::new_with_bounds(1, 3_600_000_000_000, 3);
    histogram.map_err(|error| BenchError::Refused(format!("no histogram: {error}")))
}

struct Share {
    /// Refused and unexpected answers, and latencies of the expected ones.
    kinds: Vec<(u64, u64, Histogram<u64>)>,
    /// Since the last sample.
    second: Histogram<u64>,
    /// How much later than planned the load itself let requests leave.
    lateness: Histogram<u64>,
    quotes: Vec<String>,
}

/// The counts of all clients of one server in one window.
pub struct Tally {
    shares: Vec<Mutex<Share>>,
}

impl Tally {
    pub fn new() -> Result<Self, BenchError> {
        let share = || {
            let kinds =
                (0..Kind::COUNT).map(|_| Ok((0, 0, histogram()?))).collect::<Result<_, BenchError>>()?;
            let (second, lateness) = (histogram()?, histogram()?);
            Ok(Mutex::new(Share { kinds, second, lateness, quotes: Vec::new() }))
        };
        Ok(Self { shares: (0..SHARES).map(|_| share()).collect::<Result<_, BenchError>>()? })
    }

    fn share(&self, client: usize) -> MutexGuard<'_, Share> {
        self.shares[client % SHARES].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shares(&self) -> impl Iterator<Item = MutexGuard<'_, Share>> {
        (0..SHARES).map(|share| self.share(share))
    }

    pub fn answered(&self, client: usize, kind: Kind, verdict: &Verdict, latency: Duration) {
        let mut share = self.share(client);
        let Share { kinds, second, quotes, .. } = &mut *share;
        let (refused, unexpected, latencies) = &mut kinds[kind as usize];
        match verdict {
            Verdict::Expected(_) => {
                latencies.saturating_record(nanos(latency));
                second.saturating_record(nanos(latency));
            }
            Verdict::Refused => *refused += 1,
            Verdict::Unexpected(what) => {
                *unexpected += 1;
                if quotes.len() < QUOTES {
                    quote(quotes, format!("{}: {what}", kind.name()));
                }
            }
        }
    }

    /// A request left late though its connection was free.
    pub fn left_late(&self, client: usize, by: Duration) {
        self.share(client).lateness.saturating_record(nanos(by));
    }

    /// The latencies since the last call.
    pub fn take_second(&self, into: &mut Histogram<u64>) {
        into.reset();
        for mut share in self.shares() {
            // Histograms with the same bounds always fit.
            let _ = into.add(&share.second);
            share.second.reset();
        }
    }

    /// The 99th percentile of the load's own lateness.
    pub fn lateness(&self) -> Result<Duration, BenchError> {
        let mut all = histogram()?;
        for share in self.shares() {
            let _ = all.add(&share.lateness);
        }
        Ok(Duration::from_nanos(all.value_at_quantile(0.99)))
    }

    /// The first unexpected answers, each once.
    pub fn quotes(&self) -> Vec<String> {
        let mut quotes = Vec::new();
        self.shares().flat_map(|share| share.quotes.clone()).for_each(|text| quote(&mut quotes, text));
        quotes.truncate(QUOTES);
        quotes
    }

    /// By kind, and all expected answers together.
    pub fn results(&self, workload: Workload) -> Result<(Vec<results::Kind>, Latency), BenchError> {
        let mut all = histogram()?;
        let mut kinds = Vec::new();
        for kind in Kind::of(workload) {
            let (mut latencies, mut refused, mut unexpected) = (histogram()?, 0, 0);
            for share in self.shares() {
                let of_kind = &share.kinds[*kind as usize];
                refused += of_kind.0;
                unexpected += of_kind.1;
                let _ = latencies.add(&of_kind.2);
            }
            let _ = all.add(&latencies);
            let (name, answers, latency) = (kind.name().to_owned(), latencies.len(), latency(&latencies));
            kinds.push(results::Kind { name, answers, refused, unexpected, latency });
        }
        Ok((kinds, latency(&all)))
    }
}

fn latency(nanos: &Histogram<u64>) -> Latency {
    if nanos.is_empty() {
        return Latency::default();
    }
    let max = nanos.max();
    let at = |percentile: f64| float(nanos.value_at_percentile(percentile).min(max)) / 1e3;
    Latency {
        count: nanos.len(),
        mean_us: nanos.mean() / 1e3,
        max_us: float(max) / 1e3,
        percentiles: PERCENTILES.iter().map(|percentile| (*percentile, at(*percentile))).collect(),
    }
}

fn quote(quotes: &mut Vec<String>, text: String) {
    if !quotes.contains(&text) {
        quotes.push(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_expected_answers_have_latencies_and_quotes_come_once() {
        let tally = Tally::new().unwrap();
        let says = |client: usize| format!("401 no {}", (client + client / SHARES) % 10);
        for client in 0..20 {
            tally.answered(client, Kind::Send, &Verdict::Expected(Some(5)), Duration::from_millis(1));
            tally.answered(client, Kind::Right, &Verdict::Refused, Duration::from_millis(9));
            tally.answered(client, Kind::Right, &Verdict::Unexpected(says(client)), Duration::from_millis(9));
        }
        let (kinds, all) = tally.results(Workload::SendVerify).unwrap();
        let counts: Vec<_> = kinds.iter().map(|kind| (kind.answers, kind.refused, kind.unexpected)).collect();
        assert_eq!(counts, [(20, 0, 0), (0, 20, 20)]);
        assert_eq!(all.count, 20);
        assert!((all.at(50.0).unwrap() - 1_000.0).abs() < 2.0);
        let quotes = tally.quotes();
        assert!(quotes.iter().all(|quote| quote.starts_with("check, right code: 401 no ")), "{quotes:?}");
        assert_eq!(quotes.len(), QUOTES);
        assert_eq!(quotes.iter().collect::<std::collections::HashSet<_>>().len(), QUOTES, "{quotes:?}");
    }

    #[test]
    fn a_second_is_counted_once() {
        let tally = Tally::new().unwrap();
        tally.answered(0, Kind::Send, &Verdict::Expected(None), Duration::from_millis(1));
        let mut second = histogram().unwrap();
        tally.take_second(&mut second);
        assert_eq!(second.len(), 1);
        tally.take_second(&mut second);
        assert_eq!(second.len(), 0);
    }
}
