//! One decision about a number: what it needs, how its request goes on, and the tasks that it leaves.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

use std::sync::Arc;
use std::time::Duration;

use super::command::Request;
use super::in_flight::Responder;
use super::model::{CheckOutcome, Reply, SendOutcome};
use crate::config::AttemptLogSettings;
use crate::delivery::{Check, Outgoing, Permitted};
use crate::domain::{AttemptLogKey, Channel, NumberKey, ServerKey, Timestamp};
use crate::engine::{CheckPermit, NumberState, Rules, Salt, SlotHash, Verification};
use crate::limits::guard::{GuardNews, PumpingGuard, Ticket};
use crate::limits::keys::IdempotencyKeys;
use crate::observe::metrics::{Fact, Metrics};
use crate::registry::Policies;
use crate::shard::{Capacity, Refusal, Subject, Transaction};
use crate::webhook::{NumberEvents, Outbox};

/// What decisions about numbers need.
pub struct NumberDeps {
    /// The rules of every service.
    pub policies: Policies,
    /// The key from which codes are derived.
    pub key: ServerKey,
    /// The slot of a number.
    pub slots: SlotHash,
    /// The limit on stored numbers.
    pub numbers: Capacity,
    /// The longest duration of one send's delivery, and of one check at a gateway that holds the code, from the decision on.
    pub send_budget: Duration,
    /// The limits on attempt logs.
    pub attempt_log: AttemptLogSettings,
    pub keys: IdempotencyKeys,
    /// Records events in the commit of each decision; `None` in the simulation, as is `guard`.
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
    pub(super) fn tell_guard(&self, key: NumberKey, news: impl IntoIterator<Item = GuardNews>) {
        if let Some(guard) = &self.guard {
            news.into_iter().for_each(|news| guard.learn(key, news));
        }
    }

    /// The subject of a number's commands.
    pub fn subject(&self, key: &NumberKey) -> Subject {
        Subject { slot: self.slots.of_number(key.service, key.number), id: key.id() }
    }

    /// The state of a number as it is now; fresh without a record.
    pub(super) fn state_in(&self, key: NumberKey, view: &Transaction<'_>) -> NumberState {
        let state = view.get(key.id()).unwrap_or(NumberState::Fresh);
        state.at(&self.policies.of(key.service), view.now())
    }
}

/// What a durable decision asks of gateways.
pub enum Task {
    /// Hand a message to the gateways.
    Deliver(Sending),
    /// Ask the gateway that holds a code. The attempt is already durable.
    AskGateway(Asking),
    /// Settle again, once the store may take it: what a gateway has done stays done.
    SettleAgain(Request),
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
    /// The state that the decision puts in its place.
    next: NumberState,
    /// The verification before the decision.
    pub before: Option<Verification>,
    pub rules: Rules<'a>,
    pub now: Timestamp,
    /// What is counted when it is durable.
    pub facts: Vec<Fact>,
    /// What the guard is told then.
    pub told: Vec<GuardNews>,
}

impl<'a, 'b> Decision<'a, 'b> {
    pub fn new(key: NumberKey, deps: &'a NumberDeps, view: &'a mut Transaction<'b>) -> Self {
        let now = view.now();
        let state = view.get::<NumberState>(key.id()).unwrap_or(NumberState::Fresh);
        let policy = deps.policies.of(key.service);
        let before = state.at(&policy, now).verification();
        let rules = Rules { policy, key: &deps.key, send_budget: deps.send_budget };
        let (facts, told) = (Vec::new(), Vec::new());
        Self { key, deps, view, state, next: state, before, rules, now, facts, told }
    }

    pub fn put(&mut self, next: NumberState) {
        self.next = next;
        self.view.put(self.key.id(), (next != NumberState::Fresh).then_some(&next));
    }

    /// The record of the attempts of a verification, which is in the slot of its number.
    pub fn log_key(&self, salt: &Salt) -> AttemptLogKey {
        AttemptLogKey::new(self.key.service, salt.id(), self.view.slot())
    }

    /// Emits events of the verification, or of none. A carried code has none.
    pub fn emit(&mut self, of: Option<&Verification>, emit: impl FnOnce(&mut NumberEvents<'_, '_>)) {
        if let Some(events) = self.deps.events.as_ref().filter(|_| !self.key.is_carried) {
            let channel = of.and_then(|v| v.counted).map_or(Channel::Sms, |counted| counted.channel);
            let id = of.map(|v| v.salt.id());
            events.tell(self.key, id, channel, self.view, emit);
        }
    }

    /// Emits the event of a lockout, if the decision begins one.
    pub fn emit_lockout(&mut self) {
        let until = self.next.locked_until().filter(|until| self.state.locked_until() != Some(*until));
        if let Some(until) = until {
            self.emit(self.state.verification().as_ref(), |events| events.locked(until));
        }
    }

    /// The guard gets back what messages took that have not left and will not.
    pub fn give_back(&mut self, tickets: impl IntoIterator<Item = Ticket>) {
        self.told.extend(tickets.into_iter().map(GuardNews::NotSent));
    }
}
