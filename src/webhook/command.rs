//! The changes of records for webhooks, each in the slot of its record.

use std::sync::Arc;

use rand::Rng as _;

use super::record::{Delivery, DeliveryState, EventRecord, WebhookHealth, slot_of};
use super::recorder::EventRecorder;
use super::transport::Posted;
use super::{Event, EventId, EventType};
use crate::domain::Timestamp;
use crate::shard::{Durability, Id, Subject, Transaction};

/// A change of the record with this id.
pub(super) struct EventChange {
    pub(super) id: Id,
    pub(super) recorder: Arc<EventRecorder>,
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

impl EventChange {
    pub(super) fn subject(&self) -> Subject {
        Subject { slot: slot_of(&self.id), id: self.id }
    }

    pub(super) fn decide(&self, request: WebhookRequest, view: &mut Transaction<'_>) -> WebhookOutcome {
        let decided = match request {
            WebhookRequest::Expire => self.expire(view),
            WebhookRequest::Conclude(at, posted) => self.conclude(at, posted, view),
            WebhookRequest::Replay => self.replay(view),
            WebhookRequest::Announce(event) => {
                if let Some(service) = self.recorder.subscribed(event.service) {
                    self.recorder.emit(&service, &event, None, view);
                }
                Some(WebhookOutcome::Done)
            }
        };
        decided.unwrap_or(WebhookOutcome::Nothing)
    }

    fn delivery(&self, view: &mut Transaction<'_>) -> Option<Box<Delivery>> {
        match view.get::<EventRecord>(self.id)? {
            EventRecord::Delivery(delivery) => Some(delivery),
            EventRecord::Expected(_) => None,
        }
    }

    fn put(&self, delivery: Box<Delivery>, durability: Durability, view: &mut Transaction<'_>) {
        view.put(self.id, Some(&EventRecord::Delivery(delivery)), durability);
    }

    fn expire(&self, view: &mut Transaction<'_>) -> Option<WebhookOutcome> {
        let EventRecord::Expected(end) = view.get::<EventRecord>(self.id)? else { return None };
        if view.now() < end.due() {
            return None;
        }
        let event = end.event(EventType::Expired, "expired", end.expires);
        if end.is_announced
            && let Some(service) = self.recorder.subscribed(event.service)
        {
            self.recorder.emit(&service, &event, None, view);
        }
        view.put::<EventRecord>(self.id, None, Durability::Durable);
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
