//! Idempotency keys over shards with a store in memory and a stopped clock.

mod keyed;

use std::sync::Arc;
use std::time::Duration;

use super::MOST_RECORDS;
use crate::clock::{Clock, ManualClock};
use crate::domain::Timestamp;
use crate::registry::world::start_shards;
use crate::shard::Shards;
use crate::shard::tests::FaultyStore;

pub const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

pub const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub struct World {
    pub store: FaultyStore,
    pub clock: Arc<ManualClock>,
    pub records: usize,
}

impl World {
    pub fn new() -> Self {
        let clock = Arc::new(ManualClock::starting_at(START));
        Self { store: FaultyStore::new(), clock, records: MOST_RECORDS }
    }

    /// Starts two shards on the durable records: the counters of a request then have several owners.
    pub async fn start(&self) -> Shards {
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        start_shards(2, &self.store, &clock, 1).await.expect("shards")
    }

    /// The program dies: writes that are not yet applied are lost.
    pub fn crashes(&mut self) {
        self.store = self.store.reopen();
    }
}
