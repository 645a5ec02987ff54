//! Manual entries of the operator: messages to or from a subject take no bucket, or are refused, for a time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::signals::{Dimension, Key};
use crate::domain::{PhoneNumber, Timestamp};
use crate::named;

/// Entries of all services.
const MOST_ENTRIES: usize = 10_000;

/// Entries for all services, safe numbers included.
const MOST_FOR_ALL: usize = 110_000;

named! {
    /// What a manual entry does. Records contain the position of the variant.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
    pub enum EntryAction {
        /// Messages take no bucket.
        Allow = "allow",
        Block = "block",
        /// Of all subjects: only numbers that were verified in the last 30 days get messages.
        KnownOnly = "known-only",
    }
}

/// A manual entry of the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub action: EntryAction,
    pub until: Timestamp,
}

impl Entry {
    /// That of a number on the safe list, in all services: its type does not matter either, and it counts as known.
    pub const SAFE: Self = Self { action: EntryAction::Allow, until: Timestamp::MAX };
}

/// All manual entries, perhaps some that have ended.
#[derive(Debug, Clone, Default)]
pub struct Entries(BTreeMap<Key, Entry>);

impl Entries {
    pub fn get(&self, key: &Key, now: Timestamp) -> Option<Entry> {
        self.0.get(key).copied().filter(|entry| now < entry.until)
    }

    /// Whether a number is on the safe list.
    pub fn is_safe(&self, number: PhoneNumber) -> bool {
        self.0.get(&Key::new(None, Dimension::Number(number))) == Some(&Entry::SAFE)
    }

    pub fn list(&self, now: Timestamp) -> impl Iterator<Item = (Key, Entry)> {
        self.0.iter().map(|(key, entry)| (*key, *entry)).filter(move |(_, entry)| now < entry.until)
    }

    /// Adds or replaces an entry, or removes it. The caller has stored it.
    pub fn set(&mut self, key: Key, entry: Option<Entry>) {
        match entry {
            Some(entry) => drop(self.0.insert(key, entry)),
            None => drop(self.0.remove(&key)),
        }
    }

    /// Drops those that have ended.
    ///
    /// # Errors
    /// How many there are, if there is no room for one under this key.
    pub fn make_room(&mut self, key: &Key, now: Timestamp) -> Result<(), usize> {
        self.0.retain(|_, old| now < old.until);
        if self.0.contains_key(key) {
            return Ok(());
        }
        let own = self.0.keys().filter(|of| of.service == key.service).count();
        let of_services = self.0.keys().filter(|of| of.service.is_some()).count();
        // No service holds more than half of theirs.
        let is_full = match key.service {
            None => own >= MOST_FOR_ALL,
            Some(_) => own >= MOST_ENTRIES / 2 || of_services >= MOST_ENTRIES,
        };
        if is_full { Err(own) } else { Ok(()) }
    }
}
