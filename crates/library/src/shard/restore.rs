//! Loads records from the store into the tables, at start and when a shard restarts.
//!
//! One thread reads the store and one for each shard fills its tables, so that ten million records take seconds. Bounded
//! channels connect them.

use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

use bytes::Bytes;
use tokio::task::spawn_blocking;

use super::kinds::Kinds;
use super::record::{RecordError, RecordKey};
use super::tables::Tables;
use crate::store::{Slots, Store, StoreError};

/// Records that are handed over at once.
const BATCH: usize = 1024;

/// Batches that may wait for a thread.
const WAITING: usize = 4;

/// The shards could not start.
#[derive(Debug, thiserror::Error)]
pub enum ShardStartError {
    /// The store failed.
    #[error("the records could not be loaded from the store: {0}")]
    Store(#[from] StoreError),
    /// A record cannot be decoded.
    #[error("{0}; {remedy}", remedy = .0.remedy())]
    Record(#[from] RecordError),
    /// A thread could not start.
    #[error("cannot start a thread to load the records: {0}")]
    Threads(#[from] io::Error),
    /// The actors could not start.
    #[error("the shards could not start: {0}")]
    Actors(String),
    /// A thread of the start died.
    #[error("the loading of the records was interrupted")]
    Interrupted,
}

/// Reads the store once and sorts its records by owner: the tables for each set of slots, in their order.
///
/// # Errors
/// [`ShardStartError`] if the store cannot be read or a record cannot be decoded. A shard never starts empty over
/// unreadable data.
pub async fn restore(
    store: &dyn Store,
    kinds: &Kinds,
    owners: &[Slots],
) -> Result<Vec<Tables>, ShardStartError> {
    let (mut loaders, mut threads) = (Vec::new(), Vec::new());
    for slots in owners {
        let (to, from) = sync_channel::<Vec<(RecordKey, Bytes)>>(WAITING);
        let (mut tables, kinds) = (Tables::new(kinds), kinds.clone());
        let fill = move || {
            from.into_iter().try_for_each(|records| tables.load(&records, &kinds))?;
            Ok(tables)
        };
        threads.push(Builder::new().name("restore".to_owned()).spawn(fill)?);
        loaders.push(Loader { slots: *slots, to, waiting: Vec::new() });
    }
    let all = owners.iter().flat_map(Slots::iter).collect();
    let visit = move |key: RecordKey, _, record: &[u8]| {
        if let Some(loader) = loaders.iter_mut().find(|loader| loader.slots.contains(key.slot)) {
            loader.waiting.push((key, Bytes::copy_from_slice(record)));
            if loader.waiting.len() == BATCH {
                loader.hand_over();
            }
        }
        Ok(())
    };
    // Drops the loaders, which ends their threads.
    let read = store.restore(all, Box::new(visit)).await;
    let join = |thread: JoinHandle<Result<Tables, RecordError>>| {
        Ok(thread.join().map_err(|_| ShardStartError::Interrupted)??)
    };
    let filled = spawn_blocking(move || threads.into_iter().map(join).collect()).await;
    read?;
    filled.map_err(|_| ShardStartError::Interrupted)?
}

/// Hands the records of a shard to the thread that fills its tables.
struct Loader {
    slots: Slots,
    to: SyncSender<Vec<(RecordKey, Bytes)>>,
    waiting: Vec<(RecordKey, Bytes)>,
}

impl Loader {
    fn hand_over(&mut self) {
        // Fails only after a record that cannot be decoded, or a panic; `restore` learns that from the thread.
        let _ = self.to.send(std::mem::take(&mut self.waiting));
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.hand_over();
    }
}
