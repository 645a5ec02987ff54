//! Why an engine did not start, why nothing was sent, and why a code could not be judged.

use std::path::PathBuf;
use std::time::Duration;

use super::EngineError;
use crate::config::ConfigErrors;
use crate::domain::{Channel, NumberError, seconds_up};
use crate::gateway::GatewaySettingsError;
use crate::store::StoreError;
use crate::verification::numbers::Refusal;

/// Why an engine did not start. Each text names the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A gateway's settings cannot work.
    #[error(transparent)]
    Gateway(#[from] GatewaySettingsError),
    /// Settings cannot be used. All errors are in it.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// Another process, or another handle of this one, uses the data directory.
    #[error(
        "the data directory {} is in use by another process, or by another handle in this one; stop that one, or use \
         another directory", directory.display()
    )]
    InUse {
        /// The data directory.
        directory: PathBuf,
    },
    /// No tokio runtime is running.
    #[error("there is no tokio runtime here; call it in one with time and I/O, such as #[tokio::main]")]
    NoRuntime,
    /// The server key or the data directory cannot be used. The message says which file and what to do.
    #[error(transparent)]
    Engine(EngineError),
}

impl From<EngineError> for StartError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Store(StoreError::InUse { directory }) => Self::InUse { directory },
            EngineError::Gateway(error) => Self::Gateway(error),
            error => Self::Engine(error),
        }
    }
}

/// Why a send or a check did not end as hoped. The number is never in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OtpError {
    /// It is not a phone number. Nothing was counted.
    #[error(transparent)]
    Number(#[from] NumberError),
    /// Too many wrong codes: nothing is sent or checked for a while.
    #[error("the number is locked out for another {} s", seconds_up(*remaining))]
    Locked {
        /// Until it may ask again.
        remaining: Duration,
    },
    /// The number does not exist or cannot get such messages: for example, a landline cannot get text messages. Another
    /// attempt does not help.
    #[error("the number does not exist or cannot be reached")]
    NumberRefused,
    /// The pumping guard refuses messages to this number. Nothing was sent. The log says which rule.
    #[error("messages to this number are not permitted")]
    Blocked,
    /// A budget of messages or money is spent. Nothing was sent.
    #[error("the budget of messages is spent for another {} s", seconds_up(*remaining))]
    BudgetSpent {
        /// Until messages may be sent again.
        remaining: Duration,
    },
    /// No gateway took the message, or the one that holds the code did not answer. The log says why. Asking
    /// again later may help.
    #[error("no gateway did what it was asked to; the log says why")]
    Gateway,
    /// Calls are not switched on: the setting `voice`.
    #[error("calls are not switched on")]
    NoCalls,
    /// No gateway in the order of the gateways serves this channel.
    #[error("no gateway sends by {}", .0.as_str())]
    NoGateway(Channel),
    /// The text of the message cannot be used; the message says why.
    #[error("the text cannot be used: {0}")]
    Text(String),
    /// The engine refused: too much to do, the store in trouble, or stopping. Asking again later helps,
    /// except after [`Otp::stop`](super::Otp::stop).
    #[error(transparent)]
    Refused(#[from] Refusal),
}
