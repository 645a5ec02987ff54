//! The record of what webhooks are told of one verification, in the slot of its number.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::request::{AttemptError, Posted};
use super::{Event, EventType};
use crate::domain::{PhoneNumber, Sid, Timestamp};
use crate::engine::SlotHash;
use crate::shard::{Id, LogRecord, Record};

/// Retention of a delivery after its end, counted from its event.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 3600);

/// Delay between a verification's expiry and its expiry event. A check that came in time is durable by then.
const GRACE: Duration = Duration::from_secs(10);

const ATTEMPTS_KEPT: usize = 24;

/// Deliveries of one verification that are kept: a client that sends again and again must not make a record grow.
const MOST_DELIVERIES: usize = 128;

/// What webhooks are told of one verification. An event that belongs to none has a record of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRecord {
    /// In the order in which each webhook gets them.
    pub deliveries: Vec<Delivery>,
    /// While the verification has not ended.
    pub end: Option<ExpectedEnd>,
}

impl Record for EventRecord {
    const KIND: u8 = 6;
    const PLURAL: &'static str = "webhook events";

    fn slot(&self, id: &Id, _: &SlotHash) -> u8 {
        slot_of(id)
    }

    fn expires(&self) -> Timestamp {
        let of_deliveries = self.deliveries.iter().map(|of| of.event.at.max(of.since));
        let latest = of_deliveries.chain(self.end.as_ref().map(|end| end.expires)).max();
        let kept_for = if self.may_forget() { KEPT_FOR } else { LIFE + KEPT_FOR };
        latest.unwrap_or(Timestamp::EPOCH).plus(kept_for)
    }
}

impl LogRecord for EventRecord {
    fn at(&self) -> Timestamp {
        let newest = self.deliveries.iter().map(|delivery| delivery.event.at).max();
        newest.or_else(|| Some(self.end.as_ref()?.expires)).unwrap_or(Timestamp::EPOCH)
    }

    fn may_forget(&self) -> bool {
        self.end.is_none() && self.pending().next().is_none()
    }

    fn due(&self) -> Vec<Timestamp> {
        self.next().map(|delivery| delivery.due).chain(self.end.as_ref().map(ExpectedEnd::due)).collect()
    }
}

impl EventRecord {
    pub(super) fn pending(&self) -> impl Iterator<Item = &Delivery> {
        self.deliveries.iter().filter(|delivery| delivery.state == DeliveryState::Pending)
    }

    /// The number of pending deliveries to a webhook.
    pub(super) fn pending_to(&self, webhook: Sid) -> usize {
        self.pending().filter(|delivery| delivery.webhook == webhook).count()
    }

    /// The first pending delivery to each webhook: the others wait for it.
    pub(super) fn next(&self) -> impl Iterator<Item = &Delivery> {
        let mut seen = BTreeSet::new();
        self.pending().filter(move |delivery| seen.insert(delivery.webhook))
    }

    /// Adds a delivery; `false` without room for it.
    pub(super) fn add(&mut self, delivery: Delivery) -> bool {
        if self.deliveries.len() >= MOST_DELIVERIES {
            let ended = self.deliveries.iter().position(|kept| kept.state != DeliveryState::Pending);
            let Some(oldest) = ended else { return false };
            self.deliveries.remove(oldest);
        }
        self.deliveries.push(delivery);
        true
    }

    /// The deliveries that have ended, of these.
    pub(super) fn ended(&self, wanted: impl Fn(&Delivery) -> bool) -> impl Iterator<Item = &Delivery> {
        self.deliveries.iter().filter(move |of| of.state != DeliveryState::Pending && wanted(of))
    }

    /// Makes these deliveries due again, behind those that are pending. Returns how many.
    pub(super) fn replay(&mut self, wanted: impl Fn(&Delivery) -> bool, now: Timestamp) -> usize {
        self.deliveries.sort_by_key(|of| of.state != DeliveryState::Pending && wanted(of));
        let mut count = 0;
        for of in self.deliveries.iter_mut().filter(|delivery| wanted(delivery)) {
            (of.state, of.due, of.since, of.tries) = (DeliveryState::Pending, now, now, 0);
            count += 1;
        }
        count
    }

    /// Whether it is about this number.
    pub fn is_about(&self, number: PhoneNumber) -> bool {
        let end = self.end.as_ref().map(|end| end.event.to);
        self.deliveries.first().map(|delivery| delivery.event.to).or(end) == Some(number)
    }
}

/// The slot is the last byte of the id of each record.
pub(super) const fn slot_of(id: &Id) -> u8 {
    let [.., slot] = *id;
    slot
}

/// A verification that emits its expiry event, unless it ends before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedEnd {
    /// The expiry event, with the channel of the last message and the tags of the request that began the verification. It
    /// gets its id and its moment when it happens.
    pub event: Event,
    pub expires: Timestamp,
    /// Its beginning was recorded: a gateway took its first message.
    pub is_announced: bool,
}

impl ExpectedEnd {
    pub(super) fn due(&self) -> Timestamp {
        self.expires.plus(GRACE)
    }

    /// Another event of the verification.
    pub(super) fn event(&self, kind: EventType, at: Timestamp) -> Event {
        let status = match kind {
            EventType::Approved => "approved",
            EventType::Canceled => "canceled",
            EventType::MaxAttemptsReached | EventType::NumberLocked => "max_attempts_reached",
            EventType::Failed => "failed",
            EventType::Expired => "expired",
            _ => "pending",
        };
        Event { kind, at, status: status.to_owned(), ..self.event.clone() }
    }
}

/// One event for one webhook, with its attempts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
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
    pub fn result(&self) -> String {
        let status = self.status.map(|status| format!("status {status}"));
        status.or_else(|| self.detail.clone()).unwrap_or_default()
    }
}

impl Delivery {
    pub(super) const fn new(event: Event, webhook: Sid, now: Timestamp) -> Self {
        let state = DeliveryState::Pending;
        Self { event, webhook, state, due: now, since: now, tries: 0, attempts: Vec::new() }
    }

    /// Records an attempt that began at `at` and has ended, or could not be made.
    pub(super) fn conclude(&mut self, at: Timestamp, now: Timestamp, posted: Posted, random: u32) {
        let is_over = !posted.is_of_receiver() || posted.answer == Ok(410);
        let is_taken = posted.is_taken();
        let Posted { answer, detail, retry_after } = posted;
        let (status, error) = (answer.ok(), answer.err());
        let detail = Some(detail).filter(|detail| !detail.is_empty());
        // Of one delivery one answer is enough to keep.
        self.attempts.iter_mut().filter(|of| of.status.is_some()).for_each(|of| of.detail = None);
        if self.attempts.len() >= ATTEMPTS_KEPT {
            self.attempts.remove(0);
        }
        self.attempts.push(WebhookAttempt { at, took: now.since(at), status, error, detail });
        self.tries = self.tries.saturating_add(1);
        let next = next_attempt(now, self.since, self.tries, retry_after, random);
        (self.state, self.due) = match next.filter(|_| !is_over) {
            _ if is_taken => (DeliveryState::Delivered, self.due),
            Some(due) => (DeliveryState::Pending, due),
            None => (DeliveryState::Failed, self.due),
        };
    }
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// The waits after each failed attempt, in seconds: about three days in all, as Standard Webhooks recommends.
const WAITS: [u64; 10] =
    [5, 30, 2 * MINUTE, 10 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, 24 * HOUR, 24 * HOUR];

const RETRY_AFTER_MAX: Duration = Duration::from_secs(6 * HOUR);

/// Lifetime of a delivery, from its event or its last replay.
const LIFE: Duration = Duration::from_secs(5 * 24 * HOUR);

/// When to try again after the failure of attempt `tries`; `None` if that was the last. A fifth of the wait is random:
/// events that failed together are not retried together. `random` is any number.
fn next_attempt(
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
