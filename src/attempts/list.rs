//! The list of attempts, for people and for programs.

use std::collections::BTreeMap;

use super::log::{AttemptLog, VerifyStatus};
use super::status::StatusFilter;
use crate::delivery::{Attempt, SendStatus};
use crate::domain::{AttemptId, AttemptLogKey, Channel, GatewayName, PhoneNumber, ServiceId, Timestamp};
use crate::gateway::ReceiptStatus;

/// A filter of sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendQuery {
    /// Only attempts to this number; `None` for every number.
    pub number: Option<PhoneNumber>,
    /// Only attempts of this service; `None` for every service.
    pub service: Option<ServiceId>,
    /// Only attempts with this status; `None` for every status.
    pub status: Option<StatusFilter>,
    /// Only attempts at this moment or after it.
    pub since: Timestamp,
    /// Only attempts before this moment.
    pub until: Option<Timestamp>,
    /// The largest number of attempts; the newest are listed.
    pub limit: usize,
}

/// One attempt in a list, with the state of its verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedAttempt {
    /// Which attempt of which verification.
    pub attempt: AttemptId,
    /// Carried the message: a text, a call or `WhatsApp`.
    pub channel: Channel,
    /// The recipient.
    pub number: PhoneNumber,
    /// Received the request.
    pub gateway: GatewayName,
    /// The gateway's place in the order for this number, from 0.
    pub priority: u8,
    /// The status of the send.
    pub send_status: SendStatus,
    /// The status of the verification.
    pub verify_status: VerifyStatus,
    /// When the number was verified.
    pub verified_at: Option<Timestamp>,
    /// The number of retries.
    pub retries: u32,
    /// Whether it was given up because it was tried as often as is allowed.
    pub max_retries_reached: bool,
    /// When it was tried last.
    pub at: Timestamp,
    /// The provider's latest report.
    pub receipt: Option<ReceiptStatus>,
    /// When that came.
    pub receipt_at: Option<Timestamp>,
    /// The provider's id of the message.
    pub message_id: Option<String>,
    /// The provider's error code.
    pub error_code: Option<u32>,
    /// Time of the last change.
    pub updated: Timestamp,
    /// Whether this message verified its number, according to the records: the last one that was sent.
    pub converted: bool,
}

impl SendQuery {
    /// The newest attempts, at most `limit`.
    pub const fn newest(limit: usize) -> Self {
        Self { number: None, service: None, status: None, since: Timestamp::EPOCH, until: None, limit }
    }

    /// Whether it asks for this attempt.
    pub fn fits(&self, row: &ListedAttempt) -> bool {
        self.number.is_none_or(|number| number == row.number)
            && self.service.is_none_or(|service| service == row.attempt.key.service)
            && row.at >= self.since
            && self.until.is_none_or(|until| row.at < until)
            && self.status.is_none_or(|status| status.fits(row))
    }
}

/// Numbers of attempts, by their properties.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Totals {
    all: u64,
    counts: BTreeMap<(&'static str, &'static str), u64>,
}

impl Totals {
    /// Counts one attempt.
    pub fn add(&mut self, row: &ListedAttempt) {
        self.all += 1;
        for of in [
            ("gateway", row.gateway.as_str()),
            ("receipt", row.receipt.map_or("none", ReceiptStatus::as_str)),
            ("send", row.send_status.as_str()),
            ("type", row.channel.as_str()),
            ("verify", row.verify_status.as_str()),
        ] {
            *self.counts.entry(of).or_default() += 1;
        }
    }

    /// All attempts, and those with each value of each property: `("send", "sent", 7)`.
    pub fn rows(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let counts = self.counts.iter().map(|((by, value), count)| (*by, *value, *count));
        std::iter::once(("all", "", self.all)).chain(counts)
    }
}

/// A list built from the records of a stopped server.
#[derive(Debug)]
pub struct Listing {
    query: SendQuery,
    rows: Vec<ListedAttempt>,
    totals: Totals,
}

impl Listing {
    /// An empty list.
    pub fn of(query: SendQuery) -> Self {
        Self { query, rows: Vec::new(), totals: Totals::default() }
    }

    /// Adds the wanted rows of one record.
    pub fn add(&mut self, key: AttemptLogKey, log: &AttemptLog) {
        for row in attempts_of(key, log).into_iter().filter(|row| self.query.fits(row)) {
            self.totals.add(&row);
            self.rows.push(row);
        }
        // Sorts seldom and never holds many more than are wanted.
        if self.rows.len() > self.query.limit.saturating_mul(2).saturating_add(1_000) {
            keep_newest(&mut self.rows, self.query.limit);
        }
    }

    /// All that fit, also those beyond the limit.
    pub const fn totals(&self) -> &Totals {
        &self.totals
    }

    /// The newest first.
    pub fn into_rows(mut self) -> Vec<ListedAttempt> {
        keep_newest(&mut self.rows, self.query.limit);
        self.rows
    }
}

/// Sorts by date, the newest first, and keeps the first `most`.
pub(super) fn keep_newest(rows: &mut Vec<ListedAttempt>, most: usize) {
    rows.sort_unstable_by_key(|row| std::cmp::Reverse((row.at, row.attempt.key, row.attempt.attempt)));
    rows.truncate(most);
}

/// The attempts of one verification.
pub fn attempts_of(key: AttemptLogKey, log: &AttemptLog) -> Vec<ListedAttempt> {
    let last_sent = log.rows.iter().rposition(|row| row.status == SendStatus::Sent);
    let is_verified = log.verify == VerifyStatus::Success;
    let listed = |(place, row): (usize, &Attempt)| {
        let converted = is_verified && last_sent == Some(place);
        ListedAttempt {
            attempt: AttemptId { key, attempt: row.number },
            channel: row.channel,
            number: log.number,
            gateway: row.gateway,
            priority: row.priority,
            send_status: row.status,
            verify_status: log.verify,
            verified_at: is_verified.then_some(log.verify_at),
            retries: row.retries,
            max_retries_reached: row.max_retries_reached,
            at: row.at,
            receipt: row.receipt,
            receipt_at: row.receipt_at,
            message_id: row.message_id.clone(),
            error_code: row.error_code,
            updated: if converted { row.at.max(log.verify_at) } else { row.at },
            converted,
        }
    };
    log.rows.iter().enumerate().map(listed).collect()
}
