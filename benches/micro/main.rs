//! Single functions and single steps: what each costs by itself.
//!
//! `cargo bench --bench micro`; `benches/README.md` says what each name stands for. Without `--bench`,
//! as test runners start it, each runs once.
#![expect(clippy::expect_used, reason = "a measurement that cannot go on fails")]

mod commit;
mod decision;
mod encoding;
mod guard;
mod json;
mod metrics;
mod samples;
mod shard;

use std::time::{Duration, Instant};

use criterion::Criterion;

fn main() {
    // About fifty benchmarks of 1.3 s each: the run takes less than two minutes.
    let mut criterion = Criterion::default()
        .sample_size(40)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .nresamples(10_000)
        .without_plots()
        .configure_from_args();
    decision::benches(&mut criterion);
    guard::benches(&mut criterion);
    json::benches(&mut criterion);
    encoding::benches(&mut criterion);
    metrics::benches(&mut criterion);
    shard::benches(&mut criterion);
    commit::benches(&mut criterion);
    criterion.final_summary();
}

#[expect(clippy::disallowed_methods, reason = "a measurement of time")]
fn now() -> Instant {
    Instant::now()
}
