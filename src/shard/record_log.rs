//! Records that are listed by time, the newest first, of which only so many are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Included};
use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use super::record::{Id, Record, RecordKey};
use super::stored::Stored;
use super::table::Index;
use super::{Refusal, Router, Shards};
use crate::clock::Clock;
use crate::domain::Timestamp;

/// Records that are read at once: a shard copies them in some 50 us.
const PAGE: usize = 512;

/// Records that are forgotten at once.
const FORGET_AT_ONCE: usize = 256;

/// Interval between removals of records that are too old.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// A record with a time and an owner.
pub trait LogRecord: Record {
    /// The owner of records.
    type Owner: Ord + Copy + Send + Sync;

    /// Its place in lists.
    fn at(&self) -> Timestamp;

    /// An owner of more than half of the records loses its oldest ones first, if there are too many in all.
    fn owner(&self, id: &Id) -> Self::Owner;

    /// Whether lists have it.
    fn is_listed(&self) -> bool {
        true
    }

    /// Whether it may be forgotten before its end. Records that may not be forgotten do not count as too many.
    fn may_forget(&self) -> bool {
        true
    }
}

/// Follows the records of one shard beside their log.
pub trait LogFollower<R>: Send {
    /// Called for each change, and for each record of a restore. `None` means absent.
    fn changed(&mut self, key: &RecordKey, before: Option<&R>, after: Option<&R>);
}

/// Follows nothing.
pub struct NoFollower;

impl<R> LogFollower<R> for NoFollower {
    fn changed(&mut self, _: &RecordKey, _: Option<&R>, _: Option<&R>) {}
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

/// A record by its time.
type Dated = (Timestamp, RecordKey);

const FIRST: Dated = (Timestamp::EPOCH, RecordKey { slot: 0, kind: 0, id: [0; 12] });
const LAST: Dated = (Timestamp::MAX, RecordKey { slot: u8::MAX, kind: u8::MAX, id: [u8::MAX; 12] });

/// The records of one shard in order of their owner, of whether they may be forgotten, and of their time. Each is in it
/// twice: under its owner, and under `None`.
type Entries<R> = BTreeSet<(Option<<R as LogRecord>::Owner>, bool, Dated)>;

/// The records of all shards.
struct Indexes<R: LogRecord> {
    router: Arc<Router>,
    shards: Box<[Mutex<Entries<R>>]>,
    counts: Mutex<Counts<R::Owner>>,
    keep_at_most: usize,
    /// There are too many records, or the last handle is dropped.
    wake: Arc<Notify>,
}

struct Counts<O> {
    records: usize,
    /// Of these, records that may be forgotten.
    forgettable: usize,
    forgettable_of: BTreeMap<O, usize>,
    /// The owners of more than half of the forgettable records that are kept.
    beyond_half: BTreeSet<O>,
}

impl<O: Ord + Copy> Counts<O> {
    fn change(&mut self, owner: O, may_forget: bool, by: isize, keep_at_most: usize) {
        self.records = self.records.saturating_add_signed(by);
        if !may_forget {
            return;
        }
        self.forgettable = self.forgettable.saturating_add_signed(by);
        let own = self.forgettable_of.entry(owner).or_default();
        *own = own.saturating_add_signed(by);
        if *own > keep_at_most / 2 {
            self.beyond_half.insert(owner);
        } else {
            self.beyond_half.remove(&owner);
        }
        if *own == 0 {
            self.forgettable_of.remove(&owner);
        }
    }
}

impl<R: LogRecord> RecordLog<R> {
    /// Follows the records of these shards, and keeps the newest. Needs a tokio runtime.
    pub fn follow(shards: &Shards, keep_at_most: usize) -> Self {
        Self::follow_with(shards, keep_at_most, Duration::MAX, |_| NoFollower)
    }

    /// The same, without records of before `keep_for`, and with a second follower for each shard.
    pub fn follow_with<F: LogFollower<R> + 'static>(
        shards: &Shards,
        keep_at_most: usize,
        keep_for: Duration,
        second: impl Fn(usize) -> F + Send + Sync + 'static,
    ) -> Self {
        let router = Arc::clone(shards.router());
        let by_shard = (0..router.shards()).map(|_| Mutex::default()).collect();
        let wake = Arc::new(Notify::new());
        let indexes = Arc::new(Indexes {
            router,
            shards: by_shard,
            counts: Mutex::new(Counts {
                records: 0,
                forgettable: 0,
                forgettable_of: BTreeMap::new(),
                beyond_half: BTreeSet::new(),
            }),
            keep_at_most,
            wake: Arc::clone(&wake),
        });
        let followed = Arc::clone(&indexes);
        shards.follow::<R>(Arc::new(move |shard| {
            followed.clear(shard);
            Box::new(Follower { shard, indexes: Arc::clone(&followed), second: second(shard) })
        }));
        let clock = Arc::clone(shards.clock());
        tokio::spawn(forget_surplus(Arc::downgrade(&indexes), wake, clock, keep_for));
        Self(indexes)
    }

    /// The number of records.
    pub fn count(&self) -> usize {
        lock(&self.0.counts).records
    }

    /// Hands the records of these owners, or of all, to `visit` in pages, the newest record first, from the last one before
    /// `until` on. No record of a later page is newer than the timestamp. Dropping the future ends the work.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while a shard cannot say.
    pub async fn for_each_page(
        &self,
        owners: Option<&[R::Owner]>,
        until: Option<Timestamp>,
        mut visit: impl FnMut(Vec<(RecordKey, R)>, Timestamp) -> ControlFlow<()>,
    ) -> Result<(), Refusal> {
        let indexes = &*self.0;
        // An index that a shard was just given is complete when the shard answers.
        for shard in 0..indexes.router.shards() {
            indexes.router.read_shard(shard, |_, _| ()).await?;
        }
        let mut before = until.map_or(LAST, |until| (until, FIRST.1));
        loop {
            let _turn = indexes.router.page_turn().await;
            let page = indexes.newest(owners, before);
            let Some(last) = page.last().copied() else { return Ok(()) };
            before = last;
            let found = indexes.router.get_each(page.into_iter().map(|(_, key)| key)).await?;
            let record = |(key, stored): (RecordKey, Stored)| Some((key, stored.record::<R>()?));
            let mut records: Vec<(RecordKey, R)> = found.into_iter().filter_map(record).collect();
            records.sort_unstable_by_key(|(key, record)| std::cmp::Reverse((record.at(), *key)));
            if let Break(()) = visit(records, last.0) {
                return Ok(());
            }
        }
    }

    /// The records that fit with their keys, the newest first.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while a shard cannot say.
    pub async fn list(&self, range: LogRange<impl Fn(&R) -> bool>) -> Result<LogPart<R>, Refusal> {
        self.list_of(None, range).await
    }

    /// The same of these owners.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while a shard cannot say.
    pub async fn list_of(
        &self,
        owners: Option<&[R::Owner]>,
        range: LogRange<impl Fn(&R) -> bool>,
    ) -> Result<LogPart<R>, Refusal> {
        let LogRange { since, until, fits, mut skip, limit, read } = range;
        let in_time = |at: Timestamp| at >= since && until.is_none_or(|until| at < until);
        let (mut found, mut left, mut stopped) = (Vec::new(), read, None);
        let take = |mut records: Vec<(RecordKey, R)>, latest_to_come| {
            left = left.saturating_sub(records.len());
            records.retain(|(_, record)| in_time(record.at()) && fits(record));
            let skipped = skip.min(records.len());
            skip -= skipped;
            found.extend(records.into_iter().skip(skipped).map(|(_, record)| record));
            if found.len() > limit || latest_to_come < since {
                return Break(());
            }
            stopped = (left == 0).then_some(latest_to_come);
            if left == 0 { Break(()) } else { Continue(()) }
        };
        self.for_each_page(owners, until, take).await?;
        let has_more = found.len() > limit;
        found.truncate(limit);
        Ok(LogPart { records: found, has_more, stopped })
    }

    /// Removes the records of an owner that fit and may go. They are gone from memory, and from the disk with the next
    /// commit. Returns `true` if one fits.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while a shard cannot say.
    pub async fn erase(
        &self,
        owner: R::Owner,
        fits: impl Fn(&R) -> bool,
        may_go: impl Fn(&R) -> bool + Copy + Send + 'static,
    ) -> Result<bool, Refusal> {
        let mut about = Vec::new();
        let owners = [owner];
        let find = |records: Vec<(RecordKey, R)>, _| {
            about.extend(records.into_iter().filter(|(_, record)| fits(record)).map(|(key, _)| key));
            Continue(())
        };
        self.for_each_page(Some(&owners), None, find).await?;
        for keys in about.chunks(PAGE) {
            self.0.router.evict(keys.iter().copied(), may_go).await;
        }
        Ok(!about.is_empty())
    }
}

impl<R: LogRecord> Indexes<R> {
    fn clear(&self, shard: usize) {
        let Some(index) = self.shards.get(shard) else { return };
        let entries = std::mem::take(&mut *lock(index));
        for (owner, may_forget, _) in entries {
            if let Some(owner) = owner {
                lock(&self.counts).change(owner, may_forget, -1, self.keep_at_most);
            }
        }
    }

    /// A page of the newest records of these owners, or of all, before `before`; the newest first.
    fn newest(&self, owners: Option<&[R::Owner]>, before: Dated) -> Vec<Dated> {
        let owners: BTreeSet<Option<R::Owner>> =
            owners.map_or_else(|| [None].into(), |owners| owners.iter().copied().map(Some).collect());
        let mut found = Vec::new();
        for index in &self.shards {
            let index = lock(index);
            for (owner, may_forget) in owners.iter().flat_map(|owner| [(*owner, false), (*owner, true)]) {
                let range = (Included((owner, may_forget, FIRST)), Excluded((owner, may_forget, before)));
                found.extend(index.range(range).rev().map(|(_, _, dated)| *dated).take(PAGE));
            }
        }
        found.sort_unstable_by(|a, b| b.cmp(a));
        found.truncate(PAGE);
        found
    }

    /// The oldest records that may be forgotten, of one owner or of all; the oldest first.
    fn oldest(&self, of: Option<R::Owner>, most: usize) -> Vec<Dated> {
        let mut found = Vec::new();
        for index in &self.shards {
            let index = lock(index);
            found.extend(
                index.range((of, true, FIRST)..(of, true, LAST)).map(|(_, _, dated)| *dated).take(most),
            );
        }
        found.sort_unstable();
        found.truncate(most);
        found
    }

    /// Forgets some records if there are too many, else some of before `oldest`. Returns whether there may be more.
    async fn forget(&self, oldest: Timestamp) -> bool {
        let count = || lock(&self.counts).forgettable;
        let before = count();
        let surplus = match before.saturating_sub(self.keep_at_most) {
            0 => {
                let mut old = self.oldest(None, FORGET_AT_ONCE);
                old.truncate(old.partition_point(|(at, _)| *at <= oldest));
                old
            }
            too_many => {
                let beyond_half = lock(&self.counts).beyond_half.first().copied();
                self.oldest(beyond_half, too_many.min(FORGET_AT_ONCE))
            }
        };
        if surplus.is_empty() {
            return false;
        }
        self.router.evict(surplus.into_iter().map(|(_, key)| key), R::may_forget).await;
        // A shard keeps records with a change on its way to the disk for now.
        count() < before
    }
}

impl<R: LogRecord> Drop for Indexes<R> {
    fn drop(&mut self) {
        self.wake.notify_one();
    }
}

/// Removes old records while there are too many, and those that are too old, until the last handle is dropped.
async fn forget_surplus<R: LogRecord>(
    indexes: Weak<Indexes<R>>,
    wake: Arc<Notify>,
    clock: Arc<dyn Clock>,
    keep_for: Duration,
) {
    loop {
        let _ = tokio::time::timeout(FORGET_EVERY, wake.notified()).await;
        let Some(indexes) = indexes.upgrade() else { return };
        while indexes.forget(clock.now().minus(keep_for)).await {}
    }
}

fn lock<T>(index: &Mutex<T>) -> MutexGuard<'_, T> {
    index.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The index of one shard, as the shard knows it.
struct Follower<R: LogRecord, F> {
    shard: usize,
    indexes: Arc<Indexes<R>>,
    second: F,
}

impl<R: LogRecord, F: LogFollower<R>> Index for Follower<R, F> {
    fn changed(&mut self, key: &RecordKey, before: Option<&Stored>, after: Option<&Stored>) {
        let record = |stored: Option<&Stored>| stored?.record::<R>();
        let (before, after) = (record(before), record(after));
        self.second.changed(key, before.as_ref(), after.as_ref());
        let place = |record: &R| (record.owner(&key.id), record.may_forget(), (record.at(), *key));
        let was = before.as_ref().filter(|record| record.is_listed()).map(place);
        let is = after.as_ref().filter(|record| record.is_listed()).map(place);
        let Some(index) = self.indexes.shards.get(self.shard).filter(|_| was != is) else { return };
        let Indexes { counts, keep_at_most, wake, .. } = &*self.indexes;
        let (mut index, mut counts) = (lock(index), lock(counts));
        if let Some((owner, may_forget, dated)) = was
            && index.remove(&(Some(owner), may_forget, dated))
        {
            index.remove(&(None, may_forget, dated));
            counts.change(owner, may_forget, -1, *keep_at_most);
        }
        if let Some((owner, may_forget, dated)) = is
            && index.insert((Some(owner), may_forget, dated))
        {
            index.insert((None, may_forget, dated));
            counts.change(owner, may_forget, 1, *keep_at_most);
            if may_forget && counts.forgettable > *keep_at_most {
                wake.notify_one();
            }
        }
    }
}
