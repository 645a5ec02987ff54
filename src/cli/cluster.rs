//! `onceward cluster release`: ends the lease of a process that was killed.

use super::answer::one;
use super::{CommandError, CommandOutput};
use crate::config::{ClusterSettings, StorageSettings};
use crate::server::{self, ReleasedLease};

#[derive(Debug, Clone, Copy, clap::Subcommand)]
pub enum ClusterCommand {
    /// End the lease of a process of this data directory that was killed, so that another node takes over at once.
    ///
    /// Does nothing while the process runs, and without "cluster" in the configuration. The package's unit runs it whenever
    /// the service ends.
    Release,
}

pub fn run(
    ClusterCommand::Release: ClusterCommand,
    json: bool,
    storage: &StorageSettings,
    cluster: Option<&ClusterSettings>,
) -> Result<CommandOutput, CommandError> {
    let found = server::release_lease(storage, cluster)?;
    let words = match found {
        ReleasedLease::NoCluster => "this server is not in a cluster; nothing to release",
        ReleasedLease::Released => "lease released; another node can own the records now",
        ReleasedLease::NoLease => "no lease is left",
        ReleasedLease::InUse => {
            let why = "the process is still running; stop it first (systemctl stop onceward)";
            return Err(CommandError::Failed(why.to_owned()));
        }
    };
    Ok(one(&found, json, |_| format!("{words}\n")))
}
