//! What a command has beside its arguments: the configuration, the server, this process.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use tokio::runtime::Runtime;

use super::client::Client;
use super::error::CommandError;
use crate::config::{self, Settings, Sources, StorageSettings};
use crate::domain::PhoneNumber;

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
