//! The command line: what is asked for, and whether the server has to start for it.

mod args;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::available_parallelism;

use clap::Parser;

use crate::config::{self, Effective, Loaded, Sources};
use args::Args;

/// The command line or the configuration is wrong (`EX_USAGE` of sysexits.h).
pub const EXIT_CONFIGURATION: u8 = 64;

/// Runs the program: answers at once, or serves until it is told to stop.
pub fn main() -> ExitCode {
    let process = Process {
        working_dir: PathBuf::new(),
        environment: std::env::vars_os().map(|(name, value)| (lossy(&name), lossy(&value))).collect(),
        parallelism: available_parallelism().map_or(1, usize::from),
    };
    match decide(std::env::args_os(), process, &mut io::stdout().lock(), &mut io::stderr().lock()) {
        Ok(Next::Serve(loaded)) => crate::lifecycle::run(*loaded),
        Ok(Next::Exit(code)) => ExitCode::from(code),
        // Nobody reads what was to be printed, such as a closed pipe: there is nobody to tell.
        Err(_) => ExitCode::FAILURE,
    }
}

/// What the process has to offer besides its arguments.
struct Process {
    working_dir: PathBuf,
    environment: BTreeMap<String, String>,
    parallelism: usize,
}

/// What to do after the arguments and the configuration were read.
enum Next {
    Exit(u8),
    Serve(Box<Loaded>),
}

fn decide(
    arguments: impl Iterator<Item = OsString>,
    process: Process,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<Next> {
    let args = match Args::try_parse_from(arguments) {
        Ok(args) => args,
        // Not only mistakes: --help and --version come back this way as well.
        Err(answer) if !answer.use_stderr() => {
            write!(out, "{answer}")?;
            return Ok(Next::Exit(0));
        }
        Err(mistake) => {
            write!(err, "{mistake}")?;
            return Ok(Next::Exit(EXIT_CONFIGURATION));
        }
    };
    if args.print_schema {
        write!(out, "{}", config::json_schema())?;
        return Ok(Next::Exit(0));
    }
    let sources = Sources {
        overrides: args.overrides(),
        config_file: args.config,
        working_dir: process.working_dir,
        environment: process.environment,
        parallelism: process.parallelism,
    };
    let loaded = match config::load(&sources) {
        Ok(loaded) => loaded,
        Err(errors) => {
            warn(err, errors.warnings())?;
            writeln!(err, "error: {errors}")?;
            return Ok(Next::Exit(EXIT_CONFIGURATION));
        }
    };
    if args.check {
        warn(err, &loaded.warnings)?;
        writeln!(out, "configuration is valid")?;
        return Ok(Next::Exit(0));
    }
    if args.print_config {
        warn(err, &loaded.warnings)?;
        print_config(out, &loaded.effective)?;
        return Ok(Next::Exit(0));
    }
    Ok(Next::Serve(Box::new(loaded)))
}

fn warn(err: &mut dyn Write, warnings: &[String]) -> io::Result<()> {
    warnings.iter().try_for_each(|warning| writeln!(err, "warning: {warning}"))
}

fn print_config(out: &mut dyn Write, effective: &[Effective]) -> io::Result<()> {
    let key_width = effective.iter().map(|row| row.key.chars().count()).max().unwrap_or_default();
    for Effective { key, value, origin } in effective {
        writeln!(out, "{key:key_width$} = {value}  # {origin}")?;
    }
    Ok(())
}

/// A variable that is not Unicode keeps its name; its value then fits nothing and is refused.
fn lossy(text: &std::ffi::OsStr) -> String {
    text.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
