//! Facts that are not in the records yet.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::record::{Counts, Failures, Group, Resolution, Series};
use crate::clock::Clock;
use crate::config::Prices;
use crate::domain::{Channel, GatewayName, ServiceId, Timestamp};
use crate::gateway::ErrorClass;
use crate::log_limit::OncePerSecond;
use crate::metrics::{
    FactConsumer, FailedAttemptFacts, Recipient, SendEnd, SendFacts, VerificationFacts, VerificationStep,
};

/// Facts that are counted before the next interval ends.
const MANY: usize = 8_192;

/// Facts that wait. Further ones are not counted.
const MOST: usize = 65_536;

/// Groups of one service that one bucket tells apart. Further ones are counted together for each channel. A restart
/// begins anew.
pub(super) const MOST_GROUPS: usize = 300;

/// Receives facts. It costs a reading of the clock and a short lock: the country of a number, which costs microseconds,
/// is found later.
pub(super) struct Accumulator {
    clock: Arc<dyn Clock>,
    waiting: Mutex<Vec<Fact>>,
    /// The number of facts since the start.
    facts: AtomicU64,
    /// Notified when many facts wait.
    pub(super) many: Notify,
    uncounted: OncePerSecond,
}

pub(super) struct Fact {
    at: Timestamp,
    recipient: Recipient,
    channel: Channel,
    gateway: Option<GatewayName>,
    event: Event,
}

#[derive(Clone, Copy)]
enum Event {
    Begun,
    Verified,
    Accepted,
    Failed(Failures),
    AttemptFailed(Failures),
}

impl Accumulator {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            waiting: Mutex::default(),
            facts: AtomicU64::new(0),
            many: Notify::new(),
            uncounted: OncePerSecond::default(),
        }
    }

    fn note(&self, recipient: Recipient, channel: Channel, gateway: Option<GatewayName>, event: Event) {
        if recipient.is_test {
            return;
        }
        let at = self.clock.now();
        let mut waiting = self.waiting();
        self.facts.fetch_add(1, Ordering::Relaxed);
        if waiting.len() < MOST {
            waiting.push(Fact { at, recipient, channel, gateway, event });
        } else {
            self.uncounted.note(|count| tracing::warn!(count, "history incomplete; too many facts wait"));
        }
        if waiting.len() == MANY {
            self.many.notify_one();
        }
    }

    pub(super) fn facts(&self) -> u64 {
        self.facts.load(Ordering::Relaxed)
    }

    pub(super) fn len(&self) -> usize {
        self.waiting().len()
    }

    /// Takes at most `most` facts, the newest.
    pub(super) fn take(&self, most: usize) -> Vec<Fact> {
        let mut waiting = self.waiting();
        let rest = waiting.len().saturating_sub(most);
        waiting.split_off(rest)
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Fact>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FactConsumer for Accumulator {
    fn verification(&self, facts: &VerificationFacts) {
        let VerificationFacts { recipient, channel, gateway, step } = *facts;
        match step {
            VerificationStep::Begun => self.note(recipient, channel, gateway, Event::Begun),
            VerificationStep::Approved => self.note(recipient, channel, gateway, Event::Verified),
            VerificationStep::Canceled => {}
        }
    }

    fn send(&self, facts: &SendFacts) {
        let event = match facts.outcome {
            SendEnd::Accepted => Event::Accepted,
            SendEnd::NumberRefused => Event::Failed(Failures { number: 1, ..Failures::default() }),
            SendEnd::Unknown => Event::Failed(Failures { unknown: 1, ..Failures::default() }),
            SendEnd::Failed => Event::Failed(failure(facts.error)),
            SendEnd::Overloaded => Event::Failed(failure(None)),
            // A retry follows, or no gateway was asked.
            SendEnd::Postponed | SendEnd::Obsolete | SendEnd::Test | SendEnd::Locked | SendEnd::Limited => {
                return;
            }
        };
        self.note(facts.recipient, facts.channel, facts.gateway, event);
    }

    fn failed_attempt(&self, facts: &FailedAttemptFacts) {
        let event = Event::AttemptFailed(failure(Some(facts.error)));
        self.note(facts.recipient, facts.channel, Some(facts.gateway), event);
    }
}

fn failure(error: Option<ErrorClass>) -> Failures {
    let none = Failures::default();
    match error {
        Some(ErrorClass::BadNumber | ErrorClass::NotReachableHere | ErrorClass::OptedOut) => {
            Failures { number: 1, ..none }
        }
        Some(ErrorClass::Configuration) => Failures { configuration: 1, ..none },
        Some(ErrorClass::Fraud | ErrorClass::Refused) => Failures { refused: 1, ..none },
        Some(ErrorClass::Retry { .. }) | None => Failures { unavailable: 1, ..none },
        Some(ErrorClass::Ambiguous) => Failures { unknown: 1, ..none },
    }
}

/// Counts on their way to the records.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) counts: HashMap<Series, Counts>,
    /// The groups of each bucket that has not ended.
    groups: HashMap<(Resolution, Timestamp, ServiceId), HashSet<Group>>,
}

impl Pending {
    /// Counts a fact in its bucket of each resolution. Finds the country of the number.
    pub(super) fn add(&mut self, fact: &Fact, prices: &Prices) {
        let Fact { at, recipient, channel, gateway, event } = *fact;
        let group = Group { country: recipient.number.region(), channel, gateway };
        let mut counts = Counts::default();
        match event {
            Event::Begun => counts.begun = 1,
            Event::Verified => counts.verified = 1,
            Event::Accepted => {
                counts.accepted = 1;
                if gateway != Some(GatewayName::Simulator) {
                    counts.cost_micros = prices.of(group.country, channel);
                }
            }
            Event::Failed(failed) => counts.failed = failed,
            Event::AttemptFailed(failed) => counts.failed_attempts = failed,
        }
        for resolution in Resolution::ALL {
            let (start, service) = (resolution.bucket(at), recipient.service);
            let groups = self.groups.entry((resolution, start, service)).or_default();
            let is_told_apart = groups.contains(&group) || groups.len() < MOST_GROUPS;
            let group = if is_told_apart {
                groups.insert(group);
                group
            } else {
                Group { country: None, channel, gateway: None }
            };
            *self.counts.entry(Series { resolution, start, service, group }).or_default() += counts;
        }
    }

    /// Forgets the groups of buckets that have ended.
    pub(super) fn forget_ended(&mut self, now: Timestamp) {
        self.groups.retain(|(resolution, start, _), _| now < start.plus(resolution.length()));
    }
}
