//! Carried codes: messages with a code that another system made and checks. They have no verification, and their code is
//! in memory only. Delivery plans nothing for them: a caller repeats what failed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::Rng as _;
use serde::{Deserialize, Serialize};

use super::command::attempt_log_key;
use super::facts;
use super::record::NumberKey;
use super::reply::{Reply, SendOutcome};
use super::verifier::Verifier;
use crate::attempts::{AttemptLogWriter, EndedSend, VerifyStatus};
use crate::delivery::{CodeLiveness, CodeState, Delivered, Failure, Job, Purpose, TakenAllowance, Trial};
use crate::domain::{AttemptId, AttemptLogKey, Channel, Code, ServiceId, Timestamp, record_id};
use crate::engine::{Salt, SendResult};
use crate::guard::{ClientSignals, Exemption, Ticket};
use crate::limit::RequestKey;
use crate::metrics::{Recipient, VerificationFacts, VerificationStep};
use crate::shard::{Durability, Record, RecordKey, Refusal, Shards, Subject, Transaction};
use crate::template::MessageStyle;
use crate::trace::RequestId;

/// The guard expects outcomes of a service for this time after the last one.
const OUTCOMES_EXPECTED_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// A service that carries no code for this time is forgotten.
const KEPT_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The outcome of a message counts within this time.
const OUTCOME_WITHIN: Duration = Duration::from_secs(24 * 60 * 60);
/// How often a use is written.
const WRITTEN_EVERY: Duration = Duration::from_secs(60 * 60);
/// Records read at a time.
const PAGE: usize = 64;

/// A request to carry a code.
#[derive(Debug)]
pub struct CarryRequest {
    /// The recipient; not a test number.
    pub key: NumberKey,
    /// The code.
    pub code: Code,
    /// The channel.
    pub channel: Channel,
    /// A trial of one gateway, the only one that is asked.
    pub trial: Option<Trial>,
    /// The message's template, language and format.
    pub style: MessageStyle,
    /// How long the code can be used.
    pub life: Duration,
    /// How long a repetition sends nothing, if this is longer than the life.
    pub remembered_for: Duration,
    /// How long the caller waits. The service may have a shorter send budget.
    pub within: Duration,
    /// What the pumping guard knows of the client.
    pub client: ClientSignals,
    /// Remembers the number and the code, for repetitions.
    pub of_code: RequestKey,
    /// Remembers the last message to the number, for its outcome.
    pub of_number: RequestKey,
    /// The id of the client's request, for the log, and its span.
    pub request_id: Option<RequestId>,
}

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

/// The message that is being carried to each number, by the id of its attempts. A newer message replaces an older one.
#[derive(Clone, Default)]
pub(super) struct InProgress(Arc<Mutex<HashMap<NumberKey, u64>>>);

impl InProgress {
    fn messages(&self) -> MutexGuard<'_, HashMap<NumberKey, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A message that is being carried, until it is dropped.
struct Carrying<'a> {
    messages: &'a InProgress,
    shards: &'a Shards,
    key: NumberKey,
    id: u64,
}

impl CodeLiveness for Carrying<'_> {
    async fn code_state(&self) -> CodeState {
        let is_newest = self.messages.messages().get(&self.key) == Some(&self.id);
        if is_newest { CodeState::Live } else { CodeState::Ended }
    }

    fn may_send(&self) -> bool {
        self.shards.owns_records()
    }
}

impl Drop for Carrying<'_> {
    fn drop(&mut self) {
        let mut messages = self.messages.messages();
        if messages.get(&self.key) == Some(&self.id) {
            messages.remove(&self.key);
        }
    }
}

impl Verifier {
    /// Carries a code and waits until a gateway has accepted the message. Also returns the last attempt. The caller must not
    /// carry the same code to a number twice at a time.
    ///
    /// # Errors
    /// [`Refusal`]. After `StoreUnavailable` or `Stopping` the outcome is unknown.
    pub async fn carry(
        &self,
        request: CarryRequest,
    ) -> Result<(Reply<SendOutcome>, Option<AttemptId>), Refusal> {
        let CarryRequest { key, code, mut channel, style, life, remembered_for, within, .. } = request;
        let _permit = self.limit.acquire(key.service, true)?;
        if self.delivery.is_overloaded(key.service, key.number, channel) {
            return Err(Refusal::SendsOverloaded);
        }
        let reserve = || {
            self.deps.keys.reserve(key.service).map_err(|_| {
                let table = self.deps.keys.table();
                Refusal::TableFull { table }
            })
        };
        let _places = (reserve()?, reserve()?);
        let only_number = !self.has_outcomes(key.service).await?;
        let client = ClientSignals { only_number, ..request.client };
        let ticket = match self.assess(key, client, &mut channel, request.request_id.as_ref()) {
            Ok(ticket) => ticket,
            Err(refusal) => {
                let outcome = SendOutcome::GuardRefused(refusal);
                return Ok((Reply::new(outcome, self.now(), None), None));
            }
        };
        let allowance = match client.exemption {
            Exemption::None => TakenAllowance::Refundable(ticket),
            Exemption::Allowances | Exemption::AllowancesAndTypes => TakenAllowance::Exempt,
        };
        let begun = self.begin_carry(key).await;
        let (salt, log, first_attempt) = begun.inspect_err(|_| self.not_sent(key, &ticket))?;
        let purpose = Purpose::Request { allowance };
        let job = Job {
            log,
            number: key.number,
            style,
            expires: self.now().plus(life),
            channel,
            code,
            held: None,
            ours_only: true,
            trial: request.trial,
            first_attempt,
            purpose,
            within: Some(within),
            request_id: request.request_id,
        };
        let carrying = Carrying { messages: &self.carried, shards: &self.shards, key, id: salt.id() };
        carrying.messages.messages().insert(key, carrying.id);
        let delivered = self.delivery.deliver(&job, &carrying).await;
        drop(carrying);
        facts::count_send(&self.deps.metrics, key, channel, true, &delivered);
        let keys = (request.of_code, remembered_for, request.of_number);
        let (reply, last) = self.end_carry(key, job, salt, delivered, keys).await?;
        Ok((reply, last.map(|attempt| AttemptId { key: log, attempt })))
    }

    /// Reserves the log of the attempts, in which receipts find them.
    async fn begin_carry(&self, key: NumberKey) -> Result<(Salt, AttemptLogKey, u8), Refusal> {
        let settings = self.deps.attempt_log;
        let begun = self.shards.router().decide(self.deps.subject(&key), move |view| {
            let mut salt = Salt([0; 16]);
            view.rng().fill_bytes(&mut salt.0);
            let log = attempt_log_key(key.service, &salt, view.slot());
            let first = AttemptLogWriter::new(view, log, settings).permit(key.number);
            Ok((salt, log, first))
        });
        begun.await.unwrap_or(Err(Refusal::Stopping))
    }

    /// Records the attempts, and remembers a message that a gateway accepted.
    async fn end_carry(
        &self,
        key: NumberKey,
        job: Job,
        salt: Salt,
        delivered: Delivered,
        (of_code, remembered_for, of_number): (RequestKey, Duration, RequestKey),
    ) -> Result<(Reply<SendOutcome>, Option<u8>), Refusal> {
        let (settings, now) = (self.deps.attempt_log, self.now());
        let outcome = match &delivered.result {
            SendResult::Accepted { message_id, .. } => {
                SendOutcome::Sent { attempts_left: 0, message_id: message_id.clone(), postponed: false }
            }
            SendResult::NumberRefused => SendOutcome::NumberRefused,
            SendResult::Overloaded => return Err(Refusal::SendsOverloaded),
            SendResult::Postponed { .. } | SendResult::Failed { .. } | SendResult::NoLongerUsable => {
                SendOutcome::GatewayFailed
            }
        };
        let Delivered { reason, .. } = delivered;
        if reason == Some(Failure::StateUnknown) {
            return Err(Refusal::StoreUnavailable);
        }
        let may_have_been_sent = delivered.result.may_still_arrive();
        let last = delivered.attempts.last().map(|attempt| attempt.number);
        let is_trial = job.trial.is_some();
        let is_sent = matches!(outcome, SendOutcome::Sent { .. });
        let decided = self.shards.router().decide_unbounded(self.deps.subject(&key), move |view| {
            let Job { log, style, expires, purpose, first_attempt, channel, .. } = &job;
            let (first_attempt, delivered) = (*first_attempt, &delivered);
            let ended = EndedSend { salt, expires: *expires, style, purpose, first_attempt, delivered };
            AttemptLogWriter::new(view, *log, settings).settle(key.number, ended);
            if is_sent {
                let life = expires.since(view.now());
                of_code.remember(salt.id(), *channel, life.max(remembered_for), view);
                of_number.remember(salt.id(), *channel, OUTCOME_WITHIN, view);
            }
            Ok::<_, Refusal>(())
        });
        decided.await.unwrap_or(Err(Refusal::Stopping))?;
        if is_sent && !is_trial {
            self.note_use(key.service, move |known| {
                known.carried = if now.since(known.carried) > WRITTEN_EVERY { now } else { known.carried };
            });
        }
        Ok((Reply { reason, may_have_been_sent, ..Reply::new(outcome, now, None) }, last))
    }

    fn not_sent(&self, NumberKey { service, number, is_test }: NumberKey, ticket: &Ticket) {
        self.deps.metrics.not_sent(Recipient { service, number, is_test }, ticket);
    }

    /// Notes that the number was verified by the code of its last carried message. Returns `false` if there was no message
    /// within a day, or if its outcome is known.
    ///
    /// # Errors
    /// [`Refusal`]. After `StoreUnavailable` or `Stopping` the outcome may count.
    pub async fn carried_outcome(&self, key: NumberKey, of_number: RequestKey) -> Result<bool, Refusal> {
        let settings = self.deps.attempt_log;
        let decided = self.shards.router().decide(self.deps.subject(&key), move |view| {
            let Some(sent) = of_number.take(view) else { return Ok(None) };
            let log = AttemptLogKey::new(key.service, sent.verification, view.slot());
            let checked = AttemptLogWriter::new(view, log, settings).check(VerifyStatus::Success);
            Ok::<_, Refusal>(Some((sent.channel, checked.unwrap_or_default())))
        });
        let Some((channel, checked)) = decided.await.unwrap_or(Err(Refusal::Stopping))? else {
            return Ok(false);
        };
        let NumberKey { service, number, is_test } = key;
        let (recipient, gateway) = (Recipient { service, number, is_test }, checked.accepted_by);
        let tried = checked.is_first.then_some(VerificationStep::Tried);
        for step in tried.into_iter().chain([VerificationStep::Approved]) {
            self.deps.metrics.verification(&VerificationFacts { recipient, channel, gateway, step });
        }
        let now = self.now();
        self.note_use(service, move |known| {
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
        self.shards.router().for_each(PAGE, |found: CarryUse| uses.push(found)).await?;
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
    fn note_use(&self, service: ServiceId, note: impl FnOnce(&mut CarryUse) + Send + 'static) {
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
        let id = record_id(service, 0);
        Subject { slot: self.deps.slots.of(id), id }
    }
}
