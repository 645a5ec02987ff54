//! `onceward bench`: the real program measures itself, and a server that is there, for a second.

mod own;
mod refused;
mod there;

use onceward::bench::results::{Results, Window};

use crate::support::{Finished, Setup};

/// Runs a short bench of few connections; its results and how it ended.
async fn bench(setup: &Setup, more: &[&str]) -> (Results, Finished) {
    let short = ["bench", "--seconds", "1", "--rounds", "1", "--connections", "4", "--json", "results.json"];
    let finished = setup.command(short.iter().chain(more).copied()).await;
    let path = setup.home().join("results.json");
    let text = std::fs::read_to_string(&path);
    let text = text.unwrap_or_else(|error| panic!("{}: {error}\n{}", path.display(), finished.output));
    (serde_json::from_str(&text).expect("results as JSON"), finished)
}

/// A window whose counts fit each other, and in which everything was as promised.
fn expect_sound(window: &Window, kinds: &[&str]) {
    let names: Vec<&str> = window.kinds.iter().map(|kind| kind.name.as_str()).collect();
    assert_eq!(names, kinds);
    for kind in &window.kinds {
        assert_eq!((kind.unexpected, kind.refused), (0, 0), "{}", kind.name);
        assert_eq!(kind.latency.count, kind.answers, "{}", kind.name);
    }
    assert_eq!(window.latency.count, window.kinds.iter().map(|kind| kind.answers).sum::<u64>());
    assert!(window.latency.count > 0);
    let times: Vec<f64> = window.latency.percentiles.iter().map(|(_, time)| *time).collect();
    assert!(times.is_sorted() && times.iter().all(|time| *time <= window.latency.max_us));
    assert!(window.lasted_s > 0.0);
    assert!(!window.samples.is_empty());
}

/// What is left of the data of the runs.
fn leftovers(setup: &Setup) -> Vec<String> {
    let entries = std::fs::read_dir(setup.home()).expect("the directory of the test");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("onceward-bench-")).collect()
}
