//! Serves verifications: brings the services' rules, the rate limits, the shards and the webhooks together.

mod begin;
mod carry;
mod operator;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::{
    AttemptQuery, CheckCode, Refused, SealedAttempt, Status, Summary, Verification, VerificationTarget,
};
use crate::delivery::attempts::{AttemptLog, ListedAttempt, ReceiptOutcome, attempts_of};
use crate::domain::{AttemptLogKey, Code, GatewayName, PhoneNumber, ServiceId, Sid, Timestamp};
use crate::engine::{Ending, LockoutState, Sealer, SendOptions, VerificationAddress, VerificationName};
use crate::gateway::Receipt;
use crate::limits::keys::{CheckAnswer, Earlier, IdempotencyKeys, KeyedRequest};
use crate::registry::audit::{Action, AuditEntry, Author};
use crate::registry::{Registry, Service, TestNumber};
use crate::shard::{Capacity, LogPart};
use crate::verification::numbers::{
    Check, CheckOutcome, End, NumberKey, Outgoing, Refusal, Reply, VerificationSummary, Verifier,
};

pub use operator::Cleared;

/// Serves verifications. Cheap to clone.
#[derive(Clone)]
pub struct Verifying {
    registry: Registry,
    /// Commands about numbers.
    pub verifier: Verifier,
    sealer: Arc<Sealer>,
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
    pub fn new(registry: Registry, verifier: Verifier) -> Self {
        let sealer = Arc::new(Sealer::new(verifier.server_key()));
        let early_receipts = Arc::new(Semaphore::new(EARLY_RECEIPTS));
        Self { registry, verifier, sealer, early_receipts }
    }

    /// The limit on idempotency keys.
    pub fn capacity(&self) -> &Capacity {
        self.keys().capacity()
    }

    fn keys(&self) -> &IdempotencyKeys {
        self.verifier.keys()
    }

    /// Attempts to deliver messages, the newest first.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while a shard does not run, [`Refusal::StoreUnavailable`] and [`Refusal::OutcomeUnknown`] if
    /// the store does not confirm what was read.
    pub async fn messages(&self, query: AttemptQuery) -> Result<LogPart<SealedAttempt>, Refusal> {
        let found = self.verifier.attempts.list(&query).await?;
        Ok(found.filter_map(|listed| Some(self.sealed(listed))))
    }

    /// Records a provider's report about a message, and emits its events. A report that comes before its gateway has
    /// answered waits for the end of the send, also if the provider hangs up. A report about an unknown send is ignored.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn receive(&self, receipt: Receipt) -> Result<(), Refusal> {
        if !self.is_early(&receipt).await? {
            return Ok(());
        }
        let early = Arc::clone(&self.early_receipts);
        let place = early.try_acquire_owned().map_err(|_| Refusal::Overloaded)?;
        let this = self.clone();
        let waits = tokio::spawn(async move {
            let _place = place;
            for _ in 0..EARLY_TRIES {
                sleep(EARLY_PAUSE).await;
                if !this.is_early(&receipt).await? {
                    break;
                }
            }
            Ok(())
        });
        // The provider gets its answer soon, also if a crash has lost the end of the send.
        timeout(EARLY_ANSWER, waits)
            .await
            .map_or(Ok(()), |waited| waited.unwrap_or(Err(Refusal::OutcomeUnknown)))
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

    /// Runs in a task of its own: a client that hangs up cannot stop the work half way.
    async fn carried_out<T, W>(&self, work: impl FnOnce(Self) -> W) -> Result<T, Refused>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, Refused>> + Send + 'static,
    {
        // A task that panics or is aborted does not answer.
        tokio::spawn(work(self.clone())).await.unwrap_or(Err(Refused::Unavailable(Refusal::OutcomeUnknown)))
    }

    fn service(&self, id: ServiceId) -> Result<Arc<Service>, Refused> {
        self.registry.service_by_id(id).ok_or(Refused::NotFound)
    }

    /// The number of a request, and the verification that it names, if any.
    fn resolve(
        &self,
        service: &Service,
        target: VerificationTarget,
    ) -> Result<(PhoneNumber, Option<VerificationName>), Refused> {
        match target {
            VerificationTarget::Number(number) => Ok((number, None)),
            VerificationTarget::Sid(sid) => {
                let address = self.sealer.open_verification(&sid).filter(|of| of.service == service.id);
                let VerificationAddress { number, name, .. } = address.ok_or(Refused::NotFound)?;
                Ok((number, Some(name)))
            }
        }
    }

    /// The key of a number's record.
    fn key(&self, service: &Service, number: PhoneNumber) -> NumberKey {
        NumberKey { service: service.id, number, is_test: self.test(service, number).is_some() }
    }

    fn test<'a>(&self, service: &'a Service, number: PhoneNumber) -> Option<&'a TestNumber> {
        let now = self.verifier.now();
        service.test_numbers.iter().find(|test| test.is(number, now))
    }

    /// A test number gets no message. Its code is known, and expires with the test number at the latest.
    fn set_test(&self, outgoing: &mut Outgoing, service: &Service, test: &TestNumber) {
        let SendOptions { life, length } = service.settings.policy().code;
        let life = life.min(test.expires.since(self.verifier.now()));
        outgoing.options = Some(SendOptions { life, length });
        outgoing.supplied_code = Code::parse(&test.code);
        (outgoing.has_limits, outgoing.key.is_test) = (true, true);
    }

    async fn log_of(
        &self,
        service: ServiceId,
        number: PhoneNumber,
        verification: u64,
    ) -> Result<Option<AttemptLog>, Refusal> {
        self.verifier.attempts.log(self.verifier.log_key(service, number, verification)).await
    }

    fn sid_of(&self, service: ServiceId, number: PhoneNumber, id: u64) -> Sid {
        let name = VerificationName::of(id);
        self.sealer.verification(&VerificationAddress { service, number, name })
    }

    fn sealed(&self, listed: ListedAttempt) -> SealedAttempt {
        let AttemptLogKey { service, verification } = listed.id.key;
        SealedAttempt {
            sid: self.sealer.attempt(&listed.id),
            verification: self.sid_of(service, listed.number, verification),
            listed,
        }
    }

    /// A verification as callers see it. `ended` is the moment of the request that ended it.
    fn shown(
        &self,
        service: ServiceId,
        to: PhoneNumber,
        summary: &VerificationSummary,
        attempts: Option<AttemptLog>,
        status: Status,
        ended: Option<Timestamp>,
    ) -> Verification {
        let key = self.verifier.log_key(service, to, summary.id);
        let listed = attempts.into_iter().flat_map(|log| attempts_of(key, log));
        let attempts: Vec<_> = listed.map(|listed| self.sealed(listed)).collect();
        let last_change = attempts.iter().map(|attempt| attempt.listed.updated()).max();
        let last_send = summary.details.last_send;
        Verification {
            sid: self.sid_of(service, to, summary.id),
            service,
            to,
            channel: summary.details.channel,
            status,
            created: summary.details.begun,
            updated: ended.or(last_change.max(Some(last_send))).unwrap_or(last_send),
            attempts,
        }
    }
}

impl Verifying {
    /// Another system has verified the number. Returns whether a code was carried to it before.
    pub async fn outcome(&self, service: ServiceId, number: PhoneNumber) -> Result<bool, Refused> {
        let outcome = move |this: Self| async move {
            let service = this.service(service)?.id;
            let of_number = this.keys().of_carried(service, number, None);
            Ok(this.verifier.carried_outcome(NumberKey::new(service, number), of_number).await?)
        };
        self.carried_out(outcome).await
    }

    /// Checks a code. A wrong one is no error: the verification is then not approved.
    pub async fn check(&self, service: ServiceId, check: CheckCode) -> Result<Verification, Refused> {
        let service = self.service(service)?;
        let CheckCode { target, number: given, code, idempotency_key, fingerprint, request_id } = check;
        let (number, named) = self.resolve(&service, target)?;
        if given.is_some_and(|given| given != number) {
            return Err(Refused::NotFound);
        }
        let mut check = Check { named, request_id, ..Check::new(self.key(&service, number), code) };
        if let Some(key) = idempotency_key {
            let fingerprint = self.fingerprint(fingerprint, check.code.as_ref());
            check.keyed = Some(self.keyed(service.id, number, &key, fingerprint)?);
        }
        let reply = match self.verifier.check(check).await? {
            Reply { earlier: Some(earlier), .. } => answered_before(&earlier)?,
            reply => reply,
        };
        let status = status_after(reply.outcome)?;
        let ended = (status != Status::Pending).then_some(reply.at);
        let summary = reply.verification.ok_or(Refused::NotFound)?;
        Ok(self.shown(service.id, number, &summary, reply.attempts, status, ended))
    }

    /// The verification that is under way: pending, or with no attempts left. A canceled one is shown to those who name
    /// it.
    pub async fn fetch(
        &self,
        service: ServiceId,
        target: VerificationTarget,
    ) -> Result<Verification, Refused> {
        let service = self.service(service)?;
        let (number, named) = self.resolve(&service, target)?;
        let summary = self.verifier.verification(self.key(&service, number)).await?;
        let is_meant = |summary: &VerificationSummary| match named {
            None => Status::of(summary) != Status::Canceled,
            Some(name) => name == VerificationName::of(summary.id),
        };
        let summary = summary.filter(is_meant).ok_or(Refused::NotFound)?;
        let attempts = self.log_of(service.id, number, summary.id).await?;
        Ok(self.shown(service.id, number, &summary, attempts, Status::of(&summary), None))
    }

    /// Ends a verification by decision of the caller: it is approved in another way, or canceled. The audit log has an
    /// entry if it has an author.
    pub async fn end(
        &self,
        service: ServiceId,
        target: VerificationTarget,
        ending: Ending,
        by: Option<Author>,
    ) -> Result<Verification, Refused> {
        let service = self.service(service)?;
        let (number, named) = self.resolve(&service, target)?;
        let (status, action) = match ending {
            Ending::Approved => (Status::Approved, Action::VerificationApproved),
            Ending::Canceled | Ending::Cleared | Ending::Erased => {
                (Status::Canceled, Action::VerificationCanceled)
            }
        };
        let audited = by.map(|by| AuditEntry::new(by, action, Some(service.sid), number.to_string()));
        let key = self.key(&service, number);
        let reply = self.verifier.end(End { key, ending, named, audited, was_erased: false }).await?;
        let summary = reply.verification.ok_or(Refused::NotFound)?;
        Ok(self.shown(service.id, number, &summary, reply.attempts, status, Some(reply.at)))
    }

    pub async fn lockout(&self, service: ServiceId, number: PhoneNumber) -> Result<LockoutState, Refused> {
        let service = self.service(service)?;
        let lockout = self.verifier.lockout(self.key(&service, number)).await?;
        lockout.filter(|state| *state != LockoutState::default()).ok_or(Refused::NotFound)
    }

    /// Ends the lockout and clears the counts, and voids the number's code.
    pub async fn unlock(&self, service: ServiceId, number: PhoneNumber, by: Author) -> Result<(), Refused> {
        let unlock = move |this: Self| async move {
            match this.lockout(service, number).await {
                // The guard may refuse its messages all the same.
                Err(Refused::NotFound)
                    if this.verifier.guard().is_some_and(|guard| guard.can_unlock(service, number)) => {}
                found => {
                    found?;
                }
            }
            this.clear(service, number, by).await?;
            Ok(())
        };
        self.carried_out(unlock).await
    }

    /// One attempt to deliver a message.
    pub async fn attempt(&self, sid: Sid) -> Result<SealedAttempt, Refused> {
        let id = self.sealer.open_attempt(&sid).ok_or(Refused::NotFound)?;
        let log = self.verifier.attempts.log(id.key).await?;
        let found = log.and_then(|log| attempts_of(id.key, log).find(|listed| listed.id == id));
        found.map(|listed| self.sealed(listed)).ok_or(Refused::NotFound)
    }

    /// The number of attempts that a query asks for, and of those that led to a verified number.
    pub async fn summary(&self, query: AttemptQuery) -> Result<Summary, Refused> {
        let mut summary = Summary { total: 0, converted: 0 };
        let count = |listed: ListedAttempt| {
            summary.total += 1;
            summary.converted += u64::from(listed.converted);
        };
        self.verifier.attempts.each(&query, count).await?;
        Ok(summary)
    }
}

/// The answer to an earlier request with the same idempotency key.
fn answered_before(earlier: &Earlier) -> Result<Reply<CheckOutcome>, Refused> {
    let Earlier::Same(known @ KeyedRequest { answer: Some(answer), .. }) = earlier else {
        return Err(Refused::OtherRequest);
    };
    let CheckAnswer { outcome, begun, last_send } = *answer;
    let summary = VerificationSummary::remembered(known, begun, last_send, known.at);
    Ok(Reply::new(outcome, known.at, Some(summary)))
}

/// The verification's status after a check, or the API's refusal.
fn status_after(outcome: CheckOutcome) -> Result<Status, Refused> {
    match outcome {
        CheckOutcome::Approved => Ok(Status::Approved),
        CheckOutcome::Wrong { live: false, .. }
        | CheckOutcome::LockedNow { live: false, .. }
        | CheckOutcome::NotFound => Err(Refused::NotFound),
        CheckOutcome::LockedNow { live: true, .. } | CheckOutcome::Wrong { live: true, attempts_left: 0 } => {
            Ok(Status::MaxAttemptsReached)
        }
        CheckOutcome::Wrong { live: true, .. } => Ok(Status::Pending),
        CheckOutcome::Locked { until } | CheckOutcome::NoChecksLeft { until } => {
            Err(Refused::NoChecksLeft { until })
        }
        CheckOutcome::GatewayFailed => Err(Refused::GatewayFailed),
    }
}
