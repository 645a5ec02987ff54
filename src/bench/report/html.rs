//! The page for people: one file that loads nothing.

use askama::Template;

use super::figures::{MISSING, rate, time};
use super::finite::finite;
use super::lines::{Section, machine, plan, sections, warnings};
use super::over_time::over_time;
use super::percentiles::percentiles;
use super::plot::{LOOKS, Plot, marker};
use super::summary::{Figures, Metric, kind_names, of_window, summary};
use crate::bench::results::{Results, Server};

/// Everything that the template shows. Text is escaped by the template's engine.
#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    results: &'a Results,
    plan: String,
    machine: String,
    warnings: Vec<String>,
    legend: Vec<Entry<'a>>,
    first: &'a str,
    others: Vec<&'a str>,
    sections: Vec<Section>,
    plots: Vec<Plot>,
    by_kind: Vec<Plot>,
    rounds: Vec<Round>,
}

/// A server, with how its lines look.
struct Entry<'a> {
    server: &'a Server,
    look: usize,
    marker: String,
}

/// One round, one line for each server.
struct Round {
    number: usize,
    servers: Vec<[String; 5]>,
}

/// Figures, plots and how to read them, as one document that works offline; it ends with a line feed.
pub fn html(results: &Results) -> String {
    let results = &finite(results);
    let kinds = kind_names(&results.servers);
    let names: Vec<&str> = results.servers.iter().map(|server| server.name.as_str()).collect();
    let (first, others) = names.split_first().map_or(("", &[][..]), |(first, others)| (*first, others));
    let plots = percentiles(results, None, "percentiles".to_owned()).into_iter().chain(over_time(results));
    let kinds_with_plots = if kinds.len() > 1 { kinds.as_slice() } else { &[] };
    let by_kind = kinds_with_plots.iter().enumerate();
    let page = Page {
        results,
        plan: plan(results),
        machine: machine(results),
        warnings: warnings(results),
        legend: results.servers.iter().enumerate().map(entry).collect(),
        first,
        others: others.to_vec(),
        sections: sections(&summary(results), &kinds),
        plots: plots.collect(),
        by_kind: by_kind
            .filter_map(|(at, kind)| percentiles(results, Some(kind), format!("kind-{at}")))
            .collect(),
        rounds: rounds(results),
    };
    // Writing into a string does not fail, and there is nothing else in the template that could.
    page.render().unwrap_or_default()
}

fn entry((index, server): (usize, &Server)) -> Entry<'_> {
    Entry { server, look: index % LOOKS, marker: marker(index, (18.0, 7.0)) }
}

fn rounds(results: &Results) -> Vec<Round> {
    let many = results.servers.iter().map(|server| server.windows.len()).max().unwrap_or(0);
    let round = |index: usize| {
        let of = |server: &Server| {
            let figures = server.windows.get(index).map(|window| of_window(window, None)).unwrap_or_default();
            [
                server.name.clone(),
                shown(&figures, Metric::RequestsPerS, rate),
                shown(&figures, Metric::CpuUsPerRequest, time),
                shown(&figures, Metric::P50Us, time),
                shown(&figures, Metric::P99Us, time),
            ]
        };
        Round { number: index + 1, servers: results.servers.iter().map(of).collect() }
    };
    (0..many).map(round).collect()
}

fn shown(figures: &Figures, metric: Metric, shown: fn(f64) -> String) -> String {
    figures.get(&metric).map_or_else(|| MISSING.to_owned(), |figure| shown(*figure))
}
