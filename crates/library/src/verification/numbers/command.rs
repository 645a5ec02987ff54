//! Commands about one number. The shard decides them in order, and performs their effects when the decision is durable.
//!
//! [`send`](super::send) and [`check`](super::check) have the decisions. This module has the command, what a decision
//! needs and leaves, and the one place that performs it.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

use std::sync::Arc;
use std::time::Duration;

use super::check::{self, End};
use super::in_flight::Responder;
use super::reply::{CheckOutcome, Reply, SendOutcome};
use super::send;
use crate::config::AttemptLogSettings;
use crate::delivery::attempts::AttemptLog;
use crate::delivery::{Check, Delivered, Outgoing, Permitted};
use crate::domain::{AttemptLogKey, GatewayName, NumberKey, ServerKey, Timestamp};
use crate::engine::{CheckPermit, CheckResult, NumberState, Rules, Salt, SlotHash, Verification};
use crate::gateway::CodeEnd;
use crate::limits::guard::{GuardNews, PumpingGuard, Ticket};
use crate::limits::keys::IdempotencyKeys;
use crate::observe::metrics::{Fact, Metrics};
use crate::observe::trace::{RequestId, Span, SpanContext, SpanKind};
use crate::registry::Policies;
use crate::shard::{After, Capacity, Command, Load, Refusal, Subject, Then, Transaction};
use crate::webhook::{NumberEvents, Outbox};

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
    /// The longest duration of one send's delivery, and of one check at a gateway that holds the code, from the decision on.
    pub send_budget: Duration,
    pub check_budget: Duration,
    /// The limits on attempt logs.
    pub attempt_log: AttemptLogSettings,
    /// Whether a gateway wants to know how codes end.
    pub tells_ends: bool,
    pub keys: IdempotencyKeys,
    /// Records events in the commit of each decision.
    pub events: Option<Arc<Outbox>>,
    /// Decides about messages, and remembers verified numbers.
    pub guard: Option<PumpingGuard>,
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
}

/// What a durable decision asks of the world outside of the shard.
pub enum Task {
    /// Hand a message to the gateways.
    Deliver(Sending),
    /// Ask the gateway that holds a code. The attempt is already durable.
    AskGateway(Asking),
    /// Tell the gateway how the code of the message with this id ended.
    TellGateway(GatewayName, String, CodeEnd),
    TellGuard(NumberKey, GuardNews),
}

/// A message at the gateways.
pub struct Sending {
    pub outgoing: Box<Outgoing>,
    pub permitted: Permitted,
    pub responder: Responder<Reply<SendOutcome>>,
}

/// A submitted code at the gateway that holds the right one.
pub struct Asking {
    pub check: Check,
    pub permit: CheckPermit,
    pub responder: Responder<Reply<CheckOutcome>>,
}

/// The operation, with who waits for its end.
#[expect(clippy::large_enum_variant, reason = "the shards box each command once")]
pub enum Request {
    /// Send a code.
    Send(Box<Outgoing>, Responder<Reply<SendOutcome>>),
    /// Make the planned send of the live code that this record has.
    Resume(AttemptLogKey, Responder<Reply<SendOutcome>>),
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

/// How a durable decision goes on: it hands the request on, or answers it.
pub(super) enum Next {
    /// Hand the message of the request, or this planned one, to delivery.
    Deliver(Option<Box<Outgoing>>, Permitted),
    /// Ask the gateway that holds the code.
    AskGateway(CheckPermit),
    /// Decide the send once more: its verification ended before its message left.
    SendAgain,
    Sent(Result<Reply<SendOutcome>, Refusal>),
    Checked(Result<Reply<CheckOutcome>, Refusal>),
    /// Whether the request changed something, and the verification that ended.
    Ended(Reply<bool>),
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

    /// Hands the request on, or answers it.
    fn go_on(self, next: Next, after: &mut After<'_>) {
        let Self { key, request, deps, subject, span, .. } = self;
        drop(span);
        let further = match (request, next) {
            (Request::Send(outgoing, responder), Next::Deliver(None, permitted))
            | (Request::Resume(_, responder), Next::Deliver(Some(outgoing), permitted)) => {
                deliver_if_live(Sending { outgoing, permitted, responder }, subject, &deps, after)
            }
            (Request::Check(check, responder), Next::AskGateway(permit)) => {
                ask_if_in_time(Asking { check, permit, responder }, subject, &deps, after)
            }
            (Request::Settle(Sending { mut outgoing, responder, .. }, delivered), Next::SendAgain) => {
                outgoing.allowance = delivered.allowance;
                Some(Request::Send(outgoing, responder))
            }
            (
                Request::Send(_, responder)
                | Request::Resume(_, responder)
                | Request::Settle(Sending { responder, .. }, _),
                Next::Sent(reply),
            ) => return responder.send(reply),
            (
                Request::Check(_, responder) | Request::SettleCheck(Asking { responder, .. }, _),
                Next::Checked(reply),
            ) => return responder.send(reply),
            (Request::End(_, responder), Next::Ended(reply)) => return responder.send(Ok(reply)),
            // A defect of this program. Without its responder the caller gets the answer of a shard that failed.
            _ => return tracing::error!("decision not performed"),
        };
        if let Some(request) = further {
            after.enqueue(Self::new(key, request, deps));
        }
    }
}

impl Command for NumberCommand {
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

    fn decide(mut self: Box<Self>, view: &mut Transaction<'_>) -> Option<Then> {
        let mut decision = Decision::new(self.key, &self.deps, self.cause.as_ref(), view);
        let decided = match &mut self.request {
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
        match decided {
            Ok(next) => Some(Box::new(move |fate, after| match fate {
                Ok(()) => {
                    for fact in &facts {
                        self.deps.metrics.count(fact);
                    }
                    for task in told {
                        (self.deps.outside)(&self.deps, task);
                    }
                    self.go_on(next, after);
                }
                Err(refusal) => self.refuse(refusal),
            })),
            Err(refusal) => {
                self.refuse(refusal);
                None
            }
        }
    }

    fn refuse(mut self: Box<Self>, refusal: Refusal) {
        if let Some(mut span) = self.span.take() {
            span.text("error.type", refusal.name());
            span.fail();
        }
        let Self { key, request, deps, .. } = *self;
        // An earlier commit has begun it, and a gateway may have been asked.
        let unknown = Refusal::OutcomeUnknown;
        let unused = match &request {
            Request::Send(outgoing, _) => outgoing.allowance.refundable(),
            Request::Settle(Sending { outgoing, permitted, .. }, delivered) => {
                // The send has ended, also if its result cannot be made durable. What it planned is not kept either.
                send::facts(outgoing, permitted.begins, delivered).for_each(|fact| deps.metrics.count(&fact));
                delivered.allowance.refundable()
            }
            Request::Resume(..) | Request::Check(..) | Request::End(..) | Request::SettleCheck(..) => {
                Vec::new()
            }
        };
        for ticket in unused {
            (deps.outside)(&deps, Task::TellGuard(key, GuardNews::NotSent(ticket)));
        }
        match request {
            Request::Send(_, responder) | Request::Resume(_, responder) => responder.send(Err(refusal)),
            Request::Check(_, responder) => responder.send(Err(refusal)),
            Request::End(_, responder) => responder.send(Err(refusal)),
            Request::Settle(Sending { responder, .. }, _) => responder.send(Err(unknown)),
            Request::SettleCheck(Asking { responder, .. }, _) => responder.send(Err(unknown)),
        }
    }
}

/// Hands the message to delivery, unless its commit took longer than the send may, or a later command made its code
/// useless: then it is settled.
fn deliver_if_live(
    sending: Sending,
    subject: Subject,
    deps: &Arc<NumberDeps>,
    after: &mut After<'_>,
) -> Option<Request> {
    after.mark_at_gateway();
    let Sending { outgoing, permitted, .. } = &sending;
    let (permit, now) = (&permitted.permit, after.now());
    let present = present(outgoing.key, subject, deps, after);
    let is_live = present.is_some_and(|v| v.is_live(now) && permit.is_for(&v));
    if is_live && permit.verification.is_sending(now) {
        (deps.outside)(deps, Task::Deliver(sending));
        return None;
    }
    let delivered = Delivered::no_longer_usable(outgoing, permitted);
    Some(Request::Settle(sending, delivered))
}

/// Asks the gateway, unless the commit took longer than the check may: the shard would ignore the answer.
fn ask_if_in_time(
    asking: Asking,
    subject: Subject,
    deps: &Arc<NumberDeps>,
    after: &mut After<'_>,
) -> Option<Request> {
    after.mark_at_gateway();
    let asked = present(asking.check.key, subject, deps, after);
    if asked.is_some_and(|v| v.is_checked_by(&asking.permit) && v.is_checking(after.now())) {
        (deps.outside)(deps, Task::AskGateway(asking));
        return None;
    }
    Some(Request::SettleCheck(asking, Ok(CheckResult::NotAsked)))
}

/// The verification of a number as it is now.
fn present(key: NumberKey, subject: Subject, deps: &NumberDeps, after: &After<'_>) -> Option<Verification> {
    let state: NumberState = after.get(subject.slot, subject.id)?;
    state.at(&deps.policies.of(key.service), after.now()).verification()
}

/// One decision about a number, as far as it has come.
pub(super) struct Decision<'a, 'b> {
    pub key: NumberKey,
    pub deps: &'a NumberDeps,
    pub view: &'a mut Transaction<'b>,
    /// The state of the number as it is stored.
    pub state: NumberState,
    /// The verification before the decision.
    pub before: Option<Verification>,
    pub rules: Rules<'a>,
    pub now: Timestamp,
    cause: Option<&'a SpanContext>,
    /// What is counted when it is durable.
    facts: Vec<Fact>,
    /// What gateways and the guard are told then.
    told: Vec<Task>,
}

impl<'a, 'b> Decision<'a, 'b> {
    fn new(
        key: NumberKey,
        deps: &'a NumberDeps,
        cause: Option<&'a SpanContext>,
        view: &'a mut Transaction<'b>,
    ) -> Self {
        let now = view.now();
        let state = view.get::<NumberState>(key.id()).unwrap_or(NumberState::Fresh);
        let policy = deps.policies.of(key.service);
        let before = state.at(&policy, now).verification();
        let (send_budget, check_budget) = (deps.send_budget, deps.check_budget);
        let rules = Rules { policy, key: &deps.key, send_budget, check_budget };
        let (facts, told) = (Vec::new(), Vec::new());
        Self { key, deps, view, state, before, rules, now, cause, facts, told }
    }

    pub fn put(&mut self, next: NumberState) {
        self.view.put(self.key.id(), (next != NumberState::Fresh).then_some(&next));
    }

    /// The record of the attempts of a verification, which is in the slot of its number.
    pub fn log_key(&self, salt: &Salt) -> AttemptLogKey {
        AttemptLogKey::new(self.key.service, salt.id(), self.view.slot())
    }

    pub fn attempts_of(&self, verification: &Verification) -> Option<AttemptLog> {
        self.view.get(self.log_key(&verification.salt).id())
    }

    /// Emits events of the verification with this id. A carried code has none.
    pub fn emit(&mut self, verification: u64, emit: impl FnOnce(&mut NumberEvents<'_, '_>)) {
        if let Some(events) = self.deps.events.as_ref().filter(|_| !self.key.is_carried) {
            events.tell(self.key, verification, self.cause, self.view, emit);
        }
    }

    /// Emits the event of a lockout, if the decision begins one.
    pub fn emit_lockout(&mut self, next: &NumberState) {
        let Some(until) = next.locked_until().filter(|until| self.state.locked_until() != Some(*until))
        else {
            return;
        };
        let verification = self.state.verification();
        let id = verification.map_or(0, |v| v.salt.id());
        self.emit(id, |events| events.locked(verification.as_ref(), until));
    }

    /// Tells the gateway of the last message how the code ended, if one wants to know.
    pub fn tell(&mut self, end: CodeEnd, log: Option<&AttemptLog>) {
        if self.deps.tells_ends
            && let Some((gateway, message_id)) = log.and_then(AttemptLog::accepted)
        {
            self.told.push(Task::TellGateway(gateway, message_id, end));
        }
    }

    pub fn tell_guard(&mut self, news: GuardNews) {
        self.told.push(Task::TellGuard(self.key, news));
    }

    /// The guard gets back what messages took that have not left and will not.
    pub fn give_back(&mut self, tickets: impl IntoIterator<Item = Ticket>) {
        tickets.into_iter().for_each(|ticket| self.tell_guard(GuardNews::NotSent(ticket)));
    }

    pub fn count(&mut self, fact: Fact) {
        self.facts.push(fact);
    }
}
