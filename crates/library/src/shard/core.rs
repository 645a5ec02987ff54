//! The state machine of a shard, without the actor. It decides each command at once over memory, and holds what is to be
//! done afterwards until the store has the changes. What the store refuses is undone.
//!
//! Inputs are [`Core::submit`], [`Core::sweep`], [`Core::committed`] and [`Core::set_owns_records`]. The outputs are
//! [`Core::take_commit`], the answers and effects of the commands, and [`Tables::hand_over_due`]. The module contains no
//! I/O and no clock. Therefore the simulation runs the same code as the server.

use std::collections::{HashMap, VecDeque};
use std::mem::take;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rand::rngs::StdRng;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::record::{Id, Refusal};
use super::tables::{Change, Tables, Transaction};
use crate::config::Bounds;
use crate::domain::{ServiceId, Timestamp, record_id};
use crate::engine::SlotHash;
use crate::store::{StoreError, StoreLimits, Write};

/// The unit of ordering and of limits, for example a number. A shard decides the commands of one subject in arrival
/// order, and limits how many of them wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subject {
    /// The slot of every record that the command may read or change.
    pub slot: u8,
    /// Tells subjects of one slot apart.
    pub id: Id,
}

impl Subject {
    /// A record of a service in the slot of its id, in which `subject` says what it is about.
    pub fn of(service: ServiceId, subject: u64, slots: &SlotHash) -> Self {
        let id = record_id(service, subject);
        Self { slot: slots.of(id), id }
    }

    /// A slot itself.
    pub(super) const fn of_slot(slot: u8) -> Self {
        Self { slot, id: [0; 12] }
    }

    /// The record of a name, in no service.
    pub fn of_name(name: &impl Serialize, slots: &SlotHash) -> Self {
        Self::of(ServiceId::DEFAULT, name_digest(name), slots)
    }
}

/// The first 8 bytes of the SHA-256 of a name.
pub fn name_digest(name: &impl Serialize) -> u64 {
    #[expect(clippy::expect_used, reason = "postcard can describe a name")]
    let bytes = postcard::to_extend(name, Vec::new()).expect("a name in memory");
    Sha256::digest(&bytes).iter().take(8).fold(0, |all, byte| all << 8 | u64::from(*byte))
}

/// Whether what a decision wrote is durable.
pub type Fate = Result<(), Refusal>;

/// What a decision leaves to do, with either fate: the answer, and further effects. It sees the records as they are then,
/// which may not be durable. A command that it returns is decided ahead of all later ones.
pub type Then = Box<dyn FnOnce(Fate, &Transaction<'_>) -> Option<Command> + Send>;

/// Decides a command, or answers the given refusal. The [`Then`] runs when all that was written or read is durable, or has
/// failed. `None` means that it has answered already; its writes are undone.
pub type Decide = Box<dyn FnOnce(Result<&mut Transaction<'_>, Refusal>) -> Option<Then> + Send>;

/// A request to a shard.
pub struct Command {
    /// The subject of all records that it reads or changes.
    pub subject: Subject,
    /// When it is refused.
    pub admit: Admission,
    /// What it does.
    pub decide: Decide,
}

/// When a command is refused before it is decided, but for an unknown outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// While the store hangs or this process may not own the records.
    Unbounded,
    /// Also if too many commands of its subject wait for the store.
    Bounded,
    /// Never: it delivers the result of an earlier command, and what a gateway has done cannot be refused.
    Settlement,
}

/// One shard's state.
pub struct Core {
    pub(super) tables: Tables,
    rng: StdRng,
    bounds: Bounds,
    limits: StoreLimits,
    /// The bounded commands that wait for the store. Hashed with a random seed, and faster than by the standard library.
    waiting: HashMap<Subject, usize, hashbrown::DefaultHashBuilder>,
    /// The decisions that wait for the store, in their order: first those of the batch in flight, then those of the next.
    held: VecDeque<Held>,
    in_flight: Option<InFlight>,
    /// The decisions with changes so far, without those that were undone, and how many of them are durable.
    written: u64,
    durable: u64,
    last_seen: Timestamp,
    /// Whether this process certainly owns the records: then memory is what the store has, or will have.
    owns_records: bool,
    /// Whether the outcome of a batch is unknown.
    has_failed: bool,
}

/// A decision whose changes, or what it has read, may not be durable.
struct Held {
    subject: Subject,
    is_bounded: bool,
    changes: Vec<Change>,
    /// The last decision with changes that it has seen, its own among them.
    rests_on: u64,
    then: Then,
}

impl Held {
    fn bytes(&self) -> usize {
        let records = self.changes.iter().filter_map(|change| change.after.as_ref());
        records.map(|stored| stored.bytes.len()).sum()
    }

    /// The kind and the bytes of the longest record, or the bytes of all, if the store takes less.
    fn too_large_for(&self, limits: &StoreLimits) -> Option<(u8, usize)> {
        let length = |change: &Change| change.after.as_ref().map_or(0, |stored| stored.bytes.len());
        let longest = self.changes.iter().max_by_key(|change| length(change))?;
        let (kind, in_all) = (longest.key.kind, self.bytes());
        if length(longest) > limits.bytes_per_record {
            return Some((kind, length(longest)));
        }
        (in_all > limits.bytes_per_batch).then_some((kind, in_all))
    }
}

/// The batch that the store is committing.
struct InFlight {
    /// The decisions that it has, or that have read nothing later.
    held: usize,
    /// [`Held::rests_on`] of the last one.
    covers: u64,
    began: Timestamp,
}

impl Core {
    /// A shard that owns the records in `tables`.
    pub fn new(tables: Tables, rng: StdRng, bounds: Bounds, limits: StoreLimits) -> Self {
        Self {
            tables,
            rng,
            bounds,
            limits,
            waiting: HashMap::default(),
            held: VecDeque::new(),
            in_flight: None,
            written: 0,
            durable: 0,
            last_seen: Timestamp::EPOCH,
            owns_records: true,
            has_failed: false,
        }
    }

    /// Says whether this process certainly owns the records. While it does not, every command is refused but
    /// settlements, whose changes the store refuses if another process owns the records.
    pub const fn set_owns_records(&mut self, owns_records: bool) {
        self.owns_records = owns_records;
    }

    /// Decides a command.
    pub fn submit(&mut self, command: Command, clock: Timestamp) {
        let now = self.tick(clock);
        let mut next = Some(command);
        while let Some(command) = next {
            next = self.decide(command, now);
        }
    }

    /// Returns what the decision left to decide, if it is durable already.
    fn decide(&mut self, Command { subject, admit, decide }: Command, now: Timestamp) -> Option<Command> {
        let is_bounded = admit == Admission::Bounded;
        let waiting = self.waiting.get(&subject).copied().unwrap_or_default();
        let is_busy = is_bounded && waiting >= self.bounds.commands_per_number;
        if let Some(refusal) = is_busy.then_some(Refusal::NumberBusy).or_else(|| self.refusal(admit)) {
            decide(Err(refusal));
            return None;
        }
        let mut view = Transaction::new(&mut self.tables, &mut self.rng, subject.slot, now);
        // A decision that panics is undone, and its command has no answer.
        let then = catch_unwind(AssertUnwindSafe(|| decide(Ok(&mut view)))).ok().flatten();
        let changes = view.changes;
        let Some(then) = then else {
            self.tables.undo(&changes);
            return None;
        };
        if is_bounded {
            self.waiting.insert(subject, waiting + 1);
        }
        let rests_on = self.written + u64::from(!changes.is_empty());
        let held = Held { subject, is_bounded, changes, rests_on, then };
        if let Some((kind, bytes)) = held.too_large_for(&self.limits) {
            // The store would refuse its batch, and with it all that was decided with it and later.
            tracing::error!(kind, bytes, "decision refused, its records are too large");
            self.tables.undo(&held.changes);
            return self.end(held, Err(Refusal::TooLarge), now);
        }
        self.hold(held, now)
    }

    /// Why a command is not decided now.
    fn refusal(&self, admit: Admission) -> Option<Refusal> {
        let takes_too_long =
            |batch: &InFlight| self.last_seen >= batch.began.plus(self.bounds.commit_timeout);
        let is_refused = !self.owns_records || self.in_flight.as_ref().is_some_and(takes_too_long);
        (self.has_failed || (is_refused && admit != Admission::Settlement))
            .then_some(Refusal::StoreUnavailable)
    }

    fn hold(&mut self, held: Held, now: Timestamp) -> Option<Command> {
        let has_writes = !held.changes.is_empty();
        self.written = held.rests_on;
        if self.held.is_empty() && !has_writes {
            return self.end(held, Ok(()), now);
        }
        if let Some(batch) = self.in_flight.as_mut().filter(|batch| batch.held == self.held.len()) {
            batch.held += usize::from(!has_writes);
        }
        self.held.push_back(held);
        None
    }

    fn end(
        &mut self,
        Held { subject, is_bounded, rests_on, then, .. }: Held,
        fate: Fate,
        now: Timestamp,
    ) -> Option<Command> {
        if cfg!(any(debug_assertions, feature = "testing")) {
            assert!(
                fate.is_err() || rests_on <= self.durable,
                "an answer leaves before its decision is durable"
            );
        }
        if is_bounded && let Some(waiting) = self.waiting.get_mut(&subject) {
            *waiting -= 1;
            if *waiting == 0 {
                self.waiting.remove(&subject);
            }
        }
        let view = Transaction::new(&mut self.tables, &mut self.rng, subject.slot, now);
        catch_unwind(AssertUnwindSafe(|| then(fate, &view))).ok().flatten()
    }

    /// The writes to hand to the store, if something waits for it and no batch is in flight.
    pub fn take_commit(&mut self) -> Option<Vec<Write>> {
        if !self.wants_commit() {
            return None;
        }
        let (mut writes, mut held, mut bytes, mut covers) = (Vec::new(), 0, 0, self.durable);
        for decision in &self.held {
            let decided = &decision.changes;
            bytes += decision.bytes();
            let is_too_much = writes.len() + decided.len() > self.limits.records_per_batch
                || bytes > self.limits.bytes_per_batch;
            if held > 0 && !decided.is_empty() && is_too_much {
                break;
            }
            (held, covers) = (held + 1, decision.rests_on);
            for Change { key, after, .. } in decided {
                let expires = after.as_ref().map_or(self.last_seen, |stored| stored.expires);
                let put = after.as_ref().map(|stored| stored.bytes.clone());
                writes.push(Write { key: *key, put, expires });
            }
        }
        self.in_flight = Some(InFlight { held, covers, began: self.last_seen });
        Some(writes)
    }

    /// Whether something waits to be handed to the store.
    pub fn wants_commit(&self) -> bool {
        self.in_flight.is_none() && !self.held.is_empty()
    }

    /// Handles the store's result for the batch in flight.
    pub fn committed(&mut self, result: &Result<(), StoreError>, clock: Timestamp) {
        let now = self.tick(clock);
        let Some(InFlight { held, covers, .. }) = self.in_flight.take() else { return };
        let (ended, fate) = match result {
            Ok(()) => {
                let durable: VecDeque<Held> = self.held.drain(..held).collect();
                for held in &durable {
                    self.tables.tell(&held.changes);
                }
                self.durable = covers;
                (durable, Ok(()))
            }
            // What the disk has is known after the next start.
            Err(StoreError::Unknown(_)) => (take(&mut self.held), Err(Refusal::OutcomeUnknown)),
            // Everything that was decided later rests on what is undone.
            Err(_) => {
                let refused = take(&mut self.held);
                refused.iter().rev().for_each(|held| self.tables.undo(&held.changes));
                self.written = self.durable;
                (refused, Err(Refusal::StoreUnavailable))
            }
        };
        self.has_failed |= fate == Err(Refusal::OutcomeUnknown);
        let further: Vec<_> = ended.into_iter().filter_map(|held| self.end(held, fate, now)).collect();
        for command in further {
            self.submit(command, now);
        }
    }

    /// The records in memory.
    pub const fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Frees some expired records, and forgets some that lists have too many of.
    pub fn sweep(&mut self, looks: usize, clock: Timestamp) {
        let now = self.tick(clock);
        if self.refusal(Admission::Unbounded).is_some() {
            return;
        }
        // A store that keeps ended records gets each deletion, and clients wait behind them: beside what is held already they are
        // one batch at most.
        let most = self.limits.records_per_batch;
        let is_behind = || self.held.iter().map(|held| held.changes.len()).sum::<usize>() >= most;
        if self.limits.keeps_expired && is_behind() {
            return;
        }
        let looks = if self.limits.keeps_expired { looks.min(most) } else { looks };
        let mut gone = self.tables.sweep(looks, now);
        if !self.limits.keeps_expired && self.held.is_empty() {
            // The store drops them by itself, and no earlier change of them is still to be told.
            self.tables.tell(&take(&mut gone));
        }
        gone.extend(self.tables.forget(now));
        for changes in gone.chunks(self.limits.records_per_batch) {
            let (changes, then): (_, Then) = (changes.to_vec(), Box::new(|_, _| None));
            let (subject, rests_on) = (Subject::of_slot(0), self.written + 1);
            self.hold(Held { subject, is_bounded: false, changes, rests_on, then }, now);
        }
    }

    /// Returns the later of `clock` and the last time seen.
    fn tick(&mut self, clock: Timestamp) -> Timestamp {
        self.last_seen = self.last_seen.max(clock);
        self.last_seen
    }
}
