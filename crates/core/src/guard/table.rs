//! A bounded table of rows that several services share.

use foldhash::fast::FixedState;
use indexmap::IndexMap;

use super::allowance::{Allowance, Row};
use super::signals::Dimension;
use crate::domain::{ServiceId, Timestamp};

/// Rows that are compared when one is dropped.
const COMPARED: usize = 16;

/// Rows that a service has in any case, unless its share of a full table is smaller.
const GUARANTEED: usize = 1_000;

/// Services that are compared then, beside the one that got a row and the fullest one that was found so far. Each is a
/// miss of the processor's cache.
const COMPARED_SERVICES: usize = 4;

/// Where a page begins: indexes of a service and of a row. A row that moves meanwhile may be missed.
pub type PageStart = (usize, usize);

/// Allowances of places, and where the next page begins.
pub type Page = (Vec<(ServiceId, Dimension, Allowance)>, Option<PageStart>);

/// Rows of a service, and whether they have changed since they were last taken.
type Rows = IndexMap<Dimension, (Row, bool), FixedState>;

/// Rows of each service. A full table drops a row of a service that has more than its equal share.
#[derive(Debug, Clone)]
pub struct Table {
    services: IndexMap<ServiceId, Rows, FixedState>,
    /// Rows that have changed since they were last taken, and removed ones: at most twice the rows of a full table, or the
    /// removed ones are forgotten. Their records then stay until they expire.
    changed: Vec<(ServiceId, Dimension)>,
    len: usize,
    most: usize,
    /// Rows that were dropped because the table was full.
    pub dropped: u64,
    hasher: FixedState,
    /// The index of the service with the most rows, as far as it was found.
    fullest: usize,
    /// The index at which the next look for it, and for a row to drop, begins.
    hand: usize,
    /// The row that a sweep looks at next.
    swept: PageStart,
}

impl Table {
    /// `seed` is secret: it decides which keys collide.
    pub(super) fn new(most: usize, seed: u64) -> Self {
        let (hasher, most) = (FixedState::with_seed(seed), most.max(1));
        let services = IndexMap::with_hasher(hasher.clone());
        let (changed, swept) = (Vec::new(), (0, 0));
        Self { services, changed, len: 0, most, dropped: 0, hasher, fullest: 0, hand: 0, swept }
    }

    /// The index of a service until the next sweep.
    pub(super) fn service_index(&self, service: ServiceId) -> Option<usize> {
        self.services.get_index_of(&service)
    }

    /// A row of the service at this index, and its own index as long as no row of the service is removed.
    pub(super) fn find(&self, service_index: Option<usize>, key: Dimension) -> Option<(usize, &Row)> {
        let (_, rows) = self.services.get_index(service_index?)?;
        let (row_index, _, (row, _)) = rows.get_full(&key)?;
        Some((row_index, row))
    }

    pub const fn held(&self) -> usize {
        self.len
    }

    /// Whether half of the table is free.
    pub(super) const fn has_room(&self) -> bool {
        self.len < self.most / 2
    }

    /// The services that have rows, or had some until lately.
    pub fn services(&self) -> impl Iterator<Item = ServiceId> {
        self.services.keys().copied()
    }

    /// The places among at most `most` rows of one service or of all, and where the next page begins.
    pub fn page(&self, of: Option<ServiceId>, (service, row): PageStart, most: usize) -> Page {
        let service = of.map_or(Some(service), |of| self.services.get_index_of(&of));
        let found = service.and_then(|service| Some((service, self.services.get_index(service)?)));
        let Some((service, (id, rows))) = found else { return (Vec::new(), None) };
        let found = rows.iter().skip(row).take(most).filter(|(_, (row, _))| row.number.is_none());
        let page = found.map(|(key, (row, _))| (*id, *key, row.allowance));
        let next = row.saturating_add(most);
        let next = if next < rows.len() { Some((service, next)) } else { Some((service + 1, 0)) };
        (page.collect(), next.filter(|next| next.0 == service || of.is_none()))
    }

    /// Changes a row, a new one if there is none. The indexes are those of [`service_index`](Self::service_index) and
    /// [`find`](Self::find).
    pub(super) fn change(
        &mut self,
        (service_index, row_index): (Option<usize>, Option<usize>),
        (service, key): (ServiceId, Dimension),
        stores: bool,
        change: impl FnOnce(&mut Row),
    ) {
        let service_index = service_index.unwrap_or_else(|| {
            let entry = self.services.entry(service);
            let index = entry.index();
            entry.or_insert_with(|| Rows::with_hasher(self.hasher.clone()));
            index
        });
        let rows = &mut self.services[service_index];
        // `drop_one` may have moved the row: check the key.
        let found = row_index.and_then(|index| rows.get_index_mut(index)).filter(|(found, _)| **found == key);
        let (row, was_changed) = if let Some((_, row)) = found {
            row
        } else {
            if self.len >= self.most && !rows.contains_key(&key) {
                self.drop_one(service_index);
            }
            let rows = &mut self.services[service_index];
            let before = rows.len();
            let entry = rows.entry(key);
            let index = entry.index();
            entry.or_default();
            self.len += rows.len() - before;
            &mut rows[index]
        };
        change(row);
        if stores && !std::mem::replace(was_changed, true) {
            self.note_changed(service, key);
        }
    }

    fn note_changed(&mut self, service: ServiceId, key: Dimension) {
        if self.changed.len() >= self.most.saturating_mul(2) {
            // A row that was removed and came back is there twice.
            self.changed.sort_unstable();
            self.changed.dedup();
            self.changed.retain(|(service, key)| {
                self.services.get(service).is_some_and(|rows| rows.contains_key(key))
            });
        }
        self.changed.push((service, key));
    }

    /// A row that was taken could not be stored.
    pub(super) fn mark_changed(&mut self, service: ServiceId, key: Dimension) {
        let row = self.services.get_mut(&service).and_then(|rows| rows.get_mut(&key));
        if !row.is_some_and(|(_, is_changed)| std::mem::replace(is_changed, true)) {
            self.note_changed(service, key);
        }
    }

    /// The next changed row, `None` in it if the row is gone; `None` without one.
    pub(super) fn take_changed(&mut self) -> Option<(ServiceId, Dimension, Option<Row>)> {
        let (service, key) = self.changed.pop()?;
        let row = self.services.get_mut(&service).and_then(|rows| rows.get_mut(&key));
        let row = row.map(|(row, is_changed)| {
            *is_changed = false;
            row.clone()
        });
        Some((service, key, row))
    }

    /// Removes a row, also from the store.
    pub(super) fn remove(&mut self, service: ServiceId, key: Dimension) -> bool {
        let found = self.services.get_mut(&service).and_then(|rows| rows.swap_remove(&key));
        let Some((_, was_changed)) = found else { return false };
        if !was_changed {
            self.note_changed(service, key);
        }
        self.len -= 1;
        true
    }

    /// Drops the expired ones among the next `looks` rows.
    pub fn sweep(&mut self, looks: usize, now: Timestamp) {
        for _ in 0..looks {
            let (service, row) = self.swept;
            let Some((_, rows)) = self.services.get_index_mut(service) else {
                self.swept = (0, 0);
                return;
            };
            match rows.get_index(row) {
                Some((_, (found, false))) if found.expires() <= now => {
                    rows.swap_remove_index(row);
                    self.len -= 1;
                }
                Some(_) => self.swept.1 += 1,
                None if rows.is_empty() => {
                    self.services.swap_remove_index(service);
                    self.swept.1 = 0;
                }
                None => self.swept = (service + 1, 0),
            }
        }
    }

    /// Drops the row that is worth least of those that are compared, before the service at `own` gets one. A service with its
    /// share or more loses its own row; otherwise the fullest service loses one.
    fn drop_one(&mut self, own: usize) {
        let (services, hand) = (self.services.len(), self.hand);
        let len = |index: &usize| self.services.get_index(*index).map_or(0, |(_, rows)| rows.len());
        let next = (0..COMPARED_SERVICES).map(|step| (hand + step) % services);
        let fullest = next.chain([self.fullest, own]).max_by_key(len).unwrap_or(own);
        let (of_own, share) = (len(&own), self.most / services);
        let of = if own == fullest || of_own >= share {
            [None, Some(own)]
        } else {
            [Some(fullest), (of_own >= GUARANTEED.min(share)).then_some(own)]
        };
        let least = of.into_iter().flatten().filter_map(|index| {
            let (service, rows) = self.services.get_index(index)?;
            let len = rows.len();
            let compared = (0..COMPARED.min(len)).filter_map(|step| rows.get_index((hand + step) % len));
            compared.map(|(key, (row, _))| (row.worth(), *service, *key)).min()
        });
        let least = least.min();
        (self.fullest, self.hand) = (fullest, hand.wrapping_add(COMPARED));
        if let Some((_, service, key)) = least {
            self.remove(service, key);
            self.dropped += 1;
        }
    }
}
