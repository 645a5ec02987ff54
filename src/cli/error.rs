//! Why a command failed, and its exit code.

use std::io;
use std::path::{Path, PathBuf};

use super::answer::CommandOutput;
use super::backup::{ExportError, ImportError};
use super::client::ClientError;
use crate::config::ConfigErrors;
use crate::node::{self, KeyError};
use crate::server::{self, EXIT_CONFIGURATION, EXIT_FAILED};
use crate::store::StoreError;

/// The data is damaged, or the file is no export (`EX_DATAERR`).
pub const EXIT_DAMAGED: u8 = 65;

/// Why a command failed. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error(transparent)]
    Configuration(#[from] ConfigErrors),
    /// A wrong value on the command line.
    #[error("{0}")]
    Usage(String),
    #[error("there is no data in {0} yet; name the server's data directory with --data-dir or --config")]
    NoData(String),
    #[error(
        "a server uses the data directory {0} but does not answer on its control socket: it is starting or stopping, or \
         its log says why it has none; try again, or stop it first"
    )]
    NoSocket(String),
    #[error("{0}")]
    Failed(String),
    #[error("{action} {}: {source}", path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    #[error("a record was not written: {0}")]
    Write(#[source] StoreError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Export(#[from] ExportError),
    #[error(transparent)]
    Import(#[from] ImportError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Open(#[from] StoreError),
    #[error(transparent)]
    Start(#[from] node::StartError),
    #[error(transparent)]
    Cluster(#[from] server::ClusterError),
}

impl CommandError {
    pub fn of_file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::Configuration(_) | Self::Usage(_) => EXIT_CONFIGURATION,
            Self::Start(error) if error.is_about_the_configuration() => EXIT_CONFIGURATION,
            Self::Cluster(error) if error.is_about_the_configuration() => EXIT_CONFIGURATION,
            Self::Open(
                StoreError::Damaged { .. } | StoreError::FormatNewer { .. } | StoreError::WrongKey { .. },
            )
            | Self::Export(ExportError::Record { .. })
            | Self::Key(KeyError::Missing(_) | KeyError::Unreadable(_)) => EXIT_DAMAGED,
            Self::Key(KeyError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                EXIT_DAMAGED
            }
            Self::Import(error) if !matches!(error, ImportError::Io(_)) => EXIT_DAMAGED,
            _ => EXIT_FAILED,
        }
    }

    pub fn answer(&self) -> CommandOutput {
        let warnings = match self {
            Self::Configuration(errors) => listed(&errors.warnings),
            _ => String::new(),
        };
        CommandOutput {
            code: self.exit_code(),
            err: format!("{warnings}error: {self}\n"),
            ..CommandOutput::default()
        }
    }
}

/// Warnings as lines.
pub fn listed(warnings: &[String]) -> String {
    warnings.iter().flat_map(|warning| ["warning: ", warning, "\n"]).collect()
}
