//! What was noted and is not yet written down, by verification.

use std::collections::{HashMap, VecDeque};

use tokio::sync::oneshot;

use super::track::Change;
use crate::domain::TrackKey;
use crate::store::StoreError;

/// Told when what was noted is durable.
pub(super) type Reply = oneshot::Sender<Result<(), StoreError>>;

/// Somebody waits for a verification to be written, and the plan that rests on it.
#[derive(Debug)]
pub(super) struct Urgent {
    pub(super) reply: Reply,
    /// The number of the plan that was proposed with it.
    pub(super) plan: Option<u64>,
}

/// What waits for one verification, in the order in which it happened.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    pub(super) changes: Vec<Change>,
    pub(super) urgent: Vec<Urgent>,
}

/// Verifications that wait to be written, those that somebody waits for first.
#[derive(Debug, Default)]
pub(super) struct Pending {
    by_key: HashMap<TrackKey, Waiting>,
    /// In the order in which they came. Some may be gone again.
    order: VecDeque<TrackKey>,
    urgent: VecDeque<TrackKey>,
    changes: usize,
    came: u64,
    gone: u64,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// What it holds: verifications, or changes where these are more.
    pub(super) fn len(&self) -> usize {
        self.changes.max(self.by_key.len())
    }

    pub(super) fn push(&mut self, key: TrackKey, change: Change) {
        self.entry(key).changes.push(change);
        self.changes += 1;
    }

    /// Somebody waits for `key`.
    pub(super) fn hurry(&mut self, key: TrackKey, urgent: Urgent) {
        self.entry(key).urgent.push(urgent);
        self.urgent.push_back(key);
    }

    /// Whether somebody waits.
    pub(super) fn is_urgent(&self) -> bool {
        !self.urgent.is_empty()
    }

    /// Whether somebody waits for this one.
    pub(super) fn is_urgent_for(&self, key: &TrackKey) -> bool {
        self.by_key.get(key).is_some_and(|waiting| !waiting.urgent.is_empty())
    }

    /// `key` has to be written again.
    pub(super) fn again(&mut self, key: TrackKey) {
        self.entry(key);
    }

    /// What could not be brought into its record comes back, before what happened since.
    pub(super) fn put_back(&mut self, key: TrackKey, mut changes: Vec<Change>) {
        self.changes += changes.len();
        let waiting = self.entry(key);
        changes.append(&mut waiting.changes);
        waiting.changes = changes;
    }

    pub(super) fn remove(&mut self, key: &TrackKey) -> Option<Waiting> {
        let waiting = self.by_key.remove(key)?;
        self.changes -= waiting.changes.len();
        Some(waiting)
    }

    pub(super) fn get(&self, key: &TrackKey) -> Option<&Waiting> {
        self.by_key.get(key)
    }

    /// Everything that waits now is gone when so many are.
    pub(super) fn mark(&self) -> u64 {
        self.came
    }

    /// Whether what waited at the mark is gone.
    pub(super) fn has_passed(&self, mark: u64) -> bool {
        self.gone >= mark
    }

    /// The first `at_most`: those that somebody waits for, and only without these the others, so that
    /// nobody waits for more than need be.
    pub(super) fn take(&mut self, at_most: usize) -> Vec<(TrackKey, Waiting)> {
        let mut taken = Vec::with_capacity(at_most.min(self.by_key.len()));
        let in_a_hurry = !self.urgent.is_empty();
        while taken.len() < at_most {
            let next = if in_a_hurry { self.urgent.pop_front() } else { self.next_in_order() };
            let Some(key) = next else { break };
            taken.extend(self.remove(&key).map(|waiting| (key, waiting)));
        }
        taken
    }

    fn next_in_order(&mut self) -> Option<TrackKey> {
        let key = self.order.pop_front()?;
        self.gone += 1;
        Some(key)
    }

    fn entry(&mut self, key: TrackKey) -> &mut Waiting {
        self.by_key.entry(key).or_insert_with(|| {
            self.order.push_back(key);
            self.came += 1;
            Waiting::default()
        })
    }
}
