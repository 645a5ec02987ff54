//! The table of one kind of record: what it can do, and its general form, which holds encoded records in little memory.
//!
//! The entries of a [`Map`] are in chunks of one size, in which the sweep advances by position. An index has the positions by the
//! hash of the key. Neither is ever rebuilt as a whole: that would delay answers in a table of a million records.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::num::NonZeroU8;

use bytes::Bytes;
use hashbrown::HashTable;

use super::record::{Record, RecordKey, Stored, decode};
use crate::domain::Timestamp;

/// Records of one kind, by key and by position.
///
/// A scan goes from the last position to the first. A removal may move the last record into the gap. A scan between
/// changes visits every record that exists during the whole scan, and may visit a moved record twice.
pub trait Table: Send {
    /// The number of records.
    fn len(&self) -> usize;
    /// Whether it holds none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The record under a key, with its end.
    fn get(&self, key: &RecordKey) -> Option<Stored>;
    /// The record at a position below [`Table::len`].
    fn at(&self, position: usize) -> Option<(RecordKey, Stored)>;
    /// The key and the end of the record at a position, without the record.
    fn end_at(&self, position: usize) -> Option<(RecordKey, Timestamp)>;
    /// Shrinks the record at a position to what matters at `now`.
    fn compact(&mut self, position: usize, now: Timestamp) {
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
    entries: Entries,
    index: Places,
    /// Keyed: a client cannot choose numbers that all collide.
    hasher: RandomState,
    compact: Option<Compact>,
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

    /// Whether the record at a position takes memory beside its entry.
    #[cfg(test)]
    pub fn is_large(&self, position: usize) -> bool {
        self.entries.get(position).is_some_and(|entry| matches!(entry.record, Content::Boxed(_)))
    }

    fn hash(&self, key: &RecordKey) -> u32 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(&key.id);
        // The upper half is as good as the lower one.
        (hasher.finish() >> 32) as u32
    }

    fn find(&self, hash: u32, key: &RecordKey) -> Option<usize> {
        let is_it = |at: usize| self.entries.get(at).is_some_and(|entry| entry.key == *key);
        self.index.find(hash, is_it)
    }

    /// Records that the entries, and the index, have memory for.
    #[cfg(test)]
    pub fn capacity(&self) -> (usize, usize) {
        (
            self.entries.chunks.iter().map(Vec::capacity).sum(),
            self.index.parts.iter().map(HashTable::capacity).sum(),
        )
    }
}

impl Table for Map {
    fn len(&self) -> usize {
        self.entries.len
    }

    fn get(&self, key: &RecordKey) -> Option<Stored> {
        self.entries.get(self.find(self.hash(key), key)?).map(Entry::stored)
    }

    fn at(&self, position: usize) -> Option<(RecordKey, Stored)> {
        self.entries.get(position).map(|entry| (entry.key, entry.stored()))
    }

    fn end_at(&self, position: usize) -> Option<(RecordKey, Timestamp)> {
        self.entries.get(position).map(|entry| (entry.key, entry.expires))
    }

    fn compact(&mut self, position: usize, now: Timestamp) {
        if let (Some(compact), Some(entry)) = (self.compact, self.entries.get_mut(position))
            && let Content::Boxed(bytes) = &entry.record
            && let Some(Stored { bytes, expires }) = compact(bytes, now)
        {
            (entry.record, entry.expires) = (Content::of(&bytes), expires);
        }
    }

    fn set(&mut self, key: RecordKey, record: Stored) {
        let entry = Entry { key, expires: record.expires, record: Content::of(&record.bytes) };
        let hash = self.hash(&key);
        if let Some(known) = self.find(hash, &key).and_then(|at| self.entries.get_mut(at)) {
            *known = entry;
            return;
        }
        self.index.insert(hash, self.entries.len);
        self.entries.push(entry);
    }

    fn remove(&mut self, key: &RecordKey) -> bool {
        let hash = self.hash(key);
        let Some(at) = self.find(hash, key) else { return false };
        self.index.remove(hash, at);
        let Some(last) = self.entries.pop() else { return false };
        if let Some(freed) = self.entries.get_mut(at) {
            let moved = last.key;
            *freed = last;
            self.index.relocate(self.hash(&moved), self.entries.len, at);
        }
        true
    }
}

/// An index into the entries, with the hash of the key there: a part that grows reads no entry.
struct Place {
    hash: u32,
    at: u32,
}

impl Place {
    /// A `HashTable` uses both ends of a hash.
    fn spread(&self) -> u64 {
        spread(self.hash)
    }
}

fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

/// Places by hash, in parts that grow one by one.
#[derive(Default)]
struct Places {
    /// None before the first place: most kinds have few records or none.
    parts: Vec<HashTable<Place>>,
}

const PARTS: usize = 256;

/// The part of a hash: the bits that a `HashTable` uses last.
const fn part_of(hash: u32) -> usize {
    (hash >> 17) as usize % PARTS
}

/// Parts of at most this capacity do not shrink.
const SMALL: usize = 64;

impl Places {
    fn find(&self, hash: u32, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        let part = self.parts.get(part_of(hash))?;
        let found = part.find(spread(hash), |place| place.hash == hash && is_it(place.at as usize));
        found.map(|place| place.at as usize)
    }

    fn insert(&mut self, hash: u32, at: usize) {
        if self.parts.is_empty() {
            self.parts.resize_with(PARTS, HashTable::new);
        }
        if let Some(part) = self.parts.get_mut(part_of(hash)) {
            part.insert_unique(spread(hash), Place { hash, at: position(at) }, Place::spread);
        }
    }

    fn remove(&mut self, hash: u32, at: usize) {
        let Some(part) = self.parts.get_mut(part_of(hash)) else { return };
        if let Ok(found) = part.find_entry(spread(hash), |place| place.at as usize == at) {
            found.remove();
        }
        // After a flood the memory is given back, with room to grow into again.
        if part.capacity() > SMALL && part.len() < part.capacity() / 8 {
            part.shrink_to(part.len() * 2, Place::spread);
        }
    }

    /// The entry at `from` has moved.
    fn relocate(&mut self, hash: u32, from: usize, to: usize) {
        let part = self.parts.get_mut(part_of(hash));
        let place = part.and_then(|part| part.find_mut(spread(hash), |place| place.at as usize == from));
        if let Some(place) = place {
            place.at = position(to);
        }
    }
}

#[expect(clippy::expect_used, reason = "a shard with so many records would take 300 GB of memory")]
fn position(at: usize) -> u32 {
    u32::try_from(at).expect("fewer than four billion records")
}

/// Entries of one chunk, 72 KiB. Ten million numbers have ten thousand.
const CHUNK: usize = 1024;

/// The entries in chunks of one size.
///
/// A vector that grows by doubling has up to twice the memory that it needs, and three times while it moves. Here
/// nothing moves but the first chunk, and at most a chunk and a half are empty.
#[derive(Default)]
struct Entries {
    chunks: Vec<Vec<Entry>>,
    len: usize,
}

impl Entries {
    fn get(&self, at: usize) -> Option<&Entry> {
        self.chunks.get(at / CHUNK)?.get(at % CHUNK)
    }

    fn get_mut(&mut self, at: usize) -> Option<&mut Entry> {
        self.chunks.get_mut(at / CHUNK)?.get_mut(at % CHUNK)
    }

    fn push(&mut self, entry: Entry) {
        if self.len == self.chunks.len() * CHUNK {
            // Most kinds have a few records: their first chunk grows as it fills.
            self.chunks.push(Vec::with_capacity(if self.len == 0 { 0 } else { CHUNK }));
        }
        if let Some(chunk) = self.chunks.get_mut(self.len / CHUNK) {
            chunk.push(entry);
            self.len += 1;
        }
    }

    fn pop(&mut self) -> Option<Entry> {
        let last = self.len.checked_sub(1)?;
        let entry = self.chunks.get_mut(last / CHUNK)?.pop()?;
        self.len = last;
        // An empty chunk stays until half of the one before it is empty too. Otherwise records that come and go at its
        // start would allocate and free it each time.
        if self.len + CHUNK / 2 < (self.chunks.len() - 1) * CHUNK {
            self.chunks.pop();
        }
        Some(entry)
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
            map.set(key(1), record(len, 9));
            assert_eq!(map.get(&key(1)), Some(record(len, 9)));
            assert_eq!((map.len(), map.is_large(0)), (1, len == 0 || len > INLINE));
        }
    }

    #[test]
    fn memory_follows_the_records_up_and_down_in_small_steps() {
        const MOST: u32 = 40_000;
        let mut map = Map::default();
        for n in 0..MOST {
            map.set(key(n), record(5, 1));
            assert!(map.capacity().0 < map.len() + CHUNK);
        }
        let (sizes, index) = (map.index.parts.iter().map(HashTable::len), map.capacity().1);
        let largest = sizes.max().unwrap_or(0);
        assert!(largest < 2 * map.len() / PARTS && index < 3 * map.len(), "{largest}, {index}");
        assert!((0..MOST).all(|n| map.get(&key(n)).is_some()));
        for n in 0..MOST {
            assert!(map.remove(&key(n)) && !map.remove(&key(n)));
            assert!(map.capacity().0 <= map.len() + CHUNK * 3 / 2);
            let last = MOST - 1;
            assert_eq!(map.get(&key(last)).is_some(), n < last);
        }
        assert!(map.is_empty() && map.capacity().1 <= PARTS * SMALL);
        assert!(map.index.parts.iter().all(HashTable::is_empty));
    }

    #[test]
    fn records_whose_hashes_are_equal_are_told_apart() {
        let mut places = Places::default();
        for at in 0..3 {
            places.insert(7, at);
        }
        assert_eq!([0, 1, 2, 3].map(|is| places.find(7, |at| at == is)), [Some(0), Some(1), Some(2), None]);
        places.remove(7, 1);
        assert_eq!([0, 1, 2].map(|is| places.find(7, |at| at == is)), [Some(0), None, Some(2)]);
    }
}
