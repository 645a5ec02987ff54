//! One durable owner for everything that survives a restart.
//!
//! A shard is an actor that owns fixed slots and holds all records of these slots in memory. A pure function decides
//! each command over these records. The shard commits all changes of a decision together and then sends the answer.
//! This module alone does batching, recovery, expiry, lazy changes and failed commits. It does not know any kind of
//! record.
//!
//! [`Core`] is that logic without the actor, for the simulation.

mod actor;
mod capacity;
pub mod command;
pub mod core;
#[cfg(any(test, feature = "testing"))]
#[path = "tests/faulty_store.rs"]
pub mod faulty_store;
mod kinds;
mod map;
mod queue;
mod record;
mod record_log;
mod restore;
mod router;
mod tables;
#[cfg(test)]
pub mod tests;
mod transaction;

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use ractor::{Actor as _, ActorRef};
use rand::rngs::StdRng;
use tokio::sync::oneshot;

use self::actor::{Restart, ShardMessage, Supervisor};
use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::observe::metrics::Metrics;
use crate::store::{Owner, Store, StoreError};

pub use self::capacity::{Capacity, LimitedTable, PLACE_BYTES, Reservation, Shares, Usage};
pub use self::command::{Command, Decided, Full, Load, Refusal, Subject};
pub use self::core::{After, Core, ShardSettings};
pub use self::kinds::{Kinds, RecordKind};
pub use self::map::{Map, Table};
pub use self::record::{Id, OlderLayout, Record, RecordError, RecordKey, Stored, decode, encode, service_of};
pub use self::record_log::{LogPart, LogRange, LogRecord, RecordLog};
pub use self::restore::ShardStartError;
pub use self::router::Router;
pub use self::tables::{Index, Records, Tables};
pub use self::transaction::{Durability, Transaction};
pub use crate::store::{Slots, Write};

/// State that all shards share.
pub struct Shared {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    router: Arc<Router>,
    metrics: Arc<Metrics>,
    kinds: Kinds,
    settings: ShardSettings,
    rng: Mutex<StdRng>,
    /// Factories of the indexes, by kind.
    followers: RwLock<Vec<(u8, IndexFactory)>>,
}

/// Makes the index of one shard, by the shard's number.
pub type IndexFactory = Arc<dyn Fn(usize) -> Box<dyn Index> + Send + Sync>;

impl Shared {
    fn indexes_of(&self, shard: usize) -> Vec<(u8, Box<dyn Index>)> {
        let followers = self.followers.read();
        followers.iter().map(|(kind, factory)| (*kind, factory(shard))).collect()
    }
}

/// The dependencies of shards.
pub struct ShardDeps {
    /// Makes batches durable.
    pub store: Arc<dyn Store>,
    /// The time of decisions.
    pub clock: Arc<dyn Clock>,
    /// The number of shards; at least 1.
    pub shards: usize,
    /// The kinds of record that they keep.
    pub kinds: Kinds,
    /// Bounds.
    pub settings: ShardSettings,
    /// Seeds the random source of each shard.
    pub rng: StdRng,
    /// Counts commits.
    pub metrics: Arc<Metrics>,
}

/// A cheap handle on all shards.
#[derive(Clone)]
pub struct Shards {
    shared: Arc<Shared>,
    supervisor: ActorRef<Restart>,
}

impl Shards {
    /// Restores every record from the store and starts the shards.
    ///
    /// # Errors
    /// [`ShardStartError`] if the store cannot be read or contains a record that this version cannot decode.
    pub async fn start(deps: ShardDeps) -> Result<Self, ShardStartError> {
        let ShardDeps { store, clock, shards, kinds, settings, rng, metrics } = deps;
        let router = Arc::new(Router::new(shards.min(store.limits().owners)));
        let slots: Vec<_> = (0..router.shards()).map(|shard| router.slots_of(shard)).collect();
        let tables = restore::restore(&*store, &kinds, &slots).await?;
        let (rng, followers) = (Mutex::new(rng), RwLock::default());
        let shared = Arc::new(Shared { store, clock, router, metrics, kinds, settings, rng, followers });
        let spawned = Supervisor::spawn(None, Supervisor, (Arc::clone(&shared), tables)).await;
        let (supervisor, _) = spawned.map_err(|error| ShardStartError::Actors(error.to_string()))?;
        let owner = |index| -> Owner {
            let shared = Arc::downgrade(&shared);
            Box::new(move |stream| {
                // A shard that is restarting drops the stream, which aborts the checkpoint.
                if let Some(shared) = shared.upgrade() {
                    let _ = shared.router.cast(index, ShardMessage::Stream(stream));
                }
            })
        };
        shared.store.attach((0..shared.router.shards()).map(owner).collect());
        Ok(Self { shared, supervisor })
    }

    /// The router from slots to shards.
    pub fn router(&self) -> &Arc<Router> {
        &self.shared.router
    }

    /// The time of decisions.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.shared.clock
    }

    /// Counts what happens in this process.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.shared.metrics
    }

    /// Hands a command to the shard that owns its slot.
    pub fn submit(&self, command: impl Command) {
        self.shared.router.send(command);
    }

    /// Attaches an index to a kind in every shard, also after a restart. Each index first receives all records of the
    /// kind in its shard.
    pub fn follow<R: Record>(&self, factory: IndexFactory) {
        let mut followers = self.shared.followers.write();
        for shard in 0..self.router().shards() {
            let index = factory(shard);
            let follow = move |core: &mut Core, _: Timestamp| core.tables_mut().follow(R::KIND, index);
            let _ = self.router().cast(shard, ShardMessage::Call(Box::new(follow)));
        }
        followers.push((R::KIND, factory));
    }

    /// Makes every shard commit what it was asked before, lazy changes included. A refusal by the store is ignored.
    pub async fn flush(&self) {
        for shard in 0..self.router().shards() {
            let (done, flushed) = oneshot::channel();
            let done = Box::new(move || {
                let _ = done.send(());
            });
            let flush = move |core: &mut Core, now| core.flush(done, now);
            if self.router().cast(shard, ShardMessage::Call(Box::new(flush))).is_some() {
                let _ = flushed.await;
            }
        }
    }

    /// Returns once every shard and the store have answered. A store that refuses writes answers; one that hangs does
    /// not.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] if a shard does not run or the store has ended.
    pub async fn ping(&self) -> Result<(), Refusal> {
        for shard in 0..self.router().shards() {
            self.router().read_shard(shard, |_, _| ()).await?;
        }
        let (done, answered) = oneshot::channel();
        // An empty batch passes through the journal's queue and writes nothing.
        self.shared.store.commit(Vec::new(), Box::new(|result| drop(done.send(result))));
        match answered.await {
            Ok(Err(StoreError::Closed)) | Err(_) => Err(Refusal::Stopping),
            Ok(_) => Ok(()),
        }
    }

    /// Whether this process certainly owns the records now. While it does not, no message may be sent.
    pub fn owns_records(&self) -> bool {
        self.shared.store.owns_records()
    }

    /// Stops the shards. The caller must first wait for all commands in flight and close the store.
    pub fn stop(&self) {
        self.supervisor.stop(None);
    }
}
