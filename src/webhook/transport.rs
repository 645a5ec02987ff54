//! The webhooks of a service and the way to them, as traits: tests need neither a registry nor a network.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::domain::{ServiceId, Sid};
use crate::gateway::{PostError, Poster};
use crate::registry::{Registry, Service, WebhookFields, WebhookStatus};
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

/// Looks up the webhooks of services. Called in every decision and before every attempt, so it must answer from memory.
pub trait Subscribers: Send + Sync + 'static {
    /// The account (`AC`).
    fn account(&self) -> Sid;

    /// A service with its enabled and disabled webhooks; `None` if the service was removed.
    fn service(&self, service: ServiceId) -> Option<Arc<Service>>;

    /// Disables a webhook that has answered 410 Gone. Returns whether it succeeded.
    fn disable_after_410(&self, service: ServiceId, webhook: Sid) -> BoxFuture<'_, bool> {
        let _ = (service, webhook);
        Box::pin(async { false })
    }
}

impl Subscribers for Registry {
    fn account(&self) -> Sid {
        self.account_sid()
    }

    fn service(&self, service: ServiceId) -> Option<Arc<Service>> {
        self.service_by_id(service)
    }

    fn disable_after_410(&self, service: ServiceId, webhook: Sid) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            let Some(service) = self.service_by_id(service) else { return false };
            let fields = WebhookFields { status: Some(WebhookStatus::Disabled), ..WebhookFields::default() };
            self.update_webhook(service.sid, webhook, fields).await.is_ok()
        })
    }
}
