//! One process, or one shard of it: a real core, its commit in flight, and the places of its commands.

use std::collections::BTreeMap;
use std::sync::Arc;

use onceward::domain::Timestamp;
use onceward::engine::NumberState;
use onceward::numbers::core::Core;
use onceward::numbers::decide::Judge;
use onceward::numbers::table::Table;
use onceward::store::Write;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::Semaphore;

use crate::disk::{Committed, Hanging};
use crate::setup::{Setup, server_key};

/// More than a run has commands.
pub const PLACES: usize = 10_000;

pub struct Node {
    pub core: Core,
    /// Which start of the core this is. What gateways say to an earlier one still arrives, if the process lives.
    pub life: u32,
    /// The latest time that this life has seen. Kept apart from the core, which must come to the same.
    pub seen: u64,
    pub places: Arc<Semaphore>,
    pub commit: Option<InFlight>,
    /// What this life wrote last, and knows to be durable, by number.
    pub wrote: BTreeMap<usize, NumberState>,
}

/// A batch between the core and the store.
pub struct InFlight {
    pub writes: Vec<Write>,
    pub numbers: Vec<usize>,
    pub taken_at: u64,
    /// When it was taken in the order of events: later commands are not in it.
    pub taken: u64,
    pub progress: Progress,
}

pub enum Progress {
    /// The store has not seen it yet.
    Before,
    /// The store has it, and does nothing.
    Hanging(Hanging),
    /// The store has decided, at this place in the order of events; the core has not heard of it.
    Unanswered(Committed, u64),
}

impl Node {
    pub fn new(setup: &Setup, table: Table, rng: &mut StdRng) -> Self {
        Self {
            core: core(setup, table, rng),
            life: 0,
            seen: 0,
            places: Arc::new(Semaphore::new(PLACES)),
            commit: None,
            wrote: BTreeMap::new(),
        }
    }

    /// The core starts again from what is durable. With `process`, everything else of the process does too.
    pub fn restarts(&mut self, setup: &Setup, table: Table, rng: &mut StdRng, process: bool) {
        self.core = core(setup, table, rng);
        self.life += 1;
        self.seen = 0;
        self.commit = None;
        self.wrote.clear();
        if process {
            self.places = Arc::new(Semaphore::new(PLACES));
        }
    }

    /// What the core is told of the time; what it is to make of it is kept.
    pub fn tick(&mut self, clock: u64) -> Timestamp {
        self.seen = self.seen.max(clock);
        Timestamp::from_millis(clock)
    }
}

fn core(setup: &Setup, table: Table, rng: &mut StdRng) -> Core {
    let judge = Judge {
        policies: setup.policies(),
        key: server_key(),
        rng: StdRng::seed_from_u64(rng.random()),
        send_budget: setup.send_budget,
        check_budget: setup.check_budget,
    };
    Core::new(table, judge, setup.commands_per_number)
}
