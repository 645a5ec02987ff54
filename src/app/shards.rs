//! The shards with everything that they keep.

use std::sync::Arc;

use rand::rngs::StdRng;

use crate::clock::Clock;
use crate::config::Bounds;
use crate::engine::{NumberState, SlotHash};
use crate::numbers::Capacity;
use crate::numbers::table::NumberTable;
use crate::shard::{Kinds, Parts, Record, RecordKey, Settings, Shards, Slotless, StartError};
use crate::store::Store;

/// Every kind of record. A new one is one more line.
pub fn kinds(capacity: &Arc<Capacity>) -> Kinds {
    let capacity = Arc::clone(capacity);
    Kinds::none().with_table::<NumberState>(move || Box::new(NumberTable::new(Arc::clone(&capacity))))
}

/// The same for tools that only read and write records.
pub fn every_kind() -> Kinds {
    kinds(&Capacity::new(usize::MAX))
}

/// What the shards are started with.
pub struct ShardPlan<'a> {
    /// Where records are durable.
    pub store: Arc<dyn Store>,
    /// The time of decisions.
    pub clock: Arc<dyn Clock>,
    /// Which slot a subject is in.
    pub slots: &'a SlotHash,
    /// What the number tables count in.
    pub capacity: &'a Arc<Capacity>,
    /// How many shards; at least 1.
    pub shards: usize,
    /// The limit on everything.
    pub bounds: &'a Bounds,
    /// Where each shard's random source comes from.
    pub seeds: Box<dyn Fn() -> StdRng + Send + Sync>,
}

/// Restores every record and starts the shards.
///
/// # Errors
/// When the store cannot be read, or a record in it makes no sense.
pub async fn start(plan: ShardPlan<'_>) -> Result<Shards, StartError> {
    let ShardPlan { store, clock, slots, capacity, shards, bounds, seeds } = plan;
    let commit_timeout = bounds.commit_timeout;
    let slots = slots.clone();
    let slot_of = move |key: &RecordKey, _bytes: &[u8]| match key.kind {
        NumberState::KIND => slots.of(key.id),
        _ => 0,
    };
    Shards::start(Parts {
        store: Arc::new(Slotless { store, slot_of: Arc::new(slot_of), commit_timeout }),
        clock,
        shards,
        kinds: kinds(capacity),
        settings: Settings { commands_per_subject: bounds.commands_per_number, commit_timeout },
        seeds,
    })
    .await
}
