//! The shard without its actor: which command is decided when, and when its answer may leave.
//!
//! Inputs are [`Core::submit`], [`Core::committed`] and [`Core::sweep`]; what is to be done comes out of
//! [`Core::take_commit`], [`Core::take_dispatches`], [`Core::take_asks`] and [`Core::take_notes`]. There is
//! no I/O and no clock in here, so a simulation drives the same code that serves.

mod batch;
mod gather;
mod leave;
mod load;
mod parking;

use std::collections::HashSet;
use std::time::Duration;

use indexmap::IndexSet;

use super::command::{Ask, CheckNote, Command, CommandKind, Dispatch, NumberKey};
use super::decide::{Decision, Judge};
use super::record;
use super::room::Reserved;
use super::table::{Entry, Table};
use super::{Facts, Refusal};
use crate::domain::Timestamp;
use crate::engine::{NumberState, Salt, Verification};
use crate::store::{Outcome, Revision, StoreError, Write};

use batch::{Batch, Step};
use gather::Gathering;
use load::Loads;
use parking::Parking;

/// Numbers that are looked at for one whose record has ended before a new one is refused: little work for a
/// flood, and the places of a table full of ended records come free as fast as they are asked for.
const LOOK_FOR_ROOM: usize = 32;

/// How often a command is decided again because another writer of the store came first.
const MAX_CONFLICTS: u8 = 4;

/// One shard's state.
pub struct Core {
    table: Table,
    judge: Judge,
    commands_per_number: usize,
    waiting: Vec<Command>,
    in_flight: Option<Batch>,
    gathering: Gathering,
    loads: Loads,
    /// Commands that wait for a check of their number that is being asked.
    parking: Parking,
    /// Numbers whose last write failed: memory is stricter than the disk may be. Their next
    /// command writes them again before it is answered.
    unsettled: HashSet<NumberKey>,
    last_seen: Timestamp,
    commit: Option<Vec<Write>>,
    dispatches: Vec<Dispatch>,
    asks: Vec<Ask>,
    notes: Vec<CheckNote>,
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
            gathering: Gathering::default(),
            loads: Loads::default(),
            parking: Parking::default(),
            unsettled: HashSet::new(),
            last_seen: Timestamp::EPOCH,
            commit: None,
            dispatches: Vec::new(),
            asks: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Takes a command in. It is decided at once, or with the next batch.
    pub fn submit(&mut self, mut command: Command, clock: Timestamp) {
        let now = self.tick(clock);
        if !command.is_a_report() && self.loads.of(&command) >= self.commands_per_number {
            leave::refuse(command.kind, Refusal::NumberBusy);
            return;
        }
        if self.has_no_room_for(&command, now) {
            leave::refuse(command.kind, Refusal::TooManyNumbers);
            return;
        }
        let alone = self.loads.add(&command);
        if (self.in_flight.is_some() || self.gathering.is_on())
            && alone
            && self.rests_on_durable_state(&command, now)
        {
            let key = command.key;
            let state = self.table.entry(&key).state;
            match self.judge.decide(&mut command, state, now) {
                Decision::Made(..) => self.finish(command, now),
                Decision::Busy => self.waiting.push(command),
            }
        } else {
            self.waiting.push(command);
            self.begin_batch(now);
        }
    }

    /// Whether a new number would have to be remembered and cannot. Said before the command waits for the
    /// commit in flight; the place itself is taken when it is decided. A number of which a command is
    /// under way may have a place reserved in that commit.
    fn has_no_room_for(&mut self, command: &Command, now: Timestamp) -> bool {
        self.table.room().is_full()
            && command.remembers_a_new_number()
            && self.loads.none_of(&command.key)
            && !self.table.holds(&command.key)
            && (!self.free_some(now) || self.table.room().is_full())
            && self.table.room().refuses()
    }

    /// Frees ended numbers of this shard, if a few looks find any.
    fn free_some(&mut self, now: Timestamp) -> bool {
        let freed = self.table.sweep(LOOK_FOR_ROOM, now, |key| {
            self.unsettled.remove(key);
        });
        freed > 0
    }

    /// Whether the command is certain to write nothing, and its answer rests on what is durable:
    /// a locked number's refusals, and what nothing can come of for a number that never asked.
    fn rests_on_durable_state(&self, command: &Command, now: Timestamp) -> bool {
        // An end may write whatever is known, a lockout's too.
        if command.is_a_report() || matches!(command.kind, CommandKind::End(_)) {
            return false;
        }
        let writes_nothing = match self.table.entry(&command.key).state.at(now) {
            NumberState::Locked { .. } => true,
            NumberState::Fresh => !matches!(command.kind, CommandKind::Send(_)),
            NumberState::Open { .. } => false,
        };
        writes_nothing && !self.unsettled.contains(&command.key)
    }

    /// The store's word on the batch in flight. `Ok` has one outcome per write, in order.
    pub fn committed(&mut self, result: Result<Vec<Outcome>, StoreError>, clock: Timestamp) {
        let now = self.tick(clock);
        let Some(Batch { commands, written, mut reserved }) = self.in_flight.take() else { return };
        let Ok(outcomes) = result else {
            self.keep_strict(&written, &mut reserved);
            for command in commands {
                self.refuse(command, Refusal::StoreUnavailable);
            }
            self.call_up(now);
            self.begin_batch(now);
            return;
        };
        let conflicted = self.apply(&written, outcomes, &mut reserved);
        drop(reserved);
        if conflicted.is_empty() {
            self.gathering.after(commands.len());
        }
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
        // Commands that lost a race come before those that arrived later, and those that waited for one
        // of them come next.
        for key in &conflicted {
            again.extend(self.parking.take(key));
        }
        again.append(&mut self.waiting);
        self.waiting = again;
        self.begin_batch(now);
    }

    /// From now on a batch may wait a moment for company. Whoever says so asks [`Core::take_wait`] and calls
    /// [`Core::gathered`] when that is over.
    pub const fn may_gather(&mut self) {
        self.gathering.allow();
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

    fn apply(
        &mut self,
        written: &[(NumberKey, Step)],
        outcomes: Vec<Outcome>,
        reserved: &mut Reserved,
    ) -> IndexSet<NumberKey> {
        let mut conflicted = IndexSet::new();
        for ((key, step), outcome) in written.iter().zip(outcomes) {
            match outcome {
                Outcome::Applied(revision) => {
                    self.unsettled.remove(key);
                    self.table.set_reserved(*key, Entry { state: step.state, revision }, reserved);
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

    fn keep_strict(&mut self, written: &[(NumberKey, Step)], reserved: &mut Reserved) {
        for (key, step) in written {
            // Fresh on the strict side means that the disk has nothing of it either that still counts.
            if step.strict == NumberState::Fresh {
                self.unsettled.remove(key);
            } else {
                self.unsettled.insert(*key);
            }
            let entry = Entry { state: step.strict, revision: step.before.revision };
            self.table.set_reserved(*key, entry, reserved);
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

    /// The questions to put to the gateways that hold codes.
    pub fn take_asks(&mut self) -> Vec<Ask> {
        std::mem::take(&mut self.asks)
    }

    /// What the tracker is to be told about verifications.
    pub fn take_notes(&mut self) -> Vec<CheckNote> {
        std::mem::take(&mut self.notes)
    }

    /// Whether a message with the code of `salt` is still worth sending.
    pub fn is_usable(&mut self, key: &NumberKey, salt: &Salt, clock: Timestamp) -> bool {
        let now = self.tick(clock);
        self.carries(key, salt, now)
    }

    /// The verification with this track, while its code can still be used.
    pub fn live_of(&mut self, key: &NumberKey, track: u64, clock: Timestamp) -> Option<Verification> {
        let now = self.tick(clock);
        self.live(key, now).filter(|v| v.salt.track() == track)
    }

    /// The verification that is under way, be an attempt left or not.
    pub fn facts(&mut self, key: &NumberKey, clock: Timestamp) -> Option<Facts> {
        let now = self.tick(clock);
        let policy = self.judge.policies.of(key.service);
        let verification = self.table.entry(key).state.present(&policy, now).verification();
        verification.filter(|v| now < v.expires).map(|v| Facts::of(&v, &policy))
    }

    fn carries(&self, key: &NumberKey, salt: &Salt, now: Timestamp) -> bool {
        self.live(key, now).is_some_and(|v| v.salt == *salt)
    }

    fn live(&self, key: &NumberKey, now: Timestamp) -> Option<Verification> {
        let policy = self.judge.policies.of(key.service);
        self.table.entry(key).state.present(&policy, now).verification().filter(|v| v.is_live(now))
    }

    /// Frees the memory of some numbers whose records have ended, and decides the commands whose wait
    /// for a check has ended without an answer.
    pub fn sweep(&mut self, step: usize, clock: Timestamp) -> usize {
        let now = self.tick(clock);
        // A number in the batch in flight may be freed: the end of the commit sets it anew. So may an
        // unsettled one: what the disk may have of it has ended too.
        let freed = self.table.sweep(step, now, |key| {
            self.unsettled.remove(key);
        });
        self.call_up(now);
        // No batch waits for longer than this, should nobody have called.
        self.gathering.end();
        self.begin_batch(now);
        freed
    }

    /// Lets the commands go on whose number waits for no check, before those that came later.
    fn call_up(&mut self, now: Timestamp) {
        let mut called = self.parking.take_all_but(|key| is_asking(self.table.entry(key).state, now));
        called.append(&mut self.waiting);
        self.waiting = called;
    }

    /// What the number's live code is made from.
    #[cfg(test)]
    pub fn live_salt(&self, key: &NumberKey, now: Timestamp) -> Option<Salt> {
        self.live(key, now).map(|v| v.salt)
    }

    /// Numbers held in memory.
    pub fn numbers(&self) -> usize {
        self.table.numbers()
    }

    /// Engine time never runs backwards, whatever the clock does.
    fn tick(&mut self, clock: Timestamp) -> Timestamp {
        self.last_seen = self.last_seen.max(clock);
        self.last_seen
    }
}

/// Whether a gateway is being asked about a code of the number.
fn is_asking(state: NumberState, now: Timestamp) -> bool {
    state.at(now).verification().is_some_and(|v| v.is_checking(now))
}
