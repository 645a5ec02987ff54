//! One request to a webhook: its headers, as Standard Webhooks has them (<https://www.standardwebhooks.com>), and
//! its way over the network.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::{Method, Request, Response};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::domain::Timestamp;
use crate::gateway::{EgressClients, NoResponse, retry_after};
use crate::registry::Webhook;
use crate::store::BoxFuture;

/// The request of one attempt. `at` is its moment, not that of the event: receivers refuse what is older than a few minutes.
/// `None` if the webhook has no URL.
pub(super) fn post(webhook: &Webhook, id: String, at: Timestamp, body: String) -> Option<Request> {
    let seconds = (at.as_millis() / 1000).to_string();
    let signature = signature(&webhook.secret, &id, &seconds, body.as_bytes());
    let mut request = Request::new(Method::POST, webhook.url.parse().ok()?);
    let own = [("webhook-id", id), ("webhook-timestamp", seconds), ("webhook-signature", signature)];
    for (name, value) in own.into_iter().chain([("content-type", "application/json".to_owned())]) {
        request.headers_mut().insert(name, value.parse().ok()?);
    }
    *request.body_mut() = Some(body.into());
    Some(request)
}

fn signature(secret: &[u8], id: &str, seconds: &str, body: &[u8]) -> String {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("a key of any length");
    for part in [id.as_bytes(), b".", seconds.as_bytes(), b".", body] {
        mac.update(part);
    }
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posted {
    /// Of the answer; `None` without one.
    pub status: Option<u16>,
    /// The beginning of the answer's body, or why there is none, in words.
    pub detail: String,
    pub retry_after: Option<Duration>,
}

impl Posted {
    pub fn not_answered(why: impl Into<String>) -> Self {
        Self { status: None, detail: why.into(), retry_after: None }
    }

    pub const fn is_taken(&self) -> bool {
        matches!(self.status, Some(200..=299))
    }

    /// The receiver wants no event any more.
    pub const fn is_gone(&self) -> bool {
        matches!(self.status, Some(410))
    }

    /// The status or the error, without the body.
    pub fn result(&self) -> String {
        self.status.map_or_else(|| self.detail.clone(), |status| format!("status {status}"))
    }
}

/// Makes a request once, follows no redirect, and bounds the time.
pub type Transport = Box<dyn Fn(Request) -> BoxFuture<'static, Posted> + Send + Sync>;

/// The most bytes of an answer's body that are read, to reuse its connection.
const BODY_MAX: usize = 16 * 1024;

/// The bytes of an answer's body that people can see.
const BODY_KEPT: usize = 128;

const BODY_TIME: Duration = Duration::from_secs(1);

/// The transport over the network. Link-local addresses, and with them the metadata of clouds, are never reached.
/// `private` says whether this machine and private networks are. An answer must begin within `time_limit`.
pub fn network_transport(private: bool, time_limit: Duration) -> Transport {
    let clients = Arc::new(EgressClients::new(private));
    Box::new(move |request| {
        let clients = Arc::clone(&clients);
        Box::pin(async move {
            match tokio::time::timeout(time_limit, clients.begin(request)).await {
                Ok(Ok(response)) => answered(response).await,
                Ok(Err(NoResponse::OutOfReach)) => Posted::not_answered(
                    "events are not sent to this address: see \"Allowed URLs\" in docs/reference/events.md",
                ),
                Ok(Err(error)) => Posted::not_answered(error.into_reason()),
                Err(_) => Posted::not_answered("no answer in time"),
            }
        })
    })
}

/// The answer with the beginning of its body. The status is known; the rest may be lost.
async fn answered(mut response: Response) -> Posted {
    let (status, retry_after) = (Some(response.status().as_u16()), retry_after(response.headers()));
    let (mut kept, mut left) = (Vec::new(), BODY_MAX);
    let read = async {
        while let Ok(Some(part)) = response.chunk().await
            && left > 0
        {
            left = left.saturating_sub(part.len());
            kept.extend(part.iter().take(BODY_KEPT - kept.len()));
        }
    };
    let _ = tokio::time::timeout(BODY_TIME, read).await;
    let detail = String::from_utf8_lossy(&kept).trim_matches('\u{fffd}').to_owned();
    Posted { status, detail, retry_after }
}

#[cfg(test)]
#[path = "tests/transport.rs"]
mod transport_tests;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_that_standard_webhooks_publishes() {
        let table = include_str!("../../../../tests/facts/standard-webhooks.tsv");
        for line in table.lines().filter(|line| !line.starts_with('#')) {
            let [secret, id, seconds, body, published] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("{line}")
            };
            let secret = STANDARD.decode(secret.trim_start_matches("whsec_")).expect("Base64");
            assert_eq!(signature(&secret, id, seconds, body.as_bytes()), published);
        }
    }
}
