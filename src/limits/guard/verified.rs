//! The numbers that were verified in the last 30 days, in 24 bytes each. Shards hold them; the guard reads them
//! before each send.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use hashbrown::HashTable;
use onceward_core::guard::VerifiedNumber;
use serde::{Deserialize, Serialize};

use crate::domain::{PhoneNumber, ServiceId, Timestamp, record_id, record_id_parts};
use crate::shard::{OlderLayout, Record, RecordKey, Stored, Table, room};

/// The record of a verified number. Its id is that of the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifiedRecord(pub VerifiedNumber);

impl Record for VerifiedRecord {
    const KIND: u8 = 15;
    const PLURAL: &'static str = "verified numbers";
    const OLDER: &'static [OlderLayout<Self>] = &[OlderLayout::of::<FirstVerifiedRecord>()];

    fn expires(&self) -> Timestamp {
        self.0.expires()
    }
}

/// Without the network.
#[derive(Deserialize)]
struct FirstVerifiedRecord {
    day: u16,
    counted: u16,
}

impl From<FirstVerifiedRecord> for VerifiedRecord {
    fn from(FirstVerifiedRecord { day, counted }: FirstVerifiedRecord) -> Self {
        Self(VerifiedNumber { day, counted, home: 0 })
    }
}

/// The tables of all shards. A cheap handle.
#[derive(Clone)]
pub struct VerifiedNumbers {
    tables: Arc<Mutex<Vec<Weak<Mutex<Rows>>>>>,
    /// The table with the numbers of each slot.
    by_slot: BySlot,
    most: usize,
}

type BySlot = Arc<[Mutex<Weak<Mutex<Rows>>>]>;

impl VerifiedNumbers {
    /// Room for `most` numbers of one service, and a quarter more of all services together.
    pub fn new(most: usize) -> Self {
        let by_slot = (0..=u8::MAX).map(|_| Mutex::default()).collect();
        Self { tables: Arc::default(), by_slot, most }
    }

    /// An empty table of a shard.
    pub fn table(&self) -> Box<dyn Table> {
        let rows = Arc::<Mutex<Rows>>::default();
        let mut tables = lock(&self.tables);
        tables.retain(|table| table.strong_count() > 0);
        tables.push(Arc::downgrade(&rows));
        let by_slot = Arc::clone(&self.by_slot);
        Box::new(VerifiedTable { rows, by_slot, slots: [false; 256] })
    }

    /// A number with the slot of its record. Waits for no other shard.
    pub fn get(&self, slot: u8, service: ServiceId, number: PhoneNumber) -> Option<VerifiedNumber> {
        let rows = lock(self.by_slot.get(usize::from(slot))?).upgrade()?;
        let rows = lock(&rows);
        rows.find((service, number.as_u64())).map(|at| rows.all[at].verified())
    }

    pub const fn limit(&self) -> usize {
        self.most
    }

    /// The numbers of all shards.
    pub fn held(&self) -> usize {
        self.of_tables(|rows| rows.all.len()).sum()
    }

    /// Whether a service may add a number.
    pub fn has_room(&self, service: ServiceId) -> bool {
        let own = self.of_tables(|rows| rows.services.get(&service).copied().unwrap_or(0)).sum();
        room(own, self.held(), self.most) > 0
    }

    fn of_tables<T>(&self, read: impl Fn(&Rows) -> T) -> impl Iterator<Item = T> {
        let tables: Vec<_> = lock(&self.tables).iter().filter_map(Weak::upgrade).collect();
        tables.into_iter().map(move |rows| read(&lock(&rows)))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number in 16 bytes.
#[derive(Clone, Copy)]
#[repr(C, packed(2))]
struct Row {
    /// The number (50 bits), the slot, and the days since it counted.
    packed: u64,
    service: ServiceId,
    day: u16,
    home: u16,
}

/// Bits of a number of at most 15 digits.
const NUMBER_BITS: u32 = 50;

/// A service and its number.
type Name = (ServiceId, u64);

impl Row {
    fn new((service, number): Name, slot: u8, verified: VerifiedNumber) -> Self {
        let VerifiedNumber { day, counted, home } = verified;
        let since = u64::from(day.saturating_sub(counted)).min(7);
        let packed = number | u64::from(slot) << NUMBER_BITS | since << (NUMBER_BITS + 8);
        Self { packed, service, day, home }
    }

    const fn name(self) -> Name {
        (self.service, self.packed & ((1 << NUMBER_BITS) - 1))
    }

    fn verified(self) -> VerifiedNumber {
        let since = (self.packed >> (NUMBER_BITS + 8)) as u16;
        VerifiedNumber { day: self.day, counted: self.day.saturating_sub(since), home: self.home }
    }

    fn key(self) -> RecordKey {
        let ((service, number), slot) = (self.name(), (self.packed >> NUMBER_BITS & 0xff) as u8);
        RecordKey { slot, kind: VerifiedRecord::KIND, id: record_id(service, number) }
    }

    fn stored(self) -> Stored {
        Stored::of(VerifiedRecord(self.verified()))
    }
}

/// Parts of the index, as many as a byte tells apart. A growing part is rebuilt, and a rebuild of all would delay answers.
const PARTS: usize = 256;

/// The part of the index for a hash. A part looks at the lowest and the highest bits.
const fn part_of(hash: u64) -> usize {
    hash.to_le_bytes()[5] as usize
}

struct Rows {
    all: Vec<Row>,
    index: Box<[HashTable<u32>]>,
    services: HashMap<ServiceId, usize>,
    hasher: RandomState,
}

impl Default for Rows {
    fn default() -> Self {
        let index = (0..PARTS).map(|_| HashTable::new()).collect();
        Self { all: Vec::new(), index, services: HashMap::new(), hasher: RandomState::new() }
    }
}

impl Rows {
    fn find(&self, name: Name) -> Option<usize> {
        let hash = self.hasher.hash_one(name);
        let found = self.index[part_of(hash)].find(hash, |at| self.all[*at as usize].name() == name);
        found.map(|at| *at as usize)
    }

    fn set(&mut self, row: Row) {
        let name = row.name();
        if let Some(at) = self.find(name) {
            self.all[at] = row;
            return;
        }
        let Self { all, index, services, hasher } = self;
        let Ok(at) = u32::try_from(all.len()) else { return };
        // Doubling would leave half of the memory of many numbers unused.
        if all.len() == all.capacity() {
            all.reserve_exact(all.len() / 16 + 1_024);
        }
        all.push(row);
        *services.entry(name.0).or_default() += 1;
        let hash = hasher.hash_one(name);
        index[part_of(hash)].insert_unique(hash, at, |at| hasher.hash_one(all[*at as usize].name()));
    }

    fn remove(&mut self, name: Name) -> bool {
        let Some(place) = self.find(name) else { return false };
        let Self { all, index, services, hasher } = self;
        let hash = hasher.hash_one(name);
        if let Ok(found) = index[part_of(hash)].find_entry(hash, |at| *at as usize == place) {
            found.remove();
        }
        all.swap_remove(place);
        // The last row takes its place.
        if let Some(moved) = all.get(place) {
            let hash = hasher.hash_one(moved.name());
            if let Some(at) = index[part_of(hash)].find_mut(hash, |at| *at as usize == all.len()) {
                *at = u32::try_from(place).unwrap_or(u32::MAX);
            }
        }
        if let Some(count) = services.get_mut(&name.0) {
            *count -= 1;
            if *count == 0 {
                services.remove(&name.0);
            }
        }
        true
    }
}

/// The table of one shard.
struct VerifiedTable {
    rows: Arc<Mutex<Rows>>,
    by_slot: BySlot,
    /// The slots in which `by_slot` names this table.
    slots: [bool; 256],
}

impl Table for VerifiedTable {
    fn len(&self) -> usize {
        lock(&self.rows).all.len()
    }

    fn get(&self, key: &RecordKey) -> Option<Stored> {
        let rows = lock(&self.rows);
        rows.find(record_id_parts(key.id)).map(|at| rows.all[at].stored())
    }

    fn at(&self, position: usize) -> Option<(RecordKey, Stored)> {
        lock(&self.rows).all.get(position).map(|row| (row.key(), row.stored()))
    }

    fn end_at(&self, position: usize) -> Option<(RecordKey, Timestamp)> {
        lock(&self.rows).all.get(position).map(|row| (row.key(), row.verified().expires()))
    }

    fn set(&mut self, key: RecordKey, record: Stored) {
        let Some(VerifiedRecord(verified)) = record.record() else { return };
        let slot = usize::from(key.slot);
        if !std::mem::replace(&mut self.slots[slot], true) {
            *lock(&self.by_slot[slot]) = Arc::downgrade(&self.rows);
        }
        lock(&self.rows).set(Row::new(record_id_parts(key.id), key.slot, verified));
    }

    fn remove(&mut self, key: &RecordKey) -> bool {
        lock(&self.rows).remove(record_id_parts(key.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verified(day: u16, counted: u16) -> VerifiedNumber {
        VerifiedNumber { day, counted, home: day / 2 }
    }

    fn key(service: u32, number: u64) -> RecordKey {
        let id = record_id(ServiceId::new(service), number);
        RecordKey { slot: number.to_le_bytes()[0], kind: VerifiedRecord::KIND, id }
    }

    fn stored(verified: VerifiedNumber) -> Stored {
        Stored::of(VerifiedRecord(verified))
    }

    #[test]
    fn a_number_is_found_as_it_was_set() {
        let numbers = VerifiedNumbers::new(10);
        let mut table = numbers.table();
        let all = [(0, 1), (u32::MAX, 999_999_999_999_999), (7, 14_155_552_671)];
        for (place, (service, number)) in all.into_iter().enumerate() {
            let day = u16::MAX - u16::try_from(place).expect("small");
            table.set(key(service, number), stored(verified(day, day - 6)));
        }
        for (place, (service, number)) in all.into_iter().enumerate() {
            let day = u16::MAX - u16::try_from(place).expect("small");
            assert_eq!(table.get(&key(service, number)), Some(stored(verified(day, day - 6))));
            assert_eq!(table.at(place), Some((key(service, number), stored(verified(day, day - 6)))));
        }
    }

    #[test]
    fn a_removed_number_is_gone_and_the_others_stay() {
        let numbers = VerifiedNumbers::new(10_000);
        let mut table = numbers.table();
        for number in 1..=5_000_u64 {
            table.set(key(u32::from(number.to_le_bytes()[0]) % 3, number), stored(verified(20_000, 20_000)));
        }
        for number in (1..=5_000_u64).step_by(2) {
            assert!(table.remove(&key(u32::from(number.to_le_bytes()[0]) % 3, number)));
            assert!(!table.remove(&key(u32::from(number.to_le_bytes()[0]) % 3, number)));
        }
        assert_eq!(table.len(), 2_500);
        for number in 1..=5_000_u64 {
            assert_eq!(
                table.get(&key(u32::from(number.to_le_bytes()[0]) % 3, number)).is_some(),
                number % 2 == 0,
                "{number}"
            );
        }
    }

    #[test]
    fn a_number_is_read_while_another_table_is_locked() {
        let numbers = VerifiedNumbers::new(10);
        let (mut own, mut other) = (numbers.table(), numbers.table());
        own.set(RecordKey { slot: 1, ..key(7, 14_155_552_671) }, stored(verified(20_000, 20_000)));
        other.set(RecordKey { slot: 2, ..key(7, 14_155_552_672) }, stored(verified(20_000, 20_000)));
        let busy = numbers.by_slot[2].lock().expect("a table").upgrade().expect("a table");
        let _busy = lock(&busy);
        let number = PhoneNumber::from_u64(14_155_552_671).expect("a number");
        assert_eq!(numbers.get(1, ServiceId::new(7), number), Some(verified(20_000, 20_000)));
        assert_eq!(numbers.get(3, ServiceId::new(7), number), None);
    }

    #[test]
    fn a_full_table_leaves_room_for_other_services() {
        let numbers = VerifiedNumbers::new(100);
        let mut table = numbers.table();
        for number in 1..=100 {
            table.set(key(1, number), stored(verified(20_000, 20_000)));
        }
        assert!(!numbers.has_room(ServiceId::new(1)));
        assert!(numbers.has_room(ServiceId::new(2)));
    }

    #[test]
    fn a_number_takes_at_most_24_bytes() {
        let mut rows = Rows::default();
        for number in 1..=200_000 {
            rows.set(Row::new((ServiceId::DEFAULT, number), 0, verified(20_000, 20_000)));
        }
        let index: usize = rows.index.iter().map(HashTable::allocation_size).sum();
        let bytes = rows.all.capacity() * size_of::<Row>() + index;
        assert!(bytes <= 24 * 200_000, "{}", bytes / 200_000);
    }
}
