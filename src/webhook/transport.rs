//! The way to a webhook, as a trait, so that tests need no network.

use std::time::Duration;

use bytes::Bytes;

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

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Posted {
    /// There was an answer.
    Answered {
        /// Its HTTP status.
        status: u16,
        /// How long the receiver wants to be left in peace.
        retry_after: Option<Duration>,
    },
    /// There was none.
    NotAnswered(Trouble, String),
}

/// Why an attempt had no answer, or was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
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

impl Trouble {
    /// Every one.
    pub const ALL: [Self; 7] = [
        Self::Address,
        Self::NotConnected,
        Self::TimedOut,
        Self::Broken,
        Self::Disabled,
        Self::Removed,
        Self::TooOld,
    ];

    /// Its name in lists and records.
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

    /// Reads that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|trouble| trouble.as_str() == text)
    }
}

/// Who carries requests. Bounds the time that one takes.
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
                Err(error) => Posted::NotAnswered(Trouble::from(&error), error.to_string()),
            }
        })
    }
}

impl From<&PostError> for Trouble {
    fn from(error: &PostError) -> Self {
        match error {
            PostError::Address(_) => Self::Address,
            PostError::NotConnected(_) => Self::NotConnected,
            PostError::TimedOut => Self::TimedOut,
            PostError::Broken(_) => Self::Broken,
        }
    }
}
