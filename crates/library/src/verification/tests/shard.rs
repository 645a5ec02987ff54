//! One shard without its actor, a disk that commits on demand, and a clock. The simulation asks the same code at random.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::oneshot;

use crate::config::{AttemptLogSettings, Bounds};
use crate::delivery::attempts::{AttemptLog, PlannedSend};
use crate::delivery::{Check, Delivered, Failure, FollowUp, Outgoing, PlanChange, Reason, TakenAllowance};
use crate::domain::{
    AttemptLogKey, Channel, Code, CodeLength, NumberKey, PhoneNumber, ServerKey, ServiceId, Timestamp,
};
use crate::engine::{Ending, NumberState, Salt, SendPermit, SendResult, SlotHash};
use crate::limits::guard::{GuardNews, Ticket};
use crate::limits::keys::IdempotencyKeys;
use crate::observe::metrics::ServiceNames;
use crate::registry::world::contract;
use crate::shard::{
    Capacity, Command, Core, Decide, LimitedTable, Load, Record, RecordKey, Subject, Tables, Write,
};
use crate::store::{StoreError, StoreLimits};
use crate::template::MessageStyle;
use crate::verification::End;
use crate::verification::command::{NumberCommand, NumberDeps, Request, Sending, Task};
use crate::verification::in_flight::{CommandLimit, PendingReply, Responder};
use crate::verification::{CheckOutcome, Policies, Refusal, Reply, SendOutcome};

pub const COMMANDS_PER_NUMBER: usize = 8;
const KEEPS_NO_ATTEMPTS: AttemptLogSettings =
    AttemptLogSettings { keep_for: Duration::from_secs(3600), keep_at_most: 0 };

pub struct World {
    pub core: Core,
    pub now: Timestamp,
    limit: Arc<CommandLimit>,
    deps: Arc<NumberDeps>,
    /// The messages that left the shard.
    messages: UnboundedReceiver<Sending>,
    /// The messages that the guard let pass and that were certainly not sent.
    not_sent: Arc<AtomicUsize>,
}

/// The reply to a command, once it arrives.
pub struct Awaited<T>(PendingReply<T>);

/// Plans a send.
fn plan(subject: Subject, log: AttemptLog) -> Command {
    let decide: Decide = Box::new(move |view| {
        view.ok()?.put(subject.id, Some(&log));
        Some(Box::new(|_, _| None))
    });
    Command { subject, load: Load::Unbounded, decide }
}

impl<T> Awaited<T> {
    pub fn reply(mut self) -> Result<T, Refusal> {
        self.0.try_recv().expect("a reply by now")
    }

    pub fn is_unanswered(&mut self) -> bool {
        matches!(self.0.try_recv(), Err(oneshot::error::TryRecvError::Empty))
    }
}

impl<O> Awaited<Reply<O>> {
    pub fn answer(self) -> Result<O, Refusal> {
        self.reply().map(|reply| reply.outcome)
    }
}

impl Awaited<Reply<SendOutcome>> {
    /// Whether a planned send is not tried again.
    pub fn has_ended(self) -> bool {
        matches!(self.reply(), Ok(_) | Err(Refusal::OutcomeUnknown | Refusal::SendsOverloaded))
    }
}

/// One allowance.
fn taken() -> TakenAllowance {
    TakenAllowance { tickets: Some(vec![Ticket::default()]), ..TakenAllowance::default() }
}

fn unlimited(table: LimitedTable) -> Arc<Capacity> {
    Capacity::new(table, usize::MAX, &ServiceNames::default())
}

fn core() -> Core {
    let bounds = Bounds { commands_per_number: COMMANDS_PER_NUMBER, ..Bounds::default() };
    Core::new(Tables::default(), StdRng::seed_from_u64(1), bounds, StoreLimits::NONE)
}

pub fn number(last_digits: u64) -> NumberKey {
    let number = PhoneNumber::from_u64(14_155_550_000 + last_digits).expect("a number");
    NumberKey::new(ServiceId::DEFAULT, number)
}

impl World {
    pub fn new() -> Self {
        let (deliver, messages) = unbounded_channel();
        let (key, not_sent) = (ServerKey::from_bytes([5; 32]), Arc::<AtomicUsize>::default());
        let count = Arc::clone(&not_sent);
        let deps = Arc::new(NumberDeps {
            policies: Policies::new(contract(Duration::from_secs(30))),
            slots: SlotHash::new(&key),
            key,
            numbers: [LimitedTable::Numbers, LimitedTable::TestNumbers].map(unlimited),
            send_budget: Duration::from_secs(10),
            check_budget: Duration::from_secs(15),
            keys: IdempotencyKeys::new(
                &ServerKey::from_bytes([5; 32]),
                unlimited(LimitedTable::IdempotencyKeys),
            ),
            // Keeps planned attempts only.
            attempt_log: KEEPS_NO_ATTEMPTS,
            tells_ends: false,
            events: None,
            guard: None,
            metrics: Arc::default(),
            outside: Box::new(move |_, task| match task {
                Task::Deliver(sending) => deliver.send(sending).expect("the world is there"),
                Task::TellGuard(_, GuardNews::NotSent(_)) => drop(count.fetch_add(1, Ordering::Relaxed)),
                Task::AskGateway(_) | Task::TellGuard(..) | Task::TellGateway(..) => {}
            }),
        });
        let (core, now) = (core(), Timestamp::from_millis(1_700_000_000_000));
        Self { core, now, limit: CommandLimit::new(1_000), deps, messages, not_sent }
    }

    fn responder<T>(&self) -> (Responder<T>, Awaited<T>) {
        let permit = self.limit.acquire(ServiceId::DEFAULT, false).expect("a permit");
        let (responder, pending) = Responder::new(permit);
        (responder, Awaited(pending))
    }

    fn submit(&mut self, request: Request) {
        let command = NumberCommand::new(request, Arc::clone(&self.deps));
        self.core.submit(command.into(), self.now);
    }

    pub fn sends(&mut self, key: NumberKey) -> Awaited<Reply<SendOutcome>> {
        let (responder, awaited) = self.responder();
        let outgoing = Box::new(Outgoing { allowance: taken(), ..Outgoing::new(key) });
        self.submit(Request::Send(outgoing, None, responder));
        awaited
    }

    /// Asks for a message, which a gateway gets.
    pub fn sends_out(&mut self, key: NumberKey) -> (Awaited<Reply<SendOutcome>>, Sending) {
        let answer = self.sends(key);
        self.commits();
        (answer, self.dispatched())
    }

    pub fn checks(&mut self, key: NumberKey, code: Option<Code>) -> Awaited<Reply<CheckOutcome>> {
        let (responder, awaited) = self.responder();
        let check = Check::new(key, code);
        self.submit(Request::Check(check, responder));
        awaited
    }

    pub fn checks_wrong(&mut self, key: NumberKey) -> Awaited<Reply<CheckOutcome>> {
        self.checks(key, Code::submitted("guess", CodeLength::SIX, true))
    }

    pub fn ends(&mut self, key: NumberKey, ending: Ending) -> Awaited<Reply<bool>> {
        let (responder, awaited) = self.responder();
        self.submit(Request::End(End::new(key, ending), responder));
        awaited
    }

    /// Takes the shard's writes, without an answer of the disk.
    pub fn takes_commit(&mut self) -> Vec<Write> {
        self.core.take_commit().expect("a commit")
    }

    pub fn wants_no_commit(&mut self) -> bool {
        self.core.take_commit().is_none()
    }

    /// Commits the shard's writes and returns them.
    pub fn commits(&mut self) -> Vec<Write> {
        let writes = self.takes_commit();
        self.applied();
        writes
    }

    /// Commits the shard's writes, if it has any.
    pub fn commits_if_any(&mut self) -> bool {
        let writes = self.core.take_commit();
        writes.inspect(|_| self.applied()).is_some()
    }

    pub fn applied(&mut self) {
        self.core.committed(&Ok(()), self.now);
    }

    /// The store refuses the commit: nothing of it is durable.
    pub fn is_refused_a_commit(&mut self) {
        self.takes_commit();
        self.core.committed(&Err(StoreError::Unavailable("the disk is full".into())), self.now);
    }

    /// The only message that left the shard.
    pub fn dispatched(&mut self) -> Sending {
        let sending = self.messages.try_recv().expect("a message");
        assert!(self.messages.is_empty(), "another message");
        sending
    }

    pub fn dispatches_nothing(&self) -> bool {
        self.messages.is_empty()
    }

    pub fn settles(&mut self, sending: Sending, result: SendResult) {
        self.settles_with(sending, result, None);
    }

    pub fn settles_with(&mut self, sending: Sending, result: SendResult, reason: Option<Failure>) {
        let allowance = if result.may_still_arrive() {
            TakenAllowance { tickets: None, ..TakenAllowance::default() }
        } else {
            taken()
        };
        let delivered =
            Delivered { result, attempts: Vec::new(), plan: PlanChange::Keep, reason, allowance, parts: 1 };
        self.submit(Request::Settle(sending, delivered));
    }

    /// No gateway has taken the message, which is to be sent later.
    pub fn postpones(&mut self, sending: Sending) {
        let follow_up = self.follow_up();
        let result = SendResult::Postponed { message_id: "later".to_owned(), may_have_been_sent: None };
        let (allowance, plan) = (follow_up.allowance.clone(), PlanChange::Set(follow_up));
        let delivered = Delivered { result, attempts: Vec::new(), plan, reason: None, allowance, parts: 1 };
        self.submit(Request::Settle(sending, delivered));
    }

    /// A retry that is due.
    fn follow_up(&self) -> FollowUp {
        let allowance = taken();
        let reason = Reason::Retry { attempt: 0, retries: 1 };
        FollowUp { due: self.now, channel: Channel::Call, reason, step: 0, sent: 0, allowance }
    }

    /// Sends a message that a gateway takes with this result.
    fn has_sent(&mut self, key: NumberKey, result: SendResult) -> SendPermit {
        let (answer, dispatch) = self.sends_out(key);
        let permit = dispatch.permitted.permit;
        self.settles(dispatch, result);
        self.commits();
        assert!(matches!(answer.answer(), Ok(SendOutcome::Sent { .. })));
        permit
    }

    /// Sends a code, and returns it.
    pub fn has_code(&mut self, key: NumberKey) -> Code {
        let permit = self.has_sent(key, accepted());
        self.code_of(key, &permit)
    }

    /// The code that a permit is for.
    pub fn code_of(&self, key: NumberKey, permit: &SendPermit) -> Code {
        permit.verification.code_seed(key.service, key.number).code(&self.deps.key)
    }

    /// Checks wrong codes until one is left before the lockout.
    pub fn nearly_locks(&mut self, key: NumberKey) {
        self.has_code(key);
        for _ in 0..4 {
            self.checks_wrong(key);
            self.commits();
        }
    }

    pub fn locks(&mut self, key: NumberKey) {
        self.nearly_locks(key);
        self.checks_wrong(key);
        self.commits();
    }

    fn log_key(&self, key: NumberKey, salt: Salt) -> AttemptLogKey {
        AttemptLogKey::new(key.service, salt.id(), self.deps.subject(&key).slot)
    }

    /// Plans a send of the code of `salt`.
    pub fn plans(&mut self, key: NumberKey, salt: Salt) {
        let mut record = AttemptLog::new(key.number, self.now, KEEPS_NO_ATTEMPTS);
        record.plan = Some(Box::new(PlannedSend {
            salt,
            style: MessageStyle::default(),
            expires: self.now.plus(Duration::from_secs(30)),
            follow_up: self.follow_up(),
        }));
        let subject = Subject { id: self.log_key(key, salt).id(), ..self.deps.subject(&key) };
        self.core.submit(plan(subject, record), self.now);
    }

    /// A planned send of the code of `salt` becomes due.
    pub fn resumes(&mut self, key: NumberKey, salt: Salt) -> Awaited<Reply<SendOutcome>> {
        self.plans(key, salt);
        let (responder, awaited) = self.responder();
        let planned = Box::new(Outgoing::new(key));
        self.submit(Request::Send(planned, Some(self.log_key(key, salt)), responder));
        awaited
    }

    pub fn not_sent(&self) -> usize {
        self.not_sent.load(Ordering::Relaxed)
    }

    /// The record of the attempts of the verification with this salt.
    pub fn log(&self, key: NumberKey, salt: Salt) -> Option<AttemptLog> {
        let slot = self.deps.subject(&key).slot;
        let record = RecordKey { slot, kind: AttemptLog::KIND, id: self.log_key(key, salt).id() };
        self.core.tables().get(&record, self.now)
    }

    /// Whether a send of the code of `salt` is planned.
    pub fn has_plan(&self, key: NumberKey, salt: Salt) -> bool {
        self.log(key, salt).is_some_and(|log| log.plan.is_some())
    }

    /// The seed of the number's live code.
    pub fn live_salt(&self, key: NumberKey) -> Option<Salt> {
        let Subject { slot, id } = self.deps.subject(&key);
        let record = RecordKey { slot, kind: NumberState::KIND, id };
        let state: NumberState = self.core.tables().get(&record, self.now)?;
        let verification = state.at(&self.deps.policies.of(key.service), self.now).verification();
        verification.filter(|v| v.is_live(self.now)).map(|v| v.salt)
    }
}

pub fn accepted() -> SendResult {
    SendResult::Accepted { message_id: "SM1".to_owned(), held: None }
}

pub const fn wrong(attempts_left: u8) -> CheckOutcome {
    CheckOutcome::Wrong { attempts_left, live: true }
}
