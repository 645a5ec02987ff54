//! Webhooks: an event for each thing that happens to a verification, posted in the form of Standard Webhooks.
//!
//! `EventRecorder` writes events in the commits of the decisions. Each shard stores the deliveries of its numbers.
//! `Queues`, derived from these records, begins the attempts: up to eight at once for each webhook, one for each
//! verification. An event is delivered at least once, and those of a verification in order.

mod dispatch;
mod event;
mod list;
mod queues;
mod record;
mod recorder;
mod request;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use self::dispatch::Inner;
use self::queues::Queues;
use crate::domain::{ServerKey, record_id};
use crate::engine::{Sealer, SlotHash};
use crate::limits::guard::AlertConsumer;
use crate::observe::log_limit::OncePerSecond;
use crate::observe::trace::Tracer;
use crate::registry::Registry;
use crate::shard::{RecordLog, Refusal, Shards, Usage};

pub use self::event::{About, Detail, Event};
pub use self::event::{EventId, MessageAbout};
pub use self::list::{DeliveryQuery, Replay, ReplayError};
pub use self::queues::{OutboxBounds, WebhookLoad};
pub use self::record::EventRecord;
pub use self::record::WebhookAttempt;
pub use self::record::{Delivery, DeliveryState};
pub use self::recorder::{Dropped, EventRecorder, NumberEvents};
pub use self::request::AttemptError;
pub use self::request::{Post, Posted, Transport, network_transport};
pub use crate::registry::EventType;

/// The longest time a stop waits for attempts in progress. Longer attempts are repeated after the next start.
const CLOSING: Duration = Duration::from_secs(3);

/// Time for a receiver to answer: see [`network_transport`].
pub const ATTEMPT_TIME: Duration = Duration::from_secs(15);

/// A cheap handle on the outbox.
#[derive(Clone)]
pub struct Outbox {
    inner: Arc<Inner>,
}

impl Outbox {
    /// Delivers pending events until the last handle is dropped or [`Outbox::close`]. Needs a tokio runtime.
    /// `transport` is a [`network_transport`], and `tracer` makes the spans of deliveries.
    pub fn start(
        shards: Shards,
        key: &ServerKey,
        registry: Registry,
        transport: Transport,
        bounds: OutboxBounds,
        tracer: Option<Arc<Tracer>>,
    ) -> Self {
        let kept = bounds.kept;
        let queues = Arc::new(Queues::new(bounds));
        let recorder = Arc::new(EventRecorder {
            registry: registry.clone(),
            sealer: Sealer::new(key),
            queues: Arc::clone(&queues),
            metrics: Arc::clone(shards.metrics()),
        });
        let own_queues = Arc::clone(&queues);
        let log = RecordLog::follow_with(&shards, kept, Duration::MAX, move |_| {
            let queues = Arc::clone(&own_queues);
            move |key: &_, before: Option<&_>, after: Option<&_>| queues.changed(key, before, after)
        });
        let unattempted = OncePerSecond::default();
        let inner =
            Arc::new(Inner { shards, registry, transport, queues, log, recorder, tracer, unattempted });
        tokio::spawn(dispatch::run(Arc::downgrade(&inner), Arc::clone(&inner.queues)));
        Self { inner }
    }

    /// Deliveries that are still to be made.
    pub fn backlog(&self) -> usize {
        self.inner.queues.pending()
    }

    /// Deliveries that are still to be made, and the number that one service may have.
    pub fn usage(&self) -> Usage {
        Usage { held: self.backlog(), limit: self.inner.queues.most_pending() }
    }

    /// The recorder that writes events within decisions about numbers.
    pub fn recorder(&self) -> Arc<EventRecorder> {
        Arc::clone(&self.inner.recorder)
    }

    /// Records an event that follows no decision about a number, in this slot. Durable when it returns.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn announce(&self, event: Event, slot: u8) -> Result<(), Refusal> {
        let id = record_id(event.service, u64::from(slot));
        let dropped = self.inner.change(id, move |recorder, view| recorder.announce(&event, view)).await?;
        self.inner.recorder.count_drops(dropped);
        Ok(())
    }

    /// Hands empty allowances and spent budgets to the webhooks of the service whose message led to them. Needs a tokio
    /// runtime.
    pub fn guard_alerts(&self, key: &ServerKey) -> AlertConsumer {
        let (slots, outbox) = (SlotHash::new(key), self.clone());
        Box::new(move |message, about| {
            let (service, number) = (message.service, message.number);
            let Some(subscriber) = outbox.inner.recorder.subscribed(service) else { return };
            let is_budget = about.subject.is_none();
            let kind = if is_budget { EventType::GuardBudgetSpent } else { EventType::GuardBlocked };
            let about = About {
                to: number,
                channel: message.channel,
                status: "blocked".to_owned(),
                detail: Detail::Guard(about),
                locked_until: None,
                tags: BTreeMap::new(),
            };
            let (verification, at) = (subscriber.sid, outbox.inner.clock().now());
            let event = Event { kind, service, verification, at, about };
            let (outbox, slot) = (outbox.clone(), slots.of_number(service, number));
            tokio::spawn(async move {
                if let Err(error) = outbox.announce(event, slot).await {
                    tracing::warn!(%error, event = kind.as_str(), "event of the guard lost");
                }
            });
        })
    }

    /// Begins no attempt any more, and waits up to 3 s for those that are under way.
    pub async fn close(&self) {
        let queues = &self.inner.queues;
        queues.close();
        let idle = async {
            while queues.under_way() > 0 {
                queues.idle.notified().await;
            }
        };
        let _ = tokio::time::timeout(CLOSING, idle).await;
    }
}
