//! Counters and idempotency keys over shards with a store in memory and a stopped clock.

mod counters;
mod decide;
mod keyed;
mod model;

use std::sync::Arc;
use std::time::Duration;

use super::{BucketRule, Charge, Charged, LimitRefusal, Limits, MOST_RECORDS};
use crate::clock::{Clock, ManualClock};
use crate::domain::{ServerKey, ServiceId, Sid, SidKind, Timestamp};
use crate::registry::world::start_shards;
use crate::shard::Shards;
use crate::shard::tests::FaultyStore;

pub const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

pub const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub const fn bucket(number: u8, max: u32, interval: u32) -> BucketRule {
    BucketRule { sid: Sid::new(SidKind::Bucket, [number; 16]), max, interval }
}

pub const fn limit(number: u8) -> Sid {
    Sid::new(SidKind::RateLimit, [number; 16])
}

/// A charge for a value of the limit 1.
pub fn charge(value: &str, buckets: &[BucketRule]) -> Charge {
    charge_of(1, value, buckets)
}

pub fn charge_of(number: u8, value: &str, buckets: &[BucketRule]) -> Charge {
    let service = ServiceId::new(3);
    Charge { service, limit: limit(number), value: value.to_owned(), buckets: buckets.to_vec() }
}

pub fn reached(until: Timestamp) -> Result<Charged, LimitRefusal> {
    Err(LimitRefusal::Reached { limit: limit(1), until })
}

pub struct World {
    pub store: FaultyStore,
    pub clock: Arc<ManualClock>,
    pub records: usize,
    pub queue: usize,
}

impl World {
    pub fn new() -> Self {
        let clock = Arc::new(ManualClock::starting_at(START));
        Self { store: FaultyStore::new(), clock, records: MOST_RECORDS, queue: 20_000 }
    }

    /// Starts two shards on the durable records: the counters of a request then have several owners.
    pub async fn start(&self) -> Shards {
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        start_shards(2, &self.store, &clock, 1).await.expect("shards")
    }

    pub async fn limits(&self) -> Limits {
        Limits::new(&self.start().await, &ServerKey::from_bytes([7; 32]), self.records, self.queue)
    }

    /// The program dies: writes that are not yet applied are lost.
    pub fn crashes(&mut self) {
        self.store = self.store.reopen();
    }

    pub fn advance(&self, seconds: u64) {
        self.clock.advance(secs(seconds));
    }
}
