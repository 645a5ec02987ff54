//! Commands about one number. The shard decides them in order, and performs their effects when the decision is durable.
//!
//! [`send`](super::send) and [`check`](super::check) have the decisions. This module has what they share: the command,
//! its effects, and the one place that performs them.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

use std::mem::discriminant;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::check::{self, End};
use super::in_flight::CommandPermit;
use super::reply::{CheckOutcome, Reply, SendOutcome};
use super::send;
use crate::config::AttemptLogSettings;
use crate::delivery::attempts::AttemptLog;
use crate::delivery::{Check, Delivered, Outgoing, Permitted};
use crate::domain::{AttemptLogKey, GatewayName, NumberKey, ServerKey, Timestamp};
use crate::engine::{CheckPermit, CheckResult, NumberState, Policy, Rules, Salt, SlotHash, Verification};
use crate::gateway::CodeEnd;
use crate::limits::guard::{GuardNews, PumpingGuard};
use crate::observe::metrics::{Fact, Metrics};
use crate::observe::trace::{RequestId, Span, SpanContext, SpanKind};
use crate::registry::Policies;
use crate::shard::{
    After, Capacity, Command, Decided, Durability, Load, Record, RecordKey, Refusal, Reservation, Shards,
    Subject, Tables, Transaction,
};
use crate::webhook::{EventRecorder, NumberEvents};

/// What decisions about numbers need.
pub struct NumberDeps {
    /// The rules of every service.
    pub policies: Policies,
    /// The key from which codes are derived.
    pub key: ServerKey,
    /// The slot of a number.
    pub slots: SlotHash,
    /// The limits on stored numbers, and on test numbers.
    pub numbers: [Arc<Capacity>; 2],
    /// The limit on idempotency keys.
    pub keys: Arc<Capacity>,
    /// The longest duration of one send's delivery, from its decision on.
    pub send_budget: Duration,
    /// The longest duration of one check at a gateway that holds the code, from its decision to the decision about its
    /// answer.
    pub check_budget: Duration,
    /// The limits on attempt logs.
    pub attempt_log: AttemptLogSettings,
    /// Whether a gateway wants to know how codes end.
    pub tells_ends: bool,
    /// Writes event records in the commit of each decision.
    pub events: Option<Arc<EventRecorder>>,
    /// Remembers verified numbers.
    pub guard: Option<PumpingGuard>,
    /// Counts decisions.
    pub metrics: Arc<Metrics>,
    /// Carries out tasks. Must not block: each result comes back as a command.
    pub outside: Outside,
}

/// Carries out a task of a decision with these dependencies.
pub type Outside = Box<dyn Fn(&Arc<NumberDeps>, Task) + Send + Sync>;

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

/// What a durable decision asks of the world outside of the shard.
pub enum Task {
    /// Hand a message to the gateways.
    Deliver(Sending),
    /// Ask the gateway that holds a code. The attempt is already durable.
    AskGateway(Asking),
    /// Tell a gateway how the code of its message ended.
    TellGateway(ToldEnd),
    TellGuard(NumberKey, GuardNews),
}

/// A message at the gateways.
pub struct Sending {
    pub outgoing: Box<Outgoing>,
    pub permitted: Permitted,
    pub caller: Caller,
}

/// A submitted code at the gateway that holds the right one.
pub struct Asking {
    pub check: Check,
    pub permit: CheckPermit,
    pub caller: Caller,
}

/// How the code of a gateway's message ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldEnd {
    pub gateway: GatewayName,
    pub message_id: String,
    pub end: CodeEnd,
}

/// Sends the reply to a command. Until then it holds the command's permit.
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

/// Waits for the end of a command.
pub enum Caller {
    Send(Responder<Reply<SendOutcome>>),
    Check(Responder<Reply<CheckOutcome>>),
    End(Responder<Reply<bool>>),
    /// The scheduler of planned sends.
    FollowUp(Responder<()>),
}

impl Caller {
    fn answer(self, next: Next) {
        match (self, next) {
            (Self::Send(responder), Next::Sent(reply)) => responder.send(reply),
            (Self::FollowUp(responder), Next::Sent(_) | Next::NothingDue) => responder.send(Ok(())),
            (Self::Check(responder), Next::Checked(reply)) => responder.send(reply),
            (Self::End(responder), Next::Ended(reply)) => responder.send(Ok(reply)),
            // A defect of this program. Without its responder the caller gets the answer of a shard that failed.
            (caller, next) => {
                let (caller, next) = (discriminant(&caller), discriminant(&next));
                tracing::error!(?caller, ?next, "decision not performed");
            }
        }
    }
}

/// One command about one number.
pub struct NumberCommand {
    key: NumberKey,
    request: Request,
    deps: Arc<NumberDeps>,
    subject: Subject,
    /// The client's request, if it is traced.
    cause: Option<SpanContext>,
    /// The span from the submission until the decision is durable.
    span: Option<Span>,
}

/// The operation, with who waits for its end.
#[expect(clippy::large_enum_variant, reason = "the shards box each command once")]
pub enum Request {
    /// Send a code.
    Send(Box<Outgoing>, Caller),
    /// Make the planned send of the live code that this record has.
    Resume(AttemptLogKey, Caller),
    /// Check a code.
    Check(Check, Caller),
    /// End a verification, or clear the counts of a number.
    End(End, Caller),
    /// Settle a send with its result.
    Settle(Sending, Delivered),
    /// Settle a check with the answer of the gateway that holds the code. An error answers the client; the gateway was not
    /// asked.
    SettleCheck(Asking, Result<CheckResult, Refusal>),
}

impl Request {
    /// Drops everything else: a caller may repeat the request with its key as soon as it has an answer.
    fn into_caller(self) -> Caller {
        match self {
            Self::Send(_, caller)
            | Self::Resume(_, caller)
            | Self::Check(_, caller)
            | Self::End(_, caller)
            | Self::Settle(Sending { caller, .. }, _)
            | Self::SettleCheck(Asking { caller, .. }, _) => caller,
        }
    }
}

/// A gateway is being asked about a code of the number: the command waits.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Busy;

/// How a durable decision goes on: it hands the request on, or answers it.
pub(super) enum Next {
    /// Hand the message of the request to delivery.
    Deliver(Permitted),
    /// Hand a planned message to delivery.
    DeliverPlanned(Box<Outgoing>, Permitted),
    /// Ask the gateway that holds the code.
    AskGateway(CheckPermit),
    /// Decide the send once more: its verification ended before its message left.
    SendAgain,
    Sent(Result<Reply<SendOutcome>, Refusal>),
    Checked(Result<Reply<CheckOutcome>, Refusal>),
    /// Whether the request changed something, and the verification that ended.
    Ended(Reply<bool>),
    NothingDue,
}

/// What a decision about a number asks for. Nothing of it happens before the changes are durable.
pub struct Effects {
    facts: Vec<Fact>,
    /// What gateways and the guard are told.
    told: Vec<Task>,
    next: Box<Next>,
    /// Held until new records are in their tables.
    _reserved: [Option<Reservation>; 2],
}

impl NumberCommand {
    /// A command that is linked to a client's request, if that is traced.
    pub fn new(key: NumberKey, request: Request, deps: Arc<NumberDeps>) -> Self {
        let (id, name) = match &request {
            Request::Send(outgoing, _) => (&outgoing.request_id, Some("decide send")),
            Request::Settle(Sending { outgoing, .. }, _) => (&outgoing.request_id, None),
            Request::Check(check, _) => (&check.request_id, Some("decide check")),
            Request::SettleCheck(Asking { check, .. }, _) => (&check.request_id, None),
            Request::Resume(..) | Request::End(..) => (&None, None),
        };
        let cause = id.as_ref().and_then(RequestId::span).cloned();
        let span = name.and_then(|name| cause.as_ref()?.child(name, SpanKind::Internal));
        let subject = deps.subject(&key);
        Self { key, request, deps, subject, cause, span }
    }

    /// The places of an idempotency key and of a number that the command adds to their tables.
    fn reserve(&self, view: &mut Transaction<'_>) -> Result<[Option<Reservation>; 2], Decided<Effects>> {
        let (keyed, is_send) = match &self.request {
            Request::Send(outgoing, _) => (&outgoing.keyed, true),
            Request::Check(check, _) => (&check.keyed, false),
            Request::Resume(..) | Request::End(..) | Request::Settle(..) | Request::SettleCheck(..) => {
                return Ok([None, None]);
            }
        };
        let NumberKey { service, is_test, .. } = self.key;
        let place_of_key = match keyed {
            // An earlier request with the same idempotency key may have had its effect. When the caller repeats the
            // request, the answer reports that effect.
            Some(keyed) if keyed.key().is_taken(view) => {
                return Err(Decided::Refused(Refusal::StoreUnavailable));
            }
            Some(_) => Some(self.deps.keys.reserve(service).map_err(Decided::Full)?),
            None => None,
        };
        if !is_send || view.get::<NumberState>(self.subject.id).is_some() {
            return Ok([place_of_key, None]);
        }
        let place = self.deps.numbers[usize::from(is_test)].reserve(service).map_err(Decided::Full)?;
        Ok([place_of_key, Some(place)])
    }
}

impl Command for NumberCommand {
    type Made = Effects;

    fn subject(&self) -> Subject {
        self.subject
    }

    fn load(&self) -> Load {
        match self.request {
            Request::Send(..) | Request::Resume(..) => Load::UntilAnswered,
            Request::Check(..) | Request::End(..) => Load::UntilDecided,
            Request::Settle(..) | Request::SettleCheck(..) => Load::Settlement,
        }
    }

    /// Sends and checks of a locked number, and checks of a number without a record, change nothing. An event, and the
    /// answer to a check with a key, are never lazy.
    fn may_be_lazy(&self, view: &mut Transaction<'_>) -> bool {
        let has_event = || self.deps.events.as_ref().is_some_and(|events| events.subscribes(self.key));
        let mut state = || view.get::<NumberState>(self.subject.id);
        match &self.request {
            Request::Settle(..) => !has_event(),
            Request::SettleCheck(asking, _) => asking.check.keyed.is_none() && !has_event(),
            Request::Check(check, _) => {
                check.keyed.is_none() && !matches!(state(), Some(NumberState::Open(_)))
            }
            Request::Send(..) => matches!(state(), Some(NumberState::Locked { .. })),
            Request::Resume(..) | Request::End(..) => false,
        }
    }

    fn decide(&self, view: &mut Transaction<'_>) -> Decided<Effects> {
        let reserved = match self.reserve(view) {
            Ok(reserved) => reserved,
            Err(decided) => return decided,
        };
        let mut decision = Decision::new(self, view);
        let next = match &self.request {
            Request::Send(outgoing, _) => send::send(&mut decision, outgoing),
            Request::Resume(log, _) => send::resume(&mut decision, *log),
            Request::Check(check, _) => check::check(&mut decision, check),
            Request::End(end, _) => check::end(&mut decision, end),
            Request::Settle(Sending { outgoing, permitted, .. }, delivered) => {
                Ok(send::settle(&mut decision, outgoing, permitted, delivered))
            }
            Request::SettleCheck(asking, result) => Ok(check::settle(&mut decision, asking, *result)),
        };
        let Decision { facts, told, .. } = decision;
        match next {
            Ok(next) => Decided::Made(Effects { facts, told, next: Box::new(next), _reserved: reserved }),
            Err(Busy) => Decided::Wait,
        }
    }

    fn perform(mut self, effects: Effects, after: &mut After<'_>) {
        drop(self.span.take());
        let Self { key, request, deps, subject, .. } = self;
        effects.facts.iter().for_each(|fact| deps.metrics.count(fact));
        effects.told.into_iter().for_each(|task| (deps.outside)(&deps, task));
        let further = match (request, *effects.next) {
            (Request::Send(outgoing, caller), Next::Deliver(permitted))
            | (Request::Resume(_, caller), Next::DeliverPlanned(outgoing, permitted)) => {
                deliver(Sending { outgoing, permitted, caller }, subject, &deps, after)
            }
            (Request::Check(check, caller), Next::AskGateway(permit)) => {
                ask(Asking { check, permit, caller }, subject, &deps, after)
            }
            (Request::Settle(Sending { outgoing, caller, .. }, _), Next::SendAgain) => {
                Some(Request::Send(outgoing, caller))
            }
            (request, next) => {
                request.into_caller().answer(next);
                None
            }
        };
        if let Some(request) = further {
            after.enqueue(NumberCommand::new(key, request, deps));
        }
    }

    fn refuse(mut self, refusal: Refusal) {
        if let Some(mut span) = self.span.take() {
            span.text("error.type", refusal.name());
            span.fail();
        }
        let Self { key, request, deps, .. } = self;
        let (unused, is_settled) = match &request {
            Request::Send(outgoing, _) => (outgoing.allowance.refundable(), false),
            Request::Settle(Sending { outgoing, permitted, .. }, delivered) => {
                // The send has ended, also if its result cannot be made durable.
                send::facts(outgoing, permitted.begins, delivered).for_each(|fact| deps.metrics.count(&fact));
                (delivered.certainly_not_sent(), true)
            }
            Request::Resume(..) | Request::Check(..) | Request::End(..) | Request::SettleCheck(..) => {
                (None, false)
            }
        };
        if let Some(ticket) = unused {
            (deps.outside)(&deps, Task::TellGuard(key, GuardNews::NotSent(ticket)));
        }
        match request.into_caller() {
            Caller::Send(responder) => responder.send(Err(refusal)),
            Caller::Check(responder) => responder.send(Err(refusal)),
            Caller::End(responder) => responder.send(Err(refusal)),
            // It would repeat a send that has ended.
            Caller::FollowUp(responder) => responder.send(if is_settled { Ok(()) } else { Err(refusal) }),
        }
    }
}

/// Hands the message to delivery, unless a later command of the same batch made its code useless: then it is settled.
fn deliver(
    mut sending: Sending,
    subject: Subject,
    deps: &Arc<NumberDeps>,
    after: &mut After<'_>,
) -> Option<Request> {
    after.mark_at_gateway();
    let now = after.now();
    let Sending { outgoing, permitted, .. } = &mut sending;
    let state: Option<NumberState> = after.get(subject.slot, subject.id);
    let state = state.map(|state| state.at(&deps.policies.of(outgoing.key.service), now));
    let live = state.and_then(|state| state.verification()).filter(|v| v.is_live(now));
    if let Some(live) = live.filter(|live| permitted.permit.is_for(live)) {
        // A later command of the batch may have prolonged its life, which the message states.
        permitted.permit.verification.expires = live.expires;
        (deps.outside)(deps, Task::Deliver(sending));
        return None;
    }
    let delivered = Delivered::no_longer_usable(outgoing, permitted);
    Some(Request::Settle(sending, delivered))
}

/// Asks the gateway, unless the commit took longer than the check may: the shard would ignore the answer.
fn ask(asking: Asking, subject: Subject, deps: &Arc<NumberDeps>, after: &mut After<'_>) -> Option<Request> {
    after.mark_at_gateway();
    let state: Option<NumberState> = after.get(subject.slot, subject.id);
    let asked = state.and_then(|state| state.verification());
    if asked.is_some_and(|v| v.is_checked_by(&asking.permit) && v.is_checking(after.now())) {
        (deps.outside)(deps, Task::AskGateway(asking));
        return None;
    }
    Some(Request::SettleCheck(asking, Ok(CheckResult::NotAsked)))
}

/// One decision about a number, as far as it has come.
pub(super) struct Decision<'a, 'b> {
    pub(super) key: NumberKey,
    pub(super) deps: &'a NumberDeps,
    pub(super) view: &'a mut Transaction<'b>,
    /// The state of the number as it is stored.
    pub(super) state: NumberState,
    /// The verification before the decision.
    pub(super) before: Option<Verification>,
    pub(super) rules: Rules<'a>,
    pub(super) now: Timestamp,
    cause: Option<&'a SpanContext>,
    facts: Vec<Fact>,
    told: Vec<Task>,
}

impl<'a, 'b> Decision<'a, 'b> {
    fn new(command: &'a NumberCommand, view: &'a mut Transaction<'b>) -> Self {
        let NumberCommand { key, deps, subject, cause, .. } = command;
        let now = view.now();
        let state = view.get::<NumberState>(subject.id).unwrap_or(NumberState::Fresh);
        let policy = deps.policies.of(key.service);
        let before = state.at(&policy, now).verification();
        let rules = deps.rules(policy);
        let (cause, facts, told) = (cause.as_ref(), Vec::new(), Vec::new());
        Self { key: *key, deps, view, state, before, rules, now, cause, facts, told }
    }

    pub(super) fn put(&mut self, next: NumberState, durability: Durability) {
        self.view.put(self.key.id(), (next != NumberState::Fresh).then_some(&next), durability);
    }

    /// The record of the attempts of a verification, which is in the slot of its number.
    pub(super) fn log_key(&self, salt: &Salt) -> AttemptLogKey {
        AttemptLogKey::new(self.key.service, salt.id(), self.view.slot())
    }

    pub(super) fn attempts_of(&mut self, verification: &Verification) -> Option<AttemptLog> {
        self.view.get(self.log_key(&verification.salt).id())
    }

    /// Emits events of the verification with this id.
    pub(super) fn emit(&mut self, verification: u64, emit: impl FnOnce(&mut NumberEvents<'_, '_>)) {
        if let Some(events) = &self.deps.events
            && let Some(mut events) = events.of(self.key, verification, self.now, self.cause, self.view)
        {
            emit(&mut events);
        }
    }

    /// Emits the event of a lockout, if the decision begins one.
    pub(super) fn emit_lockout(&mut self, next: &NumberState) {
        let Some(until) = next.locked_until().filter(|until| self.state.locked_until() != Some(*until))
        else {
            return;
        };
        let verification = self.state.verification();
        let id = verification.map_or(0, |v| v.salt.id());
        self.emit(id, |events| events.locked(verification.as_ref(), until));
    }

    /// Tells the gateway of the last message how the code ended, if one wants to know.
    pub(super) fn tell(&mut self, end: CodeEnd, log: Option<&AttemptLog>) {
        if self.deps.tells_ends
            && let Some((gateway, message_id)) = log.and_then(AttemptLog::accepted)
        {
            self.told.push(Task::TellGateway(ToldEnd { gateway, message_id, end }));
        }
    }

    pub(super) fn tell_guard(&mut self, news: GuardNews) {
        self.told.push(Task::TellGuard(self.key, news));
    }

    pub(super) fn count(&mut self, fact: Fact) {
        self.facts.push(fact);
    }
}
