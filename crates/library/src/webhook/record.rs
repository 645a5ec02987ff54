//! The records of webhooks: one for each delivery of an event to a webhook, and one for each verification with an expected
//! expiry event.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::request::{AttemptError, Posted};
use super::{About, Detail, Event, EventId, EventType};
use crate::domain::{Channel, PhoneNumber, ServiceId, Sid, Timestamp, record_id, record_id_parts};
use crate::engine::{SlotHash, VerificationName};
use crate::shard::{Id, LogRecord, Record, RecordKey};

/// Retention of a delivery after its end, counted from its event.
const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 3600);

/// Delay between a verification's expiry and its expiry event. A check that came in time is durable by then.
const GRACE: Duration = Duration::from_secs(10);

const ATTEMPTS_KEPT: usize = 24;

/// What is kept for a webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventRecord {
    /// One event on its way to one webhook, under `Seq`.
    Delivery(Box<Delivery>),
    /// A verification with an expected expiry event, under `expected_id`.
    Expected(Box<ExpectedEnd>),
}

impl EventRecord {
    pub(super) fn delivery(&self) -> Option<&Delivery> {
        if let Self::Delivery(delivery) = self { Some(delivery) } else { None }
    }

    pub(super) fn into_delivery(self) -> Option<Box<Delivery>> {
        if let Self::Delivery(delivery) = self { Some(delivery) } else { None }
    }

    pub(super) fn expected(&self) -> Option<&ExpectedEnd> {
        if let Self::Expected(end) = self { Some(end) } else { None }
    }

    /// Its service, if it is about this number.
    pub fn service_about(&self, number: PhoneNumber) -> Option<ServiceId> {
        let (service, to) = match self {
            Self::Delivery(delivery) => (delivery.event.service, delivery.event.about.to),
            Self::Expected(end) => (end.service, end.to),
        };
        (to == number).then_some(service)
    }
}

impl Record for EventRecord {
    const KIND: u8 = 6;
    const PLURAL: &'static str = "webhook events";

    fn slot(&self, id: &Id, _: &SlotHash) -> u8 {
        slot_of(id)
    }

    fn expires(&self) -> Timestamp {
        match self {
            Self::Delivery(delivery) => delivery.expires(),
            Self::Expected(expected) => expected.expires.plus(LIFE + KEPT_FOR),
        }
    }
}

impl LogRecord for EventRecord {
    fn at(&self) -> Timestamp {
        match self {
            Self::Delivery(delivery) => delivery.event.at,
            Self::Expected(end) => end.expires,
        }
    }

    fn is_listed(&self) -> bool {
        self.delivery().is_some()
    }

    fn may_forget(&self) -> bool {
        self.delivery().is_some_and(|delivery| delivery.state != DeliveryState::Pending)
    }
}

/// Identifies a delivery: greater for a later one of the same slot, also across restarts. Half of its record's id.
///
/// From the top: 48 bits of milliseconds, a counter of 7 bits that moves ahead of time when it is full, and the slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) struct Seq(pub u64);

const SLOT_BITS: u32 = 8;
const BELOW_MILLIS: u32 = 15;
/// Set in the ids of expected ends, not in those of deliveries.
const EXPECTED: u64 = 1 << 63;

impl Seq {
    /// The next one of a slot after `last` of the same slot at `now`.
    pub(super) fn next(last: u64, slot: u8, now: Timestamp) -> Self {
        let by_time = now.as_millis() << BELOW_MILLIS & !EXPECTED | u64::from(slot);
        Self(by_time.max(last.saturating_add(1 << SLOT_BITS)))
    }

    pub(super) fn key(self, service: ServiceId) -> RecordKey {
        key_of(record_id(service, self.0))
    }

    /// The name of the delivery with this id; `None` for another record.
    pub(super) fn of(id: &Id) -> Option<Self> {
        let (_, subject) = record_id_parts(*id);
        (subject & EXPECTED == 0).then_some(Self(subject))
    }
}

pub const fn slot_of(id: &Id) -> u8 {
    let [.., slot] = *id;
    slot
}

pub(super) fn expected_id(service: ServiceId, name: VerificationName, slot: u8) -> Id {
    record_id(service, EXPECTED | name.bits() << SLOT_BITS | u64::from(slot))
}

pub(super) const fn key_of(id: Id) -> RecordKey {
    RecordKey { slot: slot_of(&id), kind: EventRecord::KIND, id }
}

/// A verification that emits its expiry event, unless it ends before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedEnd {
    pub service: ServiceId,
    pub verification: Sid,
    pub to: PhoneNumber,
    /// The channel of its last message.
    pub channel: Channel,
    pub expires: Timestamp,
    /// Of the request that began it.
    pub tags: BTreeMap<String, String>,
    /// Its beginning was recorded: a gateway took its first message.
    #[serde(rename = "is_told")]
    pub is_announced: bool,
}

impl ExpectedEnd {
    pub(super) fn due(&self) -> Timestamp {
        self.expires.plus(GRACE)
    }

    pub(super) fn event(&self, kind: EventType, status: &str, at: Timestamp) -> Event {
        let about = About {
            to: self.to,
            channel: self.channel,
            status: status.to_owned(),
            detail: Detail::None,
            locked_until: None,
            tags: self.tags.clone(),
        };
        Event { kind, service: self.service, verification: self.verification, at, about }
    }
}

/// One event for one webhook, with its attempts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    pub id: EventId,
    pub event: Event,
    pub webhook: Sid,
    pub state: DeliveryState,
    /// When it is tried next, unless an earlier event of the verification is still pending.
    pub due: Timestamp,
    /// From when on its attempts count: its event, or the last replay.
    pub since: Timestamp,
    pub tries: u8,
    /// The latest attempts, the oldest first.
    pub attempts: Vec<WebhookAttempt>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    Pending,
    /// The receiver has answered with a status of 200 to 299.
    Delivered,
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookAttempt {
    pub at: Timestamp,
    pub took: Duration,
    pub status: Option<u16>,
    pub error: Option<AttemptError>,
    /// The same in words; after a status, the beginning of the last answer's body.
    pub detail: Option<String>,
}

impl WebhookAttempt {
    /// The status or the error, without the body.
    pub fn said(&self) -> String {
        let status = self.status.map(|status| format!("status {status}"));
        status.or_else(|| self.detail.clone()).unwrap_or_default()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WebhookHealth {
    Up,
    /// With the pause that the receiver asked for.
    Failing(Option<Duration>),
    Gone,
    NotAsked,
    /// Not asked, because the registry does not have it any more.
    Removed,
}

impl Delivery {
    pub(super) fn new(id: EventId, event: Event, webhook: Sid, now: Timestamp) -> Self {
        let state = DeliveryState::Pending;
        Self { id, event, webhook, state, due: now, since: now, tries: 0, attempts: Vec::new() }
    }

    fn expires(&self) -> Timestamp {
        match self.state {
            DeliveryState::Pending => self.since.plus(LIFE + KEPT_FOR),
            DeliveryState::Delivered | DeliveryState::Failed => self.event.at.max(self.since).plus(KEPT_FOR),
        }
    }

    pub(super) fn restart(&mut self, now: Timestamp) {
        (self.state, self.due, self.since, self.tries) = (DeliveryState::Pending, now, now, 0);
    }

    /// Records an attempt that began at `at` and has ended, or could not be made.
    pub(super) fn conclude(
        &mut self,
        at: Timestamp,
        now: Timestamp,
        posted: Posted,
        random: u32,
    ) -> WebhookHealth {
        let (status, error, detail, retry_after) = match posted {
            Posted::Answered { status, retry_after, body } => (Some(status), None, body, retry_after),
            Posted::NotAnswered(error, words) => (None, Some(error), words, None),
        };
        let detail = Some(detail).filter(|detail| !detail.is_empty());
        // Of one delivery one answer is enough to keep.
        self.attempts
            .iter_mut()
            .filter(|before| before.status.is_some())
            .for_each(|before| before.detail = None);
        if self.attempts.len() >= ATTEMPTS_KEPT {
            self.attempts.remove(0);
        }
        self.attempts.push(WebhookAttempt { at, took: now.since(at), status, error, detail });
        let health = match (status, error) {
            (Some(200..=299), _) => WebhookHealth::Up,
            (Some(410), _) => WebhookHealth::Gone,
            (_, Some(AttemptError::Removed)) => WebhookHealth::Removed,
            (_, Some(AttemptError::Disabled | AttemptError::TooOld)) => WebhookHealth::NotAsked,
            _ => WebhookHealth::Failing(retry_after),
        };
        match health {
            WebhookHealth::Up => self.state = DeliveryState::Delivered,
            WebhookHealth::Gone | WebhookHealth::NotAsked | WebhookHealth::Removed => {
                self.state = DeliveryState::Failed;
            }
            WebhookHealth::Failing(retry_after) => {
                self.tries = self.tries.saturating_add(1);
                match next_attempt(now, self.since, self.tries, retry_after, random) {
                    Some(due) => self.due = due,
                    None => self.state = DeliveryState::Failed,
                }
            }
        }
        health
    }
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// The waits after each failed attempt, in seconds: about three days in all, as Standard Webhooks recommends.
const WAITS: [u64; 10] =
    [5, 30, 2 * MINUTE, 10 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, 24 * HOUR, 24 * HOUR];

const RETRY_AFTER_MAX: Duration = Duration::from_secs(6 * HOUR);

/// Lifetime of a delivery, from its event or its last replay.
pub(super) const LIFE: Duration = Duration::from_secs(5 * 24 * HOUR);

const PAUSE_MAX: Duration = Duration::from_secs(MINUTE);

/// When to try again after the failure of attempt `tries`; `None` if that was the last. A fifth of the wait is random:
/// events that failed together are not retried together. `random` is any number.
pub(super) fn next_attempt(
    now: Timestamp,
    since: Timestamp,
    tries: u8,
    retry_after: Option<Duration>,
    random: u32,
) -> Option<Timestamp> {
    let wait = Duration::from_secs(*WAITS.get(usize::from(tries).checked_sub(1)?)?);
    let wait = wait + (wait / 5).mul_f64(f64::from(random) / f64::from(u32::MAX));
    let due = now.plus(wait.max(retry_after.unwrap_or_default().min(RETRY_AFTER_MAX)));
    (!is_too_old(due, since)).then_some(due)
}

/// Returns `true` if a delivery has ended by `now`, even with attempts left.
pub(super) fn is_too_old(now: Timestamp, since: Timestamp) -> bool {
    now.since(since) >= LIFE
}

/// The pause of a webhook after this number of failures in a row.
pub(super) fn pause(failures: u32, retry_after: Option<Duration>) -> Duration {
    let doubled = Duration::from_secs(1).saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
    doubled.max(retry_after.unwrap_or_default()).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_grow_within_a_slot_also_when_time_stands_still() {
        let now = Timestamp::from_millis(1_700_000_000_000);
        let at = |seq: Seq| Timestamp::from_millis(seq.0 >> BELOW_MILLIS);
        let first = Seq::next(0, 7, now);
        assert_eq!((at(first), slot_of(&first.key(ServiceId::new(3)).id)), (now, 7));
        let mut last = first;
        for _ in 0..5_000 {
            let next = Seq::next(last.0, 7, now);
            assert!(next > last && next.key(ServiceId::DEFAULT).slot == 7);
            last = next;
        }
        let later = now.plus(Duration::from_secs(1));
        assert_eq!(at(Seq::next(last.0, 7, later)), later);
        let end = Seq::next(0, 255, crate::clock::LATEST);
        assert_eq!(Seq::of(&end.key(ServiceId::DEFAULT).id), Some(end));
    }

    #[test]
    fn the_id_of_another_record_is_no_deliverys() {
        let name = VerificationName::from_bits;
        let id = expected_id(ServiceId::new(1), name(u64::MAX), 200);
        assert_eq!((Seq::of(&id), slot_of(&id)), (None, 200));
        assert_ne!(id, expected_id(ServiceId::new(1), name(1), 200));
    }

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn wait(tries: u8, random: u32) -> Option<u64> {
        next_attempt(NOW, NOW, tries, None, random).map(|due| due.since(NOW).as_secs())
    }

    #[test]
    fn waits_grow_from_seconds_to_a_day_with_jitter_and_end_after_3_days() {
        let waits: Vec<_> = (1..=11).map(|tries| wait(tries, 0)).collect();
        let expected = [5, 30, 120, 600, 3_600, 10_800, 21_600, 43_200, 86_400, 86_400].map(Some);
        assert_eq!(waits[..10], expected);
        assert_eq!(waits[10], None);
        assert_eq!((wait(1, u32::MAX), wait(10, u32::MAX)), (Some(6), Some(103_680)));
        let in_all: u64 = waits.iter().flatten().sum();
        assert_eq!(in_all / 3_600, 70);
    }

    #[test]
    fn nothing_is_planned_behind_the_end() {
        let since = NOW.minus(LIFE).plus(Duration::from_secs(30));
        assert!(next_attempt(NOW, since, 1, None, 0).is_some());
        assert_eq!(next_attempt(NOW, since, 2, None, 0), None);
        assert!(is_too_old(since.plus(LIFE), since) && !is_too_old(NOW, since));
    }

    #[test]
    fn a_webhook_that_keeps_failing_is_asked_once_a_minute() {
        let pause = |failures| pause(failures, None).as_secs();
        assert_eq!([1, 2, 3, 6, 7, u32::MAX].map(pause), [1, 2, 4, 32, 60, 60]);
        assert_eq!(super::pause(1, Some(Duration::from_secs(7))).as_secs(), 7);
    }
}
