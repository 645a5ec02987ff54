//! The way to a webhook, as a trait, so that tests need no network.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::gateway::{PostError, Poster};
use crate::store::BoxFuture;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    /// Where to.
    pub url: String,
    /// Beside `content-type: application/json`.
    pub headers: [(&'static str, String); 3],
    /// The event as JSON.
    pub body: Bytes,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Posted {
    /// There was an answer.
    Answered {
        /// Its HTTP status.
        status: u16,
        /// The pause that the receiver asked for.
        retry_after: Option<Duration>,
    },
    /// There was none.
    NotAnswered(AttemptError, String),
}

/// Why an attempt had no answer, or was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptError {
    /// The address cannot be used, or is one that nothing is sent to.
    Address,
    /// There was no connection.
    NotConnected,
    /// No answer in time.
    TimedOut,
    /// The connection broke.
    Broken,
    /// The webhook was disabled. No attempt was made.
    Disabled,
    /// The webhook was removed. No attempt was made.
    Removed,
    /// The event is too old by now. No attempt was made.
    TooOld,
}

impl AttemptError {
    /// Its name in lists.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::NotConnected => "not_connected",
            Self::TimedOut => "timed_out",
            Self::Broken => "broken",
            Self::Disabled => "disabled",
            Self::Removed => "removed",
            Self::TooOld => "too_old",
        }
    }
}

/// Makes requests. Bounds the time that one takes.
pub trait Transport: Send + Sync + 'static {
    /// Makes the request once, and follows no redirect.
    fn post(&self, post: Post) -> BoxFuture<'_, Posted>;
}

impl Transport for Poster {
    fn post(&self, post: Post) -> BoxFuture<'_, Posted> {
        Box::pin(async move {
            let Post { url, headers, body } = post;
            match self.post(&url, &headers, body).await {
                Ok(answer) => Posted::Answered { status: answer.status, retry_after: answer.retry_after },
                Err(error) => Posted::NotAnswered(AttemptError::from(&error), error.to_string()),
            }
        })
    }
}

impl From<&PostError> for AttemptError {
    fn from(error: &PostError) -> Self {
        match error {
            PostError::Address(_) => Self::Address,
            PostError::NotConnected(_) => Self::NotConnected,
            PostError::TimedOut => Self::TimedOut,
            PostError::Broken(_) => Self::Broken,
        }
    }
}
