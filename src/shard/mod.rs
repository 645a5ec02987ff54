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
mod map;
mod queue;
mod record;
mod record_log;
mod restore;
mod router;
mod stored;
mod supervisor;
mod table;
#[cfg(test)]
pub mod tests;
mod transaction;

use std::sync::{Arc, PoisonError, RwLock};

use ractor::{Actor, ActorRef, SpawnErr};
use rand::rngs::StdRng;
use tokio::sync::oneshot;

use self::actor::ShardMessage;
use self::supervisor::Supervisor;
use crate::clock::Clock;
use crate::observe::metrics::Metrics;
use crate::store::{Owner, Store, StoreError};

pub use self::capacity::{Capacity, LimitedTable, PLACE_BYTES, Reservation, Shares, Usage, room};
pub use self::command::{Command, Decided, Full, Load, Refusal, Subject};
pub use self::core::{After, Core, ShardSettings};
pub use self::map::Map;
pub use self::record::{
    Id, Kinds, OlderLayout, Record, RecordError, RecordKey, RecordKind, decode, encode, service_of,
};
pub use self::record_log::{LogPart, LogRange, LogRecord, RecordLog};
pub use self::restore::RestoreError;
pub use self::router::Router;
pub use self::stored::Stored;
pub use self::table::{Index, Records, Table, Tables};
pub use self::transaction::{Durability, Transaction};
pub use crate::store::{Slots, Write};

/// State that all shards share.
pub struct Shared {
    /// Makes batches durable.
    pub store: Arc<dyn Store>,
    /// The time of decisions.
    pub clock: Arc<dyn Clock>,
    /// Which shard owns a slot.
    pub router: Arc<Router>,
    /// Counts commits.
    pub metrics: Arc<Metrics>,
    /// Factories of the indexes, by kind.
    followers: RwLock<Vec<(u8, IndexFactory)>>,
}

/// Makes the index of one shard, by the shard's number.
pub type IndexFactory = Arc<dyn Fn(usize) -> Box<dyn Index> + Send + Sync>;

impl Shared {
    fn indexes_of(&self, shard: usize) -> Vec<(u8, Box<dyn Index>)> {
        let followers = self.followers.read().unwrap_or_else(PoisonError::into_inner);
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

/// The shards could not start.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ShardStartError(String);

/// A cheap handle on all shards.
#[derive(Clone)]
pub struct Shards {
    shared: Arc<Shared>,
    supervisor: ActorRef<supervisor::Restart>,
}

impl Shards {
    /// Restores every record from the store and starts the shards.
    ///
    /// # Errors
    /// [`ShardStartError`] if the store cannot be read or contains a record that this version cannot decode.
    pub async fn start(deps: ShardDeps) -> Result<Self, ShardStartError> {
        let ShardDeps { store, clock, shards, kinds, settings, rng, metrics } = deps;
        let router = Arc::new(Router::new(shards.min(store.limits().owners)));
        let followers = RwLock::default();
        let shared = Arc::new(Shared { store, clock, router, metrics, followers });
        let args = supervisor::SupervisorArgs { shared: Arc::clone(&shared), kinds, settings, rng };
        let spawned = Supervisor::spawn(None, Supervisor, args).await;
        let (supervisor, _) = spawned.map_err(|error| match error {
            SpawnErr::StartupFailed(why) => ShardStartError(why.to_string()),
            other => ShardStartError(other.to_string()),
        })?;
        let owner = |index| -> Owner {
            let shared = Arc::downgrade(&shared);
            Box::new(move |stream| {
                // A shard that is restarting drops the stream, which aborts the checkpoint.
                let mailbox = shared.upgrade().and_then(|shared| shared.router.shard(index));
                if let Some(mailbox) = mailbox {
                    let _ = mailbox.cast(ShardMessage::Stream(stream));
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
        let mut followers = self.shared.followers.write().unwrap_or_else(PoisonError::into_inner);
        for (index, shard) in self.shared.router.running() {
            let index = factory(index);
            let _ = shard.cast(ShardMessage::Follow(R::KIND, index));
        }
        followers.push((R::KIND, factory));
    }

    /// Makes every shard commit its lazy changes. A refusal by the store is ignored.
    pub async fn flush(&self) {
        for (_, shard) in self.shared.router.running() {
            let (done, flushed) = oneshot::channel();
            if shard.cast(ShardMessage::Flush(done)).is_ok() {
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
