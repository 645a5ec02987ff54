//! The record of a number, and its key.

use crate::domain::{NumberKey, Timestamp};
use crate::engine::{NumberState, SlotHash, merge_pessimistic};
use crate::shard::{Id, Record};

/// A fresh number has no record.
impl Record for NumberState {
    const KIND: u8 = 1;
    const PLURAL: &'static str = "numbers";

    /// A test number has the slot of its number.
    fn slot(&self, id: &Id, slots: &SlotHash) -> u8 {
        NumberKey::from_id(id).map_or_else(|| slots.of(*id), |key| slots.of_number(key.service, key.number))
    }

    fn expires(&self) -> Timestamp {
        self.ends().unwrap_or(Timestamp::EPOCH)
    }

    fn merge_pessimistic(before: Option<Self>, after: Option<Self>, now: Timestamp) -> Option<Self> {
        let state = |record: Option<Self>| record.unwrap_or(Self::Fresh);
        let merged = merge_pessimistic(state(before), state(after), now);
        (merged != Self::Fresh).then_some(merged)
    }
}
