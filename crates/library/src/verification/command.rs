//! Commands about one number: send a code, check a code, end a verification.
//!
//! The shard decides them in order ([`send`](super::send) and [`check`](super::check) have the decisions), and performs
//! their effects when the decision is durable. Messages for gateways, and submitted codes for the gateways that hold the
//! code, leave the shard as tasks, whose results come back as commands.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::check::{self, End};
use super::in_flight::Responder;
use super::model::{CheckOutcome, Reply, SendOutcome};
use super::send;
use crate::config::AttemptLogSettings;
use crate::delivery::attempts::AttemptLog;
use crate::delivery::{Check, CodeLiveness, Delivered, Delivery, Failure, Outgoing, Permitted};
use crate::domain::{AttemptLogKey, GatewayName, NumberKey, ServerKey, Timestamp};
use crate::engine::{CheckPermit, CheckResult, NumberState, Rules, Salt, SlotHash, Verification};
use crate::gateway::CodeEnd;
use crate::limits::guard::{GuardNews, PumpingGuard, Ticket};
use crate::limits::keys::IdempotencyKeys;
use crate::observe::metrics::{Fact, Metrics};
use crate::observe::trace::{RequestId, Span, SpanContext, SpanKind};
use crate::registry::Policies;
use crate::shard::{Capacity, Command, Load, Refusal, Shards, Subject, Then, Transaction};
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

    /// The state of a number as it is now; fresh without a record.
    fn state_in(&self, key: NumberKey, view: &Transaction<'_>) -> NumberState {
        let state = view.get(key.id()).unwrap_or(NumberState::Fresh);
        state.at(&self.policies.of(key.service), view.now())
    }

    /// The same, and when that is.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] after a stop, [`Refusal::StoreUnavailable`] and
    /// [`Refusal::OutcomeUnknown`] if the store does not confirm what was read.
    pub async fn state(
        self: &Arc<Self>,
        shards: &Shards,
        key: NumberKey,
    ) -> Result<(NumberState, Timestamp), Refusal> {
        let (deps, slot) = (Arc::clone(self), self.subject(&key).slot);
        shards.read(slot, move |view| (deps.state_in(key, view), view.now())).await
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

/// How a durable decision goes on: it hands the request on, or answers it.
pub(super) enum Next {
    /// Hand the message of the request to delivery.
    Deliver(Permitted),
    /// Ask the gateway that holds the code.
    AskGateway(CheckPermit),
    /// Decide the send once more: its verification ended before its message left.
    SendAgain,
    Sent(Result<Reply<SendOutcome>, Refusal>),
    Checked(Result<Reply<CheckOutcome>, Refusal>),
    /// Whether the request changed something, and the verification that ended.
    Ended(Reply<bool>),
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
    pub facts: Vec<Fact>,
    /// What gateways and the guard are told then.
    pub told: Vec<Task>,
}

impl<'a, 'b> Decision<'a, 'b> {
    pub fn new(
        key: NumberKey,
        deps: &'a NumberDeps,
        cause: Option<&'a SpanContext>,
        view: &'a mut Transaction<'b>,
    ) -> Self {
        let now = view.now();
        let state = view.get::<NumberState>(key.id()).unwrap_or(NumberState::Fresh);
        let policy = deps.policies.of(key.service);
        let before = state.at(&policy, now).verification();
        let &NumberDeps { send_budget, check_budget, .. } = deps;
        let rules = Rules { policy, key: &deps.key, send_budget, check_budget };
        Self { key, deps, view, state, before, rules, now, cause, facts: Vec::new(), told: Vec::new() }
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

/// The operation, with who waits for its end.
#[expect(clippy::large_enum_variant, reason = "the shards box each command once")]
pub enum Request {
    /// Send a code, or make the planned send of the live code that this record has.
    Send(Box<Outgoing>, Option<AttemptLogKey>, Responder<Reply<SendOutcome>>),
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

/// One command about one number.
pub struct NumberCommand {
    key: NumberKey,
    request: Request,
    deps: Arc<NumberDeps>,
    /// The client's request, if it is traced.
    cause: Option<SpanContext>,
    /// The span from the submission until the decision is durable.
    span: Option<Span>,
}

impl NumberCommand {
    /// A command that is linked to a client's request, if that is traced.
    pub fn new(request: Request, deps: Arc<NumberDeps>) -> Self {
        let (key, id, name) = match &request {
            Request::Send(outgoing, ..) => (outgoing.key, &outgoing.request_id, Some("decide send")),
            Request::Settle(Sending { outgoing, .. }, _) => (outgoing.key, &outgoing.request_id, None),
            Request::Check(check, _) => (check.key, &check.request_id, Some("decide check")),
            Request::SettleCheck(Asking { check, .. }, _) => (check.key, &check.request_id, None),
            Request::End(end, _) => (end.key, &None, None),
        };
        let cause = id.as_ref().and_then(RequestId::span).cloned();
        let span = name.and_then(|name| cause.as_ref()?.child(name, SpanKind::Internal));
        Self { key, request, deps, cause, span }
    }

    /// Hands the request on, or answers it.
    fn go_on(self, next: Next, view: &Transaction<'_>) -> Option<Command> {
        let Self { request, deps, span, .. } = self;
        drop(span);
        let again = |request| Some(Self::new(request, Arc::clone(&deps)).into());
        match (request, next) {
            (Request::Send(outgoing, _, responder), Next::Deliver(permitted)) => {
                return again(deliver_if_live(Sending { outgoing, permitted, responder }, &deps, view)?);
            }
            (Request::Check(check, responder), Next::AskGateway(permit)) => {
                return again(ask_if_in_time(Asking { check, permit, responder }, &deps, view)?);
            }
            (Request::Settle(Sending { mut outgoing, responder, .. }, delivered), Next::SendAgain) => {
                outgoing.allowance = delivered.allowance;
                return again(Request::Send(outgoing, None, responder));
            }
            (
                Request::Send(.., responder) | Request::Settle(Sending { responder, .. }, _),
                Next::Sent(reply),
            ) => responder.send(reply),
            (
                Request::Check(_, responder) | Request::SettleCheck(Asking { responder, .. }, _),
                Next::Checked(reply),
            ) => responder.send(reply),
            (Request::End(_, responder), Next::Ended(reply)) => responder.send(Ok(reply)),
            // A defect of this program. Without its responder the caller gets the answer of a decision that panicked.
            _ => tracing::error!("decision not performed"),
        }
        None
    }

    fn decide(mut self, view: Result<&mut Transaction<'_>, Refusal>) -> Option<Then> {
        let view = match view {
            Ok(view) => view,
            Err(refusal) => return self.refuse(refusal),
        };
        let mut decision = Decision::new(self.key, &self.deps, self.cause.as_ref(), view);
        let decided = match &mut self.request {
            Request::Send(outgoing, None, _) => send::send(&mut decision, outgoing),
            Request::Send(outgoing, Some(log), _) => send::resume(&mut decision, *log, outgoing),
            Request::Check(check, _) => check::check(&mut decision, check),
            Request::End(end, _) => check::end(&mut decision, end),
            Request::Settle(Sending { outgoing, permitted, .. }, delivered) => {
                Ok(send::settle(&mut decision, outgoing, permitted, delivered))
            }
            Request::SettleCheck(asking, result) => Ok(check::settle(&mut decision, asking, *result)),
        };
        let Decision { facts, told, .. } = decision;
        match decided {
            Ok(next) => Some(Box::new(move |fate, view| match fate {
                Ok(()) => {
                    for fact in &facts {
                        self.deps.metrics.count(fact);
                    }
                    for task in told {
                        (self.deps.outside)(&self.deps, task);
                    }
                    self.go_on(next, view)
                }
                Err(refusal) => self.refuse(refusal),
            })),
            Err(refusal) => self.refuse(refusal),
        }
    }

    fn refuse<T>(mut self, refusal: Refusal) -> Option<T> {
        if let Some(mut span) = self.span.take() {
            span.text("error.type", refusal.name());
            span.fail();
        }
        let Self { key, request, deps, .. } = self;
        // An earlier commit has begun it, and a gateway may have been asked.
        let unknown = Refusal::OutcomeUnknown;
        let unused = match &request {
            Request::Send(outgoing, None, _) => outgoing.allowance.refundable(),
            Request::Settle(Sending { outgoing, permitted, .. }, delivered) => {
                // The send has ended, also if its result cannot be made durable. What it planned is not kept either.
                send::facts(outgoing, permitted.begins, delivered).for_each(|fact| deps.metrics.count(&fact));
                delivered.allowance.refundable()
            }
            // A plan stays, with what was taken for it.
            Request::Send(..) | Request::Check(..) | Request::End(..) | Request::SettleCheck(..) => {
                Vec::new()
            }
        };
        for ticket in unused {
            (deps.outside)(&deps, Task::TellGuard(key, GuardNews::NotSent(ticket)));
        }
        match request {
            Request::Send(.., responder) => responder.send(Err(refusal)),
            Request::Check(_, responder) => responder.send(Err(refusal)),
            Request::End(_, responder) => responder.send(Err(refusal)),
            Request::Settle(Sending { responder, .. }, _) => responder.send(Err(unknown)),
            Request::SettleCheck(Asking { responder, .. }, _) => responder.send(Err(unknown)),
        }
        None
    }
}

impl From<NumberCommand> for Command {
    fn from(command: NumberCommand) -> Self {
        let load = match command.request {
            Request::Settle(..) | Request::SettleCheck(..) => Load::Settlement,
            _ => Load::Bounded,
        };
        let subject = command.deps.subject(&command.key);
        Self { subject, load, decide: Box::new(move |view| command.decide(view)) }
    }
}

/// Hands the message to delivery, unless its commit took longer than the send may, or a later command made its code
/// useless: then it is settled.
fn deliver_if_live(sending: Sending, deps: &Arc<NumberDeps>, view: &Transaction<'_>) -> Option<Request> {
    let Sending { outgoing, permitted, .. } = &sending;
    let (permit, now) = (&permitted.permit, view.now());
    let present = deps.state_in(outgoing.key, view).verification();
    // A carried code that a newer one replaces may still be the first to leave.
    let is_live = outgoing.carried.is_some() || present.is_some_and(|v| v.is_live(now) && permit.is_for(&v));
    if is_live && permit.verification.is_sending(now) {
        (deps.outside)(deps, Task::Deliver(sending));
        return None;
    }
    let delivered = Delivered::no_longer_usable(outgoing, permitted);
    Some(Request::Settle(sending, delivered))
}

/// Asks the gateway, unless the commit took longer than the check may: the shard would ignore the answer.
fn ask_if_in_time(asking: Asking, deps: &Arc<NumberDeps>, view: &Transaction<'_>) -> Option<Request> {
    let asked = deps.state_in(asking.check.key, view).verification();
    if asked.is_some_and(|v| v.is_checked_by(&asking.permit) && v.is_checking(view.now())) {
        (deps.outside)(deps, Task::AskGateway(asking));
        return None;
    }
    Some(Request::SettleCheck(asking, Ok(CheckResult::NotAsked)))
}

/// Carries out tasks. What a gateway is asked or told runs in a task of its own: a disconnected caller cannot interrupt a
/// send, and no shard waits for a gateway.
pub fn with_gateways(
    delivery: Arc<Delivery>,
    shards: Shards,
) -> impl Fn(&Arc<NumberDeps>, Task) + Send + Sync {
    move |deps, task| {
        let (deps, shards, delivery) = (Arc::clone(deps), shards.clone(), Arc::clone(&delivery));
        match task {
            Task::Deliver(sending) => {
                let deliver = async move {
                    let Sending { outgoing, permitted, .. } = &sending;
                    let (key, verification) = (outgoing.key, permitted.permit.verification);
                    let code = verification.code_seed(key.service, key.number).code(&deps.key);
                    let liveness = Liveness { deps: &deps, shards: &shards, key, salt: verification.salt };
                    let delivered = delivery.deliver(outgoing, permitted, &code, &liveness).await;
                    shards.submit(NumberCommand::new(Request::Settle(sending, delivered), deps));
                };
                // The future is large: it is moved once, into its box.
                tokio::spawn(Box::pin(deliver));
            }
            Task::AskGateway(asking) => {
                tokio::spawn(async move {
                    let Asking { check, permit, .. } = &asking;
                    // The gateway has its own time limit; this one holds in any case. The shard ignores a later answer.
                    let left = permit.until.since(shards.clock().now());
                    let result = if !shards.owns_records() {
                        // Another node may own the records.
                        Err(Refusal::StoreUnavailable)
                    } else if left.is_zero() {
                        Ok(CheckResult::NotAsked)
                    } else {
                        let asked = timeout(left, delivery.check(check, permit.held)).await;
                        Ok(asked.unwrap_or(CheckResult::Unknown))
                    };
                    shards.submit(NumberCommand::new(Request::SettleCheck(asking, result), deps));
                });
            }
            Task::TellGateway(gateway, message_id, end) => {
                tokio::spawn(async move { delivery.report_code_end(gateway, &message_id, end).await });
            }
            Task::TellGuard(key, news) => {
                if let Some(guard) = delivery.guard() {
                    guard.learn(key, news);
                }
            }
        }
    }
}

/// Tells a delivery run whether its code is still live.
struct Liveness<'a> {
    deps: &'a Arc<NumberDeps>,
    shards: &'a Shards,
    key: NumberKey,
    salt: Salt,
}

impl CodeLiveness for Liveness<'_> {
    async fn code_is_live(&self) -> Result<(), Failure> {
        let state = self.deps.state(self.shards, self.key).await;
        let (state, now) = state.map_err(|_| Failure::StateUnknown)?;
        let live = state.verification().filter(|v| v.salt == self.salt && v.is_live(now));
        live.map(drop).ok_or(Failure::NoLongerUsable)
    }

    fn may_send(&self) -> bool {
        self.shards.owns_records()
    }

    async fn note_taken(&self, log: AttemptLogKey, taken: Ticket) -> bool {
        let (slot, id) = (log.slot(), log.id());
        let noted = self.shards.decide(Subject { slot, id }, move |view| {
            if let Some(mut log) = view.get::<AttemptLog>(id) {
                log.take(taken);
                view.put(id, Some(&log));
            }
            Ok::<_, Refusal>(())
        });
        matches!(noted.await, Ok(Ok(())))
    }
}
