//! One decision's view of the records: memory, with the earlier changes of the same batch over it.

use indexmap::IndexMap;
use rand::rngs::StdRng;

use super::record::{Hasher, Id, Record, RecordKey, Stored};
use super::tables::Tables;
use crate::domain::Timestamp;

/// Whether the answer waits for a change to be durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The answer waits.
    Durable,
    /// The answer does not wait, and a crash may lose the change. It is written with the next batch, within 150 ms.
    Lazy,
}

/// The states that one record has within a batch.
#[derive(Default)]
pub(super) struct RecordHistory {
    /// Every state it had, oldest first. The first is what memory had when the batch began; the last is the present one.
    states: Vec<Option<Stored>>,
    /// Whether answers about the record wait until it is durable.
    pub(super) durable: bool,
    /// Whether memory keeps the change also if the store refuses it.
    pub(super) holds: bool,
}

impl RecordHistory {
    pub(super) fn beginning(stored: Option<Stored>) -> Self {
        Self { states: vec![stored], durable: false, holds: false }
    }

    /// What memory has until the change is applied.
    pub(super) fn before(&self) -> Option<&Stored> {
        self.states.first()?.as_ref()
    }

    /// The present state.
    pub(super) fn after(&self) -> Option<Stored> {
        self.states.last()?.clone()
    }

    /// Every state, for [`super::kinds::RecordKind::merge_pessimistic`].
    pub(super) fn states(&self) -> &[Option<Stored>] {
        &self.states
    }

    /// Whether it was changed at all.
    pub(super) const fn is_changed(&self) -> bool {
        self.states.len() > 1
    }
}

/// The changes of a batch by record, in the order of first access.
pub(super) type RecordChanges = IndexMap<RecordKey, RecordHistory, Hasher>;

/// Reads and writes the records of one decision.
pub struct Transaction<'a> {
    tables: &'a Tables,
    rng: &'a mut StdRng,
    changes: &'a mut RecordChanges,
    /// The records that the decision read or changed. Its answer waits until they are durable.
    touched: Vec<RecordKey>,
    /// [`Transaction::holds_at_once`].
    holds: bool,
    slot: u8,
    now: Timestamp,
}

impl<'a> Transaction<'a> {
    pub(super) fn new(
        tables: &'a Tables,
        rng: &'a mut StdRng,
        changes: &'a mut RecordChanges,
        slot: u8,
        now: Timestamp,
    ) -> Self {
        Self { tables, rng, changes, touched: Vec::new(), holds: false, slot, now }
    }

    /// The records that the decision read or changed.
    pub(super) fn into_touched(self) -> Vec<RecordKey> {
        for key in self.touched.iter().filter(|_| self.holds) {
            if let Some(history) = self.changes.get_mut(key) {
                history.holds = true;
            }
        }
        self.touched
    }

    /// Memory keeps the changes of this decision also if the store refuses them, as after an unknown outcome. The shard
    /// writes them again. For a change that must not wait for the store, such as the revocation of a key.
    pub const fn holds_at_once(&mut self) {
        self.holds = true;
    }

    /// The moment of the decision.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// The slot that all records of the decision belong to.
    pub const fn slot(&self) -> u8 {
        self.slot
    }

    /// The random source of the shard.
    pub const fn rng(&mut self) -> &mut StdRng {
        self.rng
    }

    /// The record of this kind about `id`; `None` if there is none or it has ended.
    pub fn get<R: Record>(&mut self, id: Id) -> Option<R> {
        let key = self.key::<R>(id);
        match self.changes.get(&key) {
            Some(history) => history.after().filter(|stored| self.now < stored.expires)?.record(),
            None => self.tables.get(&key, self.now),
        }
    }

    /// Writes the record under `id`; `None` removes it. A write that changes nothing is ignored.
    pub fn put<R: Record>(&mut self, id: Id, record: Option<&R>, durability: Durability) {
        let key = self.key::<R>(id);
        let record = record.map(Stored::of);
        let history =
            self.changes.entry(key).or_insert_with(|| RecordHistory::beginning(self.tables.stored(&key)));
        let is_ignored = match (history.states.last().and_then(Option::as_ref), &record) {
            (Some(present), Some(record)) => present == record,
            (Some(present), None) => present.expires <= self.now,
            (None, record) => record.is_none(),
        };
        if !is_ignored {
            history.states.push(record);
            history.durable |= durability == Durability::Durable;
        }
    }

    /// Whether this shard holds fewer than `most` records of this kind, those that the batch adds included.
    pub fn has_room<R: Record>(&self, most: usize) -> bool {
        let held = self.tables.len_of(R::KIND);
        if held + self.changes.len() < most {
            return true;
        }
        let is_new = |(key, history): &(&RecordKey, &RecordHistory)| {
            key.kind == R::KIND
                && history.states.first().is_some_and(Option::is_none)
                && history.after().is_some()
        };
        held + self.changes.iter().filter(is_new).count() < most
    }

    /// Iterates over the live records of this kind, with the earlier changes of the batch. The answer does not wait for
    /// records that the decision reads only through this method.
    pub fn iter<R: Record>(&self) -> impl Iterator<Item = (RecordKey, R)> {
        self.records(None)
    }

    /// The live records of this kind in the slot of the decision that `fits` accepts. The answer waits only for those that the
    /// decision also gets or changes.
    pub fn in_slot<R: Record>(&self, fits: impl Fn(&Id, &R) -> bool) -> Vec<(Id, R)> {
        let records = self.records::<R>(Some(self.slot)).map(|(key, record)| (key.id, record));
        records.filter(|(id, record)| fits(id, record)).collect()
    }

    /// The live records of this kind, of one slot or of all: those that the batch has not touched, then the others.
    fn records<R: Record>(&self, slot: Option<u8>) -> impl Iterator<Item = (RecordKey, R)> {
        let is_wanted = move |key: &RecordKey| slot.is_none_or(|slot| key.slot == slot);
        let kept = self.tables.keys_of(R::KIND).filter(is_wanted);
        let kept = kept.filter(|key| !self.changes.contains_key(key)).map(|key| (key, None));
        let changed = self.changes.iter().filter(move |(key, _)| key.kind == R::KIND && is_wanted(key));
        let changed = changed.map(|(key, history)| (*key, Some(history)));
        kept.chain(changed).filter_map(|(key, history)| {
            let stored = history.map_or_else(|| self.tables.stored(&key), RecordHistory::after);
            Some((key, stored.filter(|stored| self.now < stored.expires)?.record()?))
        })
    }

    fn key<R: Record>(&mut self, id: Id) -> RecordKey {
        let key = RecordKey { slot: self.slot, kind: R::KIND, id };
        if !self.touched.contains(&key) {
            self.touched.push(key);
        }
        key
    }
}
