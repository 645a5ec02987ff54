//! A store in memory that keeps all promises of the trait and injects faults on request.
//!
//! A "restart" is [`FaultyStore::reopen`]: the new store has all applied writes. The old one, like a killed process,
//! changes nothing any more, even if commits are in flight. `done` is called within [`Store::commit`], unless the
//! commit is held or hangs: then within [`FaultyStore::release`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{mpsc, watch};

use crate::domain::Timestamp;
use crate::store::{BoxFuture, Done, Key, Owner, Store, StoreError, StoreLimits, Visitor, Write};

/// The fault of one commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreFault {
    /// It is refused, and nothing is applied.
    Unavailable,
    /// The write is applied, but the caller does not learn that.
    UnknownApplied,
    /// The write is not applied, but the caller does not learn that.
    UnknownNotApplied,
    /// It hangs until the next [`FaultyStore::release`] and then succeeds. Later commits overtake it.
    Hang,
}

/// Why it has failed for good. Unlike a real store it commits, owns and closes as before: shards must refuse by themselves.
const FAILED: &str = "the outcome of a commit is unknown";

/// One record as [`FaultyStore::snapshot`] shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// With its version.
    pub record: Bytes,
    /// From then on it no longer matters. This store keeps it nevertheless.
    pub expires: Timestamp,
}

/// A store in memory, empty at first. Clones are handles on the same store.
#[derive(Clone, Default)]
pub struct FaultyStore {
    /// The state that survives a restart.
    contents: Arc<Mutex<Contents>>,
    /// Generation of this handle. Handles of older generations can no longer write.
    generation: u64,
    /// The state that does not survive one.
    control: Arc<MemoryControl>,
}

#[derive(Default)]
struct Contents {
    records: BTreeMap<Key, Kept>,
    generation: u64,
}

#[derive(Default)]
struct MemoryControl {
    state: Mutex<MemoryState>,
    /// The number of commits that wait.
    waiting: watch::Sender<usize>,
    /// Whether the outcome of a commit is unknown.
    has_failed: watch::Sender<bool>,
    has_lost_records: AtomicBool,
}

#[derive(Default)]
struct MemoryState {
    faults: VecDeque<StoreFault>,
    commits: u64,
    largest: usize,
    closed: bool,
    held: bool,
    limits: Option<StoreLimits>,
    waiting: VecDeque<(Vec<Write>, Option<StoreFault>, Done)>,
    owner: Option<Owner>,
}

impl FaultyStore {
    /// The next commits meet these faults, one each, in this order.
    pub fn fail_next(&self, faults: impl IntoIterator<Item = StoreFault>) {
        self.control.state.lock().faults.extend(faults);
    }

    /// From now on asks this of the owners.
    pub fn limit(&self, limits: StoreLimits) {
        self.control.state.lock().limits = Some(limits);
    }

    /// Sets what [`owns_records`](Store::owns_records) returns.
    pub fn set_owns_records(&self, owns: bool) {
        self.control.has_lost_records.store(!owns, Ordering::Relaxed);
    }

    /// Makes later commits wait before they are applied.
    pub fn hold(&self) {
        self.control.state.lock().held = true;
    }

    /// Commits that are held meet this fault.
    pub fn fail_held(&self, fault: StoreFault) {
        self.control.state.lock().waiting.iter_mut().for_each(|(_, of, _)| *of = Some(fault));
    }

    /// Lets the waiting commits continue in their order, and later ones pass.
    pub fn release(&self) {
        self.control.state.lock().held = false;
        loop {
            let next = self.control.state.lock().waiting.pop_front();
            let Some((writes, fault, done)) = next else { break };
            self.control.waiting.send_modify(|waiting| *waiting -= 1);
            done(self.apply(&writes, fault));
        }
    }

    /// Returns when at least `commits` commits are waiting, held or hanging.
    pub async fn waiting(&self, commits: usize) {
        let mut waiting = self.control.waiting.subscribe();
        // The sender lives as long as `self`.
        let _ = waiting.wait_for(|waiting| *waiting >= commits).await;
    }

    /// The number of applied commits, whether or not their callers learned it.
    pub fn commits(&self) -> u64 {
        self.control.state.lock().commits
    }

    /// All durable records.
    pub fn snapshot(&self) -> BTreeMap<Key, Kept> {
        self.contents.lock().records.clone()
    }

    /// Makes a checkpoint. Returns the records that the owner gives to it; `None` unless it gives all.
    pub async fn checkpoint(&self) -> Option<BTreeMap<Key, Kept>> {
        let (stream, mut slices) = mpsc::channel(16);
        self.control.state.lock().owner.as_ref()?(stream);
        let mut all = BTreeMap::new();
        while let Some(slice) = slices.recv().await? {
            let kept = |Write { key, put, expires }| Some((key, Kept { record: put?, expires }));
            all.extend(slice.into_iter().filter_map(kept));
        }
        Some(all)
    }

    /// The store after a crash and a restart: the same contents, no faults, nothing held. Commits
    /// of this handle and its clones that are not applied yet never will be.
    #[must_use]
    pub fn reopen(&self) -> Self {
        let generation = {
            let mut contents = self.contents.lock();
            contents.generation += 1;
            contents.generation
        };
        Self { contents: self.contents.clone(), generation, control: Arc::default() }
    }

    /// The records of the largest commit.
    pub fn largest_commit(&self) -> usize {
        self.control.state.lock().largest
    }

    fn apply(&self, writes: &[Write], fault: Option<StoreFault>) -> Result<(), StoreError> {
        let mut contents = self.contents.lock();
        let mut state = self.control.state.lock();
        if state.closed || contents.generation != self.generation {
            return Err(StoreError::Closed);
        }
        state.largest = state.largest.max(writes.len());
        let unknown = || {
            self.control.has_failed.send_replace(true);
            Err(StoreError::Unknown("an injected fault".into()))
        };
        let (is_applied, answer) = match fault {
            Some(StoreFault::Unavailable) => {
                (false, Err(StoreError::Unavailable("an injected fault".into())))
            }
            Some(StoreFault::UnknownNotApplied) => (false, unknown()),
            Some(StoreFault::UnknownApplied) => (true, unknown()),
            Some(StoreFault::Hang) | None => (true, Ok(())),
        };
        writes.iter().filter(|_| is_applied).for_each(|write| contents.apply(write));
        state.commits += u64::from(is_applied);
        answer
    }

    fn open(&self) -> Result<MutexGuard<'_, Contents>, StoreError> {
        let contents = self.contents.lock();
        if self.control.state.lock().closed || contents.generation != self.generation {
            return Err(StoreError::Closed);
        }
        Ok(contents)
    }
}

impl Contents {
    fn apply(&mut self, write: &Write) {
        match write.put.clone() {
            Some(record) => drop(self.records.insert(write.key, Kept { record, expires: write.expires })),
            None => drop(self.records.remove(&write.key)),
        }
    }
}

impl Store for FaultyStore {
    fn commit(&self, writes: Vec<Write>, done: Done) {
        let fault = {
            let mut state = self.control.state.lock();
            let fault = state.faults.pop_front();
            if state.held || fault == Some(StoreFault::Hang) {
                state.waiting.push_back((writes, fault, done));
                drop(state);
                return self.control.waiting.send_modify(|waiting| *waiting += 1);
            }
            fault
        };
        done(self.apply(&writes, fault));
    }

    fn restore(&self, mut visit: Visitor) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let records = self.open()?.records.clone();
            for (key, kept) in &records {
                visit(*key, kept.expires, &kept.record)?;
            }
            Ok(())
        })
    }

    fn attach(&self, owner: Owner) {
        self.control.state.lock().owner = Some(owner);
    }

    fn health(&self) -> Result<(), String> {
        if *self.control.has_failed.borrow() { Err(FAILED.to_owned()) } else { Ok(()) }
    }

    fn failed(&self) -> BoxFuture<'_, String> {
        Box::pin(async {
            let mut has_failed = self.control.has_failed.subscribe();
            // The sender lives as long as `self`.
            let _ = has_failed.wait_for(|has_failed| *has_failed).await;
            FAILED.to_owned()
        })
    }

    fn owns_records(&self) -> bool {
        !self.control.has_lost_records.load(Ordering::Relaxed)
    }

    fn limits(&self) -> StoreLimits {
        self.control.state.lock().limits.unwrap_or(StoreLimits::NONE)
    }

    fn newest_time(&self) -> Timestamp {
        Timestamp::EPOCH
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            self.control.state.lock().closed = true;
            // The owner has no further part in it; and its handle may lead back to this store.
            self.control.state.lock().owner = None;
            Ok(())
        })
    }
}
