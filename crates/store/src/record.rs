//! Records as a store sees them: bytes under a key.

use std::fmt;

use bytes::Bytes;
use onceward_core::domain::Timestamp;

/// The longest record, in bytes.
pub const LONGEST_RECORD: usize = 1024 * 1024;

/// A part of all keys. One owner has all records of a slot.
pub type Slot = u8;

/// Names one record.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub slot: Slot,
    /// The kind of the record. The owners define the numbers.
    pub kind: u8,
    /// The owner's name for it, for example a service and a number, packed.
    pub id: [u8; 12],
}

impl fmt::Debug for Key {
    /// Leaves out the id, which is personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, {}, ***)", self.slot, self.kind)
    }
}

/// A set of slots.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Slots([u128; 2]);

impl Slots {
    /// Every slot.
    pub const fn all() -> Self {
        Self([u128::MAX; 2])
    }

    pub const fn contains(&self, slot: Slot) -> bool {
        self.0[(slot >> 7) as usize] >> (slot & 127) & 1 == 1
    }

    /// Adds all slots of `other`.
    pub const fn extend(&mut self, other: Self) {
        self.0[0] |= other.0[0];
        self.0[1] |= other.0[1];
    }

    pub const fn insert(&mut self, slot: Slot) {
        self.0[(slot >> 7) as usize] |= 1 << (slot & 127);
    }

    pub fn iter(&self) -> impl Iterator<Item = Slot> + use<> {
        let slots = *self;
        (0..=Slot::MAX).filter(move |slot| slots.contains(*slot))
    }
}

impl FromIterator<Slot> for Slots {
    fn from_iter<I: IntoIterator<Item = Slot>>(slots: I) -> Self {
        let mut all = Self::default();
        slots.into_iter().for_each(|slot| all.insert(slot));
        all
    }
}

impl fmt::Debug for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// One record to write or to remove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    pub key: Key,
    /// The whole new record; `None` removes the key.
    pub put: Option<Bytes>,
    /// Expiry time. The store uses it only to free space.
    pub expires: Timestamp,
}

/// A record of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopiedRecord {
    pub key: Key,
    /// From then on it no longer matters.
    pub expires: Timestamp,
    /// The record as it is stored.
    pub record: Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_slots_has_what_was_inserted() {
        let slots: Slots = [0, 1, 127, 128, 255].into_iter().collect();
        assert_eq!(slots.iter().collect::<Vec<_>>(), [0, 1, 127, 128, 255]);
        assert!(!slots.contains(2) && !slots.contains(129));
        assert_eq!(Slots::all().iter().count(), 256);
        assert_eq!(Slots::default().iter().count(), 0);
    }

    #[test]
    fn a_key_is_printed_without_its_id() {
        let key = Key { slot: 7, kind: 3, id: *b"491711234567" };
        assert_eq!(format!("{key:?}"), "Key(7, 3, ***)");
    }
}
