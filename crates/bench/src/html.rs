//! The HTML report: one file that loads nothing, with plots.

use std::ops::Range;

use anyhow::Result;
use askama::Template;
use plotters::prelude::*;

use crate::report::{FIGURES_EXPLAINED, Section, machine, memory, plan, rate, sections, time};
use crate::results::{Kind, Results, Sample, Server, float, median};

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    results: &'a Results,
    plan: String,
    machine: String,
    explained: &'static str,
    sections: Vec<Section>,
    plots: Vec<String>,
}

pub fn page(results: &Results) -> Result<String> {
    let (plan, machine, explained) = (plan(results), machine(results), FIGURES_EXPLAINED);
    let (sections, plots) = (sections(results), plots(results)?);
    Ok(Page { results, plan, machine, explained, sections, plots }.render()?)
}

type Points = Vec<(f64, f64)>;

struct Plot {
    title: &'static str,
    x_label: &'static str,
    x_shown: fn(f64) -> String,
    y_shown: fn(f64) -> String,
    /// The y axis begins at zero.
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

fn latency_points(server: &Server) -> Points {
    let rounds = || server.windows.iter().map(|window| &window.kinds[0]).filter(|all| all.answers > 0);
    let fewest = rounds().map(|all| all.answers).min().unwrap_or_default();
    let percentiles =
        rounds().take(1).flat_map(|all: &Kind| &all.percentiles).map(|(percentile, _)| *percentile);
    let shown = percentiles.filter(|percentile| (1.0 - percentile / 100.0) * float(fewest) >= 0.999);
    let point = |percentile: f64| {
        let times = rounds().filter_map(|all| all.at(percentile)).collect();
        Some((-(1.0 - percentile / 100.0).log10(), median(times).filter(|us| *us > 0.0)?.log10()))
    };
    shown.filter_map(point).collect()
}

/// The rounds one after the other.
fn over_time(server: &Server, value: fn(&Sample) -> Option<f64>) -> Points {
    let (mut points, mut begin) = (Points::new(), 0.0);
    for window in &server.windows {
        let of = |sample: &Sample| Some((begin + sample.at_s, value(sample)?));
        points.extend(window.samples.iter().filter_map(of));
        begin += window.lasted_s;
    }
    points
}

/// As SVG; nothing if no server has points.
fn draw(plot: &Plot, results: &Results, points: impl Fn(&Server) -> Points) -> Result<Option<String>> {
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
        server.windows[0].kinds[0].answers = 200;
        assert_eq!(latency_points(server).len(), 3);
    }
}
