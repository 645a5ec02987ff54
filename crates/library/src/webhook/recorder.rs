//! Records events for decisions about numbers. It runs within the decision: the event and the decision become durable
//! together. The events of a verification have the order of its decisions.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::{Rng as _, RngExt as _};

use super::outbox::Outbox;
use super::record::{Delivery, EventRecord, ExpectedEnd};
use super::{Detail, Event, EventId, EventType, MessageAbout};
use crate::delivery::Attempt;
use crate::delivery::attempts::VerifyStatus;
use crate::domain::{AttemptId, AttemptLogKey, Channel, NumberKey, ServiceId, Sid, Timestamp};
use crate::engine::{
    CheckOutcome, Ending, SendPermit, SendResult, Verification, VerificationAddress, VerificationName,
};
use crate::gateway::{Receipt, ReceiptStatus};
use crate::observe::metrics::WebhookEnd;
use crate::observe::trace::SpanContext;
use crate::registry::{Service, Webhook, WebhookStatus};
use crate::shard::{Id, LogRecord as _, Transaction};

const OF_VERIFICATIONS: [EventType; 7] = [
    EventType::Created,
    EventType::Sent,
    EventType::Approved,
    EventType::Canceled,
    EventType::MaxAttemptsReached,
    EventType::Failed,
    EventType::Expired,
];

/// The events of one decision about one verification of a service with webhooks.
pub struct NumberEvents<'a, 'b> {
    outbox: &'a Arc<Outbox>,
    service: Arc<Service>,
    key: NumberKey,
    name: VerificationName,
    cause: Option<&'a SpanContext>,
    view: &'a mut Transaction<'b>,
    id: Id,
    before: EventRecord,
    record: EventRecord,
}

fn is_enabled(webhook: &Webhook) -> bool {
    webhook.status == WebhookStatus::Enabled
}

impl Outbox {
    pub(super) fn subscribed(&self, service: ServiceId) -> Option<Arc<Service>> {
        let service = self.registry.service_by_id(service);
        service.filter(|service| service.webhooks.iter().any(is_enabled))
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
        let (outbox, record) = (self, before.clone());
        let mut events = NumberEvents { outbox, service, key, name, cause, view, id, before, record };
        tell(&mut events);
        events.write();
    }

    /// Records an event of the verification with this id, 0 without one.
    pub(super) fn record(self: &Arc<Self>, verification: u64, event: Event, view: &mut Transaction<'_>) {
        let key = NumberKey::new(event.service, event.to);
        self.tell(key, verification, None, view, |events| events.emit(event));
    }

    /// Records the end of a verification, if it is due.
    pub(super) fn expire(self: &Arc<Self>, id: Id, view: &mut Transaction<'_>) {
        let end = view.get::<EventRecord>(id).and_then(|record| record.end);
        let Some(end) = end.filter(|end| view.now() >= end.due()) else { return };
        if end.is_announced {
            let event = end.event(EventType::Expired, end.expires);
            self.record(AttemptLogKey::from_id(id).verification, event, view);
        }
        let record = view.get::<EventRecord>(id).map(|record| EventRecord { end: None, ..record });
        view.put(id, record.filter(|record| !record.deliveries.is_empty()).as_ref());
    }

    /// Counts an event that a webhook does not get, when the decision is durable. The log has the first one, and after it
    /// each doubling.
    fn drop_event(self: &Arc<Self>, service: &Arc<Service>, webhook: Sid, view: &Transaction<'_>) {
        let (outbox, service, slot, now) = (Arc::clone(self), Arc::clone(service), view.slot(), view.now());
        tokio::spawn(async move {
            // What is read behind a decision comes when that is durable.
            if outbox.shards.router().read(slot, |_, _| ()).await.is_err() {
                return;
            }
            outbox.shards.metrics().webhook(WebhookEnd::Dropped);
            let dropped = outbox.count_dropped((service.id, webhook), now);
            if dropped.is_power_of_two() {
                let (service, pending) = (service.name(), outbox.backlog());
                tracing::warn!(service, %webhook, dropped, pending, "webhook events dropped; too many are pending");
            }
        });
    }

    /// Removes the records about `key`, also of events that are not delivered yet. Returns `true` if there was one.
    pub fn erase(&self, key: NumberKey, view: &mut Transaction<'_>) -> bool {
        let is_about = |id: &Id, record: &EventRecord| {
            AttemptLogKey::from_id(*id).service == key.service && record.is_about(key.number)
        };
        let about = view.in_slot(is_about);
        for (id, _) in &about {
            view.put::<EventRecord>(*id, None);
        }
        !about.is_empty()
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
        if self.before.may_forget() && !self.outbox.has_room_for_end(self.service.id) {
            // None of the verification's events is sent.
            let subscribes =
                |webhook: &&Webhook| OF_VERIFICATIONS.iter().any(|kind| webhook.subscribes_to(*kind));
            let dropped = self.service.webhooks.iter().filter(subscribes);
            return dropped.for_each(|of| self.outbox.drop_event(&self.service, of.sid, self.view));
        }
        let mut end = self.record.end.take().unwrap_or_else(|| self.new_end(channel));
        (end.channel, end.expires) = (channel, verification.expires);
        if let Some(tags) = tags.filter(|_| end.tags.is_empty()) {
            end.tags.clone_from(tags);
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
        let Some(end) = self.record.end.take() else { return };
        match result {
            SendResult::Accepted { .. } | SendResult::Postponed { .. } => self.sent(end),
            SendResult::NumberRefused
            | SendResult::Failed { .. }
            | SendResult::NoLongerUsable
            | SendResult::Overloaded => {
                if is_sending {
                    self.record.end = Some(end);
                } else {
                    self.not_sent(end, permit, *result == SendResult::Overloaded);
                }
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
                if is_spent && (!verification.is_spent() || self.record.end.is_some()) =>
            {
                EventType::MaxAttemptsReached
            }
            CheckOutcome::Wrong { .. }
            | CheckOutcome::LockedNow { .. }
            | CheckOutcome::Locked { .. }
            | CheckOutcome::NoChecksLeft { .. }
            | CheckOutcome::NotFound
            | CheckOutcome::GatewayFailed => return,
        };
        self.ended(kind, verification);
    }

    /// A fixed lockout or a hard stop of the number begins, by a check of this verification if the number has one.
    pub fn locked(&mut self, verification: Option<&Verification>, until: Timestamp) {
        let channel = verification.and_then(|v| v.counted).map_or(Channel::Sms, |c| c.channel);
        let end = self.end_or(channel);
        let event = end.event(EventType::NumberLocked, self.view.now());
        self.emit(Event { detail: Detail::LockedUntil(until), ..event });
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
            ReceiptStatus::Queued
            | ReceiptStatus::Sending
            | ReceiptStatus::Sent
            | ReceiptStatus::Answered
            | ReceiptStatus::Read => return,
        };
        let detail = Detail::Message(MessageAbout {
            attempt: self.outbox.sealer.attempt(&AttemptId { key: log, ..receipt.attempt }),
            status: receipt.status.as_str().to_owned(),
            error_code: receipt.code,
        });
        let mut event = self.end_or(row.channel).event(kind, self.view.now());
        if status == VerifyStatus::Success {
            "approved".clone_into(&mut event.status);
        }
        self.emit(Event { channel: row.channel, detail, ..event });
    }

    /// The end that is expected, or that of a verification whose end is recorded.
    fn end_or(&self, channel: Channel) -> ExpectedEnd {
        self.record.end.clone().unwrap_or_else(|| self.new_end(channel))
    }

    fn new_end(&self, channel: Channel) -> ExpectedEnd {
        let NumberKey { service, number, .. } = self.key;
        let address = VerificationAddress { service, number, name: self.name };
        ExpectedEnd {
            service,
            verification: self.outbox.sealer.verification(&address),
            to: number,
            channel,
            expires: self.view.now(),
            tags: BTreeMap::new(),
            is_announced: false,
        }
    }

    /// Adds a delivery of an event for each enabled webhook that subscribes to it.
    fn emit(&mut self, mut event: Event) {
        let now = self.view.now();
        event.id = EventId::new(self.view.rng().random());
        let mut added = 0;
        for webhook in self.service.webhooks.iter().filter(|webhook| webhook.subscribes_to(event.kind)) {
            let has_room = self.outbox.room((self.service.id, webhook.sid)) > added;
            if has_room && self.record.add(Delivery::new(event.clone(), webhook.sid, now)) {
                added += 1;
            } else {
                self.outbox.drop_event(&self.service, webhook.sid, self.view);
            }
        }
        if let Some(cause) = self.cause.filter(|_| added > 0) {
            // Before the commit, because the delivery may begin as soon as the event is durable. The id of an event that is
            // not written is never asked for.
            cause.note_cause_of(event.id.to_bytes());
        }
    }

    fn write(self) {
        let Self { view, id, record, .. } = self;
        view.put(id, Some(&record).filter(|record| **record != EventRecord::default()));
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

    /// No gateway took the message. The first one that fails ends its verification.
    fn not_sent(&mut self, mut end: ExpectedEnd, permit: &SendPermit, is_refused: bool) {
        if end.is_announced {
            // The replaced code is valid again, until its own expiry.
            if let Some(earlier) = permit.replaced.filter(|earlier| earlier.name() == self.name) {
                end.expires = earlier.expires;
            }
            self.record.end = Some(end);
        } else if !is_refused && permit.verification.counted.is_none_or(|counted| counted.sends <= 1) {
            self.emit(end.event(EventType::Failed, self.view.now()));
        }
    }

    /// The verification has ended. A check may be faster than the gateway's answer to the send: the events of the start
    /// come first.
    fn ended(&mut self, kind: EventType, verification: &Verification) {
        let (expected, now) = (self.record.end.take(), self.view.now());
        if let Some(end) = expected.as_ref().filter(|end| !end.is_announced) {
            self.emit(end.event(EventType::Created, now));
            // Only a right code proves that the message was sent.
            if kind == EventType::Approved {
                self.emit(end.event(EventType::Sent, now));
            }
        }
        let channel = verification.counted.map_or(Channel::Sms, |counted| counted.channel);
        let end = expected.unwrap_or_else(|| self.new_end(channel));
        self.emit(end.event(kind, now));
    }
}
