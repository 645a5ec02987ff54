//! Records events for decisions about numbers. It runs within the decision: the event and the decision become durable
//! together. The events of a verification have the order of its decisions.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::{Rng as _, RngExt as _};
use serde_json::{Value, json};

use super::outbox::Outbox;
use super::record::{Delivery, EventRecord, ExpectedEnd};
use super::{Event, EventId, EventType};
use crate::delivery::attempts::VerifyStatus;
use crate::delivery::{Attempt, Fall, FallConsumer, percent};
use crate::domain::{
    AttemptId, AttemptLogKey, Channel, NumberKey, ServerKey, ServiceId, Timestamp, record_id,
};
use crate::engine::{
    CheckOutcome, Ending, SendPermit, SendResult, SlotHash, Verification, VerificationAddress,
    VerificationName,
};
use crate::gateway::{Receipt, ReceiptStatus};
use crate::limits::guard::AlertConsumer;
use crate::observe::trace::SpanContext;
use crate::registry::{Service, WebhookStatus};
use crate::shard::{Id, LogRecord as _, RecordKey, Transaction, service_of};

/// The events of one decision about one verification of a service with webhooks.
pub struct NumberEvents<'a, 'b> {
    outbox: &'a Arc<Outbox>,
    service: Arc<Service>,
    key: NumberKey,
    name: VerificationName,
    cause: Option<&'a SpanContext>,
    view: &'a mut Transaction<'b>,
    before: EventRecord,
    record: EventRecord,
    /// Whether the record may have something that is to be told.
    has_place: bool,
}

impl Outbox {
    /// The service, if it has an enabled webhook.
    fn subscribed(&self, service: ServiceId) -> Option<Arc<Service>> {
        let is_enabled = |service: &Arc<Service>| {
            service.webhooks.iter().any(|webhook| webhook.status == WebhookStatus::Enabled)
        };
        self.registry.service_by_id(service).filter(is_enabled)
    }

    /// Lets `tell` record events of a decision about `key` and the verification with this id, 0 without one. Without an
    /// enabled webhook there are none. `cause` is the client's request, if it is traced.
    pub fn tell(
        self: &Arc<Self>,
        key: NumberKey,
        verification: u64,
        cause: Option<&SpanContext>,
        view: &mut Transaction<'_>,
        tell: impl FnOnce(&mut NumberEvents<'_, '_>),
    ) {
        let Some(service) = self.subscribed(key.service) else { return };
        let name = VerificationName::of(verification);
        let subject = if verification == 0 { view.rng().next_u64() } else { verification };
        let id = AttemptLogKey::new(key.service, subject, view.slot()).id();
        let before = view.get::<EventRecord>(id).unwrap_or_default();
        let has_place = !before.may_forget() || self.places_of(key.service) > 0;
        let (outbox, record) = (self, before.clone());
        let mut events = NumberEvents { outbox, service, key, name, cause, view, before, record, has_place };
        tell(&mut events);
        let NumberEvents { view, record, .. } = events;
        view.put(id, Some(&record).filter(|record| **record != EventRecord::default()));
    }

    /// Records the end of a verification, if it is due.
    pub(super) fn expire(self: &Arc<Self>, id: Id, view: &mut Transaction<'_>) {
        let end = view.get::<EventRecord>(id).and_then(|record| record.end);
        let Some(end) = end.filter(|end| view.now() >= end.due()) else { return };
        if end.is_announced {
            let key = NumberKey::new(end.event.service, end.event.to);
            let event = end.event(EventType::Expired, end.expires);
            self.tell(key, AttemptLogKey::from_id(id).verification, None, view, |told| told.emit(event));
        }
        let record = view.get::<EventRecord>(id).map(|record| EventRecord { end: None, ..record });
        view.put(id, record.filter(|record| !record.deliveries.is_empty()).as_ref());
    }

    /// Removes the records about `key`, also of events that are not delivered yet. Returns `true` if there was one.
    pub fn erase(&self, key: NumberKey, view: &mut Transaction<'_>) -> bool {
        let mut about: Vec<(RecordKey, EventRecord)> = view.iter().collect();
        about.retain(|(of, record)| service_of(&of.id) == key.service && record.is_about(key.number));
        for (RecordKey { id, .. }, _) in &about {
            view.put::<EventRecord>(*id, None);
        }
        !about.is_empty()
    }

    /// Hands empty allowances and spent budgets to the webhooks of the service whose message led to them. Needs a tokio
    /// runtime.
    pub fn guard_alerts(self: &Arc<Self>, key: &ServerKey) -> AlertConsumer {
        let (slots, outbox) = (SlotHash::new(key), Arc::clone(self));
        Box::new(move |message, about| {
            let is_budget = about.subject.is_none();
            let kind = if is_budget { EventType::GuardBudgetSpent } else { EventType::GuardBlocked };
            let key = NumberKey::new(message.service, message.number);
            outbox.announce(&slots, key, message.channel, (kind, "blocked", json!(about)));
        })
    }

    /// Hands gateways whose conversion in a country has fallen to the webhooks of the service, and to the log. Needs a tokio
    /// runtime.
    pub fn fall_alerts(self: &Arc<Self>, key: &ServerKey) -> FallConsumer {
        let (slots, outbox) = (SlotHash::new(key), Arc::clone(self));
        Box::new(move |Fall { of: (lane, gateway), number, from_to }| {
            let [before, now] = from_to.map(percent);
            let country = lane.country.map(|country| country.to_string());
            tracing::warn!(%gateway, country, before, now, "gateway conversion fell");
            let detail = json!({
                "gateway": gateway, "country": country, "conversion_percent": now, "before_percent": before,
            });
            let key = NumberKey::new(lane.service.unwrap_or(ServiceId::DEFAULT), number);
            outbox.announce(&slots, key, lane.channel, (EventType::ConversionFell, "fallen", detail));
        })
    }

    /// Tells of something that concerns no verification: its type, its status and further data.
    fn announce(
        self: &Arc<Self>,
        slots: &SlotHash,
        key: NumberKey,
        channel: Channel,
        about: (EventType, &'static str, Value),
    ) {
        let outbox = Arc::clone(self);
        let id = record_id(key.service, slots.of_number(key.service, key.number).into());
        tokio::spawn(async move {
            let told = outbox.change(id, move |outbox, view| {
                outbox.tell(key, 0, None, view, |events| events.alerted(channel, about));
            });
            if let Err(error) = told.await {
                tracing::warn!(%error, "event lost");
            }
        });
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
        let mut end = self.record.end.take().unwrap_or_else(|| self.new_end(channel));
        if !self.has_place {
            return self.emit(end.event(EventType::Created, self.view.now()));
        }
        (end.event.channel, end.expires) = (channel, verification.expires);
        if let Some(tags) = tags.filter(|_| end.event.tags.is_empty()) {
            end.event.tags.clone_from(tags);
        }
        // A test number is sent no message.
        if self.key.is_test {
            self.sent(end);
        } else {
            self.record.end = Some(end);
        }
    }

    /// A planned message of the verification, which is as it is now, is permitted.
    pub fn prolonged(&mut self, verification: &Verification) {
        if let Some(end) = &mut self.record.end {
            end.expires = end.expires.max(verification.expires);
        }
    }

    /// A send that a client requested has ended. `is_sending` says whether another message with the same code, which may
    /// begin the verification yet, is on its way.
    pub fn settled(&mut self, permit: &SendPermit, result: &SendResult, is_sending: bool) {
        // A verification that has ended already has its final event.
        let Some(mut end) = self.record.end.take() else { return };
        if matches!(result, SendResult::Accepted { .. } | SendResult::Postponed { .. }) {
            self.sent(end);
        } else if is_sending {
            self.record.end = Some(end);
        } else if end.is_announced {
            // The replaced code is valid again, until its own expiry.
            if let Some(earlier) = permit.replaced.filter(|earlier| earlier.name() == self.name) {
                end.expires = earlier.expires;
            }
            self.record.end = Some(end);
        } else if *result != SendResult::Overloaded
            && permit.verification.counted.is_none_or(|counted| counted.sends <= 1)
        {
            // The first message that fails ends its verification.
            self.emit(end.event(EventType::Failed, self.view.now()));
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
                if is_spent && (!verification.is_spent() || self.record.end.is_some()) =>
            {
                EventType::MaxAttemptsReached
            }
            _ => return,
        };
        self.ended(kind, verification);
    }

    /// A fixed lockout or a hard stop of the number begins, by a check of this verification if the number has one.
    pub fn locked(&mut self, verification: Option<&Verification>, until: Timestamp) {
        let channel = verification.and_then(|v| v.counted).map_or(Channel::Sms, |c| c.channel);
        let event = self.end_or(channel).event(EventType::NumberLocked, self.view.now());
        self.emit(Event { detail: json!({ "locked_until": until }).to_string(), ..event });
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
        let detail = json!({
            "attempt_sid": self.outbox.sealer.attempt(&AttemptId { key: log, ..receipt.attempt }),
            "message_status": receipt.status.as_str(),
            "error_code": receipt.code,
        });
        let mut event = self.end_or(row.channel).event(kind, self.view.now());
        if status == VerifyStatus::Success {
            "approved".clone_into(&mut event.status);
        }
        self.emit(Event { channel: row.channel, detail: detail.to_string(), ..event });
    }

    /// An allowance is empty, a budget is spent, or a gateway has fallen.
    fn alerted(&mut self, channel: Channel, (kind, status, detail): (EventType, &str, Value)) {
        let event = self.new_end(channel).event(kind, self.view.now());
        let (verification, detail) = (self.service.sid, detail.to_string());
        self.emit(Event { verification, status: status.to_owned(), detail, ..event });
    }

    /// The end that is expected, or that of a verification whose end is recorded.
    fn end_or(&self, channel: Channel) -> ExpectedEnd {
        self.record.end.clone().unwrap_or_else(|| self.new_end(channel))
    }

    fn new_end(&self, channel: Channel) -> ExpectedEnd {
        let NumberKey { service, number, .. } = self.key;
        let (address, now) = (VerificationAddress { service, number, name: self.name }, self.view.now());
        let event = Event {
            id: EventId::new([0; 16]),
            kind: EventType::Expired,
            service,
            verification: self.outbox.sealer.verification(&address),
            at: now,
            to: number,
            channel,
            status: "expired".to_owned(),
            detail: String::new(),
            tags: BTreeMap::new(),
        };
        let is_first = |of: &Delivery| matches!(of.event.kind, EventType::Created | EventType::Sent);
        let is_announced = self.record.deliveries.iter().any(is_first);
        ExpectedEnd { event, expires: now, is_announced }
    }

    /// Adds a delivery of an event for each enabled webhook that subscribes to it. One without room does not get it.
    pub(super) fn emit(&mut self, mut event: Event) {
        let now = self.view.now();
        event.id = EventId::new(self.view.rng().random());
        // Before the commit, because the delivery may begin as soon as the event is durable. The id of an event that is not
        // written is never asked for.
        self.cause.inspect(|cause| cause.note_cause_of(event.id.to_bytes()));
        for webhook in self.service.webhooks.iter().filter(|webhook| webhook.subscribes_to(event.kind)) {
            let sid = webhook.sid;
            // What this decision has added is not counted yet.
            let (before, after) = (self.before.pending_to(sid), self.record.pending_to(sid));
            let has_room = self.has_place && self.outbox.room((self.service.id, sid)) + before > after;
            if !has_room || !self.record.add(Delivery::new(event.clone(), sid, now)) {
                self.outbox.drop_event(&self.service, sid, now);
            }
        }
    }

    fn sent(&mut self, mut end: ExpectedEnd) {
        let now = self.view.now();
        if !end.is_announced {
            self.emit(end.event(EventType::Created, now));
        }
        self.emit(end.event(EventType::Sent, now));
        end.is_announced = true;
        self.record.end = Some(end);
    }

    /// The verification has ended. The events of its beginning come first: a check may be faster than the gateway's answer
    /// to the send, and there may have been no room for them then. After an end that is recorded they do not come again.
    fn ended(&mut self, kind: EventType, verification: &Verification) {
        let (now, channel) = (self.view.now(), verification.counted.map_or(Channel::Sms, |of| of.channel));
        let may_begin = self.record.end.is_some() || self.before.deliveries.is_empty();
        let end = self.record.end.take().unwrap_or_else(|| self.new_end(channel));
        if may_begin && !end.is_announced {
            self.emit(end.event(EventType::Created, now));
            // Only a right code proves that the message was sent.
            if kind == EventType::Approved {
                self.emit(end.event(EventType::Sent, now));
            }
        }
        self.emit(end.event(kind, now));
    }
}
