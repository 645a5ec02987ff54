//! From the store into the tables, at the start and when a shard starts again.
//!
//! One thread reads the store and a few others fill the tables, so that ten million numbers take seconds. They are
//! threads of their own: who reads waits for those who fill, and the runtime's threads for such work may all be taken.
//! What is on its way between them is bounded.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Builder, JoinHandle};

use tokio::task::spawn_blocking;

use super::command::NumberKey;
use super::record::{self, StateRecordError};
use super::router::Router;
use super::surroundings::Surroundings;
use super::table::{Entry, Table};
use crate::domain::PhoneNumber;
use crate::store::{Key, Kind, Revision, StoreError};

/// Threads that fill tables. To read takes longer than to fill: more would wait.
const FILLERS: usize = 8;

/// Numbers that are handed over at once, 100 KB of them.
const BATCH: usize = 1024;

/// Batches that may wait for a thread.
const WAITING: usize = 4;

/// Why the shards could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The store failed.
    #[error("the numbers could not be loaded from the store: {0}")]
    Store(#[from] StoreError),
    /// A record makes no sense.
    #[error(
        "a number's record in the store cannot be read: {0}; restore the data directory from a backup, \
         or use the version of onceward that wrote it"
    )]
    Record(#[from] StateRecordError),
    /// The system gave no thread.
    #[error("the system gave no threads to load the numbers with: {0}")]
    Threads(io::Error),
    /// A thread of the start died.
    #[error("the loading of the numbers was interrupted")]
    Interrupted,
}

/// Numbers on their way, each with its table among those of one thread.
type Numbers = Vec<(usize, NumberKey, Entry)>;

/// Reads the store once and sorts its numbers by owner; with `only`, one shard's numbers.
pub async fn fill(around: &Arc<Surroundings>, only: Option<usize>) -> Result<Vec<Table>, LoadError> {
    let shards = around.router.shards();
    let wanted = |shard: &usize| only.is_none_or(|only| only == *shard);
    let owners: Vec<usize> = (0..shards).filter(wanted).collect();
    let expected = usize::try_from(around.store.about(Kind::Number)).unwrap_or(0) / shards;
    let (mut fillers, mut filled) = (Vec::new(), Vec::new());
    for filler in 0..owners.len().min(FILLERS) {
        let tables = owners.iter().skip(filler).step_by(FILLERS);
        let tables: Vec<Table> =
            tables.map(|_| Table::expecting(expected, Arc::clone(&around.room))).collect();
        let (to, from) = sync_channel(WAITING);
        let thread = Builder::new().name("fill".to_owned()).spawn(move || fill_from(tables, &from));
        filled.push(thread.map_err(LoadError::Threads)?);
        fillers.push(Filler { to, waiting: Vec::with_capacity(BATCH) });
    }
    let mut places = vec![None; shards];
    for (index, owner) in owners.iter().enumerate() {
        if let Some(place) = places.get_mut(*owner) {
            *place = Some((index % FILLERS, index / FILLERS));
        }
    }
    let damage = Arc::new(Mutex::new(None));
    let mut sorter =
        Sorter { router: Arc::clone(&around.router), places, fillers, damage: Arc::clone(&damage) };
    let visit = move |key, revision, bytes: &[u8]| sorter.take(key, revision, bytes);
    around.store.scan(Kind::Number, Box::new(visit)).await?;
    // The sorter is gone with the scan, and the threads learn that nothing more comes.
    let filled = spawn_blocking(move || filled.into_iter().map(JoinHandle::join).collect()).await;
    let filled: Vec<thread::Result<Vec<Table>>> = filled.map_err(|_| LoadError::Interrupted)?;
    let mut tables = Vec::with_capacity(filled.len());
    for filled in filled {
        tables.push(filled.map_err(|_| LoadError::Interrupted)?.into_iter());
    }
    if let Some(damage) = damage.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(LoadError::Record(damage));
    }
    // In the order of their owners, as they were handed out.
    let next_of = |index: usize| tables.get_mut(index % FILLERS)?.next();
    (0..owners.len()).map(next_of).collect::<Option<_>>().ok_or(LoadError::Interrupted)
}

fn fill_from(mut tables: Vec<Table>, from: &Receiver<Numbers>) -> Vec<Table> {
    for numbers in from {
        for (table, key, entry) in numbers {
            if let Some(table) = tables.get_mut(table) {
                table.set(key, entry);
            }
        }
    }
    tables
}

/// Sends each number to its owner.
struct Sorter {
    router: Arc<Router>,
    /// For each shard, which of the threads fills its table, and which of that one's tables it is. `None`: its numbers
    /// are not wanted.
    places: Vec<Option<(usize, usize)>>,
    fillers: Vec<Filler>,
    damage: Arc<Mutex<Option<StateRecordError>>>,
}

impl Sorter {
    fn take(&mut self, key: Key, revision: Revision, bytes: &[u8]) {
        let Some(number) = PhoneNumber::from_u64(key.subject.0) else { return };
        let number_key = NumberKey { service: key.service, number };
        let owner = self.router.owner(&number_key);
        let Some((filler, table)) = self.places.get(owner).copied().flatten() else { return };
        let Some(filler) = self.fillers.get_mut(filler) else { return };
        match record::decode(bytes) {
            Ok(state) => filler.take(table, number_key, Entry { state, revision }),
            Err(error) => *self.damage.lock().unwrap_or_else(PoisonError::into_inner) = Some(error),
        }
    }
}

/// A thread that fills tables.
struct Filler {
    to: SyncSender<Numbers>,
    waiting: Numbers,
}

impl Filler {
    fn take(&mut self, table: usize, key: NumberKey, entry: Entry) {
        self.waiting.push((table, key, entry));
        if self.waiting.len() == BATCH {
            self.hand_over(Vec::with_capacity(BATCH));
        }
    }

    fn hand_over(&mut self, next: Numbers) {
        // Fails only when the other end panicked, which `fill` learns when it waits for its tables.
        let _ = self.to.send(std::mem::replace(&mut self.waiting, next));
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        self.hand_over(Vec::new());
    }
}
