//! Carried codes: messages with a code that another system made and checks. They have no verification, and their code is
//! in memory only. Delivery plans nothing for them: a caller repeats what failed.

use std::time::Duration;

use rand::Rng as _;
use serde::{Deserialize, Serialize};

use super::reply::{Reply, SendOutcome};
use super::send;
use super::verifier::{InProgress, Verifier};
use crate::delivery::attempts::{AttemptLog, VerifyStatus};
use crate::delivery::{CodeLiveness, CodeState, Delivered, Outgoing, Permitted};
use crate::domain::{AttemptId, AttemptLogKey, Code, NumberKey, ServiceId, Timestamp};
use crate::engine::{Salt, SendOptions, SendPermit, SettleOutcome, Verification};
use crate::limits::guard::{GuardNews, Ticket};
use crate::limits::rate::{KEPT_BEYOND, RequestKey};
use crate::observe::metrics::{Fact, VerificationStep};
use crate::shard::{Durability, Record, RecordKey, Refusal, Shards, Subject, Transaction};

/// The guard expects outcomes of a service for this time after the last one.
const OUTCOMES_EXPECTED_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// A service that carries no code for this time is forgotten.
const KEPT_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How often a use is written.
const WRITTEN_EVERY: Duration = Duration::from_secs(60 * 60);
/// Records read at a time.
const PAGE: usize = 64;

/// When a service last carried a code, and when it last reported an outcome. Without outcomes the guard cannot learn from
/// its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarryUse {
    /// The service.
    pub service: ServiceId,
    /// The last message; up to an hour too early.
    pub carried: Timestamp,
    /// The last outcome; up to an hour too early.
    pub outcome: Option<Timestamp>,
}

impl Record for CarryUse {
    const KIND: u8 = 17;
    const PLURAL: &'static str = "services that carry codes";

    fn expires(&self) -> Timestamp {
        self.carried.plus(KEPT_FOR)
    }
}

impl CarryUse {
    /// Whether the service reports outcomes.
    pub fn has_outcomes(&self, now: Timestamp) -> bool {
        self.outcome.is_some_and(|at| now < at.plus(OUTCOMES_EXPECTED_FOR))
    }
}

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
        // One place for the key of the code, and one for the number's last message. Their records are written when the message
        // has left, and a message that left must not find the table full.
        let places =
            outgoing.keyed.iter().flat_map(|keyed| [keyed.place(key.service), keyed.place(key.service)]);
        let _places =
            places.collect::<Result<Vec<_>, _>>().map_err(|full| Refusal::TableFull { table: full.table })?;
        outgoing.client.without_outcomes = !self.has_outcomes(key.service).await?;
        if let Err(refusal) = self.assess(&mut outgoing) {
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

    /// Reserves the log of the attempts, in which receipts find them.
    async fn begin_carry(
        &self,
        key: NumberKey,
        options: SendOptions,
        of_number: RequestKey,
        taken: Option<Ticket>,
    ) -> Result<Permitted, Refusal> {
        let settings = self.deps.attempt_log;
        let begun = self.shards.router().decide(self.deps.subject(&key), move |view| {
            let mut salt = Salt([0; 16]);
            view.rng().fill_bytes(&mut salt.0);
            let log = AttemptLogKey::new(key.service, salt.id(), view.slot());
            let (first_attempt, _) = AttemptLog::permit(log, key.number, settings, taken, view);
            let verification = Verification::beginning(salt, &options, view.now());
            let permit = SendPermit { verification, replaced: None, before: None };
            // While the code before it lives, the person asks for another because that one has not arrived.
            let last = of_number.known(view).filter(|last| view.now() < last.at.plus(options.life));
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
        let is_trial = outgoing.trial().is_some();
        let is_sent = matches!(outcome, Ok(SendOutcome::Sent { .. }));
        // Also of a message that was refused: one gateway may have been asked before, whose report finds its attempt here.
        let decided = self.shards.router().decide_unbounded(self.deps.subject(&key), move |view| {
            AttemptLog::record(key.number, settings, &outgoing.style, &permitted, &delivered, view);
            if is_sent {
                let (id, channel) = (permitted.permit.verification.salt.id(), outgoing.channel());
                let ends = permitted.expires();
                if let Some(of_code) = outgoing.request_key() {
                    of_code.permit((id, channel), ends.max(view.now().plus(remembered_for)), view);
                }
                of_number.permit((id, channel), ends.plus(KEPT_BEYOND), view);
            }
            Ok::<_, Refusal>(())
        });
        // The message has left, or its attempt is counted.
        decided.await.ok().and_then(Result::ok).ok_or(Refusal::OutcomeUnknown)?;
        if is_sent && !is_trial {
            self.note_use(key.service, move |known| {
                known.carried = if now.since(known.carried) > WRITTEN_EVERY { now } else { known.carried };
            });
        }
        Ok((Reply { reason, may_have_been_sent, ..Reply::new(outcome?, now, None) }, last))
    }

    fn not_sent(&self, key: NumberKey, ticket: Option<Ticket>) {
        if let Some((guard, ticket)) = self.delivery.guard().zip(ticket) {
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
            let checked = checked.map(|(_, checked)| checked).unwrap_or_default();
            let news = guard.as_ref().and_then(|guard| guard.record_verified(key, view));
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
        let now = self.now();
        self.note_use(key.service, move |known| {
            known.outcome = known.outcome.filter(|at| now.since(*at) <= WRITTEN_EVERY).or(Some(now));
        });
        Ok(true)
    }

    /// The services that carried a code in the last 30 days.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while a shard does not run.
    pub async fn carry_uses(&self) -> Result<Vec<CarryUse>, Refusal> {
        let mut uses = Vec::new();
        self.shards.router().for_each(PAGE, |_, found: CarryUse| uses.push(found)).await?;
        uses.sort_by_key(|found| found.service);
        Ok(uses)
    }

    async fn has_outcomes(&self, service: ServiceId) -> Result<bool, Refusal> {
        let Subject { slot, id } = self.use_subject(service);
        let key = RecordKey { slot, kind: CarryUse::KIND, id };
        let known: Option<CarryUse> = self.shards.router().get(key).await?;
        Ok(known.is_some_and(|of| of.has_outcomes(self.now())))
    }

    /// Changes what is known of a service; without a record it has carried a code now.
    fn note_use(&self, service: ServiceId, note: impl Fn(&mut CarryUse) + Send + 'static) {
        let (subject, now) = (self.use_subject(service), self.now());
        // If the shard does not run, a later message writes the use.
        drop(self.shards.router().decide_unbounded(subject, move |view: &mut Transaction<'_>| {
            let known = view.get::<CarryUse>(subject.id);
            let mut changed = known.unwrap_or(CarryUse { service, carried: now, outcome: None });
            note(&mut changed);
            view.put(subject.id, Some(&changed), Durability::Lazy);
            Ok::<_, Refusal>(())
        }));
    }

    fn use_subject(&self, service: ServiceId) -> Subject {
        Subject::of(service, 0, &self.deps.slots)
    }
}
