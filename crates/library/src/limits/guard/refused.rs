//! What was refused. Of numbers: by the guard, a budget, a rate limit, a lockout or a limit of their verification; a restart
//! forgets none of them, a crash those of its last moments. Of rules of the guard: what they refused, or would have, in this
//! hour and the one before; a stop forgets it.

use std::collections::BTreeMap;
use std::time::Duration;

use hashbrown::HashMap;
use onceward_core::guard::{Dimension, Finding, Key, Rule};
use serde::{Deserialize, Serialize};

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

/// Subjects of a service that are counted apart in an hour, for each rule. The others are counted together: a flood that
/// meets one rule in a service hides nothing of another one.
const MOST_SUBJECTS: usize = 32;

/// The messages that broke a rule, and the last finding about them.
type Rows = BTreeMap<(ServiceId, Rule, bool, Key), (u64, Finding)>;

#[derive(Default)]
pub struct Findings {
    /// Hours since the epoch.
    hour: u64,
    rows: Rows,
    before: Rows,
}

impl Findings {
    fn start_hour(&mut self, now: Timestamp) {
        let hour = now.as_millis() / 3_600_000;
        if hour != self.hour {
            let rows = std::mem::take(&mut self.rows);
            self.before = if hour == self.hour + 1 { rows } else { Rows::new() };
            self.hour = hour;
        }
    }

    /// Counts a message. Returns whether it is the first one about its subject in the hour.
    pub fn count(&mut self, service: ServiceId, finding: &Finding, now: Timestamp) -> bool {
        self.start_hour(now);
        let Finding { rule, key, is_refused, .. } = *finding;
        let mut name = (service, rule, is_refused, key);
        let is_new = !self.rows.contains_key(&name);
        let lowest = (service, rule, is_refused, Key::new(None, Dimension::Total));
        let alike =
            self.rows.range(lowest..).take_while(|(of, _)| (of.0, of.1, of.2) == (service, rule, is_refused));
        let has_room = !is_new || alike.take(MOST_SUBJECTS).count() < MOST_SUBJECTS;
        if !has_room {
            name.3.dimension = Dimension::Total;
        }
        let (messages, last) = self.rows.entry(name).or_insert((0, *finding));
        *messages += 1;
        *last = Finding { key: name.3, ..*finding };
        is_new && has_room
    }

    /// The services of messages, their number, and the last finding about them.
    pub fn list(&mut self, now: Timestamp) -> impl Iterator<Item = (ServiceId, u64, Finding)> {
        self.start_hour(now);
        let rows = self.rows.iter().chain(&self.before);
        rows.map(|((service, ..), (messages, finding))| (*service, *messages, *finding))
    }

    /// Whether there is something about a number of a service.
    pub fn names(&self, service: ServiceId, number: PhoneNumber) -> bool {
        let mut keys = self.rows.keys().chain(self.before.keys());
        keys.any(|(of, _, _, key)| (*of, key.dimension) == (service, Dimension::Number(number)))
    }

    /// Forgets a number of a service. Returns whether there was something about it.
    pub fn forget(&mut self, service: ServiceId, number: PhoneNumber) -> bool {
        let before = self.rows.len() + self.before.len();
        for rows in [&mut self.rows, &mut self.before] {
            rows.retain(|(of, _, _, key), _| (*of, key.dimension) != (service, Dimension::Number(number)));
        }
        self.rows.len() + self.before.len() < before
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

    #[test]
    fn a_finding_is_first_once_an_hour_and_listed_for_two() {
        let number = PhoneNumber::parse("+992900000123", None).expect("a number");
        let key = Key::new(Some(ServiceId::DEFAULT), Dimension::Number(number));
        let finding = Finding { rule: Rule::Number, key, is_refused: true, figures: None, until: None };
        let (mut findings, start) = (Findings::default(), Timestamp::from_millis(1_699_999_200_000));
        let after = |minutes: u64| start.plus(Duration::from_secs(60 * minutes));
        let mut count = |minutes| findings.count(ServiceId::DEFAULT, &finding, after(minutes));
        assert_eq!([count(0), count(59), count(60)], [true, false, true]);
        let mut listed = |minutes| findings.list(after(minutes)).map(|(_, messages, _)| messages).collect();
        let lists: [Vec<u64>; 4] = [60, 119, 120, 180].map(&mut listed);
        assert_eq!(lists, [vec![1, 2], vec![1, 2], vec![1], vec![]]);
        findings.count(ServiceId::DEFAULT, &finding, after(180));
        assert!(!findings.forget(ServiceId::new(7), number));
        assert!(findings.forget(ServiceId::DEFAULT, number));
        assert_eq!(findings.list(after(180)).count(), 0);
    }
}
