//! Delivery attempts: the status of each message, and planned messages.
//!
//! One record for each verification, with a row for each attempt, in the slot of its number, and in no other: an erasure
//! and the attempts of one verification rest on that. It is written in the commit of the decision about the number.
//! `verification` makes the planned sends when their shard says that they are due. This module reads, lists and removes records.

mod list;
mod log;
#[cfg(test)]
pub(crate) mod tests;

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::ops::ControlFlow::{Break, Continue};
use std::time::Duration;

use crate::config::AttemptLogSettings;
use crate::domain::{AttemptLogKey, PhoneNumber, ServerKey, ServiceId, Timestamp};
use crate::engine::{Sealer, VerificationAddress};
use crate::limits::guard::Ticket;
use crate::shard::{
    LogPart, LogRange, Record, RecordKey, RecordLog, Refusal, Shards, Stored, Usage, service_of,
};

pub use self::list::{AttemptQuery, ListedAttempt, StatusFilter, attempts_of};
pub use self::log::{AttemptLog, Checked, MOST_ROWS, PlannedSend, ReceiptOutcome, VerifyStatus};

/// A cheap handle on the records of all shards.
#[derive(Clone)]
pub struct Attempts {
    shards: Shards,
    log: RecordLog<AttemptLog>,
    /// The limits on attempt logs.
    pub settings: AttemptLogSettings,
    /// Opens the ids of verifications.
    sealer: Sealer,
}

/// Longer than a verification takes from its first message to its last: a code lives an hour at most.
const LONGEST_VERIFICATION: Duration = Duration::from_secs(24 * 60 * 60);

/// Where the record under a key is.
fn record_key(key: AttemptLogKey) -> RecordKey {
    RecordKey { slot: key.slot(), kind: AttemptLog::KIND, id: key.id() }
}

impl Attempts {
    /// Follows the records of these shards. Needs a tokio runtime.
    pub fn new(shards: &Shards, key: &ServerKey, settings: AttemptLogSettings) -> Self {
        let AttemptLogSettings { keep_at_most, keep_for } = settings;
        let log = RecordLog::follow(shards, keep_at_most, keep_for);
        Self { shards: shards.clone(), log, settings, sealer: Sealer::new(key) }
    }

    /// Calls `on_due` when a planned send is due. Only the first one counts.
    pub fn on_due(&self, on_due: impl Fn(AttemptLogKey) + Send + Sync + 'static) {
        self.log.on_due(move |key| on_due(AttemptLogKey::from_id(key.id)));
    }

    /// The verifications whose attempts are remembered, and the number from which on the oldest are forgotten.
    pub fn usage(&self) -> Usage {
        Usage { held: self.log.count(), limit: self.settings.keep_at_most }
    }

    /// The record of one verification. `None` when there is none, or none any more.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while its shard does not run, [`Refusal::StoreUnavailable`] and [`Refusal::OutcomeUnknown`]
    /// if the store does not confirm what was read.
    pub async fn log(&self, key: AttemptLogKey) -> Result<Option<AttemptLog>, Refusal> {
        self.shards.get(record_key(key)).await
    }

    /// The attempts of the records under these keys. The shards only copy the records.
    async fn read(
        &self,
        keys: impl Iterator<Item = AttemptLogKey>,
    ) -> Result<impl Iterator<Item = ListedAttempt>, Refusal> {
        let found = self.shards.get_each(keys.map(record_key)).await?;
        let log = |(key, stored): (RecordKey, Stored)| {
            Some((AttemptLogKey::from_id(key.id), stored.record::<AttemptLog>()?))
        };
        Ok(found.into_iter().filter_map(log).flat_map(|(key, log)| attempts_of(key, log)))
    }

    /// The services with a record of this number.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while a shard does not run, [`Refusal::StoreUnavailable`] and [`Refusal::OutcomeUnknown`] if
    /// the store does not confirm what was read.
    pub async fn services_of(&self, number: PhoneNumber) -> Result<BTreeSet<ServiceId>, Refusal> {
        let mut services = BTreeSet::new();
        let page = |records: Vec<(RecordKey, AttemptLog)>, _| {
            let about = records.into_iter().filter(|(_, log)| log.number == number);
            services.extend(about.map(|(key, _)| service_of(&key.id)));
            Continue(())
        };
        self.log.for_each_page(None, None, page).await?;
        Ok(services)
    }

    /// Passes every attempt that a query asks for to `visit`, whatever its limit, in no exact order.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while a shard does not run, [`Refusal::StoreUnavailable`] and [`Refusal::OutcomeUnknown`] if
    /// the store does not confirm what was read.
    pub async fn each(
        &self,
        query: &AttemptQuery,
        mut visit: impl FnMut(ListedAttempt),
    ) -> Result<(), Refusal> {
        let services = query.services.as_deref();
        if let Some(sid) = &query.verification {
            let address = self.sealer.open_verification(sid);
            let is_visible =
                |address: &VerificationAddress| services.is_none_or(|of| of.contains(&address.service));
            let Some(VerificationAddress { service, number, name }) = address.filter(is_visible) else {
                return Ok(());
            };
            // The name leaves the slot open.
            let keys = name.ids().map(|verification| AttemptLogKey { service, verification });
            let found = self.read(keys).await?;
            found.filter(|row| row.number == number && query.fits(row)).for_each(visit);
            return Ok(());
        }
        // A record is listed by its newest attempt, which may be later than the attempts that the query is about.
        let until = query.before.map(|before| before.plus(LONGEST_VERIFICATION));
        let page = |records: Vec<(RecordKey, AttemptLog)>, latest_to_come: Timestamp| {
            let of = |(key, log): (RecordKey, AttemptLog)| attempts_of(AttemptLogKey::from_id(key.id), log);
            let attempts = records.into_iter().flat_map(of);
            attempts.filter(|row| query.fits(row)).for_each(&mut visit);
            if latest_to_come < query.since() { Break(()) } else { Continue(()) }
        };
        self.log.for_each_page(services, until, page).await
    }

    /// The attempts that a query asks for, the newest first. Reads no more pages than these need. A verification whose
    /// last message came a day after the query's end may be missing.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while a shard does not run, [`Refusal::StoreUnavailable`] and [`Refusal::OutcomeUnknown`] if
    /// the store does not confirm what was read.
    pub async fn list(&self, query: &AttemptQuery) -> Result<LogPart<ListedAttempt>, Refusal> {
        let (skip, limit, read) = (query.skip, query.limit, query.read.unwrap_or(usize::MAX));
        if query.verification.is_some() {
            let mut records = Vec::new();
            self.each(query, |attempt| records.push(attempt)).await?;
            records.sort_unstable_by_key(|row| Reverse((row.attempt.at, row.id.attempt)));
            let records = records.into_iter().skip(skip).take(limit).collect();
            return Ok(LogPart { records, has_more: false, stopped: None });
        }
        let fits = |row: &ListedAttempt| query.fits(row);
        let range = LogRange { since: query.since(), until: query.before, fits, skip, limit, read };
        let parts = |key: &RecordKey, log| {
            let attempts = attempts_of(AttemptLogKey::from_id(key.id), log);
            attempts.map(|row| (row.attempt.at, (row.id.key, row.id.attempt), row)).collect()
        };
        self.log.list_parts(query.services.as_deref(), range, LONGEST_VERIFICATION, parts).await
    }

    /// Passes what the guard took for messages since a moment to `visit`.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while a shard does not run, [`Refusal::StoreUnavailable`] and [`Refusal::OutcomeUnknown`] if
    /// the store does not confirm what was read.
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
        self.log.for_each_page(None, None, page).await
    }
}
