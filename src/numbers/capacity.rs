//! The limit on stored numbers, over all shards.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use tracing::{info, warn};

use super::record::NumberKey;

/// Counts numbers against a limit that is never exceeded by new ones. Restored numbers count beyond the limit, because
/// the server never drops a known number.
#[derive(Debug)]
pub struct Capacity {
    limit: usize,
    held: AtomicUsize,
    /// The last logged [`Level`].
    logged: AtomicU8,
    /// Test numbers take no room of the others. They have a limit of their own.
    tests: Option<Arc<Self>>,
}

/// The limit on stored test numbers. One costs no message.
const TESTS: usize = 10_000;

/// Fill level for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Ample = 0,
    Scarce = 1,
    Full = 2,
}

/// The stored numbers and their limit, which `/readyz` shows by these names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Usage {
    /// Stored numbers.
    pub held: usize,
    /// From this count on the server refuses new numbers.
    pub limit: usize,
}

impl Capacity {
    /// Capacity for `limit` numbers.
    pub fn new(limit: usize) -> Arc<Self> {
        let of = |limit, tests| {
            let (held, logged) = (AtomicUsize::new(0), AtomicU8::new(Level::Ample as u8));
            Arc::new(Self { limit, held, logged, tests })
        };
        of(limit, Some(of(limit.min(TESTS), None)))
    }

    /// The capacity that counts this number.
    pub(super) fn of(self: &Arc<Self>, key: NumberKey) -> &Arc<Self> {
        if key.is_test { self.tests() } else { self }
    }

    /// The capacity for test numbers.
    pub(super) fn tests(self: &Arc<Self>) -> &Arc<Self> {
        self.tests.as_ref().unwrap_or(self)
    }

    /// The present usage.
    pub fn usage(&self) -> Usage {
        Usage { held: self.held.load(Ordering::Relaxed), limit: self.limit }
    }

    /// Counts a new number until the reservation is dropped, by when its table has counted it. `None` if the limit is
    /// reached.
    pub fn reserve(self: &Arc<Self>) -> Option<Reservation> {
        let more = |held| (held < self.limit).then_some(held + 1);
        let Ok(before) = self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) else {
            self.log(Level::Full);
            return None;
        };
        self.grew_to(before + 1);
        Some(Reservation(Arc::clone(self)))
    }

    /// Counts numbers that are in a table, also beyond the limit.
    pub(super) fn add(&self, numbers: usize) {
        self.grew_to(self.held.fetch_add(numbers, Ordering::Relaxed) + numbers);
    }

    /// Removes these numbers from the count.
    pub(super) fn remove(&self, numbers: usize) {
        let left = self.held.fetch_sub(numbers, Ordering::Relaxed).saturating_sub(numbers);
        // Logged again only below 70 %, not for each number that expires and is replaced.
        if !exceeds_tenths(left, 7, self.limit) && self.logged.load(Ordering::Relaxed) != Level::Ample as u8 {
            self.logged.store(Level::Ample as u8, Ordering::Relaxed);
            info!(numbers = left, limit = self.limit, "number capacity available again");
        }
    }

    fn grew_to(&self, held: usize) {
        if exceeds_tenths(held, 8, self.limit) {
            self.log(Level::Scarce);
        }
    }

    /// Logs each level once, until the usage falls below 70 %.
    fn log(&self, level: Level) {
        if self.logged.fetch_max(level as u8, Ordering::Relaxed) >= level as u8 {
            return;
        }
        let (Usage { held, limit }, tests) = (self.usage(), self.tests.is_none());
        match level {
            Level::Ample => {}
            Level::Scarce => warn!(
                numbers = held,
                limit, tests, "number capacity low; new numbers get 503 once max-numbers is reached"
            ),
            Level::Full => {
                warn!(
                    numbers = held,
                    limit, tests, "number capacity exhausted; new numbers get 503 (max-numbers)"
                );
            }
        }
    }
}

/// Whether that many tenths of the limit are exceeded.
const fn exceeds_tenths(held: usize, tenths: u128, limit: usize) -> bool {
    held as u128 * 10 > limit as u128 * tenths
}

/// A counted place for a new number.
#[derive(Debug)]
pub struct Reservation(Arc<Capacity>);

impl Drop for Reservation {
    fn drop(&mut self) {
        self.0.remove(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_exact_under_parallel_reservations() {
        let capacity = Capacity::new(1_000);
        let reserved: Vec<Reservation> = std::thread::scope(|scope| {
            let reserve = || std::iter::from_fn(|| capacity.reserve()).collect::<Vec<_>>();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(reserve)).collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("a thread")).collect()
        });
        assert_eq!(reserved.len(), 1_000);
        drop(reserved);
        assert_eq!(capacity.usage(), Usage { held: 0, limit: 1_000 });
    }

    #[test]
    fn restored_numbers_count_beyond_the_limit_and_keep_new_ones_out() {
        let capacity = Capacity::new(2);
        capacity.add(5);
        assert!(capacity.reserve().is_none());
        capacity.remove(4);
        assert!(capacity.reserve().is_some());
    }

    #[test]
    fn each_level_is_logged_once_until_capacity_is_ample_again() {
        let capacity = Capacity::new(10);
        let logged = || capacity.logged.load(Ordering::Relaxed);
        capacity.add(8);
        assert_eq!(logged(), Level::Ample as u8);
        capacity.add(2);
        assert_eq!(logged(), Level::Scarce as u8, "no number was refused yet");
        assert!(capacity.reserve().is_none());
        assert_eq!(logged(), Level::Full as u8);
        capacity.remove(2);
        assert_eq!(logged(), Level::Full as u8);
        capacity.remove(2);
        assert_eq!(logged(), Level::Ample as u8);
    }
}
