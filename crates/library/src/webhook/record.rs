//! Events, and the record of what webhooks are told of one verification, in the slot of its number.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::EventType;
use super::request::Posted;
use crate::domain::{Channel, PhoneNumber, ServiceId, Sid, Timestamp};
use crate::observe::metrics::WebhookEnd;
use crate::shard::{LogRecord, Places, Record};
use crate::store::LONGEST_RECORD;

/// Retention of a record, counted from its newest event.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * HOUR);

/// Delay between a verification's expiry and its expiry event. A check that came in time is durable by then.
const GRACE: Duration = Duration::from_secs(10);

/// Deliveries of one verification that are kept: a client that sends again and again must not make a record grow.
const MOST_DELIVERIES: usize = 128;

/// Bytes of all bodies of a record: half of the longest record. A body has the tags of its verification, some 16 KB at most.
const MOST_BODY_BYTES: usize = LONGEST_RECORD / 2;

/// What webhooks are told of one verification. An event that belongs to none has a record of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRecord {
    pub number: PhoneNumber,
    /// Of the last message.
    pub channel: Channel,
    /// Those of the request that began the verification.
    pub tags: BTreeMap<String, String>,
    /// When the verification ends; `None` after its end. Then it emits its expiry event, unless it ends before.
    pub expires: Option<Timestamp>,
    /// Its beginning was recorded: a gateway took its first message.
    pub is_announced: bool,
    /// Each once, however many webhooks get it.
    pub events: Vec<Event>,
    /// In the order in which each webhook gets them.
    pub deliveries: Vec<Delivery<EventId>>,
}

impl Record for EventRecord {
    const KIND: u8 = 6;
    const PLURAL: &'static str = "webhook events";
    const ID_ENDS_WITH_SLOT: bool = true;
    /// Half of it are bodies; each of the deliveries has some 2 KB of answers at most.
    const LONGEST: usize = LONGEST_RECORD;

    fn expires(&self) -> Timestamp {
        self.at().max(self.expires.unwrap_or_default()).plus(KEPT_FOR)
    }
}

impl LogRecord for EventRecord {
    fn places(&self) -> Places {
        let due = self.next().map(|delivery| delivery.due).chain(self.end_due());
        let is_needed = self.expires.is_some() || self.pending().next().is_some();
        let needed_until = if is_needed { Timestamp::MAX } else { Timestamp::EPOCH };
        Places { at: self.at(), due: due.collect(), needed_until }
    }
}

impl EventRecord {
    /// Of its newest event.
    fn at(&self) -> Timestamp {
        let newest = self.events.iter().map(|event| event.at).max();
        newest.or(self.expires).unwrap_or_default()
    }

    /// When its expiry event is due.
    pub(super) fn end_due(&self) -> Option<Timestamp> {
        self.expires.map(|expires| expires.plus(GRACE))
    }

    pub(super) fn pending(&self) -> impl Iterator<Item = &Delivery<EventId>> {
        self.deliveries.iter().filter(|delivery| delivery.state == DeliveryState::Pending)
    }

    /// The first pending delivery to each webhook: the others wait for it.
    pub(super) fn next(&self) -> impl Iterator<Item = &Delivery<EventId>> {
        let mut seen = BTreeSet::new();
        self.pending().filter(move |delivery| seen.insert(delivery.webhook))
    }

    /// The delivery with its event.
    pub(super) fn whole(&self, of: &Delivery<EventId>) -> Option<Delivery> {
        let event = self.events.iter().find(|event| event.id == of.event)?.clone();
        let Delivery { webhook, state, due, ref attempts, .. } = *of;
        Some(Delivery { event, webhook, state, due, attempts: attempts.clone() })
    }

    /// Adds a delivery; `false` without room for it. Those that ended first give way, with the events that no other has.
    pub(super) fn add(&mut self, event: &Event, webhook: Sid, now: Timestamp) -> bool {
        let is_new = self.events.iter().all(|known| known.id != event.id);
        let more = if is_new { event.body.len() } else { 0 };
        let bytes = |events: &[Event]| events.iter().map(|event| event.body.len()).sum::<usize>();
        while self.deliveries.len() >= MOST_DELIVERIES || bytes(&self.events) + more > MOST_BODY_BYTES {
            let ended = self.deliveries.iter().position(|kept| kept.state != DeliveryState::Pending);
            let Some(oldest) = ended else { return false };
            let gone = self.deliveries.remove(oldest).event;
            if gone != event.id && self.deliveries.iter().all(|kept| kept.event != gone) {
                self.events.retain(|event| event.id != gone);
            }
        }
        self.events.extend(is_new.then(|| event.clone()));
        let (event, state, attempts) = (event.id, DeliveryState::Pending, Vec::new());
        self.deliveries.push(Delivery { event, webhook, state, due: now, attempts });
        true
    }
}

/// Something that happened to a verification. It never has the code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub id: EventId,
    pub kind: EventType,
    pub service: ServiceId,
    /// `None` for an event of a gateway.
    pub verification: Option<Sid>,
    /// That of an event of a gateway ends in 0000.
    pub to: PhoneNumber,
    pub at: Timestamp,
    /// What is posted, the same in each attempt.
    pub body: String,
}

/// Names an event: `evt_` and 32 hexadecimal digits. It is the `webhook-id` of each of its deliveries, and of each time
/// that one is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventId(pub [u8; 16]);

impl EventId {
    /// Reads what `Display` wrote. `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let read = u128::from_str_radix(text.strip_prefix("evt_")?, 16).ok()?;
        Some(Self(read.to_be_bytes())).filter(|id| id.to_string() == text)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "evt_{:032x}", u128::from_be_bytes(self.0))
    }
}

/// One event for one webhook, with its attempts. A record has the event apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery<E = Event> {
    pub event: E,
    pub webhook: Sid,
    pub state: DeliveryState,
    /// When it is tried next, unless an earlier event of the verification is still pending.
    pub due: Timestamp,
    /// Since its event or its last replay, the oldest first.
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
    pub posted: Posted,
}

impl<E> Delivery<E> {
    /// Records an attempt that has ended; `None` if the webhook is gone. `since` is when its event was, `random` any number.
    pub(super) fn conclude(
        &mut self,
        of: Option<WebhookAttempt>,
        since: Timestamp,
        now: Timestamp,
        random: u32,
    ) -> WebhookEnd {
        let posted = of.as_ref().map(|of| &of.posted);
        let wait = WAITS.get(self.attempts.len()).map(|wait| Duration::from_secs(*wait));
        // A fifth of the wait is random: events that failed together are not retried together.
        let wait = wait.map(|wait| wait + (wait / 5).mul_f64(f64::from(random) / f64::from(u32::MAX)));
        let asked = posted.and_then(|posted| posted.retry_after).unwrap_or_default().min(RETRY_AFTER_MAX);
        let next = wait.map(|wait| now.plus(wait.max(asked))).filter(|due| due.since(since) < LIFE);
        let end;
        (self.state, self.due, end) = match next.filter(|_| posted.is_some_and(|posted| !posted.is_gone())) {
            _ if posted.is_some_and(Posted::is_taken) => {
                (DeliveryState::Delivered, self.due, WebhookEnd::Delivered)
            }
            Some(due) => (DeliveryState::Pending, due, WebhookEnd::Retried),
            None => (DeliveryState::Failed, self.due, WebhookEnd::Failed),
        };
        self.attempts.extend(of);
        end
    }
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// The waits after each failed attempt, in seconds: about three days in all, as Standard Webhooks recommends.
const WAITS: [u64; 10] =
    [5, 30, 2 * MINUTE, 10 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, 24 * HOUR, 24 * HOUR];

const RETRY_AFTER_MAX: Duration = Duration::from_secs(6 * HOUR);

/// From its event on: no attempt is planned behind it.
const LIFE: Duration = Duration::from_secs(5 * 24 * HOUR);
