//! The state machine of a shard, without the actor. It decides each command at once over memory, and holds what is to be
//! done afterwards until the store has the changes. What the store refuses is undone.
//!
//! Inputs are [`Core::submit`], [`Core::when_durable`], [`Core::sweep`] and [`Core::committed`]. The outputs
//! are [`Core::take_commit`], and the answers and effects of the commands. The module contains no I/O and no clock. Therefore
//! the simulation runs the same code as the server.

use std::collections::VecDeque;
use std::mem::take;
use std::time::Duration;

use indexmap::IndexMap;
use rand::rngs::StdRng;

use super::command::{After, Command, Fate, Load, Loads, Subject, Then};
use super::record::{Hasher, RecordKey};
use super::refusal::Refusal;
use super::tables::{Change, Tables};
use super::transaction::Transaction;
use crate::domain::Timestamp;
use crate::store::{StoreError, StoreLimits, Write};

/// One shard's state.
pub struct Core {
    tables: Tables,
    rng: StdRng,
    settings: ShardSettings,
    limits: StoreLimits,
    loads: Loads,
    /// The decisions that wait for the store, in their order: first those of the batch in flight, then those of the next.
    held: VecDeque<Held>,
    in_flight: Option<InFlight>,
    /// What decisions left to decide.
    queued: VecDeque<Box<dyn Command>>,
    last_seen: Timestamp,
    /// Whether this process certainly owns the records: then memory is what the store has, or will have.
    owns_records: bool,
    /// Whether the store refused the last batch.
    is_refused: bool,
    /// Whether the outcome of a batch is unknown.
    has_failed: bool,
}

/// Limits of a shard.
#[derive(Debug, Clone, Copy)]
pub struct ShardSettings {
    /// Commands of one subject that may wait.
    pub commands_per_subject: usize,
    /// The longest duration of a commit. While one takes longer, commands are answered 503.
    pub commit_timeout: Duration,
}

/// A decision whose changes, or what it has read, may not be durable.
struct Held {
    /// `None` if it is no command's.
    subject: Option<Subject>,
    changes: Vec<Change>,
    /// Whether the store gets the changes. It drops expired records by itself, unless it keeps them.
    is_written: bool,
    then: Then,
}

impl Held {
    fn writes(&self) -> &[Change] {
        if self.is_written { &self.changes } else { &[] }
    }

    fn bytes(&self) -> usize {
        let records = self.writes().iter().filter_map(|change| change.after.as_ref());
        records.map(|stored| stored.bytes.len()).sum()
    }
}

/// The batch that the store is committing.
struct InFlight {
    /// The decisions that it has, or that have read nothing later.
    held: usize,
    began: Timestamp,
}

impl Core {
    /// A shard that owns the records in `tables`.
    pub fn new(tables: Tables, rng: StdRng, settings: ShardSettings, limits: StoreLimits) -> Self {
        Self {
            tables,
            rng,
            settings,
            limits,
            loads: Loads::default(),
            held: VecDeque::new(),
            in_flight: None,
            queued: VecDeque::new(),
            last_seen: Timestamp::EPOCH,
            owns_records: true,
            is_refused: false,
            has_failed: false,
        }
    }

    /// Says whether this process certainly owns the records. While it does not, every command is refused but
    /// settlements, whose changes the store refuses if another process owns the records.
    pub const fn set_owns_records(&mut self, owns_records: bool) {
        self.owns_records = owns_records;
    }

    /// Decides a command.
    pub fn submit(&mut self, command: Box<dyn Command>, clock: Timestamp) {
        let now = self.tick(clock);
        if self.loads.of(&*command) >= self.settings.commands_per_subject {
            return command.refuse(Refusal::NumberBusy);
        }
        self.decide(command, now);
        self.decide_queued(now);
    }

    fn decide_queued(&mut self, now: Timestamp) {
        while let Some(command) = self.queued.pop_front() {
            self.decide(command, now);
        }
    }

    fn decide(&mut self, command: Box<dyn Command>, now: Timestamp) {
        let subject = command.subject();
        self.loads.add(&*command);
        if let Some(refusal) = self.refusal(command.load()) {
            self.loads.unqueue(&subject, true);
            return command.refuse(refusal);
        }
        let mut view = Transaction::new(&mut self.tables, &mut self.rng, subject.slot, now);
        let then = command.decide(&mut view);
        let changes = view.into_changes();
        if let Some(then) = then {
            let held = Held { subject: Some(subject), changes, is_written: true, then };
            if held.bytes() > self.limits.bytes_per_batch {
                // The store would refuse its batch, and with it all that was decided later.
                self.tables.undo(&held.changes);
                return self.end(held, Err(Refusal::StoreUnavailable), now);
            }
            self.hold(held, now);
        } else {
            self.tables.undo(&changes);
            self.loads.unqueue(&subject, true);
        }
    }

    /// Why a command of this load is not decided now.
    fn refusal(&self, load: Load) -> Option<Refusal> {
        // While a checkpoint reads, a change that is undone would end it, and only a checkpoint may make room.
        let is_pointless = self.is_refused && self.tables.is_scanned();
        let is_refused = !self.owns_records || self.is_late() || is_pointless;
        (self.has_failed || (is_refused && load != Load::Settlement)).then_some(Refusal::StoreUnavailable)
    }

    /// Whether the commit in flight takes too long.
    pub fn is_late(&self) -> bool {
        let is_late = |batch: &InFlight| self.last_seen >= batch.began.plus(self.settings.commit_timeout);
        self.in_flight.as_ref().is_some_and(is_late)
    }

    /// Calls `then` when everything that was decided before is durable, or has failed.
    pub fn when_durable(&mut self, then: impl FnOnce(Fate) + Send + 'static, clock: Timestamp) {
        let now = self.tick(clock);
        if let Some(refusal) = self.refusal(Load::Unbounded) {
            return then(Err(refusal));
        }
        let then = Box::new(move |fate: Fate, _: &mut After<'_>| then(fate));
        self.hold(Held { subject: None, changes: Vec::new(), is_written: false, then }, now);
    }

    fn hold(&mut self, held: Held, now: Timestamp) {
        let has_writes = !held.writes().is_empty();
        if self.held.is_empty() && !has_writes {
            self.tables.tell(&held.changes);
            self.tables.batch_applied();
            return self.end(held, Ok(()), now);
        }
        if let Some(batch) = self.in_flight.as_mut().filter(|batch| batch.held == self.held.len()) {
            batch.held += usize::from(!has_writes);
        }
        self.held.push_back(held);
    }

    fn end(&mut self, Held { subject, then, .. }: Held, fate: Fate, now: Timestamp) {
        let Self { tables, queued, .. } = self;
        let mut after = After { tables, now, queued, at_gateway: false };
        then(fate, &mut after);
        let at_gateway = after.at_gateway;
        if let Some(subject) = subject {
            self.loads.unqueue(&subject, !at_gateway);
        }
    }

    /// The writes to hand to the store, if something waits for it and no batch is in flight.
    pub fn take_commit(&mut self) -> Option<Vec<Write>> {
        if self.in_flight.is_some() || self.held.is_empty() {
            return None;
        }
        let mut writes = IndexMap::<RecordKey, Write, Hasher>::default();
        let (mut held, mut bytes) = (0, 0);
        for decision in &self.held {
            let decided = decision.writes();
            bytes += decision.bytes();
            let is_too_much = writes.len() + decided.len() > self.limits.records_per_batch
                || bytes > self.limits.bytes_per_batch;
            if held > 0 && !decided.is_empty() && is_too_much {
                break;
            }
            held += 1;
            for Change { key, after, .. } in decided {
                let expires = after.as_ref().map_or(self.last_seen, |stored| stored.expires);
                let put = after.as_ref().map(|stored| stored.bytes.clone());
                writes.insert(*key, Write { key: *key, put, expires });
            }
        }
        self.in_flight = Some(InFlight { held, began: self.last_seen });
        Some(writes.into_values().collect())
    }

    /// Whether something waits to be handed to the store.
    pub fn wants_commit(&self) -> bool {
        self.in_flight.is_none() && !self.held.is_empty()
    }

    /// Handles the store's result for the batch in flight.
    pub fn committed(&mut self, result: &Result<(), StoreError>, clock: Timestamp) {
        let now = self.tick(clock);
        let Some(InFlight { held, .. }) = self.in_flight.take() else { return };
        let (ended, fate) = match result {
            Ok(()) => {
                let durable: VecDeque<Held> = self.held.drain(..held).collect();
                for held in &durable {
                    self.tables.tell(&held.changes);
                }
                self.tables.batch_applied();
                (durable, Ok(()))
            }
            // What the disk has is known after the next start.
            Err(StoreError::Unknown(_)) => (take(&mut self.held), Err(Refusal::OutcomeUnknown)),
            // Everything that was decided later rests on what is undone.
            Err(_) => {
                let refused = take(&mut self.held);
                refused.iter().rev().for_each(|held| self.tables.undo(&held.changes));
                self.tables.end_scan();
                (refused, Err(Refusal::StoreUnavailable))
            }
        };
        self.is_refused = fate.is_err();
        self.has_failed |= fate == Err(Refusal::OutcomeUnknown);
        for held in ended {
            self.end(held, fate, now);
        }
        self.decide_queued(now);
    }

    /// The records in memory.
    pub const fn tables(&self) -> &Tables {
        &self.tables
    }

    /// The records in memory, for their indexes and the scan of a checkpoint.
    pub const fn tables_mut(&mut self) -> &mut Tables {
        &mut self.tables
    }

    /// Frees some expired records.
    pub fn sweep(&mut self, looks: usize, clock: Timestamp) {
        let now = self.tick(clock);
        let mut freed = if self.has_failed { Vec::new() } else { self.tables.sweep(looks, now) };
        while !freed.is_empty() {
            let rest = freed.split_off(freed.len().min(self.limits.records_per_batch));
            let changes = std::mem::replace(&mut freed, rest);
            let (is_written, then) = (self.limits.keeps_expired, Box::new(|_, _: &mut After<'_>| ()));
            self.hold(Held { subject: None, changes, is_written, then }, now);
        }
    }

    /// Whether every command has its answer.
    #[cfg(test)]
    pub fn is_idle(&self) -> bool {
        self.loads.is_empty()
    }

    /// Returns the later of `clock` and the last time seen.
    fn tick(&mut self, clock: Timestamp) -> Timestamp {
        self.last_seen = self.last_seen.max(clock);
        self.last_seen
    }
}
