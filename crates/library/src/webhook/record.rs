//! Events, and the record of what webhooks are told of one verification, in the slot of its number.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::ControlFlow::{Break, Continue};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::request::{Posted, post};
use super::{EventType, Outbox};
use crate::domain::{Channel, PhoneNumber, ServiceId, Sid, Timestamp};
use crate::engine::SlotHash;
use crate::registry::{Service, Webhook};
use crate::shard::{Id, LogRange, LogRecord, Places, Record, RecordKey, Refusal};

/// Retention of a delivery after its end, counted from its event.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * HOUR);

/// Delay between a verification's expiry and its expiry event. A check that came in time is durable by then.
const GRACE: Duration = Duration::from_secs(10);

/// Deliveries of one verification that are kept: a client that sends again and again must not make a record grow.
const MOST_DELIVERIES: usize = 128;

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
    /// In the order in which each webhook gets them.
    pub deliveries: Vec<Delivery>,
}

impl Record for EventRecord {
    const KIND: u8 = 6;
    const PLURAL: &'static str = "webhook events";

    fn slot(&self, id: &Id, _: &SlotHash) -> u8 {
        slot_of(id)
    }

    fn expires(&self) -> Timestamp {
        let of_deliveries = self.deliveries.iter().map(|of| of.event.at.max(of.since));
        let kept_for = if self.may_forget() { KEPT_FOR } else { LIFE + KEPT_FOR };
        of_deliveries.chain(self.expires).max().unwrap_or_default().plus(kept_for)
    }
}

impl LogRecord for EventRecord {
    fn places(&self) -> Places {
        let newest = self.deliveries.iter().map(|delivery| delivery.event.at).max();
        let due = self.next().map(|delivery| delivery.due).chain(self.end_due());
        Places {
            at: newest.or(self.expires).unwrap_or_default(),
            due: due.collect(),
            is_needed: !self.may_forget(),
        }
    }
}

impl EventRecord {
    /// Whether nothing is left to be told.
    pub(super) fn may_forget(&self) -> bool {
        self.expires.is_none() && self.pending().next().is_none()
    }

    /// Whether it has something to say yet.
    pub(super) const fn is_needed(&self) -> bool {
        self.expires.is_some() || !self.deliveries.is_empty()
    }

    /// When its expiry event is due.
    pub(super) fn end_due(&self) -> Option<Timestamp> {
        self.expires.map(|expires| expires.plus(GRACE))
    }

    pub(super) fn pending(&self) -> impl Iterator<Item = &Delivery> {
        self.deliveries.iter().filter(|delivery| delivery.state == DeliveryState::Pending)
    }

    /// The first pending delivery to each webhook: the others wait for it.
    pub(super) fn next(&self) -> impl Iterator<Item = &Delivery> {
        let mut seen = BTreeSet::new();
        self.pending().filter(move |delivery| seen.insert(delivery.webhook))
    }

    /// Adds a delivery; `false` without room for it.
    pub(super) fn add(&mut self, event: Event, webhook: Sid, now: Timestamp) -> bool {
        if self.deliveries.len() >= MOST_DELIVERIES {
            let ended = self.deliveries.iter().position(|kept| kept.state != DeliveryState::Pending);
            let Some(oldest) = ended else { return false };
            self.deliveries.remove(oldest);
        }
        let (state, attempts) = (DeliveryState::Pending, Vec::new());
        self.deliveries.push(Delivery { event, webhook, state, due: now, since: now, attempts });
        true
    }
}

/// The slot is the last byte of the id of each record.
pub(super) const fn slot_of(id: &Id) -> u8 {
    let [.., slot] = *id;
    slot
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
    /// Those since then, the oldest first.
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
    /// The beginning of the answer's body, or why there is none, in words.
    pub detail: String,
}

impl WebhookAttempt {
    /// The status or the error, without the body.
    pub fn result(&self) -> String {
        self.status.map_or_else(|| self.detail.clone(), |status| format!("status {status}"))
    }
}

impl Delivery {
    /// Records an attempt that began at `at` and has ended. `random` is any number.
    pub(super) fn conclude(&mut self, at: Timestamp, now: Timestamp, posted: Posted, random: u32) {
        let is_taken = posted.is_taken();
        let Posted { status, detail, retry_after } = posted;
        let wait = WAITS.get(self.attempts.len()).map(|wait| Duration::from_secs(*wait));
        self.attempts.push(WebhookAttempt { at, took: now.since(at), status, detail });
        // A fifth of the wait is random: events that failed together are not retried together.
        let wait = wait.map(|wait| wait + (wait / 5).mul_f64(f64::from(random) / f64::from(u32::MAX)));
        let asked = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
        let next = wait.map(|wait| now.plus(wait.max(asked))).filter(|due| due.since(self.since) < LIFE);
        (self.state, self.due) = match next.filter(|_| status != Some(410)) {
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

/// From its event or its last replay on: no attempt is planned behind it.
const LIFE: Duration = Duration::from_secs(5 * 24 * HOUR);

// Lists of deliveries, and deliveries that are made due again.

impl Outbox {
    /// The deliveries in a range by the moments of their events, the newest first; only of `services`, if they are given.
    /// Verifications are what is read.
    pub async fn list(
        &self,
        services: Option<&[ServiceId]>,
        range: LogRange<impl Fn(&Delivery) -> bool>,
    ) -> Result<Vec<Delivery>, Refusal> {
        let parts = |key: &RecordKey, record: EventRecord| {
            let deliveries = record.deliveries.into_iter().enumerate();
            deliveries.map(|(place, delivery)| (delivery.event.at, (*key, place), delivery)).collect()
        };
        self.log.list_parts(services, range, KEPT_FOR, parts).await
    }

    /// Posts a test to a webhook once, and says how it was answered. No log has it.
    pub async fn test(&self, service: &Service, webhook: &Webhook) -> Posted {
        let now = self.shards.clock().wall();
        let account_sid = self.registry.account_sid();
        let data = json!({ "account_sid": account_sid, "service_sid": service.sid, "status": "test" });
        let body = json!({ "type": "webhook.test", "timestamp": now, "data": data }).to_string();
        let id = u128::from_be_bytes(*webhook.sid.bytes()) ^ u128::from(now.as_millis());
        (self.transport)(post(webhook, EventId(id.to_be_bytes()).to_string(), now, body)).await
    }

    /// Makes the delivery of an event due again, from the first attempt on, behind those of its verification that are pending;
    /// a pending one is tried now. `false` if there is none. It is durable.
    pub async fn replay(
        self: &Arc<Self>,
        service: ServiceId,
        webhook: Sid,
        event: EventId,
    ) -> Result<bool, Refusal> {
        let is_it = move |of: &Delivery| of.webhook == webhook && of.event.id == event;
        let mut found = None;
        let find = |records: Vec<(RecordKey, EventRecord)>, _| {
            found = records.into_iter().find(|(_, record)| record.deliveries.iter().any(is_it));
            if found.is_some() { Break(()) } else { Continue(()) }
        };
        self.log.for_each_page(Some(&[service]), None, find).await?;
        let Some((RecordKey { id, .. }, _)) = found else { return Ok(false) };
        self.change(id, move |_, view| {
            let Some(mut record) = view.get::<EventRecord>(id) else { return false };
            record.deliveries.sort_by_key(|of| of.state != DeliveryState::Pending && is_it(of));
            let Some(of) = record.deliveries.iter_mut().find(|of| is_it(of)) else { return false };
            (of.state, of.due, of.since) = (DeliveryState::Pending, view.now(), view.now());
            of.attempts.clear();
            view.put(id, Some(&record));
            true
        })
        .await
    }
}
