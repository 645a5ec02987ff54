//! Results without infinities and "not a number", which JSON has no words for and people no use.

use crate::bench::results::{Latency, Results, Sample, Window};

/// The results with every such figure left out where it may be missing, and zero where it may not.
pub(super) fn finite(results: &Results) -> Results {
    let mut results = results.clone();
    keep(&mut results.machine.fdatasync_us);
    or_zero(&mut results.plan.window_s);
    for server in &mut results.servers {
        keep(&mut server.ready_ms);
        server.windows.iter_mut().for_each(window);
    }
    results
}

fn window(window: &mut Window) {
    or_zero(&mut window.lasted_s);
    latency(&mut window.latency);
    window.kinds.iter_mut().for_each(|kind| latency(&mut kind.latency));
    window.samples.retain(|sample| sample.at_s.is_finite());
    window.samples.iter_mut().for_each(sample);
}

fn sample(sample: &mut Sample) {
    or_zero(&mut sample.requests_per_s);
    keep(&mut sample.p99_us);
    keep(&mut sample.cores);
}

fn latency(latency: &mut Latency) {
    or_zero(&mut latency.mean_us);
    or_zero(&mut latency.max_us);
    latency.percentiles.retain(|(percentile, time)| percentile.is_finite() && time.is_finite());
}

fn keep(figure: &mut Option<f64>) {
    *figure = figure.filter(|figure| figure.is_finite());
}

fn or_zero(figure: &mut f64) {
    if !figure.is_finite() {
        *figure = 0.0;
    }
}
