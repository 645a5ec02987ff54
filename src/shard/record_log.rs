//! Records that are listed by time, the newest first, of which only so many are kept.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::ops::Bound;
use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::atomic::{AtomicUsize, Ordering};
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

    /// The owner with the most records loses its oldest ones, if there are too many in all: what one owner does removes no
    /// record of another.
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

/// The records of one owner in one shard, the oldest first.
#[derive(Default)]
struct Own {
    /// Those that may not be forgotten.
    kept: BTreeSet<Dated>,
    others: BTreeSet<Dated>,
}

/// The records of a shard by owner.
type ByOwner<R> = BTreeMap<<R as LogRecord>::Owner, Own>;

/// The records of all shards.
struct Indexes<R: LogRecord> {
    router: Arc<Router>,
    shards: Box<[Mutex<ByOwner<R>>]>,
    records: AtomicUsize,
    /// Of these, records that may be forgotten.
    forgettable: AtomicUsize,
    keep_at_most: usize,
    /// There are too many records, or the last handle is dropped.
    wake: Arc<Notify>,
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
            records: AtomicUsize::new(0),
            forgettable: AtomicUsize::new(0),
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
        self.0.records.load(Ordering::Relaxed)
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
        let mut before = until.map(|until| (until, RecordKey { slot: 0, kind: 0, id: Id::default() }));
        loop {
            let _turn = indexes.router.page_turn().await;
            let page = indexes.newest(owners, before);
            let Some(last) = page.last().copied() else { return Ok(()) };
            before = Some(last);
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
        if let Some(index) = self.shards.get(shard) {
            let before = std::mem::take(&mut *lock(index));
            let others: usize = before.values().map(|own| own.others.len()).sum();
            let kept: usize = before.values().map(|own| own.kept.len()).sum();
            self.forgettable.fetch_sub(others, Ordering::Relaxed);
            self.records.fetch_sub(others + kept, Ordering::Relaxed);
        }
    }

    /// A page of the newest records of these owners, or of all, before `before`; the newest first.
    fn newest(&self, owners: Option<&[R::Owner]>, before: Option<Dated>) -> Vec<Dated> {
        let mut found = Vec::new();
        for index in &self.shards {
            let index = lock(index);
            let own = index.iter().filter(|(owner, _)| owners.is_none_or(|only| only.contains(owner)));
            let sets = own.flat_map(|(_, own)| [&own.kept, &own.others]);
            let end = before.map_or(Bound::Unbounded, Bound::Excluded);
            let newest = sets.map(|set| set.range((Bound::Unbounded, end)).rev().copied());
            found.extend(merged(newest, |dated| dated).take(PAGE));
        }
        found.sort_unstable_by(|a, b| b.cmp(a));
        found.truncate(PAGE);
        found
    }

    /// The owner with the most records that may be forgotten.
    fn largest(&self) -> Option<R::Owner> {
        let mut records = BTreeMap::<R::Owner, usize>::new();
        for index in &self.shards {
            for (owner, own) in &*lock(index) {
                *records.entry(*owner).or_default() += own.others.len();
            }
        }
        records.into_iter().max_by_key(|(_, records)| *records).map(|(owner, _)| owner)
    }

    /// The oldest records that may be forgotten, of one owner or of all; the oldest first.
    fn oldest(&self, of: Option<R::Owner>, most: usize) -> Vec<Dated> {
        let mut found = Vec::new();
        for index in &self.shards {
            let index = lock(index);
            let own = index.iter().filter(|(owner, _)| of.is_none_or(|only| only == **owner));
            let sets = own.map(|(_, own)| own.others.iter().copied());
            found.extend(merged(sets, std::cmp::Reverse).take(most));
        }
        found.sort_unstable();
        found.truncate(most);
        found
    }

    /// Forgets some records if there are too many, else some of before `oldest`. Returns whether there may be more.
    async fn forget(&self, oldest: Timestamp) -> bool {
        let count = || self.forgettable.load(Ordering::Relaxed);
        let before = count();
        let surplus = match before.saturating_sub(self.keep_at_most) {
            0 => {
                let mut old = self.oldest(None, FORGET_AT_ONCE);
                old.truncate(old.partition_point(|(at, _)| *at <= oldest));
                old
            }
            too_many => self.oldest(self.largest(), too_many.min(FORGET_AT_ONCE)),
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

/// Removes the oldest records of the owner with the most while there are too many, and those that are too old, until the
/// last handle is dropped.
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

/// The items of ordered iterators in one order: at each step the first item with the greatest `rank`.
fn merged<T: Copy + Ord, I: Iterator<Item = T>, K: Ord>(
    iterators: impl Iterator<Item = I>,
    rank: impl Fn(T) -> K,
) -> impl Iterator<Item = T> {
    let mut iterators: Vec<I> = iterators.collect();
    let all = iterators.iter_mut().enumerate();
    let mut heads: BinaryHeap<(K, usize, T)> =
        all.filter_map(|(at, items)| items.next().map(|item| (rank(item), at, item))).collect();
    std::iter::from_fn(move || {
        let (_, at, item) = heads.pop()?;
        let next = iterators.get_mut(at).and_then(Iterator::next);
        heads.extend(next.map(|next| (rank(next), at, next)));
        Some(item)
    })
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
        let Indexes { records, forgettable, keep_at_most, wake, .. } = &*self.indexes;
        let index = &mut *lock(index);
        if let Some((owner, may_forget, dated)) = was
            && let Some(own) = index.get_mut(&owner)
        {
            let set = if may_forget { &mut own.others } else { &mut own.kept };
            if set.remove(&dated) {
                records.fetch_sub(1, Ordering::Relaxed);
                forgettable.fetch_sub(usize::from(may_forget), Ordering::Relaxed);
            }
            if own.others.is_empty() && own.kept.is_empty() {
                index.remove(&owner);
            }
        }
        if let Some((owner, may_forget, dated)) = is {
            let own = index.entry(owner).or_default();
            let set = if may_forget { &mut own.others } else { &mut own.kept };
            if set.insert(dated) {
                records.fetch_add(1, Ordering::Relaxed);
                let before = forgettable.fetch_add(usize::from(may_forget), Ordering::Relaxed);
                if may_forget && before >= *keep_at_most {
                    wake.notify_one();
                }
            }
        }
    }
}
