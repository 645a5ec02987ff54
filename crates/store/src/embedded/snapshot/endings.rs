//! When how many of a layer's entries stop to matter, in little memory.

use std::collections::BTreeMap;

use super::format::Entry;
use onceward_core::domain::Timestamp;

/// Ends are told apart to a sixteenth of the time until then.
const PARTS: u64 = 16;

/// And to no less than this, in milliseconds.
const FINEST: u64 = 1_000;

/// How many entries end when.
#[derive(Debug)]
pub(super) struct Endings {
    /// When it was counted, from which the distance of an end is measured.
    counted: Timestamp,
    /// How many end at this moment, in milliseconds, or a little before it.
    by_end: BTreeMap<u64, u64>,
}

impl Endings {
    /// Of a layer that is read or written at `now`.
    pub(super) fn counted_at(now: Timestamp) -> Self {
        Self { counted: now, by_end: BTreeMap::new() }
    }

    /// Counts an entry. A removal is of no more use than a record that has ended.
    pub(super) fn add(&mut self, entry: &Entry) {
        self.ends_at(if entry.put.is_some() { entry.gc_after } else { self.counted });
    }

    fn ends_at(&mut self, end: Timestamp) {
        let left = end.as_millis().saturating_sub(self.counted.as_millis());
        let step = (left / PARTS).checked_next_power_of_two().unwrap_or(FINEST).max(FINEST);
        let rounded = end.as_millis().div_ceil(step).saturating_mul(step);
        *self.by_end.entry(rounded).or_default() += 1;
    }

    /// How many have surely ended at `now`.
    pub(super) fn ended_at(&self, now: Timestamp) -> u64 {
        self.by_end.range(..=now.as_millis()).map(|(_, entries)| entries).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    #[test]
    fn ends_of_all_sizes_take_little_memory() {
        let mut endings = Endings::counted_at(NOW);
        for milliseconds in (0..40).map(|power| 1_u64 << power) {
            for part in 0..1_000 {
                endings.ends_at(NOW.plus(Duration::from_millis(milliseconds + milliseconds / 1_000 * part)));
            }
        }
        endings.ends_at(Timestamp::from_millis(u64::MAX));
        endings.ends_at(Timestamp::EPOCH);
        assert!(endings.by_end.len() < 800, "{}", endings.by_end.len());
    }

    proptest! {
        #[test]
        fn what_has_not_ended_is_never_counted_and_what_has_is_soon(
            lives in prop::collection::vec(0_u64..100_000_000, 1..50),
            later in 0_u64..200_000_000,
        ) {
            let mut endings = Endings::counted_at(NOW);
            for life in &lives {
                endings.ends_at(NOW.plus(Duration::from_millis(*life)));
            }
            let ended_by = |after: u64| lives.iter().filter(|life| **life <= after).count() as u64;
            let counted = endings.ended_at(NOW.plus(Duration::from_millis(later)));
            prop_assert!(counted <= ended_by(later));
            // To an eighth of a life, and two seconds.
            prop_assert!(counted >= ended_by((later.saturating_sub(2_000)) * 8 / 9));
        }
    }
}
