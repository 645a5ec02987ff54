//! What the clients saw: counts and times by kind of request.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;

use super::BenchError;
use super::answers::Verdict;
use super::options::Workload;
use super::results;
use super::script::Kind;

/// Percentiles that the results have.
const PERCENTILES: &[f64] = &[
    1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 40.0, 45.0, 50.0, 55.0, 60.0, 65.0, 70.0, 75.0, 80.0,
    85.0, 90.0, 92.5, 95.0, 97.5, 98.0, 99.0, 99.25, 99.5, 99.75, 99.9, 99.95, 99.99, 99.995, 99.999,
];

/// No request is waited for longer.
const LONGEST: Duration = Duration::from_secs(3_600);

/// Surprises that are quoted, for each server.
const QUOTES: usize = 5;

/// Clients share a few tallies, so that two threads seldom want the same one, and memory does not grow with clients.
const SHARES: usize = 4;

/// Times without any.
pub fn times() -> Result<Histogram<u64>, BenchError> {
    let most = u64::try_from(LONGEST.as_nanos()).unwrap_or(u64::MAX);
    Histogram::new_with_bounds(1, most, 3)
        .map_err(|error| BenchError::Refused(format!("no histogram: {error}")))
}

/// Adds a time.
pub fn note(times: &mut Histogram<u64>, time: Duration) {
    times.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
}

/// One kind of request.
struct OfKind {
    refused: u64,
    unexpected: u64,
    times: Histogram<u64>,
}

/// A share of what was seen in a window.
struct Share {
    kinds: Vec<OfKind>,
    /// Since the last sample.
    second: Histogram<u64>,
    /// How much later than planned the load itself let requests leave.
    lateness: Histogram<u64>,
    quotes: Vec<String>,
}

/// What all clients of one server saw in one window.
pub struct Tally {
    shares: Vec<Mutex<Share>>,
}

impl Tally {
    /// Nothing yet.
    pub fn new() -> Result<Self, BenchError> {
        let of_kind = || Ok(OfKind { refused: 0, unexpected: 0, times: times()? });
        let share = || {
            let kinds = (0..Kind::COUNT).map(|_| of_kind()).collect::<Result<_, BenchError>>()?;
            Ok(Mutex::new(Share { kinds, second: times()?, lateness: times()?, quotes: Vec::new() }))
        };
        Ok(Self { shares: (0..SHARES).map(|_| share()).collect::<Result<_, BenchError>>()? })
    }

    fn share(&self, client: usize) -> MutexGuard<'_, Share> {
        self.shares[client % SHARES].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn each(&self) -> impl Iterator<Item = MutexGuard<'_, Share>> {
        (0..SHARES).map(|share| self.share(share))
    }

    /// A client was answered.
    pub fn answered(&self, client: usize, kind: Kind, verdict: &Verdict, time: Duration) {
        let mut share = self.share(client);
        let Share { kinds, second, quotes, .. } = &mut *share;
        let of_kind = &mut kinds[kind as usize];
        match verdict {
            Verdict::Expected(_) => {
                note(&mut of_kind.times, time);
                note(second, time);
            }
            Verdict::Refused => of_kind.refused += 1,
            Verdict::Unexpected(what) => {
                of_kind.unexpected += 1;
                if quotes.len() < QUOTES {
                    quote(quotes, format!("{}: {what}", kind.name()));
                }
            }
        }
    }

    /// The load let a request leave so much later than it was to, though a client was free.
    pub fn left_late(&self, client: usize, by: Duration) {
        note(&mut self.share(client).lateness, by);
    }

    /// The times since the last call.
    pub fn second(&self, into: &mut Histogram<u64>) {
        into.reset();
        for mut share in self.each() {
            // Histograms of one kind always fit.
            let _ = into.add(&share.second);
            share.second.reset();
        }
    }

    /// How late the load was.
    pub fn lateness(&self) -> Result<Histogram<u64>, BenchError> {
        let mut all = times()?;
        for share in self.each() {
            let _ = all.add(&share.lateness);
        }
        Ok(all)
    }

    /// The first surprises, each once.
    pub fn quotes(&self) -> Vec<String> {
        let mut quotes = Vec::new();
        self.each().flat_map(|share| share.quotes.clone()).for_each(|text| quote(&mut quotes, text));
        quotes.truncate(QUOTES);
        quotes
    }

    /// By kind, and all expected answers together.
    pub fn results(&self, workload: Workload) -> Result<(Vec<results::Kind>, results::Latency), BenchError> {
        let mut all = times()?;
        let mut kinds = Vec::new();
        for kind in Kind::of(workload) {
            let (mut sum, mut refused, mut unexpected) = (times()?, 0, 0);
            for share in self.each() {
                let of_kind = &share.kinds[*kind as usize];
                let _ = sum.add(&of_kind.times);
                refused += of_kind.refused;
                unexpected += of_kind.unexpected;
            }
            let _ = all.add(&sum);
            let (name, answers, latency) = (kind.name().to_owned(), sum.len(), latency(&sum));
            kinds.push(results::Kind { name, answers, refused, unexpected, latency });
        }
        Ok((kinds, latency(&all)))
    }
}

/// For the results, in microseconds.
pub fn latency(times: &Histogram<u64>) -> results::Latency {
    if times.is_empty() {
        return results::Latency::default();
    }
    let max = times.max();
    let at = |percentile: f64| us(times.value_at_percentile(percentile).min(max));
    results::Latency {
        count: times.len(),
        mean_us: times.mean() / 1e3,
        max_us: us(max),
        percentiles: PERCENTILES.iter().map(|percentile| (*percentile, at(*percentile))).collect(),
    }
}

/// Nanoseconds in microseconds.
#[expect(clippy::cast_precision_loss, reason = "an hour in nanoseconds is far below 2^53")]
pub fn us(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e3
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
    fn only_expected_answers_have_times_and_a_few_surprises_are_quoted_once_each() {
        let tally = Tally::new().unwrap();
        // Each says the same as one of another share.
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
        let mut second = times().unwrap();
        tally.second(&mut second);
        assert_eq!(second.len(), 1);
        tally.second(&mut second);
        assert_eq!(second.len(), 0);
    }
}
