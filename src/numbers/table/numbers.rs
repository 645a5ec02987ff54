//! States by number, in little memory.
//!
//! The lines lie one behind the other, so that a sweep can walk them. An index by the number's hash holds their positions.
//! It is split into many small ones, because an index that grows is rebuilt: for a million numbers at once that would
//! delay answers.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use super::lines::Lines;
use super::packed::Packed;
use crate::engine::NumberState;
use crate::numbers::record::NumberKey;

/// How many indexes there are. With five million numbers in a shard each has five thousand, and is built anew in well
/// under a millisecond.
const PARTS: usize = 1024;

/// Smaller ones do not shrink.
const SMALL: usize = 64;

/// Where something lies in the lines.
type Place = u32;

/// Entries by number, none of them fresh.
#[derive(Debug)]
pub(super) struct Numbers {
    lines: Lines,
    places: Box<[HashTable<Place>]>,
    /// What no line can say.
    elsewhere: HashMap<NumberKey, NumberState>,
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
            lines: Lines::default(),
            places: (0..PARTS).map(|_| HashTable::new()).collect(),
            elsewhere: HashMap::new(),
            hasher: RandomState::new(),
        }
    }

    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether this one is there.
    pub(super) fn contains(&self, key: &NumberKey) -> bool {
        self.find(key).is_some()
    }

    /// What is known of this one.
    pub(super) fn get(&self, key: &NumberKey) -> Option<NumberState> {
        self.at(self.find(key)?).map(|(_, _, state)| state)
    }

    /// What lies at this place, of [`Self::len`].
    pub(super) fn at(&self, place: usize) -> Option<(u8, NumberKey, NumberState)> {
        let line = self.lines.get(place)?;
        let key = line.key();
        let state = line.state().or_else(|| self.elsewhere.get(&key).copied())?;
        Some((line.slot(), key, state))
    }

    /// Sets what is known. Whether the number is new.
    pub(super) fn insert(&mut self, slot: u8, key: NumberKey, state: NumberState) -> bool {
        let line = Packed::of(slot, key, &state);
        let found = self.find(&key);
        if line.is_none() {
            self.elsewhere.insert(key, state);
        } else if found.is_some() && !self.elsewhere.is_empty() {
            self.elsewhere.remove(&key);
        }
        let line = line.unwrap_or_else(|| Packed::elsewhere(slot, key));
        if let Some(known) = found.and_then(|place| self.lines.get_mut(place)) {
            *known = line;
            return false;
        }
        let (place, hash) = (place(self.lines.len()), self.hasher.hash_one(key));
        self.lines.push(line);
        let (lines, hasher) = (&self.lines, &self.hasher);
        let rehash = |place: &Place| lines.get(*place as usize).map_or(0, |line| hasher.hash_one(line.key()));
        if let Some(places) = self.places.get_mut(part(hash)) {
            places.insert_unique(hash, place, rehash);
        }
        true
    }

    /// Removes this one. Whether it was there.
    pub(super) fn remove(&mut self, key: &NumberKey) -> bool {
        self.find(key).is_some_and(|place| self.remove_at(place).is_some())
    }

    /// Removes what lies at this place. What lay at the last one lies there from here on.
    pub(super) fn remove_at(&mut self, at: usize) -> Option<NumberKey> {
        let key = self.lines.get(at)?.key();
        self.unplace(&key, at);
        if !self.elsewhere.is_empty() {
            self.elsewhere.remove(&key);
        }
        let last = self.lines.pop()?;
        if let Some(freed) = self.lines.get_mut(at) {
            *freed = last;
            self.move_place(&last.key(), self.lines.len(), at);
        }
        Some(key)
    }

    fn find(&self, key: &NumberKey) -> Option<usize> {
        let hash = self.hasher.hash_one(key);
        let is_it = |place: &Place| self.lines.get(*place as usize).is_some_and(|line| line.key() == *key);
        self.places.get(part(hash))?.find(hash, is_it).map(|place| *place as usize)
    }

    fn unplace(&mut self, key: &NumberKey, from: usize) {
        let hash = self.hasher.hash_one(key);
        let Some(places) = self.places.get_mut(part(hash)) else { return };
        if let Ok(found) = places.find_entry(hash, |there| *there as usize == from) {
            found.remove();
        }
        // After a flood the memory is given back, with room to grow into again.
        if places.capacity() > SMALL && places.len() < places.capacity() / 8 {
            let (lines, hasher) = (&self.lines, &self.hasher);
            let rehash =
                |place: &Place| lines.get(*place as usize).map_or(0, |line| hasher.hash_one(line.key()));
            places.shrink_to(places.len() * 2, rehash);
        }
    }

    fn move_place(&mut self, key: &NumberKey, from: usize, to: usize) {
        let hash = self.hasher.hash_one(key);
        let places = self.places.get_mut(part(hash));
        if let Some(moved) = places.and_then(|places| places.find_mut(hash, |there| *there as usize == from))
        {
            *moved = place(to);
        }
    }
}

/// Which of the indexes. By the middle of the hash: a table goes by both of its ends.
const fn part(hash: u64) -> usize {
    (hash >> 32) as usize % PARTS
}

#[expect(
    clippy::expect_used,
    reason = "a shard with so many numbers would take 300 GB, and max-numbers ends at a quarter"
)]
fn place(at: usize) -> Place {
    Place::try_from(at).expect("fewer than four billion numbers")
}
