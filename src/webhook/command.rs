//! The changes of records for webhooks, each in the slot of its record.

use std::sync::Arc;

use rand::Rng as _;

use super::record::{Delivery, DeliveryState, EventRecord, WebhookHealth, slot_of};
use super::recorder::EventRecorder;
use super::transport::Posted;
use super::{Event, EventId, EventType, Inner};
use crate::domain::Timestamp;
use crate::shard::{Durability, Id, Refusal, Subject, Transaction};

impl Inner {
    /// Carries out a change of the record with this id. It is durable when this returns.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        id: Id,
        change: impl Fn(&EventRecorder, &mut Transaction<'_>) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let (recorder, subject) = (Arc::clone(&self.recorder), Subject { slot: slot_of(&id), id });
        let decide = move |view: &mut Transaction<'_>| Ok(change(&recorder, view));
        self.shards.router().decide_unbounded(subject, decide).await.unwrap_or(Err(Refusal::Stopping))
    }
}

impl EventRecorder {
    /// Writes an event that follows no decision of its slot.
    pub(super) fn announce(&self, event: &Event, view: &mut Transaction<'_>) {
        if let Some(service) = self.subscribed(event.service) {
            self.emit(&service, event, None, view);
        }
    }

    /// An expected end may be due.
    pub(super) fn expire(&self, id: Id, view: &mut Transaction<'_>) {
        let Some(EventRecord::Expected(end)) = view.get::<EventRecord>(id) else { return };
        if view.now() < end.due() {
            return;
        }
        if end.is_announced {
            self.announce(&end.event(EventType::Expired, "expired", end.expires), view);
        }
        view.put::<EventRecord>(id, None, Durability::Durable);
    }
}

/// An attempt that began at `at` has ended. `None` if its delivery is not pending any more.
pub(super) fn conclude(
    id: Id,
    at: Timestamp,
    posted: Posted,
    view: &mut Transaction<'_>,
) -> Option<(EventId, DeliveryState, WebhookHealth)> {
    let mut delivery = delivery(id, view).filter(|d| d.state == DeliveryState::Pending)?;
    let random = view.rng().next_u32();
    let health = delivery.conclude(at, view.now(), posted, random);
    let (event, state) = (delivery.id, delivery.state);
    // After a crash that loses this change, the retry is made earlier.
    let is_over = state != DeliveryState::Pending;
    let durability = if is_over { Durability::Durable } else { Durability::Lazy };
    view.put(id, Some(&EventRecord::Delivery(delivery)), durability);
    Some((event, state, health))
}

/// Makes a delivery due again. `false` without it.
pub(super) fn replay(id: Id, view: &mut Transaction<'_>) -> bool {
    let Some(mut delivery) = delivery(id, view) else { return false };
    delivery.restart(view.now());
    view.put(id, Some(&EventRecord::Delivery(delivery)), Durability::Durable);
    true
}

fn delivery(id: Id, view: &mut Transaction<'_>) -> Option<Box<Delivery>> {
    match view.get::<EventRecord>(id)? {
        EventRecord::Delivery(delivery) => Some(delivery),
        EventRecord::Expected(_) => None,
    }
}
