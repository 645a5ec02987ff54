//! The command line: commands that print an answer and exit, and the start of the server.

mod answer;
mod audit;
pub mod backup;
mod check_data;
mod client;
mod cluster;
mod context;
mod doctor;
mod error;
mod export;
mod gateways;
mod guard;
mod import;
mod keys;
mod number;
mod tracker;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::LazyLock;

use clap::{CommandFactory as _, Parser, Subcommand};
use rustix::fs::Mode;
use serde_json::Value;

use crate::config::{self, ConfigErrors, Given, Loaded, SHARED_PREFIXES, Settings, Sources};
use crate::node::{process, server_key};
use crate::server::{self, EXIT_CONFIGURATION, EXIT_FAILED};
use answer::{CommandOutput, one, text};
use audit::AuditArgs;
use cluster::ClusterCommand;
use context::{Context, ServeArgs};
use error::{CommandError, listed};
use export::ExportArgs;
use gateways::GatewaysArgs;
use guard::GuardCommand;
use import::ImportArgs;
use keys::KeysCommand;
use number::NumberArgs;
use tracker::TrackerArgs;

/// The arguments of the program, for its manual pages and completions.
pub fn command() -> clap::Command {
    Args::command().disable_help_subcommand(true)
}

/// Runs the program: prints an answer, or serves until it is stopped.
pub fn main() -> ExitCode {
    // Data directories, exports and secrets are for their owner. Not every library that writes asks for a mode.
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    process::forbid_core_dumps();
    let (environment, parallelism) = (process::environment(), process::parallelism());
    let sources = Sources { environment, parallelism, ..Sources::default() };
    match run(std::env::args_os(), sources) {
        CommandOutcome::Serve(loaded) => server::run(*loaded),
        CommandOutcome::Output(CommandOutput { code, out, err }) => {
            let _ = io::stderr().write_all(err.as_bytes());
            let mut stdout = io::stdout();
            match stdout.write_all(out.as_bytes()).and_then(|()| stdout.flush()) {
                // A reader that closed the pipe wants no more; the exit code still shows the result.
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                    let _ = writeln!(io::stderr(), "error: the output could not be written: {error}");
                    ExitCode::from(if code == 0 { EXIT_FAILED } else { code })
                }
                _ => ExitCode::from(code),
            }
        }
    }
}

enum CommandOutcome {
    Output(CommandOutput),
    Serve(Box<Loaded>),
}

/// Adds what the arguments say to the other sources of the configuration.
fn run(arguments: impl Iterator<Item = OsString>, mut sources: Sources) -> CommandOutcome {
    let Args { config, data_dir, json, serve, command } = match Args::try_parse_from(arguments) {
        Ok(args) => args,
        // Help and the version, too.
        Err(answer) => {
            let text = answer.to_string();
            return CommandOutcome::Output(if answer.use_stderr() {
                CommandOutput { code: EXIT_CONFIGURATION, err: text, ..CommandOutput::default() }
            } else {
                CommandOutput::of(text)
            });
        }
    };
    if command.is_some() && serve != ServeArgs::default() {
        let why = "options of the server (--listen, --log-level, --log-format, --check, --print-config, --print-schema) \
                   stand after `onceward serve`, or without a command";
        return CommandOutcome::Output(CommandError::Usage(why.to_owned()).answer());
    }
    let command = command.unwrap_or(Command::Serve(serve));
    sources.config_file = config;
    sources.flags.extend(data_dir.map(|given| ("data-dir", given)));
    if let Command::Serve(args) = &command {
        args.add_to(&mut sources);
    }
    let cx = Context { sources, json };
    run_command(command, &cx).unwrap_or_else(|error| CommandOutcome::Output(error.answer()))
}

/// The text of `--help` after the options, in lines of at most 80 columns.
static MORE: LazyLock<String> = LazyLock::new(|| {
    let prefixes = SHARED_PREFIXES.map(|prefix| format!("{prefix}*"));
    let lines: Vec<String> = prefixes.chunks(4).map(|line| line.join(", ")).collect();
    include_str!("help.txt").replace("PREFIXES", &lines.join(",\n     "))
});

/// Phone verification by one-time code: sends codes, checks them, counts exactly.
#[derive(Debug, Parser)]
#[command(name = "onceward", version, after_help = MORE.as_str(), term_width = 80, args_override_self = true)]
struct Args {
    /// Read this file instead of config.json in the working directory.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Settings")]
    config: Option<PathBuf>,

    /// Use this data directory; import creates it [default: data].
    #[arg(long, global = true, value_name = "DIR", help_heading = "Settings")]
    data_dir: Option<String>,

    /// Print JSON: one object, or one a line for each item of a list. Not for serve itself.
    #[arg(long, global = true, help_heading = "Settings")]
    json: bool,

    #[command(flatten)]
    serve: ServeArgs,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve. This is also what onceward does without a command.
    Serve(ServeArgs),

    /// List messages and their status, the newest first.
    ///
    /// The server must run on the data directory. Shows whole numbers.
    Tracker(TrackerArgs),

    /// Show the state of a number: its verification, its lockout, its messages, and what the guard refused.
    ///
    /// The server must run on the data directory. Shows the whole number.
    Status(NumberArgs),

    /// Write every record as a line of JSON, for a backup or a move to another machine.
    ///
    /// Works while a server runs; the export shows one moment. It contains whole phone numbers, webhook secrets and the
    /// codes of test numbers, and no other codes.
    Export(ExportArgs),

    /// Create a data directory from an export, or fill the etcd of a cluster.
    ///
    /// The directory must be new. With "cluster" in the configuration, etcd must have no records, and no node may serve.
    /// The import needs the server key that the export was written with.
    Import(ImportArgs),

    /// Read the data directory as a start does, and every record in it. Name the first damage.
    ///
    /// Changes nothing. Works while a server runs.
    CheckData,

    /// Look for problems, and say what to do about each.
    ///
    /// Checks the configuration, the data directory, the clock, the keys, and the credentials and sender with each gateway
    /// by requests that cost nothing. Sends no message and changes nothing. Exits with 70 if a check failed.
    Doctor,

    /// List gateways and recipes with what they need; try one with a real message.
    Gateways(GatewaysArgs),

    /// Create, list and revoke API keys; create a new auth token for the account.
    ///
    /// Asks the server that runs on the data directory. Without a server, changes the directory.
    #[command(subcommand, after_help = keys::MORE)]
    Keys(KeysCommand),

    /// Explain the guard against SMS pumping; allow or block numbers, prefixes, countries and addresses.
    #[command(subcommand)]
    Guard(GuardCommand),

    /// End a number's lockout, and clear its wrong codes, its waits and its outstanding code.
    ///
    /// Do this only if you know that the owner of the number asks. The server must run on the data directory.
    Unlock(NumberArgs),

    /// Erase a number: its verification, its counts, its messages and events.
    ///
    /// Without --service in all services, and on the safe list. A lockout that is in force stays until it ends. The audit
    /// log keeps who erased a number, masked. The server must run on the data directory.
    Erase(NumberArgs),

    /// List who changed services, keys, webhooks and numbers, the newest first.
    ///
    /// The server must run on the data directory.
    Audit(AuditArgs),

    /// End the lease of a node of a cluster that was killed.
    #[command(subcommand)]
    Cluster(ClusterCommand),

    /// Ask the server that runs on the data directory whether it is ready; 0 means that it is.
    ///
    /// For supervisors that have no HTTP client, such as a container's health check.
    Health,

    /// Print the description of every route, as the server answers it at /openapi.json.
    Openapi,
}

fn run_command(command: Command, cx: &Context) -> Result<CommandOutcome, CommandError> {
    let output = match command {
        Command::Serve(args) => return serve(&args, cx),
        Command::Tracker(args) => tracker::run(args, cx)?,
        Command::Status(args) => number::status(args, cx)?,
        Command::Unlock(args) => number::unlock(args, cx)?,
        Command::Erase(args) => number::erase(args, cx)?,
        Command::Audit(args) => audit::run(args, cx)?,
        Command::Export(args) => export::run(&args, cx)?,
        Command::Import(args) => import::run(&args, cx)?,
        Command::CheckData => check_data::run(cx)?,
        Command::Gateways(args) => gateways::run(args, cx)?,
        Command::Doctor => doctor::run(cx)?,
        Command::Keys(request) => keys::run(request, cx)?,
        Command::Guard(request) => guard::run(request, cx)?,
        Command::Cluster(ClusterCommand::Release) => cluster::release(cx)?,
        Command::Health => {
            let ready: Value = cx.client()?.get("/readyz", &[])?;
            one(&ready, cx.json, |ready| format!("{}\n", text(ready, "message")))
        }
        Command::Openapi => CommandOutput::of(crate::http::openapi_json()),
    };
    Ok(CommandOutcome::Output(output))
}

/// Serves with the configuration, or answers what is asked about it.
fn serve(args: &ServeArgs, cx: &Context) -> Result<CommandOutcome, CommandError> {
    if args.print_schema {
        return Ok(CommandOutcome::Output(CommandOutput::of(config::json_schema())));
    }
    if cx.json {
        let why = "--json is for the answers of commands; for the log there is --log-format json";
        return Err(CommandError::Usage(why.to_owned()));
    }
    let loaded = config::load(&cx.sources)?;
    let of_certificate = server::check(&loaded.settings).map_err(|error| {
        let (errors, warnings) = (vec![error.to_string()], loaded.warnings.clone());
        ConfigErrors { errors, warnings }
    })?;
    if !args.check && !args.print_config {
        // The start logs problems of the certificate.
        return Ok(CommandOutcome::Serve(Box::new(loaded)));
    }
    // Without a key the first start would be refused. A cluster's keys are in etcd.
    let Settings { registry, storage, cluster, .. } = &loaded.settings;
    let may_have_key = cluster.is_some() || !server_key::is_unused(&storage.data_dir);
    if let Some(errors) = registry.unless_keys.clone().filter(|_| args.check && !may_have_key) {
        return Err(ConfigErrors { warnings: loaded.warnings, ..errors }.into());
    }
    let warnings = [loaded.warnings, of_certificate].concat();
    let out = if args.check {
        "configuration is valid\n".to_owned()
    } else if loaded.given.is_empty() {
        "# no key is given: each has its default\n".to_owned()
    } else {
        let row = |Given { key, value, origin }: &Given| format!("{key} = {value}  # {origin}\n");
        loaded.given.iter().map(row).collect()
    };
    let err = listed(&warnings);
    Ok(CommandOutcome::Output(CommandOutput { out, err, ..CommandOutput::default() }))
}

#[cfg(test)]
mod tests;
