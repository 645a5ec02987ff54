//! A shard as an actor, which passes messages to a [`Core`] and the core's commits to the store.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::watch;

use super::core::{Command, Core};
use crate::clock::{Clock, Stopwatch};
use crate::observe::metrics::Metrics;
use crate::store::{Store, StoreError};

/// Records that one step of the sweep looks at.
const SWEEP_STEP: usize = 2_000;

/// Time between two steps: a million records are seen in 75 s.
const SWEEP_EVERY: Duration = Duration::from_millis(150);

/// Where a shard takes messages. The limit on commands in flight bounds them.
pub type Mailbox = ActorRef<ShardMessage>;

/// The messages of a shard.
pub enum ShardMessage {
    Command(Command),
    /// Hands the store what was decided. The shard sends it to itself behind the commands that came together.
    HandOver,
    /// The result of the commit in flight.
    Committed(Result<(), StoreError>),
    /// Time for a step of the sweep.
    Sweep,
}

/// State that all shards share.
pub struct Shared {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<Metrics>,
    /// Whether a shard has panicked: then all of them refuse everything, and only a new process helps.
    pub has_failed: watch::Sender<bool>,
}

impl Shared {
    /// Whether this process certainly owns the records, and its memory is right.
    pub fn owns_records(&self) -> bool {
        self.store.owns_records() && !*self.has_failed.borrow()
    }
}

pub struct ShardActor;

pub struct Shard {
    core: Core,
    /// Whether [`ShardMessage::HandOver`] is on its way.
    hands_over: bool,
    shared: Arc<Shared>,
}

impl Actor for ShardActor {
    type Msg = ShardMessage;
    type State = Shard;
    type Arguments = (Core, Arc<Shared>);

    async fn pre_start(
        &self,
        myself: Mailbox,
        (core, shared): Self::Arguments,
    ) -> Result<Shard, ActorProcessingErr> {
        myself.send_interval(SWEEP_EVERY, || ShardMessage::Sweep);
        Ok(Shard { core, hands_over: false, shared })
    }

    async fn handle(
        &self,
        myself: Mailbox,
        message: ShardMessage,
        shard: &mut Shard,
    ) -> Result<(), ActorProcessingErr> {
        catch_unwind(AssertUnwindSafe(|| shard.handle(&myself, message))).unwrap_or_else(|_| {
            shard.shared.has_failed.send_replace(true);
            tracing::error!("shard failed, everything is refused until a restart");
            Err("it panicked".into())
        })
    }
}

impl Shard {
    fn handle(&mut self, myself: &Mailbox, message: ShardMessage) -> Result<(), ActorProcessingErr> {
        let (core, now) = (&mut self.core, self.shared.clock.now());
        core.set_owns_records(self.shared.owns_records());
        match message {
            ShardMessage::Command(command) => {
                core.submit(command, now);
                // Those that came together are one batch.
                if core.wants_commit() && !self.hands_over {
                    self.hands_over = true;
                    myself.cast(ShardMessage::HandOver)?;
                }
                return Ok(());
            }
            ShardMessage::HandOver => self.hands_over = false,
            ShardMessage::Committed(result) => core.committed(&result, now),
            ShardMessage::Sweep => {
                core.sweep(SWEEP_STEP, now);
                if core.is_late() {
                    // The store logs its trouble when its health is read; `/readyz` may not be polled.
                    let _ = self.shared.store.health();
                }
            }
        }
        self.core.tables.hand_over_due(now);
        self.commit(myself);
        Ok(())
    }

    /// Hands the store a batch, if the core has one.
    fn commit(&mut self, myself: &Mailbox) {
        if let Some(writes) = self.core.take_commit() {
            let (shard, metrics) = (myself.clone(), Arc::clone(&self.shared.metrics));
            let (records, stopwatch) = (writes.len(), Stopwatch::start());
            let done = move |result: Result<(), StoreError>| {
                metrics.commit(records, result.is_ok(), stopwatch.elapsed());
                let _ = shard.cast(ShardMessage::Committed(result));
            };
            self.shared.store.commit(writes, Box::new(done));
        }
    }
}
