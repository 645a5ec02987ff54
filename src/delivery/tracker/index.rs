//! Which verifications are remembered, and which of them goes first.
//!
//! Some fifty bytes for each; everything else about it is in the store.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::config::TrackerSettings;
use crate::domain::{Timestamp, TrackKey};

/// What memory knows of one verification.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    /// In seconds since the epoch, which is exact enough for days and half the size.
    created_s: u32,
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
        let created_s = u32::try_from(created.as_millis() / 1_000).unwrap_or(u32::MAX);
        Self { created_s, attempts: 0, stored: false, verified: false }
    }

    fn created(self) -> Timestamp {
        Timestamp::EPOCH.plus(Duration::from_secs(u64::from(self.created_s)))
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
        let mut by_age: Vec<(u32, TrackKey)> =
            slots.iter().map(|(key, slot)| (slot.created_s, *key)).collect();
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
