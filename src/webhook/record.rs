//! Deliveries and expected ends as they are kept in the store: JSON in the envelope, so that an export shows them as
//! they are. The records have types of their own, so that the outbox may change its mind without changing what is on disk.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::delivery::{Attempt, Delivery, DeliveryState};
use super::expected::Expected;
use super::transport::Trouble;
use super::{About, Event, EventId, EventType, MessageAbout};
use crate::domain::{Channel, PhoneNumber, ServiceId, Sid, SidKind, Timestamp};
use crate::store::RecordError;
use crate::store::record as envelope;

/// The layout written today.
pub(super) const VERSION: u8 = 1;

/// Why a record could not be read.
#[derive(Debug, thiserror::Error)]
pub enum OutboxRecordError {
    /// The envelope is damaged.
    #[error(transparent)]
    Envelope(#[from] RecordError),
    /// Written by a newer program.
    #[error(
        "a record of a webhook event has version {0}, this program reads up to {VERSION}; start the version of the \
         program that wrote it"
    )]
    Version(u8),
    /// It is no JSON of that form.
    #[error("a record of a webhook event does not say what it should: {0}")]
    Form(#[from] serde_json::Error),
    /// A value in it makes no sense.
    #[error("a record of a webhook event has an impossible {0}")]
    Value(&'static str),
}

/// What is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kept {
    Delivery(Box<Delivery>),
    Expected(Box<Expected>),
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "lowercase")]
enum RecordV1 {
    Delivery(DeliveryV1),
    Expected(ExpectedV1),
}

#[derive(Serialize, Deserialize)]
struct DeliveryV1 {
    id: String,
    r#type: String,
    at: u64,
    #[serde(flatten)]
    about: AboutV1,
    webhook: String,
    state: String,
    due: u64,
    since: u64,
    tries: u8,
    attempts: Vec<AttemptV1>,
}

#[derive(Serialize, Deserialize)]
struct ExpectedV1 {
    id: String,
    expires: u64,
    #[serde(flatten)]
    about: AboutV1,
}

#[derive(Serialize, Deserialize)]
struct AboutV1 {
    verification: String,
    to: u64,
    channel: String,
    status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<MessageV1>,
    tags: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
struct MessageV1 {
    attempt: String,
    status: String,
    error_code: Option<u32>,
}

#[derive(Serialize, Deserialize)]
struct AttemptV1 {
    at: u64,
    took_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// Encodes a delivery.
pub(super) fn encode_delivery(delivery: &Delivery) -> Bytes {
    let Delivery { id, event, webhook, state, due, since, tries, attempts } = delivery;
    seal(&RecordV1::Delivery(DeliveryV1 {
        id: id.to_string(),
        r#type: event.kind.as_str().to_owned(),
        at: event.at.as_millis(),
        about: about_v1(event.verification, &event.about),
        webhook: webhook.to_string(),
        state: state.as_str().to_owned(),
        due: due.as_millis(),
        since: since.as_millis(),
        tries: *tries,
        attempts: attempts.iter().map(attempt_v1).collect(),
    }))
}

/// Encodes an end that is expected.
pub(super) fn encode_expected(expected: &Expected) -> Bytes {
    let Expected { id, verification, expires, about, service: _ } = expected;
    let about = about_v1(*verification, about);
    seal(&RecordV1::Expected(ExpectedV1 { id: id.to_string(), expires: expires.as_millis(), about }))
}

fn seal(record: &RecordV1) -> Bytes {
    // Its keys are texts, so it has a form as JSON.
    envelope::seal(VERSION, &serde_json::to_vec(record).unwrap_or_default())
}

/// Reads a record of `service` back. Never panics, whatever the bytes are.
pub(super) fn decode(service: ServiceId, record: &[u8]) -> Result<Kept, OutboxRecordError> {
    let (version, body) = envelope::open(record)?;
    if version != VERSION {
        return Err(OutboxRecordError::Version(version));
    }
    let kept = match serde_json::from_slice(body)? {
        RecordV1::Delivery(record) => Kept::Delivery(Box::new(delivery(service, record)?)),
        RecordV1::Expected(record) => Kept::Expected(Box::new(expected(service, record)?)),
    };
    Ok(kept)
}

fn about_v1(verification: Sid, about: &About) -> AboutV1 {
    let message = about.message.as_ref().map(|message| MessageV1 {
        attempt: message.attempt.to_string(),
        status: message.status.clone(),
        error_code: message.error_code,
    });
    AboutV1 {
        verification: verification.to_string(),
        to: about.to.as_u64(),
        channel: about.channel.as_str().to_owned(),
        status: about.status.clone(),
        message,
        tags: about.tags.clone(),
    }
}

fn attempt_v1(attempt: &Attempt) -> AttemptV1 {
    AttemptV1 {
        at: attempt.at.as_millis(),
        took_ms: u64::try_from(attempt.took.as_millis()).unwrap_or(u64::MAX),
        status: attempt.status,
        trouble: attempt.trouble.map(|trouble| trouble.as_str().to_owned()),
        detail: attempt.detail.clone(),
    }
}

fn delivery(service: ServiceId, record: DeliveryV1) -> Result<Delivery, OutboxRecordError> {
    let value = OutboxRecordError::Value;
    let (verification, about) = about(record.about)?;
    let kind = EventType::parse(&record.r#type).ok_or(value("type"))?;
    let event = Event { kind, service, verification, at: Timestamp::from_millis(record.at), about };
    Ok(Delivery {
        id: EventId::parse(&record.id).ok_or(value("id"))?,
        event,
        webhook: Sid::parse(SidKind::Webhook, &record.webhook).ok_or(value("webhook"))?,
        state: DeliveryState::parse(&record.state).ok_or(value("state"))?,
        due: Timestamp::from_millis(record.due),
        since: Timestamp::from_millis(record.since),
        tries: record.tries,
        attempts: record.attempts.into_iter().map(attempt).collect::<Result<_, _>>()?,
    })
}

fn expected(service: ServiceId, record: ExpectedV1) -> Result<Expected, OutboxRecordError> {
    let id = EventId::parse(&record.id).ok_or(OutboxRecordError::Value("id"))?;
    let (verification, about) = about(record.about)?;
    Ok(Expected { id, service, verification, expires: Timestamp::from_millis(record.expires), about })
}

fn about(record: AboutV1) -> Result<(Sid, About), OutboxRecordError> {
    let value = OutboxRecordError::Value;
    let message = record.message.map(|message| {
        let attempt = Sid::parse(SidKind::Attempt, &message.attempt).ok_or(value("attempt"))?;
        Ok::<_, OutboxRecordError>(MessageAbout {
            attempt,
            status: message.status,
            error_code: message.error_code,
        })
    });
    let about = About {
        to: PhoneNumber::from_u64(record.to).ok_or(value("number"))?,
        channel: Channel::parse(&record.channel).ok_or(value("channel"))?,
        status: record.status,
        message: message.transpose()?,
        tags: record.tags,
    };
    let verification = Sid::parse(SidKind::Verification, &record.verification);
    Ok((verification.ok_or(value("verification"))?, about))
}

fn attempt(record: AttemptV1) -> Result<Attempt, OutboxRecordError> {
    let trouble = record.trouble.map(|text| Trouble::parse(&text).ok_or(OutboxRecordError::Value("trouble")));
    Ok(Attempt {
        at: Timestamp::from_millis(record.at),
        took: Duration::from_millis(record.took_ms),
        status: record.status,
        trouble: trouble.transpose()?,
        detail: record.detail,
    })
}
