//! What was refused, in memory only: numbers, with what refused them messages, and rules of the guard, with what they
//! refused or would have in this hour and the one before.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use onceward_core::guard::{Dimension, Finding, Key, Rule};

use crate::domain::{PhoneNumber, ServiceId, Timestamp};

/// Numbers that are kept. Of more, the half that was refused longest ago goes.
const MOST: usize = 20_000;

/// Refusals of messages to a number by one rule, on the day of the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusals {
    pub rule: Rule,
    pub messages: u32,
    pub last: Timestamp,
    /// When the next message passes the rule, as far as it says.
    pub until: Option<Timestamp>,
}

/// A number of a service, and what refused it messages, that of the last one at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedNumber {
    pub service: ServiceId,
    pub number: PhoneNumber,
    pub by: Vec<Refusals>,
}

impl RefusedNumber {
    pub fn last(&self) -> Option<Refusals> {
        self.by.last().copied()
    }
}

/// Subjects of a service that are counted apart in an hour, for each rule. The others are counted together: a flood that
/// meets one rule in a service hides nothing of another one.
const MOST_SUBJECTS: usize = 32;

/// The messages of an hour that broke a rule, and the last finding about them.
struct Broken {
    hour: u64,
    messages: u64,
    finding: Finding,
}

#[derive(Default)]
pub struct Refused {
    numbers: HashMap<(ServiceId, PhoneNumber), Vec<Refusals>>,
    rules: BTreeMap<(ServiceId, Rule, bool, Key), Broken>,
}

const fn hour(at: Timestamp) -> u64 {
    at.as_millis() / 3_600_000
}

fn last(by: &[Refusals]) -> Timestamp {
    by.last().map_or(Timestamp::EPOCH, |refusals| refusals.last)
}

impl Refused {
    /// A message to a number was refused.
    pub fn add(&mut self, service: ServiceId, number: PhoneNumber, newer: Refusals) {
        let day = |at: Timestamp| hour(at) / 24;
        if self.numbers.len() >= MOST {
            let mut times: Vec<_> = self.numbers.values().map(|by| last(by)).collect();
            let middle = *times.select_nth_unstable(MOST / 2).1;
            self.numbers.retain(|_, by| last(by) > middle);
        }
        let by = self.numbers.entry((service, number)).or_default();
        let before = by.iter().position(|known| known.rule == newer.rule).map(|at| by.remove(at));
        let today = before.filter(|before| day(before.last) == day(newer.last));
        let messages = today.map_or(0, |today| today.messages).saturating_add(newer.messages);
        by.push(Refusals { messages, ..newer });
    }

    pub fn of(&self, service: ServiceId, number: PhoneNumber) -> Option<RefusedNumber> {
        let by = self.numbers.get(&(service, number))?.clone();
        Some(RefusedNumber { service, number, by })
    }

    /// The services that have refused a number.
    pub fn services(&self) -> BTreeSet<ServiceId> {
        self.numbers.keys().map(|(service, _)| *service).collect()
    }

    /// The newest first.
    pub fn numbers(&self) -> Vec<RefusedNumber> {
        let numbers = self.numbers.iter();
        let mut numbers: Vec<_> = numbers
            .map(|(&(service, number), by)| RefusedNumber { service, number, by: by.clone() })
            .collect();
        numbers.sort_by_key(|refused| std::cmp::Reverse(last(&refused.by)));
        numbers
    }

    /// Counts a message that broke a rule. Returns whether it is the first one about its subject in the hour.
    pub fn count(&mut self, service: ServiceId, finding: &Finding, now: Timestamp) -> bool {
        let (hour, Finding { rule, key, is_refused, .. }) = (hour(now), *finding);
        let mut name = (service, rule, is_refused, key);
        let is_new = self.rules.get(&name).is_none_or(|broken| broken.hour < hour);
        if is_new {
            self.rules.retain(|_, broken| broken.hour + 1 >= hour);
        }
        let lowest = (service, rule, is_refused, Key::new(None, Dimension::Total));
        let alike = self.rules.range(lowest..);
        let alike = alike.take_while(|(of, _)| (of.0, of.1, of.2) == (service, rule, is_refused));
        let has_room = !is_new || alike.filter(|(_, broken)| broken.hour == hour).count() < MOST_SUBJECTS;
        if !has_room {
            name.3.dimension = Dimension::Total;
        }
        let finding = Finding { key: name.3, ..*finding };
        let broken = self.rules.entry(name).or_insert(Broken { hour, messages: 0, finding });
        let messages = if broken.hour < hour { 0 } else { broken.messages };
        *broken = Broken { hour, messages: messages + 1, finding };
        is_new && has_room
    }

    /// The services of messages in this hour and the one before, their number, and the last finding about them.
    pub fn rules(&self, now: Timestamp) -> impl Iterator<Item = (ServiceId, u64, Finding)> {
        let recent = self.rules.iter().filter(move |(_, broken)| broken.hour + 1 >= hour(now));
        recent.map(|((service, ..), broken)| (*service, broken.messages, broken.finding))
    }

    /// Forgets a number of a service. Returns whether there was something about it.
    pub fn forget(&mut self, service: ServiceId, number: PhoneNumber) -> bool {
        let before = self.rules.len();
        let is_other = |of: ServiceId, key: &Key| (of, key.dimension) != (service, Dimension::Number(number));
        self.rules.retain(|(of, _, _, key), _| is_other(*of, key));
        self.numbers.remove(&(service, number)).is_some() || self.rules.len() < before
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOON: Timestamp = Timestamp::from_millis(1_800_014_400_000);

    fn number(n: u64) -> PhoneNumber {
        PhoneNumber::from_u64(992_900_000_123 + n).expect("a number")
    }

    #[test]
    fn refusals_of_a_rule_are_counted_for_a_day_and_the_last_one_is_last() {
        let (mut refused, service) = (Refused::default(), ServiceId::DEFAULT);
        let mut refuse = |rule, hours: u64| {
            let last = NOON.plus(Duration::from_secs(hours * 3_600));
            refused.add(service, number(0), Refusals { rule, messages: 1, last, until: None });
            let known = refused.of(service, number(0)).expect("a number");
            known.by.iter().map(|by| (by.rule, by.messages)).collect::<Vec<_>>()
        };
        assert_eq!(refuse(Rule::Prefix, 0), [(Rule::Prefix, 1)]);
        assert_eq!(refuse(Rule::Lockout, 1), [(Rule::Prefix, 1), (Rule::Lockout, 1)]);
        assert_eq!(refuse(Rule::Prefix, 2), [(Rule::Lockout, 1), (Rule::Prefix, 2)]);
        assert_eq!(refuse(Rule::Prefix, 24), [(Rule::Lockout, 1), (Rule::Prefix, 1)]);
        assert!(refused.forget(service, number(0)) && refused.numbers().is_empty());
    }

    #[test]
    fn a_flood_of_numbers_leaves_the_newest() {
        let mut refused = Refused::default();
        for n in 0..50_000 {
            let last = NOON.plus(Duration::from_millis(n));
            let refusals = Refusals { rule: Rule::Prefix, messages: 1, last, until: None };
            refused.add(ServiceId::DEFAULT, number(n), refusals);
        }
        let kept = refused.numbers();
        assert!(kept.len() <= MOST && kept[0].number == number(49_999));
        assert!(kept.iter().all(|refused| refused.number >= number(30_000)));
    }

    #[test]
    fn a_finding_is_first_once_an_hour_and_listed_for_two() {
        let key = Key::new(Some(ServiceId::DEFAULT), Dimension::Number(number(0)));
        let finding = Finding { rule: Rule::Number, key, is_refused: true, figures: None, until: None };
        let mut refused = Refused::default();
        let after = |minutes: u64| NOON.plus(Duration::from_secs(60 * minutes));
        let mut count = |minutes| refused.count(ServiceId::DEFAULT, &finding, after(minutes));
        assert_eq!([count(0), count(59), count(60)], [true, false, true]);
        let listed = [60, 179, 180].map(|minutes| refused.rules(after(minutes)).count());
        assert_eq!(listed, [1, 1, 0]);
        assert!(!refused.forget(ServiceId::new(7), number(0)));
        assert!(refused.forget(ServiceId::DEFAULT, number(0)));
        assert_eq!(refused.rules(after(60)).count(), 0);
    }
}
