//! One request to a webhook: its headers, as Standard Webhooks has them (<https://www.standardwebhooks.com>), and
//! its way over the network.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::{Method, Request, Response};
use sha2::Sha256;
use url::Url;

use crate::domain::Timestamp;
use crate::gateway::{EgressClients, NoResponse, retry_after};
use crate::registry::Webhook;
use crate::store::BoxFuture;

/// The request of one attempt. `at` is its moment, not that of the event: receivers refuse what is older than a few minutes.
pub(super) fn post(webhook: &Webhook, id: String, at: Timestamp, body: String) -> Post {
    let seconds = (at.as_millis() / 1000).to_string();
    let signature = signature(&webhook.secret, &id, &seconds, body.as_bytes());
    let headers = [("webhook-id", id), ("webhook-timestamp", seconds), ("webhook-signature", signature)];
    Post { url: webhook.url.clone(), headers, body: body.into() }
}

fn signature(secret: &[u8], id: &str, seconds: &str, body: &[u8]) -> String {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("a key of any length");
    for part in [id.as_bytes(), b".", seconds.as_bytes(), b".", body] {
        mac.update(part);
    }
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    pub url: String,
    pub headers: [(&'static str, String); 3],
    pub body: Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq)]
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
}

/// Makes a request once, follows no redirect, and bounds the time.
pub type Transport = Arc<dyn Fn(Post) -> BoxFuture<'static, Posted> + Send + Sync>;

/// The most bytes of an answer's body that are read, to reuse its connection.
const BODY_MAX: usize = 16 * 1024;

/// The bytes of an answer's body that people can see.
const BODY_KEPT: usize = 128;

const BODY_TIME: Duration = Duration::from_secs(1);

/// The transport over the network. Link-local addresses, and with them the metadata of clouds, are never reached.
/// `private` says whether this machine and private networks are. An answer must begin within `time_limit`.
pub fn network_transport(private: bool, time_limit: Duration) -> Transport {
    let clients = Arc::new(EgressClients::new(private));
    Arc::new(move |post| {
        let clients = Arc::clone(&clients);
        Box::pin(async move {
            let Some(request) = request_of(post) else {
                return Posted::not_answered("its URL is not one of http or https");
            };
            match tokio::time::timeout(time_limit, clients.begin(request)).await {
                Ok(Ok(response)) => answered(response).await,
                Ok(Err(NoResponse::OutOfReach)) => Posted::not_answered(
                    "its address is none that events are sent to: see \"Allowed URLs\" of the events",
                ),
                Ok(Err(NoResponse::Unsendable)) => Posted::not_answered("its URL is too long"),
                Ok(Err(NoResponse::NotConnected(why) | NoResponse::Broken(why))) => Posted::not_answered(why),
                Err(_) => Posted::not_answered("no answer in time"),
            }
        })
    })
}

fn request_of(Post { url, headers, body }: Post) -> Option<Request> {
    let url = Url::parse(&url).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let mut request = Request::new(Method::POST, url);
    for (name, value) in headers.into_iter().chain([("content-type", "application/json".to_owned())]) {
        request.headers_mut().insert(name, value.parse().ok()?);
    }
    *request.body_mut() = Some(body.into());
    Some(request)
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
