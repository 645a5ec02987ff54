//! Sets of slots.

/// Which of the 256 slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Slots([u64; 4]);

impl Slots {
    /// All of them.
    pub const ALL: Self = Self([u64::MAX; 4]);
    /// None of them.
    pub const NONE: Self = Self([0; 4]);

    /// Whether the slot is in the set.
    pub const fn contains(&self, slot: u8) -> bool {
        self.0[slot as usize / 64] >> (slot % 64) & 1 == 1
    }

    /// Adds a slot.
    pub const fn insert(&mut self, slot: u8) {
        self.0[slot as usize / 64] |= 1 << (slot % 64);
    }

    /// Takes a slot out.
    pub const fn remove(&mut self, slot: u8) {
        self.0[slot as usize / 64] &= !(1 << (slot % 64));
    }

    /// The slots in the set, in order.
    pub fn iter(&self) -> impl Iterator<Item = u8> + use<> {
        let set = *self;
        (0..=u8::MAX).filter(move |slot| set.contains(*slot))
    }
}

impl FromIterator<u8> for Slots {
    fn from_iter<I: IntoIterator<Item = u8>>(slots: I) -> Self {
        let mut set = Self::NONE;
        slots.into_iter().for_each(|slot| set.insert(slot));
        set
    }
}
