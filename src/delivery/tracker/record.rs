//! A verification's sends as they are kept in the store.
//!
//! The record is a type of its own, so that the tracker may change its mind without changing what
//! is on disk. A new layout gets a new version; old ones stay readable. There is no code in it, and
//! a salt only while something is still to be sent.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::note::{FollowUp, Reason, SendStatus, VerifyStatus};
use super::status::{receipt_from_number, receipt_number};
use super::track::{Plan, Row, Track};
use crate::domain::{Channel, GatewayName, Locale, PhoneNumber, Timestamp, TrackKey};
use crate::engine::Salt;
use crate::store::record as envelope;
use crate::store::{Key, Kind, RecordError, Subject};
use crate::template::{AppHash, MessageStyle, SendDigits, Wording};

/// The layout written today.
pub(super) const VERSION: u8 = 1;

#[derive(Serialize, Deserialize)]
struct TrackV1 {
    number: u64,
    created: u64,
    verify: u8,
    verify_at: u64,
    rows: Vec<RowV1>,
    plan: Option<PlanV1>,
}

#[derive(Serialize, Deserialize)]
struct RowV1 {
    channel: u8,
    gateway: u8,
    priority: u8,
    status: u8,
    retries: u32,
    max_retries_reached: bool,
    at: u64,
    message_id: Option<String>,
    error_code: Option<u32>,
    receipt: Option<u8>,
}

#[derive(Serialize, Deserialize)]
struct PlanV1 {
    salt: [u8; 16],
    wording: WordingV1,
    locale: Option<String>,
    app_hash: Option<String>,
    expires: u64,
    due: u64,
    channel: u8,
    retry: Option<(u8, u32)>,
    step: u8,
    sent: u8,
}

#[derive(Serialize, Deserialize)]
enum WordingV1 {
    Api,
    Tutorial,
    Custom(String),
    /// One of the others, of a call that presses keys.
    Pressing(Box<WordingV1>, String),
}

impl WordingV1 {
    fn of(style: &MessageStyle) -> Self {
        let wording = match &style.wording {
            Wording::Api => Self::Api,
            Wording::Tutorial => Self::Tutorial,
            Wording::Custom(text) => Self::Custom(text.as_ref().to_owned()),
        };
        match &style.send_digits {
            Some(digits) => Self::Pressing(Box::new(wording), digits.as_str().to_owned()),
            None => wording,
        }
    }

    fn read(self) -> Result<(Wording, Option<SendDigits>), &'static str> {
        Ok(match self {
            Self::Api => (Wording::Api, None),
            Self::Tutorial => (Wording::Tutorial, None),
            Self::Custom(text) => (Wording::Custom(Arc::from(text)), None),
            Self::Pressing(wording, digits) => {
                let digits = SendDigits::parse(&digits).ok_or("keys to press")?;
                match *wording {
                    Self::Pressing(..) => return Err("keys to press"),
                    wording => (wording.read()?.0, Some(digits)),
                }
            }
        })
    }
}

/// Why a record could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TrackRecordError {
    /// The envelope is damaged.
    #[error(transparent)]
    Envelope(#[from] RecordError),
    /// Written by a newer program.
    #[error(
        "a record of sends has version {0}, this program reads up to {VERSION}; start the version of the program that \
         wrote it"
    )]
    Version(u8),
    /// The checksum holds but the contents make no sense.
    #[error("a record of sends does not say what it should: {0}")]
    Contents(String),
}

/// The key that a verification's record is kept under.
pub fn key_of(key: TrackKey) -> Key {
    Key { kind: Kind::Track, service: key.service, subject: Subject(key.track) }
}

/// Back from there.
pub fn track_of(key: Key) -> TrackKey {
    TrackKey { service: key.service, track: key.subject.0 }
}

/// Encodes what is remembered.
///
/// # Errors
/// None that could be met: the encoding goes into memory.
pub fn encode(track: &Track) -> Result<Bytes, TrackRecordError> {
    let record = TrackV1 {
        number: track.number.as_u64(),
        created: track.created.as_millis(),
        verify: track.verify.number(),
        verify_at: track.verify_at.as_millis(),
        rows: track.rows.iter().map(row_v1).collect(),
        plan: track.plan.as_ref().map(plan_v1),
    };
    let body = postcard::to_stdvec(&record).map_err(|e| TrackRecordError::Contents(e.to_string()))?;
    Ok(envelope::seal(VERSION, &body))
}

fn row_v1(row: &Row) -> RowV1 {
    RowV1 {
        channel: row.channel.number(),
        gateway: row.gateway.number(),
        priority: row.priority,
        status: row.status.number(),
        retries: row.retries,
        max_retries_reached: row.max_retries_reached,
        at: row.at.as_millis(),
        message_id: row.message_id.clone(),
        error_code: row.error_code,
        receipt: row.receipt.map(receipt_number),
    }
}

fn plan_v1(plan: &Plan) -> PlanV1 {
    let Plan { number: _, salt, style, expires, follow_up } = plan;
    PlanV1 {
        salt: salt.0,
        wording: WordingV1::of(style),
        locale: style.locale.map(|locale| locale.to_string()),
        app_hash: style.app_hash.map(|hash| hash.as_str().to_owned()),
        expires: expires.as_millis(),
        due: follow_up.due.as_millis(),
        channel: follow_up.channel.number(),
        retry: match follow_up.reason {
            Reason::Retry { attempt, retries } => Some((attempt, retries)),
            Reason::NextStep => None,
        },
        step: follow_up.step,
        sent: follow_up.sent,
    }
}

/// Reads a record back. Never panics, whatever the bytes are.
///
/// # Errors
/// [`TrackRecordError`] when the bytes are no record, or one of a newer program.
pub fn decode(record: &[u8]) -> Result<Track, TrackRecordError> {
    let (version, body) = envelope::open(record)?;
    if version != VERSION {
        return Err(TrackRecordError::Version(version));
    }
    let record: TrackV1 =
        postcard::from_bytes(body).map_err(|e| TrackRecordError::Contents(e.to_string()))?;
    track(record).map_err(|what| TrackRecordError::Contents(format!("impossible {what}")))
}

/// The same record in the layout written today: what it says, and nothing that was not understood.
///
/// # Errors
/// When it cannot be read.
pub fn rewritten(record: &[u8]) -> Result<Bytes, TrackRecordError> {
    encode(&decode(record)?)
}

fn track(record: TrackV1) -> Result<Track, &'static str> {
    let number = PhoneNumber::from_u64(record.number).ok_or("number")?;
    Ok(Track {
        number,
        created: Timestamp::from_millis(record.created),
        verify: VerifyStatus::from_number(record.verify).ok_or("verify status")?,
        verify_at: Timestamp::from_millis(record.verify_at),
        rows: record.rows.into_iter().map(row).collect::<Result<_, _>>()?,
        plan: record.plan.map(|p| plan(number, p)).transpose()?,
    })
}

fn row(row: RowV1) -> Result<Row, &'static str> {
    Ok(Row {
        channel: Channel::from_number(row.channel).ok_or("channel")?,
        gateway: GatewayName::from_number(row.gateway).ok_or("gateway")?,
        priority: row.priority,
        status: SendStatus::from_number(row.status).ok_or("send status")?,
        retries: row.retries,
        max_retries_reached: row.max_retries_reached,
        at: Timestamp::from_millis(row.at),
        message_id: row.message_id,
        error_code: row.error_code,
        receipt: row.receipt.map(|n| receipt_from_number(n).ok_or("receipt status")).transpose()?,
    })
}

fn plan(number: PhoneNumber, plan: PlanV1) -> Result<Plan, &'static str> {
    let (wording, send_digits) = plan.wording.read()?;
    Ok(Plan {
        number,
        salt: Salt(plan.salt),
        style: MessageStyle {
            wording,
            send_digits,
            locale: plan.locale.map(|tag| Locale::parse(&tag).ok_or("locale")).transpose()?,
            app_hash: plan.app_hash.map(|hash| AppHash::parse(&hash).ok_or("app hash")).transpose()?,
        },
        expires: Timestamp::from_millis(plan.expires),
        follow_up: FollowUp {
            due: Timestamp::from_millis(plan.due),
            channel: Channel::from_number(plan.channel).ok_or("channel")?,
            reason: match plan.retry {
                Some((attempt, retries)) => Reason::Retry { attempt, retries },
                None => Reason::NextStep,
            },
            step: plan.step,
            sent: plan.sent,
        },
    })
}
