//! The handle through which HTTP routes and library users submit commands.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::carry::InProgress;
use super::check::End;
use super::command::{NumberCommand, Request};
use super::decision::{NumberDeps, Responder, Waiter};
use super::deliver::{FollowUps, with_gateways};
use super::in_flight::{Answer, CommandLimit, CommandPermit, Messages};
use super::reply::{Reply, SendOutcome, VerificationSummary};
use super::send::unsent;
use crate::config::Bounds;
use crate::delivery::attempts::{AttemptLog, Attempts, ReceiptOutcome};
use crate::delivery::{Check, Delivery, Outgoing};
use crate::domain::{
    AttemptLogKey, Channel, Code, NumberKey, NumberType, PhoneNumber, ServerKey, ServiceId, Timestamp,
};
use crate::engine::{CheckOutcome, LockoutState, NumberState, SlotHash};
use crate::gateway::Receipt;
use crate::limits::guard::{GuardRefusal, PumpingGuard, Rule};
use crate::limits::keys::{Earlier, IdempotencyKeys, KEPT_BEYOND};
use crate::observe::metrics::{Fact, SendEnd};
use crate::registry::Policies;
use crate::shard::{Capacity, Id, Record as _, RecordKey, Refusal, Shards, Subject, Transaction, service_of};
use crate::webhook::{EventRecord, Outbox};

/// A number that is locked out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LockedNumber {
    /// Until when.
    pub until: Timestamp,
    /// Where it is locked out.
    pub service: ServiceId,
    /// The number.
    pub number: PhoneNumber,
    /// Consecutive wrong codes.
    pub wrong_codes: u8,
}

/// Numbers that are read at once.
const PAGE: usize = 512;

/// The dependencies of a [`Verifier`].
pub struct VerifierDeps {
    /// The shards, which store numbers.
    pub shards: Shards,
    /// The limits on stored numbers, and on test numbers.
    pub numbers: [Arc<Capacity>; 2],
    /// The delivery attempts that the shards keep.
    pub attempts: Attempts,
    /// Sends messages.
    pub delivery: Arc<Delivery>,
    /// The rules of every service.
    pub policies: Policies,
    /// The key from which codes are derived.
    pub server_key: ServerKey,
    /// The idempotency keys.
    pub keys: IdempotencyKeys,
    /// Commands, sends and times.
    pub bounds: Bounds,
    /// Records events in the commit of each decision.
    pub events: Option<Arc<Outbox>>,
}

/// A cheap handle on all shards.
#[derive(Clone)]
pub struct Verifier {
    pub(super) shards: Shards,
    pub(super) deps: Arc<NumberDeps>,
    /// The delivery attempts.
    pub attempts: Attempts,
    /// Sends the messages.
    pub delivery: Arc<Delivery>,
    pub(super) limit: Arc<CommandLimit>,
    /// Messages that are being sent.
    pub messages: Arc<Messages<Result<Reply<SendOutcome>, Refusal>>>,
    /// Makes planned sends.
    follow_ups: Arc<FollowUps>,
}

impl Verifier {
    /// Makes planned sends until it is stopped, or the last handle is dropped. Needs a tokio runtime.
    pub fn new(deps: VerifierDeps) -> Self {
        let VerifierDeps { shards, numbers, attempts, delivery, policies, server_key, keys, bounds, events } =
            deps;
        // Delivery's own budget begins when the decision is durable.
        let send_budget = bounds.send_budget + bounds.commit_timeout;
        let deps = Arc::new(NumberDeps {
            policies,
            slots: SlotHash::new(&server_key),
            key: server_key,
            keys,
            numbers,
            send_budget,
            check_budget: send_budget,
            attempt_log: attempts.settings,
            tells_ends: delivery.wants_code_ends(),
            events,
            guard: delivery.guard().cloned(),
            metrics: Arc::clone(shards.metrics()),
            outside: Box::new(with_gateways(Arc::clone(&delivery), shards.clone(), InProgress::default())),
        });
        let limit = CommandLimit::new(bounds.commands);
        let messages = Messages::new(bounds.commands_per_number);
        let follow_ups = FollowUps::start(FollowUps {
            attempts: attempts.clone(),
            shards: shards.clone(),
            deps: Arc::clone(&deps),
            limit: Arc::clone(&limit),
            room: Arc::new(Semaphore::new(bounds.sends.max(1))),
        });
        Self { shards, deps, attempts, delivery, limit, messages, follow_ups }
    }

    /// Refuses messages that would be wasted; `None` if all are sent.
    pub fn guard(&self) -> Option<&PumpingGuard> {
        self.delivery.guard()
    }

    /// The idempotency keys.
    pub fn keys(&self) -> &IdempotencyKeys {
        &self.deps.keys
    }

    /// The key from which codes are derived.
    pub fn server_key(&self) -> &ServerKey {
        &self.deps.key
    }

    /// The time of decisions.
    pub fn now(&self) -> Timestamp {
        self.shards.clock().now()
    }

    /// Sends a code and waits until a gateway has accepted it. The command is carried out even if the caller goes away. While
    /// the same message is being sent, nothing more is: the caller gets the answer to the first request.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn send(&self, mut outgoing: Box<Outgoing>) -> Result<Reply<SendOutcome>, Refusal> {
        let key = outgoing.key;
        let (responder, pending) = Responder::new(self.limit.acquire(key.service, true)?);
        let channel = *outgoing.channel.get_or_insert_with(|| self.delivery.first_channel_of(key.service));
        let (first, answer) = self.messages.ask(&outgoing, pending)?;
        let Some(first) = first else {
            let answer = self.join(&outgoing, answer).await;
            drop(responder);
            return answer;
        };
        let responder = responder.of(first);
        if !key.is_test && self.delivery.is_overloaded(key.service, key.number, channel) {
            responder.send(Err(Refusal::SendsOverloaded));
        } else if let Err(refusal) = self.asks(&mut outgoing) {
            responder.send(Ok(Reply::new(SendOutcome::GuardRefused(refusal), self.now(), None)));
        } else {
            self.submit(key, Request::Send(outgoing, Waiter::Send(responder)));
        }
        answer.await.unwrap_or(Err(Refusal::OutcomeUnknown))
    }

    /// Waits for the answer to the first request for a message.
    async fn join(
        &self,
        outgoing: &Outgoing,
        answer: Answer<Result<Reply<SendOutcome>, Refusal>>,
    ) -> Result<Reply<SendOutcome>, Refusal> {
        let recipient = outgoing.key;
        self.count_joined(outgoing);
        let keys = self.deps.keys.capacity();
        if outgoing.keyed.is_some() && !keys.has_room(recipient.service) {
            return Err(keys.full(recipient.service));
        }
        let mut reply = answer.await.unwrap_or(Err(Refusal::OutcomeUnknown))?;
        let is_sent = matches!(reply.outcome, SendOutcome::Sent { .. });
        let is_known = is_sent || reply.may_have_been_sent && outgoing.carried.is_none();
        if let Some((request, of)) = outgoing.keyed.zip(reply.verification.filter(|_| is_known)) {
            let until = of.expires.plus(KEPT_BEYOND);
            let remembered = self.shards.router().decide(self.deps.subject(&recipient), move |view| {
                let earlier = request.earlier(view);
                if earlier.is_none() {
                    request.remember((of.id, of.details.channel), until, None, view);
                }
                // A repetition of the first request.
                Ok::<_, Refusal>(earlier.filter(|earlier| *earlier == Earlier::Other))
            });
            // The message has left.
            reply.earlier = remembered.await.ok().and_then(Result::ok).ok_or(Refusal::OutcomeUnknown)?;
        }
        Ok(reply)
    }

    /// Counts a request for a message that was being sent.
    fn count_joined(&self, outgoing: &Outgoing) {
        self.deps.metrics.count(&Fact::Send(unsent(outgoing.key, outgoing.channel(), SendEnd::Joined)));
    }

    /// Prepares what the decision asks the guard. A call may replace a text message to a landline.
    fn asks(&self, outgoing: &mut Outgoing) -> Result<(), GuardRefusal> {
        let (NumberKey { service, number, is_test }, client) = (outgoing.key, outgoing.client);
        outgoing.allowance.exemption = client.exemption;
        let decides = |guard: &&PumpingGuard| {
            client.refuses_landlines || !outgoing.limits.is_empty() || !guard.is_off(service)
        };
        let Some(guard) = self.guard().filter(|_| !is_test).filter(decides) else { return Ok(()) };
        let mut signals = guard.signals(client, service, number, outgoing.channel());
        let is_landline = signals.number_type == NumberType::Landline;
        if is_landline && client.refuses_landlines && signals.channel == Channel::Sms {
            let refusal = GuardRefusal { rule: Rule::Landline, until: None };
            guard.refused(outgoing.key, signals.channel, refusal);
            return Err(refusal);
        }
        if guard.refuses_landline(&signals) && self.delivery.calls_instead(service, number) {
            signals.channel = Channel::Call;
        }
        outgoing.channel = Some(signals.channel);
        let parts = if guard.counts_parts(service) { self.parts(outgoing, signals.channel) } else { 1 };
        outgoing.asks = Some((signals, parts));
        Ok(())
    }

    /// The parts of a message that its provider asks money for. All codes of one length make the same number of them.
    fn parts(&self, outgoing: &Outgoing, channel: Channel) -> u32 {
        let options = outgoing.options.unwrap_or_else(|| self.deps.policies.of(outgoing.key.service).code);
        let any_code = Code::from_value(0, options.length);
        self.delivery.parts(
            outgoing,
            channel,
            outgoing.supplied_code.as_ref().unwrap_or(&any_code),
            options.life,
        )
    }

    /// Checks a submitted code. The command is carried out even if the caller goes away.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn check(&self, check: Check) -> Result<Reply<CheckOutcome>, Refusal> {
        let key = check.key;
        let permit = self.limit.acquire(key.service, false)?;
        self.decide(key, permit, |responder| Request::Check(check, Waiter::Check(responder))).await
    }

    /// Ends a verification, or clears the counts of a number. Returns the verification that ended, if there was one, and
    /// whether the request had an effect.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn end(&self, end: End) -> Result<Reply<bool>, Refusal> {
        let key = end.key;
        let permit = self.limit.acquire(key.service, false)?;
        self.decide(key, permit, |responder| Request::End(end, Waiter::End(responder))).await
    }

    /// Records a provider's report about a message. A repeated report changes nothing.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn receive(&self, receipt: Receipt) -> Result<ReceiptOutcome, Refusal> {
        let (deps, key) = (Arc::clone(&self.deps), receipt.attempt.key);
        let record = move |view: &mut Transaction<'_>| {
            let (outcome, log) = AttemptLog::reported(&receipt, view);
            if let (ReceiptOutcome::Recorded(row), Some((log, _))) = (&outcome, &log)
                && let Some(events) = &deps.events
            {
                let number = NumberKey::new(key.service, log.number);
                events.tell(number, key.verification, None, view, |events| {
                    events.reported(key, row, log.verify, &receipt);
                });
            }
            Ok((outcome, log.filter(|(_, has_arrived)| *has_arrived).map(|(log, _)| log.number)))
        };
        let subject = Subject { slot: key.slot(), id: key.id() };
        let recorded = self.shards.router().decide_unbounded(subject, record);
        let (outcome, arrived) = recorded.await.unwrap_or(Err(Refusal::OutcomeUnknown))?;
        if let (ReceiptOutcome::Recorded(row), Some(number)) = (&outcome, arrived) {
            let recipient = NumberKey::new(key.service, number);
            let took = row.receipt_at.unwrap_or(row.at).since(row.at);
            let (channel, gateway) = (row.channel, row.gateway);
            self.deps.metrics.count(&Fact::Delivered { recipient, channel, gateway, took });
        }
        Ok(outcome)
    }

    /// The latest verification of a number until it expires, also a canceled one.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while the number's shard restarts, [`Refusal::StoreUnavailable`] and
    /// [`Refusal::OutcomeUnknown`] if the store does not confirm what was read.
    pub async fn verification(&self, key: NumberKey) -> Result<Option<VerificationSummary>, Refusal> {
        let policy = self.deps.policies.of(key.service);
        let verification = self.deps.verification(&self.shards, key).await?;
        Ok(verification.map(|v| VerificationSummary::of(&v, &policy)))
    }

    /// The lockout and the counts of a number; `None` without a record.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while the number's shard restarts, [`Refusal::StoreUnavailable`] and
    /// [`Refusal::OutcomeUnknown`] if the store does not confirm what was read.
    pub async fn lockout(&self, key: NumberKey) -> Result<Option<LockoutState>, Refusal> {
        let policy = self.deps.policies.of(key.service);
        let read =
            move |state: NumberState, now| (state != NumberState::Fresh).then(|| state.lockout(&policy, now));
        self.deps.read(&self.shards, key, read).await
    }

    /// Returns once the batches that were in flight in these services' slots are applied: one may bring the first record of
    /// the number.
    ///
    /// # Errors
    /// [`Refusal`] while a shard decides nothing.
    pub async fn until_applied(
        &self,
        number: PhoneNumber,
        services: impl Iterator<Item = ServiceId>,
    ) -> Result<(), Refusal> {
        let slots = services.map(|service| self.deps.slots.of_number(service, number));
        for slot in slots.collect::<BTreeSet<_>>() {
            // Even a command that changes nothing is decided after the batch in flight.
            let behind = Subject { slot, id: Id::default() };
            let behind = self.shards.router().decide(behind, |_| Ok::<_, Refusal>(()));
            behind.await.unwrap_or(Err(Refusal::Stopping))?;
        }
        Ok(())
    }

    /// Those of `services` that have a record of the number, in one pass over the attempts and the events of all.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while a shard does not run, [`Refusal::StoreUnavailable`] and [`Refusal::OutcomeUnknown`] if
    /// the store does not confirm what was read.
    pub async fn services_of(
        &self,
        number: PhoneNumber,
        services: impl Iterator<Item = ServiceId>,
    ) -> Result<BTreeSet<ServiceId>, Refusal> {
        let router = self.shards.router();
        let mut found = self.attempts.services_of(number).await?;
        let keys = services.flat_map(|service| {
            let stored = [false, true].map(|is_test| {
                let Subject { slot, id } = self.deps.subject(&NumberKey { service, number, is_test });
                RecordKey { slot, kind: NumberState::KIND, id }
            });
            // In any mode of the guard: it may have been on when the number was verified.
            stored.into_iter().chain(self.guard().map(|guard| guard.verified_key(service, number)))
        });
        found.extend(router.get_each(keys).await?.iter().map(|(key, _)| service_of(&key.id)));
        let page = |key: RecordKey, events: EventRecord| {
            found.extend(events.is_about(number).then(|| service_of(&key.id)));
        };
        router.for_each(PAGE, page).await?;
        Ok(found)
    }

    /// The numbers that are locked out, of more than `most` those whose lockouts end last. Reads every number, page by page.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while a shard does not run, [`Refusal::StoreUnavailable`] and [`Refusal::OutcomeUnknown`] if
    /// the store does not confirm what was read.
    pub async fn lockouts(&self, most: usize) -> Result<Vec<LockedNumber>, Refusal> {
        let (now, mut last) = (self.now(), BTreeSet::new());
        let note = |key: RecordKey, state: NumberState| {
            let Some(NumberKey { service, number, .. }) = NumberKey::from_id(&key.id) else { return };
            let LockoutState { until, wrong_codes, .. } = state.lockout(&self.deps.policies.of(service), now);
            if let Some(until) = until {
                last.insert(LockedNumber { until, service, number, wrong_codes });
                if last.len() > most {
                    last.pop_first();
                }
            }
        };
        self.shards.router().for_each(PAGE, note).await?;
        Ok(last.into_iter().rev().collect())
    }

    /// The live code of a verification and the rest of its life, for a voice call that reads it when a key is pressed.
    /// `log` is the record of the verification's attempts.
    pub async fn code_of(&self, number: PhoneNumber, log: AttemptLogKey) -> Option<(Code, Duration)> {
        let service = log.service;
        let key = NumberKey::new(service, number);
        let verification = self.deps.verification(&self.shards, key).await.ok().flatten()?;
        let now = self.shards.clock().now();
        if self.log_key(service, number, verification.salt.id()) != log || !verification.is_live(now) {
            return None;
        }
        let code = verification.code_seed(service, number).code(&self.deps.key);
        Some((code, verification.expires.since(now)))
    }

    /// The key of the record of a verification's attempts.
    pub fn log_key(&self, service: ServiceId, number: PhoneNumber, verification: u64) -> AttemptLogKey {
        AttemptLogKey::new(service, verification, self.deps.slots.of_number(service, number))
    }

    /// The limits on stored numbers and on test numbers.
    pub fn capacities(&self) -> [&Capacity; 2] {
        self.deps.numbers.each_ref().map(|capacity| &**capacity)
    }

    /// Commands that have no reply yet.
    pub fn commands(&self) -> usize {
        self.limit.in_flight()
    }

    /// Returns `true` if every shard is running, for `/readyz`.
    pub fn is_ready(&self) -> bool {
        self.shards.router().is_complete()
    }

    /// Refuses new commands and waits until those in flight have their replies. Planned sends that have not begun wait
    /// for the next start.
    pub async fn stop(&self) {
        self.follow_ups.stop();
        self.limit.stop().await;
    }

    /// Submits a command to the number's shard and waits for the reply.
    async fn decide<T>(
        &self,
        key: NumberKey,
        permit: CommandPermit,
        request: impl FnOnce(Responder<T>) -> Request,
    ) -> Result<T, Refusal> {
        let (responder, pending) = Responder::new(permit);
        self.submit(key, request(responder));
        pending.await.unwrap_or(Err(Refusal::OutcomeUnknown))
    }

    fn submit(&self, key: NumberKey, request: Request) {
        self.shards.submit(NumberCommand::new(key, request, Arc::clone(&self.deps)));
    }
}
