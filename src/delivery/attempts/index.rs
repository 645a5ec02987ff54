//! The planned sends of all shards by due time. Derived from the records, also when a shard restarts.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::log::AttemptLog;
use crate::domain::{AttemptLogKey, PhoneNumber, Timestamp};
use crate::shard::RecordKey;

type ByDue = BTreeSet<(Timestamp, Due)>;

/// The planned sends of all shards.
pub(super) struct Plans {
    shards: Box<[Mutex<ByDue>]>,
    /// A follow-up is planned.
    pub(super) planned: Notify,
}

/// A follow-up that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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
            lock(plans).clear();
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
        let key = AttemptLogKey::from_id(key.id);
        let planned = |log: Option<&AttemptLog>| {
            let AttemptLog { number, plan, .. } = log?;
            Some((plan.as_ref()?.follow_up.due, Due { key, number: *number }))
        };
        let (was, is) = (planned(before), planned(after));
        let Some(of_shard) = self.shards.get(shard).filter(|_| was != is) else { return };
        let mut by_due = lock(of_shard);
        if let Some(was) = &was {
            by_due.remove(was);
        }
        if let Some(is) = is {
            by_due.insert(is);
            self.planned.notify_one();
        }
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.shards.iter().all(|of_shard| lock(of_shard).is_empty())
    }

    /// Takes at most `most` follow-ups that are due. Each is handed out once, unless its record changes.
    pub(super) fn take_due(&self, now: Timestamp, most: usize) -> Vec<Due> {
        let mut taken = Vec::new();
        for of_shard in &self.shards {
            let mut by_due = lock(of_shard);
            while taken.len() < most
                && let Some((due, follow_up)) = by_due.first().copied()
                && due <= now
            {
                by_due.pop_first();
                taken.push(follow_up);
            }
        }
        taken
    }

    /// A follow-up that was taken could not be made, and is due again then. If it is not planned any more by then, its
    /// shard finds nothing due.
    pub(super) fn put_back(&self, shard: usize, due: Due, until: Timestamp) {
        if let Some(of_shard) = self.shards.get(shard) {
            lock(of_shard).insert((until, due));
            self.planned.notify_one();
        }
    }
}

fn lock<T>(of_shard: &Mutex<T>) -> MutexGuard<'_, T> {
    of_shard.lock().unwrap_or_else(PoisonError::into_inner)
}
