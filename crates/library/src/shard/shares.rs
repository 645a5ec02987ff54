//! The share of each service in a bounded table.

use std::collections::BTreeMap;

use crate::domain::ServiceId;

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

    /// The service with the most places, if these are more than so many.
    pub fn larger_than(&self, places: usize) -> Option<ServiceId> {
        let (service, held) = self.by_service.iter().max_by_key(|(_, held)| **held)?;
        (*held > places).then_some(*service)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A service that takes all that it gets. Returns how much it has then.
    fn flood(shares: &mut Shares, service: u32, limit: usize) -> usize {
        let service = ServiceId::new(service);
        shares.add(service, shares.room(service, limit));
        shares.of(service)
    }

    #[test]
    fn a_service_has_half_of_a_table_at_most_while_another_one_has_any() {
        let (mut shares, [one, two]) = (Shares::default(), [1, 2].map(ServiceId::new));
        shares.add(two, 1);
        assert_eq!([1, 2, 3].map(|service| flood(&mut shares, service, 1_001)), [501, 500, 0]);
        shares.remove(two, 500);
        assert_eq!(flood(&mut shares, 1, 1_001), 1_001, "alone it has all");
        shares.remove(one, 600);
        assert_eq!([2, 1].map(|service| flood(&mut shares, service, 1_001)), [501, 500]);
    }
}
