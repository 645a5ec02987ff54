//! The services of one process: the store, the shards, delivery, the registry and webhooks. The server and the library
//! start them in the same way.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

mod account;
mod configured;
pub mod history;
pub mod kinds;
mod offline;
pub mod process;
mod reports;
mod results;
mod running;
pub mod server_key;

use crate::config::ConfigErrors;
use crate::gateway::GatewaySettingsError;
use crate::store::StoreError;

pub use account::{AccountError, AccountFile};
pub use configured::{Gateways, build_gateways};
pub use offline::Offline;
pub use reports::{CHALLENGE, ReportReceiver, TWIML};
pub use results::GatewayResults;
pub use running::{Running, StartOptions, Unready, seeded_rng};
pub use server_key::{KeyError, load_or_create};

/// Why the services did not start. Each message says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Settings cannot be used. All errors are in it.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    #[error("there is no tokio runtime here; call it in one with time and I/O, such as #[tokio::main]")]
    NoRuntime,
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Gateway(#[from] GatewaySettingsError),
    #[error(transparent)]
    Shards(#[from] crate::verification::ShardStartError),
    #[error(transparent)]
    Registry(#[from] crate::registry::OpenError),
    /// The account's credentials could not be read or kept.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// Unauthenticated clients can reach the server, and no API key exists.
    #[error(transparent)]
    Exposed(ConfigErrors),
    /// The client of the challenge service.
    #[error("captcha: {0}")]
    Captcha(#[from] crate::gateway::ClientError),
    /// A shard failed while the guard's records were read.
    #[error("the records of the pumping guard cannot be read: {0}")]
    Guard(#[from] crate::shard::Refusal),
    #[error("the system gave no random bytes: {0}")]
    NoRandomness(rand::rngs::SysError),
    /// A thread of the start died.
    #[error("the start was interrupted: {0}")]
    Interrupted(tokio::task::JoinError),
}

impl StartError {
    /// Returns `true` if the operator must change the configuration.
    pub const fn is_about_the_configuration(&self) -> bool {
        use crate::registry::OpenError;
        matches!(self, Self::Config(_) | Self::Exposed(_) | Self::Registry(OpenError::Settings { .. }))
    }

    /// Returns `true` if another program has the data directory open.
    pub const fn is_in_use(&self) -> bool {
        matches!(self, Self::Store(StoreError::InUse { .. }))
    }
}
