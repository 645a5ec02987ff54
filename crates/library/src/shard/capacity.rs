//! The limit on the records of a kind.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::record::{Record, Refusal};
use super::shards::Shards;
use crate::domain::ServiceId;
use crate::observe::metrics::TableReading;

crate::named! {
    /// A table in which each service may have a limited number of records.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum LimitedTable {
        /// Numbers with an outstanding code, a count or a lockout.
        Numbers = "numbers",
        /// Requests with an idempotency key.
        IdempotencyKeys = "idempotency keys",
        /// Values of rate limits.
        Counters = "rate limit counters",
        /// Numbers that were verified in the last 30 days. A full table refuses nothing.
        VerifiedNumbers = "verified numbers",
        /// Hosted sessions.
        HostedSessions = "hosted sessions",
    }
}

/// Counts records against a limit. Restored records count beyond it, because the server never drops a known one. A clone
/// counts the same records.
#[derive(Clone)]
pub struct Capacity {
    table: LimitedTable,
    limit: usize,
    held: Arc<Mutex<Shares>>,
}

impl Capacity {
    /// A capacity that counts nothing by itself.
    pub fn new(table: LimitedTable, limit: usize) -> Self {
        Self { table, limit, held: Arc::default() }
    }

    /// The capacity for the records of the kind `R`, as the shards decide about them.
    pub fn following<R: Record>(shards: &Shards, table: LimitedTable, limit: usize) -> Self {
        let capacity = Self::new(table, limit);
        let counting = capacity.clone();
        shards.set_up(move |tables| tables.count(R::KIND, counting.clone()));
        capacity
    }

    /// Counts a record of a service that was added, also beyond the limit, or removed.
    pub fn count(&self, service: ServiceId, is_added: bool) {
        let change = if is_added { Shares::add } else { Shares::remove };
        change(&mut self.held.lock(), service);
    }

    /// The present state, for metrics.
    pub fn reading(&self) -> TableReading {
        TableReading { name: self.table.as_str(), held: self.held.lock().held(), limit: self.limit }
    }

    /// Makes sure that a service may add a record.
    ///
    /// # Errors
    /// [`Refusal::TableFull`] if the service has used up its share.
    pub fn check_room(&self, service: ServiceId) -> Result<(), Refusal> {
        let has_room = self.held.lock().room(service, self.limit) > 0;
        if has_room { Ok(()) } else { Err(Refusal::TableFull { table: self.table }) }
    }
}

// The share of each service in a bounded table.

/// The places of a bounded table by service. No service gets a place beyond half of the table while another one has any.
#[derive(Debug, Default)]
pub struct Shares {
    held: usize,
    by_service: BTreeMap<ServiceId, usize>,
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

    /// The places that a service may still take in a table with this limit.
    pub fn room(&self, service: ServiceId, limit: usize) -> usize {
        let own = self.of(service);
        let share = if own == self.held { limit } else { limit.div_ceil(2) };
        share.saturating_sub(own).min(limit.saturating_sub(self.held))
    }

    /// Takes a place for a service.
    pub fn add(&mut self, service: ServiceId) {
        self.held += 1;
        *self.by_service.entry(service).or_default() += 1;
    }

    /// Frees a place that a service holds.
    pub fn remove(&mut self, service: ServiceId) {
        let Some(own) = self.by_service.get_mut(&service) else { return };
        (*own, self.held) = (*own - 1, self.held - 1);
        if *own == 0 {
            self.by_service.remove(&service);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A service that takes all that it gets. Returns how much it has then.
    fn flood(shares: &mut Shares, service: u32, limit: usize) -> usize {
        let service = ServiceId::new(service);
        while shares.room(service, limit) > 0 {
            shares.add(service);
        }
        shares.of(service)
    }

    #[test]
    fn a_service_has_half_of_a_table_at_most_while_another_one_has_any() {
        let (mut shares, [one, two]) = (Shares::default(), [1, 2].map(ServiceId::new));
        shares.add(two);
        assert_eq!([1, 2, 3].map(|service| flood(&mut shares, service, 1_001)), [501, 500, 0]);
        (0..500).for_each(|_| shares.remove(two));
        assert_eq!(flood(&mut shares, 1, 1_001), 1_001, "alone it has all");
        (0..600).for_each(|_| shares.remove(one));
        assert_eq!([2, 1].map(|service| flood(&mut shares, service, 1_001)), [501, 500]);
    }
}
