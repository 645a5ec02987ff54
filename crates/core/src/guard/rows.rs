//! Rows in memory, and which of them the store lacks as they are.

use std::hash::Hash;

use foldhash::fast::FixedState;
use indexmap::{IndexMap, IndexSet};

use crate::domain::Timestamp;

/// Fewer changes than this are kept whatever rows there are.
const FEW: usize = 16;

/// A row in memory and in the store.
pub trait Row: Copy {
    /// When it says nothing any more.
    fn expires(&self) -> Timestamp;

    /// It contains all of each [`Ticket`](super::Ticket) of an earlier second since the epoch.
    fn written(&mut self) -> &mut u32;
}

/// The rows of one kind.
#[derive(Debug, Clone)]
pub struct Rows<K, V> {
    map: IndexMap<K, V, FixedState>,
    /// Rows that have changed or were removed since they were last taken. Of too many, the removed ones are forgotten: their
    /// records then stay until they expire.
    changed: IndexSet<K, FixedState>,
    /// The row that a sweep looks at next.
    swept: usize,
    /// Rows that were dropped to make room.
    pub dropped: u64,
}

impl<K: Copy + Eq + Hash, V: Row> Rows<K, V> {
    /// `seed` is secret: it decides which keys collide.
    pub fn new(seed: u64) -> Self {
        let hasher = FixedState::with_seed(seed);
        let (map, changed) = (IndexMap::with_hasher(hasher.clone()), IndexSet::with_hasher(hasher));
        Self { map, changed, swept: 0, dropped: 0 }
    }

    pub fn get(&self, name: &K) -> Option<&V> {
        self.map.get(name)
    }

    pub fn held(&self) -> usize {
        self.map.len()
    }

    pub(super) fn at(&self, index: usize) -> Option<(&K, &V)> {
        self.map.get_index(index)
    }

    /// Those among `most` rows from the index `start` on. A row that moves meanwhile may be missed.
    pub fn page(&self, start: usize, most: usize) -> impl Iterator<Item = (K, V)> {
        self.map.iter().skip(start).take(most).map(|(name, row)| (*name, *row))
    }

    /// Returns whether it is new. It is not to be stored yet.
    pub fn restore(&mut self, name: K, row: V) -> bool {
        self.map.insert(name, row).is_none()
    }

    pub fn set(&mut self, name: K, row: V) -> bool {
        self.mark_changed(name);
        self.restore(name, row)
    }

    /// Removes a row, also from the store.
    pub fn remove(&mut self, name: K) -> bool {
        let is_known = self.map.swap_remove(&name).is_some();
        if is_known {
            self.mark_changed(name);
        }
        is_known
    }

    /// The row is to be stored, or the record of one that is gone to be removed.
    pub fn mark_changed(&mut self, name: K) {
        if self.changed.len() >= 2 * self.map.len().max(FEW) {
            self.changed.retain(|name| self.map.contains_key(name));
        }
        self.changed.insert(name);
    }

    /// At most `most` changed rows, which contain what was taken before this second, to store; `None` removes one.
    pub fn take_changed(&mut self, most: usize, written: u32) -> Vec<(K, Option<V>)> {
        let stored = |row: &mut V| {
            *row.written() = written;
            *row
        };
        let taken = std::iter::from_fn(|| self.changed.pop()).take(most);
        taken.map(|name| (name, self.map.get_mut(&name).map(stored))).collect()
    }

    pub fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Drops the expired ones among the next `looks` rows, and returns them. Their records expire by themselves.
    pub fn sweep(&mut self, looks: usize, now: Timestamp) -> Vec<K> {
        let mut dropped = Vec::new();
        for _ in 0..looks {
            match self.map.get_index(self.swept) {
                Some((name, row)) if row.expires() <= now => {
                    dropped.push(*name);
                    self.map.swap_remove_index(self.swept);
                }
                Some(_) => self.swept += 1,
                None => {
                    self.swept = 0;
                    break;
                }
            }
        }
        dropped
    }
}
