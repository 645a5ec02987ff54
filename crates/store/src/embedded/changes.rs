//! What has been written since the last snapshot: for every key its latest record or removal.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::super::{Key, Kind, Write};
use onceward_core::domain::Timestamp;

/// The latest that was written under one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// The frame it was written in, which is its revision.
    pub(super) sequence: u64,
    /// From when on it no longer matters.
    pub(super) gc_after: Timestamp,
    /// The record; `None` if it was removed.
    pub(super) put: Option<Bytes>,
    /// Whether the snapshot may have an older record of the key, which a removal has to remove
    /// there too.
    pub(super) maybe_in_snapshot: bool,
}

impl Change {
    /// The record, if there is one and it still matters at `now`.
    pub(super) fn alive_at(&self, now: Timestamp) -> Option<&Bytes> {
        self.put.as_ref().filter(|_| now < self.gc_after)
    }
}

/// Changes by key.
#[derive(Debug, Default)]
pub(super) struct Changes {
    by_key: HashMap<Key, Change>,
}

impl Changes {
    /// With room for about `expected` keys.
    pub(super) fn with_room_for(expected: usize) -> Self {
        Self { by_key: HashMap::with_capacity(expected) }
    }

    /// Notes a write that is in frame `sequence`. A key that was created since the last snapshot
    /// and is removed again leaves no trace.
    pub(super) fn apply(&mut self, sequence: u64, write: Write, maybe_in_snapshot: bool) {
        use std::collections::hash_map::Entry;
        let Write { key, put, gc_after, .. } = write;
        match self.by_key.entry(key) {
            Entry::Occupied(entry) if put.is_none() && !entry.get().maybe_in_snapshot => {
                entry.remove();
            }
            Entry::Occupied(mut entry) => {
                let change = entry.get_mut();
                *change = Change { sequence, gc_after, put, ..*change };
            }
            // It is nowhere, so there is nothing to remove.
            Entry::Vacant(_) if put.is_none() && !maybe_in_snapshot => {}
            Entry::Vacant(entry) => {
                entry.insert(Change { sequence, gc_after, put, maybe_in_snapshot });
            }
        }
    }

    /// The latest change of `key`, if there was one.
    pub(super) fn change_of(&self, key: &Key) -> Option<&Change> {
        self.by_key.get(key)
    }

    /// How many keys have changed.
    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether nothing has changed.
    pub(super) fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// The changes in the order of their keys, which is the order the snapshot is kept in.
    pub(super) fn sorted(&self) -> Vec<(&Key, &Change)> {
        let mut sorted: Vec<_> = self.by_key.iter().collect();
        sorted.sort_unstable_by_key(|(key, _)| **key);
        sorted
    }

    /// A copy of the changes of one kind.
    pub(super) fn copy_of_kind(&self, kind: Kind) -> Self {
        Self { by_key: self.of_kind(kind).map(|(key, change)| (*key, change.clone())).collect() }
    }

    fn of_kind(&self, kind: Kind) -> impl Iterator<Item = (&Key, &Change)> {
        self.by_key.iter().filter(move |(key, _)| key.kind == kind)
    }
}

/// What was written since the snapshot, as a reader sees it.
#[derive(Debug)]
pub(super) struct Overlay {
    /// Since the running round began.
    pub(super) recent: Changes,
    /// What the running round is bringing into the snapshot.
    pub(super) running: Option<Arc<Changes>>,
}

impl Overlay {
    /// The latest change of `key`, if there was one.
    pub(super) fn change_of(&self, key: &Key) -> Option<&Change> {
        self.recent.change_of(key).or_else(|| self.running.as_ref()?.change_of(key))
    }

    /// Every key of `kind` that has changed, with its latest change.
    pub(super) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = (&Key, &Change)> {
        let running = self.running.iter().flat_map(move |running| running.of_kind(kind));
        let older = running.filter(|(key, _)| self.recent.change_of(key).is_none());
        self.recent.of_kind(kind).chain(older)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Revision, Subject};
    use onceward_core::domain::ServiceId;

    #[test]
    fn when_a_key_is_created_and_removed_it_leaves_no_trace() {
        let mut changes = Changes::default();
        changes.apply(1, put(7), false);
        changes.apply(2, put(7), true);
        changes.apply(3, remove(7), true);
        assert!(changes.is_empty());
        changes.apply(4, remove(7), false);
        assert!(changes.is_empty());
    }

    #[test]
    fn when_a_key_of_the_snapshot_is_removed_the_removal_is_kept() {
        let mut changes = Changes::default();
        changes.apply(1, put(7), true);
        changes.apply(2, remove(7), true);
        let change = changes.change_of(&key(7)).unwrap();
        assert_eq!((change.sequence, &change.put), (2, &None));
        changes.apply(3, put(7), false);
        changes.apply(4, remove(7), true);
        assert!(changes.change_of(&key(7)).is_some(), "the snapshot still has the record");
    }

    #[test]
    fn when_changes_are_sorted_they_come_in_the_order_of_their_keys() {
        let mut changes = Changes::default();
        for subject in [300, 2, 70_000] {
            changes.apply(1, put(subject), false);
        }
        let subjects: Vec<u64> = changes.sorted().iter().map(|(key, _)| key.subject.0).collect();
        assert_eq!(subjects, [2, 300, 70_000]);
    }

    fn key(subject: u64) -> Key {
        Key { kind: Kind::Number, service: ServiceId::DEFAULT, subject: Subject(subject) }
    }

    fn put(subject: u64) -> Write {
        let put = Some(Bytes::from_static(b"record"));
        Write { key: key(subject), expect: Revision::ABSENT, put, gc_after: Timestamp::from_millis(1) }
    }

    fn remove(subject: u64) -> Write {
        Write { put: None, ..put(subject) }
    }
}
