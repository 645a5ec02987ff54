//! The table of one kind of record: what it can do, and its general form, which holds encoded records in little memory.
//!
//! A [`Map`] has a vector of entries for each slot, and an index with the position of each key. No step concerns more than
//! one slot: to grow a table of ten million records at once would delay answers.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::num::NonZeroU8;

use bytes::Bytes;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Place;

use super::record::{Record, RecordKey, Stored, decode};
use crate::domain::Timestamp;

/// The place of a record in a table: its slot, and its position there.
pub type Position = (u8, usize);

/// Behind every record.
pub const END: Position = (u8::MAX, usize::MAX);

/// Records of one kind, by key and by position.
///
/// A removal may move the last record of a slot into the gap. A walk from the last position to the first visits every record
/// that exists all the time, and may visit a moved record twice.
pub trait Table: Send {
    /// The number of records.
    fn count(&self) -> usize;
    /// The record under a key, with its end.
    fn get(&self, key: &RecordKey) -> Option<Stored>;
    /// The last record before a position, with its end.
    fn before(&self, position: Position) -> Option<(Position, RecordKey, Timestamp)>;
    /// Shrinks the record at a position to what matters at `now`.
    fn compact(&mut self, position: Position, now: Timestamp) {
        let _ = (position, now);
    }
    /// Inserts a record or replaces the one under its key.
    fn set(&mut self, key: RecordKey, record: Stored);
    /// Removes the record under a key. Returns `true` if it existed.
    fn remove(&mut self, key: &RecordKey) -> bool;
}

/// The general form of a table.
#[derive(Default)]
pub struct Map {
    slots: BTreeMap<u8, SlotMap>,
    count: usize,
    /// Keyed: a client cannot choose numbers that all collide.
    hasher: RandomState,
    compact: Option<Compact>,
}

/// The records of one slot.
#[derive(Default)]
struct SlotMap {
    entries: Vec<Entry>,
    /// Positions in `entries`.
    index: HashTable<u32>,
}

/// [`Record::COMPACT`] of encoded records.
type Compact = fn(&[u8], Timestamp) -> Option<Stored>;

/// One record: 72 bytes.
struct Entry {
    key: RecordKey,
    expires: Timestamp,
    record: Content,
}

/// Records up to this size are in their entry: that of a number with an outstanding code by the compatible routes, and of a
/// number with wrong codes only.
const INLINE: usize = 47;

enum Content {
    Inline { len: NonZeroU8, bytes: [u8; INLINE] },
    Boxed(Box<[u8]>),
}

impl Content {
    fn of(record: &[u8]) -> Self {
        let mut bytes = [0; INLINE];
        let len = u8::try_from(record.len()).ok().and_then(NonZeroU8::new);
        match (len, bytes.get_mut(..record.len())) {
            (Some(len), Some(place)) => {
                place.copy_from_slice(record);
                Self::Inline { len, bytes }
            }
            _ => Self::Boxed(Box::from(record)),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Inline { len, bytes } => bytes.get(..usize::from(len.get())).unwrap_or(bytes),
            Self::Boxed(bytes) => bytes,
        }
    }
}

impl Entry {
    fn stored(&self) -> Stored {
        Stored { bytes: Bytes::copy_from_slice(self.record.bytes()), expires: self.expires }
    }
}

impl Map {
    /// An empty table for records of one kind.
    pub fn of<R: Record>() -> Self {
        let compact: Compact = |bytes, now| Some(Stored::of(&(R::COMPACT?)(&decode::<R>(bytes).ok()?, now)?));
        Self { compact: R::COMPACT.map(|_| compact), ..Self::default() }
    }

    /// Whether the record before a position takes memory beside its entry.
    #[cfg(test)]
    pub fn is_large(&self, (slot, at): Position) -> bool {
        let entry = self.slots.get(&slot).and_then(|of_slot| of_slot.entries.get(at));
        entry.is_some_and(|entry| matches!(entry.record, Content::Boxed(_)))
    }
}

fn hash(hasher: &RandomState, key: &RecordKey) -> u64 {
    let mut hasher = hasher.build_hasher();
    hasher.write(&key.id);
    hasher.finish()
}

impl Table for Map {
    fn count(&self) -> usize {
        self.count
    }

    fn get(&self, key: &RecordKey) -> Option<Stored> {
        let SlotMap { entries, index } = self.slots.get(&key.slot)?;
        let at = index.find(hash(&self.hasher, key), |at| entries[*at as usize].key == *key)?;
        Some(entries[*at as usize].stored())
    }

    fn before(&self, (slot, end): Position) -> Option<(Position, RecordKey, Timestamp)> {
        self.slots.range(..=slot).rev().find_map(|(of, SlotMap { entries, .. })| {
            let end = if *of == slot { end.min(entries.len()) } else { entries.len() };
            let at = end.checked_sub(1)?;
            Some(((*of, at), entries[at].key, entries[at].expires))
        })
    }

    fn compact(&mut self, (slot, at): Position, now: Timestamp) {
        if let (Some(compact), Some(of_slot)) = (self.compact, self.slots.get_mut(&slot))
            && let Some(entry) = of_slot.entries.get_mut(at)
            && let Content::Boxed(bytes) = &entry.record
            && let Some(Stored { bytes, expires }) = compact(bytes, now)
        {
            (entry.record, entry.expires) = (Content::of(&bytes), expires);
        }
    }

    fn set(&mut self, key: RecordKey, record: Stored) {
        let Self { slots, hasher, .. } = self;
        let SlotMap { entries, index } = slots.entry(key.slot).or_default();
        let entry = Entry { key, expires: record.expires, record: Content::of(&record.bytes) };
        let is_it = |at: &u32| entries[*at as usize].key == key;
        match index.entry(hash(hasher, &key), is_it, |at| hash(hasher, &entries[*at as usize].key)) {
            Place::Occupied(at) => entries[*at.get() as usize] = entry,
            Place::Vacant(place) => {
                place.insert(position(entries.len()));
                // A vector that doubles has up to twice the memory that it needs.
                if entries.len() == entries.capacity() {
                    entries.reserve_exact(1 + entries.len() / 8);
                }
                entries.push(entry);
                self.count += 1;
            }
        }
    }

    fn remove(&mut self, key: &RecordKey) -> bool {
        let Self { slots, hasher, .. } = self;
        let Some(SlotMap { entries, index }) = slots.get_mut(&key.slot) else { return false };
        let is_it = |at: &u32| entries[*at as usize].key == *key;
        let Ok(found) = index.find_entry(hash(hasher, key), is_it) else { return false };
        let (at, _) = found.remove();
        entries.swap_remove(at as usize);
        let last = position(entries.len());
        if let Some(moved) = entries.get(at as usize)
            && let Some(place) = index.find_mut(hash(hasher, &moved.key), |at| *at == last)
        {
            *place = at;
        }
        // After a flood the memory is given back, with room to grow into again.
        if entries.capacity() > SMALL && entries.len() < entries.capacity() / 2 {
            entries.shrink_to(entries.len() + entries.len() / 8);
            index.shrink_to(entries.len(), |at| hash(hasher, &entries[*at as usize].key));
        }
        self.count -= 1;
        true
    }
}

/// A slot with room for at most so many records does not shrink.
const SMALL: usize = 64;

#[expect(clippy::expect_used, reason = "a slot with so many records would take 300 GB of memory")]
fn position(at: usize) -> u32 {
    u32::try_from(at).expect("fewer than four billion records")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u32) -> RecordKey {
        let mut id = [0; 12];
        id[..4].copy_from_slice(&n.to_be_bytes());
        RecordKey { slot: 7, kind: 1, id }
    }

    fn record(len: usize, of: u8) -> Stored {
        Stored { bytes: vec![of; len].into(), expires: Timestamp::from_millis(u64::from(of)) }
    }

    #[test]
    fn an_entry_takes_72_bytes() {
        assert_eq!(size_of::<Entry>(), 72);
    }

    #[test]
    fn records_of_every_size_are_kept_exactly() {
        let mut map = Map::default();
        for len in [0, 1, INLINE - 1, INLINE, INLINE + 1, 255, 256, 257, 10_000] {
            map.set(key(1), record(len, 9));
            assert_eq!((map.get(&key(1)), map.count()), (Some(record(len, 9)), 1));
        }
    }

    #[test]
    fn memory_follows_the_records_up_and_down_in_small_steps() {
        const MOST: u32 = 40_000;
        let mut map = Map::default();
        let room = |map: &Map| map.slots.get(&7).map_or(0, |slot| slot.entries.capacity());
        for n in 0..MOST {
            map.set(key(n), record(5, 1));
            assert!(room(&map) <= map.count() + map.count() / 8 + 1);
        }
        assert!((0..MOST).all(|n| map.get(&key(n)).is_some()));
        for n in 0..MOST {
            assert!(map.remove(&key(n)) && !map.remove(&key(n)));
            assert!(room(&map) <= (2 * map.count() + 2).max(SMALL));
            let last = MOST - 1;
            assert_eq!(map.get(&key(last)).is_some(), n < last);
        }
        assert_eq!((map.count(), map.slots[&7].index.len()), (0, 0));
        assert!(map.slots[&7].index.capacity() <= 2 * SMALL);
    }
}
