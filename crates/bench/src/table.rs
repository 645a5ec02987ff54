//! The rows of figures that the table and the HTML report share, and the table for a terminal.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Row, Table, TableStyle, presets};
use console::Term;

use crate::figures::{MISSING, count, memory, rate, ratio, time};
use crate::results::{Results, Server, Window};
use crate::summary::{Figures, Part, Summary, kind_names, of_window};

/// Rounds of one server that are further apart measured something else too.
const ROUNDS_AGREE: f64 = 1.5;

/// All answers, or one kind.
pub struct Section {
    pub title: String,
    pub rows: Vec<MetricRow>,
}

/// One metric of all servers; ratios of all but the first.
pub struct MetricRow {
    pub label: &'static str,
    pub figures: Vec<String>,
    pub ratios: Vec<String>,
}

/// Name in the summary, label, and how it is written.
type Metric = (&'static str, &'static str, fn(f64) -> String);

const METRICS: [Metric; 8] = [
    ("requests_per_s", "requests/s", rate),
    ("cpu_us_per_request", "CPU per request", time),
    ("p50_us", "p50", time),
    ("p90_us", "p90", time),
    ("p99_us", "p99", time),
    ("p99_9_us", "p99.9", time),
    ("max_us", "max", time),
    ("memory_bytes", "memory", memory),
];

type Count = (&'static str, fn(&Part) -> u64);

pub fn sections(results: &Results, summary: &Summary) -> Vec<Section> {
    let kinds = results.servers.first().map(kind_names).unwrap_or_default();
    let mut sections = vec![section(results, summary, None)];
    if kinds.len() > 1 {
        sections.extend(kinds.into_iter().map(|kind| section(results, summary, Some(kind))));
    }
    sections
}

fn section(results: &Results, summary: &Summary, kind: Option<&str>) -> Section {
    let none = (Part::default(), Figures::new());
    let part = |server: usize| -> &Part {
        let server = &summary.servers[server];
        kind.map_or(&server.all, |kind| server.kinds.get(kind).unwrap_or(&none.0))
    };
    let parts: Vec<&Part> = (0..summary.servers.len()).map(part).collect();
    let of_kind =
        |kind| move |ratios: &crate::summary::Ratios| ratios.kinds.get(kind).cloned().unwrap_or_default();
    let all_ratios: Vec<Figures> = match kind {
        None => summary.ratios.iter().map(|ratios| ratios.all.clone()).collect(),
        Some(kind) => summary.ratios.iter().map(of_kind(kind)).collect(),
    };
    let shown = |figures: &Figures, name, shown: fn(f64) -> String| {
        figures.get(name).map_or_else(|| MISSING.to_owned(), |figure| shown(*figure))
    };
    let mut rows = Vec::new();
    for (name, label, words) in METRICS {
        // CPU and memory are not counted by kind.
        if kind.is_none() || parts.iter().any(|part| part.figures.contains_key(name)) {
            let figures = parts.iter().map(|part| shown(&part.figures, name, words)).collect();
            let of = |ratios| if name == "max_us" { String::new() } else { shown(ratios, name, ratio) };
            rows.push(MetricRow { label, figures, ratios: all_ratios.iter().map(of).collect() });
        }
    }
    let without_ratios =
        |label, figures| MetricRow { label, figures, ratios: vec![String::new(); all_ratios.len()] };
    if kind.is_none() {
        let of = |server: &Server| server.ready_ms.map_or_else(|| MISSING.to_owned(), |ms| time(ms * 1e3));
        rows.push(without_ratios("start to ready", results.servers.iter().map(of).collect()));
        let of = |server: &Server| {
            server
                .idle_memory_bytes
                .map_or_else(|| MISSING.to_owned(), |bytes| memory(crate::results::float(bytes)))
        };
        rows.push(without_ratios("memory when ready", results.servers.iter().map(of).collect()));
    }
    let counts: [Count; 3] = [
        ("answers", |part| part.answers),
        ("refused (429, 503)", |part| part.refused),
        ("unexpected", |part| part.unexpected),
    ];
    for (label, of) in counts {
        if label == "answers" || parts.iter().any(|part| of(part) > 0) {
            rows.push(without_ratios(label, parts.iter().map(|part| count(of(part))).collect()));
        }
    }
    Section { title: kind.unwrap_or("all answers").to_owned(), rows }
}

/// The parameters of the run, in words.
pub fn plan(results: &Results) -> String {
    let plan = &results.plan;
    let several = |number: u64, what: &str| {
        let plural = if number == 1 { "" } else { "s" };
        format!("{} {what}{plural}", count(number))
    };
    let closed = || "closed loop".to_owned();
    let open = |rate: u32| format!("open loop at {} requests/s", count(rate.into()));
    let mut words = vec![
        plan.workload.clone(),
        plan.rate.map_or_else(closed, open),
        several(plan.connections.into(), "connection"),
        format!("provider answers after {} ms", count(plan.gateway_delay_ms)),
    ];
    let circumstances = [
        (plan.live_numbers, "live number"),
        (plan.idle_connections.into(), "idle connection"),
        (plan.hanging_sends.into(), "hanging send"),
    ];
    words.extend(
        circumstances.iter().filter(|(number, _)| *number > 0).map(|(number, what)| several(*number, what)),
    );
    words.push(format!("{} of {}", several(plan.rounds.into(), "round"), time(plan.window_s * 1e6)));
    words.push(format!("seed {}", plan.seed));
    words.join(", ")
}

/// The machine of the run, in words.
pub fn machine(results: &Results) -> String {
    let machine = &results.machine;
    let processor = if machine.processor.is_empty() { "unknown processor" } else { &machine.processor };
    let mut words = format!("{processor}, {} cores, kernel {}", machine.cores, machine.kernel);
    if let Some(us) = machine.fdatasync_us {
        let _ = write!(words, ", {}, 256 bytes with fdatasync take {}", machine.file_system, time(us));
    }
    words
}

/// The warnings of the run, and one for each server whose rounds differ.
pub fn warnings(results: &Results) -> Vec<String> {
    let mut warnings = results.warnings.clone();
    // In an open loop the rate is that of the load.
    for server in results.servers.iter().filter(|_| results.plan.rate.is_none()) {
        let rate_of =
            |window: &Window| of_window(window, None).get("requests_per_s").copied().unwrap_or_default();
        let rates = || server.windows.iter().map(rate_of);
        let (least, most) = (rates().fold(f64::INFINITY, f64::min), rates().fold(0.0, f64::max));
        if most > least * ROUNDS_AGREE {
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

/// Columns of the terminal, or 100 where the output goes elsewhere.
pub fn width() -> u16 {
    Term::stdout().size_checked().map_or(100, |(_, columns)| columns.clamp(60, 200))
}

/// Figures of all servers, at most `width` columns wide.
pub fn table(results: &Results, summary: &Summary, width: u16) -> String {
    let mut head = String::new();
    for server in &results.servers {
        let _ = writeln!(head, "{}: {}", server.name, server.what);
    }
    let _ = writeln!(head, "Plan: {}\nMachine: {}", plan(results), machine(results));
    let mut text = wrapped(&head, width);
    let sections = sections(results, summary);
    let names: Vec<&str> = results.servers.iter().map(|server| server.name.as_str()).collect();
    let others: Vec<usize> = (1..names.len()).collect();
    let blocks = |beside: usize, arrangement: &ContentArrangement| -> Vec<String> {
        let chunks: Vec<&[usize]> =
            if others.is_empty() { vec![&[]] } else { others.chunks(beside).collect() };
        chunks.iter().map(|others| block(&sections, &names, others, width, arrangement.clone())).collect()
    };
    let fits = |block: &String| block.lines().all(|line| line.chars().count() <= usize::from(width));
    // Servers that do not fit beside each other come one below the other.
    let whole = (1..=others.len().max(1)).rev().map(|beside| blocks(beside, &ContentArrangement::Disabled));
    let fitting = whole.into_iter().find(|blocks| blocks.iter().all(fits));
    for block in fitting.unwrap_or_else(|| blocks(1, &ContentArrangement::Dynamic)) {
        text = text + "\n" + &block;
    }
    if results.servers.len() > 1 || results.plan.rounds > 1 {
        let how = "Figures are medians over the rounds; max and memory are the greatest of all rounds. Ratios are made \
                   in each round, and their median is shown.";
        text += &wrapped(&format!("\n{how}\n"), width);
    }
    for warning in warnings(results) {
        text += &wrapped(&format!("\nWARNING: {warning}\n"), width);
    }
    text
}

/// The first server, those of `others`, and the ratios to them.
fn block(
    sections: &[Section],
    names: &[&str],
    others: &[usize],
    width: u16,
    arrangement: ContentArrangement,
) -> String {
    const RULED: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));
    let shown = || std::iter::once(0).chain(others.iter().copied());
    let mut table = Table::new();
    table.load_style(RULED).set_width(width).set_content_arrangement(arrangement);
    let mut header = vec![String::new()];
    header.extend(shown().map(|index| names[index].to_owned()));
    header.extend(others.iter().map(|index| format!("{} / {}", names[0], names[*index])));
    table.set_header(header);
    let indent = if sections.len() > 1 { "  " } else { "" };
    for section in sections {
        if sections.len() > 1 {
            table.add_row(vec![section.title.clone()]);
        }
        for metric in &section.rows {
            let mut row = vec![format!("{indent}{}", metric.label)];
            row.extend(shown().map(|index| metric.figures[index].clone()));
            row.extend(others.iter().map(|index| metric.ratios[index - 1].clone()));
            table.add_row(Row::from(row));
        }
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.lines().fold(String::new(), |text, line| text + line.trim_end() + "\n")
}

/// Breaks long lines between words.
fn wrapped(text: &str, width: u16) -> String {
    let mut wrapped = String::new();
    for line in text.lines() {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_width(width);
        table.set_content_arrangement(ContentArrangement::Dynamic).add_row(vec![line]);
        if let Some(column) = table.column_mut(0) {
            column.set_padding((0, 0));
        }
        for line in table.lines() {
            let _ = writeln!(wrapped, "{}", line.trim_end());
        }
    }
    wrapped
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::results::{Kind, Latency, Machine, Plan, Sample};
    use crate::summary::summary;

    pub fn sample_results(servers: &[&str]) -> Results {
        let latency = |factor: f64| Latency {
            count: 2_000,
            mean_us: 900.0 * factor,
            max_us: 9_000.0 * factor,
            percentiles: vec![
                (50.0, 800.0 * factor),
                (90.0, 1_600.0),
                (99.0, 2_800.0 * factor),
                (99.9, 4_100.0),
            ],
        };
        let kind = |name: &str| Kind {
            name: name.to_owned(),
            answers: 2_000,
            latency: latency(1.0),
            ..Kind::default()
        };
        let sample = |at: u32| Sample {
            at_s: f64::from(at),
            requests_per_s: 2_000.0,
            p99_us: Some(2_800.0),
            cores: Some(0.5),
            memory_bytes: Some(20_000_000),
            disk_bytes: None,
        };
        let window = |factor| Window {
            lasted_s: 2.0,
            kinds: vec![kind("send"), kind("check, <right> code")],
            latency: latency(factor),
            cpu_us: Some(52_000),
            memory_bytes: Some(20_000_000),
            samples: (1..=2).map(sample).collect(),
        };
        let server = |(index, name): (u32, &&str)| Server {
            name: (*name).to_owned(),
            what: format!("what {name} is, in a line that is longer than a narrow terminal"),
            ready_ms: Some(23.4),
            idle_memory_bytes: Some(12_000_000),
            windows: vec![window(f64::from(index + 1)), window(f64::from(index + 1))],
        };
        Results {
            form: 1,
            program: "onceward-bench 0.1.0".to_owned(),
            began: "2026-11-20T20:00:00Z".to_owned(),
            machine: Machine { processor: "Some Processor".to_owned(), cores: 2, ..Machine::default() },
            plan: Plan {
                workload: "send-verify".to_owned(),
                connections: 32,
                rounds: 2,
                window_s: 2.0,
                ..Plan::default()
            },
            servers: (0..).zip(servers).map(server).collect(),
            warnings: vec![
                "something that <makes> the figures of this run doubtful, at some length".to_owned(),
            ],
        }
    }

    #[test]
    fn the_table_fits_any_terminal() {
        let results = sample_results(&["onceward", "baseline", "ceiling", "redis-durable"]);
        let summary = summary(&results);
        for width in [60, 80, 100, 200] {
            let table = table(&results, &summary, width);
            let longest = table.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(longest <= usize::from(width), "{longest} of {width}:\n{table}");
            for part in ["requests/s", "p99", "23.4 ms", "redis-", "WARNING: "] {
                assert!(table.contains(part), "{part} at {width}:\n{table}");
            }
        }
        assert_eq!(
            table(&results, &summary, 200).matches("requests/s").count(),
            3,
            "one block is wide enough"
        );
    }

    #[test]
    fn figures_and_ratios_stand_in_the_columns_of_their_servers() {
        let results = sample_results(&["onceward", "ceiling"]);
        let table = table(&results, &summary(&results), 100);
        let line = |label: &str| -> Vec<String> {
            let line = table.lines().find(|line| line.trim_start().starts_with(label)).unwrap();
            line.trim_start()[label.len()..]
                .split("  ")
                .map(str::trim)
                .filter(|c| !c.is_empty())
                .map(str::to_owned)
                .collect()
        };
        assert_eq!(line("requests/s"), ["1,000", "1,000", "1.00x"]);
        assert_eq!(line("CPU per request"), ["26.0 us", "26.0 us", "1.00x"]);
        assert_eq!(line("p50"), ["800 us", "1.6 ms", "0.50x"]);
        assert_eq!(line("max"), ["9.0 ms", "18.0 ms"]);
    }

    #[test]
    fn rounds_that_differ_are_a_warning_in_a_closed_loop() {
        let mut results = sample_results(&["onceward"]);
        results.warnings.clear();
        assert!(warnings(&results).is_empty());
        results.servers[0].windows[0].lasted_s = 4.0;
        assert!(
            warnings(&results)[0].contains("rounds differ, from 500 to 1,000"),
            "{:?}",
            warnings(&results)
        );
        results.plan.rate = Some(500);
        assert!(warnings(&results).is_empty());
    }
}
