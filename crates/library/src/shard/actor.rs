//! A shard as an actor, which passes messages to a [`Core`] and the core's commits to the store; and its supervisor, which
//! starts a failed shard again from the store.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::command::Fate;
use super::core::{Core, ShardSettings};
use super::kinds::Kinds;
use super::restore::restore;
use super::router::{Mailbox, Router, ShardMessage};
use super::tables::{Index, Tables};
use crate::clock::{Clock, Stopwatch};
use crate::domain::Timestamp;
use crate::observe::metrics::Metrics;
use crate::store::{RecordStream, SLICE_RECORDS, Slots, Store, StoreError, StreamTurn};

/// Wait before a shard that cannot be restored is tried again.
const RETRY_RESTORE: Duration = Duration::from_secs(1);
/// Records of each kind that one step of the sweep looks at.
const SWEEP_STEP: usize = 1_000;
/// Time between two steps: a million records are seen in under three minutes.
const SWEEP_EVERY: Duration = Duration::from_millis(150);

/// State that all shards share.
pub struct Shared {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) router: Arc<Router>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) kinds: Kinds,
    pub(super) settings: ShardSettings,
    pub(super) rng: Mutex<StdRng>,
    /// Factories of the indexes, by kind.
    pub(super) followers: RwLock<Vec<(u8, IndexFactory)>>,
}

/// Makes the index of one shard, by the shard's number.
pub type IndexFactory = Arc<dyn Fn(usize) -> Box<dyn Index> + Send + Sync>;

/// Restarts failed shards.
pub struct Supervisor;

/// Restores and starts the shard of this index.
pub struct Restart(usize);

pub struct Supervised {
    shared: Arc<Shared>,
    shards: Vec<ActorId>,
}

impl Actor for Supervisor {
    type Msg = Restart;
    type State = Supervised;
    type Arguments = (Arc<Shared>, Vec<Tables>);

    async fn pre_start(
        &self,
        myself: ActorRef<Restart>,
        (shared, tables): Self::Arguments,
    ) -> Result<Supervised, ActorProcessingErr> {
        let mut shards = Vec::with_capacity(tables.len());
        for (index, tables) in tables.into_iter().enumerate() {
            shards.push(start(&myself, index, tables, &shared).await?);
        }
        Ok(Supervised { shared, shards })
    }

    async fn handle(
        &self,
        myself: ActorRef<Restart>,
        Restart(index): Restart,
        Supervised { shared, shards }: &mut Supervised,
    ) -> Result<(), ActorProcessingErr> {
        let restored = restore(&*shared.store, &shared.kinds, &[shared.router.slots_of(index)]).await;
        match restored.map(|mut tables| tables.pop()) {
            Ok(tables) => {
                if let (Some(tables), Some(place)) = (tables, shards.get_mut(index)) {
                    *place = start(&myself, index, tables, shared).await?;
                    tracing::info!(shard = index, "shard restarted");
                }
            }
            Err(error) => {
                tracing::error!(shard = index, %error, "shard restart failed, retrying");
                myself.send_after(RETRY_RESTORE, move || Restart(index));
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Restart>,
        event: SupervisionEvent,
        Supervised { shared, shards }: &mut Supervised,
    ) -> Result<(), ActorProcessingErr> {
        let (id, why) = match &event {
            SupervisionEvent::ActorFailed(cell, error) => (cell.get_id(), error.to_string()),
            SupervisionEvent::ActorTerminated(cell, _, why) => {
                (cell.get_id(), why.clone().unwrap_or_default())
            }
            _ => return Ok(()),
        };
        if let Some(index) = shards.iter().position(|shard| *shard == id) {
            tracing::error!(shard = index, why, "shard failed, restarting from the store");
            shared.router.set_mailbox(index, None);
            myself.cast(Restart(index))?;
        }
        Ok(())
    }
}

/// Starts the shard of this index and opens its mailbox.
async fn start(
    supervisor: &ActorRef<Restart>,
    index: usize,
    mut tables: Tables,
    shared: &Arc<Shared>,
) -> Result<ActorId, ActorProcessingErr> {
    let followers = shared.followers.read().clone();
    for (kind, factory) in followers {
        tables.follow(kind, factory(index));
    }
    let rng = StdRng::from_rng(&mut *shared.rng.lock());
    let core = Core::new(tables, rng, shared.settings, shared.store.limits());
    let arguments = (core, shared.router.slots_of(index), Arc::clone(shared));
    let (actor, _) = ShardActor::spawn_linked(None, ShardActor, arguments, supervisor.get_cell()).await?;
    let id = actor.get_id();
    shared.router.set_mailbox(index, Some(actor));
    Ok(id)
}

struct ShardActor;

struct Shard {
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
            ShardMessage::Call(call) => call(core, now),
            ShardMessage::Sweep => shard.sweep(now),
            ShardMessage::Stream(to) => {
                core.tables_mut().begin_scan();
                ask_for_turn(&to, myself.clone());
                shard.streaming = Some(to);
            }
            ShardMessage::Slice(turn) => shard.give_slice(turn, now, &myself),
        }
        shard.core.tables_mut().tick(now);
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
    fn sweep(&mut self, now: Timestamp) {
        self.core.sweep(SWEEP_STEP, now);
        if self.core.is_late() {
            // The store logs its trouble when its health is read; `/readyz` may not be polled.
            let _ = self.shared.store.health();
        }
    }

    /// Gives the checkpoint a slice of records, or ends the shard's part of it.
    fn give_slice(&mut self, turn: Option<StreamTurn>, now: Timestamp, myself: &Mailbox) {
        let slice = turn.map(|turn| (turn, self.core.tables_mut().next_slice(SLICE_RECORDS, now)));
        match (slice, &self.streaming) {
            (Some((turn, Some(slice))), Some(to)) => {
                to.give(turn, &slice);
                ask_for_turn(to, myself.clone());
            }
            (last, _) => {
                let (slots, to) = (self.slots, self.streaming.take());
                self.core.tables_mut().end_scan();
                if let (Some(_), Some(to)) = (last, to) {
                    let finish = move |fate: Fate| {
                        if fate.is_ok() {
                            to.finish(slots);
                        }
                    };
                    self.core.when_durable(finish, now);
                }
            }
        }
    }

    /// Hands the store a batch, if the core has one.
    fn commit(&mut self, myself: &Mailbox) {
        if let Some(writes) = self.core.take_commit() {
            let (shard, metrics) = (myself.clone(), Arc::clone(&self.shared.metrics));
            let (records, stopwatch) = (writes.len(), Stopwatch::start());
            let done = move |result: Result<(), StoreError>| {
                metrics.commit(records, result.is_ok(), stopwatch.elapsed());
                // A shard that has failed meanwhile is restored from the store, which this batch has reached.
                let _ = shard.cast(ShardMessage::Committed(result));
            };
            self.shared.store.commit(writes, Box::new(done));
        }
    }
}
