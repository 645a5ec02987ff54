//! The numbers that were verified in the last 30 days. Shards hold them; the guard reads them before each send.

use std::sync::{Arc, Weak};

use onceward_core::guard::VerifiedNumber;
use parking_lot::Mutex;

use crate::domain::{PhoneNumber, ServiceId, Timestamp, record_id};
use crate::shard::{END, Map, Position, Record, RecordKey, Shares, Stored, Table, service_of};

/// The record of a verified number. Its id is that of the number.
impl Record for VerifiedNumber {
    const KIND: u8 = 15;
    const PLURAL: &'static str = "verified numbers";

    fn expires(&self) -> Timestamp {
        Self::expires(*self)
    }
}

/// The tables of all shards. A cheap handle.
#[derive(Clone)]
pub struct VerifiedNumbers {
    /// The table with the numbers of each slot.
    by_slot: Arc<[Mutex<Weak<Mutex<Map>>>]>,
    held: Arc<Mutex<Shares>>,
    most: usize,
}

impl VerifiedNumbers {
    /// Room for `most` numbers.
    pub fn new(most: usize) -> Self {
        let by_slot = (0..=u8::MAX).map(|_| Mutex::default()).collect();
        Self { by_slot, held: Arc::default(), most }
    }

    /// An empty table of a shard.
    pub fn table(&self) -> Box<dyn Table> {
        Box::new(VerifiedTable { map: Arc::default(), numbers: self.clone() })
    }

    /// A number with the slot of its record. Waits for no other shard.
    pub fn get(&self, slot: u8, service: ServiceId, number: PhoneNumber) -> Option<VerifiedNumber> {
        let map = self.by_slot.get(usize::from(slot))?.lock().upgrade()?;
        let key = RecordKey { slot, kind: VerifiedNumber::KIND, id: record_id(service, number.as_u64()) };
        let stored = map.lock().get(&key)?;
        stored.record()
    }

    pub const fn limit(&self) -> usize {
        self.most
    }

    /// The numbers of all shards.
    pub fn held(&self) -> usize {
        self.held.lock().held()
    }

    /// Whether a service may add a number.
    pub fn has_room(&self, service: ServiceId) -> bool {
        self.held.lock().room(service, self.most) > 0
    }
}

/// The table of one shard.
struct VerifiedTable {
    map: Arc<Mutex<Map>>,
    numbers: VerifiedNumbers,
}

impl Table for VerifiedTable {
    fn count(&self) -> usize {
        self.map.lock().count()
    }

    fn get(&self, key: &RecordKey) -> Option<Stored> {
        self.map.lock().get(key)
    }

    fn before(&self, position: Position) -> Option<(Position, RecordKey, Timestamp)> {
        self.map.lock().before(position)
    }

    fn set(&mut self, key: RecordKey, record: Stored) {
        *self.numbers.by_slot[usize::from(key.slot)].lock() = Arc::downgrade(&self.map);
        let mut map = self.map.lock();
        let before = map.count();
        map.set(key, record);
        self.numbers.held.lock().add(service_of(&key.id), map.count() - before);
    }

    fn remove(&mut self, key: &RecordKey) -> bool {
        let was_held = self.map.lock().remove(key);
        self.numbers.held.lock().remove(service_of(&key.id), usize::from(was_held));
        was_held
    }
}

/// A shard that restarts counts its numbers anew.
impl Drop for VerifiedTable {
    fn drop(&mut self) {
        let (map, mut held) = (self.map.lock(), self.numbers.held.lock());
        let mut end = END;
        while let Some((position, key, _)) = map.before(end) {
            held.remove(service_of(&key.id), 1);
            end = position;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: VerifiedNumber = VerifiedNumber { day: 20_000, counted: 19_994 };

    fn key(service: u32, slot: u8, number: u64) -> RecordKey {
        RecordKey { slot, kind: VerifiedNumber::KIND, id: record_id(ServiceId::new(service), number) }
    }

    #[test]
    fn a_number_is_read_while_another_table_is_locked() {
        let numbers = VerifiedNumbers::new(10);
        let (mut own, mut other) = (numbers.table(), numbers.table());
        own.set(key(7, 1, 14_155_552_671), Stored::of(&DAY));
        other.set(key(7, 2, 14_155_552_672), Stored::of(&DAY));
        let busy = numbers.by_slot[2].lock().upgrade().expect("a table");
        let _busy = busy.lock();
        let number = PhoneNumber::from_u64(14_155_552_671).expect("a number");
        assert_eq!(numbers.get(1, ServiceId::new(7), number), Some(DAY));
        assert_eq!(numbers.get(3, ServiceId::new(7), number), None);
    }

    #[test]
    fn a_full_table_has_no_room_until_a_number_ends_or_its_shard() {
        let numbers = VerifiedNumbers::new(100);
        let mut table = numbers.table();
        for number in [1, 1].into_iter().chain(2..=100) {
            table.set(key(1, 0, number), Stored::of(&DAY));
        }
        assert_eq!([1, 2].map(|of| numbers.has_room(ServiceId::new(of))), [false; 2]);
        assert!(table.remove(&key(1, 0, 7)) && !table.remove(&key(1, 0, 7)));
        assert_eq!((numbers.held(), numbers.has_room(ServiceId::new(1))), (99, true));
        drop(table);
        assert_eq!(numbers.held(), 0);
    }
}
