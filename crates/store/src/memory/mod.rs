//! The store for tests and simulations: everything the trait promises, in memory, and everything
//! that can go wrong with a real one, on request.
//!
//! A "restart" is [`MemoryStore::reopen`]: the new store has what was applied, and the old one, like
//! a process that was killed, changes nothing any more, whatever it has in flight.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use super::{BoxFuture, Key, Kind, Outcome, Revision, Store, StoreError, Visitor, Write};
use onceward_core::domain::Timestamp;

/// What goes wrong with one commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is refused, and nothing is applied.
    Unavailable,
    /// It is applied, but the caller does not learn that.
    UnknownApplied,
    /// It is not applied, but the caller does not learn that.
    UnknownNotApplied,
    /// Only the writes whose bit is set in the mask are applied, the first being the lowest bit; the caller
    /// learns nothing. From the 65th on none is.
    Torn(u64),
    /// It waits for the next [`MemoryStore::release`] (or gives up when its time is over, and is
    /// not applied), then goes on as if nothing had been.
    Hang,
    /// Every write of it is answered with a conflict and the present state, and none is applied.
    Conflict,
}

/// One record as [`MemoryStore::snapshot`] shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Which version it is.
    pub revision: Revision,
    /// The record.
    pub record: Bytes,
    /// From when on it no longer matters. This store keeps it nevertheless.
    pub gc_after: Timestamp,
}

/// A store in memory. Clones are handles on the same store.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    /// What survives a restart.
    contents: Arc<Mutex<Contents>>,
    /// Which start this handle belongs to. Older ones are fenced off.
    generation: u64,
    /// What does not survive one.
    control: Arc<Control>,
}

#[derive(Debug, Default)]
struct Contents {
    records: BTreeMap<Key, Kept>,
    last_revision: u64,
    generation: u64,
}

#[derive(Debug)]
struct Control {
    memory_is_authority: bool,
    state: Mutex<State>,
    gate: watch::Sender<Gate>,
}

#[derive(Debug, Default)]
struct State {
    faults: VecDeque<Fault>,
    trouble: Option<String>,
    commits: u64,
    closed: bool,
}

/// Commits pass while it is open. A commit that hangs waits for a release that comes after it.
#[derive(Debug, Clone, Copy, Default)]
struct Gate {
    held: bool,
    releases: u64,
    waiting: usize,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store whose caller's memory is the authority, like the embedded one's.
    pub fn new() -> Self {
        Self::with_contents(Arc::default(), 0, true)
    }

    /// An empty store that others may write to as well, like a cluster's: its caller has to expect
    /// conflicts.
    pub fn shared() -> Self {
        Self::with_contents(Arc::default(), 0, false)
    }

    fn with_contents(contents: Arc<Mutex<Contents>>, generation: u64, memory_is_authority: bool) -> Self {
        let (state, gate) = (Mutex::default(), watch::Sender::new(Gate::default()));
        Self { contents, generation, control: Arc::new(Control { memory_is_authority, state, gate }) }
    }

    /// The next commits that arrive meet these faults, one each, in this order.
    pub fn fail_next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state().faults.extend(faults);
    }

    /// From now on commits wait before they are applied.
    pub fn hold(&self) {
        self.control.gate.send_modify(|gate| gate.held = true);
    }

    /// Lets every commit that waits go on, and those that come later pass.
    pub fn release(&self) {
        self.control.gate.send_modify(|gate| {
            gate.held = false;
            gate.releases += 1;
        });
    }

    /// Returns when at least `commits` commits are waiting, held or hanging.
    pub async fn waiting(&self, commits: usize) {
        let mut gate = self.control.gate.subscribe();
        // The sender lives as long as `self`.
        let _ = gate.wait_for(|gate| gate.waiting >= commits).await;
    }

    /// How many commits have been applied, whether or not their callers learned it.
    pub fn commits(&self) -> u64 {
        self.state().commits
    }

    /// Everything that is durable.
    pub fn snapshot(&self) -> BTreeMap<Key, Kept> {
        self.contents().records.clone()
    }

    /// The store after a crash and a restart: the same contents, no faults, nothing held. Commits
    /// of this handle and its clones that are not applied yet never will be.
    #[must_use]
    pub fn reopen(&self) -> Self {
        let generation = {
            let mut contents = self.contents();
            contents.generation += 1;
            contents.generation
        };
        Self::with_contents(self.contents.clone(), generation, self.control.memory_is_authority)
    }

    /// Waits while the gate is held, and, if `hangs`, for the next release in any case.
    async fn pass(&self, hangs: bool) {
        let mut gate = self.control.gate.subscribe();
        let before = gate.borrow_and_update().releases;
        let open = |gate: &Gate| gate.releases > before || !(gate.held || hangs);
        if open(&gate.borrow()) {
            return;
        }
        let _counted = Counted::at(&self.control.gate);
        // The sender lives as long as `self`.
        let _ = gate.wait_for(open).await;
    }

    async fn commit(&self, writes: &[Write]) -> Result<Vec<Outcome>, StoreError> {
        let fault = {
            let mut state = self.state();
            if state.closed {
                return Err(unavailable("the store is closed"));
            }
            state.faults.pop_front()
        };
        self.pass(fault == Some(Fault::Hang)).await;
        let mut contents = self.contents();
        let mut state = self.state();
        if state.closed || contents.generation != self.generation {
            return Err(unavailable("the store is closed"));
        }
        let answer = match fault {
            Some(Fault::Unavailable) => Err(unavailable("an injected fault")),
            Some(Fault::UnknownNotApplied) => Err(unknown("an injected fault")),
            Some(Fault::Conflict) => {
                let present = |write: &Write| Outcome::Conflict(contents.present(&write.key));
                return Ok(writes.iter().map(present).collect());
            }
            Some(Fault::UnknownApplied) => {
                contents.apply(writes);
                state.commits += 1;
                Err(unknown("an injected fault"))
            }
            Some(Fault::Torn(mask)) => {
                for write in writes.iter().take(64).enumerate().filter(|(i, _)| mask >> i & 1 == 1) {
                    contents.apply_one(write.1);
                }
                state.commits += 1;
                Err(unknown("an injected fault"))
            }
            Some(Fault::Hang) | None => {
                state.commits += 1;
                Ok(contents.apply(writes))
            }
        };
        state.trouble = answer.as_ref().err().map(ToString::to_string);
        answer
    }

    fn open(&self) -> Result<MutexGuard<'_, Contents>, StoreError> {
        let contents = self.contents();
        if self.state().closed || contents.generation != self.generation {
            return Err(unavailable("the store is closed"));
        }
        Ok(contents)
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.control.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contents {
    fn present(&self, key: &Key) -> Option<(Revision, Bytes)> {
        self.records.get(key).map(|kept| (kept.revision, kept.record.clone()))
    }

    fn apply(&mut self, writes: &[Write]) -> Vec<Outcome> {
        writes.iter().map(|write| self.apply_one(write)).collect()
    }

    fn apply_one(&mut self, write: &Write) -> Outcome {
        let present = self.present(&write.key);
        let revision = present.as_ref().map_or(Revision::ABSENT, |(revision, _)| *revision);
        if revision != write.expect && write.expect != Revision::ANY {
            return Outcome::Conflict(present);
        }
        let Some(record) = write.put.clone() else {
            self.records.remove(&write.key);
            return Outcome::Applied(Revision::ABSENT);
        };
        self.last_revision += 1;
        let revision = Revision(self.last_revision);
        self.records.insert(write.key, Kept { revision, record, gc_after: write.gc_after });
        Outcome::Applied(revision)
    }
}

/// Counts a commit among the waiting ones for as long as it lives.
struct Counted<'a>(&'a watch::Sender<Gate>);

impl<'a> Counted<'a> {
    fn at(gate: &'a watch::Sender<Gate>) -> Self {
        gate.send_modify(|gate| gate.waiting += 1);
        Self(gate)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|gate| gate.waiting -= 1);
    }
}

impl Store for MemoryStore {
    fn load<'a>(
        &'a self,
        keys: &'a [Key],
        _timeout: Duration,
    ) -> BoxFuture<'a, Result<Vec<Option<(Revision, Bytes)>>, StoreError>> {
        Box::pin(async move {
            let contents = self.open()?;
            Ok(keys.iter().map(|key| contents.present(key)).collect())
        })
    }

    fn cas(&self, writes: Vec<Write>, timeout: Duration) -> BoxFuture<'_, Result<Vec<Outcome>, StoreError>> {
        Box::pin(async move {
            let committed = tokio::time::timeout(timeout, self.commit(&writes)).await;
            committed.unwrap_or_else(|_| Err(unknown("no answer in time")))
        })
    }

    fn scan(&self, kind: Kind, mut visit: Visitor) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let records = self.open()?.records.clone();
            for (key, kept) in records.iter().filter(|(key, _)| key.kind == kind) {
                visit(*key, kept.revision, &kept.record);
            }
            Ok(())
        })
    }

    fn memory_is_authority(&self) -> bool {
        self.control.memory_is_authority
    }

    fn health(&self) -> Result<(), String> {
        self.state().trouble.clone().map_or(Ok(()), Err)
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            self.state().closed = true;
            Ok(())
        })
    }
}

fn unavailable(reason: &str) -> StoreError {
    StoreError::Unavailable(reason.into())
}

fn unknown(reason: &str) -> StoreError {
    StoreError::Unknown(reason.into())
}
