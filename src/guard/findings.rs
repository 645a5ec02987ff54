//! What the guard refused, or would have refused, in this hour and the one before. A stop forgets it.

use std::collections::BTreeMap;

use super::{Dimension, Effect, Finding, Key, Rule};
use crate::domain::{PhoneNumber, ServiceId, Timestamp};

/// Subjects of a service that are counted apart in an hour, for each rule. The others are counted together: a flood that
/// meets one rule in a service hides nothing of another one.
const MOST_SUBJECTS: usize = 32;

/// The messages that broke a rule, and the last finding about them.
type Rows = BTreeMap<(ServiceId, Rule, Effect, Key), (u64, Finding)>;

#[derive(Default)]
pub struct Findings {
    /// Hours since the epoch.
    hour: u64,
    rows: Rows,
    before: Rows,
}

impl Findings {
    fn turn(&mut self, now: Timestamp) {
        let hour = now.as_millis() / 3_600_000;
        if hour != self.hour {
            let rows = std::mem::take(&mut self.rows);
            self.before = if hour == self.hour + 1 { rows } else { Rows::new() };
            self.hour = hour;
        }
    }

    /// Counts a message. Returns whether it is the first one about its subject in the hour.
    pub fn note(&mut self, service: ServiceId, finding: &Finding, now: Timestamp) -> bool {
        self.turn(now);
        let Finding { rule, key, effect, .. } = *finding;
        let mut name = (service, rule, effect, key);
        let is_new = !self.rows.contains_key(&name);
        let lowest = (service, rule, effect, Key::new(None, Dimension::Total));
        let alike =
            self.rows.range(lowest..).take_while(|(of, _)| (of.0, of.1, of.2) == (service, rule, effect));
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
        self.turn(now);
        let rows = self.rows.iter().chain(&self.before);
        rows.map(|((service, ..), (messages, finding))| (*service, *messages, *finding))
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
