//! One decision's view of the records.

use rand::rngs::StdRng;

use super::record::{Id, Record, RecordKey, Stored};
use super::tables::{Change, Tables};
use crate::domain::Timestamp;

/// Expired records are looked for among so many of its kind before a new record is refused: some
/// 10 us.
const SWEEP_BEFORE_REFUSAL: usize = 256;

/// Reads and writes the records of one decision. A write holds in memory at once; the shard undoes it if the store refuses
/// it, or if the command is refused.
pub struct Transaction<'a> {
    pub(super) tables: &'a mut Tables,
    rng: &'a mut StdRng,
    changes: Vec<Change>,
    slot: u8,
    now: Timestamp,
}

impl<'a> Transaction<'a> {
    pub(super) const fn new(tables: &'a mut Tables, rng: &'a mut StdRng, slot: u8, now: Timestamp) -> Self {
        Self { tables, rng, changes: Vec::new(), slot, now }
    }

    pub(super) fn into_changes(self) -> Vec<Change> {
        self.changes
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
    pub fn get<R: Record>(&self, id: Id) -> Option<R> {
        self.tables.get(&self.key::<R>(id), self.now)
    }

    /// Writes the record under `id`; `None` removes it. A write that changes nothing is ignored.
    pub fn put<R: Record>(&mut self, id: Id, record: Option<&R>) {
        let (key, after) = (self.key::<R>(id), record.map(Stored::of));
        let is_ignored = match (self.tables.stored(&key), &after) {
            (Some(present), Some(after)) => present == *after,
            (Some(present), None) => present.expires <= self.now,
            (None, after) => after.is_none(),
        };
        if !is_ignored {
            self.changes.push(self.tables.set(key, after));
        }
    }

    /// Undoes what the decision has written.
    pub(super) fn discard(&mut self) {
        self.tables.undo(&self.changes);
        self.changes.clear();
    }

    /// Whether this shard holds fewer than `most` records of this kind.
    pub fn has_room<R: Record>(&self, most: usize) -> bool {
        self.tables.len_of(R::KIND) < most
    }

    /// Frees some expired records of this kind.
    pub(super) fn sweep<R: Record>(&mut self) {
        self.changes.extend(self.tables.sweep_kind(R::KIND, SWEEP_BEFORE_REFUSAL, self.now));
    }

    /// The live records of this kind in the slot of the decision.
    pub fn iter<R: Record>(&self) -> impl Iterator<Item = (RecordKey, R)> {
        self.tables.of_slot(self.slot, self.now)
    }

    const fn key<R: Record>(&self, id: Id) -> RecordKey {
        RecordKey { slot: self.slot, kind: R::KIND, id }
    }
}
