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

/// Keeps a refusal in the place of the number's earlier one.
pub fn add(to: &mut HashMap<(ServiceId, PhoneNumber), RefusedNumber>, refused: RefusedNumber) {
    if to.len() >= MOST {
        let mut times: Vec<_> = to.values().map(|refused| refused.last).collect();
        let middle = *times.select_nth_unstable(MOST / 2).1;
        to.retain(|_, refused| refused.last > middle);
    }
    to.insert((refused.service, refused.number), refused);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_flood_of_numbers_leaves_the_newest() {
        let number = |n| PhoneNumber::from_u64(992_900_000_123 + n).expect("a number");
        let (mut refused, service) = (HashMap::new(), ServiceId::DEFAULT);
        for n in 0..50_000 {
            let last = Timestamp::EPOCH.plus(Duration::from_millis(n));
            let refusal = RefusedNumber { service, number: number(n), rule: Rule::Prefix, last, until: None };
            add(&mut refused, refusal);
        }
        assert!(refused.len() <= MOST && refused.contains_key(&(service, number(49_999))));
        assert!(refused.values().all(|refused| refused.number >= number(30_000)));
    }
}
