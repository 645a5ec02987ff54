//! What the handles on the outbox share, and its task, which carries out due work: expiry events, the attempts that may
//! begin, and the changes of records that follow.

use std::sync::{Arc, Weak};
use std::time::Duration;

use rand::Rng as _;

use super::queues::{Attempt, Endpoint, Queues};
use super::record::{
    Delivery, DeliveryState, EventRecord, WebhookAttempt, WebhookHealth, is_too_old, slot_of,
};
use super::recorder::EventRecorder;
use super::request::{self, AttemptError, Post, Posted, Transport};
use crate::clock::Clock;
use crate::domain::{Sid, Timestamp};
use crate::observe::log_limit::OncePerSecond;
use crate::observe::metrics::WebhookEnd;
use crate::observe::trace::{Span, Tracer};
use crate::registry::{Registry, Service, WebhookFields, WebhookStatus};
use crate::shard::{Id, RecordLog, Refusal, Shards, Subject, Transaction};

/// Maximum time between two readings of the clock while work is due later, because an operator may set the clock.
const LOOK_AT_CLOCK: Duration = Duration::from_secs(10);

/// Expected ends that are handed to shards before other tasks run.
const ENDS_AT_ONCE: usize = 256;

/// The wait before a record is changed again, after the store or its shard has failed.
const RETRY: Duration = Duration::from_secs(1);

/// What all handles on the outbox share.
pub(super) struct Inner {
    pub(super) shards: Shards,
    pub(super) registry: Registry,
    pub(super) transport: Transport,
    pub(super) queues: Arc<Queues>,
    pub(super) log: RecordLog<EventRecord>,
    pub(super) recorder: Arc<EventRecorder>,
    pub(super) tracer: Option<Arc<Tracer>>,
    /// Deliveries that end without an attempt.
    pub(super) unattempted: OncePerSecond,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The task ends.
        self.queues.wake.notify_one();
    }
}

/// Begins attempts, and emits expiry events, until the outbox is dropped.
pub(super) async fn run(outbox: Weak<Inner>, queues: Arc<Queues>) {
    loop {
        let Some(inner) = outbox.upgrade() else { return };
        let now = inner.clock().now();
        let due = queues.take(now, ENDS_AT_ONCE);
        for attempt in due.attempts {
            tokio::spawn(Arc::clone(&inner).attempt(attempt));
        }
        for id in due.ends {
            tokio::spawn(Arc::clone(&inner).expire(id));
        }
        // The wait holds no outbox: this task ends with the last handle on it.
        drop(inner);
        let pause = due.next.map_or(LOOK_AT_CLOCK, |next| next.since(now).min(LOOK_AT_CLOCK));
        if pause.is_zero() {
            tokio::task::yield_now().await;
        } else {
            drop(tokio::time::timeout(pause, queues.wake.notified()).await);
        }
    }
}

impl Inner {
    pub(super) fn clock(&self) -> &Arc<dyn Clock> {
        self.shards.clock()
    }

    async fn expire(self: Arc<Self>, id: Id) {
        match self.change(id, move |recorder, view| recorder.expire(id, view)).await {
            Ok(dropped) => self.recorder.count_drops(dropped),
            Err(_) => self.queues.expire_again(self.clock().now().plus(RETRY), id),
        }
    }

    async fn attempt(self: Arc<Self>, attempt: Attempt) {
        let Attempt { endpoint, verification, seq } = attempt;
        let at = self.clock().now();
        let found = self.shards.router().get::<EventRecord>(seq.key(endpoint.service)).await;
        let again = found.is_err().then(|| at.plus(RETRY));
        let delivery = found.ok().flatten().and_then(EventRecord::into_delivery);
        let Some(delivery) = delivery.filter(|delivery| delivery.state == DeliveryState::Pending) else {
            self.queues.set(endpoint, verification, seq, again);
            self.queues.finish(attempt, WebhookHealth::NotAsked, "", at);
            return;
        };
        let posted = match self.request(&delivery, at) {
            Ok(post) => {
                let span = self.tracer.as_ref().and_then(|tracer| tracer.delivery(delivery.id.to_bytes()));
                let posted = self.post(post).await;
                end_span(span, &delivery, &posted);
                posted
            }
            Err((error, words)) => Posted::NotAnswered(error, words.to_owned()),
        };
        self.conclude(attempt, at, posted).await;
    }

    /// The request, or why the receiver is not asked.
    fn request(&self, delivery: &Delivery, now: Timestamp) -> Result<Post, (AttemptError, &'static str)> {
        let removed = (AttemptError::Removed, "the webhook was removed");
        let service = self.registry.service_by_id(delivery.event.service).ok_or(removed)?;
        let webhook = service.webhook(&delivery.webhook).map_err(|_| removed)?;
        if webhook.status != WebhookStatus::Enabled {
            return Err((AttemptError::Disabled, "the webhook is disabled"));
        }
        if is_too_old(now, delivery.since) {
            return Err((AttemptError::TooOld, "its turn did not come in time"));
        }
        let body = request::body(self.registry.account_sid(), service.sid, &delivery.event);
        // Receivers compare the time of the signature with their clocks: that of decisions may be ahead of the wall
        // clock.
        let headers = request::headers(&webhook.secret, delivery.id, self.clock().wall(), &body);
        Ok(Post { url: webhook.url.clone(), headers, body })
    }

    /// Disables a webhook that has answered 410 Gone. Returns whether it succeeded.
    async fn disable(&self, service: Option<&Service>, webhook: Sid) -> bool {
        let Some(service) = service else { return false };
        let fields = WebhookFields { status: Some(WebhookStatus::Disabled), ..WebhookFields::default() };
        self.registry.update_webhook(service.sid, webhook, fields).await.is_ok()
    }

    pub(super) async fn post(&self, post: Post) -> Posted {
        // In a separate task: the delivery continues even if it panics.
        let posted = tokio::spawn((self.transport)(post)).await;
        posted.unwrap_or_else(|_| {
            Posted::NotAnswered(AttemptError::Broken, "the attempt was interrupted".to_owned())
        })
    }

    /// Submits the result of an attempt until it is durable. The next event waits for that.
    async fn conclude(self: Arc<Self>, attempt: Attempt, at: Timestamp, posted: Posted) {
        let id = attempt.seq.key(attempt.endpoint.service).id;
        let mut inner = self;
        let outcome = loop {
            let result = posted.clone();
            match inner.change(id, move |_, view| conclude(id, at, result.clone(), view)).await {
                Ok(outcome) => break outcome,
                // The delivery is still pending on the disk: the next start repeats the attempt.
                Err(_) if inner.queues.is_closing() => break None,
                Err(_) => {
                    // While the store is in trouble, this retry must not keep a dropped outbox alive.
                    let weak = Arc::downgrade(&inner);
                    drop(inner);
                    tokio::time::sleep(RETRY).await;
                    let Some(again) = weak.upgrade() else { return };
                    inner = again;
                }
            }
        };
        let now = inner.clock().now();
        let Some((delivery, health)) = outcome else {
            inner.queues.finish(attempt, WebhookHealth::NotAsked, "", now);
            return;
        };
        let (event, state) = (delivery.id, delivery.state);
        let said = delivery.attempts.last().map(WebhookAttempt::said).unwrap_or_default();
        let Endpoint { service, webhook } = attempt.endpoint;
        let service = inner.registry.service_by_id(service);
        if health == WebhookHealth::Gone {
            // Before the next attempt begins.
            let disabled = inner.disable(service.as_deref(), webhook).await;
            tracing::warn!(service = service.as_ref().map(|own| own.name()), %webhook, disabled, "webhook answered 410");
        }
        let has_changed = inner.queues.finish(attempt, health, &said, now);
        let service = service.map(|service| service.name());
        match health {
            WebhookHealth::Failing(_) if has_changed => {
                tracing::warn!(service, %webhook, said, "webhook failing, events are retried");
            }
            WebhookHealth::Up if has_changed => {
                tracing::info!(service, %webhook, "webhook takes events again");
            }
            _ => {}
        }
        inner.shards.metrics().webhook(match state {
            DeliveryState::Delivered => WebhookEnd::Delivered,
            DeliveryState::Pending => WebhookEnd::Retried,
            DeliveryState::Failed => WebhookEnd::Failed,
        });
        match state {
            DeliveryState::Failed if matches!(health, WebhookHealth::NotAsked | WebhookHealth::Removed) => {
                tracing::debug!(service, %webhook, %event, said, "webhook event failed for good");
                inner.unattempted.note(move |count| {
                    tracing::warn!(service, %webhook, count, said, "webhook events not sent");
                });
            }
            DeliveryState::Failed => {
                tracing::warn!(service, %webhook, %event, said, "webhook event failed for good");
            }
            DeliveryState::Delivered => tracing::debug!(%webhook, %event, "webhook event delivered"),
            DeliveryState::Pending => tracing::debug!(%webhook, %event, said, "webhook event to be retried"),
        }
    }

    /// Carries out a change of the record with this id. It is durable when this returns.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        id: Id,
        change: impl Fn(&EventRecorder, &mut Transaction<'_>) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let (recorder, subject) = (Arc::clone(&self.recorder), Subject { slot: slot_of(&id), id });
        let decide = move |view: &mut Transaction<'_>| Ok(change(&recorder, view));
        self.shards.router().decide_unbounded(subject, decide).await.unwrap_or(Err(Refusal::OutcomeUnknown))
    }
}

/// An attempt that began at `at` has ended. `None` if its delivery is not pending any more.
pub(super) fn conclude(
    id: Id,
    at: Timestamp,
    posted: Posted,
    view: &mut Transaction<'_>,
) -> Option<(Box<Delivery>, WebhookHealth)> {
    let delivery = view.get::<EventRecord>(id).and_then(EventRecord::into_delivery);
    let mut delivery = delivery.filter(|delivery| delivery.state == DeliveryState::Pending)?;
    let random = view.rng().next_u32();
    let health = delivery.conclude(at, view.now(), posted, random);
    let record = EventRecord::Delivery(delivery);
    view.put(id, Some(&record));
    Some((record.into_delivery()?, health))
}

/// Makes a delivery due again. `false` without it.
pub(super) fn replay(id: Id, view: &mut Transaction<'_>) -> bool {
    let delivery = view.get::<EventRecord>(id).and_then(EventRecord::into_delivery);
    let Some(mut delivery) = delivery else { return false };
    delivery.restart(view.now());
    view.put(id, Some(&EventRecord::Delivery(delivery)));
    true
}

fn end_span(span: Option<Span>, delivery: &Delivery, posted: &Posted) {
    let Some(mut span) = span else { return };
    span.text("onceward.event", delivery.event.kind.as_str());
    match posted {
        Posted::Answered { status, .. } => {
            span.number("http.response.status_code", *status);
            if !(200..300).contains(status) {
                span.fail();
            }
        }
        Posted::NotAnswered(..) => span.fail(),
    }
}
