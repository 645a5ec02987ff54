//! Carries out due work: attempts, expiry events, and removal of old deliveries.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Inner;
use super::command::{EventChange, WebhookOutcome, WebhookRequest};
use super::queues::HealthChange;
use super::record::{Delivery, DeliveryState, EventRecord, Seq, WebhookHealth};
use super::request;
use super::schedule::{Entry, Next, Schedule};
use super::transport::{AttemptError, Post, Posted};
use crate::domain::{ServiceId, Timestamp};
use crate::metrics::WebhookEnd;
use crate::registry::WebhookStatus;
use crate::shard::{Id, Refusal, Transaction};
use crate::trace::Span;

/// Maximum time between two readings of the clock while work is scheduled, because an operator may set the clock.
const LOOK_AT_CLOCK: Duration = Duration::from_secs(10);

/// Deliveries that are begun before other tasks run.
const AT_ONCE: usize = 256;

/// The wait before a record is changed again, after the store or its shard has failed.
const RETRY: Duration = Duration::from_secs(1);

pub(super) async fn run(outbox: Weak<Inner>, schedule: Arc<Schedule>) {
    loop {
        let Some(inner) = outbox.upgrade() else { return };
        let pause = inner.begin_due();
        drop(inner);
        match pause {
            Some(Duration::ZERO) => tokio::task::yield_now().await,
            Some(pause) => {
                drop(tokio::time::timeout(pause.min(LOOK_AT_CLOCK), schedule.wake.notified()).await);
            }
            None => schedule.wake.notified().await,
        }
    }
}

impl Inner {
    /// Begins due work. Returns the time until more is due.
    fn begin_due(self: &Arc<Self>) -> Option<Duration> {
        for _ in 0..AT_ONCE {
            let now = self.clock().now();
            let inner = Arc::clone(self);
            match self.schedule.take(now) {
                Next::Expire(id) => drop(tokio::spawn(inner.expire(id))),
                Next::Forget(seq, service) => drop(tokio::spawn(inner.forget(seq, service))),
                Next::Attempt(seq, entry) => drop(tokio::spawn(inner.attempt(seq, entry, now))),
                Next::Wait(until) => {
                    return until.map(|at| at.since(now).max(Duration::from_millis(1)));
                }
            }
        }
        Some(Duration::ZERO)
    }

    pub(super) async fn ask(&self, id: Id, request: WebhookRequest) -> Result<WebhookOutcome, Refusal> {
        let change = EventChange { id, recorder: Arc::clone(&self.recorder) };
        let subject = change.subject();
        let decide = move |view: &mut Transaction<'_>| Ok(change.decide(request, view));
        let answer = self.shards.router().decide_unbounded(subject, decide);
        answer.await.unwrap_or(Err(Refusal::Stopping))
    }

    async fn expire(self: Arc<Self>, id: Id) {
        if self.ask(id, WebhookRequest::Expire).await.is_err() {
            self.schedule.expire_again(self.clock().now().plus(RETRY), id);
        }
    }

    async fn forget(self: Arc<Self>, seq: Seq, service: ServiceId) {
        if self.ask(seq.key(service).id, WebhookRequest::Forget).await.is_err() {
            tokio::time::sleep(RETRY).await;
            self.schedule.forget_again(seq);
        }
    }

    async fn attempt(self: Arc<Self>, seq: Seq, entry: Entry, at: Timestamp) {
        let key = seq.key(entry.endpoint.service);
        let delivery = match self.shards.router().get(key).await {
            Ok(Some(EventRecord::Delivery(delivery))) if delivery.state == DeliveryState::Pending => delivery,
            Ok(found) => {
                if found.is_none() {
                    self.schedule.forget(seq);
                }
                self.schedule.finish(seq, &entry, WebhookHealth::NotAsked, at);
                return;
            }
            Err(_) => return self.schedule.postpone(seq, &entry, at.plus(RETRY)),
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
        self.conclude(seq, entry, at, posted).await;
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
    async fn conclude(self: Arc<Self>, seq: Seq, entry: Entry, at: Timestamp, posted: Posted) {
        let id = seq.key(entry.endpoint.service).id;
        let mut inner = self;
        let outcome = loop {
            match inner.ask(id, WebhookRequest::Conclude(at, posted.clone())).await {
                Ok(outcome) => break outcome,
                Err(_) if inner.schedule.is_closing() => return,
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
        let WebhookOutcome::Concluded(event, state, health) = outcome else {
            inner.schedule.finish(seq, &entry, WebhookHealth::NotAsked, now);
            return;
        };
        let (webhook, service) = (entry.endpoint.webhook, entry.endpoint.service);
        let service_name = inner.subscribers.service(service).map(|service| service.name());
        if health == WebhookHealth::Gone {
            // Before the next attempt begins.
            let disabled = inner.subscribers.disable_after_410(service, webhook).await;
            tracing::warn!(service = service_name, %webhook, disabled, "webhook answered 410");
        }
        let change = inner.schedule.finish(seq, &entry, health, now);
        let said = said(&posted);
        match change {
            Some(HealthChange::Down) => {
                tracing::warn!(service = service_name, %webhook, said, "webhook failing, events are retried");
            }
            Some(HealthChange::Up) => {
                tracing::info!(service = service_name, %webhook, "webhook takes events again");
            }
            None => {}
        }
        inner.shards.metrics().webhook(match state {
            DeliveryState::Delivered => WebhookEnd::Delivered,
            DeliveryState::Pending => WebhookEnd::Retried,
            DeliveryState::Failed => WebhookEnd::Failed,
        });
        match state {
            DeliveryState::Failed if is_unattempted(&posted) => {
                let service = service_name;
                tracing::debug!(service, %webhook, %event, said, "webhook event failed for good");
                inner.unattempted.note(move |count| {
                    tracing::warn!(service, %webhook, count, said, "webhook events not sent");
                });
            }
            DeliveryState::Failed => {
                let service = service_name;
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

/// Whether there was a reason against the attempt itself.
const fn is_unattempted(posted: &Posted) -> bool {
    matches!(
        posted,
        Posted::NotAnswered(AttemptError::Disabled | AttemptError::Removed | AttemptError::TooOld, _)
    )
}

const fn not_asked(error: AttemptError) -> &'static str {
    match error {
        AttemptError::Disabled => "the webhook is disabled",
        AttemptError::TooOld => "its turn did not come in time",
        _ => "the webhook was removed",
    }
}
