//! The shard without its actor: which command is decided when, and when its answer may leave.
//!
//! Inputs are [`Core::submit`] and [`Core::committed`]; what is to be done comes out of
//! [`Core::take_commit`] and [`Core::take_dispatches`]. There is no I/O and no clock in here, so a
//! simulation drives the same code that serves.

use std::collections::{HashMap, HashSet};

use super::command::{
    Command, CommandKind, Dispatch, NumberKey, SendCommand, SendDecision, SendEnd, SettleCommand,
};
use super::decide::{Durability, Judge};
use super::record;
use super::table::{Entry, Table};
use super::{Refusal, SendAnswer};
use crate::domain::Timestamp;
use crate::engine::{self, NumberState, Salt};
use crate::store::{Outcome, Revision, StoreError, Write};

/// How often a command is decided again because another writer of the store came first.
const MAX_CONFLICTS: u8 = 4;

/// One shard's state.
pub struct Core {
    table: Table,
    judge: Judge,
    commands_per_number: usize,
    waiting: Vec<Command>,
    in_flight: Option<Batch>,
    busy: HashMap<NumberKey, Busy>,
    /// Numbers whose last write failed: memory is stricter than the disk may be. Their next
    /// command writes them again before it is answered.
    unsettled: HashSet<NumberKey>,
    last_seen: Timestamp,
    commit: Option<Vec<Write>>,
    dispatches: Vec<Dispatch>,
}

/// Commands whose decisions are on their way to the disk.
struct Batch {
    commands: Vec<Command>,
    /// The written numbers, in the order of the writes.
    written: Vec<(NumberKey, Step)>,
}

/// What a batch does to one number.
#[derive(Clone, Copy)]
struct Step {
    before: Entry,
    state: NumberState,
    /// What to assume if the commit fails.
    strict: NumberState,
    write: bool,
}

/// Commands about one number that are not answered yet.
#[derive(Default, Clone, Copy)]
struct Busy {
    /// All of them, those at the gateway included.
    unanswered: usize,
    /// Those that wait for a decision or a commit.
    queued: usize,
}

impl Core {
    /// A shard that owns what is in `table`.
    pub fn new(table: Table, judge: Judge, commands_per_number: usize) -> Self {
        Self {
            table,
            judge,
            commands_per_number,
            waiting: Vec::new(),
            in_flight: None,
            busy: HashMap::new(),
            unsettled: HashSet::new(),
            last_seen: Timestamp::EPOCH,
            commit: None,
            dispatches: Vec::new(),
        }
    }

    /// Takes a command in. It is decided at once, or with the next batch.
    pub fn submit(&mut self, mut command: Command, clock: Timestamp) {
        let now = self.tick(clock);
        let busy = self.busy.entry(command.key).or_default();
        if !matches!(command.kind, CommandKind::Settle(_)) {
            // Sends at a gateway that hangs fill their own measure, never that of checks.
            let load = match command.kind {
                CommandKind::Check(_) => busy.queued,
                CommandKind::Send(_) | CommandKind::Settle(_) => busy.unanswered,
            };
            if load >= self.commands_per_number {
                refuse(command.kind, Refusal::NumberBusy);
                return;
            }
            busy.unanswered += 1;
        }
        let alone = busy.queued == 0;
        busy.queued += 1;
        if self.in_flight.is_some() && !(alone && self.rests_on_durable_state(&command, now)) {
            self.waiting.push(command);
        } else if self.in_flight.is_some() {
            let state = self.table.entry(&command.key).state;
            self.judge.decide(&mut command, state, now);
            self.finish(command, now);
        } else {
            self.waiting.push(command);
            self.begin_batch(now);
        }
    }

    /// Whether the command is certain to write nothing, and its answer rests on what is durable:
    /// a locked number's refusals, and checks of numbers that never asked.
    fn rests_on_durable_state(&self, command: &Command, now: Timestamp) -> bool {
        let state = match command.kind {
            CommandKind::Settle(_) => return false,
            CommandKind::Send(_) | CommandKind::Check(_) => self.table.entry(&command.key).state.at(now),
        };
        let writes_nothing = match state {
            NumberState::Locked { .. } => true,
            NumberState::Fresh => matches!(command.kind, CommandKind::Check(_)),
            NumberState::Open { .. } => false,
        };
        writes_nothing && !self.unsettled.contains(&command.key)
    }

    /// The store's word on the batch in flight. `Ok` has one outcome per write, in order.
    pub fn committed(&mut self, result: Result<Vec<Outcome>, StoreError>, clock: Timestamp) {
        let now = self.tick(clock);
        let Some(Batch { commands, written }) = self.in_flight.take() else { return };
        let Ok(outcomes) = result else {
            self.keep_strict(&written);
            for command in commands {
                self.refuse(command, Refusal::StoreUnavailable);
            }
            self.begin_batch(now);
            return;
        };
        let conflicted = self.apply(&written, outcomes);
        let mut again = Vec::new();
        for mut command in commands {
            if !conflicted.contains(&command.key) {
                self.finish(command, now);
            } else if command.conflicts < MAX_CONFLICTS {
                command.conflicts += 1;
                again.push(command);
            } else {
                self.refuse(command, Refusal::StoreUnavailable);
            }
        }
        // Commands that lost a race come before those that arrived later.
        again.append(&mut self.waiting);
        self.waiting = again;
        self.begin_batch(now);
    }

    fn apply(&mut self, written: &[(NumberKey, Step)], outcomes: Vec<Outcome>) -> HashSet<NumberKey> {
        let mut conflicted = HashSet::new();
        for ((key, step), outcome) in written.iter().zip(outcomes) {
            match outcome {
                Outcome::Applied(revision) => {
                    self.unsettled.remove(key);
                    self.table.set(*key, Entry { state: step.state, revision });
                }
                Outcome::Conflict(present) => {
                    conflicted.insert(*key);
                    self.adopt(*key, present.as_ref().map(|(revision, bytes)| (*revision, &bytes[..])));
                }
            }
        }
        conflicted
    }

    /// Takes over the state that another writer left. A record that cannot be read is not taken
    /// for a fresh number: the stale revision keeps conflicting until the command is refused.
    fn adopt(&mut self, key: NumberKey, present: Option<(Revision, &[u8])>) {
        let entry = match present.map(|(revision, bytes)| (revision, record::decode(bytes))) {
            None => Entry::UNKNOWN,
            Some((revision, Ok(state))) => Entry { state, revision },
            Some((_, Err(error))) => {
                tracing::error!(number = %key.number, %error, "a record in the store cannot be read");
                return;
            }
        };
        self.unsettled.remove(&key);
        self.table.set(key, entry);
    }

    fn keep_strict(&mut self, written: &[(NumberKey, Step)]) {
        for (key, step) in written {
            // Fresh on the strict side means that the disk has nothing of it either that still counts.
            if step.strict == NumberState::Fresh {
                self.unsettled.remove(key);
            } else {
                self.unsettled.insert(*key);
            }
            self.table.set(*key, Entry { state: step.strict, revision: step.before.revision });
        }
    }

    /// Decides what is waiting, several commands of one number in order, and asks for one write
    /// per changed number.
    fn begin_batch(&mut self, now: Timestamp) {
        if self.waiting.is_empty() || self.in_flight.is_some() {
            return;
        }
        let mut commands = std::mem::take(&mut self.waiting);
        let mut steps: HashMap<NumberKey, Step> = HashMap::with_capacity(commands.len());
        for command in &mut commands {
            let step = steps.entry(command.key).or_insert_with(|| {
                let before = self.table.entry(&command.key);
                let write = self.unsettled.contains(&command.key);
                Step { before, state: before.state, strict: before.state, write }
            });
            let (next, durability) = self.judge.decide(command, step.state, now);
            step.write |= durability == Durability::Required && next != step.state.at(now);
            step.strict = engine::stricter(step.strict.at(now), next);
            step.state = next;
        }
        let mut held = Vec::with_capacity(commands.len());
        for command in commands {
            if steps.get(&command.key).is_some_and(|step| step.write) {
                held.push(command);
            } else {
                self.finish(command, now);
            }
        }
        let mut written = Vec::with_capacity(steps.len());
        let mut writes = Vec::with_capacity(steps.len());
        for (key, step) in steps {
            if step.write {
                writes.push(write_of(key, &step, now));
                written.push((key, step));
            } else if step.state != step.before.state {
                self.table.set(key, Entry { state: step.state, revision: step.before.revision });
            }
        }
        if !writes.is_empty() {
            self.in_flight = Some(Batch { commands: held, written });
            self.commit = Some(writes);
        }
    }

    /// Lets a decision leave: the answer, or the send that it permits.
    fn finish(&mut self, command: Command, now: Timestamp) {
        let key = command.key;
        match command.kind {
            CommandKind::Send(send) => match send.decided {
                Some(SendDecision::Permitted(permit)) if self.carries(&key, &permit.salt, now) => {
                    self.unqueue(key, false);
                    let SendCommand { channel, style, reply, .. } = send;
                    self.dispatches.push(Dispatch { key, permit, channel, style, reply });
                }
                Some(SendDecision::Permitted(permit)) => {
                    // A later command of the same batch made the code useless: nothing is sent.
                    let (end, reply) = (SendEnd::Failed { may_have_been_sent: false }, send.reply);
                    let settle = SettleCommand { permit, end, reply, decided: None };
                    self.waiting.push(Command::new(key, CommandKind::Settle(settle)));
                }
                Some(SendDecision::Locked { remaining }) => {
                    self.unqueue(key, true);
                    send.reply.send(Ok(SendAnswer::Locked { remaining }));
                }
                None => self.unqueue(key, true),
            },
            CommandKind::Check(check) => {
                self.unqueue(key, true);
                check.reply.send(check.decided.ok_or(Refusal::StoreUnavailable));
            }
            CommandKind::Settle(settle) => {
                self.unqueue(key, true);
                settle.reply.send(settle.decided.unwrap_or(Err(Refusal::StoreUnavailable)));
            }
        }
    }

    fn refuse(&mut self, command: Command, refusal: Refusal) {
        self.unqueue(command.key, true);
        refuse(command.kind, refusal);
    }

    fn unqueue(&mut self, key: NumberKey, answered: bool) {
        let Some(busy) = self.busy.get_mut(&key) else { return };
        busy.queued = busy.queued.saturating_sub(1);
        if answered {
            busy.unanswered = busy.unanswered.saturating_sub(1);
        }
        if busy.queued == 0 && busy.unanswered == 0 {
            self.busy.remove(&key);
        }
    }

    /// The writes to hand to the store, if a batch is waiting for it.
    pub fn take_commit(&mut self) -> Option<Vec<Write>> {
        self.commit.take()
    }

    /// The sends to hand to delivery.
    pub fn take_dispatches(&mut self) -> Vec<Dispatch> {
        std::mem::take(&mut self.dispatches)
    }

    /// Whether a message with the code of `salt` is still worth sending.
    pub fn is_usable(&mut self, key: &NumberKey, salt: &Salt, clock: Timestamp) -> bool {
        let now = self.tick(clock);
        self.carries(key, salt, now)
    }

    fn carries(&self, key: &NumberKey, salt: &Salt, now: Timestamp) -> bool {
        let current = self.table.entry(key).state.at(now).verification();
        current.is_some_and(|v| v.salt == *salt && v.is_live(now))
    }

    /// Frees the memory of some numbers whose records have ended.
    pub fn sweep(&mut self, step: usize, clock: Timestamp) -> usize {
        let now = self.tick(clock);
        // A number in the batch in flight may be freed: the end of the commit sets it anew. So may an
        // unsettled one: what the disk may have of it has ended too.
        self.table.sweep(step, now, |key| {
            self.unsettled.remove(key);
        })
    }

    /// Numbers held in memory.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Engine time never runs backwards, whatever the clock does.
    fn tick(&mut self, clock: Timestamp) -> Timestamp {
        self.last_seen = self.last_seen.max(clock);
        self.last_seen
    }
}

fn write_of(key: NumberKey, step: &Step, now: Timestamp) -> Write {
    Write {
        key: record::key_of(key.service, key.number),
        expect: step.before.revision,
        put: record::encode(&step.state),
        gc_after: step.state.ends().unwrap_or(now),
    }
}

fn refuse(kind: CommandKind, refusal: Refusal) {
    match kind {
        CommandKind::Send(send) => send.reply.send(Err(refusal)),
        CommandKind::Check(check) => check.reply.send(Err(refusal)),
        CommandKind::Settle(settle) => settle.reply.send(Err(refusal)),
    }
}
