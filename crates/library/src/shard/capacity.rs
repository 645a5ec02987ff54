//! The limit on the records of a kind over all shards, and the share of each service in it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::{info, warn};

use super::record::{Hasher, Id, Record, RecordKey, Stored, service_of};
use super::refusal::{Full, LimitedTable};
use super::shards::Shards;
use super::tables::Index;
use crate::domain::ServiceId;
use crate::observe::metrics::ServiceNames;

/// The places of a bounded table by service. Two rules: no service gets a place beyond half of the table, and the last
/// fiftieth is for services that hold next to nothing. Alone, a service may fill the limit.
#[derive(Debug, Default)]
pub struct Shares {
    held: usize,
    by_service: HashMap<ServiceId, usize, Hasher>,
}

impl Shares {
    /// The places of all services.
    pub const fn held(&self) -> usize {
        self.held
    }

    /// The places of a service.
    pub fn of(&self, service: ServiceId) -> usize {
        self.by_service.get(&service).copied().unwrap_or(0)
    }

    /// The places that a service may still take. `limit` is that of one service; all services together may have a
    /// quarter more.
    pub fn room(&self, service: ServiceId, limit: usize) -> usize {
        let own = self.of(service);
        if own == self.held {
            return limit.saturating_sub(own);
        }
        let all = limit.saturating_add(limit.div_ceil(4));
        let (left, last) = (all.saturating_sub(self.held), all.div_ceil(50));
        // Of the last places sixteen services get a part, or more of them one place.
        let floor = (last / 16).max(1).saturating_sub(own);
        (all / 2).saturating_sub(own).min(left.saturating_sub(last).max(left.min(floor)))
    }

    /// Adds places of a service.
    pub fn add(&mut self, service: ServiceId, places: usize) {
        if places > 0 {
            self.held += places;
            *self.by_service.entry(service).or_default() += places;
        }
    }

    /// Removes places of a service, at most those that it holds.
    pub fn remove(&mut self, service: ServiceId, places: usize) {
        let Some(own) = self.by_service.get_mut(&service) else { return };
        let gone = places.min(*own);
        (*own, self.held) = (*own - gone, self.held - gone);
        if *own == 0 {
            self.by_service.remove(&service);
        }
    }

    /// The services that hold places, and how many.
    pub fn iter(&self) -> impl Iterator<Item = (ServiceId, usize)> {
        self.by_service.iter().map(|(service, places)| (*service, *places))
    }

    /// Adds the places of each service.
    pub fn add_all(&mut self, other: &Self) {
        other.iter().for_each(|(service, places)| self.add(service, places));
    }

    /// Removes the places of each service.
    pub fn remove_all(&mut self, other: &Self) {
        other.iter().for_each(|(service, places)| self.remove(service, places));
    }
}

/// Counts records against a limit that new ones never exceed. Restored records count beyond it, because the server
/// never drops a known one.
pub struct Capacity {
    table: LimitedTable,
    /// [`Record::KIND`].
    kind: u8,
    limit: usize,
    counts: Mutex<Counts>,
    names: ServiceNames,
}

#[derive(Debug, Default)]
struct Counts {
    held: Shares,
    /// Whether the log has a line that capacity is low.
    is_low: bool,
    /// The services that the log has a line about.
    used_up: HashSet<ServiceId>,
}

/// The records and their limit, which `/readyz` shows by these names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Usage {
    /// Stored records.
    pub held: usize,
    /// The limit of one service. All services together may hold a quarter more.
    pub limit: usize,
}

impl Usage {
    /// Whether more than 80 % are used.
    pub const fn is_low(self) -> bool {
        exceeds_tenths(self.held, 8, self.limit)
    }
}

impl Capacity {
    /// A capacity of which reservations alone take places.
    pub fn new<R: Record>(table: LimitedTable, limit: usize, names: &ServiceNames) -> Arc<Self> {
        let names = names.clone();
        Arc::new(Self { table, kind: R::KIND, limit, counts: Mutex::default(), names })
    }

    /// The capacity for records of the kind `R`, counted as the shards change them. A record takes one place for each
    /// started [`PLACE_BYTES`] bytes.
    pub fn following<R: Record>(shards: &Shards, table: LimitedTable, limit: usize) -> Arc<Self> {
        let [capacity] = Self::following_each::<R, 1>(shards, [(table, limit)], |_| 0);
        capacity
    }

    /// The same for records in several capacities: `which` says in which of them the record with an id counts.
    pub fn following_each<R: Record, const N: usize>(
        shards: &Shards,
        limits: [(LimitedTable, usize); N],
        which: fn(&Id) -> usize,
    ) -> [Arc<Self>; N] {
        let names = shards.metrics().service_names();
        let capacities = limits.map(|(table, limit)| Self::new::<R>(table, limit, names));
        let counted = capacities.clone();
        shards.follow::<R>(Arc::new(move |_| {
            let counted = counted.clone().map(|capacity| (capacity, Shares::default()));
            Box::new(CountingIndex { counted, which, is_restored: false })
        }));
        capacities
    }

    /// The table whose records it counts.
    pub const fn table(&self) -> LimitedTable {
        self.table
    }

    /// The present usage.
    pub fn usage(&self) -> Usage {
        Usage { held: self.counts.lock().held.held(), limit: self.limit }
    }

    /// Reserves a place for a new record. The caller drops the reservation after the table has counted the record.
    ///
    /// # Errors
    /// [`Full`] if the service has used up its share.
    pub fn reserve(self: &Arc<Self>, service: ServiceId) -> Result<Reservation, Full> {
        let mut counts = self.counts.lock();
        if counts.held.room(service, self.limit) == 0 {
            if counts.used_up.insert(service) {
                let (own, held) = (counts.held.of(service), counts.held.held());
                let service = self.names.of(service).unwrap_or_else(|| service.get().to_string());
                let (what, limit) = (self.noun(), self.limit);
                warn!(table = %self.table, service, own, held, limit, "{what} capacity used up; new ones get 503");
            }
            return Err(Full { kind: self.kind, table: self.table });
        }
        counts.held.add(service, 1);
        self.warn_if_low(&mut counts);
        Ok(Reservation { capacity: Arc::clone(self), service })
    }

    /// Counts a change of the records in the table, also beyond the limit.
    pub fn count(&self, change: impl FnOnce(&mut Shares)) {
        let counts = &mut *self.counts.lock();
        let before = counts.held.held();
        change(&mut counts.held);
        let held = counts.held.held();
        if held > before {
            self.warn_if_low(counts);
        }
        // Every service is then far below half of the table: no line for each record that expires and is replaced.
        let is_reported = counts.is_low || !counts.used_up.is_empty();
        if held < before && is_reported && !exceeds_tenths(held, 4, self.limit) {
            counts.is_low = false;
            counts.used_up.clear();
            info!(table = %self.table, held, limit = self.limit, "{} capacity available again", self.noun());
        }
    }

    fn warn_if_low(&self, counts: &mut Counts) {
        let held = counts.held.held();
        if !counts.is_low && exceeds_tenths(held, 8, self.limit) {
            counts.is_low = true;
            warn!(table = %self.table, held, limit = self.limit, "{} capacity low", self.noun());
        }
    }

    const fn noun(&self) -> &'static str {
        match self.table {
            LimitedTable::Numbers | LimitedTable::TestNumbers => "number",
            LimitedTable::IdempotencyKeys | LimitedTable::Counters | LimitedTable::HostedSessions => "table",
        }
    }
}

/// Whether that many tenths of the limit are exceeded.
const fn exceeds_tenths(held: usize, tenths: u128, limit: usize) -> bool {
    held as u128 * 10 > limit as u128 * tenths
}

/// A counted place for a new record.
pub struct Reservation {
    capacity: Arc<Capacity>,
    service: ServiceId,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.capacity.count(|held| held.remove(self.service, 1));
    }
}

/// Bytes of a record that take one place.
pub const PLACE_BYTES: usize = 512;

/// Counts the records of one shard. A shard that restarts counts anew.
struct CountingIndex<const N: usize> {
    /// Each capacity with what the shard holds in it.
    counted: [(Arc<Capacity>, Shares); N],
    which: fn(&Id) -> usize,
    /// Whether the records of the restore are in the capacities. They are summed up first: each alone would
    /// take the lock.
    is_restored: bool,
}

impl<const N: usize> Index for CountingIndex<N> {
    fn changed(&mut self, key: &RecordKey, before: Option<&Stored>, after: Option<&Stored>) {
        let places = |stored: Option<&Stored>| stored.map_or(0, |s| s.bytes.len().div_ceil(PLACE_BYTES));
        let (service, before, after) = (service_of(&key.id), places(before), places(after));
        if before != after {
            let change = |held: &mut Shares| {
                held.add(service, after);
                held.remove(service, before);
            };
            let (capacity, own) = &mut self.counted[(self.which)(&key.id)];
            change(own);
            if self.is_restored {
                capacity.count(change);
            }
        }
    }

    fn batch_applied(&mut self) {
        if !std::mem::replace(&mut self.is_restored, true) {
            self.counted.iter().for_each(|(capacity, own)| capacity.count(|held| held.add_all(own)));
        }
    }
}

impl<const N: usize> Drop for CountingIndex<N> {
    fn drop(&mut self) {
        self.counted.iter().for_each(|(capacity, own)| capacity.count(|held| held.remove_all(own)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::delivery::tests::log_capture::log_of;
    use crate::engine::NumberState;

    const ONE: ServiceId = ServiceId::new(1);

    fn capacity_of(limit: usize) -> Arc<Capacity> {
        Capacity::new::<NumberState>(LimitedTable::Numbers, limit, &ServiceNames::default())
    }

    #[test]
    fn the_limit_is_exact_under_parallel_reservations() {
        let capacity = capacity_of(1_000);
        let reserved: Vec<Reservation> = std::thread::scope(|scope| {
            // One more than fits, so that a limit that is missed ends the test.
            let reserve =
                || std::iter::from_fn(|| capacity.reserve(ONE).ok()).take(1_001).collect::<Vec<_>>();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(reserve)).collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("a thread")).collect()
        });
        assert_eq!(reserved.len(), 1_000);
        drop(reserved);
        assert_eq!(capacity.usage(), Usage { held: 0, limit: 1_000 });
        assert!(
            capacity.counts.lock().held.by_service.is_empty(),
            "nothing is kept of a service that has left"
        );
    }

    #[test]
    fn restored_records_count_beyond_the_limit_and_keep_new_ones_out() {
        let capacity = capacity_of(2);
        capacity.count(|held| held.add(ONE, 5));
        assert!(capacity.reserve(ONE).is_err());
        capacity.count(|held| held.remove(ONE, 4));
        assert!(capacity.reserve(ONE).is_ok());
    }

    #[tokio::test]
    async fn a_table_that_runs_low_is_said_once_until_it_has_room_again() {
        let log = log_of(async || {
            let capacity = capacity_of(10);
            for held in [8_usize, 9, 10, 5, 9, 4, 3, 9] {
                capacity.count(|shares| match held.checked_sub(shares.held()) {
                    Some(more) => shares.add(ONE, more),
                    None => shares.remove(ONE, shares.held() - held),
                });
            }
        });
        let log = log.await;
        let low = ("held=9 limit=10", "number capacity low");
        let said = [low, ("held=4 limit=10", "number capacity available again"), low];
        assert_eq!(log.lines().count(), 3, "{log}");
        for (line, (figures, words)) in log.lines().zip(said) {
            assert!(line.contains(figures) && line.contains(words), "{log}");
        }
    }

    /// A service that takes all that it gets. Returns how much it has then.
    fn flood(shares: &mut Shares, service: u32, limit: usize) -> usize {
        let service = ServiceId::new(service);
        while shares.room(service, limit) > 0 {
            shares.add(service, 1);
        }
        shares.of(service)
    }

    #[test]
    fn the_flood_of_one_service_leaves_room_for_the_others() {
        let mut shares = Shares::default();
        assert_eq!(flood(&mut shares, 1, 1_000), 1_000, "alone it has the whole limit");
        assert_eq!(flood(&mut shares, 2, 1_000), 225, "all but the last fiftieth of 1,250");
        assert_eq!([3, 4].map(|service| flood(&mut shares, service, 1_000)), [1, 1]);
        let mut colluding = Shares::default();
        let got = [1, 2, 3, 4, 5, 6].map(|service| flood(&mut colluding, service, 100_000));
        assert_eq!(got, [100_000, 22_500, 156, 156, 156, 156]);
        shares.remove(ONE, 400);
        assert_eq!(flood(&mut shares, 1, 1_000), 625, "half of the table, once it is not alone");
        assert!((1..100).all(|limit| flood(&mut Shares::default(), 1, limit) == limit));
    }
}
