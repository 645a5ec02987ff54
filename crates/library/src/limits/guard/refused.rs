//! What was refused in the last day: in memory, and written with the guard's rows.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use onceward_core::guard::{ClientNet, Rule};
use serde::{Deserialize, Serialize};

use crate::domain::{PhoneNumber, ServiceId, Timestamp};
use crate::shard::Record;

/// Numbers that are kept. Of more, the half that was refused longest ago goes; its records stay until they expire.
const MOST: usize = 20_000;

/// How long a refusal is kept.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// The last refusal of a message to a number of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedNumber {
    pub service: ServiceId,
    pub number: PhoneNumber,
    pub rule: Rule,
    pub last: Timestamp,
    /// When the next message passes the rule, as far as it says.
    pub until: Option<Timestamp>,
    /// The network of the client that asked.
    pub client: Option<ClientNet>,
    /// Refusals, each at most a day after the one before it.
    pub times: u32,
}

impl Record for RefusedNumber {
    const KIND: u8 = 17;
    const PLURAL: &'static str = "refused numbers";

    fn expires(&self) -> Timestamp {
        self.last.plus(KEPT)
    }
}

type Key = (ServiceId, PhoneNumber);

/// The refused numbers, and those whose record is not as they are.
#[derive(Default)]
pub struct RefusedNumbers {
    numbers: HashMap<Key, RefusedNumber>,
    changed: BTreeSet<Key>,
}

impl RefusedNumbers {
    pub fn get(&self, service: ServiceId, number: PhoneNumber) -> Option<RefusedNumber> {
        self.numbers.get(&(service, number)).copied()
    }

    /// Those that are kept, in any order.
    pub fn live(&self, now: Timestamp) -> Vec<RefusedNumber> {
        self.numbers.values().filter(|refused| now < refused.expires()).copied().collect()
    }

    /// Keeps a refusal in the place of the number's earlier one, and counts both.
    pub fn add(&mut self, refused: RefusedNumber) {
        let RefusedNumber { service, number, last, times, .. } = refused;
        let earlier = self.get(service, number).filter(|earlier| last < earlier.expires());
        let times = earlier.map_or(0, |earlier| earlier.times).saturating_add(times);
        self.restore(RefusedNumber { times, ..refused });
        self.changed.insert((service, number));
    }

    /// Takes a stored one, which is not to be written.
    pub fn restore(&mut self, refused: RefusedNumber) {
        if self.numbers.len() >= MOST {
            let mut times: Vec<_> = self.numbers.values().map(|refused| refused.last).collect();
            let middle = *times.select_nth_unstable(MOST / 2).1;
            self.numbers.retain(|_, refused| refused.last > middle);
            self.changed.retain(|key| self.numbers.contains_key(key));
        }
        self.numbers.insert((refused.service, refused.number), refused);
    }

    /// Forgets the number. Returns whether it was kept.
    pub fn remove(&mut self, service: ServiceId, number: PhoneNumber) -> bool {
        let is_known = self.numbers.remove(&(service, number)).is_some();
        if is_known {
            self.changed.insert((service, number));
        }
        is_known
    }

    pub fn mark_changed(&mut self, keys: impl IntoIterator<Item = Key>) {
        self.changed.extend(keys);
    }

    pub fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// At most `most` changed ones to write; `None` removes the record.
    pub fn take_changed(&mut self, most: usize) -> Vec<(Key, Option<RefusedNumber>)> {
        let taken = std::iter::from_fn(|| self.changed.pop_first()).take(most);
        taken.map(|key| (key, self.numbers.get(&key).copied())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_numbers_leaves_the_newest() {
        let number = |n| PhoneNumber::from_u64(992_900_000_123 + n).expect("a number");
        let (mut refused, service) = (RefusedNumbers::default(), ServiceId::DEFAULT);
        for n in 0..50_000 {
            let last = Timestamp::EPOCH.plus(Duration::from_millis(n));
            let (rule, until, client) = (Rule::Prefix, None, None);
            refused.add(RefusedNumber { service, number: number(n), rule, last, until, client, times: 1 });
        }
        let live = refused.live(Timestamp::EPOCH);
        assert!(live.len() <= MOST && refused.get(service, number(49_999)).is_some());
        assert!(live.iter().all(|refused| refused.number >= number(30_000)));
        assert!(refused.changed.len() <= MOST);
        assert_eq!(refused.live(Timestamp::EPOCH.plus(2 * KEPT)), []);
    }
}
