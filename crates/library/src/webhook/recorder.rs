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
use crate::domain::{
    AttemptId, AttemptLogKey, Channel, NumberKey, PhoneNumber, ServiceId, Sid, Timestamp, record_id,
};
use crate::engine::{
    CheckOutcome, Ending, SendPermit, SendResult, Verification, VerificationAddress, VerificationName,
};
use crate::gateway::{Receipt, ReceiptStatus};
use crate::registry::{Service, WebhookStatus};
use crate::shard::{Id, RecordKey, Transaction, service_of};

/// The events of one decision about one verification of a service with webhooks.
pub struct NumberEvents<'a, 'b> {
    outbox: &'a Outbox,
    service: Arc<Service>,
    key: NumberKey,
    /// `None` for events that concern none.
    verification: Option<Sid>,
    view: &'a mut Transaction<'b>,
    record: EventRecord,
    /// Whether there is room for what the record is to tell. Without it, it stays as it is.
    has_place: bool,
}

impl Outbox {
    /// Lets `tell` record events of a decision about `key` and the verification with this id, 0 without one. Without an
    /// enabled webhook there are none.
    pub fn tell(
        &self,
        key: NumberKey,
        verification: u64,
        view: &mut Transaction<'_>,
        tell: impl FnOnce(&mut NumberEvents<'_, '_>),
    ) {
        let NumberKey { service, number, .. } = key;
        let Some(service) = self.registry.service_by_id(service) else { return };
        if !service.webhooks.iter().any(|webhook| webhook.status == WebhookStatus::Enabled) {
            return;
        }
        let subject = if verification == 0 { view.rng().next_u64() } else { verification };
        let id = AttemptLogKey::new(key.service, subject, view.slot()).id();
        let name = VerificationName::of(verification);
        let address = VerificationAddress { service: key.service, number, name };
        let verification = (verification != 0).then(|| self.sealer.verification(&address));
        let (channel, tags, expires) = (Channel::Sms, BTreeMap::new(), None);
        let new =
            || EventRecord { number, channel, tags, expires, is_announced: false, deliveries: Vec::new() };
        let record = view.get::<EventRecord>(id).unwrap_or_else(new);
        let has_place = !record.may_forget() || self.places_of(key.service) > 0;
        let mut events = NumberEvents { outbox: self, service, key, verification, view, record, has_place };
        tell(&mut events);
        let NumberEvents { view, record, .. } = events;
        if has_place {
            view.put(id, record.is_needed().then_some(&record));
        }
    }

    /// Records the end of a verification, if it is due.
    pub(super) fn expire(&self, id: Id, view: &mut Transaction<'_>) {
        let Some(record) = view.get::<EventRecord>(id) else { return };
        if record.end_due().is_none_or(|due| view.now() < due) {
            return;
        }
        if record.is_announced {
            let AttemptLogKey { service, verification } = AttemptLogKey::from_id(id);
            let key = NumberKey::new(service, record.number);
            self.tell(key, verification, view, |told| told.emit(EventType::Expired, Value::Null));
        }
        let ended = view.get::<EventRecord>(id).map(|record| EventRecord { expires: None, ..record });
        view.put(id, ended.filter(EventRecord::is_needed).as_ref());
    }

    /// Removes the records about `key`, also of events that are not delivered yet. Returns `true` if there was one.
    pub fn erase(&self, key: NumberKey, view: &mut Transaction<'_>) -> bool {
        let mut about: Vec<(RecordKey, EventRecord)> = view.iter().collect();
        about.retain(|(of, record)| service_of(&of.id) == key.service && record.number == key.number);
        for (RecordKey { id, .. }, _) in &about {
            view.put::<EventRecord>(*id, None);
        }
        !about.is_empty()
    }

    /// Hands gateways whose conversion in a country has fallen to the webhooks of the service, and to the log. Needs a tokio
    /// runtime.
    pub fn fall_alerts(self: &Arc<Self>) -> FallConsumer {
        let outbox = Arc::clone(self);
        Box::new(move |Fall { of: (lane, gateway), number, from_to }| {
            let [before, now] = from_to.map(percent);
            let country = lane.country.map(|country| country.to_string());
            tracing::warn!(%gateway, country, before, now, "gateway conversion fell");
            let detail = json!({
                "gateway": gateway, "country": country, "conversion_percent": now, "before_percent": before,
                "channel": lane.channel.as_str(), "status": "fallen",
            });
            // The number itself may be erased meanwhile.
            let to = PhoneNumber::from_u64(number.as_u64() / 10_000 * 10_000).unwrap_or(number);
            let key = NumberKey::new(lane.service.unwrap_or(ServiceId::DEFAULT), to);
            let outbox = Arc::clone(&outbox);
            tokio::spawn(async move {
                let id = record_id(key.service, outbox.slots.of_number(key.service, to).into());
                let told = outbox.change(id, move |outbox, view| {
                    outbox.tell(key, 0, view, |events| events.emit(EventType::ConversionFell, detail));
                });
                if let Err(error) = told.await {
                    tracing::warn!(%error, "event lost");
                }
            });
        })
    }
}

impl NumberEvents<'_, '_> {
    /// A message of the verification, which is as it is now, is permitted. The caller attached the tags to it.
    pub fn permitted(
        &mut self,
        verification: &Verification,
        channel: Channel,
        tags: Option<&BTreeMap<String, String>>,
    ) {
        self.record.channel = channel;
        self.record.expires = Some(verification.expires);
        if let Some(tags) = tags.filter(|_| self.record.tags.is_empty()) {
            self.record.tags.clone_from(tags);
        }
        // A test number is sent no message.
        if self.key.is_test {
            self.sent();
        }
    }

    /// A planned message of the verification, which is as it is now, is permitted.
    pub fn prolonged(&mut self, verification: &Verification) {
        self.record.expires = self.record.expires.map(|expires| expires.max(verification.expires));
    }

    /// A send that a client requested has ended. `is_sending` says whether another message with the same code, which may
    /// begin the verification yet, is on its way.
    pub fn settled(&mut self, permit: &SendPermit, delivered: &Delivered, is_sending: bool) {
        // A verification that has ended already has its final event.
        if self.record.expires.is_none() {
            return;
        }
        if matches!(delivered.result, SendResult::Accepted { .. } | SendResult::Postponed { .. }) {
            self.sent();
        } else if !is_sending && self.record.is_announced {
            // The replaced code is valid again, until its own expiry.
            let earlier = permit.replaced.filter(|of| of.name() == permit.verification.name());
            self.record.expires = earlier.map(|earlier| earlier.expires).or(self.record.expires);
        } else if !is_sending {
            self.record.expires = None;
            // The first message that fails ends its verification.
            let is_first = permit.verification.counted.is_none_or(|counted| counted.sends <= 1);
            if !delivered.certain_failure().is_some_and(Failure::is_passing) && is_first {
                self.emit(EventType::Failed, Value::Null);
            }
        }
    }

    /// A code was checked. The verification is as before; `is_spent` says whether callers who name it have no attempt left
    /// after it.
    pub fn checked(&mut self, verification: &Verification, outcome: CheckOutcome, is_spent: bool) {
        let kind = match outcome {
            CheckOutcome::Approved => EventType::Approved,
            CheckOutcome::LockedNow { .. } if self.view.now() < verification.expires => {
                EventType::MaxAttemptsReached
            }
            // The event is emitted once. Later wrong codes emit nothing.
            CheckOutcome::Wrong { live: true, .. }
                if is_spent && (!verification.is_spent() || self.record.expires.is_some()) =>
            {
                EventType::MaxAttemptsReached
            }
            _ => return,
        };
        self.ended(kind, verification);
    }

    /// A fixed lockout or a hard stop of the number begins, by a check of this verification if the number has one.
    pub fn locked(&mut self, verification: Option<&Verification>, until: Timestamp) {
        self.learn_channel(verification);
        self.emit(EventType::NumberLocked, json!({ "locked_until": until }));
    }

    /// The verification, which is as before, has ended by request.
    pub fn ended_by_request(&mut self, verification: &Verification, ending: Ending) {
        match ending {
            Ending::Approved => self.ended(EventType::Approved, verification),
            Ending::Canceled => self.ended(EventType::Canceled, verification),
            // An operator cleared the number. The verification emits its expiry event at its normal expiry.
            Ending::Cleared | Ending::Erased => {}
        }
    }

    /// A provider reported progress of an attempt, which is as it is now. A receipt that changes nothing is not recorded.
    pub fn reported(&mut self, log: AttemptLogKey, row: &Attempt, status: VerifyStatus, receipt: &Receipt) {
        let kind = match receipt.status {
            ReceiptStatus::Delivered => EventType::MessageDelivered,
            ReceiptStatus::Failed => EventType::MessageFailed,
            _ => return,
        };
        let is_verified = status == VerifyStatus::Success;
        let own = json!({
            "channel": row.channel.as_str(),
            "status": if is_verified { "approved" } else { "pending" },
            "attempt_sid": self.outbox.sealer.attempt(&AttemptId { key: log, ..receipt.attempt }),
            "message_status": receipt.status.as_str(),
            "error_code": receipt.code,
        });
        self.emit(kind, own);
    }

    /// Adds a delivery of an event for each enabled webhook that subscribes to it. One without room does not get it. `own` has
    /// further members of its data, and those that replace others.
    pub(super) fn emit(&mut self, kind: EventType, own: Value) {
        let (now, outbox, service) = (self.view.now(), self.outbox, Arc::clone(&self.service));
        let at = self.record.expires.filter(|_| kind == EventType::Expired).unwrap_or(now);
        let status = match kind {
            EventType::Approved => "approved",
            EventType::Canceled => "canceled",
            EventType::MaxAttemptsReached | EventType::NumberLocked => "max_attempts_reached",
            EventType::Failed => "failed",
            EventType::Expired => "expired",
            _ => "pending",
        };
        let (to, id) = (self.record.number, EventId(self.view.rng().random()));
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
            let has_room = self.has_place && outbox.has_room(webhook.sid);
            if !has_room || !self.record.add(event.clone(), webhook.sid, now) {
                outbox.drop_event(&service);
            }
        }
    }

    /// Its record may be new, or of before.
    fn learn_channel(&mut self, verification: Option<&Verification>) {
        let known = verification.and_then(|of| of.counted).map(|counted| counted.channel);
        if let Some(channel) = known.filter(|_| self.record.expires.is_none()) {
            self.record.channel = channel;
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
    /// to the send, and there may have been no room for them then. After an end that is recorded they do not come again.
    fn ended(&mut self, kind: EventType, verification: &Verification) {
        self.learn_channel(Some(verification));
        let may_begin = self.record.expires.is_some() || self.record.deliveries.is_empty();
        if may_begin && !self.record.is_announced {
            self.emit(EventType::Created, Value::Null);
            // Only a right code proves that the message was sent.
            if kind == EventType::Approved {
                self.emit(EventType::Sent, Value::Null);
            }
            self.record.is_announced = true;
        }
        self.emit(kind, Value::Null);
        self.record.expires = None;
    }
}
