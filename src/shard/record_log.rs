//! Records that are listed by time, the newest first, of which only so many are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::record::{Record, RecordKey, decode};
use super::table::{Index, Stored};
use super::{Refusal, Router, Shards};
use crate::domain::Timestamp;

/// Records that are read at once.
const PAGE: usize = 512;

/// A record with a time and an owner.
pub trait LogRecord: Record {
    /// The owner of records.
    type Owner: Ord + Copy + Send;

    /// Its place in lists.
    fn at(&self) -> Timestamp;

    /// The owner with the most records loses its oldest ones, if there are too many in all: what one owner does removes no
    /// record of another.
    fn owner(&self) -> Self::Owner;
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
}

/// A handle on the records of all shards.
pub struct RecordLog<R: LogRecord>(Arc<Indexes<R>>);

/// The records of a shard by owner, the oldest first.
type ByOwner<R> = BTreeMap<<R as LogRecord>::Owner, BTreeSet<(Timestamp, RecordKey)>>;

/// The records of all shards.
struct Indexes<R: LogRecord> {
    router: Arc<Router>,
    shards: Box<[Mutex<ByOwner<R>>]>,
    records: AtomicUsize,
    keep_at_most: usize,
}

impl<R: LogRecord> RecordLog<R> {
    /// Follows the records of these shards, and keeps the newest. Needs a tokio runtime.
    pub fn follow(shards: &Shards, keep_at_most: usize) -> Self {
        let router = Arc::clone(shards.router());
        let by_shard = (0..router.shards()).map(|_| Mutex::default()).collect();
        let indexes =
            Arc::new(Indexes { router, shards: by_shard, records: AtomicUsize::new(0), keep_at_most });
        let followed = Arc::clone(&indexes);
        shards.follow::<R>(Arc::new(move |shard| {
            followed.clear(shard);
            Box::new(Follower { shard, indexes: Arc::clone(&followed) })
        }));
        Self(indexes)
    }

    /// The records that fit with their keys, the newest first, and whether more follow.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while a shard cannot say.
    pub async fn list(
        &self,
        range: LogRange<impl Fn(&R) -> bool>,
    ) -> Result<(Vec<(RecordKey, R)>, bool), Refusal> {
        let Indexes { router, shards, .. } = &*self.0;
        let LogRange { since, until, fits, mut skip, limit } = range;
        let in_time = |at: Timestamp| at >= since && until.is_none_or(|until| at < until);
        // An index that a shard was just given is complete when the shard answers.
        for shard in 0..router.shards() {
            router.read_shard(shard, |_, _| ()).await?;
        }
        let all = |index: &Mutex<ByOwner<R>>| lock(index).values().flatten().copied().collect::<Vec<_>>();
        let mut keys: Vec<(Timestamp, RecordKey)> = shards.iter().flat_map(all).collect();
        keys.retain(|(at, _)| in_time(*at));
        keys.sort_unstable_by(|a, b| b.cmp(a));
        let mut found = Vec::new();
        for page in keys.chunks(PAGE) {
            let _turn = router.page_turn().await;
            let records = router.get_each(page.iter().map(|(_, key)| *key)).await?;
            let record = |(key, stored): (RecordKey, Stored)| Some((key, decode::<R>(&stored.bytes).ok()?));
            let mut records: Vec<(RecordKey, R)> = records.into_iter().filter_map(record).collect();
            records.retain(|(_, record)| in_time(record.at()) && fits(record));
            records.sort_unstable_by_key(|(key, record)| std::cmp::Reverse((record.at(), *key)));
            let skipped = skip.min(records.len());
            skip -= skipped;
            found.extend(records.into_iter().skip(skipped));
            if found.len() > limit {
                found.truncate(limit);
                return Ok((found, true));
            }
        }
        Ok((found, false))
    }
}

impl<R: LogRecord> Indexes<R> {
    fn clear(&self, shard: usize) {
        if let Some(index) = self.shards.get(shard) {
            let before = std::mem::take(&mut *lock(index));
            self.records.fetch_sub(before.values().map(BTreeSet::len).sum(), Ordering::Relaxed);
        }
    }

    /// The owner with the most records.
    fn largest(&self) -> Option<R::Owner> {
        let mut records = BTreeMap::<R::Owner, usize>::new();
        for index in &self.shards {
            for (owner, own) in &*lock(index) {
                *records.entry(*owner).or_default() += own.len();
            }
        }
        records.into_iter().max_by_key(|(_, records)| *records).map(|(owner, _)| owner)
    }

    /// Removes the oldest records of the owner with the most, as far as there are too many in all.
    async fn forget_surplus(&self) {
        let surplus = self.records.load(Ordering::Relaxed).saturating_sub(self.keep_at_most);
        let Some(owner) = self.largest() else { return };
        let oldest = |index: &Mutex<ByOwner<R>>| {
            lock(index).get(&owner).into_iter().flatten().take(surplus).copied().collect::<Vec<_>>()
        };
        let mut oldest: Vec<(Timestamp, RecordKey)> = self.shards.iter().flat_map(oldest).collect();
        oldest.sort_unstable();
        let keys = oldest.into_iter().take(surplus).map(|(_, key)| key);
        self.router.evict(keys, |_: &R| true).await;
    }
}

fn lock<T>(index: &Mutex<T>) -> MutexGuard<'_, T> {
    index.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The index of one shard, as the shard knows it.
struct Follower<R: LogRecord> {
    shard: usize,
    indexes: Arc<Indexes<R>>,
}

impl<R: LogRecord> Index for Follower<R> {
    fn changed(&mut self, key: &RecordKey, before: Option<&Stored>, after: Option<&Stored>) {
        let Some(index) = self.indexes.shards.get(self.shard) else { return };
        let record = |stored: Option<&Stored>| decode::<R>(&stored?.bytes).ok();
        let mut index = lock(index);
        if let Some(before) = record(before)
            && let Some(own) = index.get_mut(&before.owner())
            && own.remove(&(before.at(), *key))
        {
            if own.is_empty() {
                index.remove(&before.owner());
            }
            self.indexes.records.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(after) = record(after)
            && index.entry(after.owner()).or_default().insert((after.at(), *key))
            && self.indexes.records.fetch_add(1, Ordering::Relaxed) >= self.indexes.keep_at_most
        {
            let indexes = Arc::clone(&self.indexes);
            tokio::spawn(async move { indexes.forget_surplus().await });
        }
    }
}
