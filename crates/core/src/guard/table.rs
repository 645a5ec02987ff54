//! A bounded table of rows that several services share.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use indexmap::{IndexMap, IndexSet};

use super::bucket::Bucket;
use super::signals::Dimension;
use crate::domain::{ServiceId, Timestamp};

/// Rows that are compared when one is dropped. Each is a miss of the processor's cache.
const COMPARED: usize = 16;

type Name = (ServiceId, Dimension);

/// A full table drops a row of the service with the most rows, as far as some rows show.
#[derive(Debug, Clone)]
pub struct Table {
    rows: IndexMap<Name, Bucket, FixedState>,
    /// Rows of each service.
    services: HashMap<ServiceId, usize, FixedState>,
    /// Rows that have changed or were removed since they were last taken: at most twice the rows of a full table, or the
    /// removed ones are forgotten. Their records then stay until they expire.
    changed: IndexSet<Name, FixedState>,
    most: usize,
    /// Rows that were dropped because the table was full.
    pub dropped: u64,
    /// The index at which the next look for a row to drop begins.
    hand: usize,
    /// The row that a sweep looks at next.
    swept: usize,
}

impl Table {
    /// `seed` is secret: it decides which keys collide.
    pub(super) fn new(most: usize, seed: u64) -> Self {
        let hasher = FixedState::with_seed(seed);
        Self {
            rows: IndexMap::with_hasher(hasher.clone()),
            services: HashMap::with_hasher(hasher.clone()),
            changed: IndexSet::with_hasher(hasher),
            most: most.max(1),
            dropped: 0,
            hand: 0,
            swept: 0,
        }
    }

    pub(super) fn find(&self, name: &Name) -> Option<&Bucket> {
        self.rows.get(name)
    }

    pub fn held(&self) -> usize {
        self.rows.len()
    }

    /// The services that have rows.
    pub fn services(&self) -> impl Iterator<Item = ServiceId> {
        self.services.keys().copied()
    }

    /// The places among `most` rows from the index `start` on. A row that moves meanwhile may be missed.
    pub fn page(&self, start: usize, most: usize) -> impl Iterator<Item = (ServiceId, Dimension, Bucket)> {
        let rows = self.rows.iter().skip(start).take(most);
        let rows = rows.map(|((service, of), bucket)| (*service, *of, *bucket));
        rows.filter(|(_, of, _)| !matches!(of, Dimension::Number(_) | Dimension::Known(_) | Dimension::Total))
    }

    pub(super) fn set(&mut self, name: Name, bucket: Bucket) {
        if let Some(known) = self.rows.get_mut(&name) {
            *known = bucket;
            return;
        }
        if self.rows.len() >= self.most {
            self.drop_one();
        }
        self.rows.insert(name, bucket);
        *self.services.entry(name.0).or_default() += 1;
    }

    /// The row is to be stored, or the record of one that is gone to be removed.
    pub fn mark_changed(&mut self, name: Name) {
        if self.changed.len() >= self.most.saturating_mul(2) {
            self.changed.retain(|name| self.rows.contains_key(name));
        }
        self.changed.insert(name);
    }

    /// At most `most` changed rows, whole, to store; `None` removes one.
    pub fn take_changed(&mut self, most: usize) -> Vec<(Name, Option<Bucket>)> {
        let taken = std::iter::from_fn(|| self.changed.pop()).take(most);
        taken.map(|name| (name, self.rows.get(&name).copied())).collect()
    }

    /// Removes a row, also from the store.
    pub(super) fn remove(&mut self, name: Name) -> bool {
        let index = self.rows.get_index_of(&name);
        if let Some(index) = index {
            self.remove_at(index);
            self.mark_changed(name);
        }
        index.is_some()
    }

    fn remove_at(&mut self, index: usize) {
        if let Some(((service, _), _)) = self.rows.swap_remove_index(index)
            && let Some(held) = self.services.get_mut(&service)
        {
            *held -= 1;
            if *held == 0 {
                self.services.remove(&service);
            }
        }
    }

    /// Drops the expired ones among the next `looks` rows. Their records expire by themselves.
    pub fn sweep(&mut self, looks: usize, now: Timestamp) {
        for _ in 0..looks {
            match self.rows.get_index(self.swept) {
                Some((name, row)) if row.expires() <= now && !self.changed.contains(name) => {
                    self.remove_at(self.swept);
                }
                Some(_) => self.swept += 1,
                None => {
                    self.swept = 0;
                    return;
                }
            }
        }
    }

    /// Of rows from all over the table, drops the one of the largest service that is worth least.
    fn drop_one(&mut self) {
        let len = self.rows.len();
        let places = (0..COMPARED).map(|step| (self.hand + step * len / COMPARED) % len);
        let compared = places.filter_map(|at| {
            let (name, row) = self.rows.get_index(at)?;
            let held = self.services.get(&name.0).copied().unwrap_or(0);
            Some((std::cmp::Reverse(held), row.worth(), *name))
        });
        if let Some((.., name)) = compared.min() {
            self.remove(name);
            self.dropped += 1;
        }
        self.hand = (self.hand + 1) % len;
    }
}
