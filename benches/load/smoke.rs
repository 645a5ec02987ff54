//! A short run for every change: has a request become much dearer beside the ceiling of the same run?
//!
//! Ratios only, with room for a machine on which others work as well. It finds what doubles a cost, not what adds a
//! tenth; for that there are whole runs on a quiet machine (`docs/bench.md`).

use std::time::Duration;

use onceward::bench::report::summary::{Metric, summary};
use onceward::bench::report::table;
use onceward::bench::{Answers, Beside, Done, Options, Watcher, Workload, run};

/// What is measured, and what it may be.
struct Limit {
    connections: u32,
    /// CPU time per request against the ceiling. Measured on two quiet cores: 1.7 and 1.3. While others write to the same disk, commits carry less and
    /// cost more: 4.3 was seen at the lowest priority on a busy machine.
    cpu: f64,
    /// Requests per second against the ceiling. Measured: 0.45 and 0.75; on a disk that others keep busy 0.05 was seen.
    requests: f64,
}

const LIMITS: [Limit; 2] = [
    Limit { connections: 32, cpu: 5.0, requests: 0.01 },
    Limit { connections: 256, cpu: 3.5, requests: 0.02 },
];

/// Runs, and prints each ratio beside its limit. Whether all were kept, and every answer was right.
pub async fn measure(program: &std::path::Path, disk: &std::path::Path) -> bool {
    let mut good = true;
    for limit in LIMITS {
        let home = tempfile::tempdir_in(disk).expect("a directory for the data");
        let options = Options {
            workload: Workload::SendVerify,
            answers: Answers::Documented,
            connections: limit.connections,
            rate: None,
            gateway_delay: Duration::ZERO,
            live_numbers: 0,
            window: Duration::from_secs(3),
            rounds: 5,
            seed: 1,
            disk: disk.to_owned(),
            program: program.to_owned(),
            environment: Vec::new(),
            target: None,
            beside: vec![Beside::Ceiling],
        };
        let done = run(&options, home.path(), &Silence).await.expect("a run");
        say(&table(&done.results));
        good &= is_kept(&limit, &done);
    }
    if !good {
        say(
            "A disk or processors that others keep busy do this too: see how long fdatasync took, and try again on a quiet machine.",
        );
    }
    good
}

fn is_kept(limit: &Limit, done: &Done) -> bool {
    let summary = summary(&done.results);
    let figures = &summary.ratios.first().expect("a ceiling").all;
    let cpu = figures[&Metric::CpuUsPerRequest];
    let requests = figures[&Metric::RequestsPerS];
    let verdicts = [
        (cpu <= limit.cpu, format!("CPU per request {cpu:.2}x the ceiling's, at most {}", limit.cpu)),
        (requests >= limit.requests, format!("requests/s {requests:.3}x, at least {}", limit.requests)),
        (done.unexpected == 0, format!("{} answers that were not as promised", done.unexpected)),
    ];
    for (kept, words) in &verdicts {
        say(&format!(
            "{} {} connections: {words}",
            if *kept { "ok    " } else { "FAILED" },
            limit.connections
        ));
    }
    verdicts.iter().all(|(kept, _)| *kept)
}

/// Nobody watches.
struct Silence;

impl Watcher for Silence {
    fn begins(&self, _: &str) {}
    fn at(&self, _: Duration) {}
}

#[expect(clippy::print_stdout, reason = "the result of a measurement")]
fn say(words: &str) {
    println!("{words}");
}
