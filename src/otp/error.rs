//! Why nothing was sent, or why a code could not be judged.

use std::time::Duration;

use crate::domain::NumberError;
use crate::shard::Refusal;

/// Why a send or a check did not end as hoped. The number is never in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OtpError {
    /// It is not a phone number.
    #[error(transparent)]
    Number(#[from] NumberError),
    /// Too many wrong codes: nothing is sent or checked for a while.
    #[error("the number is locked out for another {} s", remaining.as_secs())]
    Locked {
        /// Until it may ask again.
        remaining: Duration,
    },
    /// The provider says that the number does not exist or takes no such messages.
    #[error("the number does not exist or cannot be reached")]
    NumberRefused,
    /// No gateway took the message, or the one that holds the code did not answer. The log says why.
    #[error("no gateway did what it was asked to; the log says why")]
    Gateway,
    /// Calls are not switched on: [`OtpBuilder::voice`](super::OtpBuilder::voice).
    #[error("calls are not switched on")]
    NoCalls,
    /// The text of the message cannot be used.
    #[error("the text cannot be used: {0}")]
    Text(String),
    /// Nothing was decided: too much to do, the store in trouble, or stopping. Asking again later helps.
    #[error(transparent)]
    Refused(#[from] Refusal),
}
