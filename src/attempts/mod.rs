//! Delivery attempts: the status of each message, and planned messages.
//!
//! One record for each verification, with a row for each attempt, in the slot of its number. It is written in the
//! commit of the decision about the number: see [`AttemptLogWriter`]. The scheduler in `numbers` makes the planned sends,
//! which it takes from an index over the records. This module reads, lists and removes records.

mod decide;
mod index;
mod list;
mod log;
mod status;
#[cfg(test)]
pub(crate) mod tests;

use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;

use self::index::{Dated, Indexes};
use crate::clock::Clock;
use crate::config::TrackerSettings;
use crate::domain::{AttemptLogKey, PhoneNumber, ServiceId, Timestamp};
use crate::engine::VerificationName;
use crate::shard::{Record, RecordKey, Refusal, Router, Shards, Stored, Usage, decode};

pub use self::decide::AttemptLogWriter;
pub use self::index::Due;
pub use self::list::{ListedAttempt, Listing, Totals, TrackQuery, TrackRow, attempts_of};
pub use self::log::{AttemptLog, EndedSend, MOST_ROWS, PlannedSend, ReceiptOutcome, Row, VerifyStatus};
pub use self::status::StatusFilter;

/// Records per page. Reading one blocks a shard for some 50 us.
const PAGE: usize = 512;

/// Records that are forgotten at once.
const FORGET_AT_ONCE: usize = 256;

/// Interval between removals of expired records.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// A cheap handle on the records of all shards.
#[derive(Clone)]
pub struct Attempts {
    router: Arc<Router>,
    indexes: Arc<Indexes>,
    settings: TrackerSettings,
    /// Ends the task that forgets records, together with the last handle.
    _alive: Arc<watch::Sender<()>>,
}

/// The attempts that a list is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptScope {
    /// Those of all services.
    All,
    /// Those of these services.
    Services(Vec<ServiceId>),
    /// Those of a verification. The slot of its record is unknown, because an import under another server key moves the
    /// number to another slot; therefore every slot is searched.
    Verification(ServiceId, VerificationName),
}

impl AttemptScope {
    fn of(query: &TrackQuery) -> Self {
        query.service.map_or(Self::All, |service| Self::Services(vec![service]))
    }
}

/// Where the record under a key is.
fn record_key(key: AttemptLogKey) -> RecordKey {
    RecordKey { slot: key.slot(), kind: AttemptLog::KIND, id: key.id() }
}

impl Attempts {
    /// Follows the records of these shards. Needs a tokio runtime.
    pub fn new(shards: &Shards, settings: TrackerSettings) -> Self {
        let router = Arc::clone(shards.router());
        let indexes = Arc::new(Indexes::new(router.shards(), settings.keep_at_most));
        let followed = Arc::clone(&indexes);
        shards.follow::<AttemptLog>(Arc::new(move |shard| Box::new(followed.begin(shard))));
        let alive = Arc::new(watch::Sender::new(()));
        let retention = Retention {
            router: Arc::clone(&router),
            indexes: Arc::downgrade(&indexes),
            clock: Arc::clone(shards.clock()),
            settings,
        };
        tokio::spawn(retention.run(alive.subscribe()));
        Self { router, indexes, settings, _alive: alive }
    }

    /// The limits on attempt logs.
    pub const fn settings(&self) -> TrackerSettings {
        self.settings
    }

    /// The verifications whose attempts are remembered, and the number from which on the oldest are forgotten.
    pub fn usage(&self) -> Usage {
        Usage { held: self.indexes.len(), limit: self.settings.keep_at_most }
    }

    /// The record of one verification. `None` when there is none, or none any more.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while its shard cannot say.
    pub async fn log(&self, key: AttemptLogKey) -> Result<Option<AttemptLog>, Refusal> {
        self.router.get(record_key(key)).await
    }

    /// Passes the attempts of `scope` to `visit` page by page. The verification with the newest attempt comes first. No
    /// attempt on a later page is newer than the timestamp. Dropping the future ends the work.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while a shard cannot say.
    async fn for_each_page(
        &self,
        scope: &AttemptScope,
        mut visit: impl FnMut(&mut dyn Iterator<Item = ListedAttempt>, Timestamp) -> ControlFlow<()>,
    ) -> Result<(), Refusal> {
        if let AttemptScope::Verification(service, name) = *scope {
            let keys = name.tracks().map(|track| AttemptLogKey { service, track });
            let _ = visit(&mut self.read(keys).await?, Timestamp::EPOCH);
            return Ok(());
        }
        // An index that a shard was just given is complete when the shard answers.
        for shard in 0..self.router.shards() {
            self.router.read_shard(shard, |_, _| ()).await?;
        }
        let services = match scope {
            AttemptScope::Services(services) => Some(services.as_slice()),
            AttemptScope::All | AttemptScope::Verification(..) => None,
        };
        let mut before = None;
        loop {
            let _turn = self.router.page_turn().await;
            let page = self.indexes.newest(services, before, PAGE);
            let Some(last) = page.last().copied() else { return Ok(()) };
            before = Some(last);
            let mut attempts = self.read(page.into_iter().map(|(_, key)| key)).await?;
            if let Break(()) = visit(&mut attempts, last.0) {
                return Ok(());
            }
        }
    }

    /// The attempts of the records under these keys. The shards only copy the records.
    async fn read(
        &self,
        keys: impl Iterator<Item = AttemptLogKey>,
    ) -> Result<impl Iterator<Item = ListedAttempt>, Refusal> {
        let found = self.router.get_each(keys.map(record_key)).await?;
        let log = |(key, stored): (RecordKey, Stored)| {
            Some((AttemptLogKey::from_id(key.id), decode::<AttemptLog>(&stored.bytes).ok()?))
        };
        Ok(found.into_iter().filter_map(log).flat_map(|(key, log)| attempts_of(key, &log)))
    }

    /// Removes every record of this number, also those that an import under another server key left in another slot. They
    /// are gone from memory, and from the disk with the next commit. Returns `true` if there was one.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while a shard cannot say.
    pub async fn erase(&self, service: ServiceId, number: PhoneNumber) -> Result<bool, Refusal> {
        let (mut before, mut has_found) = (None, false);
        loop {
            let _turn = self.router.page_turn().await;
            let page = self.indexes.newest(Some(&[service]), before, PAGE);
            let Some(last) = page.last().copied() else { return Ok(has_found) };
            before = Some(last);
            let found = self.router.get_each(page.into_iter().map(|(_, key)| record_key(key))).await?;
            let is_about =
                |stored: &Stored| decode::<AttemptLog>(&stored.bytes).is_ok_and(|log| log.number == number);
            let about = found.into_iter().filter(|(_, stored)| is_about(stored)).map(|(key, _)| key);
            let about: Vec<_> = about.collect();
            has_found |= !about.is_empty();
            self.router.evict(about, |_: &AttemptLog| true).await;
        }
    }

    /// Passes every attempt of `scope` at or after `since` to `visit`, and perhaps earlier ones, in no exact order.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while a shard cannot say.
    pub async fn each(
        &self,
        scope: &AttemptScope,
        since: Timestamp,
        mut visit: impl FnMut(ListedAttempt),
    ) -> Result<(), Refusal> {
        let each = |attempts: &mut dyn Iterator<Item = ListedAttempt>, latest_to_come: Timestamp| {
            attempts.for_each(&mut visit);
            if latest_to_come < since { Break(()) } else { Continue(()) }
        };
        self.for_each_page(scope, each).await
    }

    /// The newest attempts of `scope` at or after `since` that `fits` accepts, at most `most`, the newest first. Reads
    /// no more pages than these need.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while a shard cannot say.
    pub async fn newest(
        &self,
        scope: &AttemptScope,
        since: Timestamp,
        fits: impl Fn(&ListedAttempt) -> bool,
        most: usize,
    ) -> Result<Vec<ListedAttempt>, Refusal> {
        let mut rows: Vec<ListedAttempt> = Vec::new();
        let take = |attempts: &mut dyn Iterator<Item = ListedAttempt>, latest_to_come: Timestamp| {
            rows.extend(attempts.filter(&fits));
            list::keep_newest(&mut rows, most, |listed| &listed.row);
            let is_complete = rows.len() == most && rows.last().is_none_or(|row| row.row.at > latest_to_come);
            if is_complete || latest_to_come < since { Break(()) } else { Continue(()) }
        };
        self.for_each_page(scope, take).await?;
        Ok(rows)
    }

    /// The newest attempts that a query asks for.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while a shard cannot say.
    pub async fn list(&self, query: &TrackQuery) -> Result<Vec<TrackRow>, Refusal> {
        let fits = |listed: &ListedAttempt| query.fits(&listed.row);
        let found = self.newest(&AttemptScope::of(query), query.since, fits, query.limit).await?;
        Ok(found.into_iter().map(|listed| listed.row).collect())
    }

    /// The numbers of the attempts that a query asks for, whatever its limit.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while a shard cannot say.
    pub async fn totals(&self, query: &TrackQuery) -> Result<Totals, Refusal> {
        let mut totals = Totals::default();
        let count = |listed: ListedAttempt| {
            if query.fits(&listed.row) {
                totals.add(&listed.row);
            }
        };
        self.each(&AttemptScope::of(query), query.since, count).await?;
        Ok(totals)
    }

    /// Takes at most `most` follow-ups that are due.
    pub fn take_due(&self, now: Timestamp, most: usize) -> Vec<Due> {
        self.indexes.take_due(now, most)
    }

    /// A follow-up that was taken could not be made, and is due again at `until`, if it is still planned.
    pub fn put_back(&self, due: Due, until: Timestamp) {
        self.indexes.put_back(self.router.owner(due.key.slot()), due.key, until);
    }

    /// Whether nothing is planned.
    pub fn has_no_plans(&self) -> bool {
        self.indexes.has_no_plans()
    }

    /// Returns when something was planned since the last call.
    pub async fn planned(&self) {
        self.indexes.planned.notified().await;
    }
}

/// Evicts the oldest records that are too many or too old.
struct Retention {
    router: Arc<Router>,
    indexes: Weak<Indexes>,
    clock: Arc<dyn Clock>,
    settings: TrackerSettings,
}

impl Retention {
    async fn run(self, mut alive: watch::Receiver<()>) {
        while let Some(indexes) = self.indexes.upgrade() {
            tokio::select! {
                _ = alive.changed() => return,
                () = indexes.too_many.notified() => {}
                () = tokio::time::sleep(FORGET_EVERY) => {}
            }
            while self.forget(&indexes).await {}
        }
    }

    /// Forgets some, and returns whether there may be more.
    async fn forget(&self, indexes: &Indexes) -> bool {
        let TrackerSettings { keep_for, keep_at_most } = self.settings;
        let before = indexes.len();
        let too_many = before.saturating_sub(keep_at_most);
        let now = self.clock.now();
        // Also records written under a longer `keep_for`.
        let is_too_old = |(last_attempt, _): &Dated| now >= last_attempt.plus(keep_for);
        let mut surplus = Vec::new();
        if too_many > 0 {
            surplus = indexes.oldest(indexes.largest(), FORGET_AT_ONCE.min(too_many));
        }
        if surplus.is_empty() {
            surplus = indexes.oldest(None, FORGET_AT_ONCE);
            surplus.truncate(surplus.partition_point(is_too_old).max(too_many));
        }
        let keys = surplus.into_iter().map(|(_, key)| record_key(key));
        self.router.evict(keys, |log: &AttemptLog| log.plan.is_none()).await;
        // A sweep or the next call removes records that a shard keeps for now.
        indexes.len() < before
    }
}
