//! Commands about one number. The shard decides them in order, and performs their effects when the decision is durable.
//!
//! [`send`](super::send) and [`check`](super::check) have the decisions. This module has what they share: the command,
//! its effects, and the one place that performs them.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::check::{self, End};
use super::in_flight::CommandPermit;
use super::reply::{CheckOutcome, Reply, SendOutcome};
use super::send;
use super::table::NumberCapacity;
use crate::config::AttemptLogSettings;
use crate::delivery::attempts::{AttemptLog, AttemptLogWriter};
use crate::delivery::{Check, Delivered, Outgoing, Permitted};
use crate::domain::{AttemptLogKey, GatewayName, NumberKey, ServerKey, Timestamp};
use crate::engine::{
    CheckPermit, CheckResult, NumberState, Policy, Rules, Salt, SendResult, SlotHash, Verification,
};
use crate::gateway::CodeEnd;
use crate::limits::guard::GuardNews;
use crate::observe::metrics::{Fact, Metrics};
use crate::observe::trace::{RequestId, Span, SpanContext, SpanKind};
use crate::registry::Policies;
use crate::shard::{
    After, Capacity, Command, Decided, Durability, Load, Record, RecordKey, Refusal, Reservation, Shards,
    Subject, Tables, Transaction,
};
use crate::template::MessageStyle;
use crate::webhook::{EventRecorder, NumberEvent};

/// What decisions about numbers need.
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
    /// The ends of codes that a gateway wants to know.
    pub told_ends: Vec<CodeEnd>,
    /// Writes event records in the commit of each decision.
    pub events: Option<Arc<EventRecorder>>,
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
    Ask(Asking),
    /// Tell a gateway how the code of its message ended.
    Tell(NumberKey, ToldEnd),
    /// Tell the pumping guard.
    Allow(NumberKey, GuardNews),
}

/// A message at the gateways.
#[derive(Debug)]
pub struct Sending {
    pub outgoing: Box<Outgoing>,
    pub permitted: Permitted,
    pub caller: Caller,
}

/// A submitted code at the gateway that holds the right one.
#[derive(Debug)]
pub struct Asking {
    pub check: Check,
    pub permit: CheckPermit,
    pub responder: Responder<Reply<CheckOutcome>>,
}

/// How the code of a gateway's message ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldEnd {
    pub gateway: GatewayName,
    pub message_id: String,
    pub end: CodeEnd,
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

/// Waits for the end of a send.
#[derive(Debug)]
pub enum Caller {
    /// A client.
    Client(Responder<Reply<SendOutcome>>),
    /// The scheduler of planned sends.
    FollowUp(Responder<()>),
}

impl Caller {
    fn reply(self, reply: Result<Reply<SendOutcome>, Refusal>) {
        match self {
            Self::Client(responder) => responder.send(reply),
            // It always learns that the send ended. Otherwise it would repeat the send after a store failure.
            Self::FollowUp(responder) => responder.send(Ok(())),
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
#[derive(Debug)]
pub enum Request {
    /// Send a code.
    Send(Box<Outgoing>, Responder<Reply<SendOutcome>>),
    /// Make the planned send of the live code that this record has.
    Resume(AttemptLogKey, Responder<()>),
    /// Check a code.
    Check(Check, Responder<Reply<CheckOutcome>>),
    /// End a verification, or clear the counts of a number.
    End(End, Responder<Reply<bool>>),
    /// Settle a send with its result.
    Settle(Sending, Delivered),
    /// Settle a check with the answer of the gateway that holds the code. An error answers the client; the gateway was not
    /// asked.
    SettleCheck(Asking, Result<CheckResult, Refusal>),
}

/// What a decision about a number asks for. Nothing of it happens before the changes are durable.
#[derive(Debug)]
pub enum Effect {
    /// Hand the message to delivery. A planned one has its style with it.
    Deliver(Permitted, Option<MessageStyle>),
    /// Ask the gateway that holds the code.
    Ask(CheckPermit),
    Reply(Answer),
    Tell(ToldEnd),
    Allow(GuardNews),
    Count(Fact),
}

/// The reply to a command.
#[derive(Debug)]
pub enum Answer {
    Send(Result<Reply<SendOutcome>, Refusal>),
    Check(Result<Reply<CheckOutcome>, Refusal>),
    /// Whether the request changed something, and the verification that ended.
    End(Reply<bool>),
    /// Nothing is due.
    NothingDue,
}

/// What is left to do after a decision about a number.
pub struct Made {
    effects: Vec<Effect>,
    /// Held until new records are in their tables.
    _reserved: [Option<Reservation>; 2],
}

impl NumberCommand {
    /// A command that is linked to a client's request, if that is traced.
    pub fn new(key: NumberKey, request: Request, deps: Arc<NumberDeps>) -> Self {
        let cause = match &request {
            Request::Send(outgoing, _) | Request::Settle(Sending { outgoing, .. }, _) => {
                outgoing.request_id.as_ref()
            }
            Request::Check(check, _) | Request::SettleCheck(Asking { check, .. }, _) => {
                check.request_id.as_ref()
            }
            Request::Resume(..) | Request::End(..) => None,
        };
        let cause = cause.and_then(RequestId::span).cloned();
        let name = match &request {
            Request::Send(..) => Some("decide send"),
            Request::Check(..) => Some("decide check"),
            Request::Resume(..) | Request::End(..) | Request::Settle(..) | Request::SettleCheck(..) => None,
        };
        let span = name.and_then(|name| cause.as_ref()?.child(name, SpanKind::Internal));
        let subject = deps.subject(&key);
        Self { key, request, deps, subject, cause, span }
    }

    /// The places of an idempotency key and of a number that the command adds to their tables.
    fn reserve(&self, view: &mut Transaction<'_>) -> Result<[Option<Reservation>; 2], Decided<Made>> {
        let Request::Send(outgoing, _) = &self.request else { return Ok([None, None]) };
        let NumberKey { service, is_test, .. } = self.key;
        let place_of_key = match outgoing.request_key() {
            // An earlier request with the same idempotency key may have sent its message. When the caller repeats the
            // request, the answer reports that message.
            Some(keyed) if keyed.is_taken(view) => return Err(Decided::Refused(Refusal::StoreUnavailable)),
            Some(_) => Some(self.deps.keys.reserve(service).map_err(Decided::Full)?),
            None => None,
        };
        if view.get::<NumberState>(self.subject.id).is_some() {
            return Ok([place_of_key, None]);
        }
        let place = self.deps.capacity.of(is_test).reserve(service).map_err(Decided::Full)?;
        Ok([place_of_key, Some(place)])
    }

    /// The state of the number now, which later commands of the same batch may have changed.
    fn verification_now(&self, after: &After<'_>) -> Option<Verification> {
        let state = after.get::<NumberState>(self.subject.slot, self.subject.id)?;
        state.at(&self.deps.policies.of(self.key.service), after.now()).verification()
    }
}

impl Command for NumberCommand {
    type Made = Made;

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

    /// An event is never lazy.
    fn may_be_lazy(&self) -> bool {
        let is_settlement = self.load() == Load::Settlement;
        is_settlement && self.deps.events.as_ref().is_none_or(|events| !events.subscribes(self.key))
    }

    fn must_wait(&self, view: &mut Transaction<'_>) -> bool {
        let now = view.now();
        let state = view.get::<NumberState>(self.subject.id);
        state.and_then(|state| state.verification()).is_some_and(|v| v.is_checking(now))
    }

    /// Returns `true` for sends and checks of a locked number, and for checks of a number without a record.
    fn changes_nothing(&self, view: &mut Transaction<'_>) -> bool {
        match view.get::<NumberState>(self.subject.id) {
            Some(NumberState::Open(_)) => false,
            Some(NumberState::Locked { .. }) => {
                matches!(self.request, Request::Send(..) | Request::Check(..))
            }
            Some(NumberState::Fresh) | None => matches!(self.request, Request::Check(..)),
        }
    }

    fn decide(&self, view: &mut Transaction<'_>) -> Decided<Made> {
        let reserved = match self.reserve(view) {
            Ok(reserved) => reserved,
            Err(decided) => return decided,
        };
        let mut decision = Decision::new(self, view);
        let is_decided = match &self.request {
            Request::Send(outgoing, _) => send::send(&mut decision, outgoing),
            Request::Resume(log, _) => send::resume(&mut decision, *log),
            Request::Check(check, _) => check::check(&mut decision, check),
            Request::End(end, _) => check::end(&mut decision, end),
            Request::Settle(Sending { outgoing, permitted, .. }, delivered) => {
                send::settle(&mut decision, outgoing, permitted, delivered);
                Some(())
            }
            Request::SettleCheck(asking, result) => {
                check::settle(&mut decision, &asking.permit, *result);
                Some(())
            }
        };
        match is_decided {
            Some(()) => Decided::Made(Made { effects: decision.effects, _reserved: reserved }),
            // A gateway is being asked about a code of the number.
            None => Decided::Wait,
        }
    }

    fn perform(mut self, made: Made, after: &mut After<'_>) {
        drop(self.span.take());
        let deps = Arc::clone(&self.deps);
        let (key, mut left) = (self.key, Some(self));
        for effect in made.effects {
            match effect {
                Effect::Count(fact) => deps.metrics.count(&fact),
                Effect::Allow(news) => (deps.outside)(&deps, Task::Allow(key, news)),
                Effect::Tell(end) => (deps.outside)(&deps, Task::Tell(key, end)),
                Effect::Reply(answer) => {
                    if let Some(command) = left.take() {
                        command.reply(answer);
                    }
                }
                Effect::Deliver(permitted, style) => {
                    if let Some(command) = left.take() {
                        command.deliver(permitted, style, after);
                    }
                }
                Effect::Ask(permit) => {
                    if let Some(command) = left.take() {
                        command.ask(permit, after);
                    }
                }
            }
        }
    }

    fn refuse(mut self, refusal: Refusal) {
        if let Some(mut span) = self.span.take() {
            span.text("error.type", refusal.name());
            span.fail();
        }
        let Self { key, request, deps, .. } = self;
        let not_sent = |ticket| (deps.outside)(&deps, Task::Allow(key, GuardNews::NotSent(ticket)));
        match request {
            Request::Send(outgoing, responder) => {
                outgoing.allowance.refundable().into_iter().for_each(not_sent);
                // The caller may repeat the request with its key at once.
                drop(outgoing);
                responder.send(Err(refusal));
            }
            Request::Resume(_, responder) => responder.send(Err(refusal)),
            Request::Check(_, responder) | Request::SettleCheck(Asking { responder, .. }, _) => {
                responder.send(Err(refusal));
            }
            Request::End(_, responder) => responder.send(Err(refusal)),
            Request::Settle(Sending { outgoing, permitted, caller }, delivered) => {
                // The send has ended, also if its result cannot be made durable.
                send::facts(&outgoing, permitted.begins, &delivered)
                    .for_each(|fact| deps.metrics.count(&fact));
                delivered.certainly_not_sent().into_iter().for_each(not_sent);
                drop(outgoing);
                caller.reply(Err(refusal));
            }
        }
    }
}

impl NumberCommand {
    fn reply(self, answer: Answer) {
        match (self.request, answer) {
            // The caller may repeat the request with its key at once.
            (Request::Send(outgoing, responder), Answer::Send(reply)) => {
                drop(outgoing);
                responder.send(reply);
            }
            (Request::Settle(Sending { outgoing, caller, .. }, _), Answer::Send(reply)) => {
                drop(outgoing);
                caller.reply(reply);
            }
            (
                Request::Check(_, responder) | Request::SettleCheck(Asking { responder, .. }, _),
                Answer::Check(reply),
            ) => responder.send(reply),
            (Request::End(_, responder), Answer::End(reply)) => responder.send(Ok(reply)),
            (Request::Resume(_, responder), Answer::NothingDue) => responder.send(Ok(())),
            // No decision answers another request than its own. To drop a responder answers as a failed shard does.
            _ => {}
        }
    }

    /// Hands the message to delivery, unless a later command of the same batch made its code useless.
    fn deliver(self, mut permitted: Permitted, style: Option<MessageStyle>, after: &mut After<'_>) {
        after.mark_at_gateway();
        let live = self.verification_now(after).filter(|v| v.is_live(after.now()));
        let Self { key, request, deps, .. } = self;
        let (outgoing, caller) = match request {
            Request::Send(outgoing, responder) => (outgoing, Caller::Client(responder)),
            Request::Resume(_, responder) => {
                (Box::new(send::planned(key, &permitted, style)), Caller::FollowUp(responder))
            }
            Request::Check(..) | Request::End(..) | Request::Settle(..) | Request::SettleCheck(..) => return,
        };
        if let Some(live) = live.filter(|live| permitted.permit.is_for(live)) {
            // A later command of the batch may have prolonged its life, which the message states.
            permitted.permit.verification.expires = live.expires;
            return (deps.outside)(&deps, Task::Deliver(Sending { outgoing, permitted, caller }));
        }
        let delivered = Delivered::unsent(SendResult::NoLongerUsable, &outgoing, &permitted);
        after.enqueue(Self::new(
            key,
            Request::Settle(Sending { outgoing, permitted, caller }, delivered),
            deps,
        ));
    }

    /// Asks the gateway, unless the commit took longer than the check may: the shard would ignore the answer.
    fn ask(self, permit: CheckPermit, after: &mut After<'_>) {
        after.mark_at_gateway();
        let now = after.now();
        let state = after.get::<NumberState>(self.subject.slot, self.subject.id);
        let asked = state.and_then(|state| state.verification());
        let is_open = asked.is_some_and(|v| v.is_checked_by(&permit) && v.is_checking(now));
        let Self { key, request: Request::Check(check, responder), deps, .. } = self else { return };
        let asking = Asking { check, permit, responder };
        if is_open {
            return (deps.outside)(&deps, Task::Ask(asking));
        }
        after.enqueue(Self::new(key, Request::SettleCheck(asking, Ok(CheckResult::NotAsked)), deps));
    }
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
    effects: Vec<Effect>,
}

impl<'a, 'b> Decision<'a, 'b> {
    fn new(command: &'a NumberCommand, view: &'a mut Transaction<'b>) -> Self {
        let NumberCommand { key, deps, subject, cause, .. } = command;
        let now = view.now();
        let state = view.get::<NumberState>(subject.id).unwrap_or(NumberState::Fresh);
        let policy = deps.policies.of(key.service);
        let before = state.at(&policy, now).verification();
        let rules = deps.rules(policy);
        Self { key: *key, deps, view, state, before, rules, now, cause: cause.as_ref(), effects: Vec::new() }
    }

    pub(super) fn put(&mut self, next: NumberState, durability: Durability) {
        self.view.put(self.key.id(), (next != NumberState::Fresh).then_some(&next), durability);
    }

    /// The record of the attempts of a verification, which is in the slot of its number.
    pub(super) fn log_of(&mut self, salt: &Salt) -> AttemptLogWriter<'_, 'b> {
        let key = AttemptLogKey::new(self.key.service, salt.id(), self.view.slot());
        AttemptLogWriter::new(self.view, key, self.deps.attempt_log)
    }

    pub(super) fn attempts_of(&mut self, verification: &Verification) -> Option<AttemptLog> {
        let key = AttemptLogKey::new(self.key.service, verification.salt.id(), self.view.slot());
        self.view.get(key.id())
    }

    pub(super) fn emit(&mut self, event: &NumberEvent<'_>) {
        if let Some(events) = &self.deps.events {
            events.record(self.key, event, self.now, self.cause, self.view);
        }
    }

    /// Emits the event of a lockout, if the decision begins one.
    pub(super) fn emit_lockout(&mut self, next: &NumberState) {
        let Some(until) = next.locked_until().filter(|until| self.state.locked_until() != Some(*until))
        else {
            return;
        };
        let verification = self.state.verification();
        self.emit(&NumberEvent::Locked { verification: verification.as_ref(), until });
    }

    /// Tells the gateway of the last message how the code ended, if one wants to know.
    pub(super) fn tell(&mut self, end: CodeEnd, log: Option<&AttemptLog>) {
        if self.deps.told_ends.contains(&end)
            && let Some((gateway, message_id)) = log.and_then(AttemptLog::accepted)
        {
            self.effects.push(Effect::Tell(ToldEnd { gateway, message_id, end }));
        }
    }

    pub(super) fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub(super) fn count(&mut self, fact: Fact) {
        self.effects.push(Effect::Count(fact));
    }
}
