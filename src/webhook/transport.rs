//! The webhooks of a service and the way to them, as traits: tests need neither a registry nor a network.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Request, Response};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::domain::{ServiceId, Sid};
use crate::gateway::{EgressClients, NoResponse, retry_after};
use crate::registry::{Registry, Service, WebhookFields, WebhookStatus};
use crate::store::BoxFuture;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    pub url: String,
    pub headers: [(&'static str, String); 3],
    pub body: Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Posted {
    Answered { status: u16, retry_after: Option<Duration> },
    NotAnswered(AttemptError, String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptError {
    /// The address cannot be used, or is one that nothing is sent to.
    Address,
    NotConnected,
    TimedOut,
    Broken,
    // No attempt is made for the following reasons.
    Disabled,
    Removed,
    TooOld,
}

/// Makes requests. Bounds the time that one takes.
pub trait Transport: Send + Sync + 'static {
    /// Makes the request once, and follows no redirect.
    fn post(&self, post: Post) -> BoxFuture<'_, Posted>;
}

/// The most bytes of an answer's body that are read, to reuse its connection.
const BODY_MAX: usize = 16 * 1024;

const BODY_TIME: Duration = Duration::from_secs(1);

/// Posts over the network.
pub struct Poster {
    clients: EgressClients,
    time_limit: Duration,
}

impl Poster {
    /// Link-local addresses, and with them the metadata of clouds, are never reached. `private` says whether this
    /// machine and private networks are. An answer must begin within `time_limit`.
    pub fn new(private: bool, time_limit: Duration) -> Self {
        Self { clients: EgressClients::new(private), time_limit }
    }

    async fn answer(&self, post: Post) -> Result<Posted, (AttemptError, String)> {
        let request = request(post).map_err(|words| (AttemptError::Address, words.to_owned()))?;
        let answered = tokio::time::timeout(self.time_limit, self.clients.begin(request)).await;
        let answered = answered.map_err(|_| (AttemptError::TimedOut, "no answer in time".to_owned()))?;
        let mut response = answered.map_err(|no_response| match no_response {
            NoResponse::OutOfReach => (
                AttemptError::Address,
                "its address is private or special: see webhook-private-addresses".to_owned(),
            ),
            NoResponse::Unsendable => (AttemptError::Address, "its URL is too long".to_owned()),
            NoResponse::NotConnected(words) => (AttemptError::NotConnected, words),
            NoResponse::Broken(words) => (AttemptError::Broken, words.to_owned()),
        })?;
        let (status, retry_after) = (response.status().as_u16(), retry_after(response.headers()));
        // The status is known; the rest may be lost.
        let _ = tokio::time::timeout(BODY_TIME, discard(&mut response)).await;
        Ok(Posted::Answered { status, retry_after })
    }
}

impl Transport for Poster {
    fn post(&self, post: Post) -> BoxFuture<'_, Posted> {
        Box::pin(async move {
            let answered = self.answer(post).await;
            answered.unwrap_or_else(|(error, words)| Posted::NotAnswered(error, words))
        })
    }
}

fn request(post: Post) -> Result<Request, &'static str> {
    let url = Url::parse(&post.url).map_err(|_| "its URL cannot be read")?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("its URL is neither http nor https");
    }
    let mut request = Request::new(Method::POST, url);
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in post.headers {
        let value = HeaderValue::from_str(&value).map_err(|_| "a header has characters of no header")?;
        headers.insert(name, value);
    }
    *request.body_mut() = Some(post.body.into());
    Ok(request)
}

async fn discard(response: &mut Response) {
    let mut read = 0;
    while let Ok(Some(part)) = response.chunk().await {
        read += part.len();
        if read > BODY_MAX {
            return;
        }
    }
}

/// Looks up the webhooks of services. Called in every decision and before every attempt; therefore it must answer from
/// memory.
pub trait Subscribers: Send + Sync + 'static {
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

#[cfg(test)]
mod tests;
