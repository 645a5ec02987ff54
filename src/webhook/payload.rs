//! The body of a request: JSON in the form that Standard Webhooks recommends.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;

use super::{Event, MessageAbout};
use crate::domain::Sid;

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
    verification_sid: String,
    to: String,
    channel: &'static str,
    status: &'a str,
    #[serde(flatten)]
    message: Option<OfMessage<'a>>,
    tags: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
struct OfMessage<'a> {
    attempt_sid: String,
    message_status: &'a str,
    error_code: Option<u32>,
}

/// The body. The same for each attempt, so that it can be compared.
pub(super) fn body(account: Sid, service: Sid, event: &Event) -> Bytes {
    let Event { kind, service: _, verification, at, about } = event;
    let message = about.message.as_ref().map(|MessageAbout { attempt, status, error_code }| OfMessage {
        attempt_sid: attempt.to_string(),
        message_status: status,
        error_code: *error_code,
    });
    let payload = Payload {
        r#type: kind.as_str(),
        timestamp: at.rfc3339_millis().to_string(),
        data: Data {
            account_sid: account.to_string(),
            service_sid: service.to_string(),
            verification_sid: verification.to_string(),
            to: about.to.e164(),
            channel: about.channel.as_str(),
            status: &about.status,
            message,
            tags: &about.tags,
        },
    };
    // Its keys are texts, so it has a form as JSON.
    serde_json::to_vec(&payload).unwrap_or_default().into()
}
