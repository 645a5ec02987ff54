//! Writes events for decisions about numbers. It runs within the decision: the event and the decision become durable
//! together. The events of a number have the order of its decisions.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::RngExt as _;

use super::queues::Queues;
use super::record::{Delivery, EventRecord, ExpectedEnd, expected_id};
use super::{Detail, Event, EventId, EventType, MessageAbout};
use crate::delivery::attempts::VerifyStatus;
use crate::delivery::{Attempt, Delivered};
use crate::domain::{AttemptId, AttemptLogKey, Channel, NumberKey, ServiceId, Sid, Timestamp};
use crate::engine::{
    CheckOutcome, Ending, Sealer, SendPermit, SendResult, Verification, VerificationAddress, VerificationName,
};
use crate::gateway::{Receipt, ReceiptStatus};
use crate::observe::metrics::{Metrics, WebhookEnd};
use crate::observe::trace::SpanContext;
use crate::registry::{Registry, Service, Webhook, WebhookStatus};
use crate::shard::{Durability, Id, Transaction};

/// A decision about a number.
pub enum NumberEvent<'a> {
    /// A message is permitted.
    Permitted {
        /// The verification as it is now.
        verification: &'a Verification,
        /// The channel of the message.
        channel: Channel,
        /// The tags that the caller attached to the verification.
        tags: Option<&'a BTreeMap<String, String>>,
    },
    /// A send ended.
    Settled {
        permit: &'a SendPermit,
        /// The number's verification as it is now, if it is still the one of the permit.
        verification: Option<&'a Verification>,
        delivered: &'a Delivered,
        /// Whether it was planned, not requested by a client.
        is_follow_up: bool,
    },
    /// A code was checked.
    Checked {
        /// The verification before the check.
        verification: &'a Verification,
        outcome: CheckOutcome,
        /// Whether callers who name the verification have no attempt left after it.
        is_spent: bool,
    },
    /// A fixed lockout or a hard stop of the number begins.
    Locked {
        /// The verification whose check led to it, if the number has one.
        verification: Option<&'a Verification>,
        until: Timestamp,
    },
    /// A verification ended by request.
    Ended {
        /// The verification, as it was before.
        verification: &'a Verification,
        ending: Ending,
    },
    /// A provider reported progress of an attempt. A receipt that changes nothing is not recorded.
    Receipt {
        /// The record of the verification's attempts; [`AttemptLog`](crate::delivery::attempts::AttemptLog) has it as it is now.
        log: AttemptLogKey,
        /// The attempt as it is now.
        row: &'a Attempt,
        status: VerifyStatus,
        receipt: &'a Receipt,
    },
}

/// Writes event records within decisions about numbers.
pub struct EventRecorder {
    pub(super) registry: Registry,
    pub(super) sealer: Sealer,
    pub(super) queues: Arc<Queues>,
    pub(super) metrics: Arc<Metrics>,
}

/// One decision about one verification of a service with webhooks.
struct EventContext<'a, 'b> {
    recorder: &'a EventRecorder,
    service: &'a Service,
    key: NumberKey,
    id: Id,
    name: VerificationName,
    cause: Option<&'a SpanContext>,
    view: &'a mut Transaction<'b>,
}

impl EventRecorder {
    /// Writes one delivery of an event for each enabled webhook that subscribes to it. Beyond the bounds it drops and
    /// counts the event.
    pub(super) fn emit(
        &self,
        service: &Service,
        event: &Event,
        cause: Option<&SpanContext>,
        view: &mut Transaction<'_>,
    ) {
        let mut wanted =
            service.webhooks.iter().filter(|webhook| webhook.subscribes_to(event.kind)).peekable();
        if wanted.peek().is_none() {
            return;
        }
        let (id, now) = (EventId::new(view.rng().random()), view.now());
        if let Some(cause) = cause {
            cause.note_cause_of(id.to_bytes());
        }
        let mut added = 0;
        for webhook in wanted {
            if self.queues.room(service.id, webhook.sid, added) == 0 {
                self.drop_one(service, webhook.sid, now);
                continue;
            }
            added += 1;
            let seq = self.queues.next_seq(view.slot(), now);
            let delivery = Delivery::new(id, event.clone(), webhook.sid, now);
            let record = EventRecord::Delivery(Box::new(delivery));
            view.put(seq.key(service.id).id, Some(&record), Durability::Durable);
        }
    }

    /// Counts an event that a webhook does not get.
    fn drop_one(&self, service: &Service, webhook: Sid, now: Timestamp) {
        self.metrics.webhook(WebhookEnd::Dropped);
        self.queues.count_drop(service, webhook, now);
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
            view.put::<EventRecord>(*id, None, Durability::Durable);
        }
        !about.is_empty()
    }

    /// Whether decisions about `key` have events.
    pub fn subscribes(&self, key: NumberKey) -> bool {
        self.subscribed(key.service).is_some()
    }

    /// Records one decision about `key`, made at `now`. `cause` is the client's request, if it is traced. If the commit
    /// fails, a drawn sequence number stays used.
    pub fn record(
        &self,
        key: NumberKey,
        event: &NumberEvent<'_>,
        now: Timestamp,
        cause: Option<&SpanContext>,
        view: &mut Transaction<'_>,
    ) {
        let Some(service) = self.subscribed(key.service) else { return };
        let id = match event {
            NumberEvent::Settled { permit, .. } => permit.verification.salt.id(),
            NumberEvent::Permitted { verification, .. }
            | NumberEvent::Checked { verification, .. }
            | NumberEvent::Ended { verification, .. } => verification.salt.id(),
            NumberEvent::Locked { verification, .. } => verification.map_or(0, |v| v.salt.id()),
            NumberEvent::Receipt { log, .. } => log.verification,
        };
        let name = VerificationName::of(id);
        let id = expected_id(key.service, name, view.slot());
        let mut context = EventContext { recorder: self, service: &service, key, id, name, cause, view };
        match event {
            NumberEvent::Permitted { verification, channel, tags } => {
                let mut end = context.expected().unwrap_or_else(|| context.end(*channel));
                (end.channel, end.expires) = (*channel, verification.expires);
                if let Some(tags) = tags.filter(|_| end.tags.is_empty()) {
                    end.tags.clone_from(tags);
                }
                // A test number is sent no message.
                if key.is_test {
                    context.sent(end, now);
                } else {
                    context.expect(Some(end));
                }
            }
            NumberEvent::Settled { is_follow_up: true, .. } => {}
            NumberEvent::Settled { permit, verification, delivered, .. } => {
                let result = &delivered.result;
                // A verification that has ended already has its final event.
                let Some(end) = context.expected() else { return };
                let is_sending = verification.is_some_and(|v| v.sending > 0);
                match result {
                    SendResult::Accepted { .. } | SendResult::Postponed { .. } => context.sent(end, now),
                    SendResult::NumberRefused
                    | SendResult::Failed { .. }
                    | SendResult::NoLongerUsable
                    | SendResult::Overloaded => {
                        // Another message with the same code may begin it yet.
                        if !is_sending {
                            context.not_sent(end, permit, *result == SendResult::Overloaded, now);
                        }
                    }
                }
            }
            NumberEvent::Checked { verification, outcome, is_spent, .. } => {
                let kind = match outcome {
                    CheckOutcome::Approved => EventType::Approved,
                    CheckOutcome::LockedNow { .. } if now < verification.expires => {
                        EventType::MaxAttemptsReached
                    }
                    // The event is emitted once. Later wrong codes emit nothing.
                    CheckOutcome::Wrong { live: true, .. }
                        if *is_spent && (!verification.is_spent() || context.expected().is_some()) =>
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
                context.ended(kind, verification.counted.map(|counted| counted.channel), now);
            }
            NumberEvent::Locked { verification, until } => {
                let channel = verification.and_then(|v| v.counted).map_or(Channel::Sms, |c| c.channel);
                let end = context.expected().unwrap_or_else(|| context.end(channel));
                let mut event = end.event(EventType::NumberLocked, "max_attempts_reached", now);
                event.about.locked_until = Some(*until);
                context.emit(&event);
            }
            NumberEvent::Ended { verification, ending } => {
                let kind = match ending {
                    Ending::Approved => EventType::Approved,
                    Ending::Canceled => EventType::Canceled,
                    // An operator cleared the number. The verification emits its expiry event at its normal expiry.
                    Ending::Cleared | Ending::Erased => return,
                };
                context.ended(kind, verification.counted.map(|counted| counted.channel), now);
            }
            NumberEvent::Receipt { log, row, status, receipt } => {
                let kind = match receipt.status {
                    ReceiptStatus::Delivered => EventType::MessageDelivered,
                    ReceiptStatus::Failed => EventType::MessageFailed,
                    ReceiptStatus::Queued
                    | ReceiptStatus::Sending
                    | ReceiptStatus::Sent
                    | ReceiptStatus::Answered
                    | ReceiptStatus::Read => return,
                };
                let is_verified = *status == VerifyStatus::Success;
                let end = context.expected().unwrap_or_else(|| context.end(row.channel));
                let mut report = end.event(kind, if is_verified { "approved" } else { PENDING }, now);
                report.about.channel = row.channel;
                report.about.detail = Detail::Message(MessageAbout {
                    attempt: self.sealer.attempt(&AttemptId { key: *log, ..receipt.attempt }),
                    status: receipt.status.as_str().to_owned(),
                    error_code: receipt.code,
                });
                context.emit(&report);
            }
        }
    }
}

impl EventContext<'_, '_> {
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
            for webhook in enabled {
                self.recorder.drop_one(self.service, webhook.sid, self.view.now());
            }
            return;
        }
        let record = end.map(|end| EventRecord::Expected(Box::new(end)));
        self.view.put(self.id, record.as_ref(), Durability::Durable);
    }

    fn emit(&mut self, event: &Event) {
        self.recorder.emit(self.service, event, self.cause, self.view);
    }

    fn sent(&mut self, mut end: ExpectedEnd, now: Timestamp) {
        if !end.is_announced {
            self.emit(&end.event(EventType::Created, PENDING, now));
        }
        self.emit(&end.event(EventType::Sent, PENDING, now));
        end.is_announced = true;
        self.expect(Some(end));
    }

    /// No gateway took the message. The first one that fails ends its verification.
    fn not_sent(&mut self, mut end: ExpectedEnd, permit: &SendPermit, is_refused: bool, now: Timestamp) {
        if !end.is_announced {
            if !is_refused && permit.verification.counted.is_none_or(|counted| counted.sends <= 1) {
                self.emit(&end.event(EventType::Failed, "failed", now));
            }
            return self.expect(None);
        }
        // The replaced code is valid again, until its own expiry.
        if let Some(earlier) = permit.replaced.filter(|earlier| self.name.is_of(earlier)) {
            end.expires = earlier.expires;
            self.expect(Some(end));
        }
    }

    /// The verification has ended. A check may be faster than the gateway's answer to the send: the events of the start
    /// come first.
    fn ended(&mut self, kind: EventType, channel: Option<Channel>, now: Timestamp) {
        let expected = self.expected();
        if let Some(end) = expected.as_ref().filter(|end| !end.is_announced) {
            self.emit(&end.event(EventType::Created, PENDING, now));
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
        let end = expected.unwrap_or_else(|| self.end(channel.unwrap_or(Channel::Sms)));
        self.emit(&end.event(kind, status, now));
        if is_expected {
            self.expect(None);
        }
    }
}

const PENDING: &str = "pending";
