//! One shard without its actor, a disk that commits on demand, and a clock.

use std::collections::HashMap;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::oneshot;

use crate::config::AttemptLogSettings;
use crate::delivery::attempts::{AttemptLog, PlannedSend};
use crate::delivery::{
    Carried, Check, Delivered, Failure, FollowUp, Outgoing, PlanChange, Reason, TakenAllowance, Trial,
};
use crate::domain::{
    AttemptLogKey, Channel, Code, CodeLength, GatewayName, Held, NumberKey, PhoneNumber, ServerKey,
    ServiceId, Timestamp,
};
use crate::engine::{
    CheckResult, Ending, LockoutRule, NumberState, Policy, Salt, SendOptions, SendPermit, SendResult,
    SendRules, SlotHash,
};
use crate::limits::guard::{GuardNews, Ticket};
use crate::limits::rate::KeyedRequest;
use crate::observe::metrics::ServiceNames;
use crate::shard::{
    After, Capacity, Command, Core, Decided, Durability, Kinds, LimitedTable, Record, RecordKey,
    ShardSettings, Stored, Subject, Tables, Transaction, Write,
};
use crate::store::{StoreError, StoreLimits};
use crate::template::MessageStyle;
use crate::verification::numbers::check::End;
use crate::verification::numbers::command::{
    Asking, Caller, NumberCommand, NumberDeps, PendingReply, Request, Responder, Sending, Task,
};
use crate::verification::numbers::in_flight::CommandLimit;
use crate::verification::numbers::table::NumberTable;
use crate::verification::numbers::{CheckOutcome, NumberCapacity, Policies, Refusal, Reply, SendOutcome};

pub const COMMANDS_PER_NUMBER: usize = 8;
/// The longest duration of a check at a gateway.
pub const CHECK_BUDGET: Duration = Duration::from_secs(15);

const KEEPS_NO_ATTEMPTS: AttemptLogSettings =
    AttemptLogSettings { keep_for: Duration::from_secs(3600), keep_at_most: 0 };

pub struct World {
    pub core: Core,
    pub now: Timestamp,
    limit: Arc<CommandLimit>,
    deps: Arc<NumberDeps>,
    captured: Arc<Captured>,
    /// The state that survives a crash.
    disk: HashMap<RecordKey, Stored>,
}

/// The tasks that left the shard.
#[derive(Default)]
struct Captured {
    sends: Mutex<Vec<Sending>>,
    checks: Mutex<Vec<Asking>>,
    not_sent: AtomicUsize,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Captured {
    fn take(&self, task: Task) {
        match task {
            Task::Deliver(sending) => locked(&self.sends).push(sending),
            Task::AskGateway(asking) => locked(&self.checks).push(asking),
            Task::TellGuard(_, GuardNews::NotSent(_)) => drop(self.not_sent.fetch_add(1, Ordering::Relaxed)),
            Task::TellGuard(..) | Task::TellGateway(..) => {}
        }
    }
}

/// The reply to a command, once it arrives.
pub struct Awaited<T>(PendingReply<T>);

/// Plans a send.
struct PlanCommand(Subject, AttemptLog);

impl Command for PlanCommand {
    type Made = ();

    fn subject(&self) -> Subject {
        self.0
    }

    fn decide(&self, view: &mut Transaction<'_>) -> Decided<()> {
        view.put(self.0.id, Some(&self.1), Durability::Lazy);
        Decided::Made(())
    }

    fn perform(self, (): (), _: &mut After<'_>) {}

    fn refuse(self, _: Refusal) {}
}

impl<T> Awaited<T> {
    pub fn reply(mut self) -> Result<T, Refusal> {
        self.0.try_recv().expect("a reply by now")
    }

    pub fn is_unanswered(&mut self) -> bool {
        matches!(self.0.try_recv(), Err(oneshot::error::TryRecvError::Empty))
    }
}

/// Notes, when a reply comes, whether what its request holds is still held.
struct AtReply {
    held: Weak<OnceLock<String>>,
    was_held: OnceLock<bool>,
}

impl Wake for AtReply {
    fn wake(self: Arc<Self>) {
        let _ = self.was_held.set(self.held.strong_count() > 0);
    }
}

impl World {
    /// Whether the request of a message is still held when its reply comes, which `until_replied` leads to.
    pub fn is_held_at_its_reply(&mut self, key: NumberKey, until_replied: impl FnOnce(&mut Self)) -> bool {
        let error = Arc::<OnceLock<String>>::default();
        let at_reply = Arc::new(AtReply { held: Arc::downgrade(&error), was_held: OnceLock::new() });
        let trial = Some(Trial { gateways: vec![GatewayName::Http], error });
        let carried = Some(Carried { within: CHECK_BUDGET, trial });
        let Awaited(mut reply) = self.sends_message(Outgoing { carried, ..Outgoing::new(key) });
        let waker = Waker::from(Arc::clone(&at_reply));
        assert!(Pin::new(&mut reply).poll(&mut Context::from_waker(&waker)).is_pending());
        until_replied(self);
        *at_reply.was_held.get().expect("a reply by now")
    }
}

impl<O> Awaited<Reply<O>> {
    pub fn answer(self) -> Result<O, Refusal> {
        self.reply().map(|reply| reply.outcome)
    }
}

fn deps(captured: &Arc<Captured>) -> Arc<NumberDeps> {
    let policy = Policy {
        max_attempts: 5,
        lockout: LockoutRule::Fixed(Duration::from_secs(1800)),
        sends: SendRules::CONTRACT,
        code: SendOptions { life: Duration::from_secs(30), length: CodeLength::SIX },
    };
    let (key, captured) = (ServerKey::from_bytes([5; 32]), Arc::clone(captured));
    Arc::new(NumberDeps {
        policies: Policies::new(policy),
        slots: SlotHash::new(&key),
        key,
        capacity: NumberCapacity::new(usize::MAX),
        keys: Capacity::counted_by_table::<KeyedRequest>(
            LimitedTable::IdempotencyKeys,
            usize::MAX,
            &ServiceNames::default(),
        ),
        send_budget: Duration::from_secs(10),
        check_budget: CHECK_BUDGET,
        // Keeps planned attempts only.
        attempt_log: KEEPS_NO_ATTEMPTS,
        tells_ends: false,
        events: None,
        metrics: Arc::default(),
        outside: Box::new(move |_, task| captured.take(task)),
    })
}

fn core(disk: &HashMap<RecordKey, Stored>) -> Core {
    let new_table = || Box::new(NumberTable::new(NumberCapacity::new(usize::MAX))) as _;
    let kinds = Kinds::default().with_table::<NumberState>(new_table).with::<AttemptLog>();
    let mut tables = Tables::new(&kinds);
    for (key, stored) in disk {
        tables.set(*key, Some(stored.clone()));
    }
    let settings =
        ShardSettings { commands_per_subject: COMMANDS_PER_NUMBER, commit_timeout: Duration::from_secs(5) };
    Core::new(tables, kinds, StdRng::seed_from_u64(1), settings, StoreLimits::NONE)
}

pub fn number(last_digits: u64) -> NumberKey {
    let number = PhoneNumber::from_u64(14_155_550_000 + last_digits).expect("a number");
    NumberKey::new(ServiceId::DEFAULT, number)
}

impl World {
    pub fn new() -> Self {
        let captured = Arc::<Captured>::default();
        let disk = HashMap::new();
        Self {
            core: core(&disk),
            now: Timestamp::from_millis(1_700_000_000_000),
            limit: CommandLimit::new(1_000),
            deps: deps(&captured),
            captured,
            disk,
        }
    }

    /// The program dies and starts again from the durable state.
    pub fn crashes(&mut self) {
        self.core = core(&self.disk);
    }

    /// A number that is locked, durably, for another half hour.
    pub fn with_locked(key: NumberKey) -> Self {
        let mut world = Self::new();
        let until = world.now.plus(Duration::from_secs(1800));
        let stored = Stored::of(&NumberState::Locked { until });
        world.disk.insert(world.record_key(key), stored);
        world.crashes();
        world
    }

    fn record_key(&self, key: NumberKey) -> RecordKey {
        RecordKey { slot: self.deps.subject(&key).slot, kind: NumberState::KIND, id: key.id() }
    }

    fn responder<T>(&self) -> (Responder<T>, Awaited<T>) {
        let permit = self.limit.acquire(ServiceId::DEFAULT, false).expect("a permit");
        let (responder, pending) = Responder::new(permit);
        (responder, Awaited(pending))
    }

    fn submit(&mut self, key: NumberKey, request: Request) {
        self.core.submit(NumberCommand::new(key, request, Arc::clone(&self.deps)), self.now);
    }

    pub fn sends(&mut self, key: NumberKey) -> Awaited<Reply<SendOutcome>> {
        self.sends_message(Outgoing::new(key))
    }

    pub fn sends_message(&mut self, outgoing: Outgoing) -> Awaited<Reply<SendOutcome>> {
        let (responder, awaited) = self.responder();
        let allowance = TakenAllowance::Refundable(Ticket::default());
        let outgoing = Box::new(Outgoing { allowance, ..outgoing });
        self.submit(outgoing.key, Request::Send(outgoing, Caller::Send(responder)));
        awaited
    }

    pub fn checks(&mut self, key: NumberKey, code: Option<Code>) -> Awaited<Reply<CheckOutcome>> {
        let (responder, awaited) = self.responder();
        let check = Check::new(key, code);
        self.submit(key, Request::Check(check, Caller::Check(responder)));
        awaited
    }

    pub fn ends(&mut self, key: NumberKey, ending: Ending) -> Awaited<Reply<bool>> {
        let (responder, awaited) = self.responder();
        let end = End { key, ending, named: None, audited: None, was_erased: false };
        self.submit(key, Request::End(end, Caller::End(responder)));
        awaited
    }

    /// Commits the shard's writes, if it has any.
    pub fn commits_if_any(&mut self) {
        if let Some(writes) = self.core.take_commit() {
            self.applied(&writes);
        }
    }

    pub fn checks_wrong(&mut self, key: NumberKey) -> Awaited<Reply<CheckOutcome>> {
        self.checks(key, Code::submitted("guess", CodeLength::SIX, true))
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
        self.applied(&writes);
        writes
    }

    pub fn applied(&mut self, writes: &[Write]) {
        for Write { key, put, expires } in writes {
            match put {
                None => drop(self.disk.remove(key)),
                Some(bytes) => {
                    drop(self.disk.insert(*key, Stored { bytes: bytes.clone(), expires: *expires }));
                }
            }
        }
        self.core.committed(&Ok(()), self.now);
    }

    /// The store refuses the commit: nothing of it is durable.
    pub fn is_refused_a_commit(&mut self) {
        self.takes_commit();
        self.core.committed(&Err(StoreError::Unavailable("the disk is full".into())), self.now);
    }

    /// The outcome of the commit is unknown.
    pub fn fails_to_commit(&mut self) {
        self.takes_commit();
        self.core.committed(&Err(StoreError::Unknown("the disk is gone".into())), self.now);
    }

    pub fn take_dispatches(&mut self) -> Vec<Sending> {
        std::mem::take(&mut *locked(&self.captured.sends))
    }

    pub fn dispatched(&mut self) -> Sending {
        let mut sends = self.take_dispatches();
        assert_eq!(sends.len(), 1, "one send to hand to delivery");
        sends.remove(0)
    }

    pub fn dispatches_nothing(&mut self) -> bool {
        locked(&self.captured.sends).is_empty()
    }

    pub fn settles(&mut self, sending: Sending, result: SendResult) {
        self.settles_with(sending, result, None);
    }

    pub fn settles_with(&mut self, sending: Sending, result: SendResult, reason: Option<Failure>) {
        let key = sending.outgoing.key;
        let allowance = if result.may_still_arrive() {
            TakenAllowance::Final
        } else {
            TakenAllowance::Refundable(Ticket::default())
        };
        let delivered =
            Delivered { result, attempts: Vec::new(), plan: PlanChange::Keep, reason, allowance, parts: 1 };
        self.submit(key, Request::Settle(sending, delivered));
    }

    /// Sends a code that the gateway makes and holds.
    pub fn has_held_code(&mut self, key: NumberKey) -> SendPermit {
        let answer = self.sends(key);
        self.commits();
        let dispatch = self.dispatched();
        let permit = dispatch.permitted.permit;
        self.settles(dispatch, held());
        self.commits();
        assert!(matches!(answer.answer(), Ok(SendOutcome::Sent { .. })));
        permit
    }

    /// Submits a code that only the gateway can check.
    pub fn checks_held(&mut self, key: NumberKey) -> Awaited<Reply<CheckOutcome>> {
        self.checks(key, Some(Code::parse("0000000000").expect("a code")))
    }

    /// The only check that a gateway was asked for.
    pub fn asked(&mut self) -> Asking {
        let mut checks = std::mem::take(&mut *locked(&self.captured.checks));
        assert_eq!(checks.len(), 1, "one check for a gateway");
        checks.remove(0)
    }

    pub fn asks_no_gateway(&mut self) -> bool {
        locked(&self.captured.checks).is_empty()
    }

    /// The gateway answers a check.
    pub fn check_reported(&mut self, asking: Asking, result: CheckResult) {
        self.submit(asking.check.key, Request::SettleCheck(asking, Ok(result)));
    }

    /// This node may not ask the gateway, because another may own the records.
    pub fn settles_without_lease(&mut self, asking: Asking) {
        self.submit(asking.check.key, Request::SettleCheck(asking, Err(Refusal::StoreUnavailable)));
    }

    /// A whole check that the gateway answers, with its commits.
    pub fn checks_and_hears(&mut self, key: NumberKey, result: CheckResult) -> Result<CheckOutcome, Refusal> {
        let answer = self.checks_held(key);
        self.commits();
        let check = self.asked();
        self.check_reported(check, result);
        if let Some(writes) = self.core.take_commit() {
            self.applied(&writes);
        }
        answer.answer()
    }

    /// Plans a send of the code of `salt`.
    pub fn plans(&mut self, key: NumberKey, salt: Salt) -> AttemptLogKey {
        let slot = self.deps.subject(&key).slot;
        let log = AttemptLogKey::new(key.service, salt.id(), slot);
        let mut record = AttemptLog::new(key.number, self.now, KEEPS_NO_ATTEMPTS);
        record.plan = Some(Box::new(plan(salt, self.now)));
        let subject = Subject { slot, id: log.id() };
        self.core.submit(PlanCommand(subject, record), self.now);
        log
    }

    /// A planned send of the code of `salt` becomes due.
    pub fn resumes(&mut self, key: NumberKey, salt: Salt) -> Awaited<()> {
        let log = self.plans(key, salt);
        let (responder, awaited) = self.responder();
        self.submit(key, Request::Resume(log, Caller::FollowUp(responder)));
        awaited
    }

    /// The messages that the guard let pass and that were certainly not sent.
    pub fn not_sent(&self) -> usize {
        self.captured.not_sent.load(Ordering::Relaxed)
    }

    /// The record of the attempts of the verification with this salt.
    pub fn log(&self, key: NumberKey, salt: Salt) -> Option<AttemptLog> {
        let slot = self.deps.subject(&key).slot;
        let id = AttemptLogKey::new(key.service, salt.id(), slot).id();
        let record = RecordKey { slot, kind: AttemptLog::KIND, id };
        self.core.tables().get(&record, self.now)
    }

    /// Whether a send of the code of `salt` is planned.
    pub fn has_plan(&self, key: NumberKey, salt: Salt) -> bool {
        self.log(key, salt).is_some_and(|log| log.plan.is_some())
    }

    pub fn state(&self, key: NumberKey) -> NumberState {
        let state = self.core.tables().get::<NumberState>(&self.record_key(key), self.now);
        state.unwrap_or(NumberState::Fresh)
    }

    /// The number of numbers in memory.
    pub fn numbers(&self) -> usize {
        self.core.tables().len_of(NumberState::KIND)
    }

    /// The seed of the number's live code.
    pub fn live_salt(&mut self, key: NumberKey) -> Option<Salt> {
        let policy = self.deps.policies.of(key.service);
        let verification = self.state(key).at(&policy, self.now).verification();
        verification.filter(|v| v.is_live(self.now)).map(|v| v.salt)
    }

    /// Checks wrong codes until one is left before the lockout.
    pub fn nearly_locks(&mut self, key: NumberKey) {
        for _ in 0..4 {
            self.checks_wrong(key);
            self.commits();
        }
    }

    /// Sends, commits and settles; returns the number's live code.
    pub fn has_code(&mut self, key: NumberKey) -> Code {
        let answer = self.sends(key);
        self.commits();
        let dispatch = self.dispatched();
        let permit = dispatch.permitted.permit;
        self.settles(dispatch, accepted());
        assert!(matches!(answer.answer(), Ok(SendOutcome::Sent { .. })));
        permit.verification.code_seed(key.service, key.number).code(&self.deps.key)
    }
}

pub fn accepted() -> SendResult {
    SendResult::Accepted { message_id: "SM1".to_owned(), held: None }
}

pub const fn wrong(attempts_left: u8) -> CheckOutcome {
    CheckOutcome::Wrong { attempts_left, live: true }
}

/// The result of a message that a gateway with its own code accepted.
pub fn held() -> SendResult {
    let held = Some(Held { by: GatewayName::TwilioVerify, channel: Channel::Sms });
    SendResult::Accepted { message_id: "VE1".to_owned(), held }
}

/// A planned send of the code of `salt`.
fn plan(salt: Salt, now: Timestamp) -> PlannedSend {
    let reason = Reason::Retry { attempt: 0, retries: 1 };
    let follow_up = FollowUp {
        due: now,
        channel: Channel::Call,
        reason,
        step: 0,
        sent: 0,
        allowance: TakenAllowance::Refundable(Ticket::default()),
    };
    PlannedSend {
        salt,
        style: MessageStyle::default(),
        expires: now.plus(Duration::from_secs(30)),
        follow_up,
    }
}
