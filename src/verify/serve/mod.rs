//! Serves verifications: brings the services' rules, the rate limits, the shards and the webhooks together.

mod attempts;
mod begin;
mod check;
mod compatible;
mod found;
mod kept;
mod rules;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use self::rules::CurrentRules;
use super::{
    Attempt, AttemptPage, AttemptQuery, Begin, CheckCode, Ending, Refused, Status, Summary, Target,
    Verification, Verifications,
};
use crate::clock::Clock;
use crate::delivery::Delivery;
use crate::delivery::tracker::{Receipt, ReceiptStatus, Track, VerifyStatus};
use crate::domain::{PhoneNumber, ServerKey, ServiceId, Sid};
use crate::engine::{self, Sealer};
use crate::limit::{Answers, Limits};
use crate::numbers::{EndRequest, Policies, Refusal, Verifier};
use crate::registry::{Registry, Service};
use crate::webhook::{About, Event, EventType, MessageAbout, Outbox};

pub use self::rules::bring_up;

/// What it is made of.
pub struct VerifyingParts {
    /// The services.
    pub registry: Registry,
    /// Who counts and decides.
    pub verifier: Verifier,
    /// Who sends, and remembers what was sent.
    pub delivery: Arc<Delivery>,
    /// Counts the values of rate limits.
    pub limits: Limits,
    /// Keeps answers for idempotency keys.
    pub answers: Answers,
    /// Tells webhooks.
    pub outbox: Outbox,
    /// What ids are sealed with.
    pub server_key: ServerKey,
    /// The rules that the shards decide by; brought up to the registry's.
    pub policies: Policies,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

/// Serves verifications. Cheap to clone.
#[derive(Clone)]
pub struct Verifying(Arc<Inner>);

struct Inner {
    registry: Registry,
    verifier: Verifier,
    delivery: Arc<Delivery>,
    limits: Limits,
    answers: Answers,
    outbox: Outbox,
    sealer: Sealer,
    server_key: ServerKey,
    rules: CurrentRules,
    clock: Arc<dyn Clock>,
    /// Held while a report is compared with what is known.
    receipts: tokio::sync::Mutex<()>,
}

impl Verifying {
    /// From its parts. The shards decide by the registry's rules from here on. Needs a tokio runtime.
    pub fn new(parts: VerifyingParts) -> Self {
        let VerifyingParts {
            registry,
            verifier,
            delivery,
            limits,
            answers,
            outbox,
            server_key,
            policies,
            clock,
        } = parts;
        let rules = CurrentRules::new(&registry, policies);
        let sealer = Sealer::new(&server_key);
        let mut changes = rules.changes();
        let inner = Arc::new(Inner {
            registry,
            verifier,
            delivery,
            limits,
            answers,
            outbox,
            sealer,
            server_key,
            rules,
            clock,
            receipts: tokio::sync::Mutex::default(),
        });
        // Nobody asks on behalf of a service that was removed, and what was planned for it is not to be sent.
        let weak = Arc::downgrade(&inner);
        tokio::spawn(async move {
            while changes.changed().await.is_ok() {
                let Some(inner) = weak.upgrade() else { return };
                inner.rules.bring_up(&inner.registry);
            }
        });
        Self(inner)
    }

    /// An operator ends a number's lockout and clears what was counted of it; a code that was out is void.
    ///
    /// # Errors
    /// [`Refusal`] when that is not durable.
    pub async fn clear(&self, service: ServiceId, number: PhoneNumber) -> Result<(), Refusal> {
        let request = EndRequest { service, number, ending: engine::Ending::Cleared, named: None };
        self.0.verifier.end(request).await.map(|_| ())
    }

    /// Takes in what a provider reported about a message: an event if it arrived, or surely will not.
    pub async fn heard(&self, receipt: &Receipt) {
        let inner = &self.0;
        let tracker = inner.delivery.tracker();
        let key = receipt.attempt.key;
        let has_webhooks =
            inner.registry.rules(key.service).is_some_and(|service| !service.webhooks.is_empty());
        if !has_webhooks {
            return tracker.note_receipt(receipt);
        }
        // Of two equal reports at the same time the second one is no news.
        let one_at_a_time = inner.receipts.lock().await;
        let before = tracker.track(key).await.ok().flatten();
        tracker.note_receipt(receipt);
        if let Some(event) = before.and_then(|track| inner.event_of(receipt, &track))
            && let Err(error) = inner.outbox.emit(event).await
        {
            tracing::warn!(%error, "webhook event lost: provider report");
        }
        drop(one_at_a_time);
    }

    /// In a task of its own: whoever hangs up does not leave something half done.
    fn carried_out<T, W>(&self, work: impl FnOnce(Arc<Inner>) -> W) -> BoxFuture<'static, Result<T, Refused>>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, Refused>> + Send + 'static,
    {
        let task = tokio::spawn(work(Arc::clone(&self.0)));
        // It panicked, or the runtime ends: nobody knows what became of it.
        Box::pin(async { task.await.unwrap_or(Err(Refused::Unavailable(Refusal::Stopping))) })
    }
}

impl Inner {
    /// What a report is told as, unless it was known or the message is still on its way.
    fn event_of(&self, receipt: &Receipt, track: &Track) -> Option<Event> {
        let kind = match receipt.status {
            ReceiptStatus::Delivered => EventType::MessageDelivered,
            ReceiptStatus::Failed => EventType::MessageFailed,
            ReceiptStatus::Queued
            | ReceiptStatus::Sending
            | ReceiptStatus::Sent
            | ReceiptStatus::Answered
            | ReceiptStatus::Read => return None,
        };
        let row = track.rows.get(usize::from(receipt.attempt.attempt))?;
        if row.receipt.is_some_and(|known| known >= receipt.status) {
            return None;
        }
        let (service, track_id) = (receipt.attempt.key.service, receipt.attempt.key.track);
        let is_verified = track.verify == VerifyStatus::Success;
        let about = About {
            to: track.number,
            channel: row.channel,
            status: if is_verified { Status::Approved } else { Status::Pending }.as_str().to_owned(),
            message: Some(MessageAbout {
                attempt: self.sealer.attempt(&receipt.attempt),
                status: receipt.status.as_str().to_owned(),
                error_code: receipt.code,
            }),
            tags: BTreeMap::new(),
        };
        let verification = self.sid_of(service, track.number, track_id);
        Some(Event { kind, service, verification, at: self.clock.now(), about })
    }

    /// The service, with the shards knowing its present rules.
    fn service(&self, id: ServiceId) -> Result<Arc<Service>, Refused> {
        self.rules.bring_up(&self.registry);
        self.registry.rules(id).ok_or(Refused::NotFound)
    }
}

impl Verifications for Verifying {
    fn begin(&self, service: ServiceId, begin: Begin) -> BoxFuture<'_, Result<Verification, Refused>> {
        self.carried_out(|inner| async move { inner.begin(service, begin).await })
    }

    fn check(&self, service: ServiceId, check: CheckCode) -> BoxFuture<'_, Result<Verification, Refused>> {
        self.carried_out(|inner| async move { inner.check(service, check).await })
    }

    fn fetch(&self, service: ServiceId, target: Target) -> BoxFuture<'_, Result<Verification, Refused>> {
        Box::pin(self.0.fetch(service, target))
    }

    fn end(
        &self,
        service: ServiceId,
        target: Target,
        ending: Ending,
    ) -> BoxFuture<'_, Result<Verification, Refused>> {
        self.carried_out(move |inner| async move { inner.end(service, target, ending).await })
    }

    fn attempts(&self, query: AttemptQuery) -> BoxFuture<'_, Result<AttemptPage, Refused>> {
        Box::pin(self.0.attempts(query))
    }

    fn attempt(&self, sid: Sid) -> BoxFuture<'_, Result<Attempt, Refused>> {
        Box::pin(self.0.attempt(sid))
    }

    fn summary(&self, query: AttemptQuery) -> BoxFuture<'_, Result<Summary, Refused>> {
        Box::pin(self.0.summary(query))
    }
}
