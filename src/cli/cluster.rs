//! `onceward cluster release`: ends the lease of a process that was killed.

use super::{CommandError, CommandOutput, EXIT_FAILED};
use crate::app::{self, ReleasedLease};
use crate::config::{ClusterSettings, StorageSettings};

#[derive(Debug, clap::Subcommand)]
pub enum ClusterCommand {
    /// End the lease of a process of this data directory that was killed, so that another node takes over at once.
    ///
    /// Does nothing while the process runs, and without "cluster" in the configuration. The package's unit runs it whenever
    /// the service ends.
    Release,
}

#[derive(Debug, clap::Args)]
pub struct ClusterArgs {
    #[command(subcommand)]
    command: ClusterCommand,
}

pub fn run(
    ClusterArgs { command: ClusterCommand::Release }: &ClusterArgs,
    storage: &StorageSettings,
    cluster: Option<&ClusterSettings>,
) -> Result<CommandOutput, CommandError> {
    let Some(cluster) = cluster else {
        return Ok(CommandOutput::of("this server is not in a cluster; nothing to release\n"));
    };
    Ok(match app::release_lease(storage, cluster)? {
        ReleasedLease::Released => {
            CommandOutput::of("lease released; another node can own the records now\n")
        }
        ReleasedLease::NoLease => CommandOutput::of("no lease is left\n"),
        ReleasedLease::InUse => CommandOutput {
            code: EXIT_FAILED,
            err: "error: the process is still running; stop it first (systemctl stop onceward)\n".to_owned(),
            ..CommandOutput::default()
        },
    })
}
