//! Numbers that were refused messages: by the guard, a budget, a rate limit, a lockout or a limit of their verification.
//! A restart forgets none of them; a crash, those of its last moments.

use std::time::Duration;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::Rule;
use crate::domain::{PhoneNumber, ServiceId, Timestamp};
use crate::shard::{LogRecord, Record};

/// Numbers that are kept. Of more, those that were refused longest ago go.
pub const MOST: usize = 50_000;

/// How long a number is kept after its last refusal.
const KEPT_FOR: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// Numbers that wait to be written. A flood of requests for further ones costs the disk nothing.
const MOST_WAITING: usize = 10_000;

/// Refusals of messages to a number by one rule, on the day of the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusals {
    pub rule: Rule,
    pub messages: u32,
    pub last: Timestamp,
    /// When the next message passes the rule, as far as it says.
    pub until: Option<Timestamp>,
}

/// A number of a service, and what refused it messages, that of the last one at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedNumber {
    pub service: ServiceId,
    pub number: PhoneNumber,
    pub by: Vec<Refusals>,
}

impl RefusedNumber {
    pub fn last(&self) -> Option<Refusals> {
        self.by.last().copied()
    }

    fn add(&mut self, newer: Refusals) {
        let day = |at: Timestamp| at.as_millis() / 86_400_000;
        let before = self.by.iter().position(|known| known.rule == newer.rule).map(|at| self.by.remove(at));
        let today = before.filter(|before| day(before.last) == day(newer.last));
        let messages = today.map_or(0, |today| today.messages).saturating_add(newer.messages);
        self.by.push(Refusals { messages, ..newer });
    }

    /// With what was refused since.
    #[must_use]
    pub fn and(mut self, newer: Self) -> Self {
        newer.by.into_iter().for_each(|newer| self.add(newer));
        self
    }
}

impl Record for RefusedNumber {
    const KIND: u8 = 18;
    const PLURAL: &'static str = "refused numbers";

    fn expires(&self) -> Timestamp {
        self.at().plus(KEPT_FOR)
    }
}

impl LogRecord for RefusedNumber {
    fn at(&self) -> Timestamp {
        self.last().map_or(Timestamp::EPOCH, |last| last.last)
    }
}

/// Refusals that are not in the records yet.
#[derive(Default)]
pub struct Waiting {
    numbers: HashMap<(ServiceId, PhoneNumber), RefusedNumber>,
}

impl Waiting {
    pub fn add(&mut self, service: ServiceId, number: PhoneNumber, refusals: Refusals) {
        let has_room = self.numbers.len() < MOST_WAITING;
        match self.numbers.get_mut(&(service, number)) {
            Some(known) => known.add(refusals),
            None if has_room => self.put(RefusedNumber { service, number, by: vec![refusals] }),
            None => {}
        }
    }

    /// Waits again, after a failed write.
    pub fn put(&mut self, number: RefusedNumber) {
        let name = (number.service, number.number);
        let number = match self.numbers.remove(&name) {
            Some(newer) => number.and(newer),
            None => number,
        };
        self.numbers.insert(name, number);
    }

    pub fn of(&self, service: ServiceId, number: PhoneNumber) -> Option<&RefusedNumber> {
        self.numbers.get(&(service, number))
    }

    pub fn take(&mut self, most: usize) -> Vec<RefusedNumber> {
        let names: Vec<_> = self.numbers.keys().take(most).copied().collect();
        names.iter().filter_map(|name| self.numbers.remove(name)).collect()
    }

    pub fn forget(&mut self, service: ServiceId, number: PhoneNumber) -> bool {
        self.numbers.remove(&(service, number)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_a_rule_are_counted_for_a_day_and_the_last_one_is_last() {
        let number = PhoneNumber::parse("+992900000123", None).expect("a number");
        let noon = Timestamp::from_millis(1_800_014_400_000);
        let (mut waiting, service) = (Waiting::default(), ServiceId::DEFAULT);
        let mut refuse = |rule, hours: u64| {
            let last = noon.plus(Duration::from_secs(hours * 3_600));
            waiting.add(service, number, Refusals { rule, messages: 1, last, until: None });
            let known = waiting.of(service, number).expect("a number");
            known.by.iter().map(|by| (by.rule, by.messages)).collect::<Vec<_>>()
        };
        assert_eq!(refuse(Rule::Prefix, 0), [(Rule::Prefix, 1)]);
        assert_eq!(refuse(Rule::Lockout, 1), [(Rule::Prefix, 1), (Rule::Lockout, 1)]);
        assert_eq!(refuse(Rule::Prefix, 2), [(Rule::Lockout, 1), (Rule::Prefix, 2)]);
        assert_eq!(refuse(Rule::Prefix, 24), [(Rule::Lockout, 1), (Rule::Prefix, 1)]);
        let taken = waiting.take(1);
        waiting.add(service, number, Refusals { rule: Rule::Lockout, messages: 2, last: noon, until: None });
        for number in taken {
            waiting.put(number);
        }
        assert_eq!(
            waiting.of(service, number).and_then(RefusedNumber::last).map(|last| last.messages),
            Some(3)
        );
        assert!(waiting.forget(service, number) && waiting.take(9).is_empty());
    }
}
