//! One shard: a real core, and its commit in flight.

use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::Duration;

use onceward::config::Bounds;
use onceward::delivery::attempts::AttemptLog;
use onceward::domain::Timestamp;
use onceward::engine::{NumberState, SlotHash};
use onceward::limits::keys::IdempotencyKeys;
use onceward::shard::{Capacity, Command, Core, Decide, Fate, Id, LimitedTable, Records, Tables, Write};
use onceward::verification::command::{NumberDeps, Task};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::disk::Committed;
use crate::facts::{CommandId, Salted};
use crate::setup::{Setup, server_key};

/// More than the commands of a run.
pub const PLACES: usize = 10_000;

/// The longest duration of a commit. During a longer one the shard refuses commands.
pub const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);

pub struct Shard {
    pub core: Core,
    /// The number of this start of the core. Gateways' answers to an earlier one still arrive, if the process lives.
    pub life: u32,
    /// The latest time in this life. Independent of the core, which must compute the same.
    pub seen: u64,
    pub commit: Option<InFlight>,
    /// The disk has the decisions of this life before this event.
    pub stored: u64,
}

/// A batch between the core and the store.
pub struct InFlight {
    pub writes: Vec<Write>,
    pub numbers: Vec<usize>,
    /// When it was taken, in the order of events: it has the decisions before.
    pub taken: u64,
    /// The time of the shard then.
    pub began: u64,
    pub progress: Progress,
}

pub enum Progress {
    /// The store has not received it.
    Before,
    /// The store has it and does nothing.
    Hanging,
    /// The store has decided, but the core does not know.
    Unanswered(Committed),
}

impl Shard {
    pub fn new(setup: &Setup, records: Records, rng: &mut StdRng) -> Self {
        let mut tables = Tables::default();
        for (key, stored) in records {
            tables.set(key, Some(stored));
        }
        let commands_per_number = setup.commands_per_number;
        let bounds = Bounds { commands_per_number, commit_timeout: COMMIT_TIMEOUT, ..Bounds::default() };
        let rng = StdRng::seed_from_u64(rng.random());
        let core = Core::new(tables, rng, bounds, setup.limits);
        Self { core, life: 0, seen: 0, commit: None, stored: 0 }
    }

    /// Whether decisions wait to be taken to the store.
    pub fn has_decided(&self) -> bool {
        self.commit.is_none() && self.core.wants_commit()
    }

    /// The time that the core gets. `seen` is the time that the core should derive from it.
    pub fn tick(&mut self, clock: u64) -> Timestamp {
        self.seen = self.seen.max(clock);
        Timestamp::from_millis(clock)
    }
}

/// The decisions and effects of the shards, in their order.
#[derive(Default)]
pub struct Captured(Mutex<Vec<Left>>);

pub enum Left {
    /// A command was decided at this time.
    Decision { command: CommandId, at: Timestamp, is_due: bool, drawn: Option<Salted> },
    /// The effects of a decision follow.
    End(CommandId, Fate),
    /// The answer to a command, or its loss.
    Outcome(CommandId),
    /// A message for delivery, or a code for the gateway that holds it.
    Effect(Box<Task>),
}

impl Captured {
    pub fn take(&self) -> Vec<Left> {
        std::mem::take(&mut *self.0.lock())
    }

    /// Records when the answer to this command leaves.
    pub fn waker(self: &Arc<Self>, command: CommandId) -> Waker {
        Waker::from(Arc::new(Waiter { command, captured: Arc::clone(self) }))
    }

    fn note(&self, left: Left) {
        self.0.lock().push(left);
    }

    /// A command about this number that notes when it, and what it leaves to decide, is decided and is durable. `planned` is
    /// the key of the planned message that it offers.
    pub fn watches(
        self: &Arc<Self>,
        command: CommandId,
        number: Id,
        planned: Option<Id>,
        Command { subject, admit, decide }: Command,
    ) -> Command {
        let captured = Arc::clone(self);
        let decide: Decide = Box::new(move |view| {
            let Ok(view) = view else { return decide(view) };
            let log = planned.and_then(|log| view.get::<AttemptLog>(log));
            let is_due = log.and_then(|log| log.plan).is_some_and(|plan| plan.due <= view.now());
            let then = decide(Ok(&mut *view))?;
            let code = view.get::<NumberState>(number).and_then(|state| state.verification());
            let (at, drawn) = (view.now(), code.map(|code| Salted(code.salt.0)));
            captured.note(Left::Decision { command, at, is_due, drawn });
            Some(Box::new(move |fate, view| {
                captured.note(Left::End(command, fate));
                let next = then(fate, view)?;
                Some(captured.watches(command, number, None, next))
            }))
        });
        Command { subject, admit, decide }
    }
}

struct Waiter {
    command: CommandId,
    captured: Arc<Captured>,
}

impl Wake for Waiter {
    fn wake(self: Arc<Self>) {
        self.captured.note(Left::Outcome(self.command));
    }
}

pub fn deps(setup: &Setup, captured: &Arc<Captured>) -> Arc<NumberDeps> {
    let captured = Arc::clone(captured);
    Arc::new(NumberDeps {
        policies: setup.policies(),
        slots: SlotHash::new(&server_key()),
        key: server_key(),
        numbers: Capacity::new(LimitedTable::Numbers, usize::MAX),
        keys: IdempotencyKeys::new(&server_key(), Capacity::new(LimitedTable::IdempotencyKeys, usize::MAX)),
        send_budget: setup.send_budget,
        attempt_log: setup.attempt_log,
        events: None,
        guard: None,
        metrics: Arc::default(),
        outside: Box::new(move |_, task| captured.note(Left::Effect(Box::new(task)))),
    })
}
