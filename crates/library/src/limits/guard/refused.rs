//! What was refused, in memory only.

use std::collections::HashMap;

use onceward_core::guard::Rule;

use crate::domain::{PhoneNumber, ServiceId, Timestamp};

/// Numbers that are kept. Of more, the half that was refused longest ago goes.
const MOST: usize = 20_000;

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
pub struct Refused(HashMap<(ServiceId, PhoneNumber), RefusedNumber>);

impl Refused {
    pub fn add(&mut self, refused: RefusedNumber) {
        if self.0.len() >= MOST {
            let mut times: Vec<_> = self.0.values().map(|refused| refused.last).collect();
            let middle = *times.select_nth_unstable(MOST / 2).1;
            self.0.retain(|_, refused| refused.last > middle);
        }
        self.0.insert((refused.service, refused.number), refused);
    }

    pub fn of(&self, service: ServiceId, number: PhoneNumber) -> Option<RefusedNumber> {
        self.0.get(&(service, number)).copied()
    }

    pub fn numbers(&self) -> Vec<RefusedNumber> {
        self.0.values().copied().collect()
    }

    /// Forgets a number of a service. Returns whether there was something about it.
    pub fn forget(&mut self, service: ServiceId, number: PhoneNumber) -> bool {
        self.0.remove(&(service, number)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_flood_of_numbers_leaves_the_newest() {
        let number = |n| PhoneNumber::from_u64(992_900_000_123 + n).expect("a number");
        let (mut refused, service) = (Refused::default(), ServiceId::DEFAULT);
        for n in 0..50_000 {
            let last = Timestamp::EPOCH.plus(Duration::from_millis(n));
            let refusal = RefusedNumber { service, number: number(n), rule: Rule::Prefix, last, until: None };
            refused.add(refusal);
        }
        let kept = refused.numbers();
        assert!(kept.len() <= MOST && refused.of(service, number(49_999)).is_some());
        assert!(kept.iter().all(|refused| refused.number >= number(30_000)));
    }
}
