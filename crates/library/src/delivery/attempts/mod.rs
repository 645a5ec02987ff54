//! Delivery attempts: the status of each message, and planned messages.
//!
//! One record for each verification, with a row for each attempt, in the slot of its number, and in no other: an erasure
//! and the attempts of one verification rest on that. It is written in the commit of the decision about the number.
//! `verification` makes the planned sends when their shard says that they are due. This module reads, lists and removes records.

mod log;
#[cfg(test)]
pub(crate) mod tests;

use std::cmp::Reverse;
use std::ops::ControlFlow::{Break, Continue};
use std::time::Duration;

pub use self::log::{AttemptLog, Begun, MOST_ROWS, ReceiptOutcome, VerifyStatus};
use crate::config::AttemptLogSettings;
use crate::delivery::{Attempt, SendStatus};
use crate::domain::{
    AttemptId, AttemptLogKey, Channel, GatewayName, PhoneNumber, Region, ServerKey, ServiceId, Sid, Timestamp,
};
use crate::engine::{Sealer, SlotHash, VerificationAddress};
use crate::gateway::ReceiptStatus;
use crate::limits::guard::Ticket;
use crate::shard::{Id, LogRange, RecordKey, Refusal, Shards, service_of};

/// A cheap handle on the records of all shards.
#[derive(Clone)]
pub struct Attempts {
    shards: Shards,
    /// The limits on attempt logs.
    pub settings: AttemptLogSettings,
    /// Opens the ids of verifications.
    sealer: Sealer,
    slots: SlotHash,
}

/// Longer than a verification takes from its first message to its last: a code lives an hour at most.
const LONGEST_VERIFICATION: Duration = Duration::from_secs(24 * 60 * 60);

impl Attempts {
    /// Follows the records of these shards. Needs a tokio runtime.
    pub fn new(shards: &Shards, key: &ServerKey, settings: AttemptLogSettings) -> Self {
        let AttemptLogSettings { keep_at_most, keep_for } = settings;
        shards.keep_newest::<AttemptLog>([keep_at_most, usize::MAX], keep_for);
        Self { shards: shards.clone(), settings, sealer: Sealer::new(key), slots: SlotHash::new(key) }
    }

    /// Calls `on_due` when a planned send is due.
    pub fn on_due(&self, on_due: impl Fn(AttemptLogKey) + Clone + Send + 'static) {
        self.shards.on_due::<AttemptLog>(move |key| on_due(AttemptLogKey::from_id(key.id)));
    }

    /// The record of one verification. `None` when there is none, or none any more.
    ///
    /// # Errors
    /// As [`Shards::read`].
    pub async fn log(&self, key: AttemptLogKey) -> Result<Option<AttemptLog>, Refusal> {
        self.shards.read(key.slot(), move |view| view.get(key.id())).await
    }

    /// Passes every attempt to `visit`, by the order of keys, which costs less than any other.
    ///
    /// # Errors
    /// Those of [`Shards::for_each`].
    pub async fn all(&self, mut visit: impl FnMut(ListedAttempt)) -> Result<(), Refusal> {
        let visit = |key: RecordKey, log| attempts_of(key.id, log).for_each(&mut visit);
        self.shards.for_each::<AttemptLog>(visit).await
    }

    /// Passes every attempt that a query asks for to `visit`, whatever its limit, in no exact order. Not for one verification.
    ///
    /// # Errors
    /// As [`Shards::read`].
    pub async fn each(
        &self,
        query: &AttemptQuery,
        mut visit: impl FnMut(ListedAttempt),
    ) -> Result<(), Refusal> {
        // A record is listed by its newest attempt, which may be later than the attempts that the query is about.
        let until = query.before.map(|before| before.plus(LONGEST_VERIFICATION));
        let page = |records: Vec<(RecordKey, AttemptLog)>, latest_to_come: Timestamp| {
            let attempts = records.into_iter().flat_map(|(key, log)| attempts_of(key.id, log));
            attempts.filter(|row| query.fits(row)).for_each(&mut visit);
            if latest_to_come < query.since() { Break(()) } else { Continue(()) }
        };
        self.shards.newest_first(query.services.as_deref(), until, page).await
    }

    /// The attempts that a query asks for, the newest first. Reads no more pages than these need. A verification whose
    /// last message came a day after the query's end may be missing.
    ///
    /// # Errors
    /// As [`Shards::read`].
    pub async fn list(&self, query: &AttemptQuery) -> Result<Vec<ListedAttempt>, Refusal> {
        let (skip, limit) = (query.skip, query.limit);
        let services = query.services.as_deref();
        if let Some(sid) = &query.verification {
            let Some(VerificationAddress { service, number, name }) = self.sealer.open_verification(sid)
            else {
                return Ok(Vec::new());
            };
            let (slot, is_visible) =
                (self.slots.of_number(service, number), services.is_none_or(|of| of.contains(&service)));
            let logs = self.shards.read(slot, move |view| {
                // The name leaves two bits open beside the slot.
                let keys = name.ids().map(|verification| AttemptLogKey { service, verification });
                let log = |key: AttemptLogKey| Some((key.id(), view.get(key.id())?));
                keys.filter(|key| key.slot() == slot).filter_map(log).collect::<Vec<_>>()
            });
            let found = logs.await?.into_iter().flat_map(|(id, log)| attempts_of(id, log));
            let found = found.filter(|row| is_visible && row.number == number && query.fits(row));
            let mut records: Vec<_> = found.collect();
            records.sort_unstable_by_key(|row| Reverse((row.attempt.at, row.id.attempt)));
            return Ok(records.into_iter().skip(skip).take(limit).collect());
        }
        let fits = |row: &ListedAttempt| query.fits(row);
        let range = LogRange { since: query.since(), until: query.before, fits, skip, limit };
        let parts = |key: RecordKey, log| {
            let attempts = attempts_of(key.id, log);
            attempts.map(|row| (row.attempt.at, (row.id.key, row.id.attempt), row)).collect()
        };
        self.shards.list(query.services.as_deref(), range, LONGEST_VERIFICATION, parts).await
    }

    /// The records with messages that were under way when they were written.
    ///
    /// # Errors
    /// As [`Shards::read`].
    pub async fn under_way(&self) -> Result<Vec<(AttemptLogKey, AttemptLog)>, Refusal> {
        let mut found = Vec::new();
        let visit = |key: RecordKey, log: AttemptLog| {
            found.extend((!log.begun.is_empty()).then(|| (AttemptLogKey::from_id(key.id), log)));
        };
        self.shards.for_each(visit).await?;
        Ok(found)
    }

    /// Passes what the guard took for messages since a moment to `visit`.
    ///
    /// # Errors
    /// As [`Shards::read`].
    pub async fn taken_since(
        &self,
        since: Timestamp,
        mut visit: impl FnMut(ServiceId, PhoneNumber, &Ticket),
    ) -> Result<(), Refusal> {
        let page = |records: Vec<(RecordKey, AttemptLog)>, latest_to_come: Timestamp| {
            for (key, log) in records {
                log.taken.iter().for_each(|ticket| visit(service_of(&key.id), log.number, ticket));
            }
            if latest_to_come < since { Break(()) } else { Continue(()) }
        };
        self.shards.newest_first(None, None, page).await
    }
}

// The list of attempts, for people and for programs.

/// The attempts that a list is about, and how many of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AttemptQuery {
    /// Of one of these services; `None` for all.
    pub services: Option<Vec<ServiceId>>,
    /// Made at or after this moment.
    pub after: Option<Timestamp>,
    /// Made before this moment.
    pub before: Option<Timestamp>,
    /// To this number.
    pub to: Option<PhoneNumber>,
    /// To numbers of this country.
    pub country: Option<Region>,
    /// To numbers that begin with these digits, without a `+`.
    pub prefix: Option<String>,
    /// On this channel.
    pub channel: Option<Channel>,
    /// Of this verification (`VE`).
    pub verification: Option<Sid>,
    /// That led to a verified number, or did not.
    pub converted: Option<bool>,
    /// By this gateway.
    pub gateway: Option<GatewayName>,
    /// With this status.
    pub status: Option<StatusFilter>,
    /// With this error code of the provider.
    pub error: Option<u32>,
    /// To numbers that end with these digits.
    pub ending: Option<String>,
    /// With this id of the provider's, in letters of either case.
    pub message: Option<String>,
    /// How many of the newest are left out.
    pub skip: usize,
    /// The largest number of attempts.
    pub limit: usize,
}

/// One attempt in a list, with the state of its verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedAttempt {
    /// Which attempt of which verification.
    pub id: AttemptId,
    /// The recipient.
    pub number: PhoneNumber,
    /// When the code ends; `None` for one that another system made.
    pub ends: Option<Timestamp>,
    /// The attempt itself.
    pub attempt: Attempt,
    /// What its text is paid for, in text messages.
    pub parts: u8,
    /// The status of the verification.
    pub verify_status: VerifyStatus,
    /// When that was decided. `None` before the first check.
    pub checked_at: Option<Timestamp>,
    /// Whether this message verified its number: the last one that may have left when the code was entered, which
    /// [`AttemptLog::last`] told of.
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

impl AttemptQuery {
    /// The newest attempts, at most `limit`.
    pub fn newest(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    /// No earlier attempt is wanted.
    pub(super) fn since(&self) -> Timestamp {
        self.after.unwrap_or(Timestamp::EPOCH)
    }

    /// Whether it asks for this attempt, of a verification that is asked for.
    pub(super) fn fits(&self, listed: &ListedAttempt) -> bool {
        let (row, number) = (&listed.attempt, listed.number);
        let digits = || number.as_u64().to_string();
        row.at >= self.since()
            && self.before.is_none_or(|before| row.at < before)
            && self.to.is_none_or(|to| number == to)
            && self.channel.is_none_or(|channel| row.channel == channel)
            && self.converted.is_none_or(|converted| listed.converted == converted)
            && self.gateway.is_none_or(|gateway| row.gateway == gateway)
            && self.error.is_none_or(|error| row.error_code == Some(error))
            && self.status.is_none_or(|status| status.fits(listed))
            && self.message.as_ref().is_none_or(|id| {
                row.message_id.as_ref().is_some_and(|known| known.eq_ignore_ascii_case(id))
            })
            && self.ending.as_ref().is_none_or(|ending| digits().ends_with(ending.as_str()))
            && self.prefix.as_ref().is_none_or(|prefix| digits().starts_with(prefix.as_str()))
            // Costs microseconds; therefore it comes last.
            && self.country.is_none_or(|country| number.region() == Some(country))
    }
}

/// The attempts of one verification, by the id of its record.
pub fn attempts_of(id: Id, log: AttemptLog) -> impl ExactSizeIterator<Item = ListedAttempt> {
    let key = AttemptLogKey::from_id(id);
    let AttemptLog { number, verify, verify_at, rows, parts, .. } = log;
    let ends = (!log.is_carried).then_some(log.ends);
    let checked_at = (verify != VerifyStatus::New).then_some(verify_at);
    let in_time = rows.iter().rposition(|row| row.may_have_left() && row.at <= verify_at);
    // A check may be faster than the gateway's answer.
    let entered = in_time.or_else(|| rows.iter().rposition(Attempt::may_have_left));
    rows.into_iter().enumerate().map(move |(place, attempt)| ListedAttempt {
        id: AttemptId { key, attempt: attempt.number },
        number,
        ends,
        parts: if attempt.channel == Channel::Sms { parts } else { 1 },
        attempt,
        verify_status: verify,
        checked_at,
        converted: verify == VerifyStatus::Success && entered == Some(place),
    })
}

/// Which rows are wanted: those with a status of one column, such as `send:sent`, `verify:success`, `receipt:delivered`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusFilter {
    /// The message itself.
    Send(SendStatus),
    /// Its verification.
    Verify(VerifyStatus),
    /// The provider's report.
    Receipt(ReceiptStatus),
}

impl std::fmt::Display for StatusFilter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Send(status) => write!(f, "send:{status}"),
            Self::Verify(status) => write!(f, "verify:{status}"),
            Self::Receipt(status) => write!(f, "receipt:{status}"),
        }
    }
}

impl StatusFilter {
    fn all() -> impl Iterator<Item = Self> {
        let send = SendStatus::ALL.map(Self::Send).into_iter();
        send.chain(VerifyStatus::ALL.map(Self::Verify)).chain(ReceiptStatus::ALL.map(Self::Receipt))
    }

    /// `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::all().find(|known| known.to_string() == text)
    }

    /// The values that [`StatusFilter::parse`] reads, for an error message.
    pub fn accepted() -> String {
        Self::all().map(|known| known.to_string()).collect::<Vec<_>>().join(", ")
    }

    /// Whether a row has this status.
    pub fn fits(self, row: &ListedAttempt) -> bool {
        match self {
            Self::Send(status) => row.attempt.status == status,
            Self::Verify(status) => row.verify_status == status,
            Self::Receipt(status) => row.attempt.receipt == Some(status),
        }
    }
}
