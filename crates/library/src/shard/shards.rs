//! The start of the shards, and the handle on all of them.

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use ractor::{Actor as _, ActorRef};
use rand::rngs::StdRng;
use tokio::sync::oneshot;

use super::actor::{IndexFactory, Restart, Shared, Supervisor};
use super::command::Command;
use super::core::{Core, ShardSettings};
use super::kinds::Kinds;
use super::record::Record;
use super::refusal::Refusal;
use super::restore::{ShardStartError, restore};
use super::router::{Router, ShardMessage};
use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::observe::metrics::Metrics;
use crate::store::{Owner, Store, StoreError};

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
        let tables = restore(&*store, &kinds, &slots).await?;
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

    /// Waits until everything that the shards were asked before is durable. A refusal by the store is ignored.
    pub async fn flush(&self) {
        for shard in 0..self.router().shards() {
            let _ = self.router().read_shard(shard, |_, _| ()).await;
        }
    }

    /// Returns once every shard has decided what it was asked before.
    #[cfg(test)]
    pub async fn ping_shards(&self) {
        for shard in 0..self.router().shards() {
            let _ = self.router().answers(shard).await;
        }
    }

    /// Returns once every shard and the store have answered. A store that refuses writes answers; one that hangs does
    /// not.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] if a shard does not run or the store has ended.
    pub async fn ping(&self) -> Result<(), Refusal> {
        for shard in 0..self.router().shards() {
            self.router().answers(shard).await?;
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
