//! The numbers a shard owns, in memory.
//!
//! The state of one number takes 64 bytes: `packed` is that form, `numbers` stores and indexes it. A state
//! that does not fit, such as one of a verification with an id of its own, is kept whole in a map.

mod numbers;
mod packed;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use bytes::Bytes;

use self::numbers::Numbers;
use crate::domain::NumberKey;
use crate::domain::Timestamp;
use crate::engine::NumberState;
use crate::observe::metrics::ServiceNames;
use crate::shard::{
    Capacity, LimitedTable, Record, RecordError, RecordKey, RecordKind, Shares, Stored, Table, decode,
};

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
}

/// Numbers by key. Each counts in a [`NumberCapacity`].
pub struct NumberTable {
    numbers: Numbers,
    capacity: NumberCapacity,
}

impl NumberTable {
    /// An empty table whose numbers count in `capacity`.
    pub fn new(capacity: NumberCapacity) -> Self {
        Self { numbers: Numbers::default(), capacity }
    }
}

impl Drop for NumberTable {
    fn drop(&mut self) {
        let mut held = <[Shares; 2]>::default();
        for (_, key, _) in (0..self.numbers.len()).filter_map(|position| self.numbers.at(position)) {
            held[usize::from(key.is_test)].add(key.service, 1);
        }
        self.capacity.0.iter().zip(&held).for_each(|(capacity, held)| capacity.remove_all(held));
    }
}

fn record_key(slot: u8, key: &NumberKey) -> RecordKey {
    RecordKey { slot, kind: NumberState::KIND, id: key.id() }
}

impl Table for NumberTable {
    fn len(&self) -> usize {
        self.numbers.len()
    }

    fn get(&self, key: &RecordKey) -> Option<Stored> {
        self.numbers.get(&NumberKey::from_id(&key.id)?).map(Stored::of)
    }

    fn at(&self, position: usize) -> Option<(RecordKey, Stored)> {
        self.numbers.at(position).map(|(slot, key, state)| (record_key(slot, &key), Stored::of(state)))
    }

    fn end_at(&self, position: usize) -> Option<(RecordKey, Timestamp)> {
        self.numbers.at(position).map(|(slot, key, state)| (record_key(slot, &key), state.expires()))
    }

    fn compact(&mut self, position: usize, now: Timestamp) {
        self.numbers.compact(position, now);
    }

    fn reserve(&mut self, records: usize) {
        self.numbers.reserve(records);
    }

    fn set(&mut self, key: RecordKey, record: Stored) {
        let (Some(number), Some(state)) = (NumberKey::from_id(&key.id), record.record()) else { return };
        let before = self.numbers.insert(key.slot, number, state);
        self.capacity.of(number.is_test).change(number.service, usize::from(before.is_some()), 1);
    }

    fn load(&mut self, records: &[(RecordKey, Bytes)], _: &RecordKind) -> Result<(), RecordError> {
        let read = |(key, bytes): &(RecordKey, Bytes)| {
            let state = decode(bytes)?;
            Ok(NumberKey::from_id(&key.id).map(|number| (key.slot, number, state)))
        };
        let states = records.iter().filter_map(|record| read(record).transpose());
        let states: Vec<(u8, NumberKey, NumberState)> = states.collect::<Result<_, _>>()?;
        // Summed up first, because the tables of all shards load at the same time and share the lock of the capacity.
        let mut added = <[Shares; 2]>::default();
        for (_, key, _) in &states {
            added[usize::from(key.is_test)].add(key.service, 1);
        }
        self.numbers.load(states);
        self.capacity.0.iter().zip(&added).for_each(|(capacity, added)| capacity.add_all(added));
        Ok(())
    }

    fn remove(&mut self, key: &RecordKey) -> bool {
        let Some(key) = NumberKey::from_id(&key.id) else { return false };
        let before = self.numbers.remove(&key);
        self.capacity.of(key.is_test).change(key.service, usize::from(before.is_some()), 0);
        before.is_some()
    }
}
