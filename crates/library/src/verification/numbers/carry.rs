//! Carried codes: messages with a code that another system made and checks. They have no verification, and their code is
//! in memory only. Delivery plans nothing for them: a caller repeats what failed.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng as _;

use super::reply::{Reply, SendOutcome};
use super::send;
use super::verifier::{InProgress, Verifier};
use crate::delivery::attempts::{AttemptLog, VerifyStatus};
use crate::delivery::{CodeLiveness, CodeState, Delivered, Outgoing, Permitted};
use crate::domain::{AttemptId, AttemptLogKey, Code, NumberKey};
use crate::engine::{Salt, SendOptions, SendPermit, SettleOutcome, Verification};
use crate::limits::guard::{GuardNews, GuardRefusal, Ticket};
use crate::limits::rate::{Earlier, KEPT_BEYOND, KeyedRequest, RequestKey};
use crate::observe::metrics::{Fact, VerificationStep};
use crate::shard::{Refusal, Shards};

/// Another system's code, and what to remember of its message. Has no `Debug`: it contains a code.
pub struct CarriedCode {
    /// The code.
    pub code: Code,
    /// How long it can be used.
    pub life: Duration,
    /// How long a repetition sends nothing, if this is longer than the life.
    pub remembered_for: Duration,
    /// Remembers the last message to the number, for its outcome.
    pub of_number: RequestKey,
}

/// A message that is being carried, until it is dropped.
struct Carrying<'a> {
    in_progress: &'a InProgress,
    shards: &'a Shards,
    key: NumberKey,
    id: u64,
}

impl CodeLiveness for Carrying<'_> {
    async fn code_state(&self) -> CodeState {
        let is_newest = self.in_progress.lock().get(&self.key) == Some(&self.id);
        if is_newest { CodeState::Live } else { CodeState::Ended }
    }

    fn may_send(&self) -> bool {
        self.shards.owns_records()
    }
}

impl Drop for Carrying<'_> {
    fn drop(&mut self) {
        let mut messages = self.in_progress.lock();
        if messages.get(&self.key) == Some(&self.id) {
            messages.remove(&self.key);
        }
    }
}

impl Verifier {
    /// Carries a code and waits until a gateway has accepted the message. Also returns the last attempt. The caller must not
    /// carry the same code to a number twice at a time, and must not drop the future: the message may have left.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn carry(
        &self,
        mut outgoing: Outgoing,
        carried: CarriedCode,
    ) -> Result<(Reply<SendOutcome>, Option<AttemptId>), Refusal> {
        let key = outgoing.key;
        let options = SendOptions { life: carried.life, length: carried.code.length() };
        let _permit = self.limit.acquire(key.service, true)?;
        if self.delivery.is_overloaded(key.service, key.number, outgoing.channel()) {
            return Err(Refusal::SendsOverloaded);
        }
        outgoing.client.is_carried = true;
        let is_known = match self.guard() {
            Some(guard) => guard.is_known(key.service, key.number).await?,
            None => false,
        };
        if let Err(refusal) = self.assess(&mut outgoing, is_known) {
            let outcome = SendOutcome::GuardRefused(refusal);
            return Ok((Reply::new(outcome, self.now(), None), None));
        }
        let taken = outgoing.allowance.refundable();
        let begun = self.begin_carry(key, options, carried.of_number, taken).await;
        let permitted = begun.inspect_err(|_| self.not_sent(key, outgoing.allowance.refundable()))?;
        let id = permitted.permit.verification.salt.id();
        let carrying = Carrying { in_progress: &self.carried, shards: &self.shards, key, id };
        carrying.in_progress.lock().insert(key, id);
        let delivered = self.delivery.deliver(&outgoing, &permitted, &carried.code, &carrying).await;
        drop(carrying);
        send::facts(&outgoing, true, &delivered).for_each(|fact| self.deps.metrics.count(&fact));
        self.not_sent(key, delivered.certainly_not_sent());
        self.end_carry(outgoing, permitted, delivered, carried).await
    }

    /// Takes the guard's allowances for a message.
    fn assess(&self, outgoing: &mut Outgoing, is_known: bool) -> Result<(), GuardRefusal> {
        self.asks(outgoing)?;
        let Some((guard, (signals, parts))) = self.guard().zip(outgoing.asks.take()) else { return Ok(()) };
        let taken = guard.assess(&signals, parts, &[], is_known, outgoing.request_id.as_deref());
        let refused = |refusal: &GuardRefusal| guard.refused(outgoing.key, signals.channel, *refusal);
        outgoing.allowance.tickets = vec![taken.inspect_err(refused)?];
        Ok(())
    }

    /// Reserves the log of the attempts, in which receipts find them.
    async fn begin_carry(
        &self,
        key: NumberKey,
        options: SendOptions,
        of_number: RequestKey,
        taken: Vec<Ticket>,
    ) -> Result<Permitted, Refusal> {
        let settings = self.deps.attempt_log;
        let keys = Arc::clone(self.deps.keys.capacity());
        let begun = self.shards.router().decide(self.deps.subject(&key), move |view| {
            // The records of the code and of the number's last message are written when the message has left.
            keys.make_room::<KeyedRequest>(key.service, view)?;
            let mut salt = Salt([0; 16]);
            view.rng().fill_bytes(&mut salt.0);
            let log = AttemptLogKey::new(key.service, salt.id(), view.slot());
            let (first_attempt, _) = AttemptLog::permit(log, key.number, settings, taken, view);
            let verification = Verification::beginning(salt, &options, view.now());
            let permit = SendPermit { verification, replaced: None, before: None };
            // While the code before it lives, the person asks for another because that one has not arrived.
            let last = match of_number.earlier(view) {
                Some(Earlier::Same(last)) if view.now() < last.at.plus(options.life) => Some(last),
                _ => None,
            };
            let last = last.map(|last| AttemptLogKey::new(key.service, last.verification, view.slot()));
            let asked = last.and_then(|last| view.get::<AttemptLog>(last.id()));
            let asked = asked.map(|log| log.asked_in_vain()).unwrap_or_default();
            let repeated = Vec::new();
            Ok(Permitted { permit, begins: true, log, first_attempt, repeated, follow_up: None, asked })
        });
        begun.await.unwrap_or(Err(Refusal::OutcomeUnknown))
    }

    /// Records the attempts, and remembers a message that a gateway accepted.
    async fn end_carry(
        &self,
        outgoing: Outgoing,
        permitted: Permitted,
        delivered: Delivered,
        CarriedCode { of_number, remembered_for, .. }: CarriedCode,
    ) -> Result<(Reply<SendOutcome>, Option<AttemptId>), Refusal> {
        let (settings, now, key) = (self.deps.attempt_log, self.now(), outgoing.key);
        let outcome = send::send_outcome(&delivered, SettleOutcome::Open { attempts_left: 0 });
        let (reason, may_have_been_sent) = (delivered.reason, delivered.result.may_still_arrive());
        let last = delivered.attempts.last().map(|attempt| attempt.number);
        let last = last.map(|attempt| AttemptId { key: permitted.log, attempt });
        let is_sent = matches!(outcome, Ok(SendOutcome::Sent { .. }));
        // Also of a message that was refused: one gateway may have been asked before, whose report finds its attempt here.
        let decided = self.shards.router().decide_unbounded(self.deps.subject(&key), move |view| {
            AttemptLog::record(key.number, settings, &outgoing.style, &permitted, &delivered, view);
            if is_sent {
                let (id, channel) = (permitted.permit.verification.salt.id(), outgoing.channel());
                let ends = permitted.expires();
                if let Some(of_code) = outgoing.keyed {
                    of_code.remember((id, channel), ends.max(view.now().plus(remembered_for)), None, view);
                }
                of_number.remember((id, channel), ends.plus(KEPT_BEYOND), None, view);
            }
            Ok::<_, Refusal>(())
        });
        // The message has left, or its attempt is counted.
        decided.await.ok().and_then(Result::ok).ok_or(Refusal::OutcomeUnknown)?;
        Ok((Reply { reason, may_have_been_sent, ..Reply::new(outcome?, now, None) }, last))
    }

    fn not_sent(&self, key: NumberKey, tickets: Vec<Ticket>) {
        for (guard, ticket) in self.delivery.guard().into_iter().cycle().zip(tickets) {
            guard.learn(key, GuardNews::NotSent(ticket));
        }
    }

    /// Notes that the number was verified by the code of its last carried message. Returns `false` if that code ended more
    /// than ten minutes ago, or if its outcome is known.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn carried_outcome(&self, key: NumberKey, of_number: RequestKey) -> Result<bool, Refusal> {
        let guard = self.deps.guard.clone();
        let decided = self.shards.router().decide(self.deps.subject(&key), move |view| {
            let Some(sent) = of_number.take(view) else { return Ok(None) };
            let log = AttemptLogKey::new(key.service, sent.verification, view.slot());
            let checked = AttemptLog::checked(log, VerifyStatus::Success, view);
            let mut checked = checked.map(|(_, checked)| checked).unwrap_or_default();
            let taken = std::mem::take(&mut checked.taken);
            let news = guard.as_ref().and_then(|guard| guard.record_verified(key, taken, view));
            Ok::<_, Refusal>(Some((sent.channel, checked, news)))
        });
        let Some((channel, checked, news)) = decided.await.unwrap_or(Err(Refusal::OutcomeUnknown))? else {
            return Ok(false);
        };
        let (recipient, gateway) = (key, checked.accepted_by);
        let tried = checked.is_first.then_some(VerificationStep::Tried);
        for step in tried.into_iter().chain([VerificationStep::Approved]) {
            self.deps.metrics.count(&Fact::Verification { recipient, channel, gateway, step });
        }
        if let Some((guard, news)) = self.deps.guard.as_ref().zip(news) {
            guard.learn(key, news);
        }
        Ok(true)
    }
}
