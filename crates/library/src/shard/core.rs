//! The state machine of a shard, without the actor. It orders commands, decides them in batches, and answers them once
//! their changes are durable.
//!
//! Inputs are [`Core::submit`], [`Core::committed`], [`Core::batch_delay_ended`], [`Core::sweep`] and [`Core::flush`]. The
//! outputs are [`Core::take_commit`], [`Core::take_wait`] and the commands' own replies and effects. The module contains no
//! I/O and no clock. Therefore the simulation runs the same code as the server.

use std::collections::VecDeque;
use std::time::Duration;

use indexmap::IndexSet;
use rand::rngs::StdRng;

use super::command::{After, AnyCommand, Command, Decided, Load, boxed};
use super::kinds::Kinds;
use super::queue::{BatchDelay, Loads, Parking};
use super::record::{Hasher, Record, RecordKey, Stored};
use super::refusal::{Full, Refusal};
use super::tables::Tables;
use super::transaction::{RecordChanges, RecordHistory, Transaction};
use crate::domain::Timestamp;
use crate::store::{StoreError, StoreLimits, Write};

/// Maximum number of lazy and uncertain records in a batch, besides those that its commands changed.
const MAX_EXTRA_RECORDS: usize = 1_024;

/// Records that the shard examines for expired ones before it refuses a new record: some 5 us.
const SWEEP_BEFORE_REFUSAL: usize = 256;

/// Delay after a failed commit before the shard writes records that no command waits for.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// One shard's state.
pub struct Core {
    tables: Tables,
    kinds: Kinds,
    rng: StdRng,
    settings: ShardSettings,
    waiting: Vec<Box<dyn AnyCommand>>,
    in_flight: Option<Batch>,
    batch_delay: BatchDelay,
    loads: Loads,
    parking: Parking,
    /// Records whose last commit has an unknown outcome. Memory holds the pessimistic state of each. The shard writes them
    /// again before it sends an answer that depends on them.
    uncertain: IndexSet<RecordKey, Hasher>,
    /// Records with lazy changes that no commit has carried yet.
    lazy: IndexSet<RecordKey, Hasher>,
    /// Wait for a commit that leaves no lazy change.
    wanted: Vec<Written>,
    /// Flushes that came while commands waited behind the batch in flight.
    flushes: Vec<Written>,
    retry_at: Timestamp,
    last_seen: Timestamp,
    commit: Option<Vec<Write>>,
    limits: StoreLimits,
    /// Whether this process certainly owns the records: then memory is what the store has.
    owns_records: bool,
}

/// Limits of a shard.
#[derive(Debug, Clone, Copy)]
pub struct ShardSettings {
    /// Commands of one subject that may wait.
    pub commands_per_subject: usize,
    /// The longest duration of a commit. Commands of a longer one are answered 503.
    pub commit_timeout: Duration,
}

/// Called when the lazy changes of a moment are committed; dropped if the store refuses them.
pub type Written = Box<dyn FnOnce() + Send>;

/// The batch that the store is committing.
struct Batch {
    commands: Vec<Box<dyn AnyCommand>>,
    /// The changes that answers wait for.
    changes: RecordChanges,
    /// Lazy and uncertain records whose present states are in the same commit.
    extra: Vec<RecordKey>,
    written: Vec<Written>,
    began: Timestamp,
    /// Whether the commit took too long, and its commands have been refused.
    given_up: bool,
}

impl Core {
    /// A shard that owns the records in `tables`.
    pub fn new(
        tables: Tables,
        kinds: Kinds,
        rng: StdRng,
        settings: ShardSettings,
        limits: StoreLimits,
    ) -> Self {
        Self {
            tables,
            kinds,
            rng,
            settings,
            waiting: Vec::new(),
            in_flight: None,
            batch_delay: BatchDelay::default(),
            loads: Loads::default(),
            parking: Parking::default(),
            uncertain: IndexSet::default(),
            lazy: IndexSet::default(),
            wanted: Vec::new(),
            flushes: Vec::new(),
            retry_at: Timestamp::EPOCH,
            last_seen: Timestamp::EPOCH,
            commit: None,
            limits,
            owns_records: true,
        }
    }

    /// Says whether this process certainly owns the records. While it does not, every command is refused but
    /// settlements, whose changes the store refuses if another process owns the records.
    pub const fn set_owns_records(&mut self, owns_records: bool) {
        self.owns_records = owns_records;
    }

    /// Accepts a command. The shard decides it at once or with the next batch.
    pub fn submit(&mut self, command: impl Command, clock: Timestamp) {
        self.submit_all(vec![boxed(command)], clock);
    }

    /// Accepts commands that came together.
    pub fn submit_all(&mut self, commands: Vec<Box<dyn AnyCommand>>, clock: Timestamp) {
        let now = self.tick(clock);
        for command in commands {
            self.enqueue(command, now);
        }
        self.begin_batch(now);
    }

    fn enqueue(&mut self, mut command: Box<dyn AnyCommand>, now: Timestamp) {
        if self.loads.of(&*command) >= self.settings.commands_per_subject {
            return command.refuse(Refusal::NumberBusy);
        }
        let alone = self.loads.add(&*command);
        let waits = self.in_flight.is_some() || self.batch_delay.is_waiting(self.waiting.len());
        if self.must_refuse(&*command) {
            return self.refuse(command, Refusal::StoreUnavailable);
        }
        let may_be_refused = command.load() != Load::Settlement;
        // A command may go before the next batch only if no other one about its subject waits: they keep their order.
        if waits && alone && (may_be_refused || !self.is_late()) && self.decide_ahead(&mut command, now) {
            return self.perform(command, now);
        }
        if self.is_late() && may_be_refused {
            return self.refuse(command, Refusal::StoreUnavailable);
        }
        self.waiting.push(command);
    }

    /// Whether this process certainly owns the records.
    pub const fn owns_records(&self) -> bool {
        self.owns_records
    }

    fn must_refuse(&self, command: &dyn AnyCommand) -> bool {
        !self.owns_records && command.load() != Load::Settlement
    }

    /// Decides a command without a durable change whose records are not in the batch in flight. Returns whether it did:
    /// otherwise a later decision replaces this one.
    fn decide_ahead(&mut self, command: &mut Box<dyn AnyCommand>, now: Timestamp) -> bool {
        let (mut changes, slot) = (RecordChanges::default(), command.subject().slot);
        let Self { tables, rng, .. } = self;
        let mut view = Transaction::new(tables, rng, &mut changes, slot, now);
        let is_made = command.may_be_lazy(&mut view) && command.decide(&mut view) == Decided::Made(());
        let touched = view.into_touched();
        if !is_made || changes.values().any(|history| history.durable) || self.is_open(&touched) {
            return false;
        }
        for (key, history) in changes.iter().filter(|(_, history)| history.is_changed()) {
            self.lazy.insert(*key);
            self.tables.change(*key, history.before(), history.after());
        }
        self.tables.batch_applied();
        true
    }

    /// Returns `true` if the state of one of these records on disk is unknown: the batch in flight changes it, or the
    /// outcome of its last commit is unknown.
    fn is_open(&self, keys: &[RecordKey]) -> bool {
        let in_flight = |key| self.in_flight.as_ref().is_some_and(|batch| batch.changes.contains_key(key));
        keys.iter().any(|key| self.uncertain.contains(key) || in_flight(key))
    }

    /// Handles the store's result for the batch in flight.
    pub fn committed(&mut self, result: &Result<(), StoreError>, clock: Timestamp) {
        let now = self.tick(clock);
        let Some(Batch { commands, changes, extra, written, given_up, .. }) = self.in_flight.take() else {
            return;
        };
        if result.is_ok() && !given_up {
            for (key, history) in &changes {
                self.uncertain.swap_remove(key);
                self.tables.change(*key, history.before(), history.after());
            }
            for key in &extra {
                self.uncertain.swap_remove(key);
            }
            self.tables.batch_applied();
            for written in written {
                written();
            }
            self.batch_delay.after(commands.len(), self.waiting.len());
            for command in commands {
                self.perform(command, now);
            }
        } else {
            let is_unknown = matches!(result, Ok(()) | Err(StoreError::Unknown(_)));
            self.wanted.clear();
            // What was certainly not applied changes nothing, unless its decision holds at once.
            let held = changes.iter().filter(|(_, history)| is_unknown || history.holds);
            self.merge_failed(held, now);
            // The shard writes the present states of these records again.
            self.lazy.extend(extra.into_iter().filter(|key| !self.uncertain.contains(key)));
            self.retry_at = now.plus(RETRY_AFTER);
            let refusal = if is_unknown { Refusal::OutcomeUnknown } else { Refusal::StoreUnavailable };
            for command in commands {
                self.refuse(command, refusal);
            }
            self.requeue_ready(now);
        }
        self.begin_batch(now);
        if !self.wanted.is_empty() {
            self.commit_extra(now);
        }
        for done in std::mem::take(&mut self.flushes) {
            self.flush(done, now);
        }
    }

    /// Replaces each record of a batch with an unknown outcome by its most pessimistic state, because the shard does not
    /// know which changes reached the disk.
    fn merge_failed<'a>(
        &mut self,
        changes: impl Iterator<Item = (&'a RecordKey, &'a RecordHistory)>,
        now: Timestamp,
    ) {
        for (key, history) in changes {
            let Some(kind) = self.kinds.get(key.kind) else { continue };
            let stored = (kind.merge_pessimistic)(history.states(), now);
            if stored.is_some() || history.is_changed() {
                self.uncertain.insert(*key);
            }
            self.tables.change(*key, history.before(), stored);
        }
        self.tables.batch_applied();
    }

    /// Allows batches to wait for more commands. The caller must then call [`Core::take_wait`] after each input, and
    /// [`Core::batch_delay_ended`] when that time has passed.
    pub const fn enable_batch_delay(&mut self) {
        self.batch_delay.enable();
    }

    /// Notes how long the commit took whose result comes next: the wait before a batch depends on it.
    pub const fn commit_took(&mut self, time: Duration) {
        self.batch_delay.commit_took(time);
    }

    /// Takes the wait before the next batch, if one was set since the last call.
    pub const fn take_wait(&mut self) -> Option<Duration> {
        self.batch_delay.take()
    }

    /// Handles the end of the wait before a batch.
    pub fn batch_delay_ended(&mut self, clock: Timestamp) {
        let now = self.tick(clock);
        self.batch_delay.end();
        self.begin_batch(now);
    }

    /// The writes to hand to the store, if a batch is waiting for it.
    pub const fn take_commit(&mut self) -> Option<Vec<Write>> {
        self.commit.take()
    }

    /// The records in memory: durable ones and lazy changes.
    pub const fn tables(&self) -> &Tables {
        &self.tables
    }

    /// The records in memory, for the scan of a checkpoint.
    pub const fn tables_mut(&mut self) -> &mut Tables {
        &mut self.tables
    }

    /// Commits the changes of commands that wait, and lazy and uncertain records.
    pub fn flush(&mut self, done: Written, clock: Timestamp) {
        let now = self.tick(clock);
        // Commands that wait for others to share a batch may add lazy changes.
        self.batch_delay.end();
        self.begin_batch(now);
        if !self.waiting.is_empty() {
            self.flushes.push(done);
        } else if self.retry_at <= now {
            self.when_written(done);
            self.commit_extra(now);
        }
    }

    /// Calls `done` once all present lazy changes are committed: by the commit in flight, by that of the next batch, or by
    /// that of the next sweep.
    pub fn when_written(&mut self, done: Written) {
        match &mut self.in_flight {
            _ if !(self.lazy.is_empty() && self.uncertain.is_empty()) => self.wanted.push(done),
            Some(batch) => batch.written.push(done),
            None => done(),
        }
    }

    /// Removes these records lazily, unless a change to one is not durable yet or `may_evict` returns `false`. The next
    /// commit carries the removals, and no command waits for them.
    pub fn evict<R: Record>(&mut self, keys: &[RecordKey], may_evict: impl Fn(&R) -> bool) {
        for key in keys {
            let stored = self
                .tables
                .stored(key)
                .filter(|_| !self.lazy.contains(key) && !self.is_open(std::slice::from_ref(key)));
            if stored.as_ref().and_then(Stored::record).is_some_and(|record| may_evict(&record)) {
                self.tables.change(*key, stored.as_ref(), None);
                self.lazy.insert(*key);
            }
        }
        self.tables.batch_applied();
    }

    /// Whether every command has its answer.
    #[cfg(test)]
    pub fn is_idle(&self) -> bool {
        self.loads.is_empty()
    }

    /// Whether the commit in flight has taken too long.
    pub fn is_late(&self) -> bool {
        self.in_flight.as_ref().is_some_and(|batch| batch.given_up)
    }

    /// Frees some expired records, decides parked commands that no longer wait, commits lazy changes, and gives up on a
    /// commit that takes too long. Returns the number of freed records.
    pub fn sweep(&mut self, looks: usize, clock: Timestamp) -> usize {
        let now = self.tick(clock);
        let Self { tables, in_flight, .. } = self;
        let in_flight = in_flight.as_ref().map(|batch| &batch.changes);
        let freed =
            tables.sweep(looks, now, |key| in_flight.is_some_and(|changes| changes.contains_key(key)));
        let swept = freed.len();
        self.remove_expired(freed);
        self.tables.batch_applied();
        self.give_up_late_commit(now);
        self.requeue_ready(now);
        // Ends the wait even if the caller never called `batch_delay_ended`.
        self.batch_delay.end();
        self.begin_batch(now);
        self.commit_extra(now);
        if self.in_flight.is_none() && self.lazy.is_empty() && self.uncertain.is_empty() {
            // The last lazy changes have expired instead.
            for written in std::mem::take(&mut self.wanted) {
                written();
            }
        }
        swept
    }

    /// Handles records that have expired and were freed: removes them from a store that does not drop expired records by
    /// itself. In another store they have expired too, and are not written again.
    fn remove_expired(&mut self, freed: Vec<RecordKey>) {
        if self.limits.keeps_expired {
            return self.lazy.extend(freed);
        }
        for key in freed {
            self.lazy.swap_remove(&key);
            self.uncertain.swap_remove(&key);
        }
    }

    fn give_up_late_commit(&mut self, now: Timestamp) {
        let Some(batch) = &mut self.in_flight else { return };
        if now < batch.began.plus(self.settings.commit_timeout) {
            return;
        }
        batch.given_up = true;
        let late = std::mem::take(&mut batch.commands);
        // What a gateway has done cannot be refused: its settlements wait for the store.
        let (settlements, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|command| command.load() == Load::Settlement);
        self.waiting = settlements;
        for command in late {
            self.refuse(command, Refusal::OutcomeUnknown);
        }
        for command in waiting {
            self.refuse(command, Refusal::StoreUnavailable);
        }
    }

    /// Moves parked commands that can be decided now to the front of the queue.
    fn requeue_ready(&mut self, now: Timestamp) {
        let Self { tables, rng, parking, .. } = self;
        let mut called = parking.take_ready(|command| {
            let (mut changes, slot) = (RecordChanges::default(), command.subject().slot);
            command.decide(&mut Transaction::new(tables, rng, &mut changes, slot, now)) == Decided::Wait
        });
        called.append(&mut self.waiting);
        self.waiting = called;
    }

    /// Decides the waiting commands and prepares a commit if a change must be durable. Answers the commands that need
    /// no commit at once. The next iteration decides the commands that they added.
    fn begin_batch(&mut self, now: Timestamp) {
        while !self.waiting.is_empty()
            && self.in_flight.is_none()
            && !self.batch_delay.is_waiting(self.waiting.len())
        {
            self.batch_delay.end();
            let mut changes = RecordChanges::default();
            let decided = self.decide_waiting(&mut changes, now);
            let commits = changes.values().any(|history| history.durable);
            // Lazy changes apply at once; the commit of their batch carries them.
            let mut carried = Vec::new();
            for (key, history) in changes.iter().filter(|(_, h)| !h.durable && h.is_changed()) {
                let after = history.after();
                if commits {
                    self.lazy.swap_remove(key);
                    carried.push((*key, after.clone()));
                } else {
                    self.lazy.insert(*key);
                }
                self.tables.change(*key, history.before(), after);
            }
            self.tables.batch_applied();
            changes.retain(|_, history| history.durable);
            let mut held = Vec::with_capacity(decided.len());
            for (command, touched) in decided {
                if touched.iter().any(|key| changes.contains_key(key)) {
                    held.push(command);
                } else {
                    self.perform(command, now);
                }
            }
            if commits {
                self.commit_batch(held, changes, carried, now);
            }
        }
    }

    /// Prepares a commit of lazy and uncertain records, if there are any, no batch is in flight, and the last failed
    /// commit is long enough ago.
    fn commit_extra(&mut self, now: Timestamp) {
        let has_extra = !(self.lazy.is_empty() && self.uncertain.is_empty());
        if has_extra && self.in_flight.is_none() && self.retry_at <= now {
            self.commit_batch(Vec::new(), RecordChanges::default(), Vec::new(), now);
        }
    }

    fn commit_batch(
        &mut self,
        commands: Vec<Box<dyn AnyCommand>>,
        changes: RecordChanges,
        mut carried: Vec<(RecordKey, Option<Stored>)>,
        now: Timestamp,
    ) {
        // While commits fail, commands are not delayed by other records.
        let most = if commands.is_empty() || self.retry_at <= now { MAX_EXTRA_RECORDS } else { 0 };
        let room = |records: usize| self.limits.records_per_batch.saturating_sub(records).min(most);
        let Self { tables, lazy, uncertain, .. } = self;
        let drained = lazy.len().min(room(changes.len() + carried.len()));
        let earlier: Vec<RecordKey> = lazy.drain(..drained).collect();
        let unchanged = earlier.iter().filter(|key| !changes.contains_key(*key));
        carried.extend(unchanged.map(|key| (*key, tables.stored(key))));
        // Numbers come before idempotency keys: the answer to a check is never durable without what the check did.
        uncertain.sort_unstable_by_key(|key| key.kind);
        let failed = uncertain
            .iter()
            .filter(|key| !changes.contains_key(*key))
            .take(room(changes.len() + carried.len()));
        carried.extend(failed.map(|key| (*key, tables.stored(key))));
        let written = if lazy.is_empty() { std::mem::take(&mut self.wanted) } else { Vec::new() };
        let mut extra = earlier;
        extra.extend(carried.iter().map(|(key, _)| *key));
        let durable = changes.iter().map(|(key, history)| (*key, history.after()));
        let write = |(key, stored): (RecordKey, Option<Stored>)| Write {
            key,
            expires: stored.as_ref().map_or(now, |stored| stored.expires),
            put: stored.map(|stored| stored.bytes),
        };
        self.commit = Some(durable.chain(carried).map(write).collect());
        self.in_flight = Some(Batch { commands, changes, extra, written, began: now, given_up: false });
    }

    /// The commands that were decided, in order, each with the records that it read or changed.
    fn decide_waiting(
        &mut self,
        changes: &mut RecordChanges,
        now: Timestamp,
    ) -> Vec<(Box<dyn AnyCommand>, Vec<RecordKey>)> {
        let mut queue = VecDeque::from(std::mem::take(&mut self.waiting));
        let mut decided = Vec::with_capacity(queue.len());
        while let Some(mut command) = queue.pop_front() {
            if changes.len() >= self.limits.records_per_batch {
                queue.push_front(command);
                break;
            }
            if self.must_refuse(&*command) {
                self.refuse(command, Refusal::StoreUnavailable);
                continue;
            }
            let subject = command.subject();
            let is_settlement = command.load() == Load::Settlement;
            let Self { tables, rng, parking, .. } = self;
            if !is_settlement && parking.holds(&subject) {
                parking.park(command);
                continue;
            }
            let mut view = Transaction::new(tables, rng, changes, subject.slot, now);
            let mut decision = command.decide(&mut view);
            let mut touched = view.into_touched();
            let freed = match decision {
                Decided::Full(Full { kind, .. }) => {
                    tables.sweep_kind(kind, SWEEP_BEFORE_REFUSAL, now, |key| changes.contains_key(key))
                }
                _ => Vec::new(),
            };
            if !freed.is_empty() {
                let mut view = Transaction::new(tables, rng, changes, subject.slot, now);
                decision = command.decide(&mut view);
                touched = view.into_touched();
                self.remove_expired(freed);
            }
            match decision {
                Decided::Wait => self.parking.park(command),
                Decided::Refused(refusal) => self.refuse(command, refusal),
                Decided::Full(Full { table, .. }) => self.refuse(command, Refusal::TableFull { table }),
                Decided::Made(()) => {
                    self.require_certain(&touched, changes, now);
                    decided.push((command, touched));
                    if is_settlement {
                        for command in self.parking.take(&subject).into_iter().rev() {
                            queue.push_front(command);
                        }
                    }
                }
            }
        }
        // Decided once this batch is committed.
        self.waiting.extend(queue);
        // A change that becomes durable takes along the other changes of each decision that rests on it, and these again.
        let mut pass = || {
            decided.iter().fold(false, |more, (_, touched)| make_durable_together(touched, changes) | more)
        };
        while pass() {}
        decided
    }

    /// An answer about an uncertain record waits until that record is written again. One that has expired in memory has
    /// also expired on the disk.
    fn require_certain(&mut self, touched: &[RecordKey], changes: &mut RecordChanges, now: Timestamp) {
        for key in touched {
            if !self.uncertain.contains(key) {
                continue;
            }
            let stored = self.tables.stored(key);
            if stored.as_ref().is_some_and(|stored| stored.expires <= now) {
                self.uncertain.swap_remove(key);
                continue;
            }
            changes.entry(*key).or_insert_with(|| RecordHistory::beginning(stored)).durable = true;
        }
    }

    fn perform(&mut self, command: Box<dyn AnyCommand>, now: Timestamp) {
        let subject = command.subject();
        let mut after = After { tables: &self.tables, now, queued: Vec::new(), at_gateway: false };
        command.perform(&mut after);
        let After { queued, at_gateway, .. } = after;
        self.loads.unqueue(&subject, !at_gateway);
        for command in queued {
            self.loads.add(&*command);
            self.waiting.push(command);
        }
    }

    fn refuse(&mut self, command: Box<dyn AnyCommand>, refusal: Refusal) {
        self.loads.unqueue(&command.subject(), true);
        command.refuse(refusal);
    }

    /// Returns the later of `clock` and the last time seen.
    fn tick(&mut self, clock: Timestamp) -> Timestamp {
        self.last_seen = self.last_seen.max(clock);
        self.last_seen
    }
}

/// If one change of a decision must be durable, all its changes must: after a failed commit either all of them hold or
/// none. Returns `true` if a change became durable by that.
fn make_durable_together(touched: &[RecordKey], changes: &mut RecordChanges) -> bool {
    if !touched.iter().any(|key| changes.get(key).is_some_and(|history| history.durable)) {
        return false;
    }
    let mut has_more = false;
    for key in touched {
        if let Some(history) = changes.get_mut(key).filter(|history| history.is_changed() && !history.durable)
        {
            history.durable = true;
            has_more = true;
        }
    }
    has_more
}
