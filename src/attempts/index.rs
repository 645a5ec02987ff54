//! Indexes over the records of all shards: attempts by service and date, and planned sends by due time. Derived from the
//! records, also when a shard restarts.

use std::cmp::Ordering::{Equal, Greater, Less};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::iter::from_fn;
use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::log::AttemptLog;
use crate::domain::{AttemptLogKey, PhoneNumber, ServiceId, Timestamp};
use crate::shard::{self, RecordKey, Stored};

/// A record by the time of its last attempt.
pub(super) type Dated = (Timestamp, AttemptLogKey);

/// The indexes of all shards.
pub(super) struct Indexes {
    shards: Box<[Mutex<ShardIndex>]>,
    records: AtomicUsize,
    keep_at_most: usize,
    /// There are more than `keep_at_most` records.
    pub(super) too_many: Notify,
    /// A follow-up is planned.
    pub(super) planned: Notify,
}

#[derive(Default)]
struct ShardIndex {
    /// The tracks of each service's records, by the time of the last attempt.
    by_service: BTreeMap<ServiceId, BTreeSet<(Timestamp, u64)>>,
    by_due: BTreeSet<(Timestamp, AttemptLogKey)>,
    plans: HashMap<AttemptLogKey, Waiting>,
}

/// A follow-up that is planned.
struct Waiting {
    number: PhoneNumber,
    /// Its place in `by_due`; `None` while the scheduler has it.
    until: Option<Timestamp>,
}

/// A follow-up that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The record that contains it.
    pub key: AttemptLogKey,
    /// The recipient.
    pub number: PhoneNumber,
}

impl Indexes {
    pub(super) fn new(shards: usize, keep_at_most: usize) -> Self {
        let shards = (0..shards).map(|_| Mutex::default()).collect();
        let (too_many, planned) = (Notify::new(), Notify::new());
        Self { shards, records: AtomicUsize::new(0), keep_at_most, too_many, planned }
    }

    /// An empty index of a shard, which now passes all its records.
    pub(super) fn begin(self: &Arc<Self>, shard: usize) -> Follower {
        if let Some(index) = self.shards.get(shard) {
            let before = std::mem::take(&mut *lock(index));
            let records = before.by_service.values().map(BTreeSet::len).sum();
            self.records.fetch_sub(records, Ordering::Relaxed);
        }
        Follower { shard, indexes: Arc::clone(self) }
    }

    /// The number of records.
    pub(super) fn len(&self) -> usize {
        self.records.load(Ordering::Relaxed)
    }

    /// The newest records of these services before `before`, at most `most`, the newest first. `None` means all
    /// services.
    pub(super) fn newest(
        &self,
        services: Option<&[ServiceId]>,
        before: Option<Dated>,
        most: usize,
    ) -> Vec<Dated> {
        let mut found: Vec<Dated> = Vec::new();
        for index in &self.shards {
            found.extend(lock(index).newest(services, before).take(most));
        }
        found.sort_unstable_by(|a, b| b.cmp(a));
        found.truncate(most);
        found
    }

    /// The service with the most records. If there are too many, its oldest ones go first: a flood of one service
    /// removes no record of another.
    pub(super) fn largest(&self) -> Option<ServiceId> {
        let mut records = BTreeMap::<ServiceId, usize>::new();
        for index in &self.shards {
            for (service, own) in &lock(index).by_service {
                *records.entry(*service).or_default() += own.len();
            }
        }
        records.into_iter().max_by_key(|(_, records)| *records).map(|(service, _)| service)
    }

    /// The oldest records without a plan, at most `most`, the oldest first; of one service or of all.
    pub(super) fn oldest(&self, of: Option<ServiceId>, most: usize) -> Vec<Dated> {
        let mut found = Vec::new();
        for index in &self.shards {
            let index = lock(index);
            let unplanned = index.oldest(of).filter(|(_, key)| !index.plans.contains_key(key));
            found.extend(unplanned.take(most));
        }
        found.sort_unstable();
        found.truncate(most);
        found
    }

    /// Whether nothing is planned.
    pub(super) fn has_no_plans(&self) -> bool {
        self.shards.iter().all(|index| lock(index).plans.is_empty())
    }

    /// Takes at most `most` follow-ups that are due. Each is handed out once, unless its record changes.
    pub(super) fn take_due(&self, now: Timestamp, most: usize) -> Vec<Due> {
        let mut taken = Vec::new();
        for index in &self.shards {
            let ShardIndex { by_due, plans, .. } = &mut *lock(index);
            while taken.len() < most
                && let Some((due, key)) = by_due.first().copied()
                && due <= now
            {
                by_due.pop_first();
                if let Some(waiting) = plans.get_mut(&key) {
                    waiting.until = None;
                    taken.push(Due { key, number: waiting.number });
                }
            }
        }
        taken
    }

    /// A follow-up that was taken could not be made, and is due again then, if it is still planned.
    pub(super) fn put_back(&self, shard: usize, key: AttemptLogKey, until: Timestamp) {
        let Some(index) = self.shards.get(shard) else { return };
        let ShardIndex { by_due, plans, .. } = &mut *lock(index);
        if let Some(waiting) = plans.get_mut(&key).filter(|waiting| waiting.until.is_none()) {
            waiting.until = Some(until);
            by_due.insert((until, key));
        }
    }
}

impl ShardIndex {
    /// Inserts a record or removes it. Returns `true` if that changed the index.
    fn set(&mut self, (at, AttemptLogKey { service, track }): Dated, is_present: bool) -> bool {
        let records = self.by_service.entry(service).or_default();
        let has_changed = if is_present { records.insert((at, track)) } else { records.remove(&(at, track)) };
        if records.is_empty() {
            self.by_service.remove(&service);
        }
        has_changed
    }

    /// The records of these services before `before`, the newest first. Looks up the next record of a
    /// service when the one before it is taken.
    fn newest(&self, services: Option<&[ServiceId]>, before: Option<Dated>) -> impl Iterator<Item = Dated> {
        let all = || self.by_service.keys().copied().collect();
        let services: Vec<ServiceId> = services.map_or_else(all, <[ServiceId]>::to_vec);
        let mut heads: BinaryHeap<Dated> =
            services.into_iter().filter_map(|service| self.last_before(service, before)).collect();
        from_fn(move || {
            let head = heads.pop()?;
            heads.extend(self.last_before(head.1.service, Some(head)));
            Some(head)
        })
    }

    fn last_before(&self, service: ServiceId, before: Option<Dated>) -> Option<Dated> {
        let records = self.by_service.get(&service)?;
        // In the order of `Dated`: by time, then by service.
        let end = before.map_or(Bound::Unbounded, |(at, key)| match service.cmp(&key.service) {
            Less => Bound::Included((at, u64::MAX)),
            Equal => Bound::Excluded((at, key.track)),
            Greater => Bound::Excluded((at, 0)),
        });
        let (at, track) = *records.range((Bound::Unbounded, end)).next_back()?;
        Some((at, AttemptLogKey { service, track }))
    }

    /// The records of one service or of all, the oldest first.
    fn oldest(&self, of: Option<ServiceId>) -> impl Iterator<Item = Dated> {
        let dated = |service: ServiceId, at, track| (at, AttemptLogKey { service, track });
        let services = self.by_service.iter().filter(|(service, _)| of.is_none_or(|only| only == **service));
        let first = services.filter_map(|(service, records)| {
            records.first().map(|(at, track)| Reverse(dated(*service, *at, *track)))
        });
        let mut heads: BinaryHeap<Reverse<Dated>> = first.collect();
        from_fn(move || {
            let Reverse(head) = heads.pop()?;
            let (at, AttemptLogKey { service, track }) = head;
            let behind = (Bound::Excluded((at, track)), Bound::Unbounded);
            let next = self.by_service.get(&service).and_then(|records| records.range(behind).next());
            heads.extend(next.map(|(at, track)| Reverse(dated(service, *at, *track))));
            Some(head)
        })
    }
}

fn lock(index: &Mutex<ShardIndex>) -> MutexGuard<'_, ShardIndex> {
    index.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The index of one shard, as the shard knows it.
pub(super) struct Follower {
    shard: usize,
    indexes: Arc<Indexes>,
}

impl shard::Index for Follower {
    fn changed(&mut self, key: &RecordKey, before: Option<&Stored>, after: Option<&Stored>) {
        let Some(index) = self.indexes.shards.get(self.shard) else { return };
        let read = |stored: Option<&Stored>| shard::decode::<AttemptLog>(&stored?.bytes).ok();
        let (before, after) = (read(before), read(after));
        let key = AttemptLogKey::from_id(key.id);
        let index = &mut *lock(index);
        let dated = |track: &AttemptLog| (track.last_attempt_at(), key);
        let (was, is) = (before.as_ref().map(dated), after.as_ref().map(dated));
        if was != is {
            if was.is_some_and(|dated| index.set(dated, false)) {
                self.indexes.records.fetch_sub(1, Ordering::Relaxed);
            }
            if is.is_some_and(|dated| index.set(dated, true)) {
                let before = self.indexes.records.fetch_add(1, Ordering::Relaxed);
                if before >= self.indexes.keep_at_most {
                    self.indexes.too_many.notify_one();
                }
            }
        }
        let planned = |track: Option<&AttemptLog>| {
            track.and_then(|track| track.plan.as_ref()).map(|plan| plan.follow_up.due)
        };
        let (was, is) = (planned(before.as_ref()), planned(after.as_ref()));
        if was == is {
            return;
        }
        let ShardIndex { by_due, plans, .. } = index;
        if let Some(Waiting { until: Some(until), .. }) = plans.remove(&key) {
            by_due.remove(&(until, key));
        }
        if let (Some(due), Some(track)) = (is, after) {
            plans.insert(key, Waiting { number: track.number, until: Some(due) });
            by_due.insert((due, key));
            self.indexes.planned.notify_one();
        }
    }
}
