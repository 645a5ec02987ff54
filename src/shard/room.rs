//! How many numbers may be remembered, over all shards together.
//!
//! One counter, and no share for each shard, so that the limit is exact. Every number in a table is
//! counted; a shard that is about to remember a new one reserves a place before it decides. What is
//! loaded at the start, or was written by somebody else, is counted even beyond the limit: a number
//! that is known is never dropped for want of room.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use tracing::{info, warn};

/// The room for numbers.
#[derive(Debug)]
pub struct Room {
    limit: usize,
    held: AtomicUsize,
    /// What was last said about it: a [`Level`].
    said: AtomicU8,
}

/// How full it is, as far as an operator cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Ample = 0,
    Scarce = 1,
    Full = 2,
}

/// How many numbers are remembered, and how many may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occupancy {
    /// Numbers that are remembered.
    pub held: usize,
    /// From this many on no new ones are taken.
    pub limit: usize,
}

impl Room {
    /// Room for `limit` numbers.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, held: AtomicUsize::new(0), said: AtomicU8::new(Level::Ample as u8) })
    }

    /// How full it is.
    pub fn occupancy(&self) -> Occupancy {
        Occupancy { held: self.held.load(Ordering::Relaxed), limit: self.limit }
    }

    /// Whether a new number would be refused.
    pub fn is_full(&self) -> bool {
        self.held.load(Ordering::Relaxed) >= self.limit
    }

    /// Whether a new number is refused now; says so if it is the first one.
    pub fn refuses(&self) -> bool {
        let refuses = self.is_full();
        if refuses {
            self.say(Level::Full);
        }
        refuses
    }

    /// Takes a place if there is one.
    fn try_enter(&self) -> bool {
        let more = |held| (held < self.limit).then_some(held + 1);
        let entered = self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        match entered {
            Ok(before) => self.grew_to(before + 1),
            Err(_) => self.say(Level::Full),
        }
        entered.is_ok()
    }

    /// Counts a number that is there, whatever the limit is.
    pub(super) fn enter(&self) {
        self.grew_to(self.held.fetch_add(1, Ordering::Relaxed) + 1);
    }

    /// These numbers are no longer remembered.
    pub(super) fn leave(&self, numbers: usize) {
        let left = self.held.fetch_sub(numbers, Ordering::Relaxed).saturating_sub(numbers);
        // Said again only after a real relief, not for each place that is freed and taken.
        if !is_more_than_tenths(left, 7, self.limit)
            && self.said.load(Ordering::Relaxed) != Level::Ample as u8
        {
            self.said.store(Level::Ample as u8, Ordering::Relaxed);
            info!(numbers = left, limit = self.limit, "there is room for new numbers again");
        }
    }

    fn grew_to(&self, held: usize) {
        if is_more_than_tenths(held, 8, self.limit) {
            self.say(Level::Scarce);
        }
    }

    /// Once for each level, until there is ample room again.
    fn say(&self, level: Level) {
        if self.said.load(Ordering::Relaxed) >= level as u8
            || self.said.fetch_max(level as u8, Ordering::Relaxed) >= level as u8
        {
            return;
        }
        let Occupancy { held, limit } = self.occupancy();
        match level {
            Level::Ample => {}
            Level::Scarce => warn!(
                numbers = held,
                limit,
                "most of the room for numbers is taken; when all is, new numbers get 503 (max-numbers)"
            ),
            Level::Full => warn!(
                numbers = held,
                limit,
                "all room for numbers is taken: new numbers get 503, known ones are served (max-numbers)"
            ),
        }
    }
}

/// Whether that many tenths of the limit are exceeded.
const fn is_more_than_tenths(held: usize, tenths: u128, limit: usize) -> bool {
    held as u128 * 10 > limit as u128 * tenths
}

/// Places that are reserved and not yet taken by a number in a table. Given back when dropped.
#[derive(Debug)]
pub struct Reserved {
    room: Arc<Room>,
    places: usize,
}

impl Reserved {
    /// Nothing yet.
    pub const fn nothing_in(room: Arc<Room>) -> Self {
        Self { room, places: 0 }
    }

    /// Reserves one more, if there is room.
    pub fn reserve(&mut self) -> bool {
        let entered = self.room.try_enter();
        self.places += usize::from(entered);
        entered
    }

    /// Hands one over to a number, which counts from now on.
    pub(super) fn take(&mut self) -> bool {
        let any = self.places > 0;
        self.places -= usize::from(any);
        any
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if self.places > 0 {
            self.room.leave(self.places);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_exact_whoever_asks_at_the_same_time() {
        let room = Room::new(1_000);
        let taken = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut reserved = Reserved::nothing_in(Arc::clone(&room));
                    while reserved.reserve() && reserved.take() {
                        taken.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(taken.into_inner(), 1_000);
        assert_eq!(room.occupancy(), Occupancy { held: 1_000, limit: 1_000 });
    }

    #[test]
    fn a_reservation_that_nobody_took_is_given_back() {
        let room = Room::new(3);
        let mut reserved = Reserved::nothing_in(Arc::clone(&room));
        assert!(reserved.reserve() && reserved.reserve() && reserved.reserve());
        assert!(!reserved.reserve());
        assert!(reserved.take());
        drop(reserved);
        assert_eq!(room.occupancy().held, 1);
    }

    #[test]
    fn what_is_there_already_counts_beyond_the_limit_and_keeps_new_ones_out() {
        let room = Room::new(2);
        (0..5).for_each(|_| room.enter());
        assert_eq!(room.occupancy().held, 5);
        let mut reserved = Reserved::nothing_in(Arc::clone(&room));
        assert!(!reserved.reserve());
        room.leave(4);
        assert!(reserved.reserve());
    }

    #[test]
    fn each_level_is_said_once_until_there_is_ample_room_again() {
        let room = Room::new(10);
        let said = || room.said.load(Ordering::Relaxed);
        (0..8).for_each(|_| room.enter());
        assert_eq!(said(), Level::Ample as u8);
        room.enter();
        assert_eq!(said(), Level::Scarce as u8);
        assert!(room.try_enter());
        assert!(room.is_full());
        assert_eq!(said(), Level::Scarce as u8, "nobody was refused yet");
        assert!(room.refuses() && !room.try_enter());
        assert_eq!(said(), Level::Full as u8);
        room.leave(2);
        assert_eq!(said(), Level::Full as u8, "one place freed and taken is no news");
        room.leave(2);
        assert_eq!(said(), Level::Ample as u8);
    }
}
