//! One figure for each thing that was measured: medians over the rounds, and ratios that were made in each round.
//!
//! A machine gets slower and busier while a bench runs. Windows of one round are close together, so a ratio within a
//! round says more than a ratio of two medians.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::finite::finite;
use crate::bench::results::{Latency, Results, Server, Window};

/// What the rounds come to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The servers, in the order of the results.
    pub servers: Vec<ServerSummary>,
    /// The first server against each other one.
    pub ratios: Vec<Ratios>,
}

/// What the rounds of one server come to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServerSummary {
    /// Its name in the results.
    pub name: String,
    /// From its start until it was ready, in milliseconds.
    pub ready_ms: Option<f64>,
    /// All answers together.
    pub all: Part,
    /// The same by the name of each kind of answer.
    pub kinds: BTreeMap<String, Part>,
}

/// All answers, or those of one kind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Expected answers in all rounds.
    pub answers: u64,
    /// Refused for a load that is too high, in all rounds.
    pub refused: u64,
    /// Anything else, in all rounds.
    pub unexpected: u64,
    /// Over the rounds in which there was one: the median; of `max_us` and `memory_bytes` the greatest.
    pub figures: Figures,
}

/// The first server's figures divided by another's: in each round, and the median of that. `max_us` is left out: it is
/// one answer of many.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ratios {
    /// The first server.
    pub of: String,
    /// The other one.
    pub to: String,
    /// All answers together.
    pub all: Figures,
    /// The same by the name of each kind of answer.
    pub kinds: BTreeMap<String, Figures>,
}

/// Figures by what they are of; one that could not be had is not there.
pub type Figures = BTreeMap<Metric, f64>;

/// What a figure is of. The names are those of the JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Metric {
    /// Expected answers per second.
    #[serde(rename = "requests_per_s")]
    RequestsPerS,
    /// Microseconds of the server's CPU per expected answer.
    #[serde(rename = "cpu_us_per_request")]
    CpuUsPerRequest,
    /// Mean time of an answer, in microseconds.
    #[serde(rename = "mean_us")]
    MeanUs,
    /// Median time of an answer, in microseconds.
    #[serde(rename = "p50_us")]
    P50Us,
    /// 90th percentile, in microseconds.
    #[serde(rename = "p90_us")]
    P90Us,
    /// 99th percentile, in microseconds.
    #[serde(rename = "p99_us")]
    P99Us,
    /// 99.9th percentile, in microseconds.
    #[serde(rename = "p99_9_us")]
    P999Us,
    /// The longest, in microseconds.
    #[serde(rename = "max_us")]
    MaxUs,
    /// Resident memory, in bytes.
    #[serde(rename = "memory_bytes")]
    MemoryBytes,
}

/// The percentiles that are shown as figures, and how many answers of a window each needs, so that one is beyond it.
const PERCENTILES: [(Metric, f64, u64); 4] = [
    (Metric::P50Us, 50.0, 1),
    (Metric::P90Us, 90.0, 10),
    (Metric::P99Us, 99.0, 100),
    (Metric::P999Us, 99.9, 1_000),
];

/// Sums the results up.
pub fn summary(results: &Results) -> Summary {
    let results = finite(results);
    let ratios = results.servers.split_first().map(|(first, others)| {
        let against = |other| ratios(first, other);
        others.iter().map(against).collect()
    });
    Summary { servers: results.servers.iter().map(server).collect(), ratios: ratios.unwrap_or_default() }
}

/// The median, or nothing of nothing. Of an even number of values it is the mean of the two in the middle.
pub(super) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = values.len() / 2;
    let high = *values.get(upper)?;
    let low = if values.len().is_multiple_of(2) { *values.get(upper - 1)? } else { high };
    Some(f64::midpoint(low, high))
}

/// The names of the kinds of answers of all servers, each once.
pub(super) fn kind_names(servers: &[Server]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for kind in servers.iter().flat_map(|server| &server.windows).flat_map(|window| &window.kinds) {
        if !names.contains(&kind.name.as_str()) {
            names.push(&kind.name);
        }
    }
    names
}

fn server(server: &Server) -> ServerSummary {
    let kinds = kind_names(std::slice::from_ref(server));
    ServerSummary {
        name: server.name.clone(),
        ready_ms: server.ready_ms,
        all: part(server, None),
        kinds: kinds.into_iter().map(|kind| (kind.to_owned(), part(server, Some(kind)))).collect(),
    }
}

fn part(server: &Server, kind: Option<&str>) -> Part {
    let rounds: Vec<Figures> = server.windows.iter().map(|window| of_window(window, kind)).collect();
    let mut part = Part { figures: over_rounds(&rounds), ..Part::default() };
    for counted in server.windows.iter().flat_map(|window| &window.kinds) {
        if kind.is_none_or(|kind| kind == counted.name) {
            part.refused = part.refused.saturating_add(counted.refused);
            part.unexpected = part.unexpected.saturating_add(counted.unexpected);
        }
    }
    let answers =
        server.windows.iter().filter_map(|window| latency(window, kind)).map(|latency| latency.count);
    part.answers = answers.fold(0, u64::saturating_add);
    part
}

fn ratios(first: &Server, other: &Server) -> Ratios {
    let kinds = kind_names(std::slice::from_ref(first));
    Ratios {
        of: first.name.clone(),
        to: other.name.clone(),
        all: ratios_of(first, other, None),
        kinds: kinds.into_iter().map(|kind| (kind.to_owned(), ratios_of(first, other, Some(kind)))).collect(),
    }
}

/// Rounds that only one of both has are left out.
fn ratios_of(first: &Server, other: &Server, kind: Option<&str>) -> Figures {
    let rounds = first.windows.iter().zip(&other.windows);
    let each: Vec<Figures> = rounds.map(|(a, b)| divided(&of_window(a, kind), &of_window(b, kind))).collect();
    let mut ratios = over_rounds(&each);
    ratios.remove(&Metric::MaxUs);
    // What follows is a median for memory too: a ratio has no greatest that says anything.
    let memory = each.iter().filter_map(|figures| figures.get(&Metric::MemoryBytes)).copied();
    if let Some(memory) = median(memory.collect()) {
        ratios.insert(Metric::MemoryBytes, memory);
    }
    ratios
}

fn divided(a: &Figures, b: &Figures) -> Figures {
    let of = |(metric, a): (&Metric, &f64)| {
        let ratio = a / b.get(metric)?;
        ratio.is_finite().then_some((*metric, ratio))
    };
    a.iter().filter_map(of).collect()
}

/// One window's figures, of all answers or of one kind. CPU and memory are the whole server's.
pub(super) fn of_window(window: &Window, kind: Option<&str>) -> Figures {
    let mut figures = Figures::new();
    let Some(latency) = latency(window, kind) else { return figures };
    let of_kind = Window { latency: latency.clone(), kinds: Vec::new(), samples: Vec::new(), ..*window };
    figures.insert(Metric::RequestsPerS, of_kind.requests_per_s());
    if latency.count > 0 {
        figures.insert(Metric::MeanUs, latency.mean_us);
        figures.insert(Metric::MaxUs, latency.max_us);
        let enough = PERCENTILES.iter().filter(|(_, _, answers)| latency.count >= *answers);
        let known = enough.filter_map(|(metric, at, _)| Some((*metric, latency.at(*at)?)));
        figures.extend(known);
    }
    if kind.is_none() {
        figures.extend(window.cpu_us_per_request().map(|cpu| (Metric::CpuUsPerRequest, cpu)));
        #[expect(clippy::cast_precision_loss, reason = "bytes of memory of one machine")]
        figures.extend(window.memory_bytes.map(|bytes| (Metric::MemoryBytes, bytes as f64)));
    }
    figures.retain(|_, figure| figure.is_finite());
    figures
}

fn latency<'a>(window: &'a Window, kind: Option<&str>) -> Option<&'a Latency> {
    let Some(name) = kind else { return Some(&window.latency) };
    window.kinds.iter().find(|kind| kind.name == name).map(|kind| &kind.latency)
}

fn over_rounds(rounds: &[Figures]) -> Figures {
    let mut by_metric: BTreeMap<Metric, Vec<f64>> = BTreeMap::new();
    for (metric, figure) in rounds.iter().flatten() {
        by_metric.entry(*metric).or_default().push(*figure);
    }
    let one = |(metric, figures): (Metric, Vec<f64>)| {
        let figure = match metric {
            Metric::MaxUs | Metric::MemoryBytes => figures.into_iter().max_by(f64::total_cmp),
            _ => median(figures),
        };
        Some((metric, figure?))
    };
    by_metric.into_iter().filter_map(one).collect()
}
