//! The messages on the socket. Requests are also the arguments of their commands. Lines have types of their own: a
//! change of the records does not change what programs read.

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};

use super::audit::{AuditRequest, EraseRequest};
use super::guard::GuardRequest;
use super::keys::KeysRequest;
use super::webhooks::WebhooksRequest;
use crate::attempts::{ListedAttempt, SendQuery, StatusFilter, Totals};
use crate::audit::Author;
use crate::clock::{Clock as _, SystemClock};
use crate::domain::{PhoneNumber, ServiceId, Timestamp};
use crate::registry::Registry;
use crate::verify::{Cleared, NumberStatus, VerificationStatus, Verifying};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ControlRequest {
    /// Answered with one [`SendLine`] for each message, the newest first, or with `TotalLine`s.
    Tracker(TrackerRequest),
    Keys(KeysRequest),
    Webhooks(WebhooksRequest),
    /// Answered with one [`Cleared`].
    Unlock(NumberRequest),
    /// Answered with one `StatusLine`, or with none if the server knows nothing of the number.
    Status(NumberRequest),
    Audit(AuditRequest),
    Erase(EraseRequest),
    Guard(GuardRequest),
    /// Answered with one `ServerLine`.
    Server,
    /// A copy of everything. Answered with `CopyNews` while it is being made, and then its bytes.
    Copy,
}

/// The progress of a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CopyNews {
    Copied(u64),
    Complete {
        records: Vec<(u8, u64)>,
        /// The moment of the copy by the server's time, in milliseconds since 1970.
        at: u64,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Args)]
#[serde(deny_unknown_fields)]
pub struct TrackerRequest {
    /// Only messages to this number.
    #[arg(long, value_name = "NUMBER")]
    pub number: Option<String>,

    /// Only messages of this service: its id (VA...), its name in config.json, its friendly name, or "default".
    #[arg(long, value_name = "NAME|VA..")]
    pub service: Option<String>,

    /// Only messages with this status, in any column ("sent") or in one ("send:sent", "verify:success",
    /// "receipt:delivered").
    #[arg(long, value_name = "STATUS", value_parser = status)]
    pub status: Option<String>,

    /// Only messages since this time: a while ago ("2h", "7d"), a day (2027-01-31, UTC), or a moment (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub since: Option<Timestamp>,

    /// Only messages before this time.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub until: Option<Timestamp>,

    /// At most this many messages.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = at_least_one)]
    pub limit: usize,

    /// Count the messages by status, gateway and type, without a limit, and list none.
    #[arg(long)]
    pub totals: bool,
}

/// Relative times are those of this machine's clock.
pub(super) fn parse_time(text: &str) -> Result<Timestamp, String> {
    if let Ok(ago) = humantime::parse_duration(text) {
        return Ok(SystemClock::start().now().minus(ago));
    }
    Timestamp::parse_day_or_moment(text).ok_or_else(|| {
        "it must be a while ago such as 2h, a day such as 2027-01-31, or RFC 3339 with a Z".to_owned()
    })
}

pub(super) fn at_least_one(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "it must be a whole number from 1".to_owned())
}

fn status(text: &str) -> Result<String, String> {
    let status = StatusFilter::parse(text).map(|_| text.to_owned());
    status.ok_or_else(|| format!("no such status; there are {}", StatusFilter::accepted()))
}

impl TrackerRequest {
    /// `find` finds the service of a name.
    pub fn query(&self, find: impl FnOnce(&str) -> Result<ServiceId, String>) -> Result<SendQuery, String> {
        let number = self.number.as_deref().map(|text| PhoneNumber::parse(text, None)).transpose();
        let status = match self.status.as_deref() {
            Some(text) => Some(StatusFilter::parse(text).ok_or("no such status")?),
            None => None,
        };
        Ok(SendQuery {
            number: number.map_err(|error| error.to_string())?,
            service: self.service.as_deref().map(find).transpose()?,
            status,
            since: self.since.unwrap_or(Timestamp::EPOCH),
            until: self.until,
            limit: self.limit,
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Args)]
#[serde(deny_unknown_fields)]
pub struct NumberRequest {
    /// The number, such as +14155552671.
    pub number: String,

    /// In this service: its id (VA...), its name in config.json, its friendly name.
    #[arg(long, value_name = "NAME|VA..", default_value = "default")]
    pub service: String,
}

impl NumberRequest {
    /// Ends the number's lockout and clears its counts, durably.
    pub(super) async fn unlock(
        &self,
        registry: &Registry,
        verifying: &Verifying,
        by: Author,
    ) -> Result<Cleared, String> {
        let (service, number) = self.resolve(registry)?;
        verifying.clear(service, number, by).await.map_err(|refusal| refusal.to_string())
    }

    pub(super) async fn status(
        &self,
        registry: &Registry,
        verifying: &Verifying,
    ) -> Result<Option<StatusLine>, String> {
        let (service, number) = self.resolve(registry)?;
        let status = verifying.status(service, number).await.map_err(|refusal| refusal.to_string())?;
        Ok(status.map(|status| StatusLine::of(number, status)))
    }

    fn resolve(&self, registry: &Registry) -> Result<(ServiceId, PhoneNumber), String> {
        let number = PhoneNumber::parse(&self.number, None).map_err(|error| error.to_string())?;
        let service = registry.find_service(&self.service)?;
        Ok((service.id, number))
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ControlReply {
    Line(serde_json::Value),
    /// The number of raw bytes that follow this line.
    Bytes(usize),
    End,
    /// The end, with the reason.
    Error(String),
}

/// Why a request was not answered, or cannot be. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("the path {} is too long for a socket; choose a shorter data-dir, or a relative one", .0.display())]
    PathTooLong(PathBuf),
    #[error("a server answers on {} already; stop that one first", .0.display())]
    InUse(PathBuf),
    #[error("{action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "connect to {}: the system does not allow it; run the command as the server's user or as root",
        .0.display()
    )]
    NotAllowed(PathBuf),
    /// No server runs on this data directory, or it has no socket.
    #[error("no server answers on {}", .0.display())]
    NoServer(PathBuf),
    #[error("the server says: {0}")]
    Refused(String),
    #[error("the server's answer is not complete: {0}; ask again, or see its log")]
    Incomplete(String),
}

impl ControlError {
    /// Returns `true` without a socket. A server may still run: then the directory says that it is in use.
    pub const fn has_no_socket(&self) -> bool {
        matches!(self, Self::NoServer(_) | Self::PathTooLong(_))
    }

    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// The server that runs on the data directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerLine {
    pub version: String,
    /// The time by which it decides.
    pub time: Timestamp,
}

impl ServerLine {
    /// Of this program.
    pub fn at(time: Timestamp) -> Self {
        Self { version: env!("CARGO_PKG_VERSION").to_owned(), time }
    }
}

/// What the server knows of a number in one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusLine {
    pub number: String,
    pub service_sid: String,
    pub service_name: String,
    pub verification: Option<VerificationStatus>,
    /// Until when checks are refused.
    pub locked_until: Option<Timestamp>,
    pub wrong_codes_in_a_row: u8,
    /// The oldest first.
    pub messages: Vec<SendLine>,
}

impl StatusLine {
    fn of(number: PhoneNumber, status: NumberStatus) -> Self {
        let NumberStatus { service_sid, service_name, verification, lockout, messages } = status;
        Self {
            number: number.e164(),
            service_sid: service_sid.to_string(),
            service_name,
            verification,
            locked_until: lockout.until,
            wrong_codes_in_a_row: lockout.wrong_codes,
            messages: messages.iter().map(SendLine::from).collect(),
        }
    }
}

/// The number of messages with one value of a property, such as `send` and `sent`; `all` counts every message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TotalLine {
    pub by: String,
    pub value: String,
    pub messages: u64,
}

impl TotalLine {
    pub fn list(totals: &Totals) -> Vec<Self> {
        let line = |(by, value, messages): (&str, &str, u64)| Self {
            by: by.to_owned(),
            value: value.to_owned(),
            messages,
        };
        totals.rows().map(line).collect()
    }
}

/// One send, as lists show it. Contains the whole number: the operator asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendLine {
    /// When it was tried last (RFC 3339, UTC).
    pub time: String,
    #[serde(rename = "type")]
    pub channel: String,
    pub to: String,
    pub gateway: String,
    /// The gateway's place in the order for this number, from 0.
    pub priority: u8,
    /// `new`, `gateway_error`, `sent`, `unsendable`.
    pub send_status: String,
    /// `new`, `success`, `invalid_code`, `expired`, `gateway_error`.
    pub verify_status: String,
    /// When the number was verified (RFC 3339, UTC).
    pub verified_at: Option<String>,
    pub retry_count: u32,
    /// Whether it was given up because it was tried as often as is allowed.
    pub max_retries_reached: bool,
    /// The status that the provider reported: `queued`, `sending`, `sent`, `answered`, `failed`, `delivered`, `read`.
    pub receipt_status: Option<String>,
    pub message_id: Option<String>,
    pub error_code: Option<u32>,
    /// Which attempt of which verification, as in callback addresses.
    pub attempt: String,
}

impl From<&ListedAttempt> for SendLine {
    fn from(listed: &ListedAttempt) -> Self {
        let row = &listed.attempt;
        Self {
            time: row.at.rfc3339_millis().to_string(),
            channel: row.channel.as_str().to_owned(),
            to: listed.number.e164(),
            gateway: row.gateway.as_str().to_owned(),
            priority: row.priority,
            send_status: row.status.as_str().to_owned(),
            verify_status: listed.verify_status.as_str().to_owned(),
            verified_at: listed.verified_at.map(|at| at.rfc3339_millis().to_string()),
            retry_count: row.retries,
            max_retries_reached: row.max_retries_reached,
            receipt_status: row.receipt.map(|status| status.as_str().to_owned()),
            message_id: row.message_id.clone(),
            error_code: row.error_code,
            attempt: listed.id.to_string(),
        }
    }
}
