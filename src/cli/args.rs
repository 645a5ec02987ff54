//! What can be said on the command line.

use std::path::PathBuf;

use clap::{ArgGroup, Parser, Subcommand};

use super::keys::{self, KeysArgs};
use crate::attempts::StatusFilter;
use crate::config::Overrides;

/// What `--help` says after the options.
const MORE: &str = "\
Where settings come from, the first that says something wins:
  1. these options
  2. environment variables: any key, as otp-length is ONCEWARD_OTP_LENGTH;
     TWILIO_*, SINCH_*, MADA_*, HTTP_GATEWAY_* for the providers, HOST and PORT;
     below them the same in a .env file
  3. config.json in the working directory, or the file that --config names
  4. the defaults
Credentials belong into the environment, .env, or a file that <NAME>_FILE names.
otp-sms-provider names the gateways in their order; without it Twilio sends if it
is configured, else the simulator runs: codes go to a page on this machine, and no
message is sent. docs/reference/configuration.md explains every key,
docs/reference/gateways.md every gateway, docs/reference/cli.md every command, and
docs/operate how to run a server.

Exit codes:
  0   stopped as asked, or the check found nothing wrong
  1   the stop was cut short, by a second signal, the end of graceful-stop or a
      failed write; what was answered is in the journal
  64  the command line or the configuration is wrong: every error is printed
  65  the data is damaged or its key does not fit, or what was to be imported is damaged
  70  the configuration is right, but the server could not start or gave up, or the
      command failed

Examples:
  onceward                                  serve on localhost:3000 with the simulator
  onceward --check                          is the configuration right?
  onceward --print-config                   which value comes from where?
  onceward tracker --number +14155552671    what became of the messages to it?
  onceward tracker --status send:unsendable which messages were given up?
  onceward unlock +14155552671              end a lockout
  onceward export --out backup.jsonl        write everything into a file
  onceward import backup.jsonl --data-dir d make a data directory of it
  onceward check-data                       is every record readable?
  onceward openapi >openapi.json            describe every route to a program
  onceward keys create --name shop          an API key for a program that calls the API
  onceward --config /etc/onceward.json --data-dir /var/lib/onceward";

/// Phone verification by one-time code: sends codes, checks them, counts exactly.
#[derive(Debug, Parser)]
#[command(name = "onceward", version, after_help = MORE, max_term_width = 110, args_override_self = true)]
#[command(group = ArgGroup::new("instead"))]
pub struct Args {
    /// Read this file instead of config.json in the working directory.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Settings")]
    pub config: Option<PathBuf>,

    /// Keep the data in this directory; for a command: the server's, and for import the new one [default: data].
    #[arg(long, global = true, value_name = "DIR", help_heading = "Settings")]
    pub data_dir: Option<String>,

    /// Listen on this address; ":3000" means every address of the machine [default: localhost:3000].
    #[arg(long, value_name = "HOST:PORT", help_heading = "Settings")]
    pub listen: Option<String>,

    /// Log this level and what is more severe: error, warn, info, debug, trace [default: info].
    #[arg(long, value_name = "LEVEL", help_heading = "Settings")]
    pub log_level: Option<String>,

    /// Log as text for people or as json for machines [default: text].
    #[arg(long, value_name = "FORMAT", help_heading = "Settings")]
    pub log_format: Option<String>,

    /// Check the configuration and exit.
    #[arg(long, group = "instead", help_heading = "Instead of serving")]
    pub check: bool,

    /// Print every setting and where it comes from, with secrets masked, and exit.
    #[arg(long, group = "instead", help_heading = "Instead of serving")]
    pub print_config: bool,

    /// Print the JSON Schema of config.json and exit.
    #[arg(long, group = "instead", help_heading = "Instead of serving")]
    pub print_schema: bool,

    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What the program does instead of serving.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the messages that were sent and what became of them, the newest first.
    ///
    /// Asks the server that runs on the data directory, or reads it when none does. Shows whole numbers.
    Tracker(TrackerArgs),

    /// Write everything as lines of JSON: a backup, or to move to another machine.
    ///
    /// Works while a server runs, and shows one moment of it. Contains whole phone numbers, webhook secrets and the codes of
    /// test numbers, and no other codes.
    Export(ExportArgs),

    /// Make a data directory of an export.
    ///
    /// Into a directory of its own that no server uses, with the server key that the export was written with.
    Import(ImportArgs),

    /// Check that every record in the data directory can be read; list all that are damaged.
    ///
    /// Changes nothing.
    CheckData(CheckDataArgs),

    /// Make, list and revoke API keys; make a new auth token for the account.
    ///
    /// Through the server that runs on the data directory, or on the directory itself when none does.
    #[command(after_help = keys::MORE)]
    Keys(KeysArgs),

    /// End a number's lockout, and clear what was counted of it: wrong codes, waits, the code that is out.
    ///
    /// For an operator who knows that it is the number's owner who asks. Needs the server to run on the data directory.
    Unlock(UnlockArgs),

    /// Print the description of every route that the server gives at /openapi.json.
    Openapi,
}

#[derive(Debug, clap::Args)]
pub struct UnlockArgs {
    /// The number, such as +14155552671.
    #[arg(value_name = "NUMBER")]
    pub number: String,

    /// In this service: its id (VA...), its name in config.json, its friendly name.
    #[arg(long, value_name = "NAME|VA..", default_value = "default")]
    pub service: String,
}

#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    /// Write to this file, which only you can read, once all of it is there; "-" is standard output.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,

    /// Say nothing while it goes on, nor at the end.
    #[arg(long, short)]
    pub quiet: bool,

    /// Say at the end what was exported as a line of JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, clap::Args)]
pub struct ImportArgs {
    /// The export; "-" is standard input.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// The server key that the export was written with, if it is not in the data directory.
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,

    /// Leave out outstanding codes and what is still to be sent; the server key may be another one then.
    #[arg(long)]
    pub drop_codes: bool,

    /// Say nothing while it goes on, nor at the end.
    #[arg(long, short)]
    pub quiet: bool,

    /// Say at the end what was imported as a line of JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, clap::Args)]
pub struct CheckDataArgs {
    /// Say nothing while it goes on.
    #[arg(long, short)]
    pub quiet: bool,

    /// Print what was found as one JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, clap::Args)]
pub struct TrackerArgs {
    /// Only those to this number.
    #[arg(long, value_name = "NUMBER")]
    pub number: Option<String>,

    /// Only those with this status, in any column ("sent") or in one ("send:sent", "verify:success",
    /// "receipt:delivered").
    #[arg(long, value_name = "STATUS", value_parser = status)]
    pub status: Option<StatusFilter>,

    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = at_least_one)]
    pub limit: usize,

    /// Print one JSON object a line.
    #[arg(long)]
    pub json: bool,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "it must be a whole number from 1".to_owned())
}

fn status(text: &str) -> Result<StatusFilter, String> {
    StatusFilter::parse(text).ok_or_else(|| format!("no such status; there are {}", StatusFilter::accepted()))
}

impl Args {
    /// The settings among the arguments. They are checked with all others.
    pub fn overrides(&self) -> Overrides {
        Overrides {
            data_dir: self.data_dir.clone(),
            listen: self.listen.clone(),
            log_level: self.log_level.clone(),
            log_format: self.log_format.clone(),
        }
    }
}
