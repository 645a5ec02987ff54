//! One shard without its actor, a disk that commits when it is told to, and a clock.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::{Semaphore, oneshot};

use crate::delivery::tracker::{Due, FollowUp, Parcel, Reason, VerifyStatus};
use crate::domain::{
    Channel, Code, CodeLength, GatewayName, Held, PhoneNumber, ServerKey, ServiceId, Timestamp,
};
use crate::engine::{
    CheckResult, Ending, Lockout, Policy, Salt, SendOptions, SendPermit, SendResult, SendRules, derive_code,
};
use crate::shard::command::{
    Ask, CheckCommand, Command, CommandKind, Dispatch, EndCommand, FollowedUp, NumberKey, Reply,
    ResumeCommand, SendCommand, SettleCheckCommand, SettleCommand,
};
use crate::shard::core::Core;
use crate::shard::decide::{Judge, track_key};
use crate::shard::record;
use crate::shard::table::{Entry, Table};
use crate::shard::{CheckAnswer, Refusal, SendAnswer};
use crate::shard::{Policies, Told};
use crate::store::{Key, Outcome, Revision, StoreError, Write};
use crate::template::MessageStyle;

pub const COMMANDS_PER_NUMBER: usize = 8;
/// How long asking a gateway about a code may take.
pub const CHECK_BUDGET: Duration = Duration::from_secs(15);

pub struct World {
    pub core: Core,
    pub now: Timestamp,
    places: Arc<Semaphore>,
    revision: u64,
    key: ServerKey,
    /// What a crash leaves.
    disk: HashMap<Key, (NumberKey, Bytes)>,
}

/// Where the answer to a command will arrive.
pub struct Awaited<A: Answered>(oneshot::Receiver<Result<A::Told, Refusal>>);

/// An answer, and the form in which a shard gives it.
pub trait Answered: Sized {
    type Told;
    fn of(told: Self::Told) -> Self;
}

impl Answered for SendAnswer {
    type Told = Told<Self>;
    fn of(told: Told<Self>) -> Self {
        told.answer.expect("no limit of a service stands against it")
    }
}

impl Answered for CheckAnswer {
    type Told = Told<Self>;
    fn of(told: Told<Self>) -> Self {
        told.answer.expect("no limit of a service stands against it")
    }
}

impl Answered for () {
    type Told = Told<()>;
    fn of(told: Told<()>) -> Self {
        told.answer.expect("what is to be ended is under way");
    }
}

impl Answered for FollowedUp {
    type Told = Self;
    fn of(told: Self) -> Self {
        told
    }
}

impl<A: Answered> Awaited<A> {
    pub fn answer(mut self) -> Result<A, Refusal> {
        self.0.try_recv().expect("an answer by now").map(A::of)
    }

    pub fn is_unanswered(&mut self) -> bool {
        matches!(self.0.try_recv(), Err(oneshot::error::TryRecvError::Empty))
    }
}

fn core(table: Table) -> Core {
    let policy = Policy {
        max_attempts: 5,
        lockout: Duration::from_secs(1800),
        kind: Lockout::Fixed,
        sends: SendRules::CONTRACT,
        code: SendOptions { life: Duration::from_secs(30), length: CodeLength::SIX },
    };
    let judge = Judge {
        policies: Policies::new(policy),
        key: ServerKey::from_bytes([5; 32]),
        rng: StdRng::seed_from_u64(1),
        send_budget: Duration::from_secs(10),
        check_budget: CHECK_BUDGET,
    };
    Core::new(table, judge, COMMANDS_PER_NUMBER)
}

pub fn number(last_digits: u64) -> NumberKey {
    let number = PhoneNumber::from_u64(14_155_550_000 + last_digits).expect("a number");
    NumberKey { service: ServiceId::DEFAULT, number }
}

impl World {
    pub fn new() -> Self {
        Self::owning(Table::default())
    }

    pub fn owning(table: Table) -> Self {
        Self {
            core: core(table),
            now: Timestamp::from_millis(1_700_000_000_000),
            places: Arc::new(Semaphore::new(1_000)),
            revision: 1,
            key: ServerKey::from_bytes([5; 32]),
            disk: HashMap::new(),
        }
    }

    /// The program dies, and starts again from what was durable.
    pub fn crashes(&mut self) {
        let mut table = Table::default();
        for (key, bytes) in self.disk.values() {
            let state = record::decode(bytes).expect("a record");
            table.set(*key, Entry { state, revision: Revision(self.revision) });
        }
        self.core = core(table);
    }

    /// A number that is locked, durably, for another half hour.
    pub fn with_locked(key: NumberKey) -> Self {
        let mut table = Table::default();
        let until = Timestamp::from_millis(1_700_000_000_000).plus(Duration::from_secs(1800));
        let state = crate::engine::NumberState::Locked { until };
        table.set(key, Entry { state, revision: Revision(1) });
        Self::owning(table)
    }

    fn place<A: Answered>(&self) -> (Reply<A::Told>, Awaited<A>) {
        let place = Arc::clone(&self.places).try_acquire_owned().expect("a place");
        let (reply, receiver) = Reply::new(place);
        (reply, Awaited(receiver))
    }

    pub fn sends(&mut self, key: NumberKey) -> Awaited<SendAnswer> {
        let (reply, awaited) = self.place();
        let (channel, style) = (Channel::Sms, MessageStyle::default());
        let send = SendCommand { options: None, channel, style, begin: None, reply, decided: None };
        self.core.submit(Command::new(key, CommandKind::Send(send)), self.now);
        awaited
    }

    pub fn checks(&mut self, key: NumberKey, code: Option<Code>) -> Awaited<CheckAnswer> {
        let (reply, awaited) = self.place();
        let check = CheckCommand { code, named: None, is_test: false, reply, decided: None };
        self.core.submit(Command::new(key, CommandKind::Check(check)), self.now);
        awaited
    }

    pub fn ends(&mut self, key: NumberKey, ending: Ending) -> Awaited<()> {
        let (reply, awaited) = self.place();
        let end = EndCommand { ending, named: None, reply, decided: None };
        self.core.submit(Command::new(key, CommandKind::End(end)), self.now);
        awaited
    }

    /// Commits what the shard wants written, if it wants anything.
    pub fn commits_if_any(&mut self) {
        if let Some(writes) = self.core.take_commit() {
            self.applied(&writes);
        }
    }

    pub fn checks_wrong(&mut self, key: NumberKey) -> Awaited<CheckAnswer> {
        self.checks(key, None)
    }

    /// Takes what the shard wants written; the disk has not said anything yet.
    pub fn takes_commit(&mut self) -> Vec<Write> {
        self.core.take_commit().expect("a commit")
    }

    pub fn wants_no_commit(&mut self) -> bool {
        self.core.take_commit().is_none()
    }

    /// Commits what the shard wants written, and returns it.
    pub fn commits(&mut self) -> Vec<Write> {
        let writes = self.takes_commit();
        self.applied(&writes);
        writes
    }

    pub fn applied(&mut self, writes: &[Write]) {
        self.revision += 1;
        let revision = Revision(self.revision);
        for write in writes {
            match &write.put {
                None => drop(self.disk.remove(&write.key)),
                Some(bytes) => {
                    let number = PhoneNumber::from_u64(write.key.subject.0).expect("a number");
                    let key = NumberKey { service: write.key.service, number };
                    self.disk.insert(write.key, (key, bytes.clone()));
                }
            }
        }
        let outcomes = writes
            .iter()
            .map(|w| Outcome::Applied(if w.put.is_some() { revision } else { Revision::ABSENT }))
            .collect();
        self.core.committed(Ok(outcomes), self.now);
    }

    pub fn fails_to_commit(&mut self) {
        self.takes_commit();
        self.core.committed(Err(StoreError::Unknown("the disk is gone".into())), self.now);
    }

    /// Somebody else wrote first: every write conflicts with `state`.
    pub fn loses_the_race_to(&mut self, state: &crate::engine::NumberState) {
        let writes = self.takes_commit();
        self.revision += 1;
        let present = record::encode(state).map(|bytes| (Revision(self.revision), bytes));
        let outcomes = writes.iter().map(|_| Outcome::Conflict(present.clone())).collect();
        self.core.committed(Ok(outcomes), self.now);
    }

    pub fn dispatched(&mut self) -> Dispatch {
        let mut sends = self.core.take_dispatches();
        assert_eq!(sends.len(), 1, "one send to hand to delivery");
        sends.remove(0)
    }

    pub fn dispatches_nothing(&mut self) -> bool {
        self.core.take_dispatches().is_empty()
    }

    pub fn settles(&mut self, dispatch: Dispatch, end: SendResult) {
        let Dispatch { key, permit, caller, .. } = dispatch;
        let settle = SettleCommand { permit, result: end, trouble: None, caller, decided: None };
        self.core.submit(Command::new(key, CommandKind::Settle(settle)), self.now);
    }

    /// Sends a code that the gateway makes and holds.
    pub fn has_held_code(&mut self, key: NumberKey) -> SendPermit {
        let answer = self.sends(key);
        self.commits();
        let dispatch = self.dispatched();
        let permit = dispatch.permit;
        self.settles(dispatch, held());
        self.commits();
        assert!(matches!(answer.answer(), Ok(SendAnswer::Sent { .. })));
        permit
    }

    /// Submits a code that only the gateway can judge.
    pub fn checks_held(&mut self, key: NumberKey) -> Awaited<CheckAnswer> {
        self.checks(key, Some(Code::parse("0000000000").expect("a code")))
    }

    /// The one question that is to be put to a gateway.
    pub fn asked(&mut self) -> Ask {
        let mut asks = self.core.take_asks();
        assert_eq!(asks.len(), 1, "one question for a gateway");
        asks.remove(0)
    }

    pub fn asks_nobody(&mut self) -> bool {
        self.core.take_asks().is_empty()
    }

    /// What the gateway says.
    pub fn hears(&mut self, ask: Ask, result: CheckResult) {
        let Ask { key, permit, reply, .. } = ask;
        let settle = SettleCheckCommand { permit, result, reply, decided: None };
        self.core.submit(Command::new(key, CommandKind::SettleCheck(settle)), self.now);
    }

    /// A whole check that the gateway answers; commits what has to be.
    pub fn checks_and_hears(&mut self, key: NumberKey, result: CheckResult) -> Result<CheckAnswer, Refusal> {
        let answer = self.checks_held(key);
        self.commits();
        let ask = self.asked();
        self.hears(ask, result);
        if let Some(writes) = self.core.take_commit() {
            self.applied(&writes);
        }
        answer.answer()
    }

    /// The time for a planned send of the code of `salt` has come.
    pub fn resumes(&mut self, key: NumberKey, salt: Salt) -> Awaited<FollowedUp> {
        let (reply, awaited) = self.place();
        let resume = ResumeCommand { due: Box::new(due(key, salt, self.now)), reply, decided: None };
        self.core.submit(Command::new(key, CommandKind::Resume(resume)), self.now);
        awaited
    }

    /// What the number's live code is made from.
    pub fn live_salt(&mut self, key: NumberKey) -> Option<Salt> {
        let now = self.now;
        self.core.live_salt(&key, now)
    }

    /// What the tracker is told.
    pub fn notes(&mut self) -> Vec<VerifyStatus> {
        self.core.take_notes().into_iter().map(|note| note.status).collect()
    }

    /// Sends, commits and settles: the number has a live code now, which is returned.
    pub fn has_code(&mut self, key: NumberKey) -> Code {
        let answer = self.sends(key);
        self.commits();
        let dispatch = self.dispatched();
        let permit = dispatch.permit;
        self.settles(dispatch, accepted());
        assert!(matches!(answer.answer(), Ok(SendAnswer::Sent { .. })));
        derive_code(&self.key, &permit.salt, key.number, key.service, permit.length)
    }
}

pub fn accepted() -> SendResult {
    SendResult::Accepted { message_id: "SM1".to_owned(), held: None }
}

pub const fn wrong(attempts_left: u8) -> CheckAnswer {
    CheckAnswer::Wrong { attempts_left, live: true }
}

/// A gateway that holds the code took the message.
pub fn held() -> SendResult {
    let held = Some(Held { by: GatewayName::TwilioVerify, channel: Channel::Sms });
    SendResult::Accepted { message_id: "VE1".to_owned(), held }
}

/// A planned send of the code of `salt`.
pub fn due(key: NumberKey, salt: Salt, now: Timestamp) -> Due {
    let about = Parcel {
        key: track_key(key.service, &salt),
        number: key.number,
        salt,
        style: MessageStyle::default(),
        expires: now.plus(Duration::from_secs(30)),
    };
    let reason = Reason::Retry { attempt: 0, retries: 1 };
    Due { about, follow_up: FollowUp { due: now, channel: Channel::Call, reason, step: 0, sent: 0 } }
}
