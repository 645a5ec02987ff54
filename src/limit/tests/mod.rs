//! Tests of the counters and the kept answers, over the store in memory and a clock that stands still.

mod answers;
mod answers_crash;
mod counters;
mod decide;
mod desk;
mod embedded;
mod model;
mod trouble;

use std::sync::Arc;
use std::time::Duration;

use super::{Answers, Bounds, BucketRule, Charge, LimitRefusal, Limits, OpenError, Taken};
use crate::clock::ManualClock;
use crate::domain::{ServiceId, Sid, SidKind, Timestamp};
use crate::store::{Fault, MemoryStore};

pub const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const SERVER_KEY: [u8; 32] = [7; 32];

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

pub fn reached(until: Timestamp) -> Result<Taken, LimitRefusal> {
    Err(LimitRefusal::Reached { limit: limit(1), until })
}

/// A store, a clock, and what is opened over them.
pub struct World {
    pub store: MemoryStore,
    pub clock: Arc<ManualClock>,
    pub bounds: Bounds,
}

impl World {
    pub fn new() -> Self {
        let clock = Arc::new(ManualClock::starting_at(START));
        Self { store: MemoryStore::new(), clock, bounds: Bounds::default() }
    }

    pub fn with_records(records: usize) -> Self {
        Self { bounds: Bounds { records, ..Bounds::default() }, ..Self::new() }
    }

    pub async fn try_limits(&self) -> Result<Limits, OpenError> {
        let (store, clock) = (Arc::new(self.store.clone()), Arc::clone(&self.clock));
        Limits::open(store, clock, &SERVER_KEY, self.bounds.clone()).await
    }

    pub async fn limits(&self) -> Limits {
        self.try_limits().await.expect("counters")
    }

    pub async fn answers(&self) -> Answers {
        let (store, clock) = (Arc::new(self.store.clone()), Arc::clone(&self.clock));
        Answers::open(store, clock, &SERVER_KEY, self.bounds.clone()).await.expect("answers")
    }

    /// The program dies: what is not applied by now never will be.
    pub fn crashes(&mut self) {
        self.store = self.store.reopen();
    }

    pub fn advance(&self, seconds: u64) {
        self.clock.advance(secs(seconds));
    }

    pub fn fails_next(&self, fault: Fault) {
        self.store.fail_next([fault]);
    }
}
