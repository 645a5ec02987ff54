//! Records that are listed by time, the newest first, of which only so many are kept; and their agenda, by which a shard
//! hands over those that are due.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::ops::Bound::{Excluded, Unbounded};
use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::capacity::Shares;
use super::record::{Record, RecordKey, Stored, service_of};
use super::refusal::Refusal;
use super::router::Router;
use super::shards::Shards;
use super::tables::Index;
use crate::clock::Clock;
use crate::domain::{ServiceId, Timestamp};

/// Records that are read at once: a shard copies them in some 50 us.
const PAGE: usize = 512;

/// Entries of an index that are looked at while its shard cannot change it: some 20 us.
const LOOKS: usize = 4_096;

/// Records that are forgotten at once.
const FORGET_AT_ONCE: usize = 256;

/// Records that are handed over as due before the shard goes on.
const DUE_AT_ONCE: usize = 256;

/// Interval between removals of records that are too old.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// A record with a time. It belongs to the service with which its id begins: a service with more than half of the records
/// loses its oldest ones first, if there are too many in all.
pub trait LogRecord: Record {
    /// Its place in lists.
    fn at(&self) -> Timestamp;

    /// Whether it may be forgotten before its end. Records that may not be forgotten do not count as too many.
    fn may_forget(&self) -> bool {
        true
    }

    /// Until when it may not be forgotten although there are too many.
    fn kept_until(&self) -> Timestamp {
        Timestamp::EPOCH
    }

    /// The moments at which it is handed to [`RecordLog::on_due`].
    fn due(&self) -> Vec<Timestamp> {
        Vec::new()
    }
}

/// The records that a list is about.
pub struct LogRange<F> {
    /// Only those at this moment or after it.
    pub since: Timestamp,
    /// Only those before this moment.
    pub until: Option<Timestamp>,
    /// Only those for which it returns `true`.
    pub fits: F,
    /// The number of skipped records.
    pub skip: usize,
    /// The largest number of records.
    pub limit: usize,
    /// The largest number of records that are read, up to a page more.
    pub read: usize,
}

/// A part of a list.
pub struct LogPart<T> {
    /// The newest first.
    pub records: Vec<T>,
    /// Whether more follow.
    pub has_more: bool,
    /// Where reading stopped because of [`LogRange::read`]: older records may fit too.
    pub stopped: Option<Timestamp>,
}

impl<T> LogPart<T> {
    /// Those of the records that become another.
    pub fn filter_map<U>(self, of: impl FnMut(T) -> Option<U>) -> LogPart<U> {
        let records = self.records.into_iter().filter_map(of).collect();
        LogPart { records, has_more: self.has_more, stopped: self.stopped }
    }
}

/// A handle on the records of all shards.
pub struct RecordLog<R: LogRecord>(Arc<Indexes<R>>);

impl<R: LogRecord> Clone for RecordLog<R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// A record by its time, and whether it may be forgotten.
type Dated = (Timestamp, RecordKey, bool);

const FIRST: Dated = (Timestamp::EPOCH, RecordKey { slot: 0, kind: 0, id: [0; 12] }, false);
const LAST: Dated = (Timestamp::MAX, RecordKey { slot: u8::MAX, kind: u8::MAX, id: [u8::MAX; 12] }, true);

/// The records of all shards. The entry of one takes 50 bytes, and one index is enough: the records of one service are
/// looked for among all, some at a time.
struct Indexes<R: LogRecord> {
    router: Arc<Router>,
    entries: Mutex<Entries>,
    keep_at_most: usize,
    /// There are too many records.
    wake: Arc<Notify>,
    on_due: OnceLock<Box<dyn Fn(RecordKey) + Send + Sync>>,
    kind: PhantomData<fn() -> R>,
}

#[derive(Default)]
struct Entries {
    dated: BTreeSet<Dated>,
    /// Records that may be forgotten.
    forgettable: Shares,
    /// The others.
    needed: Shares,
}

impl Entries {
    fn insert(&mut self, dated: Dated) {
        if self.dated.insert(dated) {
            self.shares(dated.2).add(service_of(&dated.1.id), 1);
        }
    }

    fn remove(&mut self, dated: &Dated) {
        if self.dated.remove(dated) {
            self.shares(dated.2).remove(service_of(&dated.1.id), 1);
        }
    }

    const fn shares(&mut self, may_forget: bool) -> &mut Shares {
        if may_forget { &mut self.forgettable } else { &mut self.needed }
    }
}

/// The first `most` wanted entries, and the one behind which to go on. May have fewer although more follow, because it
/// looks at a limited number.
fn page<'a>(
    entries: impl Iterator<Item = &'a Dated>,
    most: usize,
    is_wanted: impl Fn(&Dated) -> bool,
) -> (Vec<Dated>, Option<Dated>) {
    let mut found = Vec::new();
    for (place, dated) in entries.enumerate() {
        if is_wanted(dated) {
            found.push(*dated);
        }
        if found.len() == most || place + 1 == LOOKS {
            return (found, Some(*dated));
        }
    }
    (found, None)
}

impl<R: LogRecord> RecordLog<R> {
    /// Follows the records of these shards, and keeps the newest, none of before `keep_for`. A clone of `second` is
    /// called for each change of one shard, and for each record of its restore; `None` means absent. Needs a tokio runtime.
    pub fn follow<F: FnMut(&RecordKey, Option<&R>, Option<&R>) + Clone + Send + Sync + 'static>(
        shards: &Shards,
        keep_at_most: usize,
        keep_for: Duration,
        second: F,
    ) -> Self {
        let router = Arc::clone(shards.router());
        let wake = Arc::new(Notify::new());
        let indexes = Arc::new(Indexes {
            router,
            entries: Mutex::default(),
            keep_at_most,
            wake: Arc::clone(&wake),
            on_due: OnceLock::new(),
            kind: PhantomData,
        });
        let followed = Arc::clone(&indexes);
        shards.follow::<R>(Arc::new(move |shard| {
            followed.clear(shard);
            let (indexes, second) = (Arc::clone(&followed), second.clone());
            Box::new(Follower { indexes, agenda: BTreeSet::new(), second })
        }));
        let clock = Arc::clone(shards.clock());
        tokio::spawn(forget_surplus(Arc::downgrade(&indexes), wake, clock, keep_for));
        Self(indexes)
    }

    /// The number of records.
    pub fn count(&self) -> usize {
        self.0.entries.lock().dated.len()
    }

    /// Calls `on_due` in a record's shard at each moment of [`LogRecord::due`], and after a change for each that has passed.
    /// Must not block. Only the first one counts.
    pub fn on_due(&self, on_due: impl Fn(RecordKey) + Send + Sync + 'static) {
        let _ = self.0.on_due.set(Box::new(on_due));
    }

    /// The records that may not be forgotten.
    pub fn needed(&self) -> usize {
        self.0.entries.lock().needed.held()
    }

    /// How many more of them a service may have under this limit.
    pub fn room(&self, service: ServiceId, limit: usize) -> usize {
        self.0.entries.lock().needed.room(service, limit)
    }

    /// Hands the records of these services, or of all, to `visit` in pages, the newest record first, from the last one
    /// before `until` on. No record of a later page is newer than the timestamp. Dropping the future ends the work.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while a shard does not run, [`Refusal::StoreUnavailable`] and [`Refusal::OutcomeUnknown`] if
    /// the store does not confirm what was read.
    pub async fn for_each_page(
        &self,
        services: Option<&[ServiceId]>,
        until: Option<Timestamp>,
        mut visit: impl FnMut(Vec<(RecordKey, R)>, Timestamp) -> ControlFlow<()>,
    ) -> Result<(), Refusal> {
        let indexes = &*self.0;
        // An index that a shard was just given is complete when the shard answers.
        for shard in 0..indexes.router.shards() {
            indexes.router.answers(shard).await?;
        }
        let is_wanted = |(_, key, _): &Dated| services.is_none_or(|of| of.contains(&service_of(&key.id)));
        let mut next = Some(until.map_or(LAST, |until| (until, FIRST.1, FIRST.2)));
        while let Some(before) = next {
            let _turn = indexes.router.page_turn().await;
            let page;
            (page, next) = self::page(indexes.entries.lock().dated.range(..before).rev(), PAGE, is_wanted);
            let Some((latest_to_come, ..)) = next.or(page.last().copied()) else { return Ok(()) };
            let found = indexes.router.get_each(page.into_iter().map(|(_, key, _)| key)).await?;
            let record = |(key, stored): (RecordKey, Stored)| Some((key, stored.record::<R>()?));
            let mut records: Vec<(RecordKey, R)> = found.into_iter().filter_map(record).collect();
            records.sort_unstable_by_key(|(key, record)| Reverse((record.at(), *key)));
            if let Break(()) = visit(records, latest_to_come) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The records that fit, the newest first; only those of `services`, if they are given.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while a shard does not run, [`Refusal::StoreUnavailable`] and [`Refusal::OutcomeUnknown`] if
    /// the store does not confirm what was read.
    pub async fn list(
        &self,
        services: Option<&[ServiceId]>,
        range: LogRange<impl Fn(&R) -> bool>,
    ) -> Result<LogPart<R>, Refusal> {
        self.list_parts(services, range, Duration::ZERO, |key, record| vec![(record.at(), *key, record)])
            .await
    }

    /// The parts of records that fit, the newest first, and of one moment those with the greatest `K`. No part is newer than
    /// its record, and those that count are at most `span` older.
    ///
    /// # Errors
    /// As [`RecordLog::list`].
    pub async fn list_parts<K: Ord + Copy, T>(
        &self,
        services: Option<&[ServiceId]>,
        range: LogRange<impl Fn(&T) -> bool>,
        span: Duration,
        parts: impl Fn(&RecordKey, R) -> Vec<(Timestamp, K, T)>,
    ) -> Result<LogPart<T>, Refusal> {
        let LogRange { since, until, fits, skip, limit, read } = range;
        let most = skip.saturating_add(limit).saturating_add(1);
        let (mut found, mut left, mut stopped) = (Vec::new(), read, None);
        let is_wanted = |(at, _, part): &(Timestamp, K, T)| {
            *at >= since && until.is_none_or(|until| *at < until) && fits(part)
        };
        let take = |records: Vec<(RecordKey, R)>, latest_to_come| {
            left = left.saturating_sub(records.len());
            let of_page = records.into_iter().flat_map(|(key, record)| parts(&key, record));
            found.extend(of_page.filter(is_wanted));
            found.sort_unstable_by_key(|(at, of, _)| Reverse((*at, *of)));
            found.truncate(most);
            let is_complete = found.len() == most && found.last().is_none_or(|(at, ..)| *at > latest_to_come);
            if is_complete || latest_to_come < since {
                return Break(());
            }
            stopped = (left == 0).then_some(latest_to_come);
            if left == 0 { Break(()) } else { Continue(()) }
        };
        self.for_each_page(services, until.map(|until| until.plus(span)), take).await?;
        let has_more = found.len() == most;
        let records = found.into_iter().skip(skip).take(limit).map(|(_, _, part)| part).collect();
        Ok(LogPart { records, has_more, stopped })
    }

    /// Removes the records of a service that fit and may go. Returns `true` if one fits.
    ///
    /// # Errors
    /// [`Refusal`]: some may be left.
    pub async fn erase(
        &self,
        service: ServiceId,
        fits: impl Fn(&R) -> bool,
        may_go: impl Fn(&R) -> bool + Copy + Send + 'static,
    ) -> Result<bool, Refusal> {
        let mut about = Vec::new();
        let find = |records: Vec<(RecordKey, R)>, _| {
            about.extend(records.into_iter().filter(|(_, record)| fits(record)).map(|(key, _)| key));
            Continue(())
        };
        self.for_each_page(Some(&[service]), None, find).await?;
        for keys in about.chunks(PAGE) {
            self.0.router.evict(keys.iter().copied(), may_go).await?;
        }
        Ok(!about.is_empty())
    }
}

impl<R: LogRecord> Indexes<R> {
    /// Removes the entries of a shard that begins.
    fn clear(&self, shard: usize) {
        let mut entries = self.entries.lock();
        let of_shard: Vec<Dated> = entries
            .dated
            .iter()
            .filter(|(_, key, _)| self.router.owner(key.slot) == shard)
            .copied()
            .collect();
        for dated in &of_shard {
            entries.remove(dated);
        }
    }

    /// Forgets some records if there are too many, else some of before `oldest`. Looks behind `from`, and moves it over
    /// entries that stay. Returns whether there may be more.
    async fn forget(&self, now: Timestamp, oldest: Timestamp, from: &mut Dated) -> bool {
        let (before, surplus, next, is_too_many) = {
            let Entries { dated, forgettable, .. } = &*self.entries.lock();
            let (before, half) = (forgettable.held(), self.keep_at_most / 2);
            let large = forgettable.iter().find(|(_, held)| *held > half).map(|(service, _)| service);
            let too_many = before.saturating_sub(self.keep_at_most);
            let goes = |(at, key, may_forget): &Dated| match too_many {
                0 => *may_forget && *at <= oldest,
                _ => *may_forget && large.is_none_or(|service| service_of(&key.id) == service),
            };
            let most = if too_many > 0 { too_many.min(FORGET_AT_ONCE) } else { FORGET_AT_ONCE };
            let (surplus, next) = page(dated.range((Excluded(*from), Unbounded)), most, goes);
            (before, surplus, next, too_many > 0)
        };
        if surplus.is_empty() {
            *from = next.filter(|(at, ..)| is_too_many || *at <= oldest).unwrap_or(FIRST);
            tokio::task::yield_now().await;
            return *from != FIRST;
        }
        let may_go = move |record: &R| record.may_forget() && record.kept_until() <= now;
        let gone = self.router.evict(surplus.into_iter().map(|(_, key, _)| key), may_go).await;
        gone.is_ok() && self.entries.lock().forgettable.held() < before
    }
}

/// Removes old records while there are too many, and those that are too old. Ends within a minute after
/// the last handle.
async fn forget_surplus<R: LogRecord>(
    indexes: Weak<Indexes<R>>,
    wake: Arc<Notify>,
    clock: Arc<dyn Clock>,
    keep_for: Duration,
) {
    let mut from = FIRST;
    loop {
        if tokio::time::timeout(FORGET_EVERY, wake.notified()).await.is_err() {
            // Records that were passed over may be forgotten by now.
            from = FIRST;
        }
        let Some(indexes) = indexes.upgrade() else { return };
        let now = clock.now();
        while indexes.forget(now, now.minus(keep_for), &mut from).await {}
    }
}

/// The index of one shard, as the shard knows it.
struct Follower<R: LogRecord, F> {
    indexes: Arc<Indexes<R>>,
    /// The records of the shard by when they are due.
    agenda: BTreeSet<(Timestamp, RecordKey)>,
    second: F,
}

impl<R: LogRecord, F: FnMut(&RecordKey, Option<&R>, Option<&R>) + Send> Index for Follower<R, F> {
    fn changed(&mut self, key: &RecordKey, before: Option<&Stored>, after: Option<&Stored>) {
        let record = |stored: Option<&Stored>| stored?.record::<R>();
        let (before, after) = (record(before), record(after));
        (self.second)(key, before.as_ref(), after.as_ref());
        for due in before.iter().flat_map(R::due) {
            self.agenda.remove(&(due, *key));
        }
        self.agenda.extend(after.iter().flat_map(R::due).map(|due| (due, *key)));
        let dated = |record: &R| (record.at(), *key, record.may_forget());
        let (was, is) = (before.as_ref().map(dated), after.as_ref().map(dated));
        if was == is {
            return;
        }
        let mut entries = self.indexes.entries.lock();
        if let Some(was) = was {
            entries.remove(&was);
        }
        if let Some(is) = is {
            entries.insert(is);
        }
        if entries.forgettable.held() > self.indexes.keep_at_most {
            self.indexes.wake.notify_one();
        }
    }

    fn tick(&mut self, now: Timestamp) {
        let Some(on_due) = self.indexes.on_due.get() else { return };
        for _ in 0..DUE_AT_ONCE {
            let Some((due, key)) = self.agenda.first().copied().filter(|(due, _)| *due <= now) else {
                return;
            };
            self.agenda.remove(&(due, key));
            on_due(key);
        }
    }
}
