//! One shard without its actor, a disk that commits when it is told to, and a clock.

use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::{Semaphore, oneshot};

use crate::domain::Channel;
use crate::domain::{Code, CodeLength, PhoneNumber, ServerKey, ServiceId, Timestamp};
use crate::engine::{Policies, Policy, SendOptions, derive_code};
use crate::shard::command::{
    CheckCommand, Command, CommandKind, Dispatch, NumberKey, Reply, SendCommand, SendEnd, SettleCommand,
};
use crate::shard::core::Core;
use crate::shard::decide::Judge;
use crate::shard::record;
use crate::shard::table::{Entry, Table};
use crate::shard::{CheckAnswer, Refusal, SendAnswer};
use crate::store::{Outcome, Revision, StoreError, Write};
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
}

/// Where the answer to a command will arrive.
pub struct Awaited<T>(oneshot::Receiver<Result<T, Refusal>>);

impl<T: std::fmt::Debug> Awaited<T> {
    pub fn answer(mut self) -> Result<T, Refusal> {
        self.0.try_recv().expect("an answer by now")
    }

    pub fn is_unanswered(&mut self) -> bool {
        matches!(self.0.try_recv(), Err(oneshot::error::TryRecvError::Empty))
    }
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
        let key = ServerKey::from_bytes([5; 32]);
        let policy = Policy {
            max_attempts: 5,
            lockout: Duration::from_secs(1800),
            code: SendOptions { life: Duration::from_secs(30), length: CodeLength::SIX },
        };
        let judge = Judge {
            policies: Policies::new(policy),
            key: key.clone(),
            rng: StdRng::seed_from_u64(1),
            send_budget: Duration::from_secs(10),
            check_budget: CHECK_BUDGET,
        };
        Self {
            core: Core::new(table, judge, COMMANDS_PER_NUMBER),
            now: Timestamp::from_millis(1_700_000_000_000),
            places: Arc::new(Semaphore::new(1_000)),
            revision: 1,
            key,
        }
    }

    /// A number that is locked, durably, for another half hour.
    pub fn with_locked(key: NumberKey) -> Self {
        let mut table = Table::default();
        let until = Timestamp::from_millis(1_700_000_000_000).plus(Duration::from_secs(1800));
        let state = crate::engine::NumberState::Locked { until };
        table.set(key, Entry { state, revision: Revision(1) });
        Self::owning(table)
    }

    fn place<T>(&self) -> (Reply<T>, Awaited<T>) {
        let place = Arc::clone(&self.places).try_acquire_owned().expect("a place");
        let (reply, receiver) = Reply::new(place);
        (reply, Awaited(receiver))
    }

    pub fn sends(&mut self, key: NumberKey) -> Awaited<SendAnswer> {
        let (reply, awaited) = self.place();
        let (channel, style) = (Channel::Sms, MessageStyle::default());
        let send = SendCommand { options: None, channel, style, reply, decided: None };
        self.core.submit(Command::new(key, CommandKind::Send(send)), self.now);
        awaited
    }

    pub fn checks(&mut self, key: NumberKey, code: Option<Code>) -> Awaited<CheckAnswer> {
        let (reply, awaited) = self.place();
        let check = CheckCommand { code, reply, decided: None };
        self.core.submit(Command::new(key, CommandKind::Check(check)), self.now);
        awaited
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

    pub fn settles(&mut self, dispatch: Dispatch, end: SendEnd) {
        let Dispatch { key, permit, caller, .. } = dispatch;
        let settle = SettleCommand { permit, end, caller, decided: None };
        self.core.submit(Command::new(key, CommandKind::Settle(settle)), self.now);
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

pub fn accepted() -> SendEnd {
    SendEnd::Accepted { message_id: "SM1".to_owned(), held: None }
}

pub const fn wrong(attempts_left: u8) -> CheckAnswer {
    CheckAnswer::Wrong { attempts_left, live: true }
}
