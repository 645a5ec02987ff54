//! Loads records from the store into the tables, at start and when a shard restarts.
//!
//! One thread reads the store and a few others fill the tables, so that ten million records take seconds. Bounded
//! channels connect them.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Builder, JoinHandle};

use bytes::Bytes;
use tokio::task::spawn_blocking;

use super::Shared;
use super::record::{Kinds, RecordError, RecordKey};
use super::table::Tables;
use crate::store::{Slots, StoreError};

/// Threads that fill tables. Reading takes longer than filling: more threads would wait.
const LOADERS: usize = 8;

/// Records that are handed over at once.
const BATCH: usize = 1024;

/// Batches that may wait for a thread.
const WAITING: usize = 4;

/// The shards could not be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The store failed.
    #[error("the records could not be loaded from the store: {0}")]
    Store(#[from] StoreError),
    /// A record cannot be decoded.
    #[error("{0}; {remedy}", remedy = .0.remedy())]
    Record(#[from] RecordError),
    /// A thread could not start.
    #[error("cannot start a thread to load the records: {0}")]
    Threads(io::Error),
    /// A thread of the start died.
    #[error("the loading of the records was interrupted")]
    Interrupted,
}

/// Reads the store once and sorts its records by owner: one table for each set of slots, in their order.
///
/// # Errors
/// [`RestoreError`] if the store cannot be read or a record cannot be decoded. A shard never starts empty over
/// unreadable data.
pub async fn restore(
    shared: &Arc<Shared>,
    kinds: &Kinds,
    owners: Vec<Slots>,
) -> Result<Vec<Tables>, RestoreError> {
    let threads = owners.len().clamp(1, LOADERS);
    let damage = Arc::new(Mutex::new(None));
    let (mut senders, mut filled) = (Vec::new(), Vec::new());
    for loader in 0..threads {
        let tables = owners.iter().skip(loader).step_by(threads).map(|_| Tables::new(kinds)).collect();
        let (to, from) = sync_channel(WAITING);
        let (kinds, damage) = (kinds.clone(), Arc::clone(&damage));
        let fill = move || fill_from(tables, &kinds, &from, &damage);
        let thread = Builder::new().name("restore".to_owned()).spawn(fill);
        filled.push(thread.map_err(RestoreError::Threads)?);
        senders.push(to);
    }
    let all = owners.iter().flat_map(Slots::iter).collect();
    let table_of = |(index, slots): (usize, &Slots)| {
        let to = senders.get(index % threads)?.clone();
        Some(OwnerTable { slots: *slots, table: index / threads, to, waiting: Vec::with_capacity(BATCH) })
    };
    let mut sorter = SlotSorter { owners: owners.iter().enumerate().filter_map(table_of).collect() };
    drop(senders);
    let visit = move |key, _, record: &[u8]| {
        sorter.take(key, Bytes::copy_from_slice(record));
        Ok(())
    };
    shared.store.restore(all, Box::new(visit)).await?;
    // `restore` has dropped the sorter and thereby closed the channels of the threads.
    let filled = spawn_blocking(move || filled.into_iter().map(JoinHandle::join).collect()).await;
    let filled: Vec<thread::Result<Vec<Tables>>> = filled.map_err(|_| RestoreError::Interrupted)?;
    let mut tables = Vec::with_capacity(filled.len());
    for filled in filled {
        tables.push(filled.map_err(|_| RestoreError::Interrupted)?.into_iter());
    }
    if let Some(damage) = damage.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(RestoreError::Record(damage));
    }
    let next_of = |index: usize| tables.get_mut(index % threads)?.next();
    (0..owners.len()).map(next_of).collect::<Option<_>>().ok_or(RestoreError::Interrupted)
}

/// Records on their way to a table of a thread.
type TableBatch = (usize, Vec<(RecordKey, Bytes)>);

fn fill_from(
    mut tables: Vec<Tables>,
    kinds: &Kinds,
    from: &Receiver<TableBatch>,
    damage: &Mutex<Option<RecordError>>,
) -> Vec<Tables> {
    for (table, records) in from {
        let loaded = tables.get_mut(table).map_or(Ok(()), |table| table.load(&records, kinds));
        if let Err(error) = loaded {
            *damage.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
    }
    tables
}

/// Sends each record to its owner.
struct SlotSorter {
    owners: Vec<OwnerTable>,
}

impl SlotSorter {
    fn take(&mut self, key: RecordKey, bytes: Bytes) {
        if let Some(owner) = self.owners.iter_mut().find(|owner| owner.slots.contains(key.slot)) {
            owner.waiting.push((key, bytes));
            if owner.waiting.len() == BATCH {
                owner.hand_over(Vec::with_capacity(BATCH));
            }
        }
    }
}

/// The table of an owner, which a thread fills.
struct OwnerTable {
    slots: Slots,
    /// Its place among the tables of the thread.
    table: usize,
    to: SyncSender<TableBatch>,
    waiting: Vec<(RecordKey, Bytes)>,
}

impl OwnerTable {
    fn hand_over(&mut self, next: Vec<(RecordKey, Bytes)>) {
        // Fails only if the other end panicked; `restore` learns that when it waits for its tables.
        let _ = self.to.send((self.table, std::mem::replace(&mut self.waiting, next)));
    }
}

impl Drop for OwnerTable {
    fn drop(&mut self) {
        self.hand_over(Vec::new());
    }
}
