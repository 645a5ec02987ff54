//! The record of a number, and its key.

use crate::domain::{PhoneNumber, ServiceId, Timestamp, record_id, record_id_parts};
use crate::engine::{NumberState, merge_pessimistic};
use crate::shard::{Id, Record};

/// A number in a service: the key of a [`NumberState`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NumberKey {
    /// The namespace.
    pub service: ServiceId,
    /// The recipient of the codes.
    pub number: PhoneNumber,
}

impl NumberKey {
    /// The service in four bytes and the digits in eight, big-endian.
    pub fn id(&self) -> Id {
        record_id(self.service, self.number.as_u64())
    }

    /// Reverses [`NumberKey::id`]. `None` if the digits are not a number.
    pub fn from_id(id: &Id) -> Option<Self> {
        let (service, number) = record_id_parts(*id);
        Some(Self { service, number: PhoneNumber::from_u64(number)? })
    }
}

/// A fresh number has no record.
impl Record for NumberState {
    const KIND: u8 = 1;
    const PLURAL: &'static str = "numbers";

    fn expires(&self) -> Timestamp {
        self.ends().unwrap_or(Timestamp::EPOCH)
    }

    fn merge_pessimistic(before: Option<Self>, after: Option<Self>, now: Timestamp) -> Option<Self> {
        let state = |record: Option<Self>| record.unwrap_or(Self::Fresh);
        let merged = merge_pessimistic(state(before), state(after), now);
        (merged != Self::Fresh).then_some(merged)
    }
}
