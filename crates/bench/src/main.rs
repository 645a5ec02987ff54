//! `onceward-bench`: plays HTTP clients and Twilio on loopback against servers that it starts or that run already,
//! checks every answer, and compares what they cost. `docs/bench.md` explains the method.

mod args;
mod background;
mod ceiling;
mod child;
mod client;
mod connection;
mod contract;
mod error;
mod figures;
mod html;
mod live;
mod machine;
mod mock;
mod numbers;
mod progress;
mod redis;
mod reference;
mod results;
mod run;
mod schedule;
mod script;
mod servers;
mod summary;
mod table;
mod tally;
mod warnings;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use mimalloc::MiMalloc;
use tokio::signal::unix::{Signal, SignalKind, signal};

use args::{Arguments, BenchArgs, Command, Options};
use error::BenchError;
use progress::Progress;
use run::Done;
use summary::{Summary, summary};

/// As the server: the ceiling must not differ in its allocator.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// An answer was unexpected, a rate or a limit was not kept, or the run was stopped.
const EXIT_FAILED: u8 = 1;
/// As `EX_USAGE` and `EX_SOFTWARE` of sysexits.h.
const EXIT_USAGE: u8 = 64;
const EXIT_ERROR: u8 = 70;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(answer) => {
            let _ = answer.print();
            return ExitCode::from(if answer.use_stderr() { EXIT_USAGE } else { 0 });
        }
    };
    if let Some(Command::Reference { which, twilio }) = arguments.command {
        return ExitCode::from(
            which.serve(&twilio).map_or_else(|error| failed(EXIT_ERROR, &error.to_string()), |()| 0),
        );
    }
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let code = match arguments.bench.read(environment) {
        Ok(options) => {
            bench(&arguments.bench, &options).unwrap_or_else(|error| failed(EXIT_ERROR, &error.to_string()))
        }
        Err(why) => failed(EXIT_USAGE, &why),
    };
    ExitCode::from(code)
}

fn failed(code: u8, why: &str) -> u8 {
    let _ = writeln!(io::stderr(), "error: {why}");
    code
}

/// Makes a run, prints the table and writes the files; returns the exit code.
fn bench(args: &BenchArgs, options: &Options) -> Result<u8, BenchError> {
    // Before anything is measured: an hour later is too late.
    for path in [&args.json, &args.html].into_iter().flatten() {
        can_be_written(path)?;
    }
    if !options.disk.is_dir() {
        return Err(BenchError::Refused(format!("--disk {} is not a directory", options.disk.display())));
    }
    let home = tempfile::Builder::new().prefix("onceward-bench-").tempdir_in(&options.disk);
    let home = home.map_err(BenchError::io(format!("make a directory in {}", options.disk.display())))?;
    let path = home.path().canonicalize().map_err(BenchError::io("find the directory of the run"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(BenchError::io("start the threads of the load"))?;
    let _ = writeln!(io::stderr(), "{}", announcement(options));
    let progress = Progress::new(options.length());
    let done = runtime.block_on(run::run(options, &path, progress.clone(), stopped()));
    progress.end();
    // In this order: what still writes there ends before the directory goes.
    runtime.shutdown_timeout(Duration::from_secs(5));
    home.close().map_err(BenchError::io("remove the data of the run"))?;
    let Some(done) = done? else {
        return Ok(failed(EXIT_FAILED, "stopped before the first round was finished: nothing was measured"));
    };
    let summary = summary(&done.results);
    if let Some(path) = &args.json {
        write(path, &summary::json(&done.results, &summary))?;
    }
    if let Some(path) = &args.html {
        write(path, &html::report(&done.results, &summary))?;
    }
    let mut out = io::stdout();
    let table = table::table(&done.results, &summary, table::width());
    match out.write_all(table.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            return Err(BenchError::io("write the results")(error));
        }
        _ => {}
    }
    Ok(verdict(args, &done, &summary))
}

/// The exit code, with the reasons on standard error.
fn verdict(args: &BenchArgs, done: &Done, summary: &Summary) -> u8 {
    if let Some(us) = done.own_cpu_us {
        let _ = writeln!(io::stderr(), "the load and its mock of Twilio used {us:.1} us of CPU per answer");
    }
    let mut reasons = done.overloads.clone();
    if done.unexpected > 0 {
        reasons.push(format!("{} answers were not as the contract promises", done.unexpected));
    }
    if done.stopped {
        reasons.push("stopped before it was done; the finished rounds are above".to_owned());
    }
    for ratios in &summary.ratios {
        let ratio = |name| ratios.all.get(name).copied();
        if let Some((limit, cpu)) =
            args.max_cpu_ratio.zip(ratio("cpu_us_per_request")).filter(|(limit, is)| is > limit)
        {
            reasons.push(format!(
                "CPU per request is {cpu:.2}x that of {}, at most {limit} is allowed",
                ratios.to
            ));
        }
        if let Some((limit, rate)) =
            args.min_rate_ratio.zip(ratio("requests_per_s")).filter(|(limit, is)| is < limit)
        {
            reasons.push(format!(
                "requests/s are {rate:.3}x those of {}, at least {limit} is wanted",
                ratios.to
            ));
        }
    }
    reasons.iter().fold(0, |_, reason| failed(EXIT_FAILED, reason))
}

fn write(path: &Path, text: &str) -> Result<(), BenchError> {
    std::fs::write(path, text).map_err(BenchError::io(format!("write {}", path.display())))
}

fn can_be_written(path: &Path) -> Result<(), BenchError> {
    let there = path.exists();
    let opened = std::fs::OpenOptions::new().create(true).append(true).open(path);
    let opened = opened.and_then(|_| if there { Ok(()) } else { std::fs::remove_file(path) });
    opened.map_err(BenchError::io(format!("write {}", path.display())))
}

fn announcement(options: &Options) -> String {
    let seconds = |length: Duration| humantime::format_duration(Duration::from_secs(length.as_secs().max(1)));
    format!(
        "{}; servers: {}, rounds: {}; takes {} after the servers have started, at most {} if they do not answer; seed {}",
        options.workload.name(),
        options.servers(),
        options.rounds,
        seconds(options.length()),
        seconds(options.length_at_most()),
        options.seed
    )
}

/// Ctrl-C, SIGTERM, or a terminal that was closed.
async fn stopped() {
    let wait = async |kind: SignalKind| match unless_ignored(kind) {
        Some(mut signal) => _ = signal.recv().await,
        None => std::future::pending().await,
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => {}
        () = wait(SignalKind::terminate()) => {}
        () = wait(SignalKind::hangup()) => {}
    }
}

/// `nohup` has SIGHUP ignored, and to listen would undo that.
fn unless_ignored(kind: SignalKind) -> Option<Signal> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    if ignored >> (kind.as_raw_value() - 1) & 1 == 1 { None } else { signal(kind).ok() }
}
