//! One decision about a number: what it needs, how its request goes on, and the tasks that it leaves.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

use std::mem::discriminant;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::in_flight::{CommandPermit, FirstRequest};
use super::reply::{CheckOutcome, Reply, SendOutcome};
use crate::config::AttemptLogSettings;
use crate::delivery::attempts::AttemptLog;
use crate::delivery::{Check, Outgoing, Permitted};
use crate::domain::{AttemptLogKey, GatewayName, NumberKey, ServerKey, Timestamp};
use crate::engine::{CheckPermit, NumberState, Rules, Salt, SlotHash, Verification};
use crate::gateway::CodeEnd;
use crate::limits::guard::{GuardNews, PumpingGuard};
use crate::limits::keys::IdempotencyKeys;
use crate::observe::metrics::{Fact, Metrics};
use crate::observe::trace::SpanContext;
use crate::registry::Policies;
use crate::shard::{Capacity, Record, RecordKey, Refusal, Shards, Subject, Tables, Transaction};
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
    /// The longest duration of one send's delivery, from its decision on.
    pub send_budget: Duration,
    /// The longest duration of one check at a gateway that holds the code, from its decision to the decision about its
    /// answer.
    pub check_budget: Duration,
    /// The limits on attempt logs.
    pub attempt_log: AttemptLogSettings,
    /// Whether a gateway wants to know how codes end.
    pub tells_ends: bool,
    /// The idempotency keys.
    pub keys: IdempotencyKeys,
    /// Records events in the commit of each decision.
    pub events: Option<Arc<Outbox>>,
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
    pub waiter: Waiter,
}

/// A submitted code at the gateway that holds the right one.
pub struct Asking {
    pub check: Check,
    pub permit: CheckPermit,
    pub waiter: Waiter,
}

/// How the code of a gateway's message ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldEnd {
    pub gateway: GatewayName,
    pub message_id: String,
    pub end: CodeEnd,
}

/// Sends the reply to a command. Until then it holds the command's permit, and further requests for its message wait for
/// the reply.
pub struct Responder<T> {
    first: Option<FirstRequest<Result<T, Refusal>>>,
    permit: CommandPermit,
    sender: oneshot::Sender<Result<T, Refusal>>,
}

/// Receives the reply. An error means that the shard dropped the command: it has failed and restarts.
pub type PendingReply<T> = oneshot::Receiver<Result<T, Refusal>>;

impl<T> Responder<T> {
    /// Creates the sender and the receiver of one reply.
    pub fn new(permit: CommandPermit) -> (Self, PendingReply<T>) {
        let (sender, receiver) = oneshot::channel();
        (Self { first: None, permit, sender }, receiver)
    }

    /// The same for the first request for a message.
    #[must_use]
    pub fn of(self, first: FirstRequest<Result<T, Refusal>>) -> Self {
        Self { first: Some(first), ..self }
    }

    /// Sends the reply. A caller that has disconnected does not change the decision.
    pub fn send(self, reply: Result<T, Refusal>) {
        let Self { first, permit, sender } = self;
        // The caller's next command finds the place free, and sends another message.
        drop((first, permit));
        let _ = sender.send(reply);
    }
}

/// Waits for the end of a command.
pub enum Waiter {
    Send(Responder<Reply<SendOutcome>>),
    Check(Responder<Reply<CheckOutcome>>),
    End(Responder<Reply<bool>>),
    /// The scheduler of planned sends.
    FollowUp(Responder<()>),
}

impl Waiter {
    pub(super) fn answer(self, next: Next) {
        match (self, next) {
            (Self::Send(responder), Next::Sent(reply)) => responder.send(reply),
            (Self::FollowUp(responder), Next::Sent(_) | Next::NothingDue) => responder.send(Ok(())),
            (Self::Check(responder), Next::Checked(reply)) => responder.send(reply),
            (Self::End(responder), Next::Ended(reply)) => responder.send(Ok(reply)),
            // A defect of this program. Without its responder the caller gets the answer of a shard that failed.
            (waiter, next) => {
                let (waiter, next) = (discriminant(&waiter), discriminant(&next));
                tracing::error!(?waiter, ?next, "decision not performed");
            }
        }
    }
}

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
    pub(super) facts: Vec<Fact>,
    pub(super) told: Vec<Task>,
}

impl<'a, 'b> Decision<'a, 'b> {
    pub(super) fn new(
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

    pub(super) fn put(&mut self, next: NumberState) {
        self.view.put(self.key.id(), (next != NumberState::Fresh).then_some(&next));
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
        if let Some(events) = &self.deps.events {
            events.tell(self.key, verification, self.cause, self.view, emit);
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
