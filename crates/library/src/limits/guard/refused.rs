//! What was refused, in memory only.

use std::collections::{BTreeMap, HashMap, HashSet};

use onceward_core::guard::{Dimension, Finding, Rule};

use crate::domain::{PhoneNumber, ServiceId, Timestamp};

/// Numbers that are kept. Of more, the half that was refused longest ago goes.
const MOST: usize = 20_000;

/// Subjects of a rule of a service that are told in an hour.
const MOST_TOLD: usize = 32;

/// The last refusal of a message to a number of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusedNumber {
    pub service: ServiceId,
    pub number: PhoneNumber,
    pub rule: Rule,
    pub last: Timestamp,
    /// When the next message passes the rule, as far as it says.
    pub until: Option<Timestamp>,
}

#[derive(Default)]
pub struct Refused {
    numbers: HashMap<(ServiceId, PhoneNumber), RefusedNumber>,
    /// An hour since the epoch, and the empty buckets that were told in it.
    told: BTreeMap<(ServiceId, Rule), (u64, HashSet<Dimension>)>,
}

impl Refused {
    pub fn add(&mut self, refused: RefusedNumber) {
        if self.numbers.len() >= MOST {
            let mut times: Vec<_> = self.numbers.values().map(|refused| refused.last).collect();
            let middle = *times.select_nth_unstable(MOST / 2).1;
            self.numbers.retain(|_, refused| refused.last > middle);
        }
        self.numbers.insert((refused.service, refused.number), refused);
    }

    pub fn of(&self, service: ServiceId, number: PhoneNumber) -> Option<RefusedNumber> {
        self.numbers.get(&(service, number)).copied()
    }

    pub fn numbers(&self) -> Vec<RefusedNumber> {
        self.numbers.values().copied().collect()
    }

    /// Whether the operator is to be told of an empty bucket.
    pub fn is_first(&mut self, service: ServiceId, finding: &Finding, now: Timestamp) -> bool {
        let hour = now.as_millis() / 3_600_000;
        let told = self.told.entry((service, finding.rule)).or_default();
        if told.0 != hour {
            *told = (hour, HashSet::new());
        }
        told.1.len() < MOST_TOLD && told.1.insert(finding.key.dimension)
    }

    /// Forgets a number of a service. Returns whether there was something about it.
    pub fn forget(&mut self, service: ServiceId, number: PhoneNumber) -> bool {
        let told = self.told.get_mut(&(service, Rule::Number));
        let was_told = told.is_some_and(|(_, told)| told.remove(&Dimension::Number(number)));
        self.numbers.remove(&(service, number)).is_some() || was_told
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use onceward_core::guard::Key;

    use super::*;

    const NOON: Timestamp = Timestamp::from_millis(1_800_014_400_000);

    fn number(n: u64) -> PhoneNumber {
        PhoneNumber::from_u64(992_900_000_123 + n).expect("a number")
    }

    #[test]
    fn a_flood_of_numbers_leaves_the_newest() {
        let mut refused = Refused::default();
        for n in 0..50_000 {
            let (last, service, number) =
                (NOON.plus(Duration::from_millis(n)), ServiceId::DEFAULT, number(n));
            refused.add(RefusedNumber { service, number, rule: Rule::Prefix, last, until: None });
        }
        let kept = refused.numbers();
        assert!(kept.len() <= MOST && refused.of(ServiceId::DEFAULT, number(49_999)).is_some());
        assert!(kept.iter().all(|refused| refused.number >= number(30_000)));
    }

    #[test]
    fn an_empty_bucket_is_told_once_an_hour() {
        let key = Key::new(Some(ServiceId::DEFAULT), Dimension::Number(number(0)));
        let finding = Finding {
            rule: Rule::Number,
            key,
            is_refused: true,
            figures: None,
            until: None,
            newly_spent: None,
        };
        let mut refused = Refused::default();
        let mut is_first = |minutes: u64| {
            refused.is_first(ServiceId::DEFAULT, &finding, NOON.plus(Duration::from_secs(60 * minutes)))
        };
        assert_eq!([0, 59, 60].map(&mut is_first), [true, false, true]);
        assert!(!refused.forget(ServiceId::new(7), number(0)));
        assert!(refused.forget(ServiceId::DEFAULT, number(0)));
    }
}
