//! The plot of latency percentiles.

use super::axis::Axis;
use super::figures::time;
use super::plot::{Plot, Series};
use super::summary::median;
use crate::bench::results::{Latency, Results, Server};

/// Of all answers, or of those of one kind: the median of the rounds, in a band from the best round to the worst. Nothing
/// if there is no answer.
pub(super) fn percentiles(results: &Results, kind: Option<&str>, id: String) -> Option<Plot> {
    let series: Vec<Series> =
        results.servers.iter().enumerate().filter_map(|(server, of)| series(server, of, kind)).collect();
    let points = || series.iter().flat_map(|series| &series.band);
    let most_percentile = points().map(|(x, ..)| *x).max_by(f64::total_cmp)?;
    let least = points().map(|(_, least, _)| *least).min_by(f64::total_cmp)?;
    let most = points().map(|(.., most)| *most).max_by(f64::total_cmp)?;
    let x = Axis::percentiles("percentile of answers: each step right is rarer", most_percentile);
    let y = Axis::times("time of an answer", least, most);
    let title =
        kind.map_or_else(|| "Latency percentiles".to_owned(), |kind| format!("Latency percentiles: {kind}"));
    let described = series.iter().filter_map(|series| {
        let name = &results.servers.get(series.server)?.name;
        let points: Vec<String> = series
            .pieces
            .iter()
            .flatten()
            .filter(|(x, _)| [50.0, 99.0, 99.9].contains(x))
            .map(|(x, y)| format!("{} at {x} percent", time(*y)))
            .collect();
        Some(format!("{name}: {}.", points.join(", ")))
    });
    let described: Vec<String> = described.collect();
    let description =
        format!("Time of an answer by percentile, median of the rounds. {}", described.join(" "));
    Some(Plot::new(id, title, description, (&x, &y), &series, &[]))
}

fn series(server: usize, of: &Server, kind: Option<&str>) -> Option<Series> {
    let all = of.windows.iter().filter_map(|window| match kind {
        None => Some(&window.latency),
        Some(name) => window.kinds.iter().find(|kind| kind.name == name).map(|kind| &kind.latency),
    });
    let rounds: Vec<&Latency> = all.filter(|latency| latency.count > 0).collect();
    let fewest = rounds.iter().map(|latency| latency.count).min()?;
    let mut known: Vec<f64> =
        rounds.iter().flat_map(|latency| &latency.percentiles).map(|(percentile, _)| *percentile).collect();
    known.sort_by(f64::total_cmp);
    known.dedup();
    known.retain(|percentile| is_told(*percentile, fewest));
    let mut line = Vec::new();
    let mut band = Vec::new();
    for percentile in known {
        let mut times: Vec<f64> = rounds.iter().filter_map(|latency| latency.at(percentile)).collect();
        times.sort_by(f64::total_cmp);
        let (Some(least), Some(most)) = (times.first().copied(), times.last().copied()) else { continue };
        band.push((percentile, least, most));
        line.extend(median(times).map(|median| (percentile, median)));
    }
    (!line.is_empty()).then(|| Series { server, pieces: vec![line], band })
}

/// Whether so many answers say anything about a percentile: at least one has to be beyond it.
fn is_told(percentile: f64, answers: u64) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "counts of a bench")]
    let beyond = (1.0 - percentile / 100.0) * answers as f64;
    (0.0..=50.0).contains(&percentile) || (percentile < 100.0 && beyond >= 0.999)
}
