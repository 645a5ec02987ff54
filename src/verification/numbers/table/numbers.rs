//! States by number, in little memory.
//!
//! The packed numbers are in one vector, in which the sweep advances by position. An index by the number's hash holds
//! the positions. It consists of many small parts, because a growing index is rebuilt, and a rebuild for a million
//! numbers would delay answers.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use super::packed::Packed;
use crate::domain::NumberKey;
use crate::domain::Timestamp;
use crate::engine::NumberState;
use crate::shard::Record as _;

/// Parts of the index. With five million numbers in a shard each part has five thousand, and is rebuilt in well under a
/// millisecond.
const PARTS: usize = 1024;

/// Parts of at most this capacity do not shrink.
const SMALL: usize = 64;

/// An index into the packed numbers.
type Position = u32;

/// Entries by number, none of them fresh.
#[derive(Debug)]
pub(super) struct Numbers {
    packed: ChunkedVec,
    index: Box<[HashTable<Position>]>,
    /// States that do not fit into [`Packed`], in parts like the index.
    overflow: Box<[HashTable<(NumberKey, NumberState)>]>,
    /// Keyed: a client cannot choose numbers that all collide.
    hasher: RandomState,
}

impl Default for Numbers {
    fn default() -> Self {
        Self::empty()
    }
}

impl Numbers {
    fn empty() -> Self {
        Self {
            packed: ChunkedVec::default(),
            index: (0..PARTS).map(|_| HashTable::new()).collect(),
            overflow: (0..PARTS).map(|_| HashTable::new()).collect(),
            hasher: RandomState::new(),
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.packed.len()
    }

    pub(super) fn get(&self, key: &NumberKey) -> Option<NumberState> {
        self.at(self.find(key)?).map(|(_, _, state)| state)
    }

    /// The entry at a position below [`Self::len`].
    pub(super) fn at(&self, position: usize) -> Option<(u8, NumberKey, NumberState)> {
        let packed = self.packed.get(position)?;
        let key = packed.key();
        let state = packed.state().or_else(|| self.overflowing(&key))?;
        Some((packed.slot(), key, state))
    }

    /// Prepares the index for `numbers` numbers.
    pub(super) fn reserve(&mut self, numbers: usize) {
        for index in &mut self.index {
            index.reserve(numbers / PARTS, rehash(&self.packed, &self.hasher));
        }
    }

    /// Sets the state of a number. Returns the end of the one before, `None` if the number is new.
    pub(super) fn insert(&mut self, slot: u8, key: NumberKey, state: NumberState) -> Option<Timestamp> {
        self.insert_hashed(self.hasher.hash_one(key), slot, key, state)
    }

    /// Adds new numbers. Much faster than one call for each: the processor waits for several places of the index at once.
    pub(super) fn load(&mut self, states: Vec<(u8, NumberKey, NumberState)>) {
        let hashes: Vec<u64> = states.iter().map(|(_, key, _)| self.hasher.hash_one(key)).collect();
        for (hash, (slot, key, state)) in hashes.into_iter().zip(states) {
            self.insert_hashed(hash, slot, key, state);
        }
    }

    /// Packs an overflowing entry whose verification has expired: a count of wrong codes is kept for long.
    pub(super) fn compact(&mut self, position: usize, now: Timestamp) {
        let Some(packed) = self.packed.get(position).filter(|packed| packed.state().is_none()) else {
            return;
        };
        let (slot, key) = (packed.slot(), packed.key());
        let state = self.overflowing(&key).and_then(|state| state.without_expired_verification(now));
        if let Some(smaller) = state.and_then(|state| Packed::of(slot, key, &state))
            && let Some(packed) = self.packed.get_mut(position)
        {
            *packed = smaller;
            self.forget_overflow(self.hasher.hash_one(key), &key);
        }
    }

    fn end_at(&self, position: usize) -> Option<Timestamp> {
        self.at(position).map(|(_, _, state)| state.expires())
    }

    fn insert_hashed(
        &mut self,
        hash: u64,
        slot: u8,
        key: NumberKey,
        state: NumberState,
    ) -> Option<Timestamp> {
        let packed = Packed::of(slot, key, &state);
        let found = self.find_hashed(hash, &key);
        let before = found.and_then(|position| self.end_at(position));
        if found.is_some() {
            self.forget_overflow(hash, &key);
        }
        if packed.is_none()
            && let Some(states) = self.overflow.get_mut(part(hash))
        {
            let hasher = &self.hasher;
            states.insert_unique(hash, (key, state), |(key, _)| hasher.hash_one(key));
        }
        let packed = packed.unwrap_or_else(|| Packed::overflow(slot, key));
        if let Some(known) = found.and_then(|position| self.packed.get_mut(position)) {
            *known = packed;
            return before;
        }
        let position = position(self.packed.len());
        self.packed.push(packed);
        if let Some(index) = self.index.get_mut(part(hash)) {
            index.insert_unique(hash, position, rehash(&self.packed, &self.hasher));
        }
        None
    }

    /// Removes a number. Returns its end if it was present.
    pub(super) fn remove(&mut self, key: &NumberKey) -> Option<Timestamp> {
        let position = self.find(key)?;
        let end = self.end_at(position);
        self.remove_at(position).and(end)
    }

    /// Removes the entry at a position. The last entry takes its place.
    fn remove_at(&mut self, at: usize) -> Option<NumberKey> {
        let key = self.packed.get(at)?.key();
        self.unindex(&key, at);
        self.forget_overflow(self.hasher.hash_one(key), &key);
        let last = self.packed.pop()?;
        if let Some(freed) = self.packed.get_mut(at) {
            *freed = last;
            self.reindex(&last.key(), self.packed.len(), at);
        }
        Some(key)
    }

    fn overflowing(&self, key: &NumberKey) -> Option<NumberState> {
        let hash = self.hasher.hash_one(key);
        self.overflow.get(part(hash))?.find(hash, |(other, _)| other == key).map(|(_, state)| *state)
    }

    fn forget_overflow(&mut self, hash: u64, key: &NumberKey) {
        let Some(states) = self.overflow.get_mut(part(hash)).filter(|states| !states.is_empty()) else {
            return;
        };
        if let Ok(found) = states.find_entry(hash, |(other, _)| other == key) {
            found.remove();
        }
        if states.capacity() > SMALL && states.len() < states.capacity() / 8 {
            let hasher = &self.hasher;
            states.shrink_to(states.len() * 2, |(key, _)| hasher.hash_one(key));
        }
    }

    fn find(&self, key: &NumberKey) -> Option<usize> {
        self.find_hashed(self.hasher.hash_one(key), key)
    }

    fn find_hashed(&self, hash: u64, key: &NumberKey) -> Option<usize> {
        let is_it = |at: &Position| self.packed.get(*at as usize).is_some_and(|packed| packed.key() == *key);
        self.index.get(part(hash))?.find(hash, is_it).map(|position| *position as usize)
    }

    fn unindex(&mut self, key: &NumberKey, from: usize) {
        let hash = self.hasher.hash_one(key);
        let Some(index) = self.index.get_mut(part(hash)) else { return };
        if let Ok(found) = index.find_entry(hash, |position| *position as usize == from) {
            found.remove();
        }
        // After a flood the memory is given back, with room to grow into again.
        if index.capacity() > SMALL && index.len() < index.capacity() / 8 {
            index.shrink_to(index.len() * 2, rehash(&self.packed, &self.hasher));
        }
    }

    fn reindex(&mut self, key: &NumberKey, from: usize, to: usize) {
        let hash = self.hasher.hash_one(key);
        let index = self.index.get_mut(part(hash));
        if let Some(moved) = index.and_then(|index| index.find_mut(hash, |at| *at as usize == from)) {
            *moved = position(to);
        }
    }

    /// Entries that the packed numbers, and the index, have memory for.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> (usize, usize) {
        (self.packed.capacity(), self.index.iter().map(HashTable::capacity).sum())
    }

    /// States that do not fit into [`Packed`] and that the largest part, and all parts, have memory for.
    #[cfg(test)]
    pub(super) fn overflow_capacity(&self) -> (usize, usize) {
        let capacities = || self.overflow.iter().map(HashTable::capacity);
        (capacities().max().unwrap_or(0), capacities().sum())
    }

    /// States that do not fit into [`Packed`].
    #[cfg(test)]
    pub(super) fn overflow(&self) -> usize {
        self.overflow.iter().map(HashTable::len).sum()
    }
}

fn rehash(packed: &ChunkedVec, hasher: &RandomState) -> impl Fn(&Position) -> u64 {
    |position| packed.get(*position as usize).map_or(0, |packed| hasher.hash_one(packed.key()))
}

/// The part of the index for a hash: its middle bits, because a `HashTable` uses both ends.
const fn part(hash: u64) -> usize {
    (hash >> 32) as usize % PARTS
}

#[expect(
    clippy::expect_used,
    reason = "a shard with so many numbers would take 300 GB, and max-numbers ends at a quarter"
)]
fn position(at: usize) -> Position {
    Position::try_from(at).expect("fewer than four billion numbers")
}

/// Entries of one chunk, 64 KiB: one chunk for each shard of a server that knows few numbers is cheap, and ten million
/// numbers have ten thousand.
pub(super) const CHUNK: usize = 1024;

/// A vector of packed numbers in chunks of one size.
///
/// A vector that grows by doubling holds up to twice the memory that it needs, and three times while it moves. Here
/// nothing moves, and at most a chunk and a half are empty.
#[derive(Debug, Default)]
struct ChunkedVec {
    chunks: Vec<Vec<Packed>>,
    len: usize,
}

impl ChunkedVec {
    /// Entries that there is memory for.
    #[cfg(test)]
    const fn capacity(&self) -> usize {
        self.chunks.len() * CHUNK
    }

    const fn len(&self) -> usize {
        self.len
    }

    fn get(&self, at: usize) -> Option<&Packed> {
        self.chunks.get(at / CHUNK)?.get(at % CHUNK)
    }

    fn get_mut(&mut self, at: usize) -> Option<&mut Packed> {
        self.chunks.get_mut(at / CHUNK)?.get_mut(at % CHUNK)
    }

    fn push(&mut self, packed: Packed) {
        if self.len == self.chunks.len() * CHUNK {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        if let Some(chunk) = self.chunks.get_mut(self.len / CHUNK) {
            chunk.push(packed);
            self.len += 1;
        }
    }

    fn pop(&mut self) -> Option<Packed> {
        let last = self.len.checked_sub(1)?;
        let packed = self.chunks.get_mut(last / CHUNK)?.pop()?;
        self.len = last;
        // An empty chunk stays until half of the one before it is empty too. Otherwise numbers that come and go at its
        // start would allocate and free it each time.
        if self.len + CHUNK / 2 < (self.chunks.len() - 1) * CHUNK {
            self.chunks.pop();
        }
        Some(packed)
    }
}
