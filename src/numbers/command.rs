//! Commands about one number. The shard decides them in order and replies when the decision is durable.
//!
//! [`send`](super::send) and [`check`](super::check) contain the requests and their decisions. This module contains the
//! shared part: routing, attempt records and events.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::check::{CheckCommand, CheckDecision, EndCommand, GatewayCheck, SettleCheckCommand};
use super::event::{EventSink, NumberEvent};
use super::facts;
use super::in_flight::CommandPermit;
use super::policies::Policies;
use super::record::NumberKey;
use super::send::{Caller, Dispatch, ResumeCommand, SendCommand, SendDecision, SettleCommand};
use super::table::NumberCapacity;
use crate::attempts::{AttemptLog, AttemptLogWriter, Checked, EndedSend, VerifyStatus};
use crate::config::AttemptLogSettings;
use crate::domain::{AttemptLogKey, GatewayName, ServerKey, ServiceId, Timestamp};
use crate::engine::{EndOutcome, Ending, NumberState, Policy, Rules, Salt, SlotHash, Verification};
use crate::gateway::CodeEnd;
use crate::guard::Ticket;
use crate::limit::RequestKey;
use crate::metrics::{Metrics, Recipient};
use crate::shard::{
    Capacity, Command, Decision, Durability, Load, Record, RecordKey, Refusal, ReplyContext, Reservation,
    Shards, Subject, Tables, Transaction,
};
use crate::trace::{Span, SpanContext, SpanKind};

/// Dependencies of decisions about numbers.
pub struct NumberDeps {
    /// The rules of every service.
    pub policies: Policies,
    /// The key from which codes are derived.
    pub key: ServerKey,
    /// The slot of a number.
    pub slots: SlotHash,
    /// The limits on stored numbers.
    pub capacity: NumberCapacity,
    /// The limit on idempotency keys.
    pub keys: Arc<Capacity>,
    /// The longest duration of one send's delivery, from its decision on.
    pub send_budget: Duration,
    /// The longest duration of one check at a gateway that holds the code, from its decision to the decision about its
    /// answer.
    pub check_budget: Duration,
    /// The limits on attempt logs.
    pub attempt_log: AttemptLogSettings,
    /// Carries out the decisions.
    pub effects: Arc<dyn Effects>,
    /// Writes event records in the commit of each decision.
    pub events: Option<Arc<dyn EventSink>>,
    /// Counts decisions.
    pub metrics: Arc<Metrics>,
}

impl NumberDeps {
    /// The subject of a number's commands.
    pub fn subject(&self, key: &NumberKey) -> Subject {
        Subject { slot: self.slots.of_number(key.service, key.number), id: key.id() }
    }

    /// The latest verification of a number until it expires, even if it is canceled or no check is left. An error means
    /// that the shard restarts.
    pub(super) async fn verification(
        &self,
        shards: &Shards,
        key: NumberKey,
    ) -> Result<Option<Verification>, Refusal> {
        self.read(shards, key, |state, now| state.verification().filter(|v| now < v.expires)).await
    }

    /// Reads the state of a number. An error means that the shard restarts.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        shards: &Shards,
        key: NumberKey,
        of: impl FnOnce(NumberState, Timestamp) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let policy = self.policies.of(key.service);
        let subject = self.subject(&key);
        let record = RecordKey { slot: subject.slot, kind: NumberState::KIND, id: subject.id };
        let read = move |tables: &Tables, now| {
            let state = tables.get::<NumberState>(&record, now).unwrap_or(NumberState::Fresh);
            of(state.at(&policy, now), now)
        };
        shards.router().read(subject.slot, read).await
    }

    fn rules(&self, policy: Policy) -> Rules<'_> {
        Rules { policy, key: &self.key, send_budget: self.send_budget, check_budget: self.check_budget }
    }
}

/// Carries out decisions that are durable. Must not block: each result comes back as a command.
pub trait Effects: Send + Sync {
    /// Hands a message to the gateways.
    fn deliver(&self, dispatch: Dispatch);
    /// Asks the gateway that holds a code.
    fn check(&self, check: GatewayCheck);
    /// Whether a gateway wants to know of this end of a code.
    fn wants_code_end(&self, end: CodeEnd) -> bool {
        let _ = end;
        false
    }
    /// Tells a gateway how the code of its message ended.
    fn report_code_end(&self, service: ServiceId, gateway: GatewayName, message_id: String, end: CodeEnd) {
        let _ = (service, gateway, message_id, end);
    }
}

/// Sends the reply to a command. Until then it holds the command's permit.
#[derive(Debug)]
pub struct Responder<T> {
    sender: oneshot::Sender<Result<T, Refusal>>,
    permit: CommandPermit,
}

/// Receives the reply. An error means that the shard dropped the command: it has failed and restarts.
pub type PendingReply<T> = oneshot::Receiver<Result<T, Refusal>>;

impl<T> Responder<T> {
    /// Creates the sender and the receiver of one reply.
    pub fn new(permit: CommandPermit) -> (Self, PendingReply<T>) {
        let (sender, receiver) = oneshot::channel();
        (Self { sender, permit }, receiver)
    }

    /// Sends the reply. A caller that has disconnected does not change the decision.
    pub fn send(self, reply: Result<T, Refusal>) {
        let Self { sender, permit } = self;
        // The caller's next command finds the place free.
        drop(permit);
        let _ = sender.send(reply);
    }
}

/// One command about one number.
pub struct NumberCommand {
    /// The number.
    pub key: NumberKey,
    /// The operation.
    pub kind: CommandKind,
    pub(super) deps: Arc<NumberDeps>,
    subject: Subject,
    /// The reservation of a number that this command adds.
    reservation: Option<Reservation>,
    /// The same of an idempotency key.
    key_reservation: Option<Reservation>,
    /// The number of the first attempt of the send that is permitted.
    first_attempt: u8,
    /// The check or the approval, for the verification's record.
    pub(super) checked: Checked,
    /// Of planned messages that were dropped and for which none has left: the guard gets this back.
    pub(super) gives_back: Vec<Ticket>,
    /// The client's request, if it is traced.
    cause: Option<SpanContext>,
    /// The span from the submission until the decision is durable.
    span: Option<Span>,
}

impl NumberCommand {
    /// A command that has not been decided yet.
    pub fn new(key: NumberKey, kind: CommandKind, deps: Arc<NumberDeps>) -> Box<Self> {
        let subject = deps.subject(&key);
        Box::new(Self {
            key,
            kind,
            deps,
            subject,
            reservation: None,
            key_reservation: None,
            first_attempt: 0,
            checked: Checked::default(),
            gives_back: Vec::new(),
            cause: None,
            span: None,
        })
    }

    /// Links the events of the command to a client's request.
    pub(super) fn caused_by(mut self: Box<Self>, cause: Option<SpanContext>) -> Box<Self> {
        self.cause = cause;
        self
    }

    /// The same, and begins the span of the decision.
    pub(super) fn traced(mut self: Box<Self>, cause: Option<SpanContext>, name: &'static str) -> Box<Self> {
        self.span = cause.as_ref().and_then(|cause| cause.child(name, SpanKind::Internal));
        self.caused_by(cause)
    }
}

/// The operation. Each variant stores its own decision.
#[derive(Debug)]
pub enum CommandKind {
    /// Send a code.
    Send(SendCommand),
    /// Make a planned send of the live code.
    Resume(ResumeCommand),
    /// Check a code.
    Check(CheckCommand),
    /// End a verification, or clear the counts of a number.
    End(EndCommand),
    /// Settle a send with its result.
    Settle(SettleCommand),
    /// Settle a check with the answer of the gateway that holds the code.
    SettleCheck(SettleCheckCommand),
}

impl CommandKind {
    /// The idempotency key of a send.
    fn keyed(&self) -> Option<RequestKey> {
        match self {
            Self::Send(send) => send.verification.as_ref()?.keyed,
            Self::Settle(settle) => settle.keyed,
            Self::Resume(_) | Self::Check(_) | Self::End(_) | Self::SettleCheck(_) => None,
        }
    }

    /// Remembers the idempotency key of a send that is permitted, and forgets that of a message that was not sent.
    fn remember_key(&self, view: &mut Transaction<'_>) {
        let Some(keyed) = self.keyed() else { return };
        match self {
            Self::Send(SendCommand {
                decided: Some(SendDecision::Permitted(permit) | SendDecision::Silent(permit, _)),
                channel,
                ..
            }) => keyed.permit(permit.verification.salt.id(), *channel, view),
            Self::Settle(settle) if !settle.delivered.result.may_still_arrive() => keyed.withdraw(view),
            _ => {}
        }
    }
}

impl Command for NumberCommand {
    fn subject(&self) -> Subject {
        self.subject
    }

    fn load(&self) -> Load {
        match self.kind {
            CommandKind::Send(_) | CommandKind::Resume(_) => Load::UntilAnswered,
            CommandKind::Check(_) | CommandKind::End(_) => Load::UntilDecided,
            CommandKind::Settle(_) | CommandKind::SettleCheck(_) => Load::Settlement,
        }
    }

    /// An event is never lazy.
    fn may_be_lazy(&self) -> bool {
        let is_settlement = matches!(self.kind, CommandKind::Settle(_) | CommandKind::SettleCheck(_));
        is_settlement && self.deps.events.as_ref().is_none_or(|events| !events.subscribes(self.key))
    }

    fn must_wait(&self, view: &mut Transaction<'_>) -> bool {
        let now = view.now();
        let state = view.get::<NumberState>(self.subject.id);
        state.and_then(|state| state.verification()).is_some_and(|v| v.is_checking(now))
    }

    /// Returns `true` for sends and checks of a locked number, and for checks of a number without a record.
    fn changes_nothing(&self, view: &mut Transaction<'_>) -> bool {
        match (view.get::<NumberState>(self.subject.id), &self.kind) {
            (Some(NumberState::Open(_)), _)
            | (
                _,
                CommandKind::Resume(_)
                | CommandKind::End(_)
                | CommandKind::Settle(_)
                | CommandKind::SettleCheck(_),
            ) => false,
            (Some(NumberState::Locked { .. }), _) => true,
            (Some(NumberState::Fresh) | None, kind) => !matches!(kind, CommandKind::Send(_)),
        }
    }

    fn decide(&mut self, view: &mut Transaction<'_>) -> Decision {
        let Self {
            key,
            kind,
            deps,
            subject,
            reservation,
            key_reservation,
            first_attempt,
            checked,
            gives_back,
            cause,
            span: _,
        } = self;
        gives_back.clear();
        let cause = cause.as_ref();
        let now = view.now();
        if let (CommandKind::Send(_), Some(keyed)) = (&*kind, kind.keyed()) {
            if keyed.is_taken(view) {
                // An earlier request with the same idempotency key may have sent its message. When the caller repeats
                // the request, the answer reports that message.
                return Decision::Refused(Refusal::StoreUnavailable);
            }
            if key_reservation.is_none() {
                match deps.keys.reserve(key.service) {
                    Ok(reserved) => *key_reservation = Some(reserved),
                    Err(full) => return full,
                }
            }
        }
        let before = view.get::<NumberState>(subject.id);
        if matches!(kind, CommandKind::Send(_)) && before.is_none() && reservation.is_none() {
            match deps.capacity.of(key.is_test).reserve(key.service) {
                Ok(reserved) => *reservation = Some(reserved),
                Err(full) => return full,
            }
        }
        let state = before.unwrap_or(NumberState::Fresh);
        let policy = deps.policies.of(key.service);
        let input = DecisionInput { key: *key, state, rules: deps.rules(policy), now };
        let next = match kind {
            CommandKind::Send(send) => send.decide(input, view.rng()),
            CommandKind::Resume(resume) => {
                let log = &mut AttemptLogWriter::new(view, resume.log, deps.attempt_log);
                resume.decide(input, log, deps.policies.serves(key.service), gives_back)
            }
            CommandKind::Check(check) => check.decide(input),
            CommandKind::End(end) => end.decide(&input),
            CommandKind::Settle(settle) => Some(settle.decide(&input)),
            CommandKind::SettleCheck(settle) => Some(settle.decide(&input)),
        };
        let Some((next, durability)) = next else { return Decision::Wait };
        view.put(subject.id, (next != NumberState::Fresh).then_some(&next), durability);
        kind.remember_key(view);
        let before = state.at(&policy, now).verification();
        match write_attempts(view, deps, *key, kind, before.as_ref()) {
            Some(LogFact::FirstAttempt(first)) => *first_attempt = first,
            Some(LogFact::Checked(found)) => *checked = found,
            Some(LogFact::ReplacedPlan(ticket)) => gives_back.push(ticket),
            None => {}
        }
        if let Some(event) = event_of(kind, before.as_ref(), next.verification().as_ref())
            && let Some(events) = &deps.events
        {
            events.record(*key, &event, now, cause, view);
        }
        if let (Some(until), Some(events)) = (next.locked_until(), &deps.events)
            && state.locked_until() != Some(until)
        {
            let verification = state.verification();
            events.record(
                *key,
                &NumberEvent::Locked { verification: verification.as_ref(), until },
                now,
                cause,
                view,
            );
        }
        if let CommandKind::End(end) = kind {
            gives_back.extend(end.finish(*key, next != state, deps.events.as_deref(), view));
        }
        Decision::Made
    }

    fn answer(mut self: Box<Self>, reply: &mut ReplyContext<'_>) {
        facts::count(&self);
        drop(self.span.take());
        let Self { key, kind, deps, subject, first_attempt, .. } = *self;
        let context = DecisionContext { key, deps: &deps, subject, reply };
        match kind {
            CommandKind::Send(send) => send.answer(first_attempt, context),
            CommandKind::Resume(resume) => resume.answer(first_attempt, context),
            CommandKind::Check(check) => check.answer(context),
            CommandKind::End(end) => end.answer(&context),
            CommandKind::Settle(settle) => settle.answer(),
            CommandKind::SettleCheck(settle) => settle.answer(&context),
        }
    }

    fn refuse(mut self: Box<Self>, refusal: Refusal) {
        if let Some(mut span) = self.span.take() {
            span.text("error.type", refusal.name());
            span.fail();
        }
        if let CommandKind::Settle(settle) = &self.kind {
            // The send has ended, also if its result cannot be made durable.
            facts::count_send(&self.deps.metrics, self.key, settle.channel, settle.begins, &settle.delivered);
        }
        match self.kind {
            CommandKind::Send(send) => {
                let NumberKey { service, number, is_test } = self.key;
                if let Some(ticket) = send.allowance.refundable() {
                    self.deps.metrics.not_sent(Recipient { service, number, is_test }, &ticket);
                }
                send.responder.send(Err(refusal));
            }
            CommandKind::Resume(resume) => resume.responder.send(Err(refusal)),
            CommandKind::Check(check) => check.responder.send(Err(refusal)),
            CommandKind::End(end) => end.responder.send(Err(refusal)),
            CommandKind::Settle(settle) => settle.caller.reply(Err(refusal)),
            CommandKind::SettleCheck(settle) => settle.responder.send(Err(refusal)),
        }
    }
}

/// The input of every decision about a number.
pub(super) struct DecisionInput<'a> {
    pub(super) key: NumberKey,
    pub(super) state: NumberState,
    pub(super) rules: Rules<'a>,
    pub(super) now: Timestamp,
}

/// The next state, and whether the reply waits for it. `None`: a gateway is being asked about a code of the number.
pub(super) type Next = Option<(NumberState, Durability)>;

/// Context for answering a durable decision.
pub(super) struct DecisionContext<'a, 'b> {
    pub(super) key: NumberKey,
    pub(super) deps: &'a Arc<NumberDeps>,
    pub(super) subject: Subject,
    pub(super) reply: &'a mut ReplyContext<'b>,
}

impl DecisionContext<'_, '_> {
    /// The number's state, which later commands of the same batch may have changed.
    pub(super) fn state(&self) -> Option<NumberState> {
        self.reply.get::<NumberState>(self.subject.slot, self.subject.id)
    }

    pub(super) fn policy(&self) -> Policy {
        self.deps.policies.of(self.key.service)
    }

    /// Tells the gateway that sent the code how it ended, if one wants to know.
    pub(super) fn report_code_end(&self, verification: u64, end: CodeEnd) {
        if !self.deps.effects.wants_code_end(end) {
            return;
        }
        let key = AttemptLogKey::new(self.key.service, verification, self.subject.slot);
        let log = self.reply.get::<AttemptLog>(self.subject.slot, key.id());
        if let Some((gateway, message_id)) = log.and_then(|log| log.accepted()) {
            self.deps.effects.report_code_end(self.key.service, gateway, message_id, end);
        }
    }

    /// Queues a further command for the next batch.
    pub(super) fn enqueue(&mut self, kind: CommandKind) {
        self.reply.enqueue(NumberCommand::new(self.key, kind, Arc::clone(self.deps)));
    }
}

/// The key of the record of a verification's attempts, which is in the slot of its number.
pub fn attempt_log_key(service: ServiceId, salt: &Salt, slot: u8) -> AttemptLogKey {
    AttemptLogKey::new(service, salt.id(), slot)
}

/// A fact from the attempt log.
enum LogFact {
    /// The number of a permitted send's first attempt.
    FirstAttempt(u8),
    Checked(Checked),
    /// The send takes the place of a planned message for which none has left. The guard gets this back.
    ReplacedPlan(Ticket),
}

/// Updates the attempt log of the verification.
fn write_attempts(
    view: &mut Transaction<'_>,
    deps: &NumberDeps,
    NumberKey { service, number, .. }: NumberKey,
    kind: &CommandKind,
    before: Option<&Verification>,
) -> Option<LogFact> {
    let slot = view.slot();
    let key = |salt: &Salt| attempt_log_key(service, salt, slot);
    let (salt, status) = match kind {
        CommandKind::Send(SendCommand { decided: Some(SendDecision::Permitted(permit)), .. }) => {
            let log = &mut AttemptLogWriter::new(view, key(&permit.verification.salt), deps.attempt_log);
            return Some(LogFact::FirstAttempt(log.permit(number)));
        }
        CommandKind::Resume(ResumeCommand { decided: Some((permit, _)), .. }) => {
            let log = &mut AttemptLogWriter::new(view, key(&permit.verification.salt), deps.attempt_log);
            return Some(LogFact::FirstAttempt(log.begin_follow_up()));
        }
        CommandKind::Settle(SettleCommand { permit, style, purpose, first_attempt, delivered, .. }) => {
            let (Verification { salt, expires, .. }, first_attempt) = (permit.verification, *first_attempt);
            let ended = EndedSend { salt, expires, style, purpose, first_attempt, delivered };
            let mut log = AttemptLogWriter::new(view, key(&salt), deps.attempt_log);
            return log.settle(number, ended).map(LogFact::ReplacedPlan);
        }
        CommandKind::Check(CheckCommand { decided: Some(CheckDecision::Reply(_, Some(status))), .. }) => {
            (before.map(|v| v.salt), *status)
        }
        CommandKind::SettleCheck(SettleCheckCommand { decided: Some((_, status)), permit, .. }) => {
            (Some(permit.salt), *status)
        }
        CommandKind::End(EndCommand {
            ending: Ending::Approved,
            decided: Some(EndOutcome::Ended(Some(_))),
            ..
        }) => (before.map(|v| v.salt), VerifyStatus::Success),
        CommandKind::Send(_)
        | CommandKind::Resume(_)
        | CommandKind::Check(_)
        | CommandKind::SettleCheck(_)
        | CommandKind::End(_) => return None,
    };
    AttemptLogWriter::new(view, key(&salt?), deps.attempt_log).check(status).map(LogFact::Checked)
}

/// Builds the event of a decision from the verification before and after it.
fn event_of<'a>(
    kind: &'a CommandKind,
    before: Option<&'a Verification>,
    after: Option<&'a Verification>,
) -> Option<NumberEvent<'a>> {
    let is_spent = after.is_some_and(Verification::is_spent);
    match kind {
        CommandKind::Send(SendCommand { decided, channel, verification: named, .. }) => {
            let (Some(SendDecision::Permitted(_) | SendDecision::Silent(..)), Some(verification)) =
                (decided, after)
            else {
                return None;
            };
            let tags = named.as_ref().map(|named| &named.tags);
            Some(NumberEvent::Permitted { verification, channel: *channel, tags })
        }
        CommandKind::Settle(SettleCommand { permit, delivered, caller, .. }) => {
            let verification = after.filter(|v| permit.is_for(v));
            let is_follow_up = matches!(caller, Caller::FollowUp(_));
            Some(NumberEvent::Settled { permit, verification, delivered, is_follow_up })
        }
        CommandKind::Check(CheckCommand { decided: Some(CheckDecision::Reply(reply, Some(_))), .. }) => {
            Some(NumberEvent::Checked { verification: before?, outcome: reply.outcome, is_spent })
        }
        // An event would name the erased number again.
        CommandKind::Check(_)
        | CommandKind::Resume(_)
        | CommandKind::End(EndCommand { ending: Ending::Erased, .. }) => None,
        CommandKind::SettleCheck(SettleCheckCommand { decided, permit, .. }) => {
            let (reply, _) = decided.as_ref()?;
            let verification = before.filter(|v| v.salt == permit.salt)?;
            Some(NumberEvent::Checked { verification, outcome: reply.outcome, is_spent })
        }
        CommandKind::End(EndCommand { ending, decided, .. }) => match decided {
            Some(EndOutcome::Ended(Some(verification))) => {
                Some(NumberEvent::Ended { verification, ending: *ending })
            }
            Some(EndOutcome::Ended(None) | EndOutcome::NotFound | EndOutcome::Busy { .. }) | None => None,
        },
    }
}
