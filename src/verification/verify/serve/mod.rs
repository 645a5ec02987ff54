//! Serves verifications: brings the services' rules, the rate limits, the shards and the webhooks together.

mod attempts;
mod begin;
mod carry;
mod check;
mod compatible;
mod found;
mod status;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::{
    Answer, AttemptQuery, BeginRequest, CarriedMessage, CarryCode, CheckCode, Ending, Erasure, Refused,
    SealedAttempt, Summary, Verification, VerificationTarget, Verifications,
};
use crate::delivery::attempts::ReceiptOutcome;
use crate::domain::{GatewayName, PhoneNumber, ServiceId, Sid, Timestamp};
use crate::engine::{self, LockoutState, Sealer, SlotHash};
use crate::gateway::Receipt;
use crate::limits::guard::PumpingGuard;
use crate::limits::rate::{IdempotencyKeys, Limits};
use crate::registry::audit::{Action, Author};
use crate::registry::{Registry, RegistryError, Service};
use crate::shard::{Capacity, LogPart};
use crate::verification::numbers::{End, LockedNumber, NumberKey, Refusal, Verifier};

crate::named! {
    /// The state of a number before an operator cleared it.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Cleared {
        /// The server had no record of it.
        Unknown = "unknown",
        /// There was a record, and no lockout.
        NotLocked = "not locked",
        /// A lockout or a wait after wrong codes has ended.
        Locked = "locked",
    }
}

/// Serves verifications. Cheap to clone.
#[derive(Clone)]
pub struct Verifying(Arc<VerifyingInner>);

struct VerifyingInner {
    registry: Registry,
    verifier: Verifier,
    limits: Limits,
    keys: IdempotencyKeys,
    sealer: Sealer,
    slots: SlotHash,
    /// Bounds the receipts that wait for their send to end.
    early_receipts: Arc<Semaphore>,
}

/// Tries to record a receipt that comes before its gateway has answered. A send takes hardly longer than all of them.
const EARLY_TRIES: u32 = 60;
/// The wait between two tries.
const EARLY_PAUSE: Duration = Duration::from_millis(250);
/// The provider waits so long for the answer. After that the report may be lost in a crash.
const EARLY_ANSWER: Duration = Duration::from_secs(3);
/// Such receipts at once. They are rare.
const EARLY_RECEIPTS: usize = 1_000;

impl Verifying {
    pub fn new(registry: Registry, verifier: Verifier, limits: Limits, keys: IdempotencyKeys) -> Self {
        let key = verifier.server_key();
        let (sealer, slots) = (Sealer::new(key), SlotHash::new(key));
        let early_receipts = Arc::new(Semaphore::new(EARLY_RECEIPTS));
        Self(Arc::new(VerifyingInner { registry, verifier, limits, keys, sealer, slots, early_receipts }))
    }

    /// The limits on counters of rate limits and on idempotency keys.
    pub fn capacities(&self) -> [&Capacity; 2] {
        [self.0.limits.capacity(), self.0.keys.capacity()]
    }

    pub fn guard(&self) -> Option<&PumpingGuard> {
        self.0.verifier.guard()
    }

    /// Clears a number for an operator: ends its lockout, resets its counts and voids its code. Returns what it was before.
    ///
    /// # Errors
    /// [`Refusal`]. After `StoreUnavailable` or `Stopping` the outcome is unknown.
    pub async fn clear(
        &self,
        service: ServiceId,
        number: PhoneNumber,
        by: Author,
    ) -> Result<Cleared, Refusal> {
        let inner = &self.0;
        let known = inner.registry.service_by_id(service);
        let key = match &known {
            Some(known) => inner.key(known, number),
            None => NumberKey::new(service, number),
        };
        let before = inner.verifier.lockout(key).await?;
        let audited = known.as_ref().map(|known| by.audited(Action::NumberUnlocked, known.sid, number));
        let end = End { key, ending: engine::Ending::Cleared, named: None, audited, was_erased: false };
        inner.verifier.end(end).await?;
        let was_counted = inner.verifier.guard().is_some_and(|guard| guard.unlock(service, number));
        let cleared = match before {
            None if !was_counted => Cleared::Unknown,
            Some(LockoutState { until: Some(_), .. }) => Cleared::Locked,
            Some(LockoutState { until: None, .. }) | None => Cleared::NotLocked,
        };
        if cleared != Cleared::Unknown {
            let service = known.map(|known| known.name());
            tracing::info!(%number, service, was = cleared.as_str(), "number cleared by operator");
        }
        Ok(cleared)
    }

    /// Erases what is kept of a number in a service.
    ///
    /// # Errors
    /// [`Refusal`]. After an error a part may have been erased.
    pub async fn erase(
        &self,
        service: ServiceId,
        number: PhoneNumber,
        by: Author,
    ) -> Result<Erasure, Refusal> {
        let inner = &self.0;
        let Some(service) = inner.registry.service_by_id(service) else { return Ok(Erasure::default()) };
        let mut locked_until = None;
        let mut has_erased = inner.verifier.attempts().erase(service.id, number).await?;
        if let Some(guard) = inner.verifier.guard() {
            has_erased |= guard.erase(Some(service.id), number).await?;
        }
        // The last request writes the entry of the audit log. A test number has a record of its own, also after it has become an ordinary number again.
        for is_test in [true, false] {
            let key = NumberKey { is_test, ..NumberKey::new(service.id, number) };
            let audited = (!is_test).then(|| by.clone().audited(Action::NumberErased, service.sid, number));
            let ending = engine::Ending::Erased;
            let end = End { key, ending, named: None, audited, was_erased: has_erased };
            has_erased |= inner.verifier.end(end).await?.outcome;
            let lockout = inner.verifier.lockout(key).await?;
            locked_until = locked_until.max(lockout.and_then(|lockout| lockout.until));
        }
        if has_erased {
            tracing::info!(%number, service = service.name(), "number erased by operator");
        }
        number.forget_lookup();
        Ok(Erasure { has_erased, locked_until })
    }

    /// Erases what is kept of a number in every service, and removes it from the safe list. Returns the number of
    /// services that had records of it.
    ///
    /// # Errors
    /// The store's. After an error a part may have been erased.
    pub async fn erase_everywhere(
        &self,
        number: PhoneNumber,
        by: Author,
    ) -> Result<(usize, Erasure), RegistryError> {
        let (mut services, mut all) = (0, Erasure::default());
        let present = self.0.registry.services(0, usize::MAX);
        let recorded = self.0.verifier.services_of(number, present.iter().map(|service| service.id)).await?;
        let guard = self.0.verifier.guard();
        // To erase the number in each service would read all attempts and events as often.
        let knows = |service: &Arc<Service>| {
            recorded.contains(&service.id) || guard.is_some_and(|guard| guard.knows(service.id, number))
        };
        for service in present.into_iter().filter(knows) {
            let erasure = self.erase(service.id, number, by.clone()).await?;
            services += usize::from(erasure.has_erased);
            all = Erasure {
                has_erased: all.has_erased || erasure.has_erased,
                locked_until: all.locked_until.max(erasure.locked_until),
            };
        }
        if let Some(guard) = self.0.verifier.guard() {
            all.has_erased |= guard.erase(None, number).await?;
        }
        all.has_erased |= self.0.registry.on_behalf_of(by).remove_safe_number(number).await?;
        Ok((services, all))
    }

    /// The time of decisions.
    pub fn now(&self) -> Timestamp {
        self.0.now()
    }

    /// Attempts to deliver messages, the newest first.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while a shard cannot say.
    pub async fn messages(&self, query: AttemptQuery) -> Result<LogPart<SealedAttempt>, Refusal> {
        self.0.attempts(&query).await
    }

    /// The numbers that are locked out: [`Verifier::lockouts`].
    pub async fn lockouts(&self, most: usize) -> Result<(Vec<LockedNumber>, usize), Refusal> {
        self.0.verifier.lockouts(most).await
    }

    /// The titles of the services that carried codes in the last 30 days, while no outcome came in 7.
    pub async fn without_outcomes(&self) -> Result<Vec<String>, Refusal> {
        let (inner, now) = (&self.0, self.now());
        let mut uses = inner.verifier.carry_uses().await?;
        uses.retain(|of| !of.has_outcomes(now));
        let services = uses.iter().filter_map(|of| inner.registry.service_by_id(of.service));
        Ok(services.map(|service| inner.registry.title(&service)).collect())
    }

    /// Records a provider's report about a message, and emits its events. A report that comes before its gateway has
    /// answered waits for the end of the send, also if the provider hangs up. A report about an unknown send is ignored.
    ///
    /// # Errors
    /// [`Refusal`]. After `StoreUnavailable` or `Stopping` the report may have been recorded.
    pub async fn receive(&self, receipt: Receipt) -> Result<(), Refusal> {
        if !self.0.is_early(&receipt).await? {
            return Ok(());
        }
        let place =
            Arc::clone(&self.0.early_receipts).try_acquire_owned().map_err(|_| Refusal::Overloaded)?;
        let inner = Arc::downgrade(&self.0);
        let waits = tokio::spawn(async move {
            let _place = place;
            for _ in 0..EARLY_TRIES {
                sleep(EARLY_PAUSE).await;
                let inner = inner.upgrade().ok_or(Refusal::Stopping)?;
                if !inner.is_early(&receipt).await? {
                    return Ok(());
                }
            }
            Ok(())
        });
        // The provider gets its answer soon, also if a crash has lost the end of the send.
        timeout(EARLY_ANSWER, waits).await.map_or(Ok(()), |waited| waited.unwrap_or(Err(Refusal::Stopping)))
    }

    /// Runs in a task of its own: a client that hangs up cannot stop the work half way.
    fn carried_out<T, W>(&self, work: impl FnOnce(Self) -> W) -> Answer<'static, T>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, Refused>> + Send + 'static,
    {
        let task = tokio::spawn(work(self.clone()));
        // The task panicked, or the runtime ends: the outcome is unknown.
        Box::pin(async { task.await.unwrap_or(Err(Refused::Unavailable(Refusal::Stopping))) })
    }
}

impl VerifyingInner {
    /// The time of decisions.
    fn now(&self) -> Timestamp {
        self.verifier.now()
    }

    /// Records a report, unless its send has not ended: then it returns `true`.
    async fn is_early(&self, receipt: &Receipt) -> Result<bool, Refusal> {
        let outcome = self.verifier.receive(receipt.clone()).await?;
        if outcome == ReceiptOutcome::Unknown {
            let (attempt, gateway) = (receipt.attempt, receipt.gateway.map(GatewayName::as_str));
            tracing::debug!(%attempt, gateway, reason = "no such attempt of this gateway is known", "receipt ignored");
        }
        Ok(outcome == ReceiptOutcome::Early)
    }

    async fn lockout(&self, service: ServiceId, number: PhoneNumber) -> Result<LockoutState, Refused> {
        let service = self.service(service)?;
        let lockout =
            self.verifier.lockout(self.key(&service, number)).await.map_err(Refused::Unavailable)?;
        lockout.filter(|state| *state != LockoutState::default()).ok_or(Refused::NotFound)
    }

    fn service(&self, id: ServiceId) -> Result<Arc<Service>, Refused> {
        self.registry.service_by_id(id).ok_or(Refused::NotFound)
    }
}

impl Verifications for Verifying {
    /// One command needs no task: it is carried out in any case. What rate limits have taken must be given back.
    fn begin(&self, service: ServiceId, begin: BeginRequest) -> Answer<'_, Verification> {
        if begin.rate_limits.is_empty() {
            return Box::pin(self.0.begin(service, begin));
        }
        self.carried_out(|this| async move { this.0.begin(service, begin).await })
    }

    fn carry(&self, service: ServiceId, carry: CarryCode) -> Answer<'_, CarriedMessage> {
        self.carried_out(|this| async move { this.0.carry(service, carry).await })
    }

    fn outcome(&self, service: ServiceId, number: PhoneNumber) -> Answer<'_, bool> {
        self.carried_out(move |this| async move { this.0.outcome(service, number).await })
    }

    fn check(&self, service: ServiceId, check: CheckCode) -> Answer<'_, Verification> {
        Box::pin(self.0.check(service, check))
    }

    fn fetch(&self, service: ServiceId, target: VerificationTarget) -> Answer<'_, Verification> {
        Box::pin(self.0.fetch(service, target))
    }

    fn end(
        &self,
        service: ServiceId,
        target: VerificationTarget,
        ending: Ending,
        by: Option<Author>,
    ) -> Answer<'_, Verification> {
        Box::pin(self.0.end(service, target, ending, by))
    }

    fn guard(&self) -> Option<PumpingGuard> {
        self.0.verifier.guard().cloned()
    }

    fn lockout(&self, service: ServiceId, number: PhoneNumber) -> Answer<'_, LockoutState> {
        Box::pin(self.0.lockout(service, number))
    }

    fn unlock(&self, service: ServiceId, number: PhoneNumber, by: Author) -> Answer<'_, ()> {
        self.carried_out(move |this| async move {
            match this.0.lockout(service, number).await {
                // The guard may refuse its messages all the same.
                Err(Refused::NotFound) if this.guard().is_some_and(|guard| guard.counts(service, number)) => {
                }
                found => {
                    found?;
                }
            }
            this.clear(service, number, by).await?;
            Ok(())
        })
    }

    fn erase(&self, service: ServiceId, number: PhoneNumber, by: Author) -> Answer<'_, Erasure> {
        self.carried_out(move |this| async move { Ok(Self::erase(&this, service, number, by).await?) })
    }

    fn attempts(&self, query: AttemptQuery) -> Answer<'_, Vec<SealedAttempt>> {
        Box::pin(async move { Ok(self.0.attempts(&query).await.map_err(Refused::Unavailable)?.records) })
    }

    fn attempt(&self, sid: Sid) -> Answer<'_, SealedAttempt> {
        Box::pin(self.0.attempt(sid))
    }

    fn summary(&self, query: AttemptQuery) -> Answer<'_, Summary> {
        Box::pin(async move { self.0.summary(&query).await })
    }
}
