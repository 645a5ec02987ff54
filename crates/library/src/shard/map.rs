//! The table of one kind of record, which holds encoded records in little memory.
//!
//! A [`Map`] has the entries of each slot in chunks of one size, which never move, and an index with the position of each
//! key. No step concerns more than one slot: to grow a table of ten million records at once would delay answers.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::num::NonZeroU8;
use std::ops::{Index, IndexMut};

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
    entries: Entries,
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
        let entries = self.slots.get(&slot).map(|of_slot| &of_slot.entries);
        entries.is_some_and(|of| at < of.len() && matches!(of[position(at)].record, Content::Boxed(_)))
    }

    /// The number of records.
    pub const fn count(&self) -> usize {
        self.count
    }

    /// The record under a key, with its end.
    pub fn get(&self, key: &RecordKey) -> Option<Stored> {
        let SlotMap { entries, index } = self.slots.get(&key.slot)?;
        let at = index.find(hash(&self.hasher, key), |at| entries[*at].key == *key)?;
        Some(entries[*at].stored())
    }

    /// The last record before a position, with its end.
    pub fn before(&self, (slot, end): Position) -> Option<(Position, RecordKey, Timestamp)> {
        self.slots.range(..=slot).rev().find_map(|(of, SlotMap { entries, .. })| {
            let end = if *of == slot { end.min(entries.len()) } else { entries.len() };
            let at = end.checked_sub(1)?;
            let Entry { key, expires, .. } = &entries[position(at)];
            Some(((*of, at), *key, *expires))
        })
    }

    /// Shrinks the record at a position to what matters at `now`.
    pub fn compact(&mut self, (slot, at): Position, now: Timestamp) {
        if let (Some(compact), Some(of_slot)) = (self.compact, self.slots.get_mut(&slot))
            && at < of_slot.entries.len()
            && let entry = &mut of_slot.entries[position(at)]
            && let Content::Boxed(bytes) = &entry.record
            && let Some(Stored { bytes, expires }) = compact(bytes, now)
        {
            (entry.record, entry.expires) = (Content::of(&bytes), expires);
        }
    }

    /// Inserts a record or replaces the one under its key.
    pub fn set(&mut self, key: RecordKey, record: &Stored) {
        let Self { slots, hasher, .. } = self;
        let SlotMap { entries, index } = slots.entry(key.slot).or_default();
        let entry = Entry { key, expires: record.expires, record: Content::of(&record.bytes) };
        let is_it = |at: &u32| entries[*at].key == key;
        match index.entry(hash(hasher, &key), is_it, |at| hash(hasher, &entries[*at].key)) {
            Place::Occupied(at) => entries[*at.get()] = entry,
            Place::Vacant(place) => {
                place.insert(position(entries.len()));
                entries.push(entry);
                self.count += 1;
            }
        }
    }

    /// Removes the record under a key. Returns `true` if it existed.
    pub fn remove(&mut self, key: &RecordKey) -> bool {
        let Self { slots, hasher, .. } = self;
        let Some(SlotMap { entries, index }) = slots.get_mut(&key.slot) else { return false };
        let is_it = |at: &u32| entries[*at].key == *key;
        let Ok(found) = index.find_entry(hash(hasher, key), is_it) else { return false };
        let (at, _) = found.remove();
        let Some(last) = entries.pop() else { return false };
        let end = position(entries.len());
        if at < end {
            if let Some(place) = index.find_mut(hash(hasher, &last.key), |at| *at == end) {
                *place = at;
            }
            entries[at] = last;
        }
        // After a flood the memory is given back, with room to grow into again.
        if index.capacity() > SMALL && index.len() < index.capacity() / 8 {
            index.shrink_to(index.len() * 2, |at| hash(hasher, &entries[*at].key));
        }
        self.count -= 1;
        true
    }
}

fn hash(hasher: &RandomState, key: &RecordKey) -> u64 {
    let mut hasher = hasher.build_hasher();
    hasher.write(&key.id);
    hasher.finish()
}

/// An index of at most this capacity does not shrink.
const SMALL: usize = 64;

#[expect(clippy::expect_used, reason = "a slot with so many records would take 300 GB of memory")]
fn position(at: usize) -> u32 {
    u32::try_from(at).expect("fewer than four billion records")
}

/// Entries of one chunk: a little less than 16 KiB, for which allocators have a class.
const CHUNK: usize = 224;

/// The entries of a slot. A vector that doubles has up to twice the memory that it needs, and three times while it moves.
#[derive(Default)]
struct Entries(Vec<Vec<Entry>>);

impl Entries {
    fn len(&self) -> usize {
        self.0.last().map_or(0, |last| (self.0.len() - 1) * CHUNK + last.len())
    }

    fn push(&mut self, entry: Entry) {
        if self.0.last().is_none_or(|last| last.len() == CHUNK) {
            self.0.push(Vec::with_capacity(if self.0.is_empty() { 0 } else { CHUNK }));
        }
        if let Some(last) = self.0.last_mut() {
            // Most kinds have a few records: their first chunk grows as it fills.
            if last.len() == last.capacity() {
                last.reserve_exact(last.len().clamp(4, CHUNK - last.len()));
            }
            last.push(entry);
        }
    }

    fn pop(&mut self) -> Option<Entry> {
        let last = self.0.last_mut()?;
        let entry = last.pop();
        if last.is_empty() {
            self.0.pop();
        }
        entry
    }
}

impl Index<u32> for Entries {
    type Output = Entry;

    fn index(&self, at: u32) -> &Entry {
        &self.0[at as usize / CHUNK][at as usize % CHUNK]
    }
}

impl IndexMut<u32> for Entries {
    fn index_mut(&mut self, at: u32) -> &mut Entry {
        &mut self.0[at as usize / CHUNK][at as usize % CHUNK]
    }
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
            map.set(key(1), &record(len, 9));
            assert_eq!((map.get(&key(1)), map.count()), (Some(record(len, 9)), 1));
        }
    }

    #[test]
    fn memory_follows_the_records_up_and_down_in_small_steps() {
        const MOST: u32 = 40_000;
        let mut map = Map::default();
        let room = |map: &Map| map.slots.get(&7).map_or(0, |of| of.entries.0.iter().map(Vec::capacity).sum());
        for n in 0..MOST {
            map.set(key(n), &record(5, 1));
            assert!(room(&map) < map.count() + CHUNK);
        }
        assert!((0..MOST).all(|n| map.get(&key(n)).is_some()));
        for n in 0..MOST {
            assert!(map.remove(&key(n)) && !map.remove(&key(n)));
            assert!(room(&map) < map.count() + CHUNK);
            let last = MOST - 1;
            assert_eq!(map.get(&key(last)).is_some(), n < last);
        }
        assert_eq!((map.count(), map.slots[&7].index.len()), (0, 0));
        assert!(map.slots[&7].index.capacity() <= SMALL);
    }
}
