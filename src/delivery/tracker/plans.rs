//! What is still to be sent, and when.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::track::Plan;
use crate::domain::{Timestamp, TrackKey};

/// How long after its code has expired a follow-up that nobody came back for is handed out again, so
/// that it ends: whoever took it died.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// Follow-ups by verification, each in one of three states.
#[derive(Debug, Default)]
pub(super) struct Plans {
    by_key: HashMap<TrackKey, Entry>,
    by_due: BTreeSet<(Timestamp, TrackKey)>,
    last_id: u64,
}

#[derive(Debug)]
struct Entry {
    plan: Plan,
    id: u64,
    stage: Stage,
    /// Whether a gateway may have been asked to make it: then nobody makes it a second time.
    begun: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Not durable yet, and promised to be: nobody may take it before.
    Proposed,
    /// Waits for its time, which is in `by_due`.
    Waiting(Timestamp),
}

impl Plans {
    /// How many there are, in any state.
    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(super) fn get(&self, key: &TrackKey) -> Option<&Plan> {
        self.by_key.get(key).map(|entry| &entry.plan)
    }

    /// What a record has to say: after a crash it would be made again, so one that has begun is not
    /// in it.
    pub(super) fn to_be_kept(&self, key: &TrackKey) -> Option<&Plan> {
        self.by_key.get(key).filter(|entry| !entry.begun).map(|entry| &entry.plan)
    }

    /// It is made now.
    pub(super) fn begin(&mut self, key: &TrackKey) {
        if let Some(entry) = self.by_key.get_mut(key) {
            entry.begun = true;
        }
    }

    /// It could not be made, and is due again then. True when this is the first to be due.
    pub(super) fn begin_again(&mut self, key: TrackKey, due: Timestamp) -> bool {
        let Some(entry) = self.by_key.get_mut(&key) else { return false };
        entry.begun = false;
        self.wait_until(key, due)
    }

    pub(super) fn contains(&self, key: &TrackKey) -> bool {
        self.by_key.contains_key(key)
    }

    /// Plans, in place of what was planned before. True when this is the first to be due.
    pub(super) fn plan(&mut self, key: TrackKey, plan: Plan) -> bool {
        let id = self.propose(key, plan);
        self.confirm(key, id)
    }

    /// The same, but nobody takes it before it is confirmed. The number names this plan.
    pub(super) fn propose(&mut self, key: TrackKey, plan: Plan) -> u64 {
        self.end(&key);
        self.last_id += 1;
        self.by_key.insert(key, Entry { plan, id: self.last_id, stage: Stage::Proposed, begun: false });
        self.last_id
    }

    /// What was proposed is durable, unless something else was planned since. True when this is
    /// the first to be due.
    pub(super) fn confirm(&mut self, key: TrackKey, id: u64) -> bool {
        match self.by_key.get(&key) {
            Some(entry) if entry.id == id && entry.stage == Stage::Proposed => {
                let due = entry.plan.follow_up.due;
                self.wait_until(key, due)
            }
            _ => false,
        }
    }

    /// What was proposed did not become durable.
    pub(super) fn withdraw(&mut self, key: &TrackKey, id: u64) {
        if self.by_key.get(key).is_some_and(|entry| entry.id == id) {
            self.end(key);
        }
    }

    /// Nothing is planned for this verification any more; what was.
    pub(super) fn end(&mut self, key: &TrackKey) -> Option<Plan> {
        let entry = self.by_key.remove(key)?;
        if let Stage::Waiting(due) = entry.stage {
            self.by_due.remove(&(due, *key));
        }
        Some(entry.plan)
    }

    /// It is due at once, if nobody has taken it yet. True when this is the first to be due.
    pub(super) fn hasten(&mut self, key: TrackKey, now: Timestamp) -> bool {
        let Some(entry) = self.by_key.get_mut(&key) else { return false };
        if entry.plan.follow_up.due <= now {
            return false;
        }
        entry.plan.follow_up.due = now;
        matches!(entry.stage, Stage::Waiting(_)) && self.wait_until(key, now)
    }

    /// It is not due before this moment, unless somebody may have taken it already. Whether that
    /// changes anything.
    pub(super) fn hold_until(&mut self, key: TrackKey, now: Timestamp, moment: Timestamp) -> bool {
        let Some(entry) = self.by_key.get_mut(&key) else { return false };
        let due = entry.plan.follow_up.due;
        if due <= now || due >= moment {
            return false;
        }
        entry.plan.follow_up.due = moment;
        if matches!(entry.stage, Stage::Waiting(_)) {
            self.wait_until(key, moment);
        }
        true
    }

    /// Those whose time has come, each once, at most so many.
    pub(super) fn take_due(&mut self, now: Timestamp, at_most: usize) -> Vec<(TrackKey, Plan)> {
        let due = self.by_due.iter().take_while(|(due, _)| *due <= now).take(at_most);
        let keys: Vec<TrackKey> = due.map(|(_, key)| *key).collect();
        let mut taken = Vec::with_capacity(keys.len());
        for key in keys {
            let Some(plan) = self.get(&key).cloned() else { continue };
            let forgotten = plan.expires.max(now).plus(FORGOTTEN_AFTER);
            self.wait_until(key, forgotten);
            taken.push((key, plan));
        }
        taken
    }

    /// When the first one is due.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.by_due.first().map(|(due, _)| *due)
    }

    fn wait_until(&mut self, key: TrackKey, due: Timestamp) -> bool {
        let Some(entry) = self.by_key.get_mut(&key) else { return false };
        if let Stage::Waiting(before) = entry.stage {
            self.by_due.remove(&(before, key));
        }
        entry.stage = Stage::Waiting(due);
        let first = self.by_due.first().is_none_or(|(first, _)| due < *first);
        self.by_due.insert((due, key));
        first
    }
}
