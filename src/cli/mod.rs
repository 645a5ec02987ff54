//! The command line: what is asked for, and whether the server has to start for it.

mod args;
mod backup;
mod keys;
mod tracker;
mod unlock;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::config::{self, ConfigErrors, Effective, KeysSettings, Loaded, Sources, StorageSettings};
use crate::control::{KeysRequest, TrackerRequest, UnlockRequest};
use crate::node::process;
use args::{Args, Command, TrackerArgs};
use backup::Backup;

/// The command line or the configuration is wrong (`EX_USAGE` of sysexits.h).
pub const EXIT_CONFIGURATION: u8 = 64;

/// Runs the program: answers at once, or serves until it is told to stop.
pub fn main() -> ExitCode {
    let process = Process {
        working_dir: PathBuf::new(),
        environment: process::environment(),
        parallelism: process::parallelism(),
    };
    let next = decide(std::env::args_os(), process);
    match next {
        Next::Serve(loaded) => crate::app::run(*loaded),
        Next::Backup { storage, what } => print(backup::run(&what, &storage)),
        Next::Tracker { storage, request, json } => print(tracker::run(&storage, &request, json)),
        Next::Unlock { storage, request } => print(unlock::run(&storage, &request)),
        Next::Keys { settings, request, json } => print(keys::run(*settings, &request, json)),
        Next::Answer(answer) => print(answer),
    }
}

fn print(Answer { code, out, err }: Answer) -> ExitCode {
    // Who closed the pipe does not want to know; the exit code still tells.
    let _ = io::stderr().write_all(err.as_bytes());
    let _ = io::stdout().write_all(out.as_bytes());
    ExitCode::from(code)
}

/// What the process has to offer besides its arguments.
struct Process {
    working_dir: PathBuf,
    environment: BTreeMap<String, String>,
    parallelism: usize,
}

/// What to do after the arguments and the configuration were read.
enum Next {
    Answer(Answer),
    Serve(Box<Loaded>),
    /// Export, import, or check what is on the disk.
    Backup {
        storage: StorageSettings,
        what: Backup,
    },
    /// List sends.
    Tracker {
        storage: StorageSettings,
        request: TrackerRequest,
        json: bool,
    },
    /// Make, list or revoke API keys.
    /// End a lockout.
    Unlock {
        storage: StorageSettings,
        request: UnlockRequest,
    },
    Keys {
        settings: Box<KeysSettings>,
        request: KeysRequest,
        json: bool,
    },
}

/// What to print before the exit.
#[derive(Debug, Default)]
struct Answer {
    code: u8,
    out: String,
    err: String,
}

fn decide(arguments: impl Iterator<Item = OsString>, process: Process) -> Next {
    let args = match Args::try_parse_from(arguments) {
        Ok(args) => args,
        Err(answer) => return Next::Answer(usage(&answer)),
    };
    if args.print_schema {
        return Next::Answer(Answer { out: config::json_schema(), ..Answer::default() });
    }
    if matches!(args.command, Some(Command::Openapi)) {
        return Next::Answer(Answer { out: crate::http::openapi_json().to_owned(), ..Answer::default() });
    }
    let sources = Sources {
        overrides: args.overrides(),
        config_file: args.config,
        working_dir: process.working_dir,
        environment: process.environment,
        parallelism: process.parallelism,
    };
    let what = match args.command {
        Some(Command::Tracker(args)) => return look_at_sends(&args, &sources),
        Some(Command::Unlock(args)) => {
            return match config::load_storage(&sources) {
                Ok(storage) => match unlock::request(&args, &storage) {
                    Ok(request) => Next::Unlock { storage, request },
                    Err(answer) => Next::Answer(answer),
                },
                Err(errors) => Next::Answer(misconfigured(&errors)),
            };
        }
        Some(Command::Keys(args)) => {
            let (request, json) = args.request();
            return match config::load_keys(&sources) {
                Ok(settings) => Next::Keys { settings: Box::new(settings), request, json },
                Err(errors) => Next::Answer(misconfigured(&errors)),
            };
        }
        Some(Command::Export(args)) => Some(Backup::Export(args)),
        Some(Command::Import(args)) => Some(Backup::Import(args)),
        Some(Command::CheckData(args)) => Some(Backup::CheckData(args)),
        Some(Command::Openapi) | None => None,
    };
    if let Some(what) = what {
        return match config::load_storage(&sources) {
            Ok(storage) => Next::Backup { storage, what },
            Err(errors) => Next::Answer(misconfigured(&errors)),
        };
    }
    let mut loaded = match config::load(&sources) {
        Ok(loaded) => loaded,
        Err(errors) => return Next::Answer(misconfigured(&errors)),
    };
    match crate::app::check(&loaded.settings) {
        Ok(warnings) => loaded.warnings.extend(warnings),
        Err(error) => {
            let err = format!("{}error: the configuration is not valid: {error}\n", listed(&loaded.warnings));
            return Next::Answer(Answer { code: EXIT_CONFIGURATION, out: String::new(), err });
        }
    }
    let mut warnings = listed(&loaded.warnings);
    let out = if args.check {
        if let Some(exposed) = &loaded.settings.registry.unless_keys {
            // Only the data directory knows, and the check does not open it: a server may have it.
            let _ = writeln!(
                warnings,
                "warning: the server starts only if the data directory holds an API key (onceward keys list); without one: {exposed}"
            );
        }
        "configuration is valid\n".to_owned()
    } else if args.print_config {
        table(&loaded.effective)
    } else {
        return Next::Serve(Box::new(loaded));
    };
    Next::Answer(Answer { code: 0, out, err: warnings })
}

/// Needs to know where the data is, and nothing else.
fn look_at_sends(args: &TrackerArgs, sources: &Sources) -> Next {
    let storage = match config::load_storage(sources) {
        Ok(storage) => storage,
        Err(errors) => return Next::Answer(misconfigured(&errors)),
    };
    match tracker::request(args, &storage) {
        Ok(request) => Next::Tracker { storage, request, json: args.json },
        Err(answer) => Next::Answer(answer),
    }
}

fn misconfigured(errors: &ConfigErrors) -> Answer {
    let err = format!("{}error: {errors}\n", listed(errors.warnings()));
    Answer { code: EXIT_CONFIGURATION, out: String::new(), err }
}

/// What clap has to say: help and the version as well as mistakes.
fn usage(answer: &clap::Error) -> Answer {
    let text = answer.to_string();
    if answer.use_stderr() {
        Answer { code: EXIT_CONFIGURATION, out: String::new(), err: text }
    } else {
        Answer { code: 0, out: text, err: String::new() }
    }
}

fn listed(warnings: &[String]) -> String {
    let mut list = String::new();
    for warning in warnings {
        list.extend(["warning: ", warning, "\n"]);
    }
    list
}

fn table(effective: &[Effective]) -> String {
    let key_width = effective.iter().map(|row| row.key.chars().count()).max().unwrap_or_default();
    let mut table = String::new();
    for Effective { key, value, origin } in effective {
        // Writing to a text cannot fail.
        let _ = writeln!(table, "{key:key_width$} = {value}  # {origin}");
    }
    table
}

#[cfg(test)]
mod tests;
