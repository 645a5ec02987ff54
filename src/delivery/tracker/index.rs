//! Which verifications are remembered, and which of them goes first.
//!
//! Some fifty bytes for each; everything else about it is in the store.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::config::TrackerSettings;
use crate::domain::{Timestamp, TrackKey};

/// The most that a slot's forty bits can say.
const MOST_SECONDS: u64 = (1 << 40) - 1;

/// What memory knows of one verification.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    /// In seconds since the epoch, which is exact enough for days, and of which 40 bits do (until the year
    /// 9999 and beyond): these 32, which end in 2106,
    created_s: u32,
    /// and the upper eight.
    created_s_upper: u8,
    /// Rows of it.
    pub(super) attempts: u8,
    /// Whether the store may have its record.
    pub(super) stored: bool,
    /// Whether the right code was submitted.
    pub(super) verified: bool,
}

impl Slot {
    /// A verification that begins at `created`.
    pub(super) fn new(created: Timestamp) -> Self {
        let [.., upper, a, b, c, d] = (created.as_millis() / 1_000).min(MOST_SECONDS).to_be_bytes();
        let created_s = u32::from_be_bytes([a, b, c, d]);
        Self { created_s, created_s_upper: upper, attempts: 0, stored: false, verified: false }
    }

    fn created(self) -> Timestamp {
        let seconds = u64::from(self.created_s_upper) << u32::BITS | u64::from(self.created_s);
        Timestamp::EPOCH.plus(Duration::from_secs(seconds))
    }
}

/// Verifications by key and in the order of their age.
#[derive(Debug, Default)]
pub(super) struct Index {
    slots: HashMap<TrackKey, Slot>,
    by_age: VecDeque<TrackKey>,
}

impl Index {
    pub(super) fn get(&self, key: &TrackKey) -> Option<&Slot> {
        self.slots.get(key)
    }

    pub(super) fn get_mut(&mut self, key: &TrackKey) -> Option<&mut Slot> {
        self.slots.get_mut(key)
    }

    /// The slot of `key`; a new one becomes the newest of all.
    pub(super) fn slot(&mut self, key: TrackKey, created: Timestamp) -> &mut Slot {
        self.slots.entry(key).or_insert_with(|| {
            self.by_age.push_back(key);
            Slot::new(created)
        })
    }

    /// From what the store had, in any order.
    pub(super) fn rebuilt(slots: Vec<(TrackKey, Slot)>) -> Self {
        let mut by_age: Vec<(Timestamp, TrackKey)> =
            slots.iter().map(|(key, slot)| (slot.created(), *key)).collect();
        by_age.sort_unstable();
        let by_age = by_age.into_iter().map(|(_, key)| key).collect();
        Self { slots: slots.into_iter().collect(), by_age }
    }

    /// Whether there are verifications to forget.
    pub(super) fn is_over(&self, settings: &TrackerSettings) -> bool {
        self.slots.len() > settings.keep_at_most
    }

    /// Forgets the oldest that are too old or too many, except those that are `planned`, and names
    /// them. Looks at `at_most` of them at a time.
    pub(super) fn forget(
        &mut self,
        now: Timestamp,
        settings: &TrackerSettings,
        at_most: usize,
        planned: impl Fn(&TrackKey) -> bool,
    ) -> Vec<(TrackKey, Slot)> {
        let mut forgotten = Vec::new();
        for _ in 0..at_most {
            let Some(key) = self.by_age.pop_front() else { break };
            let Some(slot) = self.slots.get(&key).copied() else { continue };
            let too_old = now >= slot.created().plus(settings.keep_for);
            if !too_old && !self.is_over(settings) {
                self.by_age.push_front(key);
                break;
            }
            if planned(&key) {
                // Its turn comes again; a follow-up lasts as long as a code, so not long.
                self.by_age.push_back(key);
            } else {
                self.slots.remove(&key);
                forgotten.push((key, slot));
            }
        }
        forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_remembers_the_second_in_every_year_and_takes_eight_bytes() {
        for seconds in [0, 1, 1_700_000_000, u64::from(u32::MAX), u64::from(u32::MAX) + 1, MOST_SECONDS] {
            let created = Timestamp::from_millis(seconds * 1_000);
            assert_eq!(Slot::new(created).created(), created);
        }
        let last = Timestamp::from_millis(MOST_SECONDS * 1_000);
        assert_eq!(Slot::new(Timestamp::from_millis(u64::MAX)).created(), last);
        assert_eq!(size_of::<Slot>(), 8);
    }
}
