//! `onceward bench`: reads what is asked for, runs it, and tells what came of it.

mod args;
mod progress;

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::TryRng;
use rand::rngs::SysRng;
use tokio::signal::unix::{Signal, SignalKind, signal};

pub use args::{BenchArgs, MORE, ReferenceArgs, Surroundings};

use super::Answer;
use crate::bench::{self, BenchError, Done, Options, report};
use progress::Progress;

/// An answer was not as the contract promises, or the run was stopped.
const EXIT_UNEXPECTED: u8 = 1;

/// The run could not be made.
const EXIT_FAILED: u8 = 70;

/// Where the results go, beside the table.
#[derive(Debug, Clone, Default)]
pub struct Files {
    /// As JSON.
    pub json: Option<PathBuf>,
    /// As a page.
    pub html: Option<PathBuf>,
}

/// What the process has to offer.
///
/// # Errors
///
/// The system does not say what this program is, or gives no randomness.
pub fn surroundings(environment: BTreeMap<String, String>) -> Result<Surroundings, String> {
    let program = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let mut seed = [0; 4];
    SysRng.try_fill_bytes(&mut seed).map_err(|error| format!("the system gives no randomness: {error}"))?;
    // Short enough to be typed again.
    let seed = u64::from(u32::from_ne_bytes(seed));
    Ok(Surroundings { program, disk: PathBuf::from("."), environment, seed })
}

/// Makes a run, prints the table and writes the files; returns the exit code.
pub fn run(options: &Options, files: &Files) -> u8 {
    let answer = match attempt(options, files) {
        Ok(answer) => answer,
        Err(error) => Answer { code: EXIT_FAILED, out: String::new(), err: format!("error: {error}\n") },
    };
    let _ = io::stderr().write_all(answer.err.as_bytes());
    let mut out = io::stdout();
    match out.write_all(answer.out.as_bytes()).and_then(|()| out.flush()) {
        // Who closed the pipe does not want to know; the exit code still tells.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let _ = writeln!(io::stderr(), "error: cannot write the results: {error}");
            EXIT_FAILED
        }
        _ => answer.code,
    }
}

/// Runs a reference server, which `run` has started.
pub fn serve_reference(args: &ReferenceArgs) -> u8 {
    match bench::reference::serve(args.which, &args.twilio) {
        Ok(()) => 0,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            EXIT_FAILED
        }
    }
}

fn attempt(options: &Options, files: &Files) -> Result<Answer, BenchError> {
    // Before anything is measured: an hour later is too late to find that a file cannot be written.
    for path in [&files.json, &files.html].into_iter().flatten() {
        can_be_written(path)?;
    }
    if !options.disk.is_dir() {
        return Err(BenchError::Refused(format!("--disk {} is not a directory", options.disk.display())));
    }
    let home = tempfile::Builder::new().prefix("onceward-bench-").tempdir_in(&options.disk);
    let home = home.map_err(BenchError::io(format!("make a directory in {}", options.disk.display())))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(BenchError::io("start the threads of the load"))?;
    let _ = writeln!(io::stderr(), "{}", announcement(options));
    let progress = Progress::new(io::stderr().is_terminal(), options.length());
    let done = runtime.block_on(async {
        tokio::select! {
            done = bench::run(options, home.path(), &progress) => Some(done),
            () = stopped() => None,
        }
    });
    progress.end();
    // In this order: what still writes there ends before the directory goes.
    runtime.shutdown_timeout(Duration::from_secs(5));
    home.close().map_err(BenchError::io("remove the data of the run"))?;
    let Some(done) = done.transpose()? else {
        let err = "stopped before it was done: nothing is printed or written\n".to_owned();
        return Ok(Answer { code: EXIT_UNEXPECTED, out: String::new(), err });
    };
    for (path, text) in [(&files.json, report::json as fn(&_) -> String), (&files.html, report::html)] {
        if let Some(path) = path {
            let written = std::fs::write(path, text(&done.results));
            written.map_err(BenchError::io(format!("write {}", path.display())))?;
        }
    }
    Ok(said(&done))
}

fn can_be_written(path: &Path) -> Result<(), BenchError> {
    let there = path.exists();
    let opened = std::fs::OpenOptions::new().create(true).append(true).open(path);
    let opened = opened.and_then(|_| if there { Ok(()) } else { std::fs::remove_file(path) });
    opened.map_err(BenchError::io(format!("write {}", path.display())))
}

fn said(done: &Done) -> Answer {
    use std::fmt::Write as _;
    // Writing to a text cannot fail.
    let mut err = String::new();
    if let Some(us) = done.own_cpu_us {
        let _ = writeln!(err, "the load and its double of Twilio used {us:.1} us of CPU per answer");
    }
    if done.unexpected > 0 {
        let _ = writeln!(err, "error: {} answers were not as the contract promises", done.unexpected);
    }
    let code = if done.unexpected > 0 { EXIT_UNEXPECTED } else { 0 };
    Answer { code, out: report::table(&done.results), err }
}

fn announcement(options: &Options) -> String {
    let seconds = |length: Duration| humantime::format_duration(Duration::from_secs(length.as_secs().max(1)));
    format!(
        "{}; servers: {}, rounds: {}; takes {}, and at most {} if they do not answer; starting them comes on top; seed {}",
        options.workload.name(),
        options.servers(),
        options.rounds,
        seconds(options.length()),
        seconds(options.length_at_most()),
        options.seed
    )
}

/// Ctrl-C, a polite end, or a terminal that was closed: the servers have groups of their own and would stay.
async fn stopped() {
    let hangs_up = async {
        // `nohup` has it ignored, and to listen would undo that.
        match signal_unless_ignored(SignalKind::hangup()) {
            Some(mut hangup) => _ = hangup.recv().await,
            None => std::future::pending().await,
        }
    };
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
        () = hangs_up => {}
    }
}

fn signal_unless_ignored(kind: SignalKind) -> Option<Signal> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if ignored(&status) >> (kind.as_raw_value() - 1) & 1 == 1 { None } else { signal(kind).ok() }
}

/// The signals that a process ignores, one bit for each: `SigIgn` in `/proc/<pid>/status`.
fn ignored(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_as_the_kernel_writes_them() {
        assert_eq!(
            ignored("Name:\tonceward\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000004440\n"),
            0x1001
        );
        assert_eq!(ignored(""), 0);
    }
}
