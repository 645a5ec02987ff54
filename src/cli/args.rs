//! The command line's arguments.

use std::path::PathBuf;
use std::sync::LazyLock;

use clap::{ArgGroup, Parser};

use super::Command;
use crate::clock::{Clock as _, SystemClock};
use crate::config::variable_prefixes;
use crate::domain::Timestamp;

/// The text of `--help` after the options, in lines of at most 80 columns.
pub static MORE: LazyLock<String> = LazyLock::new(|| {
    let prefixes: Vec<String> = variable_prefixes().map(|prefix| format!("{prefix}*")).collect();
    let lines: Vec<String> = prefixes.chunks(4).map(|line| line.join(", ")).collect();
    BEFORE_PREFIXES.to_owned() + &lines.join(",\n     ") + AFTER_PREFIXES
});

const BEFORE_PREFIXES: &str = "\
Settings come from these places. The first one that has a value wins:
  1. the options above
  2. environment variables: any key, for example ONCEWARD_OTP_LENGTH for
     otp-length; HOST and PORT; the providers' variables:
     ";

const AFTER_PREFIXES: &str = ";
     after the environment, the same variables in a .env file
  3. config.json in the working directory, or the file that --config names
  4. the defaults
Put credentials into the environment, into .env, or into a file that <NAME>_FILE
names. otp-sms-provider names the gateways in the order in which they are tried.
Without it, Twilio sends if it is configured. Otherwise the simulator runs: it
shows codes on a page of this machine and sends no message.
Every key: docs/reference/configuration.md. Every gateway:
docs/reference/gateways.md. Every command: docs/reference/cli.md. How to run a
server: docs/operate. The Debian package has docs in /usr/share/doc/onceward.

Exit codes:
  0   stopped as asked, or the command succeeded
  1   the stop was cut short: by a second signal, by the end of graceful-stop,
      or by a failed write; every answer that was sent is in the journal, or in
      etcd
  64  the command line or the configuration is wrong; every error is printed
  65  check-data found damage, files that a running server cannot read, or a
      server key that is missing or not the right one; export met damage; the
      file to import is damaged
  70  the configuration is right, but the server could not start (also because
      the data is damaged), the server stopped after an error, the command
      failed, or a check of doctor failed
  75  the node has lost the ownership of the records of its cluster

Examples:
  onceward                                   serve on localhost:3000, simulator
  onceward --check --strict                  check the configuration
  onceward doctor                            look for problems
  onceward --print-config                    print each value and its origin
  onceward tracker --number +14155552671     list the messages to this number
  onceward status +14155552671               show the state of a number
  onceward guard explain +992900000123       say why messages are refused
  onceward export --out backup.jsonl         write a backup
  onceward keys create --name shop           create an API key
  onceward --config /etc/onceward.json --data-dir /var/lib/onceward";

/// Phone verification by one-time code: sends codes, checks them, counts exactly.
#[derive(Debug, Parser)]
#[command(name = "onceward", version, after_help = MORE.as_str(), term_width = 80, args_override_self = true)]
pub struct Args {
    /// Read this file instead of config.json in the working directory.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Settings")]
    pub config: Option<PathBuf>,

    /// Use this data directory; import creates it [default: data].
    #[arg(long, global = true, value_name = "DIR", help_heading = "Settings")]
    pub data_dir: Option<String>,

    /// Print JSON: one object, or one a line for each item of a list. Not for serve itself.
    #[arg(long, global = true, help_heading = "Settings")]
    pub json: bool,

    #[command(flatten)]
    pub serve: ServeArgs,

    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Options of the server stand after `serve`, or without a command.
#[derive(Debug, Default, PartialEq, Eq, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
#[command(group = ArgGroup::new("instead"))]
pub struct ServeArgs {
    /// Listen on this address; ":3000" means every address of this machine [default: localhost:3000].
    #[arg(long, value_name = "HOST:PORT", help_heading = "Settings")]
    pub listen: Option<String>,

    /// Log this level and more severe ones: error, warn, info, debug, trace [default: info].
    #[arg(long, value_name = "LEVEL", help_heading = "Settings")]
    pub log_level: Option<String>,

    /// Log as text for people or as json for machines [default: text].
    #[arg(long, value_name = "FORMAT", help_heading = "Settings")]
    pub log_format: Option<String>,

    /// Refuse unknown keys of config.json, and unknown variables that look like those of onceward. Without it, they get
    /// a warning.
    #[arg(long, help_heading = "Settings")]
    pub strict: bool,

    /// Check the configuration and exit.
    #[arg(long, group = "instead", help_heading = "Instead of serving")]
    pub check: bool,

    /// Print every setting and where it comes from, with secrets masked, and exit.
    #[arg(long, group = "instead", help_heading = "Instead of serving")]
    pub print_config: bool,

    /// Print the JSON Schema of config.json and exit.
    #[arg(long, group = "instead", help_heading = "Instead of serving")]
    pub print_schema: bool,
}

/// Reads a time of an option. Relative times are those of this machine's clock.
pub fn parse_time(text: &str) -> Result<Timestamp, String> {
    if let Ok(ago) = humantime::parse_duration(text) {
        return Ok(SystemClock::start().now().minus(ago));
    }
    Timestamp::parse_day_or_moment(text).ok_or_else(|| {
        "it must be a while ago such as 2h, a day such as 2027-01-31, or RFC 3339 with a Z".to_owned()
    })
}

/// Reads the limit of a list.
pub fn at_least_one(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "it must be a whole number from 1".to_owned())
}
