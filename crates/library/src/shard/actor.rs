//! A shard as an actor, which passes messages to a [`Core`] and the core's commits to the store.

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::core::{Command, Core, Decide, Load, Subject, Then};
use crate::clock::{Clock, Stopwatch};
use crate::domain::Timestamp;
use crate::observe::metrics::Metrics;
use crate::store::{RecordStream, SLICE_RECORDS, Slots, Store, StoreError, StreamTurn};

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
    /// A checkpoint wants every record of the shard.
    Stream(RecordStream),
    /// The checkpoint has room for a slice of records; `None` if it was aborted.
    Slice(Option<StreamTurn>),
}

/// State that all shards share.
pub struct Shared {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<Metrics>,
}

pub struct ShardActor;

pub struct Shard {
    core: Core,
    slots: Slots,
    /// A checkpoint that has not every record yet.
    streaming: Option<RecordStream>,
    /// Whether [`ShardMessage::HandOver`] is on its way.
    hands_over: bool,
    shared: Arc<Shared>,
}

impl Actor for ShardActor {
    type Msg = ShardMessage;
    type State = Shard;
    type Arguments = (Core, Slots, Arc<Shared>);

    async fn pre_start(
        &self,
        myself: Mailbox,
        (core, slots, shared): Self::Arguments,
    ) -> Result<Shard, ActorProcessingErr> {
        myself.send_interval(SWEEP_EVERY, || ShardMessage::Sweep);
        Ok(Shard { core, slots, streaming: None, hands_over: false, shared })
    }

    async fn handle(
        &self,
        myself: Mailbox,
        message: ShardMessage,
        shard: &mut Shard,
    ) -> Result<(), ActorProcessingErr> {
        let (core, now) = (&mut shard.core, shard.shared.clock.now());
        core.set_owns_records(shard.shared.store.owns_records());
        match message {
            ShardMessage::Command(command) => {
                core.submit(command, now);
                // Those that came together are one batch.
                if core.wants_commit() && !shard.hands_over {
                    shard.hands_over = true;
                    myself.cast(ShardMessage::HandOver)?;
                }
                return Ok(());
            }
            ShardMessage::HandOver => shard.hands_over = false,
            ShardMessage::Committed(result) => {
                core.committed(&result, now);
                // The stream may have what was undone.
                if result.is_err() {
                    shard.streaming = None;
                }
            }
            ShardMessage::Sweep => {
                core.sweep(SWEEP_STEP, now);
                if core.is_late() {
                    // The store logs its trouble when its health is read; `/readyz` may not be polled.
                    let _ = shard.shared.store.health();
                }
            }
            ShardMessage::Stream(to) => {
                core.tables_mut().begin_scan();
                ask_for_turn(&to, myself.clone());
                shard.streaming = Some(to);
            }
            ShardMessage::Slice(turn) => shard.give_slice(turn, now, &myself),
        }
        shard.core.tables_mut().hand_over_due(now);
        shard.commit(&myself);
        Ok(())
    }
}

/// The shard decides commands between two slices of records.
fn ask_for_turn(to: &RecordStream, shard: Mailbox) {
    let turn = to.turn();
    tokio::spawn(async move { shard.cast(ShardMessage::Slice(turn.await)) });
}

impl Shard {
    /// Gives the checkpoint a slice of records, or ends the shard's part of it.
    fn give_slice(&mut self, turn: Option<StreamTurn>, now: Timestamp, myself: &Mailbox) {
        let (tables, slots) = (self.core.tables_mut(), self.slots);
        let (Some(to), Some(turn)) = (self.streaming.take(), turn) else { return tables.end_scan() };
        if let Some(slice) = tables.next_slice(SLICE_RECORDS, now) {
            to.give(turn, &slice);
            ask_for_turn(&to, myself.clone());
            self.streaming = Some(to);
            return;
        }
        // It is finished when everything that it has is durable.
        let finish: Then = Box::new(move |fate, _| {
            if fate.is_ok() {
                to.finish(slots);
            }
            None
        });
        let decide: Decide = Box::new(|view| view.is_ok().then_some(finish));
        self.core.submit(Command { subject: Subject::of_slot(0), load: Load::Unbounded, decide }, now);
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
