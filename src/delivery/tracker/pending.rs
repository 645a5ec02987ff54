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
    /// Its place in the order in which they came.
    came: u64,
}

/// Places in the order that are kept for verifications that have gone, beyond as many as wait: so seldom is it
/// tidied that this takes no time.
const GONE_AT_MOST: usize = 64;

/// Verifications that wait to be written, those that somebody waits for first.
#[derive(Debug, Default)]
pub(super) struct Pending {
    by_key: HashMap<TrackKey, Waiting>,
    /// In the order in which they came. The first waits; of the others some may be gone.
    order: VecDeque<(u64, TrackKey)>,
    urgent: VecDeque<TrackKey>,
    changes: usize,
    came: u64,
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
        while self.order.front().is_some_and(|place| !self.waits(place)) {
            self.order.pop_front();
        }
        // Those that somebody waits for go first. While there are always some, nothing comes to the front.
        if self.order.len() > 2 * self.by_key.len() + GONE_AT_MOST {
            let mut order = std::mem::take(&mut self.order);
            order.retain(|place| self.waits(place));
            self.order = order;
        }
        Some(waiting)
    }

    pub(super) fn get(&self, key: &TrackKey) -> Option<&Waiting> {
        self.by_key.get(key)
    }

    /// The place of the last that waits now: everything has gone when what waits first came later.
    pub(super) fn mark(&self) -> u64 {
        self.came
    }

    /// Whether what waited at the mark is gone.
    pub(super) fn has_passed(&self, mark: u64) -> bool {
        self.order.front().is_none_or(|(came, _)| *came > mark)
    }

    /// The first `at_most`: those that somebody waits for, and only without these the others, so that
    /// nobody waits for more than need be.
    pub(super) fn take(&mut self, at_most: usize) -> Vec<(TrackKey, Waiting)> {
        let mut taken = Vec::with_capacity(at_most.min(self.by_key.len()));
        let in_a_hurry = !self.urgent.is_empty();
        while taken.len() < at_most {
            let first = self.order.front().map(|(_, key)| *key);
            let next = if in_a_hurry { self.urgent.pop_front() } else { first };
            let Some(key) = next else { break };
            taken.extend(self.remove(&key).map(|waiting| (key, waiting)));
        }
        taken
    }

    /// Whether this place is that of a verification that waits.
    fn waits(&self, (came, key): &(u64, TrackKey)) -> bool {
        self.by_key.get(key).is_some_and(|waiting| waiting.came == *came)
    }

    fn entry(&mut self, key: TrackKey) -> &mut Waiting {
        self.by_key.entry(key).or_insert_with(|| {
            self.came += 1;
            self.order.push_back((self.came, key));
            Waiting { came: self.came, ..Waiting::default() }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ServiceId;

    fn key(track: u64) -> TrackKey {
        TrackKey { service: ServiceId::DEFAULT, track }
    }

    fn somebody() -> Urgent {
        let (reply, _) = oneshot::channel();
        Urgent { reply, plan: None }
    }

    fn keys(taken: Vec<(TrackKey, Waiting)>) -> Vec<u64> {
        taken.into_iter().map(|(key, _)| key.track).collect()
    }

    #[test]
    fn while_somebody_always_waits_nothing_is_kept_of_what_has_gone() {
        for first_is_in_no_hurry in [false, true] {
            let mut pending = Pending::default();
            if first_is_in_no_hurry {
                pending.again(key(0));
            }
            pending.hurry(key(1), somebody());
            for track in 1..10_000 {
                pending.hurry(key(track + 1), somebody());
                assert_eq!(keys(pending.take(1)), [track]);
            }
            assert!(
                pending.order.len() <= 2 * pending.by_key.len() + GONE_AT_MOST,
                "{}",
                pending.order.len()
            );
        }
    }

    #[test]
    fn those_in_no_hurry_go_in_the_order_in_which_they_came_when_nobody_waits() {
        let mut pending = Pending::default();
        for track in [3, 1, 2] {
            pending.again(key(track));
        }
        pending.hurry(key(1), somebody());
        assert_eq!(keys(pending.take(9)), [1]);
        pending.again(key(1));
        assert_eq!(keys(pending.take(2)), [3, 2]);
        assert_eq!(keys(pending.take(2)), [1]);
        assert!(pending.is_empty());
    }

    #[test]
    fn a_mark_is_passed_when_all_that_waited_then_has_gone_and_not_before() {
        let mut pending = Pending::default();
        pending.again(key(1));
        pending.again(key(2));
        let mark = pending.mark();
        pending.again(key(3));
        pending.hurry(key(2), somebody());
        pending.take(9);
        assert!(!pending.has_passed(mark), "the first still waits");
        pending.again(key(2));
        pending.take(1);
        assert!(pending.has_passed(mark), "what came since does not count");
    }
}
