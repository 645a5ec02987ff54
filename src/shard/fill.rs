//! From the store into the tables, at the start and when a shard starts again.
//!
//! One thread reads the store and each table is filled by another, so that ten million numbers take seconds. What is
//! on its way between them is bounded.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::{JoinError, JoinHandle};

use super::command::NumberKey;
use super::record::{self, StateRecordError};
use super::router::Router;
use super::surroundings::Surroundings;
use super::table::{Entry, Table};
use crate::domain::PhoneNumber;
use crate::store::{Key, Kind, Revision, StoreError};

/// Numbers that are handed over at once, 100 KB of them.
const BATCH: usize = 1024;

/// Batches that may wait for a table.
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
    /// A thread of the start died.
    #[error("the loading of the numbers was interrupted: {0}")]
    Interrupted(#[from] JoinError),
}

/// Numbers on their way to the table of their owner.
type Numbers = Vec<(NumberKey, Entry)>;

/// Reads the store once and sorts its numbers by owner; with `only`, one shard's numbers.
pub async fn fill(around: &Arc<Surroundings>, only: Option<usize>) -> Result<Vec<Table>, LoadError> {
    let shards = around.router.shards();
    let expected = usize::try_from(around.store.about(Kind::Number)).unwrap_or(0) / shards;
    let (mut owners, mut tables): (Vec<Option<Owner>>, Vec<JoinHandle<Table>>) = (Vec::new(), Vec::new());
    for shard in 0..shards {
        if only.is_some_and(|only| only != shard) {
            owners.push(None);
            continue;
        }
        let table = Table::expecting(expected, Arc::clone(&around.room));
        let (to, from) = sync_channel(WAITING);
        owners.push(Some(Owner { to, waiting: Vec::with_capacity(BATCH) }));
        tables.push(tokio::task::spawn_blocking(move || filled(table, &from)));
    }
    let damage = Arc::new(Mutex::new(None));
    let mut sorter = Sorter { router: Arc::clone(&around.router), owners, damage: Arc::clone(&damage) };
    let visit = move |key, revision, bytes: &[u8]| sorter.take(key, revision, bytes);
    around.store.scan(Kind::Number, Box::new(visit)).await?;
    // The sorter is gone with the scan, and the tables learn that nothing more comes.
    let mut whole = Vec::with_capacity(tables.len());
    for table in tables {
        whole.push(table.await?);
    }
    match damage.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(damage) => Err(LoadError::Record(damage)),
        None => Ok(whole),
    }
}

fn filled(mut table: Table, from: &Receiver<Numbers>) -> Table {
    for numbers in from {
        for (key, entry) in numbers {
            table.set(key, entry);
        }
    }
    table
}

/// Sends each number to its owner.
struct Sorter {
    router: Arc<Router>,
    /// `None`: its numbers are not wanted.
    owners: Vec<Option<Owner>>,
    damage: Arc<Mutex<Option<StateRecordError>>>,
}

impl Sorter {
    fn take(&mut self, key: Key, revision: Revision, bytes: &[u8]) {
        let Some(number) = PhoneNumber::from_u64(key.subject.0) else { return };
        let number_key = NumberKey { service: key.service, number };
        let owner = self.router.owner(&number_key);
        let Some(owner) = self.owners.get_mut(owner).and_then(Option::as_mut) else { return };
        match record::decode(bytes) {
            Ok(state) => owner.take(number_key, Entry { state, revision }),
            Err(error) => *self.damage.lock().unwrap_or_else(PoisonError::into_inner) = Some(error),
        }
    }
}

/// Who fills a table.
struct Owner {
    to: SyncSender<Numbers>,
    waiting: Numbers,
}

impl Owner {
    fn take(&mut self, key: NumberKey, entry: Entry) {
        self.waiting.push((key, entry));
        if self.waiting.len() == BATCH {
            self.hand_over(Vec::with_capacity(BATCH));
        }
    }

    fn hand_over(&mut self, next: Numbers) {
        // Fails only when the other end panicked, which `fill` learns from its handle.
        let _ = self.to.send(std::mem::replace(&mut self.waiting, next));
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.hand_over(Vec::new());
    }
}
