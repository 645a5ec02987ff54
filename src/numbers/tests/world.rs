//! One shard without its actor, a disk that commits on demand, and a clock.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::oneshot;

use crate::attempts::{AttemptLog, PlannedSend};
use crate::config::AttemptLogSettings;
use crate::delivery::{Delivered, Failure, FollowUp, PlanChange, Reason, TakenAllowance};
use crate::domain::{
    AttemptLogKey, Channel, Code, CodeLength, GatewayName, Held, PhoneNumber, ServerKey, ServiceId, Timestamp,
};
use crate::engine::{
    CheckResult, Ending, LockoutRule, NumberState, Policy, Salt, SendOptions, SendPermit, SendResult,
    SendRules, SlotHash, derive_code,
};
use crate::guard::Ticket;
use crate::limit::KeyedRequest;
use crate::metrics::{
    FactConsumer, FailedAttemptFacts, Recipient, SendFacts, ServiceNames, VerificationFacts,
};
use crate::numbers::check::{CheckCommand, EndCommand, EndReply, GatewayCheck};
use crate::numbers::command::{
    CommandKind, Effects, NumberCommand, NumberDeps, PendingReply, Responder, attempt_log_key,
};
use crate::numbers::in_flight::CommandLimit;
use crate::numbers::send::{Dispatch, ResumeCommand, SendCommand};
use crate::numbers::table::NumberTable;
use crate::numbers::{CheckOutcome, NumberCapacity, NumberKey, Policies, Refusal, Reply, SendOutcome};
use crate::shard::{
    Capacity, Command, Core, Decision, Durability, Kinds, LimitedTable, Record, RecordKey, ReplyContext,
    ShardSettings, Stored, Subject, Tables, Transaction, Write,
};
use crate::store::StoreError;
use crate::template::MessageStyle;

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

/// The effects of the shard.
#[derive(Default)]
struct Captured {
    dispatches: Mutex<Vec<Dispatch>>,
    checks: Mutex<Vec<GatewayCheck>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Effects for Captured {
    fn deliver(&self, dispatch: Dispatch) {
        locked(&self.dispatches).push(dispatch);
    }

    fn check(&self, check: GatewayCheck) {
        locked(&self.checks).push(check);
    }
}

/// The reply to a command, once it arrives.
pub struct Awaited<T>(PendingReply<T>);

/// Plans a send.
struct PlanCommand(Subject, AttemptLog);

impl Command for PlanCommand {
    fn subject(&self) -> Subject {
        self.0
    }

    fn decide(&mut self, view: &mut Transaction<'_>) -> Decision {
        view.put(self.0.id, Some(&self.1), Durability::Lazy);
        Decision::Made
    }

    fn answer(self: Box<Self>, _: &mut ReplyContext<'_>) {}

    fn refuse(self: Box<Self>, _: Refusal) {}
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

fn deps(captured: &Arc<Captured>) -> Arc<NumberDeps> {
    let policy = Policy {
        max_attempts: 5,
        lockout: LockoutRule::Fixed(Duration::from_secs(1800)),
        sends: SendRules::CONTRACT,
        code: SendOptions { life: Duration::from_secs(30), length: CodeLength::SIX },
    };
    let key = ServerKey::from_bytes([5; 32]);
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
        effects: Arc::clone(captured) as _,
        events: None,
        metrics: Arc::default(),
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
    Core::new(tables, kinds, StdRng::seed_from_u64(1), settings)
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
        let stored = Stored::of(NumberState::Locked { until });
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

    fn submit(&mut self, key: NumberKey, kind: CommandKind) {
        self.core.submit(NumberCommand::new(key, kind, Arc::clone(&self.deps)), self.now);
    }

    pub fn sends(&mut self, key: NumberKey) -> Awaited<Reply<SendOutcome>> {
        let (responder, awaited) = self.responder();
        let (channel, style) = (Channel::Sms, MessageStyle::default());
        let (options, verification, request_id, decided) = (None, None, None, None);
        let send = SendCommand {
            options,
            channel,
            style,
            verification,
            allowance: TakenAllowance::Refundable(Ticket::default()),
            request_id,
            responder,
            decided,
        };
        self.submit(key, CommandKind::Send(send));
        awaited
    }

    pub fn checks(&mut self, key: NumberKey, code: Option<Code>) -> Awaited<Reply<CheckOutcome>> {
        let (responder, awaited) = self.responder();
        let check = CheckCommand { code, named: None, request_id: None, responder, decided: None };
        self.submit(key, CommandKind::Check(check));
        awaited
    }

    pub fn ends(&mut self, key: NumberKey, ending: Ending) -> Awaited<EndReply> {
        let (responder, awaited) = self.responder();
        let end = EndCommand {
            ending,
            named: None,
            audited: None,
            was_erased: false,
            responder,
            decided: None,
            has_effect: false,
        };
        self.submit(key, CommandKind::End(end));
        awaited
    }

    /// Commits the shard's writes, if it has any.
    pub fn commits_if_any(&mut self) {
        if let Some(writes) = self.core.take_commit() {
            self.applied(&writes);
        }
    }

    pub fn checks_wrong(&mut self, key: NumberKey) -> Awaited<Reply<CheckOutcome>> {
        self.checks(key, None)
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
                    drop(self.disk.insert(*key, Stored::encoded(bytes.clone(), *expires)));
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

    pub fn take_dispatches(&mut self) -> Vec<Dispatch> {
        std::mem::take(&mut *locked(&self.captured.dispatches))
    }

    pub fn dispatched(&mut self) -> Dispatch {
        let mut sends = self.take_dispatches();
        assert_eq!(sends.len(), 1, "one send to hand to delivery");
        sends.remove(0)
    }

    pub fn dispatches_nothing(&mut self) -> bool {
        locked(&self.captured.dispatches).is_empty()
    }

    pub fn settles(&mut self, dispatch: Dispatch, result: SendResult) {
        self.settles_with(dispatch, result, None);
    }

    pub fn settles_with(&mut self, dispatch: Dispatch, result: SendResult, reason: Option<Failure>) {
        let key = dispatch.key;
        let allowance = if result.may_still_arrive() {
            TakenAllowance::Final
        } else {
            TakenAllowance::Refundable(Ticket::default())
        };
        let delivered = Delivered { result, attempts: Vec::new(), plan: PlanChange::Keep, reason, allowance };
        self.submit(key, CommandKind::Settle(dispatch.settled(delivered)));
    }

    /// Sends a code that the gateway makes and holds.
    pub fn has_held_code(&mut self, key: NumberKey) -> SendPermit {
        let answer = self.sends(key);
        self.commits();
        let dispatch = self.dispatched();
        let permit = dispatch.permit;
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
    pub fn asked(&mut self) -> GatewayCheck {
        let mut checks = std::mem::take(&mut *locked(&self.captured.checks));
        assert_eq!(checks.len(), 1, "one check for a gateway");
        checks.remove(0)
    }

    pub fn asks_no_gateway(&mut self) -> bool {
        locked(&self.captured.checks).is_empty()
    }

    /// The gateway answers a check.
    pub fn check_reported(&mut self, check: GatewayCheck, result: CheckResult) {
        let key = check.key;
        self.submit(key, CommandKind::SettleCheck(check.settled(Ok(result))));
    }

    /// This node may not ask the gateway, because another may own the records.
    pub fn settles_without_lease(&mut self, check: GatewayCheck) {
        let key = check.key;
        self.submit(key, CommandKind::SettleCheck(check.settled(Err(Refusal::StoreUnavailable))));
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
        let log = attempt_log_key(key.service, &salt, slot);
        let mut record = AttemptLog::new(key.number, self.now, KEEPS_NO_ATTEMPTS);
        record.plan = Some(Box::new(plan(salt, self.now)));
        let subject = Subject { slot, id: log.id() };
        self.core.submit(Box::new(PlanCommand(subject, record)), self.now);
        log
    }

    /// A planned send of the code of `salt` becomes due.
    pub fn resumes(&mut self, key: NumberKey, salt: Salt) -> Awaited<()> {
        let log = self.plans(key, salt);
        let (responder, awaited) = self.responder();
        let resume = ResumeCommand { log, responder, decided: None };
        self.submit(key, CommandKind::Resume(resume));
        awaited
    }

    /// Counts the messages that the guard let pass and that were certainly not sent.
    pub fn counts_not_sent(&self) -> Arc<NotSent> {
        let counted = Arc::<NotSent>::default();
        self.deps.metrics.pass_on_to(Arc::clone(&counted) as _);
        counted
    }

    /// Whether a send of the code of `salt` is planned.
    pub fn has_plan(&self, key: NumberKey, salt: Salt) -> bool {
        let slot = self.deps.subject(&key).slot;
        let id = attempt_log_key(key.service, &salt, slot).id();
        let record = RecordKey { slot, kind: AttemptLog::KIND, id };
        self.core.tables().get::<AttemptLog>(&record, self.now).is_some_and(|log| log.plan.is_some())
    }

    pub fn state(&self, key: NumberKey) -> NumberState {
        let state = self.core.tables().get::<NumberState>(&self.record_key(key), self.now);
        state.unwrap_or(NumberState::Fresh)
    }

    /// The number of numbers in memory.
    pub fn numbers(&self) -> usize {
        self.core.tables().len_of(NumberState::KIND)
    }

    /// Returns `true` if the code of `salt` is live at `now`.
    pub fn is_usable(&self, key: NumberKey, salt: &Salt, now: Timestamp) -> bool {
        let policy = self.deps.policies.of(key.service);
        let verification = self.state(key).at(&policy, now).verification();
        verification.is_some_and(|v| v.is_live(now) && v.salt == *salt)
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
        let permit = dispatch.permit;
        self.settles(dispatch, accepted());
        assert!(matches!(answer.answer(), Ok(SendOutcome::Sent { .. })));
        derive_code(
            &self.deps.key,
            &permit.verification.salt,
            key.number,
            key.service,
            permit.verification.length,
        )
    }
}

#[derive(Default)]
pub struct NotSent(pub AtomicUsize);

impl FactConsumer for NotSent {
    fn verification(&self, _: &VerificationFacts) {}
    fn send(&self, _: &SendFacts) {}
    fn failed_attempt(&self, _: &FailedAttemptFacts) {}
    fn not_sent(&self, _: Recipient, _: &Ticket) {
        self.0.fetch_add(1, Ordering::Relaxed);
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
