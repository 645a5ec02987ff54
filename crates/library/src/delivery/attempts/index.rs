//! The planned sends of all shards by due time. Derived from the records, also when a shard restarts.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::log::AttemptLog;
use crate::domain::{AttemptLogKey, PhoneNumber, Timestamp};
use crate::shard::RecordKey;

/// The planned sends of all shards. One that is not planned any more may be left: its shard then finds nothing due.
#[derive(Default)]
pub struct Plans {
    by_due: Mutex<BTreeSet<(Timestamp, Due)>>,
    /// A follow-up is planned.
    pub planned: Notify,
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
    /// Follows the records of a shard that now passes them all.
    pub fn follow(
        self: &Arc<Self>,
    ) -> impl FnMut(&RecordKey, Option<&AttemptLog>, Option<&AttemptLog>) + use<> {
        let plans = Arc::clone(self);
        move |key, before, after| {
            let key = AttemptLogKey::from_id(key.id);
            let planned = |log: Option<&AttemptLog>| {
                let AttemptLog { number, plan, .. } = log?;
                Some((plan.as_ref()?.follow_up.due, Due { key, number: *number }))
            };
            let (was, is) = (planned(before), planned(after));
            if was != is {
                if let Some(was) = &was {
                    plans.by_due.lock().remove(was);
                }
                if let Some((until, due)) = is {
                    plans.put_back(due, until);
                }
            }
        }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.by_due.lock().is_empty()
    }

    /// Takes at most `most` follow-ups that are due. Each is handed out once, unless its record changes.
    pub fn take_due(&self, now: Timestamp, most: usize) -> Vec<Due> {
        let mut by_due = self.by_due.lock();
        let taken: Vec<_> = by_due.iter().take(most).take_while(|(due, _)| *due <= now).copied().collect();
        for due in &taken {
            by_due.remove(due);
        }
        taken.into_iter().map(|(_, due)| due).collect()
    }

    /// A follow-up is due then, or due again.
    pub fn put_back(&self, due: Due, until: Timestamp) {
        self.by_due.lock().insert((until, due));
        self.planned.notify_one();
    }
}
