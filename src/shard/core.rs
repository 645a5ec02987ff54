//! A shard without its actor: which command is decided when, and when its answer may leave.
//!
//! Inputs are [`Core::submit`], [`Core::committed`] and [`Core::sweep`]; what is to be done comes out of
//! [`Core::take_commit`] and of the commands themselves. There is no I/O and no clock in here, so the simulation drives
//! the same code that serves.

use std::collections::VecDeque;
use std::time::Duration;

use indexmap::IndexSet;
use rand::rngs::StdRng;

use super::command::{Command, Decision, Load, Refusal};
use super::queue::{Gathering, Loads, Parking};
use super::record::{Hasher, Id, Kinds, Record, RecordKey};
use super::table::{Index, Records, Stored, Tables};
use super::transaction::{Step, Steps, Transaction};
use crate::domain::Timestamp;
use crate::store::{Slots, StoreError, Write};

/// The most records that a batch carries besides those of its own commands: lazy changes, and what a failed commit left.
const MOST_EXTRA: usize = 1_024;

/// Records that are looked at for one that has ended before a new one is refused: little work for a flood, and a full table
/// of ended records comes free as fast as it is asked for.
const LOOKS_FOR_ROOM: usize = 32;

/// After a failed commit, records without a command are written again no sooner than this.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// One shard's state.
pub struct Core {
    tables: Tables,
    kinds: Kinds,
    rng: StdRng,
    settings: Settings,
    waiting: Vec<Box<dyn Command>>,
    in_flight: Option<Batch>,
    gathering: Gathering,
    loads: Loads,
    parking: Parking,
    /// Records of failed commits: memory is at least as strict as the disk. They are written again before an answer that
    /// rests on them leaves.
    unsettled: IndexSet<RecordKey, Hasher>,
    /// Records with lazy changes that no commit has carried yet.
    lazy: IndexSet<RecordKey, Hasher>,
    /// Whether a checkpoint waits for every lazy change to be committed.
    settling: Settling,
    retry_at: Timestamp,
    last_seen: Timestamp,
    commit: Option<Vec<Write>>,
}

/// What is set once.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Commands of one subject that may wait.
    pub commands_per_subject: usize,
    /// How long a commit may take before the commands in it are answered 503.
    pub commit_timeout: Duration,
}

/// How far the wait of a checkpoint for lazy changes has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Settling {
    NotWanted,
    Wanted,
    /// The batch in flight carries the last of them.
    InFlight,
    Done,
}

/// Commands whose decisions are on their way to the disk.
struct Batch {
    commands: Vec<Box<dyn Command>>,
    /// The changes that answers wait for.
    steps: Steps,
    /// Other records in the same commit.
    extra: Vec<RecordKey>,
    began: Timestamp,
    /// Whether the commit took too long, and its commands have been refused.
    given_up: bool,
}

/// What a command may do when its decision leaves.
pub struct Leaving<'a> {
    tables: &'a Tables,
    now: Timestamp,
    then: Vec<Box<dyn Command>>,
    at_gateway: bool,
}

impl Leaving<'_> {
    /// The moment at which the decision leaves.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// A record as it is now that the whole batch is durable.
    pub fn get<R: Record>(&self, slot: u8, id: Id) -> Option<R> {
        self.tables.get(&RecordKey { slot, kind: R::KIND, id }, self.now)
    }

    /// Has one more command decided, before those that came later.
    pub fn then(&mut self, command: Box<dyn Command>) {
        self.then.push(command);
    }

    /// The command is not answered yet: a gateway has it.
    pub const fn went_to_gateway(&mut self) {
        self.at_gateway = true;
    }
}

impl Core {
    /// A shard that owns what is in `tables`.
    pub fn new(tables: Tables, kinds: Kinds, rng: StdRng, settings: Settings) -> Self {
        Self {
            tables,
            kinds,
            rng,
            settings,
            waiting: Vec::new(),
            in_flight: None,
            gathering: Gathering::default(),
            loads: Loads::default(),
            parking: Parking::default(),
            unsettled: IndexSet::default(),
            lazy: IndexSet::default(),
            settling: Settling::NotWanted,
            retry_at: Timestamp::EPOCH,
            last_seen: Timestamp::EPOCH,
            commit: None,
        }
    }

    /// Takes a command in. It is decided at once, or with the next batch.
    pub fn submit(&mut self, mut command: Box<dyn Command>, clock: Timestamp) {
        let now = self.tick(clock);
        if self.loads.of(&*command) >= self.settings.commands_per_subject {
            return command.refuse(Refusal::NumberBusy);
        }
        let alone = self.loads.add(&*command);
        let waits = self.in_flight.is_some() || self.gathering.is_on();
        let is_report = command.load() == Load::Report;
        if waits && alone {
            let is_decided = if is_report {
                self.take_report_beside_batch(&mut command, now)
            } else {
                self.decide_beside_batch(&mut command, now)
            };
            if is_decided {
                return self.leave(command, now);
            }
        }
        if self.is_late() && !is_report {
            return self.refuse(command, Refusal::StoreUnavailable);
        }
        self.waiting.push(command);
        self.begin_batch(now);
    }

    /// Decides a command that changes nothing and rests on nothing in the batch in flight. Whether it is decided.
    fn decide_beside_batch(&mut self, command: &mut Box<dyn Command>, now: Timestamp) -> bool {
        let mut steps = Steps::default();
        let mut touched = Vec::new();
        let slot = command.subject().slot;
        let Self { tables, rng, .. } = self;
        let view = &mut Transaction { tables, steps: &mut steps, touched: &mut touched, slot, now, rng };
        if !command.changes_nothing(view) {
            return false;
        }
        if self.is_open(&touched) {
            return false;
        }
        let Self { tables, rng, .. } = self;
        let view = &mut Transaction { tables, steps: &mut steps, touched: &mut touched, slot, now, rng };
        command.decide(view) == Decision::Made
    }

    /// Takes in a report whose changes are all lazy, and which rests on nothing in the batch in flight. Returns whether it
    /// did; a later decision replaces one that does not count.
    fn take_report_beside_batch(&mut self, command: &mut Box<dyn Command>, now: Timestamp) -> bool {
        let subject = command.subject();
        if self.is_late() || self.parking.holds(&subject) {
            return false;
        }
        let mut steps = Steps::default();
        let mut touched = Vec::new();
        let Self { tables, rng, .. } = self;
        let view = &mut Transaction {
            tables,
            steps: &mut steps,
            touched: &mut touched,
            slot: subject.slot,
            now,
            rng,
        };
        let is_made = command.decide(view) == Decision::Made;
        if !is_made || steps.values().any(|step| step.durable) || self.is_open(&touched) {
            return false;
        }
        for (key, step) in steps.iter().filter(|(_, step)| step.is_changed()) {
            self.lazy.insert(*key);
            self.tables.set(*key, step.after());
        }
        self.tables.settled();
        true
    }

    /// Whether the present state of one of these records is not known to be on the disk, lazy changes aside.
    fn is_open(&self, keys: &[RecordKey]) -> bool {
        let in_flight = |key| self.in_flight.as_ref().is_some_and(|batch| batch.steps.contains_key(key));
        keys.iter().any(|key| self.unsettled.contains(key) || in_flight(key))
    }

    /// The store's word on the batch in flight.
    pub fn committed(&mut self, result: &Result<(), StoreError>, clock: Timestamp) {
        let now = self.tick(clock);
        let Some(Batch { commands, steps, extra, given_up, .. }) = self.in_flight.take() else { return };
        if result.is_ok() && !given_up {
            for (key, step) in &steps {
                self.unsettled.swap_remove(key);
                self.tables.set(*key, step.after());
            }
            for key in &extra {
                self.unsettled.swap_remove(key);
            }
            if self.settling == Settling::InFlight
                || (self.settling == Settling::Wanted && self.lazy.is_empty())
            {
                self.settling = Settling::Done;
            }
            self.tables.settled();
            self.gathering.after(commands.len());
            for command in commands {
                self.leave(command, now);
            }
        } else {
            if self.settling == Settling::InFlight {
                self.settling = Settling::Wanted;
            }
            self.keep_pessimistic(&steps, now);
            // Whatever is in memory of these has to be written again.
            self.lazy.extend(extra.into_iter().filter(|key| !self.unsettled.contains(key)));
            self.retry_at = now.plus(RETRY_AFTER);
            for command in commands {
                self.refuse(command, Refusal::StoreUnavailable);
            }
            self.call_up(now);
        }
        self.begin_batch(now);
    }

    /// It is unknown which changes of a failed batch are on the disk: memory takes the stricter of all states.
    fn keep_pessimistic(&mut self, steps: &Steps, now: Timestamp) {
        for (key, step) in steps {
            let Some(kind) = self.kinds.get(key.kind) else { continue };
            let bytes = (kind.after_failure)(step.states(), now);
            let stored = bytes.and_then(|bytes| {
                let expires = (kind.expires)(&bytes).ok()?;
                Some(Stored { bytes, expires })
            });
            if stored.is_some() || step.is_changed() {
                self.unsettled.insert(*key);
            }
            self.tables.set(*key, stored);
        }
        self.tables.settled();
    }

    /// From now on a batch may wait a moment for more commands. The caller asks [`Core::take_wait`] after each input, and
    /// calls [`Core::gathered`] when that time is over.
    pub const fn may_gather(&mut self) {
        self.gathering.enable();
    }

    /// How long the next batch is to wait.
    pub const fn take_wait(&mut self) -> Option<Duration> {
        self.gathering.take()
    }

    /// The wait is over.
    pub fn gathered(&mut self, clock: Timestamp) {
        let now = self.tick(clock);
        self.gathering.end();
        self.begin_batch(now);
    }

    /// The writes to hand to the store, if a batch is waiting for it.
    pub const fn take_commit(&mut self) -> Option<Vec<Write>> {
        self.commit.take()
    }

    /// The records in memory: what is durable, and lazy changes.
    pub const fn tables(&self) -> &Tables {
        &self.tables
    }

    /// The same for a checkpoint's walk.
    pub const fn tables_mut(&mut self) -> &mut Tables {
        &mut self.tables
    }

    /// Has an index follow the changes of a kind.
    pub fn follow(&mut self, kind: u8, index: Box<dyn Index>) {
        self.tables.follow(kind, index);
    }

    /// Adds records of slots that this shard owns from now on.
    pub fn take_over(&mut self, records: Records) {
        for (key, stored) in records {
            self.tables.set(key, Some(stored));
        }
        self.tables.settled();
    }

    /// Writes lazy changes, and what a failed commit left. Returns whether nothing is left to write, or the store does not
    /// take it.
    pub fn flush(&mut self, clock: Timestamp) -> bool {
        let now = self.tick(clock);
        // Commands that wait for others to share a batch may add lazy changes.
        self.gathering.end();
        self.begin_batch(now);
        if self.in_flight.is_some() {
            return false;
        }
        if now < self.retry_at || (self.lazy.is_empty() && self.unsettled.is_empty()) {
            return true;
        }
        self.commit_batch(Vec::new(), Steps::default(), Vec::new(), now);
        false
    }

    /// From now on waits until every lazy change that is in memory now is committed: [`Core::is_settled`].
    pub fn settle(&mut self) {
        let is_clean =
            self.lazy.is_empty() && self.in_flight.as_ref().is_none_or(|batch| batch.extra.is_empty());
        self.settling = if is_clean { Settling::Done } else { Settling::Wanted };
    }

    /// Whether that is so. A commit that is under way, or the next sweep, brings it about.
    pub fn is_settled(&self) -> bool {
        self.settling == Settling::Done
    }

    /// Gives slots up: refuses their commands, writes their lazy changes, and forgets their records once no batch is in
    /// flight. Returns whether that is done.
    pub fn give_up(&mut self, slots: &[Slots], clock: Timestamp) -> bool {
        let now = self.tick(clock);
        let given = |slot: u8| slots.iter().any(|slots| slots.contains(slot));
        let parked = self.parking.take_slots(given);
        let (refused, waiting): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|command| given(command.subject().slot));
        self.waiting = waiting;
        for command in refused.into_iter().chain(parked) {
            self.refuse(command, Refusal::Stopping);
        }
        if self.in_flight.is_some() {
            return false;
        }
        if self.retry_at <= now && self.lazy.iter().any(|key| given(key.slot)) {
            self.commit_batch(Vec::new(), Steps::default(), Vec::new(), now);
            return false;
        }
        self.lazy.retain(|key| !given(key.slot));
        self.unsettled.retain(|key| !given(key.slot));
        self.loads.forget_slots(given);
        (0..=u8::MAX).filter(|slot| given(*slot)).for_each(|slot| self.tables.forget_slot(slot));
        true
    }

    /// Whether the commit in flight has taken too long.
    pub fn is_late(&self) -> bool {
        self.in_flight.as_ref().is_some_and(|batch| batch.given_up)
    }

    /// Frees the memory of some records that have ended, decides commands whose wait for an answer from outside is over,
    /// writes lazy changes, and gives up on a commit that takes too long.
    pub fn sweep(&mut self, looks: usize, clock: Timestamp) -> usize {
        let now = self.tick(clock);
        self.forget_ended(now);
        let Self { tables, in_flight, .. } = self;
        let in_flight = in_flight.as_ref().map(|batch| &batch.steps);
        let freed = tables.sweep(looks, now, |key| in_flight.is_some_and(|steps| steps.contains_key(key)));
        self.tables.settled();
        self.give_up_late_commit(now);
        self.call_up(now);
        // No batch waits for longer than this, should the caller have missed `gathered`.
        self.gathering.end();
        self.begin_batch(now);
        if self.in_flight.is_none()
            && self.retry_at <= now
            && !(self.lazy.is_empty() && self.unsettled.is_empty())
        {
            self.commit_batch(Vec::new(), Steps::default(), Vec::new(), now);
        }
        freed
    }

    fn give_up_late_commit(&mut self, now: Timestamp) {
        let Some(batch) = &mut self.in_flight else { return };
        if now < batch.began.plus(self.settings.commit_timeout) {
            return;
        }
        batch.given_up = true;
        let late = std::mem::take(&mut batch.commands);
        let (reports, waiting): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|command| command.load() == Load::Report);
        self.waiting = reports;
        for command in late.into_iter().chain(waiting) {
            self.refuse(command, Refusal::StoreUnavailable);
        }
    }

    /// Lets commands go on that need not wait any more, before those that came later.
    fn call_up(&mut self, now: Timestamp) {
        let Self { tables, rng, parking, .. } = self;
        let mut called = parking.take_ready(|command| {
            let (mut steps, mut touched) = (Steps::default(), Vec::new());
            let slot = command.subject().slot;
            command.must_wait(&mut Transaction {
                tables,
                steps: &mut steps,
                touched: &mut touched,
                slot,
                now,
                rng,
            })
        });
        called.append(&mut self.waiting);
        self.waiting = called;
    }

    /// Decides what is waiting, and asks for a commit if anything has to be durable. Decisions that need none leave at
    /// once; what they add to the queue is decided in the next round.
    fn begin_batch(&mut self, now: Timestamp) {
        while !self.waiting.is_empty() && self.in_flight.is_none() && !self.gathering.is_on() {
            let mut steps = Steps::default();
            let decided = self.decide_waiting(&mut steps, now);
            let commits = steps.values().any(|step| step.durable);
            let mut along = Vec::new();
            for (key, step) in steps.iter().filter(|(_, step)| !step.durable && step.is_changed()) {
                let after = step.after();
                if commits {
                    self.lazy.swap_remove(key);
                    along.push((*key, after.clone()));
                } else {
                    self.lazy.insert(*key);
                }
                self.tables.set(*key, after);
            }
            self.tables.settled();
            steps.retain(|_, step| step.durable);
            let mut held = Vec::with_capacity(decided.len());
            for (command, touched) in decided {
                if touched.iter().any(|key| steps.contains_key(key)) {
                    held.push(command);
                } else {
                    self.leave(command, now);
                }
            }
            if commits {
                self.commit_batch(held, steps, along, now);
            }
        }
    }

    /// Hands the changes of a batch to the store: those that answers wait for, the lazy ones that go along, lazy changes of
    /// earlier batches, and records whose last commit failed.
    fn commit_batch(
        &mut self,
        commands: Vec<Box<dyn Command>>,
        steps: Steps,
        mut along: Vec<(RecordKey, Option<Stored>)>,
        now: Timestamp,
    ) {
        let Self { tables, lazy, unsettled, .. } = self;
        let earlier = lazy.drain(..lazy.len().min(MOST_EXTRA)).filter(|key| !steps.contains_key(key));
        along.extend(earlier.map(|key| (key, tables.stored(&key))));
        let failed = unsettled.iter().filter(|key| !steps.contains_key(*key)).take(MOST_EXTRA);
        along.extend(failed.map(|key| (*key, tables.stored(key))));
        if self.settling == Settling::Wanted && self.lazy.is_empty() {
            self.settling = Settling::InFlight;
        }
        let extra = along.iter().map(|(key, _)| *key).collect();
        let changed = steps.iter().map(|(key, step)| (*key, step.after()));
        let write = |(key, stored): (RecordKey, Option<Stored>)| Write {
            key,
            expires: stored.as_ref().map_or(now, |stored| stored.expires),
            put: stored.map(|stored| stored.bytes),
        };
        self.commit = Some(changed.chain(along).map(write).collect());
        self.in_flight = Some(Batch { commands, steps, extra, began: now, given_up: false });
    }

    /// The commands that were decided, in order, each with the records that its answer rests on.
    fn decide_waiting(
        &mut self,
        steps: &mut Steps,
        now: Timestamp,
    ) -> Vec<(Box<dyn Command>, Vec<RecordKey>)> {
        let mut queue = VecDeque::from(std::mem::take(&mut self.waiting));
        let mut decided = Vec::with_capacity(queue.len());
        while let Some(mut command) = queue.pop_front() {
            let subject = command.subject();
            let is_report = command.load() == Load::Report;
            let mut touched = Vec::with_capacity(4);
            let Self { tables, rng, parking, .. } = self;
            let slot = subject.slot;
            let view = &mut Transaction { tables, steps, touched: &mut touched, slot, now, rng };
            if !is_report && parking.holds(&subject) {
                if command.must_wait(view) {
                    parking.park(command);
                } else {
                    queue.push_front(command);
                    put_first(&mut queue, parking.take(&subject));
                }
                continue;
            }
            let mut decision = command.decide(view);
            if let Decision::Full(kind, refusal) = decision {
                decision = Decision::Refused(refusal);
                if self.tables.sweep_kind(kind, LOOKS_FOR_ROOM, now, |key| steps.contains_key(key)) > 0 {
                    let Self { tables, rng, .. } = self;
                    decision = command.decide(&mut Transaction {
                        tables,
                        steps,
                        touched: &mut touched,
                        slot,
                        now,
                        rng,
                    });
                }
            }
            match decision {
                Decision::Wait => self.parking.park(command),
                Decision::Refused(refusal) | Decision::Full(_, refusal) => self.refuse(command, refusal),
                Decision::Made => {
                    let Self { tables, rng, parking, .. } = self;
                    let view = &mut Transaction { tables, steps, touched: &mut touched, slot, now, rng };
                    let released = is_report && parking.holds(&subject) && !command.must_wait(view);
                    self.require_settled(&touched, steps, now);
                    decided.push((command, touched));
                    if released {
                        put_first(&mut queue, self.parking.take(&subject));
                    }
                }
            }
        }
        decided
    }

    /// An answer that rests on a record of a failed commit waits until that record is written again.
    fn require_settled(&mut self, touched: &[RecordKey], steps: &mut Steps, now: Timestamp) {
        if self.unsettled.is_empty() {
            return;
        }
        self.forget_ended(now);
        for key in touched.iter().filter(|key| self.unsettled.contains(*key)) {
            let step = steps.entry(*key).or_insert_with(|| Step::beginning(self.tables.stored(key)));
            step.durable = true;
        }
    }

    /// A record that has ended in memory has ended on the disk too, whatever state of it is there. One that is not in memory
    /// may still have to be removed from the disk.
    fn forget_ended(&mut self, now: Timestamp) {
        let Self { tables, unsettled, lazy, .. } = self;
        unsettled.retain(|key| tables.stored(key).is_none_or(|stored| now < stored.expires));
        lazy.retain(|key| tables.stored(key).is_none_or(|stored| now < stored.expires));
    }

    fn leave(&mut self, command: Box<dyn Command>, now: Timestamp) {
        let subject = command.subject();
        let mut leaving = Leaving { tables: &self.tables, now, then: Vec::new(), at_gateway: false };
        command.leave(&mut leaving);
        let Leaving { then, at_gateway, .. } = leaving;
        self.loads.unqueue(&subject, !at_gateway);
        for command in then {
            self.loads.add(&*command);
            self.waiting.push(command);
        }
    }

    fn refuse(&mut self, command: Box<dyn Command>, refusal: Refusal) {
        self.loads.unqueue(&command.subject(), true);
        command.refuse(refusal);
    }

    /// Time never runs backwards in here, whatever the clock does.
    fn tick(&mut self, clock: Timestamp) -> Timestamp {
        self.last_seen = self.last_seen.max(clock);
        self.last_seen
    }
}

fn put_first(queue: &mut VecDeque<Box<dyn Command>>, commands: VecDeque<Box<dyn Command>>) {
    for command in commands.into_iter().rev() {
        queue.push_front(command);
    }
}
