//! The record of a number, its key, and the limits on such records.

use std::sync::Arc;

use crate::domain::{NumberKey, Timestamp};
use crate::engine::{NumberState, SlotHash};
use crate::shard::{Capacity, Id, LimitedTable, Record, Shards};

/// The limit on stored test numbers.
const TEST_NUMBERS: usize = 10_000;

/// The limits on the stored numbers of all shards, and on test numbers: these cost no message and take no room of the
/// others.
pub fn capacities(shards: &Shards, limit: usize) -> [Arc<Capacity>; 2] {
    fn is_test(id: &Id) -> bool {
        NumberKey::from_id(id).is_some_and(|key| key.is_test)
    }
    let (table, most) = (LimitedTable::TestNumbers, limit.min(TEST_NUMBERS));
    let numbers = Capacity::following::<NumberState>(shards, LimitedTable::Numbers, limit, |id| !is_test(id));
    [numbers, Capacity::following::<NumberState>(shards, table, most, is_test)]
}

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
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::CodeLength;
    use crate::engine::{FailureCount, OpenNumber, Salt, SendOptions, Verification};
    use crate::shard::{INLINE, encode};

    /// Plan with 100 bytes for such a number: the entry has 72, and its chunk has room.
    #[test]
    fn a_number_with_a_code_of_the_compatible_routes_is_in_its_entry() {
        let century = Timestamp::from_millis(4_000_000_000_000);
        let options = SendOptions { life: Duration::ZERO, length: CodeLength::new(10).expect("a length") };
        let beginning = Verification::beginning(Salt([7; 16]), &options, century);
        let verification = Some(Verification { sending: u8::MAX, sent: true, postponed: true, ..beginning });
        let open = OpenNumber { failures: FailureCount::NONE, keep_until: century, verification };
        assert!(encode(&NumberState::Open(open)).len() <= INLINE);
    }
}
