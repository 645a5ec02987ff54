//! `onceward cluster release`: ends the lease of a process that was killed.

use super::answer::{CommandOutput, one};
use super::context::Context;
use super::error::CommandError;
use crate::config::Settings;
use crate::server::{self, ReleasedLease};

#[derive(Debug, Clone, Copy, clap::Subcommand)]
pub enum ClusterCommand {
    /// End the lease of a process of this data directory that was killed, so that another node takes over at once.
    ///
    /// Does nothing while the process runs, and without "cluster" in the configuration. The package's unit runs it whenever
    /// the service ends.
    Release,
}

pub fn release(cx: &Context) -> Result<CommandOutput, CommandError> {
    let Settings { storage, cluster, .. } = cx.settings()?;
    let found = server::release_lease(&storage, cluster.as_ref())?;
    let words = match found {
        ReleasedLease::NoCluster => "this server is not in a cluster; nothing to release",
        ReleasedLease::Released => "lease released; another node can own the records now",
        ReleasedLease::NoLease => "no lease is left",
        ReleasedLease::InUse => {
            let why = "the process is still running; stop it first (systemctl stop onceward)";
            return Err(CommandError::Failed(why.to_owned()));
        }
    };
    Ok(one(&found, cx.json, |_| format!("{words}\n")))
}
