//! The handle on verifications: brings the services' rules, the rate limits, the shards and the webhooks together.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::command::{NumberDeps, Request, Sending, command, with_gateways};
use super::in_flight::{Commands, Responder};
use super::model::{
    CheckCode, CheckOutcome, Refused, Reply, SealedAttempt, Status, Verification, VerificationSummary,
    VerificationTarget,
};
use super::{AttemptQuery, Check, End, Ending, Failure, NumberKey, Outgoing, Policies, Refusal};
use crate::config::Bounds;
use crate::delivery::attempts::{AttemptLog, Attempts, Begun, ListedAttempt, ReceiptOutcome, attempts_of};
use crate::delivery::{Carried, Delivery, Permitted, Reason};
use crate::domain::{AttemptLogKey, Code, PhoneNumber, ServerKey, ServiceId, Sid, Timestamp};
use crate::engine::{
    self, LockoutState, NumberState, Sealer, SendOptions, SendPermit, SlotHash, VerificationAddress,
    VerificationName,
};
use crate::gateway::Receipt;
use crate::limits::guard::PumpingGuard;
use crate::limits::keys::IdempotencyKeys;
use crate::observe::metrics::Fact;
use crate::registry::audit::{Action, AuditEntry, Author};
use crate::registry::{Registry, Service, TestNumber};
use crate::shard::{Capacity, Shards, Subject, Transaction};
use crate::webhook::Outbox;

/// The dependencies of a [`Verifier`].
pub struct VerifierDeps {
    /// The shards, which store numbers.
    pub shards: Shards,
    /// The limit on stored numbers.
    pub numbers: Capacity,
    /// The delivery attempts that the shards keep.
    pub attempts: Attempts,
    /// Sends messages.
    pub delivery: Arc<Delivery>,
    /// Decides about messages.
    pub guard: PumpingGuard,
    pub registry: Registry,
    /// The rules of every service.
    pub policies: Policies,
    /// The key from which codes are derived.
    pub server_key: ServerKey,
    /// Commands, sends and times.
    pub bounds: Bounds,
    /// Records events in the commit of each decision.
    pub events: Arc<Outbox>,
}

/// Sends and checks codes, and serves what is known of them.
pub struct Verifier {
    pub(super) shards: Shards,
    pub(super) deps: Arc<NumberDeps>,
    pub(super) guard: PumpingGuard,
    pub(super) registry: Registry,
    pub(super) sealer: Sealer,
    pub attempts: Attempts,
    pub delivery: Arc<Delivery>,
    /// The commands that have no reply yet.
    pub in_flight: Arc<Commands>,
    /// For planned sends at once.
    room: Arc<Semaphore>,
}

/// The wait before a receipt that came before its gateway's answer is tried again.
const EARLY_PAUSE: Duration = Duration::from_millis(250);

/// The wait before a refused planned send is tried again.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);

impl Verifier {
    /// Makes planned sends until it is stopped, or the last handle is dropped. Needs a tokio runtime.
    pub fn new(given: VerifierDeps) -> Arc<Self> {
        let VerifierDeps { shards, attempts, delivery, guard, registry, server_key, bounds, .. } = given;
        let sealer = Sealer::new(&server_key);
        let deps = Arc::new(NumberDeps {
            policies: given.policies,
            slots: SlotHash::new(&server_key),
            keys: IdempotencyKeys::following(&shards, &server_key),
            key: server_key,
            numbers: given.numbers,
            // Delivery's own budget begins when the decision is durable.
            send_budget: bounds.send_budget + bounds.commit_timeout,
            attempt_log: attempts.settings,
            events: Some(given.events),
            guard: Some(guard.clone()),
            metrics: Arc::clone(shards.metrics()),
            outside: with_gateways(Arc::clone(&delivery), shards.clone()),
        });
        let in_flight = Commands::new(bounds.commands, bounds.commands_per_number);
        let room = Arc::new(Semaphore::new(bounds.sends.max(1)));
        let verifier = Self { shards, deps, guard, registry, sealer, attempts, delivery, in_flight, room };
        let verifier = Arc::new(verifier);
        let weak = Arc::downgrade(&verifier);
        verifier.attempts.on_due(move |log| drop(tokio::spawn(follow(Weak::clone(&weak), log))));
        verifier
    }

    /// Refuses new commands and waits until those in flight have their replies. Planned sends that have not begun wait
    /// for the next start.
    pub async fn stop(&self) {
        self.room.close();
        self.in_flight.stop().await;
    }

    /// The time of decisions.
    pub fn now(&self) -> Timestamp {
        self.shards.clock().now()
    }

    /// Settles the messages that were under way when the process before this one died. For the start.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn settle_cut_off(&self) -> Result<(), Refusal> {
        for (log, AttemptLog { number, is_carried, begun, .. }) in self.attempts.under_way().await? {
            let key = NumberKey { is_carried, ..NumberKey::new(log.service, number) };
            let deps = Arc::clone(&self.deps);
            let present = move |view: &Transaction<'_>| deps.state_in(key, view).verification();
            let present = self.shards.read(log.slot(), present).await?;
            for Begun { first, message } in begun {
                let known = present.filter(|present| present.salt == message.salt);
                let ended = || engine::Verification {
                    expires: message.expires,
                    ..engine::Verification::beginning(message.salt, &SendOptions::DEFAULT, message.due)
                };
                let verification = known.unwrap_or_else(ended);
                let mut outgoing = Outgoing::new(key, message.channel);
                outgoing.style = message.style.clone();
                outgoing.client.is_exempt = message.is_exempt;
                outgoing.carried = is_carried.then(Carried::default);
                let began = message.due;
                let permitted = Permitted {
                    permit: SendPermit { verification, replaced: None, before: None },
                    log,
                    first_attempt: first,
                    repeated: Vec::new(),
                    planned: Some(message).filter(|message| message.reason != Reason::Asked),
                    asked: Vec::new(),
                };
                let delivered = self.delivery.cut_off(&outgoing, &permitted, began);
                let (responder, _) = Responder::new(self.in_flight.acquire(log.service, true)?);
                let sending = Sending { outgoing: Box::new(outgoing), permitted, responder };
                let settled = command(Request::Settle(sending, delivered), Arc::clone(&self.deps));
                self.shards.submit(settled);
            }
        }
        Ok(())
    }

    /// The limits on stored numbers, and on idempotency keys.
    pub fn capacities(&self) -> [&Capacity; 2] {
        [&self.deps.numbers, &self.deps.keys.capacity]
    }

    /// Submits a command to the number's shard and waits for the reply. It is carried out even if the caller goes away.
    async fn command<T>(
        &self,
        service: ServiceId,
        is_send: bool,
        request: impl FnOnce(Responder<T>) -> Request,
    ) -> Result<T, Refusal> {
        let (responder, pending) = Responder::new(self.in_flight.acquire(service, is_send)?);
        self.shards.submit(command(request(responder), Arc::clone(&self.deps)));
        pending.await.unwrap_or(Err(Refusal::OutcomeUnknown))
    }

    /// Makes the planned send of a record, unless it is not due any more.
    ///
    /// # Errors
    /// [`Refusal`].
    async fn resume(&self, log: AttemptLogKey) -> Result<(), Refusal> {
        let Some(found) = self.attempts.log(log).await? else { return Ok(()) };
        let planned = Box::new(self.message(log.service, found.number, None));
        let request = |responder| Request::Send(planned, Some(log), responder);
        self.command(log.service, true, request).await.map(drop)
    }
}

/// Makes a planned send that is due. It is tried again while it is refused.
async fn follow(verifier: Weak<Verifier>, log: AttemptLogKey) -> Option<()> {
    loop {
        let room = Arc::clone(&verifier.upgrade()?.room);
        let place = room.acquire_owned().await.ok()?;
        let made = verifier.upgrade()?.resume(log).await;
        drop(place);
        // If the decision panics, it is due again after a restart, unless the send had begun.
        if matches!(made, Ok(()) | Err(Refusal::OutcomeUnknown | Refusal::SendsOverloaded)) {
            return None;
        }
        sleep(TRY_AGAIN_AFTER).await;
    }
}

impl Verifier {
    /// Attempts to deliver messages, the newest first.
    ///
    /// # Errors
    /// As [`Shards::read`].
    pub async fn messages(&self, query: AttemptQuery) -> Result<Vec<SealedAttempt>, Refusal> {
        let found = self.attempts.list(&query).await?;
        Ok(found.into_iter().map(|listed| self.sealed(listed)).collect())
    }

    /// Records a provider's report about a message, and emits its events. A report that comes before its gateway has
    /// answered waits for the end of the send, also if the provider hangs up. A report about an unknown send is ignored,
    /// and a repeated one changes nothing.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn receive(self: &Arc<Self>, receipt: Receipt) -> Result<(), Refusal> {
        let this = Arc::clone(self);
        let recorded = tokio::spawn(async move {
            // No send takes longer. One that a crash has cut off never ends.
            let mut left = this.deps.send_budget + EARLY_PAUSE;
            while this.is_early(receipt.clone()).await? && !left.is_zero() {
                sleep(EARLY_PAUSE).await;
                left = left.saturating_sub(EARLY_PAUSE);
            }
            Ok(())
        });
        recorded.await.unwrap_or(Err(Refusal::OutcomeUnknown))
    }

    /// Records a report, unless its send has not ended: then it returns `true`.
    async fn is_early(&self, receipt: Receipt) -> Result<bool, Refusal> {
        let (deps, key) = (Arc::clone(&self.deps), receipt.attempt.key);
        let record = move |view: &mut Transaction<'_>| {
            let (outcome, log) = AttemptLog::receive_in(&receipt, view);
            let (ReceiptOutcome::Recorded(row, has_arrived), Some(log)) = (&outcome, log) else {
                return Ok((outcome == ReceiptOutcome::Early, None));
            };
            let recipient = NumberKey::new(key.service, log.number);
            if let Some(events) = &deps.events {
                events.tell(recipient, Some(key.verification), row.channel, view, |events| {
                    events.reported(row, log.verify, &receipt);
                });
            }
            let took = row.receipt_at.unwrap_or(row.at).since(row.at);
            let arrived = Fact::Delivered { recipient, channel: row.channel, gateway: row.gateway, took };
            Ok((false, has_arrived.then_some(arrived)))
        };
        let recorded = self.shards.decide(Subject { slot: key.slot(), id: key.id() }, record);
        let (is_early, arrived) = recorded.await.unwrap_or(Err(Refusal::OutcomeUnknown))?;
        if let Some(arrived) = arrived {
            self.deps.metrics.count(&arrived);
        }
        Ok(is_early)
    }

    pub(super) fn service(&self, id: ServiceId) -> Result<Arc<Service>, Refused> {
        self.registry.service_by_id(id).ok_or(Refused::NotFound)
    }

    /// The number of a request, and the verification that it names, if any.
    pub(super) fn resolve(
        &self,
        service: &Service,
        target: VerificationTarget,
    ) -> Result<(NumberKey, Option<VerificationName>), Refused> {
        match target {
            VerificationTarget::Number(number) => Ok((self.key(service, number), None)),
            VerificationTarget::Sid(sid) => {
                let address = self.sealer.open_verification(&sid).filter(|of| of.service == service.id);
                let VerificationAddress { number, name, .. } = address.ok_or(Refused::NotFound)?;
                Ok((self.key(service, number), Some(name)))
            }
        }
    }

    /// The key of a number's record.
    pub(super) fn key(&self, service: &Service, number: PhoneNumber) -> NumberKey {
        let is_test = self.test(service, number).is_some();
        NumberKey { is_test, ..NumberKey::new(service.id, number) }
    }

    pub(super) fn test<'a>(&self, service: &'a Service, number: PhoneNumber) -> Option<&'a TestNumber> {
        service.test_numbers.iter().find(|test| test.is(number, self.now()))
    }

    /// The state of a number, and when that is.
    async fn state(&self, key: NumberKey) -> Result<(NumberState, Timestamp), Refusal> {
        let (deps, slot) = (Arc::clone(&self.deps), self.deps.subject(&key).slot);
        self.shards.read(slot, move |view| (deps.state_in(key, view), view.now())).await
    }

    /// The latest verification of a number until it expires, also a canceled one.
    pub(super) async fn verification(&self, key: NumberKey) -> Result<Option<VerificationSummary>, Refusal> {
        let (state, now) = self.state(key).await?;
        let verification = state.verification().filter(|v| now < v.expires);
        Ok(verification.map(|v| VerificationSummary::of(&v, &self.deps.policies.of(key.service))))
    }

    /// The lockout and the counts of a number; `None` without a record.
    pub(super) async fn lockout_of(&self, key: NumberKey) -> Result<Option<LockoutState>, Refusal> {
        let (state, now) = self.state(key).await?;
        let policy = self.deps.policies.of(key.service);
        Ok((state != NumberState::Fresh).then(|| state.lockout(&policy, now)))
    }

    /// The live code of a verification and the rest of its life, for a voice call that reads it when a key is pressed.
    /// `log` is the record of the verification's attempts.
    pub async fn code_of(&self, number: PhoneNumber, log: AttemptLogKey) -> Option<(Code, Duration)> {
        let key = NumberKey::new(log.service, number);
        let (state, now) = self.state(key).await.ok()?;
        let is_meant = self.log_key(key, state.verification()?.salt.id()) == log;
        let verification = state.verification().filter(|v| is_meant && v.is_live(now))?;
        let code = verification.code_seed(log.service, number).code(&self.deps.key);
        Some((code, verification.expires.since(now)))
    }

    /// The key of the record of a verification's attempts.
    pub(super) fn log_key(&self, of: NumberKey, verification: u64) -> AttemptLogKey {
        AttemptLogKey::new(of.service, verification, self.deps.subject(&of).slot)
    }

    pub(super) async fn log_of(&self, key: NumberKey, id: u64) -> Result<Option<AttemptLog>, Refusal> {
        self.attempts.log(self.log_key(key, id)).await
    }

    /// The id of no verification that stands for a number in an address, which must not have the number itself.
    pub fn pseudonym(&self, number: PhoneNumber) -> Sid {
        self.sealer.verification(NumberKey::new(ServiceId::DEFAULT, number), 0)
    }

    /// The number of a [`pseudonym`](Self::pseudonym); `None` for any other id.
    pub fn number_of(&self, pseudonym: &Sid) -> Option<PhoneNumber> {
        let VerificationAddress { number, .. } = self.sealer.open_verification(pseudonym)?;
        (self.pseudonym(number) == *pseudonym).then_some(number)
    }

    fn sealed(&self, listed: ListedAttempt) -> SealedAttempt {
        let AttemptLogKey { service, verification } = listed.id.key;
        SealedAttempt {
            sid: self.sealer.attempt(&listed.id),
            verification: self.sealer.verification(NumberKey::new(service, listed.number), verification),
            listed,
        }
    }

    /// A verification as callers see it. `ended` is the moment of the request that ended it.
    pub(super) fn shown(
        &self,
        key: NumberKey,
        summary: &VerificationSummary,
        attempts: Option<AttemptLog>,
        status: Status,
        ended: Option<Timestamp>,
    ) -> Verification {
        let log_key = self.log_key(key, summary.id);
        let listed = attempts.into_iter().flat_map(|log| attempts_of(log_key.id(), log));
        let attempts: Vec<_> = listed.map(|listed| self.sealed(listed)).collect();
        let changes = attempts.iter().map(|attempt| attempt.listed.updated());
        let last_change = changes.fold(summary.details.last_send, Timestamp::max);
        Verification {
            sid: self.sealer.verification(key, summary.id),
            service: key.service,
            to: key.number,
            channel: summary.details.channel,
            status,
            created: summary.details.begun,
            updated: ended.unwrap_or(last_change),
            attempts,
        }
    }
}

impl Verifier {
    /// Checks a code. A wrong one is no error: the verification is then not approved.
    pub async fn check(&self, service: ServiceId, check: CheckCode) -> Result<Verification, Refused> {
        let service = self.service(service)?;
        let CheckCode { target, number: given, code, once, request_id } = check;
        let (key, named) = self.resolve(&service, target)?;
        if given.is_some_and(|given| given != key.number) {
            return Err(Refused::NotFound);
        }
        let keyed = once.map(|once| self.deps.keys.of(key, &once, code.as_ref()));
        let check = Check { named, request_id, keyed, ..Check::new(key, code) };
        let reply = self.command(service.id, false, |responder| Request::Check(check, responder)).await?;
        let status = status_after(reply.outcome)?;
        let ended = (status != Status::Pending).then_some(reply.at);
        let summary = reply.verification.ok_or(Refused::NotFound)?;
        Ok(self.shown(key, &summary, reply.attempts, status, ended))
    }

    /// Checks a submitted code.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn check_code(&self, mut check: Check) -> Result<Reply<CheckOutcome>, Refusal> {
        if let Some(service) = self.registry.service_by_id(check.key.service) {
            check.key = self.key(&service, check.key.number);
        }
        self.command(check.key.service, false, |responder| Request::Check(check, responder)).await
    }

    /// The verification that is under way: pending, or with no attempts left. A canceled one is shown to those who name
    /// it.
    pub async fn fetch(
        &self,
        service: ServiceId,
        target: VerificationTarget,
    ) -> Result<Verification, Refused> {
        let (key, named) = self.resolve(&*self.service(service)?, target)?;
        let is_meant = |summary: &VerificationSummary| match named {
            None => Status::of(summary) != Status::Canceled,
            Some(name) => name == VerificationName::of(summary.id),
        };
        let summary = self.verification(key).await?.filter(is_meant).ok_or(Refused::NotFound)?;
        let attempts = self.log_of(key, summary.id).await?;
        Ok(self.shown(key, &summary, attempts, Status::of(&summary), None))
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
        let (key, named) = self.resolve(&service, target)?;
        let (status, action) = match ending {
            Ending::Approved => (Status::Approved, Action::VerificationApproved),
            _ => (Status::Canceled, Action::VerificationCanceled),
        };
        let audited = by.map(|by| AuditEntry::new(by, action, Some(service.sid), key.number.to_string()));
        let reply = self.end_of(End { named, audited, ..End::new(key, ending) }).await?;
        let summary = reply.verification.ok_or(Refused::NotFound)?;
        Ok(self.shown(key, &summary, reply.attempts, status, Some(reply.at)))
    }

    /// Another system has verified the number. Returns whether a code that was carried to it lives.
    pub async fn outcome(&self, service: ServiceId, number: PhoneNumber) -> Result<bool, Refused> {
        let key = NumberKey { is_carried: true, ..NumberKey::new(self.service(service)?.id, number) };
        Ok(self.end_of(End::new(key, Ending::Approved)).await?.outcome)
    }

    /// Ends a verification, or clears the counts of a number. Returns the verification that ended, if there was one, and
    /// whether the request had an effect.
    pub(super) async fn end_of(&self, end: End) -> Result<Reply<bool>, Refusal> {
        self.command(end.key.service, false, |responder| Request::End(end, responder)).await
    }

    pub async fn lockout(&self, service: ServiceId, number: PhoneNumber) -> Result<LockoutState, Refused> {
        let service = self.service(service)?;
        let lockout = self.lockout_of(self.key(&service, number)).await?;
        lockout.filter(|state| *state != LockoutState::default()).ok_or(Refused::NotFound)
    }

    /// One attempt to deliver a message.
    pub async fn attempt(&self, sid: Sid) -> Result<SealedAttempt, Refused> {
        let id = self.sealer.open_attempt(&sid).ok_or(Refused::NotFound)?;
        let log = self.attempts.log(id.key).await?;
        let found = log.and_then(|log| attempts_of(id.key.id(), log).find(|listed| listed.id == id));
        found.map(|listed| self.sealed(listed)).ok_or(Refused::NotFound)
    }

    /// The number of attempts that a query asks for, and of those that led to a verified number.
    pub async fn summary(&self, query: AttemptQuery) -> Result<[u64; 2], Refused> {
        let mut counts = [0; 2];
        let count = |listed: ListedAttempt| {
            counts[0] += 1;
            counts[1] += u64::from(listed.converted);
        };
        self.attempts.each(&query, count).await?;
        Ok(counts)
    }
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
        CheckOutcome::GatewayFailed => Err(Refused::Failed(Failure::Gateway)),
    }
}
