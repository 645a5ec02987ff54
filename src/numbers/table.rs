//! The numbers a shard owns, in memory.
//!
//! The state of one number takes 64 bytes: `packed` is that form, `numbers` stores and indexes it. A state
//! that does not fit, such as one of a verification with an id of its own, is kept whole in a map.

mod numbers;
mod packed;
#[cfg(test)]
pub(crate) mod tests;

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;

use self::numbers::Numbers;
use super::capacity::Capacity;
use super::record::NumberKey;
use crate::domain::Timestamp;
use crate::engine::NumberState;
use crate::shard::{Record, RecordError, RecordKey, RecordKind, Stored, Table, decode, encode};

/// Numbers by key. Each counts in a [`Capacity`] that all shards share.
pub struct NumberTable {
    numbers: Numbers,
    capacity: Arc<Capacity>,
}

impl NumberTable {
    /// An empty table whose numbers count in `capacity`.
    pub fn new(capacity: Arc<Capacity>) -> Self {
        Self { numbers: Numbers::default(), capacity }
    }

    /// Numbers, and test numbers.
    const fn counts(&self) -> [usize; 2] {
        let tests = self.numbers.tests();
        [self.numbers.len() - tests, tests]
    }
}

impl Drop for NumberTable {
    fn drop(&mut self) {
        let [others, tests] = self.counts();
        self.capacity.remove(others);
        self.capacity.tests().remove(tests);
    }
}

fn record_key(slot: u8, key: &NumberKey) -> RecordKey {
    RecordKey { slot, kind: NumberState::KIND, id: key.id() }
}

fn stored(state: &NumberState) -> Stored {
    Stored { bytes: encode(state), expires: state.expires() }
}

impl Table for NumberTable {
    fn len(&self) -> usize {
        self.numbers.len()
    }

    fn get(&self, key: &RecordKey) -> Option<Stored> {
        self.numbers.get(&NumberKey::from_id(&key.id)?).map(|state| stored(&state))
    }

    fn get_decoded(&self, key: &RecordKey, record: &mut dyn Any) -> bool {
        let Some(state) = record.downcast_mut() else { return false };
        *state = NumberKey::from_id(&key.id).and_then(|key| self.numbers.get(&key));
        true
    }

    fn at(&self, position: usize) -> Option<(RecordKey, Stored)> {
        self.numbers.at(position).map(|(slot, key, state)| (record_key(slot, &key), stored(&state)))
    }

    fn end_at(&self, position: usize) -> Option<(RecordKey, Timestamp)> {
        self.numbers.at(position).map(|(slot, key, state)| (record_key(slot, &key), state.expires()))
    }

    fn reserve(&mut self, records: usize) {
        self.numbers.reserve(records);
    }

    fn set(&mut self, key: RecordKey, record: Stored) {
        let (Some(number), Ok(state)) = (NumberKey::from_id(&key.id), decode(&record.bytes)) else { return };
        if self.numbers.insert(key.slot, number, state) {
            self.capacity.of(number).add(1);
        }
    }

    fn load(&mut self, records: &[(RecordKey, Option<Bytes>)], _: &RecordKind) -> Result<(), RecordError> {
        let read = |(key, bytes): &(RecordKey, Option<Bytes>)| {
            let state = bytes.as_ref().map_or(Ok(NumberState::Fresh), |bytes| decode(bytes))?;
            Ok(NumberKey::from_id(&key.id).map(|number| (key.slot, number, state)))
        };
        let states = records.iter().filter_map(|record| read(record).transpose());
        let states = states.collect::<Result<_, _>>()?;
        let before = self.counts();
        self.numbers.load(states);
        let capacities = [&self.capacity, self.capacity.tests()];
        for ((capacity, before), after) in capacities.into_iter().zip(before).zip(self.counts()) {
            capacity.add(after.saturating_sub(before));
            capacity.remove(before.saturating_sub(after));
        }
        Ok(())
    }

    fn remove(&mut self, key: &RecordKey) -> bool {
        let Some(number) = NumberKey::from_id(&key.id) else { return false };
        let removed = self.numbers.remove(&number);
        if removed {
            self.capacity.of(number).remove(1);
        }
        removed
    }
}
