//! The results as text for a terminal, and as an HTML page that loads nothing, with plots.

use std::ops::Range;
use std::time::Duration;

use anyhow::Result;
use askama::Template;
use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle, presets};
use console::Term;
use indicatif::{HumanBytes, HumanCount, HumanFloatCount};
use plotters::prelude::*;

use crate::results::{Results, Sample, ServerResults, Summary, float, median};

const MISSING: &str = "-";

const FIGURES_EXPLAINED: &str = "Figures are medians over the rounds; max and memory are the greatest of all \
    rounds. In parentheses: the figure of the first server divided by this one, as the median of the rounds' ratios.";

/// Name in the summary, label, and how it is written.
type Metric = (&'static str, &'static str, fn(f64) -> String);

const METRICS: [Metric; 15] = [
    ("requests_per_s", "requests/s", rate),
    ("cpu_us_per_request", "CPU per request", time),
    ("wakeups_per_request", "wake-ups per request", fraction),
    ("commits_per_request", "commits per request", fraction),
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

struct Section {
    title: &'static str,
    rows: Vec<(&'static str, Vec<String>)>,
}

fn sections(results: &Results) -> Vec<Section> {
    let titles = results.servers[0].summary.iter().map(|summary| summary.name);
    let mut sections: Vec<Section> = titles.map(|title| section(results, title)).collect();
    if sections.len() == 2 {
        // A single kind is all.
        sections.pop();
    }
    sections
}

fn section(results: &Results, title: &'static str) -> Section {
    let summary_of =
        |server: &ServerResults| server.summary.iter().find(|summary| summary.name == title).cloned();
    let summaries: Vec<Summary> =
        results.servers.iter().map(|server| summary_of(server).unwrap_or_default()).collect();
    let mut rows = Vec::new();
    for (metric, label, shown) in METRICS {
        let cell = |summary: &Summary| {
            let figure =
                summary.figures.get(metric).map_or_else(|| MISSING.to_owned(), |figure| shown(*figure));
            let ratio = summary.ratios.get(metric).map(|ratio| format!(" ({ratio:.2}x)"));
            figure + &ratio.unwrap_or_default()
        };
        let is_told = |figure: &f64| !matches!(metric, "refused" | "unexpected") || *figure != 0.0;
        if summaries.iter().any(|summary| summary.figures.get(metric).is_some_and(is_told)) {
            rows.push((label, summaries.iter().map(cell).collect()));
        }
    }
    Section { title, rows }
}

/// Columns of the terminal, or 80 where the output goes elsewhere.
pub fn terminal_width() -> u16 {
    Term::stdout().size_checked().map_or(80, |(_, columns)| columns.clamp(60, 200))
}

/// The figures of all servers with the notes about them, at most `width` columns wide.
pub fn text(results: &Results, width: u16) -> String {
    let servers = results.servers.iter().map(|server| format!("{}: {}", server.name, server.what));
    let about = [format!("Plan: {}", results.plan), format!("Machine: {}", results.machine)];
    let warnings = results.overloads.iter().chain(&results.warnings);
    let warnings = warnings.map(|warning| format!("\nWARNING: {warning}"));
    let (mut head, mut notes) = (wrapping(width), wrapping(width));
    head.add_rows(servers.chain(about).map(|line| [line]));
    notes.add_rows(std::iter::once(FIGURES_EXPLAINED.to_owned()).chain(warnings).map(|line| [line]));
    let trimmed = |mut table: Table| {
        table.column_iter_mut().take(1).for_each(|column| _ = column.set_padding((0, 0)));
        table.lines().map(|line| line.trim_end().to_owned() + "\n").collect::<String>()
    };
    [head, figures(results, width), notes].map(trimmed).join("\n")
}

fn figures(results: &Results, width: u16) -> Table {
    const RULED: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));
    let mut table = wrapping(width);
    let names = results.servers.iter().map(|server| server.name.as_str());
    table.load_style(RULED).set_header(std::iter::once("").chain(names));
    let sections = sections(results);
    for (index, Section { title, rows }) in sections.iter().enumerate() {
        if sections.len() > 1 {
            table.add_row([format!("{}{title}", if index > 0 { "\n" } else { "" })]);
        }
        for (label, cells) in rows {
            table.add_row(std::iter::once(*label).chain(cells.iter().map(String::as_str)));
        }
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_padding((1, 0)).set_cell_alignment(CellAlignment::Right);
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

fn whole(count: f64) -> String {
    format!("{:.0}", HumanFloatCount(count))
}

fn fraction(count: f64) -> String {
    format!("{count:.2}")
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
fn memory(bytes: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of bytes")]
    HumanBytes(bytes as u64).to_string()
}

#[derive(Template)]
#[template(path = "report.html")]
struct HtmlReport<'a> {
    results: &'a Results,
    explained: &'static str,
    sections: Vec<Section>,
    plots: Vec<String>,
}

pub fn page(results: &Results) -> Result<String> {
    let (sections, plots) = (sections(results), plots(results)?);
    Ok(HtmlReport { results, explained: FIGURES_EXPLAINED, sections, plots }.render()?)
}

type Points = Vec<(f64, f64)>;

struct Plot {
    title: &'static str,
    x_label: &'static str,
    x_shown: fn(f64) -> String,
    y_shown: fn(f64) -> String,
    from_zero: bool,
}

/// Title, value and label of a plot over time.
type TimeSeries = (&'static str, fn(&Sample) -> Option<f64>, fn(f64) -> String);

const TIME_SERIES: [TimeSeries; 5] = [
    ("Throughput, requests/s", |sample| Some(sample.requests_per_s), rate),
    ("99th percentile of each second", |sample| sample.p99_us, time),
    ("Cores kept busy", |sample| sample.cores, |cores| format!("{cores:.2}")),
    ("Resident memory", |sample| sample.memory_bytes.map(float), memory),
    ("Data directory", |sample| sample.disk_bytes.map(float), memory),
];

fn plots(results: &Results) -> Result<Vec<String>> {
    let percentiles = Plot {
        title: "Latency by percentile, median of the rounds",
        x_label: "each step to the right is ten times rarer",
        // Logarithmic: 0 is the 0th percentile, 1 the 90th, 2 the 99th.
        x_shown: |x| {
            let whole = (x - x.round()).abs() < 1e-6;
            if whole { format!("{}", 100.0 - 100.0 / 10_f64.powf(x.round())) } else { String::new() }
        },
        y_shown: |y| time(10_f64.powf(y)),
        from_zero: false,
    };
    let mut plots = vec![draw(&percentiles, results, latency_points)?];
    for (title, value, y_shown) in TIME_SERIES {
        let (x_label, x_shown): (_, fn(f64) -> String) = ("seconds in the windows of a server", rate);
        let plot = Plot { title, x_label, x_shown, y_shown, from_zero: true };
        plots.push(draw(&plot, results, |server| over_time(server, value))?);
    }
    Ok(plots.into_iter().flatten().collect())
}

fn latency_points(server: &ServerResults) -> Points {
    let rounds = || server.windows.iter().map(|window| window.kinds[0].percentiles.as_slice());
    // Later ones are not known in every round.
    let known = rounds().min_by_key(|percentiles| percentiles.len()).unwrap_or_default();
    let point = |(place, (percentile, _)): (usize, &(f64, f64))| {
        let us = median(rounds().map(|percentiles| percentiles[place].1).collect()).filter(|us| *us > 0.0)?;
        Some((-(1.0 - percentile / 100.0).log10(), us.log10()))
    };
    known.iter().enumerate().filter_map(point).collect()
}

/// The rounds one after the other.
fn over_time(server: &ServerResults, value: fn(&Sample) -> Option<f64>) -> Points {
    let (mut points, mut begin) = (Points::new(), 0.0);
    for window in &server.windows {
        let of = |sample: &Sample| Some((begin + sample.at_s, value(sample)?));
        points.extend(window.samples.iter().filter_map(of));
        begin += window.lasted_s;
    }
    points
}

/// As SVG; nothing if no server has points.
fn draw(plot: &Plot, results: &Results, points: impl Fn(&ServerResults) -> Points) -> Result<Option<String>> {
    let series: Vec<(&str, Points)> =
        results.servers.iter().map(|server| (server.name.as_str(), points(server))).collect();
    let all = || series.iter().flat_map(|(_, points)| points);
    let range = |of: fn(&(f64, f64)) -> f64, from_zero: bool| -> Option<Range<f64>> {
        let least = all().map(of).min_by(f64::total_cmp)?;
        let most = all().map(of).max_by(f64::total_cmp)?;
        let least = if from_zero { 0.0 } else { least };
        Some(least..most + ((most - least) * 0.05).max(1e-3))
    };
    let ranges = range(|point| point.0, true).zip(range(|point| point.1, plot.from_zero));
    let Some((x, y)) = ranges else { return Ok(None) };
    let mut svg = String::new();
    let root = SVGBackend::with_string(&mut svg, (720, 380)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(plot.title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(76)
        .build_cartesian_2d(x, y)?;
    let (x_shown, y_shown) = (|x: &f64| (plot.x_shown)(*x), |y: &f64| (plot.y_shown)(*y));
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc(plot.x_label)
        .x_label_formatter(&x_shown)
        .y_label_formatter(&y_shown)
        .draw()?;
    for (index, (name, points)) in series.iter().enumerate() {
        let color = Palette99::pick(index).to_rgba();
        let line = LineSeries::new(points.iter().copied(), color.stroke_width(2));
        let legend = move |(x, y)| PathElement::new([(x, y), (x + 20, y)], color.stroke_width(2));
        chart.draw_series(line)?.label(*name).legend(legend);
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK).draw()?;
    root.present()?;
    drop((chart, root));
    Ok(Some(svg))
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

    #[test]
    fn the_page_has_figures_plots_and_no_markup_from_outside() {
        let results = sample_results(&["onceward", "<ceiling>"]);
        let page = page(&results).unwrap();
        assert_eq!(page.matches("<svg").count(), 5, "percentiles, throughput, p99, CPU and memory");
        for part in ["send-verify", "Some Processor", "1,000", "&#60;ceiling&#62;", "that &#60;makes&#62;"] {
            assert!(page.contains(part), "{part}:\n{page}");
        }
        assert!(!page.contains("<ceiling>") && !page.contains("<right>"), "{page}");
        for loads in ["<script", "src=", "url(", "@import"] {
            assert!(!page.contains(loads), "{loads}");
        }
    }

    #[test]
    fn percentiles_are_shown_as_far_as_there_are_answers() {
        let mut results = sample_results(&["onceward"]);
        let server = &mut results.servers[0];
        assert_eq!(latency_points(server).len(), 4);
        server.windows[0].kinds[0].percentiles.pop();
        assert_eq!(latency_points(server).len(), 3);
    }
}
