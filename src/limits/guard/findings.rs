//! What the guard refused, or would have refused, in this hour and the one before. A stop forgets it.

use std::collections::BTreeMap;

use super::{Dimension, Finding, Key, Rule};
use crate::domain::{PhoneNumber, ServiceId, Timestamp};

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
    use std::time::Duration;

    use super::*;

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
