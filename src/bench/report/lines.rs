//! The lines of the figures, which the table and the page have in common, and the words for plan and machine.

use super::figures::{MISSING, count, memory, rate, ratio, time};
use super::summary::{Figures, Metric, Part, Summary};
use crate::bench::results::{Results, Server, Window};

/// Rounds of one server that are further apart than this measured something else too.
const ROUNDS_AGREE: f64 = 1.5;

/// The lines of all answers, or of one kind.
pub(super) struct Section {
    pub title: String,
    pub lines: Vec<Line>,
}

/// One thing that was measured, for all servers.
pub(super) struct Line {
    pub label: &'static str,
    /// One for each server.
    pub figures: Vec<String>,
    /// One for each server but the first, which is divided by it.
    pub ratios: Vec<String>,
}

/// A figure, its label, and how it is written.
type Shown = (Metric, &'static str, fn(f64) -> String);

const METRICS: [Shown; 8] = [
    (Metric::RequestsPerS, "requests/s", rate),
    (Metric::CpuUsPerRequest, "CPU per request", time),
    (Metric::P50Us, "p50", time),
    (Metric::P90Us, "p90", time),
    (Metric::P99Us, "p99", time),
    (Metric::P999Us, "p99.9", time),
    (Metric::MaxUs, "max", time),
    (Metric::MemoryBytes, "memory", memory),
];

/// All answers, and each kind if there is more than one. `kinds` are in the order in which they are to be shown.
pub(super) fn sections(summary: &Summary, kinds: &[&str]) -> Vec<Section> {
    let mut sections = vec![section("all answers".to_owned(), summary, None)];
    if kinds.len() > 1 {
        sections.extend(kinds.iter().map(|kind| section((*kind).to_owned(), summary, Some(kind))));
    }
    sections
}

fn section(title: String, summary: &Summary, kind: Option<&str>) -> Section {
    let parts: Vec<Option<&Part>> = summary
        .servers
        .iter()
        .map(|server| kind.map_or(Some(&server.all), |kind| server.kinds.get(kind)))
        .collect();
    let ratios: Vec<Option<&Figures>> = summary
        .ratios
        .iter()
        .map(|against| kind.map_or(Some(&against.all), |kind| against.kinds.get(kind)))
        .collect();
    let mut lines = Vec::new();
    for (metric, label, shown) in METRICS {
        let of =
            |figures: &Figures, shown: fn(f64) -> String| figures.get(&metric).map(|figure| shown(*figure));
        let figures: Vec<_> = parts.iter().map(|part| of(&part.as_ref()?.figures, shown)).collect();
        let ratios: Vec<_> = ratios.iter().map(|figures| of(figures.as_ref()?, ratio)).collect();
        // CPU and memory cannot be told apart by kind.
        if kind.is_none() || figures.iter().any(Option::is_some) {
            // The longest answer has no ratio: see `Ratios`.
            let ratios =
                if metric == Metric::MaxUs { vec![String::new(); ratios.len()] } else { or_missing(ratios) };
            lines.push(Line { label, figures: or_missing(figures), ratios });
        }
    }
    if kind.is_none() && summary.servers.iter().any(|server| server.ready_ms.is_some()) {
        let ready = summary.servers.iter().map(|server| server.ready_ms.map(|ms| time(ms * 1e3))).collect();
        lines.push(counted("start to ready", or_missing(ready), summary));
    }
    let mut add = |label, of: fn(&Part) -> u64, always: bool| {
        let counts: Vec<u64> = parts.iter().map(|part| part.map_or(0, of)).collect();
        if always || counts.iter().any(|count| *count > 0) {
            lines.push(counted(label, counts.into_iter().map(count).collect(), summary));
        }
    };
    add("answers", |part| part.answers, true);
    add("refused (429, 503)", |part| part.refused, false);
    add("unexpected", |part| part.unexpected, false);
    Section { title, lines }
}

fn counted(label: &'static str, figures: Vec<String>, summary: &Summary) -> Line {
    Line { label, figures, ratios: vec![String::new(); summary.ratios.len()] }
}

fn or_missing(figures: Vec<Option<String>>) -> Vec<String> {
    figures.into_iter().map(|figure| figure.unwrap_or_else(|| MISSING.to_owned())).collect()
}

/// What was asked for, in words.
pub(super) fn plan(results: &Results) -> String {
    let plan = &results.plan;
    let load = plan.rate.map_or_else(
        || "closed loop".to_owned(),
        |rate| format!("open loop at {} requests/s", count(rate.into())),
    );
    [
        plan.workload.clone(),
        load,
        several(plan.connections.into(), "connection"),
        format!("provider answers after {} ms", count(plan.gateway_delay_ms)),
        several(plan.live_numbers, "live number"),
        format!("{} of {}", several(plan.rounds.into(), "round"), time(plan.window_s * 1e6)),
        format!("seed {}", plan.seed),
    ]
    .join(", ")
}

/// Where it ran, in words.
pub(super) fn machine(results: &Results) -> String {
    let machine = &results.machine;
    let known =
        |text: &str, what: &str| if text.is_empty() { format!("{what} unknown") } else { text.to_owned() };
    let mut parts = vec![
        known(&machine.processor, "processor"),
        several(machine.cores.into(), "core"),
        format!("kernel {}", known(&machine.kernel, "release")),
    ];
    // Without a server of our own there is no disk that was looked at.
    if let Some(us) = machine.fdatasync_us {
        parts.push(known(&machine.file_system, "file system"));
        parts.push(format!("256 bytes with fdatasync take {}", time(us)));
    }
    parts.join(", ")
}

/// What the rounds of the run ask of a reader, beside the warnings that the results have.
pub(super) fn warnings(results: &Results) -> Vec<String> {
    let mut warnings = results.warnings.clone();
    let silent = |server: &&Server| server.windows.iter().all(|window| window.latency.count == 0);
    for server in results.servers.iter().filter(silent) {
        warnings.push(format!("{} gave no expected answer.", server.name));
    }
    // In an open loop the rate is that of the load.
    let closed = |_: &&Server| results.plan.rate.is_none();
    for server in results.servers.iter().filter(closed) {
        let rates = || server.windows.iter().map(Window::requests_per_s);
        let (least, most) = (rates().fold(f64::INFINITY, f64::min), rates().fold(0.0, f64::max));
        if least > 0.0 && most > least * ROUNDS_AGREE {
            warnings.push(format!(
                "{}: its rounds differ, from {} to {} requests/s: something else kept the machine or its disk busy, or the \
                 windows are too short",
                server.name,
                rate(least),
                rate(most)
            ));
        }
    }
    warnings
}

fn several(number: u64, what: &str) -> String {
    format!("{} {what}{}", count(number), if number == 1 { "" } else { "s" })
}
