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

/// Rows that a service has in any case, unless its share of a full table is smaller.
const GUARANTEED: usize = 1_000;

/// Services that are compared then, beside the one that got a row and the fullest one that was found so far. Each is a
/// miss of the processor's cache.
const COMPARED_SERVICES: usize = 4;

/// A row, as [`Table::page`] shows it and [`Table::take_changed`] returns it.
pub(super) type OfService<K, R> = (ServiceId, K, R);

/// Where a row is: the positions of its service and of itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowPosition(usize, usize);

/// Where a page begins: positions of a service and of a row. A row that moves meanwhile may be missed.
pub type PageStart = (usize, usize);

/// Rows of each service. A full table drops a row of a service that has more than its equal share.
#[derive(Debug, Clone)]
pub(super) struct Table<K, R> {
    services: IndexMap<ServiceId, Rows<K, R>, FixedState>,
    /// Rows that have changed since they were last taken, and removed ones: at most twice the rows of a full table, or the
    /// removed ones are forgotten. Their records then stay until they expire.
    changed: Vec<(ServiceId, K)>,
    len: usize,
    most: usize,
    /// Rows that were dropped because the table was full.
    pub(super) dropped: u64,
    hasher: FixedState,
    /// The position of the service with the most rows, as far as it was found.
    fullest: usize,
    /// The position at which the next look for it begins.
    hand: usize,
    /// The row that a sweep looks at next.
    swept: PageStart,
}

#[derive(Debug, Clone)]
struct Rows<K, R> {
    map: IndexMap<K, (R, bool), FixedState>,
    /// The position at which the next look for a row to drop begins.
    hand: usize,
}

impl<K: Copy + Eq + Hash, R: Row + Copy> Table<K, R> {
    /// `seed` is secret: it decides which keys collide.
    pub(super) fn new(most: usize, seed: u64) -> Self {
        let hasher = FixedState::with_seed(seed);
        Self {
            services: IndexMap::with_hasher(hasher.clone()),
            changed: Vec::new(),
            len: 0,
            most: most.max(1),
            dropped: 0,
            hasher,
            fullest: 0,
            hand: 0,
            swept: (0, 0),
        }
    }

    pub(super) fn get(&self, service: ServiceId, key: &K) -> Option<&R> {
        self.find(self.services.get_index_of(&service)?, key).map(|(_, row)| row)
    }

    /// The position of a service, for [`Self::find`] until a row is added.
    pub(super) fn service(&self, service: ServiceId) -> Option<usize> {
        self.services.get_index_of(&service)
    }

    /// A row, and where it is as long as none is added or removed.
    pub(super) fn find(&self, service: usize, key: &K) -> Option<(RowPosition, &R)> {
        let (_, rows) = self.services.get_index(service)?;
        let (row, _, (found, _)) = rows.map.get_full(key)?;
        Some((RowPosition(service, row), found))
    }

    /// Writes a changed row that was found at a position. It may have moved since.
    pub(super) fn set_at(&mut self, at: Option<RowPosition>, service: ServiceId, key: K, row: R) {
        let found = at.and_then(|RowPosition(place, row)| {
            let (id, rows) = self.services.get_index_mut(place).filter(|(id, _)| **id == service)?;
            let (found, place) = rows.map.get_index_mut(row).filter(|(found, _)| **found == key)?;
            Some((*id, *found, place))
        });
        let Some((id, found, (known, was_changed))) = found else {
            return self.set(service, key, row, true);
        };
        *known = row;
        if !std::mem::replace(was_changed, true) {
            self.note_changed(id, found);
        }
    }

    fn note_changed(&mut self, service: ServiceId, key: K) {
        if self.changed.len() >= self.most.saturating_mul(2) {
            let mut changed = std::mem::take(&mut self.changed);
            // A row that was removed and came back is there twice.
            changed.retain(|(service, key)| self.is_changed(*service, key).is_some_and(std::mem::take));
            for (service, key) in &changed {
                if let Some(is_changed) = self.is_changed(*service, key) {
                    *is_changed = true;
                }
            }
            self.changed = changed;
        }
        self.changed.push((service, key));
    }

    fn is_changed(&mut self, service: ServiceId, key: &K) -> Option<&mut bool> {
        Some(&mut self.services.get_mut(&service)?.map.get_mut(key)?.1)
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Whether a further row pushes out another one.
    pub(super) const fn is_full(&self) -> bool {
        self.len >= self.most
    }

    /// The services that have rows, or had some until lately.
    pub(super) fn services(&self) -> impl Iterator<Item = ServiceId> {
        self.services.keys().copied()
    }

    /// At most `most` rows of one service or of all, and where the next page begins.
    pub(super) fn page(
        &self,
        of: Option<ServiceId>,
        (service, row): PageStart,
        most: usize,
    ) -> (Vec<OfService<K, R>>, Option<PageStart>) {
        let service = of.map_or(Some(service), |of| self.services.get_index_of(&of));
        let Some((service, (id, rows))) =
            service.and_then(|place| Some((place, self.services.get_index(place)?)))
        else {
            return (Vec::new(), None);
        };
        let found = rows.map.iter().skip(row).take(most);
        let page: Vec<_> = found.map(|(key, (row, _))| (*id, *key, *row)).collect();
        let next = match row + page.len() {
            next if next < rows.map.len() => Some((service, next)),
            _ => of.is_none().then_some((service + 1, 0)),
        };
        (page, next)
    }

    /// Writes a row. `is_changed` has it stored.
    pub(super) fn set(&mut self, service: ServiceId, key: K, row: R, is_changed: bool) {
        let hasher = self.hasher.clone();
        let empty = || Rows { map: IndexMap::with_hasher(hasher), hand: 0 };
        let entry = self.services.entry(service);
        let place = entry.index();
        let rows = entry.or_insert_with(empty);
        if let Some((known, was_changed)) = rows.map.get_mut(&key) {
            *known = row;
            if is_changed && !std::mem::replace(was_changed, true) {
                self.note_changed(service, key);
            }
            return;
        }
        rows.map.insert(key, (row, is_changed));
        if is_changed {
            self.note_changed(service, key);
        }
        self.len += 1;
        if self.len > self.most {
            self.drop_one(place);
        }
    }

    /// Removes a row, also from the store.
    pub(super) fn remove(&mut self, service: ServiceId, key: &K) -> bool {
        let found = self.services.get_mut(&service).and_then(|rows| rows.map.swap_remove(key));
        let Some((_, was_changed)) = found else { return false };
        if !was_changed {
            self.note_changed(service, *key);
        }
        self.len -= 1;
        true
    }

    /// The next changed row, `None` in it if the row is gone; `None` without one.
    pub(super) fn take_changed(&mut self) -> Option<OfService<K, Option<R>>> {
        let (service, key) = self.changed.pop()?;
        let row = self.services.get_mut(&service).and_then(|rows| rows.map.get_mut(&key));
        let row = row.map(|(row, is_changed)| {
            *is_changed = false;
            *row
        });
        Some((service, key, row))
    }

    /// A row that was taken could not be stored.
    pub(super) fn mark_changed(&mut self, service: ServiceId, key: K) {
        if !self.is_changed(service, &key).is_some_and(|is_changed| std::mem::replace(is_changed, true)) {
            self.note_changed(service, key);
        }
    }

    /// Drops the expired ones among the next `looks` rows.
    pub(super) fn sweep(&mut self, looks: usize, now: Timestamp) {
        for _ in 0..looks {
            let (service, row) = self.swept;
            let Some((_, rows)) = self.services.get_index_mut(service) else {
                if service == 0 {
                    return;
                }
                self.swept = (0, 0);
                continue;
            };
            match rows.map.get_index(row) {
                Some((_, (found, is_changed))) if !is_changed && found.expires() <= now => {
                    rows.map.swap_remove_index(row);
                    self.len -= 1;
                }
                Some(_) => self.swept = (service, row + 1),
                None if rows.map.is_empty() => {
                    self.services.swap_remove_index(service);
                    self.swept = (service, 0);
                }
                None => self.swept = (service + 1, 0),
            }
        }
    }

    /// Drops the row that is worth least of those that are compared. `place` is the position of the service that got a row.
    /// With more than its share it loses one of its own; with few, the fullest service does.
    fn drop_one(&mut self, place: usize) {
        let services = self.services.len();
        let len = |place: usize| self.services[place].map.len();
        let next = (0..COMPARED_SERVICES.min(services)).map(|step| (self.hand + step) % services);
        let known = [place, self.fullest].into_iter().filter(|known| *known < services);
        let Some(fullest) = known.chain(next).max_by_key(|place| len(*place)) else { return };
        self.hand = (self.hand + COMPARED_SERVICES) % services;
        self.fullest = fullest;
        let (own, share) = (len(place), self.most / services);
        let of = if place == fullest || own > share {
            [Some(place), None]
        } else {
            [Some(fullest), (own > GUARANTEED.min(share)).then_some(place)]
        };
        let mut least: Option<((f64, u32), usize, usize)> = None;
        for service in of.into_iter().flatten() {
            let rows = &mut self.services[service];
            // The last row of the service is the new one.
            let len = rows.map.len();
            let len = if service == place && len > 1 { len - 1 } else { len };
            for step in 0..COMPARED.min(len) {
                let row = (rows.hand + step) % len;
                let Some((_, (found, _))) = rows.map.get_index(row) else { continue };
                let worth = found.worth();
                let is_less = |((least, at), ..): &((f64, u32), usize, usize)| {
                    worth.0.total_cmp(least).then(worth.1.cmp(at)).is_lt()
                };
                if least.as_ref().is_none_or(is_less) {
                    least = Some((worth, service, row));
                }
            }
            rows.hand = (rows.hand + COMPARED) % len.max(1);
        }
        let Some((_, service, row)) = least else { return };
        let key =
            self.services.get_index(service).and_then(|(id, rows)| Some((*id, *rows.map.get_index(row)?.0)));
        if let Some((service, key)) = key
            && self.remove(service, &key)
        {
            self.dropped += 1;
        }
    }
}
