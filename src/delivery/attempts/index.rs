//! The planned sends of all shards by due time. Derived from the records, also when a shard restarts.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::log::AttemptLog;
use crate::domain::{AttemptLogKey, PhoneNumber, Timestamp};
use crate::shard::RecordKey;

/// The planned sends of all shards.
pub(super) struct Plans {
    shards: Box<[Mutex<PlansOfShard>]>,
    /// A follow-up is planned.
    pub(super) planned: Notify,
}

#[derive(Default)]
struct PlansOfShard {
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

impl Plans {
    pub(super) fn new(shards: usize) -> Self {
        Self { shards: (0..shards).map(|_| Mutex::default()).collect(), planned: Notify::new() }
    }

    /// Follows the records of a shard that now passes them all.
    pub(super) fn follow(
        self: &Arc<Self>,
        shard: usize,
    ) -> impl FnMut(&RecordKey, Option<&AttemptLog>, Option<&AttemptLog>) + use<> {
        if let Some(plans) = self.shards.get(shard) {
            *lock(plans) = PlansOfShard::default();
        }
        let plans = Arc::clone(self);
        move |key, before, after| plans.changed(shard, key, before, after)
    }

    fn changed(
        &self,
        shard: usize,
        key: &RecordKey,
        before: Option<&AttemptLog>,
        after: Option<&AttemptLog>,
    ) {
        let due = |log: Option<&AttemptLog>| log?.plan.as_ref().map(|plan| plan.follow_up.due);
        let (was, is) = (due(before), due(after));
        let Some(of_shard) = self.shards.get(shard).filter(|_| was != is) else { return };
        let key = AttemptLogKey::from_id(key.id);
        let PlansOfShard { by_due, plans } = &mut *lock(of_shard);
        if let Some(Waiting { until: Some(until), .. }) = plans.remove(&key) {
            by_due.remove(&(until, key));
        }
        if let (Some(due), Some(log)) = (is, after) {
            plans.insert(key, Waiting { number: log.number, until: Some(due) });
            by_due.insert((due, key));
            self.planned.notify_one();
        }
    }

    /// Whether nothing is planned.
    pub(super) fn is_empty(&self) -> bool {
        self.shards.iter().all(|of_shard| lock(of_shard).plans.is_empty())
    }

    /// Takes at most `most` follow-ups that are due. Each is handed out once, unless its record changes.
    pub(super) fn take_due(&self, now: Timestamp, most: usize) -> Vec<Due> {
        let mut taken = Vec::new();
        for of_shard in &self.shards {
            let PlansOfShard { by_due, plans } = &mut *lock(of_shard);
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
        let Some(of_shard) = self.shards.get(shard) else { return };
        let PlansOfShard { by_due, plans } = &mut *lock(of_shard);
        if let Some(waiting) = plans.get_mut(&key).filter(|waiting| waiting.until.is_none()) {
            waiting.until = Some(until);
            by_due.insert((until, key));
        }
    }
}

fn lock(of_shard: &Mutex<PlansOfShard>) -> MutexGuard<'_, PlansOfShard> {
    of_shard.lock().unwrap_or_else(PoisonError::into_inner)
}
