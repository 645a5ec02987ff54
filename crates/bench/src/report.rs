//! The results as text.

use std::time::Duration;

use crate::results::{Results, ServerResults};

const MISSING: &str = "-";

const FIGURES_EXPLAINED: &str = "Figures are medians over the rounds; max and memory are the greatest of all \
    rounds. In parentheses: the figure of the first server divided by this one, as the median of the rounds' ratios.";

/// Name in the summary, label, and how it is written.
type Metric = (&'static str, &'static str, fn(f64) -> String);

const METRICS: [Metric; 15] = [
    ("requests_per_s", "requests/s", rate),
    ("cpu_us_per_request", "CPU per request", time),
    ("wakeups_per_request", "wake-ups per request", fraction),
    ("journal_writes_per_request", "journal writes per request", fraction),
    ("p50_us", "p50", time),
    ("p90_us", "p90", time),
    ("p99_us", "p99", time),
    ("p99_9_us", "p99.9", time),
    ("max_us", "max", time),
    ("memory_bytes", "memory", memory),
    ("ready_ms", "start to ready", |ms| time(ms * 1e3)),
    ("idle_memory_bytes", "memory when ready", memory),
    ("answers", "answers", whole),
    ("refused", "refused (429, 503)", whole),
    ("unexpected", "unexpected", whole),
];

/// Where the servers were, their figures as a table with a column for each, and notes.
pub fn text(results: &Results) -> String {
    let mut lines: Vec<String> =
        results.servers.iter().map(|server| format!("{}: {}", server.name, server.what)).collect();
    lines.extend([format!("Plan: {}", results.plan), format!("Machine: {}", results.machine)]);
    lines.push(String::new());
    lines.extend(table(results));
    lines.extend([String::new(), FIGURES_EXPLAINED.to_owned()]);
    let warnings = results.overloads.iter().chain(&results.warnings);
    lines.extend(warnings.map(|warning| format!("\nWARNING: {warning}")));
    lines.join("\n") + "\n"
}

fn table(results: &Results) -> Vec<String> {
    let names = results.servers.iter().map(|server| server.name.clone());
    let mut rows: Vec<Vec<String>> = vec![std::iter::once(String::new()).chain(names).collect()];
    let titles: Vec<&str> = results.servers[0].summary.iter().map(|summary| summary.name).collect();
    // A single kind is all.
    let titles = if titles.len() == 2 { &titles[..1] } else { &titles[..] };
    for (index, title) in titles.iter().enumerate() {
        if titles.len() > 1 {
            rows.extend((index > 0).then(Vec::new));
            rows.push(vec![(*title).to_owned()]);
        }
        rows.extend(METRICS.iter().filter_map(|metric| row(&results.servers, title, metric)));
    }
    let columns = 0..=results.servers.len();
    let width = |column| {
        let cells = rows.iter().filter(|row| row.len() > 1).filter_map(|row| row.get(column));
        cells.map(|cell: &String| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = columns.map(width).collect();
    let padded = |(column, cell): (usize, &String)| match widths[column] {
        width if column == 0 => format!("{cell:width$}"),
        width => format!("  {cell:>width$}"),
    };
    let line = |row: &Vec<String>| row.iter().enumerate().map(padded).collect::<String>();
    rows.iter().map(|row| line(row).trim_end().to_owned()).collect()
}

/// The label of a metric and a cell for each server, unless no server has a figure that says something.
fn row(servers: &[ServerResults], title: &str, (metric, label, shown): &Metric) -> Option<Vec<String>> {
    let summaries = servers.iter().map(|server| server.summary.iter().find(|summary| summary.name == title));
    let is_said = |figure: f64| !matches!(*metric, "refused" | "unexpected") || figure != 0.0;
    let mut is_row = false;
    let cells = summaries.map(|summary| {
        let figure = summary.and_then(|summary| summary.figures.get(metric).copied());
        let ratio = summary.and_then(|summary| summary.ratios.get(metric));
        is_row |= figure.is_some_and(is_said);
        let ratio = ratio.map(|ratio| format!(" ({ratio:.2}x)")).unwrap_or_default();
        figure.map_or_else(|| MISSING.to_owned(), shown) + &ratio
    });
    let row: Vec<String> = std::iter::once((*label).to_owned()).chain(cells).collect();
    is_row.then_some(row)
}

fn whole(count: f64) -> String {
    format!("{count:.0}")
}

fn fraction(count: f64) -> String {
    format!("{count:.2}")
}

/// `29112`, or `41.5` where a whole number would say too little.
pub fn rate(per_second: f64) -> String {
    let decimals = usize::from(per_second < 99.95);
    format!("{per_second:.decimals$}")
}

/// A time, given in microseconds: `38.5µs`, `1.2ms`, `3600.0s`.
pub fn time(us: f64) -> String {
    Duration::try_from_secs_f64(us / 1e6).map_or_else(|_| MISSING.to_owned(), |time| format!("{time:.1?}"))
}

/// Memory, given in bytes: `18.4 MiB`.
fn memory(bytes: f64) -> String {
    format!("{:.1} MiB", bytes / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::sample_results;

    #[test]
    fn figures_and_ratios_stand_in_the_columns_of_their_servers() {
        let text = text(&sample_results(&["onceward", "baseline", "ceiling"]));
        let line = |label: &str| -> Vec<String> {
            let mut lines = text.lines().filter_map(|line| line.trim_start().strip_prefix(label));
            let cells = lines.next().unwrap().split("  ").map(str::trim).filter(|cell| !cell.is_empty());
            cells.map(str::to_owned).collect()
        };
        assert_eq!(line("onceward  "), ["baseline", "ceiling"]);
        assert_eq!(line("requests/s"), ["1000", "1000 (1.00x)", "1000 (1.00x)"]);
        assert_eq!(line("CPU per request"), ["26.0µs", "26.0µs (1.00x)", "26.0µs (1.00x)"]);
        assert_eq!(line("p50"), ["800.0µs", "1.6ms (0.50x)", "2.4ms (0.33x)"]);
        assert_eq!(line("max"), ["9.0ms", "18.0ms", "27.0ms"]);
        assert!(text.contains("\nWARNING: something"), "{text}");
    }

    #[test]
    fn figures_have_units_and_few_digits() {
        assert_eq!([0.0, 41.46, 99.96, 29_111.6].map(rate), ["0.0", "41.5", "100", "29112"]);
        assert_eq!([38.52, 1_234.0, 3.6e9].map(time), ["38.5µs", "1.2ms", "3600.0s"]);
        assert_eq!(memory(18.4 * 1024.0 * 1024.0), "18.4 MiB");
        assert_eq!(time(f64::NAN), "-");
    }
}
