//! The numbers that a shard owns, in memory.

#[cfg(any(test, feature = "testing"))]
#[path = "table/tests/states.rs"]
pub mod states;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;

use crate::domain::{NumberKey, Timestamp};
use crate::engine::NumberState;
use crate::observe::metrics::ServiceNames;
use crate::shard::{Capacity, LimitedTable, Map, RecordError, RecordKey, RecordKind, Shares, Stored, Table};

/// The limits on the stored numbers of all shards. Test numbers cost no message and take no room of the others.
#[derive(Clone)]
pub struct NumberCapacity([Arc<Capacity>; 2]);

/// The limit on stored test numbers.
const TEST_NUMBERS: usize = 10_000;

impl NumberCapacity {
    /// Capacity for `limit` numbers, and separately for test numbers.
    pub fn new(limit: usize) -> Self {
        Self::with_names(limit, &ServiceNames::default())
    }

    /// The same, with services by their names in the log.
    pub fn with_names(limit: usize, names: &ServiceNames) -> Self {
        let of = |table, limit| Capacity::counted_by_table::<NumberState>(table, limit, names);
        Self([of(LimitedTable::Numbers, limit), of(LimitedTable::TestNumbers, limit.min(TEST_NUMBERS))])
    }

    /// The capacity for test numbers, or for all other numbers.
    pub fn of(&self, is_test: bool) -> &Arc<Capacity> {
        &self.0[usize::from(is_test)]
    }

    fn change(&self, key: &RecordKey, before: bool, after: bool) {
        if before != after
            && let Some(NumberKey { service, is_test, .. }) = NumberKey::from_id(&key.id)
        {
            self.of(is_test).count(|held| {
                held.add(service, usize::from(after));
                held.remove(service, usize::from(before));
            });
        }
    }

    /// The places of many records, which are summed up first: the tables of all shards load at the same time.
    fn shares(keys: impl Iterator<Item = RecordKey>) -> [Shares; 2] {
        let mut shares = <[Shares; 2]>::default();
        for NumberKey { service, is_test, .. } in keys.filter_map(|key| NumberKey::from_id(&key.id)) {
            shares[usize::from(is_test)].add(service, 1);
        }
        shares
    }
}

/// Numbers by key. Each counts in a [`NumberCapacity`].
pub struct NumberTable {
    map: Map,
    capacity: NumberCapacity,
}

impl NumberTable {
    /// An empty table whose numbers count in `capacity`.
    pub fn new(capacity: NumberCapacity) -> Self {
        Self { map: Map::default(), capacity }
    }
}

impl Drop for NumberTable {
    fn drop(&mut self) {
        let keys = (0..self.map.len()).filter_map(|position| Some(self.map.end_at(position)?.0));
        let held = NumberCapacity::shares(keys);
        self.capacity
            .0
            .iter()
            .zip(&held)
            .for_each(|(capacity, gone)| capacity.count(|held| held.remove_all(gone)));
    }
}

impl Table for NumberTable {
    fn len(&self) -> usize {
        self.map.len()
    }

    fn get(&self, key: &RecordKey) -> Option<Stored> {
        self.map.get(key)
    }

    fn at(&self, position: usize) -> Option<(RecordKey, Stored)> {
        self.map.at(position)
    }

    fn end_at(&self, position: usize) -> Option<(RecordKey, Timestamp)> {
        self.map.end_at(position)
    }

    /// Drops a verification that has expired: a count of wrong codes is kept for long.
    fn compact(&mut self, position: usize, now: Timestamp) {
        if !self.map.is_large(position) {
            return;
        }
        let Some((key, stored)) = self.map.at(position) else { return };
        let state = stored.record::<NumberState>();
        if let Some(smaller) = state.and_then(|state| state.without_expired_verification(now)) {
            self.map.set(key, Stored::of(&smaller));
        }
    }

    fn set(&mut self, key: RecordKey, record: Stored) {
        let before = self.map.len();
        self.map.set(key, record);
        self.capacity.change(&key, self.map.len() == before, true);
    }

    fn load(&mut self, records: &[(RecordKey, Bytes)], kind: &RecordKind) -> Result<(), RecordError> {
        self.map.load(records, kind)?;
        let added = NumberCapacity::shares(records.iter().map(|(key, _)| *key));
        self.capacity
            .0
            .iter()
            .zip(&added)
            .for_each(|(capacity, added)| capacity.count(|held| held.add_all(added)));
        Ok(())
    }

    fn remove(&mut self, key: &RecordKey) -> bool {
        let was_held = self.map.remove(key);
        self.capacity.change(key, was_held, false);
        was_held
    }
}
