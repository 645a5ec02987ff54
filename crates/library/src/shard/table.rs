//! Encoded records in the order of their keys, in little memory.
//!
//! Neighbours share a chunk, which has little more room than it needs. No step concerns more than two chunks: to grow a
//! table of ten million records at once would delay answers. Nothing depends on a hash: a client cannot choose numbers that
//! collide, and each run has the same order.

use std::collections::BTreeMap;
use std::num::NonZeroU8;

use bytes::Bytes;

use super::record::{RecordKey, Stored};
use crate::domain::Timestamp;

/// The most entries of a chunk: 4.5 KiB.
const CHUNK: usize = 64;

/// A chunk without room gets room for so many entries.
const GROWTH: usize = 8;

/// Records up to this size are in their entry: that of a number with an outstanding code by the compatible routes, and of a
/// number with wrong codes only.
pub const INLINE: usize = 47;

/// Records by key.
#[derive(Default)]
pub struct Table {
    /// Each under a key that is at most the key of its first entry, and greater than all keys of the chunk before.
    chunks: BTreeMap<RecordKey, Vec<Entry>>,
}

/// One record: 72 bytes.
pub struct Entry {
    pub key: RecordKey,
    pub expires: Timestamp,
    content: Content,
}

enum Content {
    Inline { len: NonZeroU8, bytes: [u8; INLINE] },
    Boxed(Box<[u8]>),
}

impl Entry {
    fn new(key: RecordKey, (record, expires): (&[u8], Timestamp)) -> Self {
        let mut bytes = [0; INLINE];
        let len = u8::try_from(record.len()).ok().and_then(NonZeroU8::new);
        let content = match (len, bytes.get_mut(..record.len())) {
            (Some(len), Some(place)) => {
                place.copy_from_slice(record);
                Content::Inline { len, bytes }
            }
            _ => Content::Boxed(Box::from(record)),
        };
        Self { key, expires, content }
    }

    /// The record as [`encode`](super::encode) wrote it.
    pub fn bytes(&self) -> &[u8] {
        match &self.content {
            Content::Inline { len, bytes } => bytes.get(..usize::from(len.get())).unwrap_or(bytes),
            Content::Boxed(bytes) => bytes,
        }
    }

    /// A copy of the record.
    pub fn stored(&self) -> Stored {
        Stored { bytes: Bytes::copy_from_slice(self.bytes()), expires: self.expires }
    }
}

impl Table {
    /// The record under a key.
    pub fn get(&self, key: &RecordKey) -> Option<&Entry> {
        let (_, chunk) = self.chunks.range(..=key).next_back()?;
        chunk.get(chunk.binary_search_by_key(key, |entry| entry.key).ok()?)
    }

    /// The records from a key on.
    pub fn starting_at(&self, key: RecordKey) -> impl Iterator<Item = &Entry> {
        let first = self.chunks.range(..=key).next_back().map_or(key, |(first, _)| *first);
        self.chunks.range(first..).flat_map(|(_, chunk)| chunk).skip_while(move |entry| entry.key < key)
    }

    /// Sets or removes the record under a key, with its end. Returns the one before.
    pub fn set(&mut self, key: RecordKey, record: Option<(&[u8], Timestamp)>) -> Option<Stored> {
        let Some((first, chunk)) = self.chunks.range_mut(..=key).next_back() else {
            self.chunks.extend(record.map(|record| (key, vec![Entry::new(key, record)])));
            return None;
        };
        match (chunk.binary_search_by_key(&key, |entry| entry.key), record) {
            (Ok(at), Some(record)) => {
                Some(std::mem::replace(&mut chunk[at], Entry::new(key, record)).stored())
            }
            (Ok(at), None) => {
                let (first, before) = (*first, chunk.remove(at).stored());
                // After a flood the memory is given back.
                if chunk.is_empty() {
                    self.chunks.remove(&first);
                } else if chunk.capacity() >= 2 * chunk.len() {
                    chunk.shrink_to_fit();
                }
                Some(before)
            }
            // Records that come in order, as at a start, fill chunks.
            (Err(CHUNK), Some(record)) => {
                self.chunks.insert(key, vec![Entry::new(key, record)]);
                None
            }
            (Err(_), Some(_)) if chunk.len() == CHUNK => {
                let upper = chunk.split_off(CHUNK / 2);
                chunk.shrink_to_fit();
                self.chunks.extend(upper.first().map(|entry| entry.key).map(|first| (first, upper)));
                self.set(key, record)
            }
            (Err(at), Some(record)) => {
                if chunk.len() == chunk.capacity() {
                    chunk.reserve_exact(GROWTH.min(CHUNK - chunk.len()));
                }
                chunk.insert(at, Entry::new(key, record));
                None
            }
            (Err(_), None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng as _};

    fn key(n: u32) -> RecordKey {
        let mut id = [0; 12];
        id[..4].copy_from_slice(&n.to_be_bytes());
        RecordKey { slot: 7, kind: 1, id }
    }

    fn record(len: usize, of: u8) -> Stored {
        Stored { bytes: vec![of; len].into(), expires: Timestamp::from_millis(u64::from(of)) }
    }

    fn put(table: &mut Table, key: RecordKey, Stored { bytes, expires }: &Stored) -> Option<Stored> {
        table.set(key, Some((bytes, *expires)))
    }

    #[test]
    fn an_entry_takes_72_bytes() {
        assert_eq!(size_of::<Entry>(), 72);
    }

    #[test]
    fn records_of_every_size_are_kept_exactly() {
        let mut table = Table::default();
        for len in [0, 1, INLINE - 1, INLINE, INLINE + 1, 255, 256, 257, 10_000] {
            put(&mut table, key(1), &record(len, 9));
            assert_eq!(table.get(&key(1)).map(Entry::stored), Some(record(len, 9)));
        }
    }

    /// Entries and places for entries.
    fn room(table: &Table) -> (usize, usize) {
        let chunks = || table.chunks.values();
        (chunks().map(Vec::len).sum(), chunks().map(Vec::capacity).sum())
    }

    #[test]
    fn memory_follows_the_records_up_and_down() {
        const MOST: u32 = 40_000;
        let (mut table, mut rng) = (Table::default(), StdRng::seed_from_u64(1));
        (0..MOST).for_each(|n| drop(put(&mut table, key(n), &record(5, 1))));
        let (len, places) = room(&table);
        assert!(len == 40_000 && places <= 40_064 && table.chunks.len() == 625, "in order, chunks are full");
        let mut model = BTreeMap::new();
        let mut table = Table::default();
        for left in [MOST, 400] {
            while model.len() < left as usize {
                let (n, of) = (rng.random_range(0..u32::MAX), rng.random_range(0..9));
                assert_eq!(put(&mut table, key(n), &record(5, of)), model.insert(key(n), record(5, of)));
            }
            while model.len() > left as usize {
                let from = key(rng.random_range(0..u32::MAX));
                let Some((next, _)) = model.range(from..).next().map(|(next, of)| (*next, of.clone())) else {
                    continue;
                };
                assert_eq!(table.starting_at(from).next().map(|entry| entry.key), Some(next));
                assert_eq!(table.set(next, None), model.remove(&next));
                assert_eq!(table.set(next, None), None);
            }
            let all: Vec<_> = table.starting_at(key(0)).map(|entry| (entry.key, entry.stored())).collect();
            assert!(all.into_iter().eq(model.clone()), "another order or other records");
            let (len, places) = room(&table);
            assert!(len == model.len() && places < 2 * len, "{places} for {len}");
        }
    }
}
