//! The commands about records for webhooks, each to the slot of its record.

use std::sync::Arc;

use rand::Rng as _;
use tokio::sync::oneshot;

use super::record::{Delivery, DeliveryState, EventRecord, WebhookHealth, slot_of};
use super::recorder::EventRecorder;
use super::transport::Posted;
use super::{Event, EventId, EventType};
use crate::domain::Timestamp;
use crate::shard::{Command, Decision, Durability, Id, Refusal, ReplyContext, Subject, Transaction};

pub(super) struct EventCommand {
    subject: Subject,
    recorder: Arc<EventRecorder>,
    request: WebhookRequest,
    reply: oneshot::Sender<Result<WebhookOutcome, Refusal>>,
    outcome: Option<WebhookOutcome>,
}

pub(super) enum WebhookRequest {
    /// An expected end is due.
    Expire,
    /// An attempt that began at this moment has ended.
    Conclude(Timestamp, Posted),
    Replay,
    /// An event that follows no decision of its slot.
    Announce(Box<Event>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum WebhookOutcome {
    Done,
    Nothing,
    Concluded(EventId, DeliveryState, WebhookHealth),
}

pub(super) type ReplyReceiver = oneshot::Receiver<Result<WebhookOutcome, Refusal>>;

impl EventCommand {
    /// A command about the record with this id.
    pub(super) fn new(
        id: Id,
        request: WebhookRequest,
        recorder: &Arc<EventRecorder>,
    ) -> (Box<Self>, ReplyReceiver) {
        let subject = Subject { slot: slot_of(&id), id };
        let (reply, answer) = oneshot::channel();
        let recorder = Arc::clone(recorder);
        (Box::new(Self { subject, recorder, request, reply, outcome: None }), answer)
    }

    fn delivery(&self, view: &mut Transaction<'_>) -> Option<Box<Delivery>> {
        match view.get::<EventRecord>(self.subject.id)? {
            EventRecord::Delivery(delivery) => Some(delivery),
            EventRecord::Expected(_) => None,
        }
    }

    fn put(&self, delivery: Box<Delivery>, durability: Durability, view: &mut Transaction<'_>) {
        view.put(self.subject.id, Some(&EventRecord::Delivery(delivery)), durability);
    }

    fn expire(&self, view: &mut Transaction<'_>) -> Option<WebhookOutcome> {
        let EventRecord::Expected(end) = view.get::<EventRecord>(self.subject.id)? else { return None };
        if view.now() < end.due() {
            return None;
        }
        let event = end.event(EventType::Expired, "expired", end.expires);
        if end.is_announced
            && let Some(service) = self.recorder.subscribed(event.service)
        {
            self.recorder.emit(&service, &event, None, view);
        }
        view.put::<EventRecord>(self.subject.id, None, Durability::Durable);
        Some(WebhookOutcome::Done)
    }

    fn conclude(&self, at: Timestamp, posted: Posted, view: &mut Transaction<'_>) -> Option<WebhookOutcome> {
        let mut delivery = self.delivery(view).filter(|d| d.state == DeliveryState::Pending)?;
        let random = view.rng().next_u32();
        let health = delivery.conclude(at, view.now(), posted, random);
        let (id, state) = (delivery.id, delivery.state);
        // After a crash that loses this change, the retry is made earlier.
        let is_over = state != DeliveryState::Pending;
        self.put(delivery, if is_over { Durability::Durable } else { Durability::Lazy }, view);
        Some(WebhookOutcome::Concluded(id, state, health))
    }

    fn replay(&self, view: &mut Transaction<'_>) -> Option<WebhookOutcome> {
        let mut delivery = self.delivery(view)?;
        delivery.restart(view.now());
        self.put(delivery, Durability::Durable, view);
        Some(WebhookOutcome::Done)
    }
}

impl Command for EventCommand {
    fn subject(&self) -> Subject {
        self.subject
    }

    fn decide(&mut self, view: &mut Transaction<'_>) -> Decision {
        let decided = match &self.request {
            WebhookRequest::Expire => self.expire(view),
            WebhookRequest::Conclude(at, posted) => self.conclude(*at, posted.clone(), view),
            WebhookRequest::Replay => self.replay(view),
            WebhookRequest::Announce(event) => {
                if let Some(service) = self.recorder.subscribed(event.service) {
                    self.recorder.emit(&service, event, None, view);
                }
                Some(WebhookOutcome::Done)
            }
        };
        self.outcome = Some(decided.unwrap_or(WebhookOutcome::Nothing));
        Decision::Made
    }

    fn answer(self: Box<Self>, _: &mut ReplyContext<'_>) {
        let _ = self.reply.send(self.outcome.ok_or(Refusal::StoreUnavailable));
    }

    fn refuse(self: Box<Self>, refusal: Refusal) {
        let _ = self.reply.send(Err(refusal));
    }
}
