//! Carries out due work: expiry events, and the attempts that may begin.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Inner;
use super::command::conclude;
use super::queues::{Attempt, HealthChange, Queues};
use super::record::{Delivery, DeliveryState, EventRecord, WebhookHealth};
use super::request;
use super::transport::{AttemptError, Post, Posted};
use crate::domain::Timestamp;
use crate::observe::metrics::WebhookEnd;
use crate::observe::trace::Span;
use crate::registry::WebhookStatus;
use crate::shard::Id;

/// Maximum time between two readings of the clock while work is due later, because an operator may set the clock.
const LOOK_AT_CLOCK: Duration = Duration::from_secs(10);

/// Expected ends that are handed to shards before other tasks run.
const ENDS_AT_ONCE: usize = 256;

/// The wait before a record is changed again, after the store or its shard has failed.
const RETRY: Duration = Duration::from_secs(1);

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
    async fn expire(self: Arc<Self>, id: Id) {
        if self.change(id, move |recorder, view| recorder.expire(id, view)).await.is_err() {
            self.queues.expire_again(self.clock().now().plus(RETRY), id);
        }
    }

    async fn attempt(self: Arc<Self>, attempt: Attempt) {
        let Attempt { endpoint, verification, seq } = attempt;
        let at = self.clock().now();
        let delivery = match self.shards.router().get(seq.key(endpoint.service)).await {
            Ok(Some(EventRecord::Delivery(delivery))) if delivery.state == DeliveryState::Pending => delivery,
            found => {
                let again = found.is_err().then(|| at.plus(RETRY));
                self.queues.set(endpoint, verification, seq, again);
                self.queues.finish(attempt, WebhookHealth::NotAsked, at);
                return;
            }
        };
        let posted = match self.request(&delivery, at) {
            Ok(post) => {
                let span = self.tracer.as_ref().and_then(|tracer| tracer.delivery(delivery.id.to_bytes()));
                let posted = self.post(post).await;
                end_span(span, &delivery, &posted);
                posted
            }
            Err(error) => Posted::NotAnswered(error, not_asked(error).to_owned()),
        };
        self.conclude(attempt, at, posted).await;
    }

    fn request(&self, delivery: &Delivery, now: Timestamp) -> Result<Post, AttemptError> {
        let service = self.subscribers.service(delivery.event.service).ok_or(AttemptError::Removed)?;
        let webhook = service.webhooks.iter().find(|webhook| webhook.sid == delivery.webhook);
        let webhook = webhook.ok_or(AttemptError::Removed)?;
        if webhook.status != WebhookStatus::Enabled {
            return Err(AttemptError::Disabled);
        }
        if super::backoff::is_too_old(now, delivery.since) {
            return Err(AttemptError::TooOld);
        }
        let body = request::body(self.subscribers.account(), service.sid, &delivery.event);
        let headers = request::headers(&webhook.secret, delivery.id, self.clock().wall(), &body);
        Ok(Post { url: webhook.url.clone(), headers, body })
    }

    async fn post(&self, post: Post) -> Posted {
        let transport = Arc::clone(&self.transport);
        // In a separate task: the delivery continues even if it panics.
        let posted = tokio::spawn(async move { transport.post(post).await }).await;
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
                Err(_) if inner.queues.is_closing() => break None,
                Err(_) => {
                    let weak = Arc::downgrade(&inner);
                    drop(inner);
                    tokio::time::sleep(RETRY).await;
                    let Some(again) = weak.upgrade() else { return };
                    inner = again;
                }
            }
        };
        let now = inner.clock().now();
        let Some((event, state, health)) = outcome else {
            inner.queues.finish(attempt, WebhookHealth::NotAsked, now);
            return;
        };
        let (webhook, service) = (attempt.endpoint.webhook, attempt.endpoint.service);
        let service_name = inner.subscribers.service(service).map(|service| service.name());
        if health == WebhookHealth::Gone {
            // Before the next attempt begins.
            let disabled = inner.subscribers.disable_after_410(service, webhook).await;
            tracing::warn!(service = service_name, %webhook, disabled, "webhook answered 410");
        }
        let change = inner.queues.finish(attempt, health, now);
        let said = said(&posted);
        if matches!(health, WebhookHealth::Failing(_) | WebhookHealth::Gone) {
            inner.queues.note_error(attempt.endpoint, now, said.clone());
        }
        if matches!(posted, Posted::NotAnswered(AttemptError::Removed, _)) {
            inner.queues.forget(attempt.endpoint);
        }
        let service = service_name;
        match change {
            Some(HealthChange::Down) => {
                tracing::warn!(service, %webhook, said, "webhook failing, events are retried");
            }
            Some(HealthChange::Up) => tracing::info!(service, %webhook, "webhook takes events again"),
            None => {}
        }
        inner.shards.metrics().webhook(match state {
            DeliveryState::Delivered => WebhookEnd::Delivered,
            DeliveryState::Pending => WebhookEnd::Retried,
            DeliveryState::Failed => WebhookEnd::Failed,
        });
        match state {
            DeliveryState::Failed if health == WebhookHealth::NotAsked => {
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

/// The outcome for the log, without addresses and response bodies.
fn said(posted: &Posted) -> String {
    match posted {
        Posted::Answered { status, .. } => format!("status {status}"),
        Posted::NotAnswered(_, words) => words.clone(),
    }
}

const fn not_asked(error: AttemptError) -> &'static str {
    match error {
        AttemptError::Disabled => "the webhook is disabled",
        AttemptError::TooOld => "its turn did not come in time",
        _ => "the webhook was removed",
    }
}
