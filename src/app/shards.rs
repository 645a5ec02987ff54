//! The shards with everything that they keep.

use std::sync::{Arc, Mutex, PoisonError};

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::attempts::AttemptLog;
use crate::clock::Clock;
use crate::config::Bounds;
use crate::engine::NumberState;
use crate::limit::{Counter, KeyUse};
use crate::numbers::Capacity;
use crate::numbers::table::NumberTable;
use crate::registry::{Credential, SafeNumber, ServiceRecord};
use crate::shard::{Kinds, Settings, ShardDeps, Shards, StartError};
use crate::store::Store;
use crate::webhook::EventRecord;

/// Every kind of record. A new kind also needs a decision in [`without_codes`](crate::backup::without_codes).
pub fn kinds(capacity: &Arc<Capacity>) -> Kinds {
    let capacity = Arc::clone(capacity);
    Kinds::default()
        .with_table::<NumberState>(move || Box::new(NumberTable::new(Arc::clone(&capacity))))
        .with::<ServiceRecord>()
        .with::<Credential>()
        .with::<SafeNumber>()
        .with::<Counter>()
        .with::<KeyUse>()
        .with::<AttemptLog>()
        .with::<EventRecord>()
}

/// The same for tools that only read and write records.
pub fn every_kind() -> Kinds {
    kinds(&Capacity::new(usize::MAX))
}

/// The dependencies of shards that keep every kind of record.
pub struct ShardPlan<'a> {
    /// Makes batches durable.
    pub store: Arc<dyn Store>,
    /// The time of decisions.
    pub clock: Arc<dyn Clock>,
    /// The number tables count in it.
    pub capacity: &'a Arc<Capacity>,
    /// How many shards; at least 1.
    pub shards: usize,
    /// Commands of one number, and the time of a commit.
    pub bounds: &'a Bounds,
    /// Makes the random source of each shard.
    pub seeds: Box<dyn Fn() -> StdRng + Send + Sync>,
}

/// Sources of randomness, each seeded by `seeder`.
pub fn seeds(seeder: StdRng) -> Box<dyn Fn() -> StdRng + Send + Sync> {
    let seeder = Mutex::new(seeder);
    Box::new(move || StdRng::from_rng(&mut *seeder.lock().unwrap_or_else(PoisonError::into_inner)))
}

/// Restores every record and starts the shards.
///
/// # Errors
/// [`StartError`] if the store cannot be read or contains a record that this version cannot decode.
pub async fn start(plan: ShardPlan<'_>) -> Result<Shards, StartError> {
    let ShardPlan { store, clock, capacity, shards, bounds, seeds } = plan;
    let commit_timeout = bounds.commit_timeout;
    Shards::start(ShardDeps {
        store,
        clock,
        shards,
        kinds: kinds(capacity),
        settings: Settings { commands_per_subject: bounds.commands_per_number, commit_timeout },
        seeds,
    })
    .await
}
