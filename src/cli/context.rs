//! What a command has beside its arguments: the configuration, the server, this process.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use clap::ArgGroup;
use tokio::runtime::Runtime;

use super::client::Client;
use super::error::CommandError;
use crate::clock::{Clock as _, SystemClock};
use crate::config::{self, LISTEN_FLAG, Settings, Sources, StorageSettings};
use crate::domain::{PhoneNumber, Timestamp};

/// What a command has beside its arguments.
pub struct Context {
    pub sources: Sources,
    /// Whether to print JSON.
    pub json: bool,
}

impl Context {
    /// Where the data is, which is known although other settings are wrong.
    pub fn storage(&self) -> Result<StorageSettings, CommandError> {
        Ok(config::load_storage(&self.sources)?)
    }

    /// The settings for a program beside the server.
    pub fn settings(&self) -> Result<Settings, CommandError> {
        Ok(config::load_beside(&self.sources)?)
    }

    pub fn client(&self) -> Result<Client, CommandError> {
        Ok(Client::of(&self.storage()?.data_dir)?)
    }

    /// The number that an argument names.
    pub fn e164(&self, text: &str, argument: &str) -> Result<String, CommandError> {
        PhoneNumber::parse(text, self.storage()?.default_region)
            .map(PhoneNumber::e164)
            .map_err(|error| CommandError::Usage(format!("{argument}{text}: {error}")))
    }

    /// Where the records are, for a command that reads all of them. They are not in a cluster.
    pub fn records_on_disk(&self) -> Result<StorageSettings, CommandError> {
        match self.settings()? {
            Settings { storage, cluster: None, .. } => Ok(storage),
            _ => Err(CommandError::Failed(
                "the records of a cluster are in etcd; back them up with etcdctl snapshot save \
                 (docs/operate/cluster.md)"
                    .to_owned(),
            )),
        }
    }
}

/// Refuses to write into a data directory of another user as root, who would leave files that the server's user cannot read.
pub fn refuse_root(data_dir: &Path) -> Result<(), CommandError> {
    let owner = fs::metadata(data_dir).map_or(0, |found| found.uid());
    if !rustix::process::geteuid().is_root() || owner == 0 {
        return Ok(());
    }
    Err(CommandError::Failed(format!(
        "the data directory {} belongs to another user ({owner}), whose server could not open what root writes; run the \
         command as that user (runuser -u USER -- onceward ...), or while the server runs",
        data_dir.display()
    )))
}

pub fn runtime() -> Result<Runtime, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| CommandError::Failed(format!("the system gave no thread: {error}")))
}

// Arguments of the server, and values that several commands read.

/// Options of the server stand after `serve`, or without a command.
#[derive(Debug, Default, PartialEq, Eq, clap::Args)]
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

    /// Check the configuration and exit.
    #[arg(long, group = "instead", help_heading = "Instead of serving")]
    pub check: bool,

    /// Print every setting that is given and where it comes from, without secrets, and exit.
    #[arg(long, group = "instead", help_heading = "Instead of serving")]
    pub print_config: bool,

    /// Print the JSON Schema of config.json and exit.
    #[arg(long, group = "instead", help_heading = "Instead of serving")]
    pub print_schema: bool,
}

impl ServeArgs {
    /// What the options say wins over files and variables.
    pub fn add_to(&self, sources: &mut Sources) {
        let flags =
            [(LISTEN_FLAG, &self.listen), ("log-level", &self.log_level), ("log-format", &self.log_format)];
        sources.flags.extend(flags.into_iter().filter_map(|(key, given)| Some((key, given.clone()?))));
    }
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
