//! The tables of figures and the sentences that the text for a terminal and the HTML page share, and the text.

use std::time::Duration;

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle, presets};
use console::Term;
use indicatif::{HumanBytes, HumanCount, HumanFloatCount};

use crate::results::{ALL, Results, Summary, float};

/// Where there is no figure.
const MISSING: &str = "-";

pub const FIGURES_EXPLAINED: &str = "Figures are medians over the rounds; max and memory are the greatest of all \
    rounds. In parentheses: the figure of the first server divided by this one, as the median of the rounds' ratios.";

/// All answers, or one kind.
pub struct Section {
    pub title: &'static str,
    pub rows: Vec<Row>,
}

/// A label, and a cell for each server.
pub type Row = (&'static str, Vec<String>);

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

type Count = (&'static str, fn(&Summary) -> u64);

const COUNTS: [Count; 3] = [
    ("answers", |summary| summary.answers),
    ("refused (429, 503)", |summary| summary.refused),
    ("unexpected", |summary| summary.unexpected),
];

pub fn sections(results: &Results) -> Vec<Section> {
    let names = results.servers.iter().take(1).flat_map(|server| &server.summary).map(|summary| summary.name);
    let names: Vec<&'static str> = names.collect();
    // A single kind is all.
    let shown = if names.len() == 2 { &names[..1] } else { &names };
    shown.iter().map(|name| Section { title: name, rows: rows(results, name) }).collect()
}

fn rows(results: &Results, name: &str) -> Vec<Row> {
    let none = Summary::default();
    let summaries: Vec<&Summary> = results
        .servers
        .iter()
        .map(|server| server.summary.iter().find(|summary| summary.name == name).unwrap_or(&none))
        .collect();
    let shown = |value: Option<f64>, show: fn(f64) -> String| value.map_or_else(|| MISSING.to_owned(), show);
    let mut rows = Vec::new();
    for (metric, label, show) in METRICS {
        // CPU and memory are not counted by kind.
        if name == ALL || summaries.iter().any(|summary| summary.figures.contains_key(metric)) {
            let cell = |summary: &&Summary| {
                let ratio =
                    summary.ratios.get(metric).map_or_else(String::new, |ratio| format!(" ({ratio:.2}x)"));
                shown(summary.figures.get(metric).copied(), show) + &ratio
            };
            rows.push((label, summaries.iter().map(cell).collect()));
        }
    }
    if name == ALL {
        let ready = results.servers.iter().map(|server| shown(server.ready_ms.map(|ms| ms * 1e3), time));
        rows.push(("start to ready", ready.collect()));
        let idle = results.servers.iter().map(|server| shown(server.idle_memory_bytes.map(float), memory));
        rows.push(("memory when ready", idle.collect()));
    }
    for (label, of) in COUNTS {
        if label == "answers" || summaries.iter().any(|summary| of(summary) > 0) {
            rows.push((label, summaries.iter().map(|summary| count(of(summary))).collect()));
        }
    }
    rows
}

/// The parameters of the run, in words.
pub fn plan(results: &Results) -> String {
    let plan = &results.plan;
    let open = |rate: u32| format!("open loop at {} requests/s", count(rate.into()));
    let mut words = vec![
        plan.workload.clone(),
        plan.rate.map_or_else(|| "closed loop".to_owned(), open),
        format!("{} connections", count(plan.connections.into())),
        format!("provider answers after {} ms", count(plan.gateway_delay_ms)),
    ];
    let circumstances = [
        (plan.live_numbers, "live numbers"),
        (plan.idle_connections.into(), "idle connections"),
        (plan.hanging_sends.into(), "hanging sends"),
    ];
    let some = circumstances.into_iter().filter(|(number, _)| *number > 0);
    words.extend(some.map(|(number, what)| format!("{} {what}", count(number))));
    words.push(format!("rounds: {}, each of {} s", plan.rounds, plan.window_s));
    words.push(format!("seed {}", plan.seed));
    words.join(", ")
}

/// The machine of the run, in words.
pub fn machine(results: &Results) -> String {
    let machine = &results.machine;
    format!(
        "{}, {} cores, kernel {}, {}, 256 bytes with fdatasync take {}",
        machine.processor,
        machine.cores,
        machine.kernel,
        machine.file_system,
        time(machine.fdatasync_us)
    )
}

/// Columns of the terminal, or 80 where the output goes elsewhere.
pub fn terminal_width() -> u16 {
    Term::stdout().size_checked().map_or(80, |(_, columns)| columns.clamp(60, 200))
}

/// Figures of all servers and what is to be known about them, at most `width` columns wide.
pub fn text(results: &Results, width: u16) -> String {
    let mut head = wrapping(width);
    for server in &results.servers {
        head.add_row([format!("{}: {}", server.name, server.what)]);
    }
    head.add_row([format!("Plan: {}", plan(results))]);
    head.add_row([format!("Machine: {}", machine(results))]);
    let mut notes = wrapping(width);
    notes.add_row([FIGURES_EXPLAINED]);
    for warning in &results.warnings {
        notes.add_row([format!("\nWARNING: {warning}")]);
    }
    let tables = [head, figures(results, width), notes];
    let trimmed =
        |table: Table| table.lines().map(|line| line.trim_end().to_owned() + "\n").collect::<String>();
    tables.map(trimmed).join("\n")
}

fn figures(results: &Results, width: u16) -> Table {
    const RULED: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));
    let mut table = wrapping(width);
    table
        .load_style(RULED)
        .set_header(std::iter::once("").chain(results.servers.iter().map(|server| server.name.as_str())));
    let sections = sections(results);
    for section in &sections {
        let indent = if sections.len() > 1 { "  " } else { "" };
        if sections.len() > 1 {
            table.add_row([section.title]);
        }
        for (label, cells) in &section.rows {
            table.add_row(std::iter::once(format!("{indent}{label}")).chain(cells.iter().cloned()));
        }
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((u16::from(index > 0), 0));
        if index > 0 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// A table whose cells are broken between words where they do not fit.
fn wrapping(width: u16) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_width(width).set_content_arrangement(ContentArrangement::Dynamic);
    table
}

/// `1,000,000`
pub fn count(count: u64) -> String {
    HumanCount(count).to_string()
}

/// `29,112`, or `41.5` where a whole number would say too little.
pub fn rate(per_second: f64) -> String {
    let decimals = usize::from(per_second < 99.95);
    format!("{:.decimals$}", HumanFloatCount(per_second))
}

/// A time, given in microseconds: `38.5µs`, `1.2ms`, `3600.0s`.
pub fn time(us: f64) -> String {
    Duration::try_from_secs_f64(us / 1e6).map_or_else(|_| MISSING.to_owned(), |time| format!("{time:.1?}"))
}

/// Memory, given in bytes: `18.40 MiB`.
pub fn memory(bytes: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of bytes")]
    HumanBytes(bytes as u64).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::sample_results;

    #[test]
    fn the_text_fits_any_terminal() {
        let results = sample_results(&["onceward", "baseline", "ceiling", "redis-durable"]);
        for width in [60, 80, 100, 200] {
            let text = text(&results, width);
            let longest = text.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(longest <= usize::from(width), "{longest} of {width}:\n{text}");
            for part in ["requests/s", "p99", "23.4ms", "redis", "WARNING: "] {
                assert!(text.contains(part), "{part} at {width}:\n{text}");
            }
        }
    }

    #[test]
    fn figures_and_ratios_stand_in_the_columns_of_their_servers() {
        let text = text(&sample_results(&["onceward", "baseline", "ceiling"]), 80);
        let line = |label: &str| -> Vec<String> {
            let mut lines = text.lines().filter_map(|line| line.trim_start().strip_prefix(label));
            let cells = lines.next().unwrap().split("  ").map(str::trim).filter(|cell| !cell.is_empty());
            cells.map(str::to_owned).collect()
        };
        assert_eq!(line("onceward  "), ["baseline", "ceiling"]);
        assert_eq!(line("requests/s"), ["1,000", "1,000 (1.00x)", "1,000 (1.00x)"]);
        assert_eq!(line("CPU per request"), ["26.0µs", "26.0µs (1.00x)", "26.0µs (1.00x)"]);
        assert_eq!(line("p50"), ["800.0µs", "1.6ms (0.50x)", "2.4ms (0.33x)"]);
        assert_eq!(line("max"), ["9.0ms", "18.0ms", "27.0ms"]);
    }

    #[test]
    fn figures_have_units_and_few_digits() {
        assert_eq!([0.0, 41.46, 99.96, 29_111.6].map(rate), ["0", "41.5", "100", "29,112"]);
        assert_eq!([38.52, 1_234.0, 3.6e9].map(time), ["38.5µs", "1.2ms", "3600.0s"]);
        assert_eq!([512.0, 18.4 * 1024.0 * 1024.0].map(memory), ["512 B", "18.40 MiB"]);
        assert_eq!(time(f64::NAN), "-");
    }
}
