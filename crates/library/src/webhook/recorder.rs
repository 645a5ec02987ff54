//! Writes events for decisions about numbers. It runs within the decision: the event and the decision become durable
//! together. The events of a number have the order of its decisions.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::RngExt as _;

use super::queues::Queues;
use super::record::{Delivery, EventRecord, ExpectedEnd, expected_id};
use super::{Detail, Event, EventId, EventType, MessageAbout};
use crate::delivery::Attempt;
use crate::delivery::attempts::VerifyStatus;
use crate::domain::{AttemptId, AttemptLogKey, Channel, NumberKey, ServiceId, Sid, Timestamp};
use crate::engine::{
    CheckOutcome, Ending, Sealer, SendPermit, SendResult, Verification, VerificationAddress, VerificationName,
};
use crate::gateway::{Receipt, ReceiptStatus};
use crate::observe::metrics::{Metrics, WebhookEnd};
use crate::observe::trace::SpanContext;
use crate::registry::{Registry, Service, Webhook, WebhookStatus};
use crate::shard::{Id, Transaction};

/// Writes event records within decisions about numbers.
pub struct EventRecorder {
    pub(super) registry: Registry,
    pub(super) sealer: Sealer,
    pub(super) queues: Arc<Queues>,
    pub(super) metrics: Arc<Metrics>,
}

/// Writes the events of one decision about one verification of a service with webhooks.
pub struct NumberEvents<'a, 'b> {
    recorder: &'a EventRecorder,
    service: Arc<Service>,
    key: NumberKey,
    id: Id,
    name: VerificationName,
    cause: Option<&'a SpanContext>,
    view: &'a mut Transaction<'b>,
    /// For [`EventRecorder::count_drops`] once the decision is durable.
    pub dropped: Vec<Dropped>,
}

/// An event that a webhook does not get, because there is no room.
pub struct Dropped {
    service: Arc<Service>,
    webhook: Sid,
    at: Timestamp,
}

impl EventRecorder {
    /// Writes one delivery of an event for each enabled webhook that subscribes to it. Returns those for which there is no
    /// room.
    pub(super) fn emit(
        &self,
        service: &Arc<Service>,
        event: &Event,
        cause: Option<&SpanContext>,
        view: &mut Transaction<'_>,
    ) -> Vec<Dropped> {
        let mut dropped = Vec::new();
        let mut wanted =
            service.webhooks.iter().filter(|webhook| webhook.subscribes_to(event.kind)).peekable();
        if wanted.peek().is_none() {
            return dropped;
        }
        let (id, now) = (EventId::new(view.rng().random()), view.now());
        if let Some(cause) = cause {
            // Before the commit, because the delivery may begin as soon as the event is durable. The id of an event that is
            // not written is never asked for.
            cause.note_cause_of(id.to_bytes());
        }
        let mut added = 0;
        for webhook in wanted {
            // The queues learn of a delivery by its commit: they do not count those that this event has just added.
            if self.queues.room(service.id, webhook.sid, added) == 0 {
                dropped.push(Dropped { service: Arc::clone(service), webhook: webhook.sid, at: now });
                continue;
            }
            added += 1;
            let seq = self.queues.next_seq(view.slot(), now);
            let delivery = Delivery::new(id, event.clone(), webhook.sid, now);
            let record = EventRecord::Delivery(Box::new(delivery));
            view.put(seq.key(service.id).id, Some(&record));
        }
        dropped
    }

    /// Counts what a durable decision dropped. Of one whose commit has an unknown outcome nothing is counted.
    pub fn count_drops(&self, dropped: Vec<Dropped>) {
        for Dropped { service, webhook, at } in dropped {
            self.metrics.webhook(WebhookEnd::Dropped);
            self.queues.count_drop(&service, webhook, at);
        }
    }

    /// Writes an event that follows no decision of its slot.
    pub(super) fn announce(&self, event: &Event, view: &mut Transaction<'_>) -> Vec<Dropped> {
        let service = self.subscribed(event.service);
        service.map(|service| self.emit(&service, event, None, view)).unwrap_or_default()
    }

    /// An expected end may be due.
    pub(super) fn expire(&self, id: Id, view: &mut Transaction<'_>) -> Vec<Dropped> {
        let record = view.get::<EventRecord>(id);
        let end = record.as_ref().and_then(EventRecord::expected);
        let Some(end) = end.filter(|end| view.now() >= end.due()) else { return Vec::new() };
        let announced = end.is_announced.then(|| end.event(EventType::Expired, "expired", end.expires));
        view.put::<EventRecord>(id, None);
        announced.map(|event| self.announce(&event, view)).unwrap_or_default()
    }

    pub(super) fn subscribed(&self, service: ServiceId) -> Option<Arc<Service>> {
        let is_enabled = |webhook: &Webhook| webhook.status == WebhookStatus::Enabled;
        self.registry.service_by_id(service).filter(|service| service.webhooks.iter().any(is_enabled))
    }

    /// Removes the records about `key`, also of events that are not delivered yet. Returns `true` if there was one.
    pub fn erase(&self, key: NumberKey, view: &mut Transaction<'_>) -> bool {
        let about =
            view.in_slot(|_, record: &EventRecord| record.service_about(key.number) == Some(key.service));
        for (id, _) in &about {
            view.put::<EventRecord>(*id, None);
        }
        !about.is_empty()
    }

    /// Whether decisions about `key` have events.
    pub fn subscribes(&self, key: NumberKey) -> bool {
        self.subscribed(key.service).is_some()
    }

    /// For the events of a decision about `key` and a verification of this id; `None` without an enabled
    /// webhook. `cause` is the client's request, if it is traced. If the commit fails, a drawn sequence number stays used.
    pub fn of<'a, 'b>(
        &'a self,
        key: NumberKey,
        verification: u64,
        cause: Option<&'a SpanContext>,
        view: &'a mut Transaction<'b>,
    ) -> Option<NumberEvents<'a, 'b>> {
        let (service, name) = (self.subscribed(key.service)?, VerificationName::of(verification));
        let id = expected_id(key.service, name, view.slot());
        Some(NumberEvents { recorder: self, service, key, id, name, cause, view, dropped: Vec::new() })
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
        let mut end = self.expected().unwrap_or_else(|| self.end(channel));
        (end.channel, end.expires) = (channel, verification.expires);
        if let Some(tags) = tags.filter(|_| end.tags.is_empty()) {
            end.tags.clone_from(tags);
        }
        // A test number is sent no message.
        if self.key.is_test { self.sent(end) } else { self.expect(Some(end)) }
    }

    /// A planned message of the verification, which is as it is now, is permitted.
    pub fn prolonged(&mut self, verification: &Verification) {
        if let Some(end) = self.expected().filter(|end| end.expires < verification.expires) {
            self.expect(Some(ExpectedEnd { expires: verification.expires, ..end }));
        }
    }

    /// A send that a client requested has ended. `is_sending` says whether another message with the same code, which may
    /// begin the verification yet, is on its way.
    pub fn settled(&mut self, permit: &SendPermit, result: &SendResult, is_sending: bool) {
        // A verification that has ended already has its final event.
        let Some(end) = self.expected() else { return };
        match result {
            SendResult::Accepted { .. } | SendResult::Postponed { .. } => self.sent(end),
            SendResult::NumberRefused
            | SendResult::Failed { .. }
            | SendResult::NoLongerUsable
            | SendResult::Overloaded => {
                if !is_sending {
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
                if is_spent && (!verification.is_spent() || self.expected().is_some()) =>
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
        let end = self.expected().unwrap_or_else(|| self.end(channel));
        let mut event = end.event(EventType::NumberLocked, "max_attempts_reached", self.view.now());
        event.about.locked_until = Some(until);
        self.emit(&event);
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
        let is_verified = status == VerifyStatus::Success;
        let end = self.expected().unwrap_or_else(|| self.end(row.channel));
        let mut report = end.event(kind, if is_verified { "approved" } else { PENDING }, self.view.now());
        report.about.channel = row.channel;
        report.about.detail = Detail::Message(MessageAbout {
            attempt: self.recorder.sealer.attempt(&AttemptId { key: log, ..receipt.attempt }),
            status: receipt.status.as_str().to_owned(),
            error_code: receipt.code,
        });
        self.emit(&report);
    }

    fn expected(&mut self) -> Option<ExpectedEnd> {
        self.view.get::<EventRecord>(self.id)?.expected().cloned()
    }

    fn end(&self, channel: Channel) -> ExpectedEnd {
        let NumberKey { service, number, .. } = self.key;
        let address = VerificationAddress { service, number, name: self.name };
        ExpectedEnd {
            service,
            verification: self.recorder.sealer.verification(&address),
            to: number,
            channel,
            expires: self.view.now(),
            tags: BTreeMap::new(),
            is_announced: false,
        }
    }

    fn expect(&mut self, end: Option<ExpectedEnd>) {
        if end.is_some()
            && self.expected().is_none()
            && !self.recorder.queues.has_room_for_end(self.service.id)
        {
            // None of the verification's events is sent.
            let enabled = self.service.webhooks.iter().filter(|hook| hook.status == WebhookStatus::Enabled);
            let (service, at) = (&self.service, self.view.now());
            let dropped = |hook: &Webhook| Dropped { service: Arc::clone(service), webhook: hook.sid, at };
            self.dropped.extend(enabled.map(dropped));
            return;
        }
        let record = end.map(|end| EventRecord::Expected(Box::new(end)));
        self.view.put(self.id, record.as_ref());
    }

    fn emit(&mut self, event: &Event) {
        self.dropped.extend(self.recorder.emit(&self.service, event, self.cause, self.view));
    }

    fn sent(&mut self, mut end: ExpectedEnd) {
        let now = self.view.now();
        if !end.is_announced {
            self.emit(&end.event(EventType::Created, PENDING, now));
        }
        self.emit(&end.event(EventType::Sent, PENDING, now));
        end.is_announced = true;
        self.expect(Some(end));
    }

    /// No gateway took the message. The first one that fails ends its verification.
    fn not_sent(&mut self, mut end: ExpectedEnd, permit: &SendPermit, is_refused: bool) {
        if !end.is_announced {
            if !is_refused && permit.verification.counted.is_none_or(|counted| counted.sends <= 1) {
                self.emit(&end.event(EventType::Failed, "failed", self.view.now()));
            }
            return self.expect(None);
        }
        // The replaced code is valid again, until its own expiry.
        if let Some(earlier) = permit.replaced.filter(|earlier| earlier.name() == self.name) {
            end.expires = earlier.expires;
            self.expect(Some(end));
        }
    }

    /// The verification has ended. A check may be faster than the gateway's answer to the send: the events of the start
    /// come first.
    fn ended(&mut self, kind: EventType, verification: &Verification) {
        let (expected, now) = (self.expected(), self.view.now());
        if let Some(end) = expected.as_ref().filter(|end| !end.is_announced) {
            self.emit(&end.event(EventType::Created, PENDING, now));
            // Only a right code proves that the message was sent.
            if kind == EventType::Approved {
                self.emit(&end.event(EventType::Sent, PENDING, now));
            }
        }
        let status = match kind {
            EventType::Approved => "approved",
            EventType::Canceled => "canceled",
            _ => "max_attempts_reached",
        };
        let is_expected = expected.is_some();
        let end = expected.unwrap_or_else(|| {
            self.end(verification.counted.map_or(Channel::Sms, |counted| counted.channel))
        });
        self.emit(&end.event(kind, status, now));
        if is_expected {
            self.expect(None);
        }
    }
}

const PENDING: &str = "pending";
