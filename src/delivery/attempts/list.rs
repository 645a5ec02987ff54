//! The list of attempts, for people and for programs.

use std::collections::BTreeMap;

use super::log::{AttemptLog, VerifyStatus};
use super::status::StatusFilter;
use crate::delivery::{Attempt, SendStatus};
use crate::domain::{AttemptId, AttemptLogKey, PhoneNumber, ServiceId, Timestamp};
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
    pub id: AttemptId,
    /// The recipient.
    pub number: PhoneNumber,
    /// The attempt itself.
    pub attempt: Attempt,
    /// The status of the verification.
    pub verify_status: VerifyStatus,
    /// When that was decided. `None` before the first check.
    pub checked_at: Option<Timestamp>,
    /// Whether this message verified its number, according to the records: the last one that was sent.
    pub converted: bool,
}

impl ListedAttempt {
    /// When the number was verified.
    pub fn verified_at(&self) -> Option<Timestamp> {
        self.checked_at.filter(|_| self.verify_status == VerifyStatus::Success)
    }

    /// Time of the last change.
    pub fn updated(&self) -> Timestamp {
        let verified = self.verified_at().filter(|_| self.converted);
        verified.map_or(self.attempt.at, |verified| verified.max(self.attempt.at))
    }
}

impl SendQuery {
    /// The newest attempts, at most `limit`.
    pub const fn newest(limit: usize) -> Self {
        Self { number: None, service: None, status: None, since: Timestamp::EPOCH, until: None, limit }
    }

    /// Whether it asks for this attempt.
    pub fn fits(&self, row: &ListedAttempt) -> bool {
        self.number.is_none_or(|number| number == row.number)
            && self.service.is_none_or(|service| service == row.id.key.service)
            && row.attempt.at >= self.since
            && self.until.is_none_or(|until| row.attempt.at < until)
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
        let attempt = &row.attempt;
        for of in [
            ("gateway", attempt.gateway.as_str()),
            ("receipt", attempt.receipt.map_or("none", ReceiptStatus::as_str)),
            ("send", attempt.status.as_str()),
            ("type", attempt.channel.as_str()),
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

/// Sorts by date, the newest first, and keeps the first `most`.
pub(super) fn keep_newest(rows: &mut Vec<ListedAttempt>, most: usize) {
    rows.sort_unstable_by_key(|row| std::cmp::Reverse((row.attempt.at, row.id.key, row.id.attempt)));
    rows.truncate(most);
}

/// The attempts of one verification.
pub fn attempts_of(key: AttemptLogKey, log: AttemptLog) -> impl ExactSizeIterator<Item = ListedAttempt> {
    let AttemptLog { number, verify, verify_at, rows, .. } = log;
    let checked_at = (verify != VerifyStatus::New).then_some(verify_at);
    let last_sent = rows.iter().rposition(|row| row.status == SendStatus::Sent);
    rows.into_iter().enumerate().map(move |(place, attempt)| ListedAttempt {
        id: AttemptId { key, attempt: attempt.number },
        number,
        attempt,
        verify_status: verify,
        checked_at,
        converted: verify == VerifyStatus::Success && last_sent == Some(place),
    })
}
