//! `onceward cluster release`: ends the lease of a process that was killed.

use serde_json::json;

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
    let found = cluster.map(|cluster| server::release_lease(storage, cluster)).transpose()?;
    let (result, words) = match found {
        None => ("no_cluster", "this server is not in a cluster; nothing to release"),
        Some(ReleasedLease::Released) => ("released", "lease released; another node can own the records now"),
        Some(ReleasedLease::NoLease) => ("no_lease", "no lease is left"),
        Some(ReleasedLease::InUse) => {
            let why = "the process is still running; stop it first (systemctl stop onceward)";
            return Err(CommandError::Failed(why.to_owned()));
        }
    };
    Ok(one(&json!({ "result": result }), json, |_| format!("{words}\n")))
}
