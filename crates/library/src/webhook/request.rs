//! One request to a webhook: its body and headers, as Standard Webhooks has them (<https://www.standardwebhooks.com>), and
//! its way over the network.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::{Method, Request, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::Sha256;
use url::Url;

use super::{Event, EventId};
use crate::domain::{Sid, SidKind, Timestamp};
use crate::gateway::{EgressClients, NoResponse, retry_after};
use crate::store::BoxFuture;

/// The body. The same for each attempt, so that it can be compared.
pub(super) fn body(account_sid: Sid, service_sid: Sid, event: &Event) -> String {
    let mut data = json!({
        "account_sid": account_sid,
        "service_sid": service_sid,
        "to": event.to.e164(),
        "channel": event.channel.as_str(),
        "status": event.status,
        "tags": event.tags,
    });
    if event.verification.kind() == SidKind::Verification {
        data["verification_sid"] = json!(event.verification);
    }
    if let (Some(data), Ok(mut detail)) = (data.as_object_mut(), serde_json::from_str(&event.detail)) {
        data.append(&mut detail);
    }
    json!({ "type": event.kind.as_str(), "timestamp": event.at, "data": data }).to_string()
}

/// The body of a test, which no event has.
pub(super) fn test_body(account_sid: Sid, service_sid: Sid, at: Timestamp) -> String {
    let data = json!({ "account_sid": account_sid, "service_sid": service_sid, "status": "test" });
    json!({ "type": "webhook.test", "timestamp": at, "data": data }).to_string()
}

/// The headers of one attempt. The moment is that of the attempt, not of the event: receivers refuse what is older than a
/// few minutes.
pub(super) fn headers(secret: &[u8], id: EventId, at: Timestamp, body: &[u8]) -> [(&'static str, String); 3] {
    let (id, seconds) = (id.to_string(), (at.as_millis() / 1000).to_string());
    let signature = signature(secret, &id, &seconds, body);
    [("webhook-id", id), ("webhook-timestamp", seconds), ("webhook-signature", signature)]
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
    /// Of the answer, or why there is none.
    pub answer: Result<u16, AttemptError>,
    /// The beginning of the body, or the reason in words.
    pub detail: String,
    pub retry_after: Option<Duration>,
}

impl Posted {
    pub fn not_answered((error, words): (AttemptError, impl Into<String>)) -> Self {
        Self { answer: Err(error), detail: words.into(), retry_after: None }
    }

    pub const fn is_taken(&self) -> bool {
        matches!(self.answer, Ok(200..=299))
    }

    /// Whether the receiver was asked, or could not be.
    pub const fn is_of_receiver(&self) -> bool {
        use AttemptError::{Disabled, Removed, TooOld};
        !matches!(self.answer, Err(Disabled | Removed | TooOld))
    }
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
            let (error, words) = match request_of(post) {
                None => (AttemptError::Address, "its URL is not one of http or https".to_owned()),
                Some(request) => match tokio::time::timeout(time_limit, clients.begin(request)).await {
                    Ok(Ok(response)) => return answered(response).await,
                    Ok(Err(no_response)) => reason(no_response),
                    Err(_) => (AttemptError::TimedOut, "no answer in time".to_owned()),
                },
            };
            Posted::not_answered((error, words))
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

fn reason(no_response: NoResponse) -> (AttemptError, String) {
    match no_response {
        NoResponse::OutOfReach => {
            let words = "its address is none that events are sent to: see \"Allowed URLs\" of the events";
            (AttemptError::Address, words.to_owned())
        }
        NoResponse::Unsendable => (AttemptError::Address, "its URL is too long".to_owned()),
        NoResponse::NotConnected(words) => (AttemptError::NotConnected, words),
        NoResponse::Broken(words) => (AttemptError::Broken, words.to_owned()),
    }
}

/// The answer with the beginning of its body. The status is known; the rest may be lost.
async fn answered(mut response: Response) -> Posted {
    let (answer, retry_after) = (Ok(response.status().as_u16()), retry_after(response.headers()));
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
    Posted { answer, detail, retry_after }
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
