//! Records events for decisions about numbers. It runs within the decision: the event and the decision become durable
//! together. The events of a verification have the order of its decisions.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::{Rng as _, RngExt as _};
use serde_json::{Value, json};

use super::EventType;
use super::outbox::Outbox;
use super::record::{Event, EventId, EventRecord};
use crate::delivery::attempts::VerifyStatus;
use crate::delivery::{Attempt, Delivered, Failure, Fall, FallConsumer, percent};
use crate::domain::{AttemptLogKey, Channel, NumberKey, PhoneNumber, ServiceId, Sid, Timestamp};
use crate::engine::{SendPermit, SendResult, Verification};
use crate::gateway::{Receipt, ReceiptStatus};
use crate::registry::{Service, Webhook, WebhookStatus};
use crate::shard::{Id, Transaction};

/// The events of one decision about one verification of a service with webhooks.
pub struct NumberEvents<'a, 'b> {
    outbox: &'a Outbox,
    service: &'a Service,
    is_test: bool,
    /// `None` for events that concern none.
    verification: Option<Sid>,
    view: &'a mut Transaction<'b>,
    record: EventRecord,
}

impl Outbox {
    /// Lets `tell` record events of a decision about `key` and the verification with this id, if any, whose last message
    /// used `channel`. Without an enabled webhook there are none.
    pub fn tell(
        &self,
        key: NumberKey,
        verification: Option<u64>,
        channel: Channel,
        view: &mut Transaction<'_>,
        tell: impl FnOnce(&mut NumberEvents<'_, '_>),
    ) {
        let NumberKey { service, number, is_test, .. } = key;
        let is_enabled = |webhook: &Webhook| webhook.status == WebhookStatus::Enabled;
        let found = self.registry.service_by_id(service).filter(|of| !of.webhooks.is_empty());
        let Some(service) = found.as_deref() else { return };
        let subject = verification.unwrap_or_else(|| view.rng().next_u64());
        let id = AttemptLogKey::new(key.service, subject, view.slot()).id();
        let verification = verification.map(|id| self.sealer.verification(key, id));
        let (tags, expires, is_announced, events, deliveries) = Default::default();
        let new = EventRecord { number, channel, tags, expires, is_announced, events, deliveries };
        // While all webhooks are disabled, what was told of a verification is still brought to its end.
        let new = service.webhooks.iter().any(is_enabled).then_some(new);
        let Some(record) = view.get(id).or(new) else { return };
        let mut events = NumberEvents { outbox: self, service, is_test, verification, view, record };
        tell(&mut events);
        let NumberEvents { view, record, .. } = events;
        let is_needed = record.expires.is_some() || !record.deliveries.is_empty();
        view.put(id, is_needed.then_some(&record));
    }

    /// Records the end of a verification, if it is due.
    pub(super) fn expire(&self, id: Id, view: &mut Transaction<'_>) {
        let is_due = |record: &EventRecord| record.end_due().is_some_and(|due| due <= view.now());
        let Some(record) = view.get(id).filter(is_due) else { return };
        let AttemptLogKey { service, verification } = AttemptLogKey::from_id(id);
        let key = NumberKey::new(service, record.number);
        self.tell(key, Some(verification), record.channel, view, |events| events.ended(EventType::Expired));
        // Also without a webhook that is told.
        let ended = view.get(id).map(|record: EventRecord| EventRecord { expires: None, ..record });
        view.put(id, ended.filter(|record| !record.deliveries.is_empty()).as_ref());
    }

    /// Removes the records about `key`, also of events that are not delivered yet. Returns `true` if there was one.
    pub fn erase(&self, key: NumberKey, view: &mut Transaction<'_>) -> bool {
        !view.remove(key.service, |record: &EventRecord| record.number == key.number).is_empty()
    }

    /// Hands gateways whose conversion in a country has fallen to the webhooks of the service, and to the log. Needs a tokio
    /// runtime.
    pub fn fall_alerts(self: &Arc<Self>) -> FallConsumer {
        let outbox = Arc::clone(self);
        Box::new(move |Fall { of: (lane, gateway), number, from_to }| {
            let [before, now] = from_to.map(percent);
            let (channel, country) = (lane.channel, lane.country.map(|country| country.to_string()));
            tracing::warn!(%gateway, country, before, now, "gateway conversion fell");
            // The number itself may be erased meanwhile.
            let to = PhoneNumber::from_u64(number.as_u64() / 10_000 * 10_000).unwrap_or(number);
            let key = NumberKey::new(lane.service.unwrap_or(ServiceId::DEFAULT), to);
            let own = json!({
                "gateway": gateway, "country": country, "conversion_percent": now, "before_percent": before,
                "channel": channel.as_str(), "status": "fallen",
            });
            let tell = move |outbox: &Self, view: &mut Transaction<'_>| {
                let own = own.clone();
                outbox.tell(key, None, channel, view, |events| events.emit(EventType::ConversionFell, own));
            };
            let id = AttemptLogKey::new(key.service, 0, outbox.slots.of_number(key.service, to)).id();
            let outbox = Arc::clone(&outbox);
            tokio::spawn(async move { outbox.change(id, tell).await });
        })
    }
}

impl NumberEvents<'_, '_> {
    /// A message of the verification, which is as it is now, is permitted: of the client, with its channel and tags, or a
    /// planned one.
    pub fn permitted(
        &mut self,
        verification: &Verification,
        channel: Option<Channel>,
        tags: Option<&BTreeMap<String, String>>,
    ) {
        self.record.channel = channel.unwrap_or(self.record.channel);
        self.record.expires = Some(verification.expires);
        if let Some(tags) = tags.filter(|_| self.record.tags.is_empty()) {
            self.record.tags.clone_from(tags);
        }
        // A test number is sent no message.
        if self.is_test {
            self.sent();
        }
    }

    /// A send that a client requested has ended, and left this verification, if any.
    pub fn settled(&mut self, permit: &SendPermit, delivered: &Delivered, left: Option<Verification>) {
        // A verification that has ended already has its final event.
        if self.record.expires.is_none() {
            return;
        }
        let left = left.filter(|left| left.name() == permit.verification.name());
        if matches!(delivered.result, SendResult::Accepted { .. } | SendResult::Postponed { .. }) {
            self.sent();
        } else if self.record.is_announced || left.is_some_and(|left| left.sending > 0) {
            // The replaced code may be valid again, until its own expiry.
            self.record.expires = left.map(|left| left.expires).or(self.record.expires);
        } else {
            // Of several first messages the last one tells, unless an earlier one may have been sent.
            let is_first = permit.verification.counted.is_none_or(|counted| counted.sends <= 1);
            let lives = left.filter(|_| !is_first);
            self.record.expires = lives.map(|left| left.expires);
            if lives.is_none() && !delivered.certain_failure().is_some_and(Failure::is_passing) {
                self.emit(EventType::Failed, Value::Null);
            }
        }
    }

    /// A fixed lockout or a hard stop of the number begins.
    pub fn locked(&mut self, until: Timestamp) {
        self.emit(EventType::NumberLocked, json!({ "locked_until": until }));
    }

    /// A provider reported progress of an attempt, which is as it is now. A receipt that changes nothing is not recorded.
    pub fn reported(&mut self, row: &Attempt, status: VerifyStatus, receipt: &Receipt) {
        let kind = match receipt.status {
            ReceiptStatus::Delivered => EventType::MessageDelivered,
            ReceiptStatus::Failed => EventType::MessageFailed,
            _ => return,
        };
        let own = json!({
            "channel": row.channel.as_str(),
            "status": if status == VerifyStatus::Success { "approved" } else { "pending" },
            "attempt_sid": self.outbox.sealer.attempt(&receipt.attempt),
            "message_status": receipt.status.as_str(),
            "error_code": receipt.code,
        });
        self.emit(kind, own);
    }

    /// Adds a delivery of an event for each enabled webhook that subscribes to it. One without room does not get it. `own` has
    /// further members of its data, and those that replace others.
    pub(super) fn emit(&mut self, kind: EventType, own: Value) {
        let (now, outbox, service) = (self.view.now(), self.outbox, self.service);
        let at = self.record.expires.filter(|_| kind == EventType::Expired).unwrap_or(now);
        let status = match kind {
            EventType::Approved => "approved",
            EventType::Canceled => "canceled",
            EventType::MaxAttemptsReached | EventType::NumberLocked => "max_attempts_reached",
            EventType::Failed => "failed",
            EventType::Expired => "expired",
            _ => "pending",
        };
        let (to, mut id) = (self.record.number, EventId(self.view.rng().random()));
        // Its deliveries name it.
        while self.record.events.iter().any(|known| known.id == id) {
            id = EventId(self.view.rng().random());
        }
        let mut data = json!({
            "account_sid": outbox.registry.account_sid(),
            "service_sid": service.sid,
            "to": to.e164(),
            "channel": self.record.channel.as_str(),
            "status": status,
            "tags": self.record.tags,
        });
        self.verification.iter().for_each(|sid| data["verification_sid"] = json!(sid));
        if let (Some(data), Value::Object(mut own)) = (data.as_object_mut(), own) {
            data.append(&mut own);
        }
        let body = json!({ "type": kind.as_str(), "timestamp": at, "data": data }).to_string();
        let event = Event { id, kind, service: service.id, verification: self.verification, to, at, body };
        for webhook in service.webhooks.iter().filter(|webhook| webhook.subscribes_to(kind)) {
            if !outbox.has_room(webhook.sid) || !self.record.add(&event, webhook.sid, now) {
                outbox.drop_event(service);
            }
        }
    }

    fn sent(&mut self) {
        if !self.record.is_announced {
            self.emit(EventType::Created, Value::Null);
        }
        self.emit(EventType::Sent, Value::Null);
        self.record.is_announced = true;
    }

    /// The verification has ended. The events of its beginning come first: a check may be faster than the gateway's answer
    /// to the send, and the webhook may be newer than the verification.
    pub fn ended(&mut self, kind: EventType) {
        if !self.record.is_announced {
            // Only a right code proves that the message was sent.
            if kind == EventType::Approved { self.sent() } else { self.emit(EventType::Created, Value::Null) }
        }
        self.emit(kind, Value::Null);
        (self.record.expires, self.record.is_announced) = (None, true);
    }
}
