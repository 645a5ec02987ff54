//! One figure for each thing that was measured: medians over the rounds, and ratios that are made in each round.
//!
//! Windows of one round are close together in time: a ratio within a round says more than one of two medians.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::results::{Latency, Results, Server, Window, float};

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    pub servers: Vec<ServerSummary>,
    /// The first server against each other one.
    pub ratios: Vec<Ratios>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServerSummary {
    pub name: String,
    pub all: Part,
    pub kinds: BTreeMap<String, Part>,
}

/// All answers, or those of one kind; counts of all rounds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Part {
    pub answers: u64,
    pub refused: u64,
    pub unexpected: u64,
    /// The median of the rounds; of `max_us` and `memory_bytes` the greatest.
    pub figures: Figures,
}

/// The median of the ratios of each round.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ratios {
    pub of: String,
    pub to: String,
    pub all: Figures,
    pub kinds: BTreeMap<String, Figures>,
}

/// By name; a figure that could not be had is missing.
pub type Figures = BTreeMap<&'static str, f64>;

/// A percentile needs so many answers that one is beyond it.
const PERCENTILES: [(&str, f64, u64); 4] =
    [("p50_us", 50.0, 1), ("p90_us", 90.0, 10), ("p99_us", 99.0, 100), ("p99_9_us", 99.9, 1_000)];

pub fn summary(results: &Results) -> Summary {
    let first = results.servers.first();
    let ratios =
        first.into_iter().flat_map(|first| results.servers[1..].iter().map(|other| ratios(first, other)));
    let server = |server: &Server| ServerSummary {
        name: server.name.clone(),
        all: part(server, None),
        kinds: kind_names(server)
            .into_iter()
            .map(|kind| (kind.to_owned(), part(server, Some(kind))))
            .collect(),
    };
    Summary { servers: results.servers.iter().map(server).collect(), ratios: ratios.collect() }
}

/// The results and the summary as one indented object, ended by a line feed.
pub fn json(results: &Results, summary: &Summary) -> String {
    #[derive(Serialize)]
    struct Document<'a> {
        #[serde(flatten)]
        results: &'a Results,
        summary: &'a Summary,
    }
    // Neither a key that is no text nor a failing writer is possible here.
    serde_json::to_string_pretty(&Document { results, summary }).unwrap_or_default() + "\n"
}

/// In the order of the workload.
pub fn kind_names(server: &Server) -> Vec<&str> {
    let kinds = server.windows.first().map(|window| window.kinds.as_slice()).unwrap_or_default();
    kinds.iter().map(|kind| kind.name.as_str()).collect()
}

/// Of an even number of values: the mean of the two in the middle.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = values.len() / 2;
    let high = *values.get(upper)?;
    let low = if values.len().is_multiple_of(2) { *values.get(upper - 1)? } else { high };
    Some(f64::midpoint(low, high))
}

fn part(server: &Server, kind: Option<&str>) -> Part {
    let rounds = server.windows.iter().map(|window| of_window(window, kind)).collect();
    let greatest: &[&str] = &["max_us", "memory_bytes"];
    let mut part = Part { figures: over_rounds(rounds, greatest), ..Part::default() };
    let kinds = server.windows.iter().flat_map(|window| &window.kinds);
    for counted in kinds.filter(|counted| kind.is_none_or(|kind| kind == counted.name)) {
        part.answers += counted.answers;
        part.refused += counted.refused;
        part.unexpected += counted.unexpected;
    }
    part
}

fn ratios(first: &Server, other: &Server) -> Ratios {
    let of = |kind: Option<&str>| {
        let divided = |(a, b)| {
            let (a, b): (Figures, Figures) = (of_window(a, kind), of_window(b, kind));
            let ratio = |(name, a): (&'static str, f64)| Some((name, a / b.get(name)?));
            // One answer of many says nothing.
            a.into_iter()
                .filter(|(name, _)| *name != "max_us")
                .filter_map(ratio)
                .filter(|r| r.1.is_finite())
                .collect()
        };
        over_rounds(first.windows.iter().zip(&other.windows).map(divided).collect(), &[])
    };
    let kinds = kind_names(first).into_iter().map(|kind| (kind.to_owned(), of(Some(kind)))).collect();
    Ratios { of: first.name.clone(), to: other.name.clone(), all: of(None), kinds }
}

/// Of all answers or of one kind. CPU and memory are the whole server's.
pub fn of_window(window: &Window, kind: Option<&str>) -> Figures {
    let mut figures = Figures::new();
    let of_kind = |name| window.kinds.iter().find(|kind| kind.name == name).map(|kind| &kind.latency);
    let Some(latency) = kind.map_or(Some(&window.latency), of_kind) else { return figures };
    let Latency { count, mean_us, max_us, .. } = *latency;
    figures.insert("requests_per_s", float(count) / window.lasted_s.max(1e-9));
    if count > 0 {
        figures.extend([("mean_us", mean_us), ("max_us", max_us)]);
        let enough = PERCENTILES.iter().filter(|(_, _, answers)| count >= *answers);
        figures.extend(enough.filter_map(|(name, at, _)| Some((*name, latency.at(*at)?))));
    }
    if kind.is_none() {
        let cpu = window.cpu_us.filter(|_| count > 0);
        figures.extend(cpu.map(|cpu| ("cpu_us_per_request", float(cpu) / float(count))));
        figures.extend(window.memory_bytes.map(|bytes| ("memory_bytes", float(bytes))));
    }
    figures
}

fn over_rounds(rounds: Vec<Figures>, greatest: &[&str]) -> Figures {
    let mut by_name: BTreeMap<&'static str, Vec<f64>> = BTreeMap::new();
    for (name, figure) in rounds.into_iter().flatten() {
        by_name.entry(name).or_default().push(figure);
    }
    let one = |(name, figures): (&'static str, Vec<f64>)| {
        let max = |figures: Vec<f64>| figures.into_iter().max_by(f64::total_cmp);
        Some((name, if greatest.contains(&name) { max(figures) } else { median(figures) }?))
    };
    by_name.into_iter().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Kind;

    fn server(name: &str, rounds: &[(u64, u64, f64)]) -> Server {
        let window = |(count, cpu, p50): &(u64, u64, f64)| {
            let latency = Latency {
                count: *count,
                mean_us: *p50,
                max_us: p50 * 9.0,
                percentiles: vec![(50.0, *p50), (99.9, 1.0)],
            };
            let kind = Kind {
                name: "send".to_owned(),
                answers: *count,
                refused: 2,
                unexpected: 1,
                latency: latency.clone(),
            };
            Window {
                lasted_s: 2.0,
                kinds: vec![kind],
                latency,
                cpu_us: Some(*cpu),
                memory_bytes: Some(*cpu),
                samples: vec![],
            }
        };
        Server { name: name.to_owned(), windows: rounds.iter().map(window).collect(), ..Server::default() }
    }

    #[test]
    fn figures_are_medians_and_ratios_are_made_in_each_round() {
        let first = server("first", &[(100, 1_000, 10.0), (200, 4_000, 20.0), (400, 4_000, 90.0)]);
        let other = server("other", &[(200, 1_000, 20.0), (100, 1_000, 20.0), (400, 8_000, 30.0)]);
        let results = Results {
            form: 1,
            program: String::new(),
            began: String::new(),
            machine: crate::results::Machine::default(),
            plan: crate::results::Plan::default(),
            servers: vec![first, other],
            warnings: Vec::new(),
        };
        let summary = summary(&results);
        let all = &summary.servers[0].all;
        assert_eq!((all.answers, all.refused, all.unexpected), (700, 6, 3));
        let shown = |figures: &Figures, name: &str| figures.get(name).map(|figure| format!("{figure:.2}"));
        let expect =
            |figures, name, value: &str| assert_eq!(shown(figures, name).as_deref(), Some(value), "{name}");
        expect(&all.figures, "requests_per_s", "100.00");
        expect(&all.figures, "cpu_us_per_request", "10.00");
        expect(&all.figures, "p50_us", "20.00");
        expect(&all.figures, "max_us", "810.00");
        expect(&all.figures, "memory_bytes", "4000.00");
        assert_eq!(all.figures.get("p99_9_us"), None, "too few answers");
        let ratios = &summary.ratios[0];
        assert_eq!((ratios.of.as_str(), ratios.to.as_str()), ("first", "other"));
        expect(&ratios.all, "requests_per_s", "1.00");
        expect(&ratios.all, "cpu_us_per_request", "2.00");
        assert_eq!(ratios.all.get("max_us"), None);
        expect(&ratios.kinds["send"], "p50_us", "1.00");
        let json: serde_json::Value = serde_json::from_str(&json(&results, &summary)).unwrap();
        assert_eq!(json["summary"]["servers"][0]["all"]["figures"]["p50_us"], 20.0);
        assert_eq!(serde_json::from_value::<Results>(json).unwrap(), results);
    }
}
