//! The body and the headers of a request, as Standard Webhooks has them: <https://www.standardwebhooks.com>.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Serialize;
use sha2::Sha256;

use super::{Detail, Event, EventId, MessageAbout};
use crate::domain::{Sid, SidKind, Timestamp};
use crate::limits::guard::GuardAbout;

#[derive(Serialize)]
struct Payload<'a> {
    r#type: &'static str,
    timestamp: String,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    account_sid: String,
    service_sid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    verification_sid: Option<String>,
    to: String,
    channel: &'static str,
    status: &'a str,
    #[serde(flatten)]
    message: Option<OfMessage<'a>>,
    #[serde(flatten)]
    guard: Option<OfGuard<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    locked_until: Option<String>,
    tags: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
struct OfMessage<'a> {
    attempt_sid: String,
    message_status: &'a str,
    error_code: Option<u32>,
}

#[derive(Serialize)]
struct OfGuard<'a> {
    rule: &'a str,
    scope: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    until: String,
    limit: u64,
    /// Numbers that the place usually verifies in a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    usual: Option<u32>,
}

impl<'a> OfGuard<'a> {
    fn of(GuardAbout { rule, scope, subject, until, limit, usual }: &'a GuardAbout) -> Self {
        let until = until.rfc3339_millis().to_string();
        Self { rule, scope, subject: subject.as_deref(), until, limit: *limit, usual: *usual }
    }
}

/// The body. The same for each attempt, so that it can be compared.
pub(super) fn body(account: Sid, service: Sid, event: &Event) -> Bytes {
    let Event { kind, service: _, verification, at, about } = event;
    let (message, guard) = match &about.detail {
        Detail::None => (None, None),
        Detail::Message(MessageAbout { attempt, status, error_code }) => {
            let attempt_sid = attempt.to_string();
            (Some(OfMessage { attempt_sid, message_status: status, error_code: *error_code }), None)
        }
        Detail::Guard(guard) => (None, Some(OfGuard::of(guard))),
    };
    let payload = Payload {
        r#type: kind.as_str(),
        timestamp: at.rfc3339_millis().to_string(),
        data: Data {
            account_sid: account.to_string(),
            service_sid: service.to_string(),
            verification_sid: (verification.kind() == SidKind::Verification)
                .then(|| verification.to_string()),
            to: about.to.e164(),
            channel: about.channel.as_str(),
            status: &about.status,
            message,
            guard,
            locked_until: about.locked_until.map(|until| until.rfc3339_millis().to_string()),
            tags: &about.tags,
        },
    };
    // Its keys are texts; it always has a form as JSON.
    serde_json::to_vec(&payload).unwrap_or_default().into()
}

/// The headers of one attempt. The moment is that of the attempt, not of the event: receivers refuse what is older than a
/// few minutes.
pub(super) fn headers(secret: &[u8], id: EventId, at: Timestamp, body: &[u8]) -> [(&'static str, String); 3] {
    let (id, seconds) = (id.to_string(), (at.as_millis() / 1000).to_string());
    let signature = sign(secret, &[id.as_bytes(), b".", seconds.as_bytes(), b".", body]);
    [("webhook-id", id), ("webhook-timestamp", seconds), ("webhook-signature", format!("v1,{signature}"))]
}

fn sign(secret: &[u8], parts: &[&[u8]]) -> String {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("a key of any length");
    for part in parts {
        mac.update(part);
    }
    STANDARD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with Python's `hmac`; `standardwebhooks` 1.1.0 for Python signs it the same way.
    #[test]
    fn the_signature_is_the_one_that_receivers_compute() {
        let secret: Vec<u8> = (0..32).collect();
        let id = EventId::new(std::array::from_fn(|i| u8::try_from(i).expect("small")));
        let body = concat!(
            r#"{"type":"verification.approved","timestamp":"2026-01-02T03:04:05.678Z","#,
            r#""data":{"status":"approved"}}"#
        );
        let headers = headers(&secret, id, Timestamp::from_millis(1_767_323_045_678), body.as_bytes());
        let expected = [
            ("webhook-id", "evt_000102030405060708090a0b0c0d0e0f"),
            ("webhook-timestamp", "1767323045"),
            ("webhook-signature", "v1,c03z46LlfJFoms0b1W83WTGaI8WEtvRx5vNSgctyJoY="),
        ];
        assert_eq!(headers, expected.map(|(name, value)| (name, value.to_owned())));
    }
}
