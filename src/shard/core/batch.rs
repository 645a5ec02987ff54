//! One batch: several numbers, several commands of each in order, one write per changed number.

use std::collections::VecDeque;

use indexmap::IndexMap;

use super::{Core, is_asking};
use crate::domain::Timestamp;
use crate::engine::{self, NumberState};
use crate::shard::Refusal;
use crate::shard::command::{Command, NumberKey};
use crate::shard::decide::{Decision, Durability};
use crate::shard::record;
use crate::shard::room::Reserved;
use crate::shard::table::Entry;
use crate::store::Write;

/// Commands whose decisions are on their way to the disk.
pub struct Batch {
    pub commands: Vec<Command>,
    /// The written numbers, in the order of the writes.
    pub written: Vec<(NumberKey, Step)>,
    /// The places of the new ones among them.
    pub reserved: Reserved,
}

/// What a batch does to one number.
pub struct Step {
    pub before: Entry,
    pub state: NumberState,
    /// What to assume if the commit fails.
    pub strict: NumberState,
    pub write: bool,
    /// Whether the number has a place: it had one before, or one is reserved for it.
    pub has_place: bool,
}

impl Core {
    /// Decides what is waiting, and asks for a commit if anything has to be durable. Decisions that need
    /// none leave at once; one of them may leave a report behind, which is decided in the next round.
    pub(super) fn begin_batch(&mut self, now: Timestamp) {
        while !self.waiting.is_empty() && self.in_flight.is_none() && !self.gathering.is_on() {
            let mut steps = IndexMap::with_capacity(self.waiting.len());
            let mut reserved = Reserved::nothing_in(self.table.room().clone());
            let commands = self.decide_waiting(&mut steps, &mut reserved, now);
            for (key, step) in &steps {
                if !step.write && step.state != step.before.state {
                    self.table.set(*key, Entry { state: step.state, revision: step.before.revision });
                }
            }
            let mut held = Vec::with_capacity(commands.len());
            for command in commands {
                if steps.get(&command.key).is_some_and(|step| step.write) {
                    held.push(command);
                } else {
                    self.finish(command, now);
                }
            }
            let written: Vec<_> = steps.into_iter().filter(|(_, step)| step.write).collect();
            if !written.is_empty() {
                self.commit = Some(written.iter().map(|(key, step)| write_of(*key, step, now)).collect());
                self.in_flight = Some(Batch { commands: held, written, reserved });
            }
        }
    }

    /// The commands that were decided, in order. The others of their number wait for a check.
    fn decide_waiting(
        &mut self,
        steps: &mut IndexMap<NumberKey, Step>,
        reserved: &mut Reserved,
        now: Timestamp,
    ) -> Vec<Command> {
        let mut queue = VecDeque::from(std::mem::take(&mut self.waiting));
        let mut decided = Vec::with_capacity(queue.len());
        while let Some(mut command) = queue.pop_front() {
            let key = command.key;
            let step = steps.entry(key).or_insert_with(|| {
                let before = self.table.entry(&key);
                let write = self.unsettled.contains(&key);
                if self.table.forget_ended(&key, now) {
                    self.unsettled.remove(&key);
                }
                let has_place = self.table.holds(&key);
                Step { before, state: before.state, strict: before.state, write, has_place }
            });
            let is_a_report = command.is_a_report();
            if !is_a_report && self.parking.holds(&key) {
                if is_asking(step.state, now) {
                    self.parking.park(command);
                } else {
                    queue.push_front(command);
                    put_first(&mut queue, self.parking.take(&key));
                }
                continue;
            }
            if !step.has_place && command.remembers_a_new_number() {
                step.has_place = reserved.reserve() || (self.free_some(now) && reserved.reserve());
                if !step.has_place {
                    self.refuse(command, Refusal::TooManyNumbers);
                    continue;
                }
            }
            match self.judge.decide(&mut command, step.state, now) {
                Decision::Busy => self.parking.park(command),
                Decision::Made(next, durability) => {
                    step.write |= durability == Durability::Required && next != step.state.at(now);
                    step.strict = engine::merge_pessimistic(step.strict.at(now), next, now);
                    step.state = next;
                    decided.push(command);
                    if is_a_report && !is_asking(next, now) {
                        put_first(&mut queue, self.parking.take(&key));
                    }
                }
            }
        }
        decided
    }
}

fn put_first(queue: &mut VecDeque<Command>, commands: VecDeque<Command>) {
    for command in commands.into_iter().rev() {
        queue.push_front(command);
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
