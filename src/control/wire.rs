//! What goes over the socket. Types of its own, so that a change of the records does not change
//! what programs read.

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::keys::KeysRequest;
use crate::attempts::{StatusFilter, TrackQuery, TrackRow};
use crate::domain::{PhoneNumber, ServiceId};
use crate::registry::Registry;

/// A question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Which messages were sent, the newest first. Answered with one [`SendLine`] for each.
    Tracker(TrackerRequest),
    /// API keys. Answered with lines of its own.
    Keys(KeysRequest),
    /// An operator ends a lockout. Answered with nothing but its end.
    Unlock(UnlockRequest),
    /// A copy of everything. Answered with [`CopyNews`] while it is being made, and then its bytes.
    Copy,
}

/// How far a copy is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CopyNews {
    /// So many records were copied so far.
    Copied(u64),
    /// It is complete, with so many records.
    Complete {
        /// How many records of each kind there are.
        records: Vec<(u8, u64)>,
        /// By the server's time all of it was there at this moment, in milliseconds since 1970.
        at: u64,
    },
}

/// Which sends are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrackerRequest {
    /// Those to this number, in E.164 form.
    pub number: Option<String>,
    /// Those with this status, as [`StatusFilter::parse`] reads it.
    pub status: Option<String>,
    /// At most so many.
    pub limit: usize,
}

impl TrackerRequest {
    /// The query.
    ///
    /// # Errors
    /// In words for a person, when a part of it is not what it should be.
    pub fn query(&self) -> Result<TrackQuery, String> {
        let number = self.number.as_deref().map(|text| PhoneNumber::parse(text, None)).transpose();
        let status = match self.status.as_deref() {
            Some(text) => Some(StatusFilter::parse(text).ok_or("no such status")?),
            None => None,
        };
        Ok(TrackQuery { number: number.map_err(|error| error.to_string())?, status, limit: self.limit })
    }
}

/// What an operator may have done to numbers.
pub trait Operator: Send + Sync + 'static {
    /// Ends a number's lockout and clears what was counted of it, durably.
    ///
    /// # Errors
    /// In words for a person.
    fn unlock(&self, service: ServiceId, number: PhoneNumber) -> BoxFuture<'_, Result<(), String>>;
}

/// Which number is to be unlocked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnlockRequest {
    /// In E.164 form.
    pub number: String,
    /// In which service: its id (`VA`), its name, or `default`.
    pub service: String,
}

impl UnlockRequest {
    /// Has it done.
    pub(super) async fn carry_out(
        &self,
        registry: &Registry,
        operator: Option<&dyn Operator>,
    ) -> Result<(), String> {
        let operator = operator.ok_or("this server cannot do that")?;
        let number = PhoneNumber::parse(&self.number, None).map_err(|error| error.to_string())?;
        let service = registry.find_service(&self.service).map_err(|error| error.to_string())?;
        operator.unlock(service.id, number).await
    }
}

/// One line of an answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply {
    /// A part of it.
    Line(serde_json::Value),
    /// So many bytes follow behind this line, as they are.
    Bytes(usize),
    /// It is complete.
    End,
    /// It ends here, because of this.
    Error(String),
}

/// One send, as lists show it. Contains the whole number: it is the answer to its owner's question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendLine {
    /// When it was tried last (RFC 3339, UTC).
    pub time: String,
    /// How it was to be delivered: `sms`, `call`, `whatsapp`.
    #[serde(rename = "type")]
    pub channel: String,
    /// Whom it went to, in E.164 form.
    pub to: String,
    /// Who was asked.
    pub gateway: String,
    /// The gateway's place in the order for this number, from 0.
    pub priority: u8,
    /// `new`, `gateway_error`, `sent`, `unsendable`.
    pub send_status: String,
    /// `new`, `success`, `invalid_code`, `expired`, `gateway_error`.
    pub verify_status: String,
    /// How often it was tried again.
    pub retry_count: u32,
    /// Whether it was given up because it was tried as often as is allowed.
    pub max_retries_reached: bool,
    /// What the provider reported: `queued`, `sending`, `sent`, `answered`, `failed`, `delivered`, `read`.
    pub receipt_status: Option<String>,
    /// The provider's id of the message.
    pub message_id: Option<String>,
    /// The provider's error code.
    pub error_code: Option<u32>,
    /// Which attempt of which verification, as in callback addresses.
    pub attempt: String,
}

impl From<&TrackRow> for SendLine {
    fn from(row: &TrackRow) -> Self {
        Self {
            time: row.at.rfc3339_millis().to_string(),
            channel: row.channel.as_str().to_owned(),
            to: row.number.e164(),
            gateway: row.gateway.as_str().to_owned(),
            priority: row.priority,
            send_status: row.send_status.as_str().to_owned(),
            verify_status: row.verify_status.as_str().to_owned(),
            retry_count: row.retries,
            max_retries_reached: row.max_retries_reached,
            receipt_status: row.receipt.map(|status| status.as_str().to_owned()),
            message_id: row.message_id.clone(),
            error_code: row.error_code,
            attempt: row.attempt.to_string(),
        }
    }
}
