//! `onceward-bench`: plays HTTP clients and Twilio on loopback against servers that it starts,
//! checks every answer, and compares what they cost. `docs/internals/bench.md` explains the method.

mod args;
mod ceiling;
mod load;
mod run;
mod script;
mod servers;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use mimalloc::MiMalloc;
use tokio::signal::unix::{SignalKind, signal};

use args::Options;
use ceiling::runtime;
use run::{ALL, Results, say};

/// The server's allocator: the ceilings must use the same.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// An answer was unexpected, a limit was exceeded, or the server did not keep up.
const EXIT_FAILED: u8 = 1;
/// As `EX_USAGE` and `EX_SOFTWARE` of sysexits.h.
const EXIT_USAGE: u8 = 64;
const EXIT_ERROR: u8 = 70;
/// As a shell reports a program that SIGINT ended.
const EXIT_STOPPED: u8 = 130;

fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(answer) => {
            let _ = answer.print();
            return ExitCode::from(if answer.use_stderr() { EXIT_USAGE } else { 0 });
        }
    };
    let ended = match &options.be_ceiling {
        Some(twilio) => ceiling::run(twilio, options.be_durable).map(|()| 0),
        None => bench(&options),
    };
    ended.map_or_else(
        |error| {
            say(&format!("error: {error:#}"));
            ExitCode::from(EXIT_ERROR)
        },
        ExitCode::from,
    )
}

fn bench(options: &Options) -> Result<u8> {
    let home = tempfile::Builder::new().prefix("onceward-bench-").tempdir_in(&options.disk);
    let home = home.with_context(|| format!("cannot make a directory in {}", options.disk.display()))?;
    let path = home.path().canonicalize()?;
    let runtime = runtime()?;
    let results = runtime.block_on(async {
        tokio::select! {
            results = run::run(options, &path) => results.map(Some),
            // The servers end with the run that is dropped.
            () = stopped() => Ok(None),
        }
    });
    // In this order: tasks that still write there end before the directory is removed.
    runtime.shutdown_timeout(Duration::from_secs(5));
    home.close().context("cannot remove the data of the run")?;
    let Some(results) = results? else {
        say("error: stopped: nothing was measured");
        return Ok(EXIT_STOPPED);
    };
    for warning in &results.warnings {
        say(&format!("warning: {warning}"));
    }
    let json = serde_json::to_string_pretty(&results)? + "\n";
    io::stdout().write_all(json.as_bytes()).context("cannot write the results")?;
    Ok(verdict(options, &results))
}

/// The exit code, with the reasons on standard error.
fn verdict(options: &Options, results: &Results) -> u8 {
    let mut failures = Vec::new();
    for server in &results.servers {
        let name = &server.name;
        let Some(all) = server.summary.get(ALL) else { continue };
        let (cpu, rate) = (all.ratios.get("cpu_us_per_request"), all.ratios.get("requests_per_s"));
        let unexpected = all.figures.get("unexpected").copied().unwrap_or_default();
        if unexpected > 0.0 {
            failures.push(format!("{name}: {unexpected} answers were not as the contract promises"));
        }
        let dropped: u64 = server.windows.iter().map(|window| window.dropped).sum();
        if dropped > 0 {
            failures.push(format!(
                "{name} was overloaded: {dropped} requests never left; use a lower --rate or more --connections"
            ));
        }
        if let Some((limit, cpu)) = options.max_cpu_ratio.zip(cpu).filter(|(limit, cpu)| *cpu > limit) {
            failures.push(format!("CPU per request is {cpu:.2}x that of {name}, at most {limit} is allowed"));
        }
        if let Some((limit, rate)) = options.min_rate_ratio.zip(rate).filter(|(limit, rate)| *rate < limit) {
            failures.push(format!("requests/s are {rate:.3}x those of {name}, at least {limit} is wanted"));
        }
    }
    for reason in &failures {
        say(&format!("error: {reason}"));
    }
    if failures.is_empty() { 0 } else { EXIT_FAILED }
}

/// Ctrl-C, SIGTERM, or a terminal that was closed.
async fn stopped() {
    let mut waiting = tokio::task::JoinSet::new();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        if let Ok(mut signal) = signal(kind) {
            waiting.spawn(async move { signal.recv().await });
        }
    }
    waiting.join_next().await;
}
