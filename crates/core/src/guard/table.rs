//! A bounded table of rows that several services share.

use std::hash::Hash;

use foldhash::fast::FixedState;
use indexmap::IndexMap;

use crate::domain::{ServiceId, Timestamp};

/// What a table keeps about a key.
pub(super) trait Row {
    /// When it can be dropped without a loss.
    fn expires(&self) -> Timestamp;
    /// Rows with the least of it are dropped first: what would be lost, then the time of the last use.
    fn worth(&self) -> (f64, u32);
}

/// Rows that are compared when one is dropped.
const COMPARED: usize = 16;

/// Services that are compared then, beside the one that got a row and the fullest one that was found so far. Each is a
/// miss of the processor's cache.
const COMPARED_SERVICES: usize = 4;

/// Rows of each service. A full table drops a row of the service with the most rows.
#[derive(Debug, Clone)]
pub(super) struct Table<K, R> {
    services: IndexMap<ServiceId, Rows<K, R>, FixedState>,
    len: usize,
    most: usize,
    /// Rows that were dropped because the table was full.
    pub(super) dropped: u64,
    hasher: FixedState,
    /// The position of the service with the most rows, as far as it was found.
    fullest: usize,
    /// The position at which the next look for it begins.
    hand: usize,
}

#[derive(Debug, Clone)]
struct Rows<K, R> {
    map: IndexMap<K, (R, bool), FixedState>,
    /// Keys whose rows have changed since they were last taken.
    changed: Vec<K>,
    /// The position at which the next look for a row to drop begins.
    hand: usize,
}

impl<K: Copy + Eq + Hash, R: Row + Copy> Table<K, R> {
    /// `seed` is secret: it decides which keys collide.
    pub(super) fn new(most: usize, seed: u64) -> Self {
        let hasher = FixedState::with_seed(seed);
        let services = IndexMap::with_hasher(hasher.clone());
        Self { services, len: 0, most: most.max(1), dropped: 0, hasher, fullest: 0, hand: 0 }
    }

    pub(super) fn get(&self, service: ServiceId, key: &K) -> Option<&R> {
        self.services.get(&service)?.map.get(key).map(|(row, _)| row)
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Every row of a service.
    pub(super) fn of(&self, service: ServiceId) -> impl Iterator<Item = (&K, &R)> {
        let rows = self.services.get(&service).into_iter().flat_map(|rows| &rows.map);
        rows.map(|(key, (row, _))| (key, row))
    }

    /// The services that have rows.
    pub(super) fn services(&self) -> impl Iterator<Item = ServiceId> {
        self.services.iter().filter(|(_, rows)| !rows.map.is_empty()).map(|(service, _)| *service)
    }

    /// Writes a row. `is_changed` has it stored.
    pub(super) fn set(&mut self, service: ServiceId, key: K, row: R, is_changed: bool) {
        let hasher = self.hasher.clone();
        let empty = || Rows { map: IndexMap::with_hasher(hasher), changed: Vec::new(), hand: 0 };
        let entry = self.services.entry(service);
        let place = entry.index();
        let rows = entry.or_insert_with(empty);
        if let Some((known, was_changed)) = rows.map.get_mut(&key) {
            *known = row;
            if is_changed && !std::mem::replace(was_changed, true) {
                rows.changed.push(key);
            }
            return;
        }
        rows.map.insert(key, (row, is_changed));
        if is_changed {
            rows.changed.push(key);
        }
        self.len += 1;
        if self.len > self.most {
            self.drop_one(place);
        }
    }

    pub(super) fn remove(&mut self, service: ServiceId, key: &K) -> bool {
        let Some(rows) = self.services.get_mut(&service) else { return false };
        let is_removed = rows.remove(key);
        self.len -= usize::from(is_removed);
        is_removed
    }

    /// The next changed row of a service, `None` in it if the row is gone; `None` without one.
    pub(super) fn take_changed(&mut self, service: ServiceId) -> Option<(K, Option<R>)> {
        let rows = self.services.get_mut(&service)?;
        let key = rows.changed.pop()?;
        let row = rows.map.get_mut(&key).map(|(row, is_changed)| {
            *is_changed = false;
            *row
        });
        Some((key, row))
    }

    /// The services with changed rows.
    pub(super) fn changed_services(&self) -> Vec<ServiceId> {
        let changed = self.services.iter().filter(|(_, rows)| !rows.changed.is_empty());
        changed.map(|(service, _)| *service).collect()
    }

    /// Drops the expired ones among the next rows of each service.
    pub(super) fn sweep(&mut self, looks: usize, now: Timestamp) {
        for rows in self.services.values_mut() {
            for _ in 0..looks.min(rows.map.len()) {
                rows.hand = if rows.hand == 0 { rows.map.len() } else { rows.hand } - 1;
                let found = rows.map.get_index(rows.hand);
                let gone = found.filter(|(_, (row, is_changed))| !is_changed && row.expires() <= now);
                if let Some(key) = gone.map(|(key, _)| *key) {
                    rows.map.swap_remove(&key);
                    self.len -= 1;
                }
            }
            rows.hand = rows.hand.min(rows.map.len());
        }
        self.services.retain(|_, rows| !rows.map.is_empty() || !rows.changed.is_empty());
    }

    /// `place` is the position of the service that got a row.
    fn drop_one(&mut self, place: usize) {
        let services = self.services.len();
        let next = (0..COMPARED_SERVICES.min(services)).map(|step| (self.hand + step) % services);
        let known = [place, self.fullest].into_iter().filter(|known| *known < services);
        let Some(fullest) = known.chain(next).max_by_key(|place| self.services[*place].map.len()) else {
            return;
        };
        self.hand = (self.hand + COMPARED_SERVICES) % services;
        self.fullest = fullest;
        let rows = &mut self.services[fullest];
        let len = rows.map.len();
        let places = (0..COMPARED.min(len)).map(|step| (rows.hand + step) % len);
        let worth = |place: usize| rows.map.get_index(place).map(|(key, (row, _))| (*key, row.worth()));
        let least = places.filter_map(worth).min_by(|(_, (a, x)), (_, (b, y))| a.total_cmp(b).then(x.cmp(y)));
        rows.hand = (rows.hand + COMPARED) % len;
        if let Some((key, _)) = least {
            rows.remove(&key);
            self.len -= 1;
            self.dropped += 1;
        }
    }
}

impl<K: Copy + Eq + Hash, R> Rows<K, R> {
    /// Removes a row, also from the store.
    fn remove(&mut self, key: &K) -> bool {
        let Some((_, was_changed)) = self.map.swap_remove(key) else { return false };
        if !was_changed {
            self.changed.push(*key);
        }
        true
    }
}
