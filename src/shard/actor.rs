//! The ractor actor of a shard: it passes messages to a [`Core`] and the core's commits to the store.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, ActorStatus, MessagingErr};
use tokio::sync::oneshot;

use super::Shared;
use super::command::AnyCommand;
use super::core::Core;
use super::table::{Index, Tables};
use crate::clock::{Alarm, Stopwatch};
use crate::domain::Timestamp;
use crate::observe::metrics::CommitFacts;
use crate::store::{Pushed, RecordStream, SLICE_RECORDS, Slots, StoreError};

/// Records of each kind that one step of the sweep looks at.
const SWEEP_STEP: usize = 1_000;
/// Time between two steps: a million records are seen in under three minutes. Lazy changes are written as often.
const SWEEP_EVERY: Duration = Duration::from_millis(150);

/// A function that runs on the shard between two commands.
pub type ReadFn = Box<dyn FnOnce(&mut Core, Timestamp) + Send>;

/// The messages of a shard.
pub enum ShardMessage {
    /// Commands wait in the [`Mailbox`].
    Commands,
    /// The result of the commit in flight, and how long it took.
    Committed(Result<(), StoreError>, Duration),
    /// Runs a function on the core.
    Read(ReadFn),
    /// Attaches an index to a kind.
    Follow(u8, Box<dyn Index>),
    /// The wait for more commands has ended.
    BatchDelayEnded,
    /// Time for a step of the sweep.
    Sweep,
    /// A checkpoint wants every record of the shard.
    Stream(RecordStream),
    /// The next slice of records for the checkpoint is due.
    StreamNext,
    /// Commits lazy changes. The shard notifies the sender when it has finished or the store refuses them.
    Flush(oneshot::Sender<()>),
}

/// Where a shard takes messages. Commands that come together wake it once, and it decides them together.
#[derive(Clone)]
pub struct Mailbox {
    actor: ActorRef<ShardMessage>,
    commands: Arc<CommandQueue>,
}

impl Mailbox {
    pub const fn new(actor: ActorRef<ShardMessage>, commands: Arc<CommandQueue>) -> Self {
        Self { actor, commands }
    }

    /// Whether the shard takes messages.
    pub fn is_open(&self) -> bool {
        self.actor.get_status() == ActorStatus::Running
    }

    /// Hands the shard a command. One that has ended drops it.
    pub fn submit(&self, command: Box<dyn AnyCommand>) {
        if self.commands.push(command) && self.actor.cast(ShardMessage::Commands).is_err() {
            self.commands.close();
        }
    }

    /// Ends the shard as a failure does.
    #[cfg(test)]
    pub fn kill(&self) {
        self.actor.kill();
    }

    /// # Errors
    /// The shard has ended.
    pub fn cast(&self, message: ShardMessage) -> Result<(), MessagingErr<ShardMessage>> {
        self.actor.cast(message)
    }
}

/// Commands that a shard has not taken yet; `None` once it has ended. The limit on commands in flight bounds them.
pub struct CommandQueue(Mutex<Option<Vec<Box<dyn AnyCommand>>>>);

impl Default for CommandQueue {
    fn default() -> Self {
        Self(Mutex::new(Some(Vec::new())))
    }
}

impl CommandQueue {
    /// Returns whether the shard must be woken: whether it is the first command since the shard took the others.
    fn push(&self, command: Box<dyn AnyCommand>) -> bool {
        let mut commands = self.lock();
        let Some(waiting) = &mut *commands else { return false };
        waiting.push(command);
        waiting.len() == 1
    }

    fn take(&self) -> Vec<Box<dyn AnyCommand>> {
        self.lock().as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Drops what waits and what comes later.
    fn close(&self) {
        // Releases the lock before it drops the commands.
        let waiting = self.lock().take();
        drop(waiting);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<Box<dyn AnyCommand>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Time between two attempts to give a slice to a busy checkpoint.
const STREAM_RETRY: Duration = Duration::from_millis(2);

/// The shard's part of a checkpoint: every record that is alive, kind by kind, once.
struct Streaming {
    to: Option<RecordStream>,
    /// The slots of the shard.
    slots: Slots,
    /// The kinds that were not streamed yet. The shard scans the last of them.
    kinds: Vec<u8>,
    at_end: bool,
}

/// The next step of a checkpoint.
enum StreamStep {
    /// Send the next slice.
    More,
    /// Send the same slice again after [`STREAM_RETRY`].
    Busy,
    /// Wait until every lazy change is committed.
    Waiting,
    /// Stop: the checkpoint is complete or aborted.
    Over,
}

impl Streaming {
    fn new(to: RecordStream, slots: Slots, tables: &mut Tables) -> Self {
        let kinds: Vec<u8> = tables.kinds().collect();
        if let Some(kind) = kinds.last() {
            tables.begin_scan(*kind);
        }
        Self { to: Some(to), slots, kinds, at_end: false }
    }

    fn advance(&mut self, core: &mut Core, now: Timestamp) -> StreamStep {
        let Some(to) = &mut self.to else { return StreamStep::Over };
        if self.kinds.is_empty() {
            if !self.at_end {
                self.at_end = true;
                core.begin_lazy_commit();
            }
            if core.has_lazy_commit_failed() {
                return StreamStep::Over;
            }
            if !core.is_lazy_committed() {
                return StreamStep::Waiting;
            }
            if let Some(to) = self.to.take() {
                to.finish(self.slots);
            }
            return StreamStep::Over;
        }
        match to.ready() {
            Pushed::Accepted => {}
            Pushed::Busy => return StreamStep::Busy,
            Pushed::Aborted => return StreamStep::Over,
        }
        let (slice, next) = core.tables().next_slice(SLICE_RECORDS, now);
        match to.push(&slice) {
            Pushed::Accepted => {}
            Pushed::Busy => return StreamStep::Busy,
            Pushed::Aborted => return StreamStep::Over,
        }
        core.tables_mut().advance_scan(next);
        if next == 0 {
            self.kinds.pop();
            if let Some(kind) = self.kinds.last() {
                core.tables_mut().begin_scan(*kind);
            }
        }
        StreamStep::More
    }
}

/// The actor.
pub struct ShardActor;

/// The actor's state.
pub struct ShardState {
    core: Core,
    commands: Arc<CommandQueue>,
    slots: Slots,
    flushing: Vec<oneshot::Sender<()>>,
    streaming: Option<Streaming>,
    shared: Arc<Shared>,
    alarm: Option<Alarm>,
}

impl Drop for ShardState {
    fn drop(&mut self) {
        self.commands.close();
    }
}

impl Actor for ShardActor {
    type Msg = ShardMessage;
    type State = ShardState;
    type Arguments = (Core, Slots, Arc<Shared>, Arc<CommandQueue>);

    async fn pre_start(
        &self,
        myself: ActorRef<ShardMessage>,
        (mut core, slots, shared, commands): Self::Arguments,
    ) -> Result<ShardState, ActorProcessingErr> {
        myself.send_interval(SWEEP_EVERY, || ShardMessage::Sweep);
        // Without a timer no batch waits for more commands, which costs a little more processor time.
        let ring = move || drop(myself.cast(ShardMessage::BatchDelayEnded));
        let alarm =
            Alarm::new(ring).inspect_err(|error| tracing::debug!(%error, "shard timer unavailable")).ok();
        if alarm.is_some() {
            core.enable_batch_delay();
        }
        Ok(ShardState { core, commands, slots, flushing: Vec::new(), streaming: None, shared, alarm })
    }

    async fn handle(
        &self,
        myself: ActorRef<ShardMessage>,
        message: ShardMessage,
        state: &mut ShardState,
    ) -> Result<(), ActorProcessingErr> {
        let now = state.shared.clock.now();
        let core = &mut state.core;
        core.set_owns_records(state.shared.store.owns_records());
        // One slice of records for each message: the shard decides commands in between.
        let gives_a_slice = matches!(message, ShardMessage::Stream(_) | ShardMessage::StreamNext);
        match message {
            ShardMessage::Commands => core.submit_all(state.commands.take(), now),
            ShardMessage::Committed(result, took) => {
                core.commit_took(took);
                core.committed(&result, now);
            }
            ShardMessage::Read(read) => read(core, now),
            ShardMessage::Follow(kind, index) => core.follow(kind, index),
            ShardMessage::BatchDelayEnded => core.batch_delay_ended(now),
            ShardMessage::Sweep => {
                core.sweep(SWEEP_STEP, now);
                if core.is_late() {
                    // The store logs its trouble when its health is read; `/readyz` may not be polled.
                    let _ = state.shared.store.health();
                }
            }
            ShardMessage::Stream(to) => {
                state.streaming = Some(Streaming::new(to, state.slots, core.tables_mut()));
            }
            ShardMessage::StreamNext => {}
            ShardMessage::Flush(done) => state.flushing.push(done),
        }
        if !state.flushing.is_empty() && core.flush(now) {
            state.flushing.drain(..).for_each(|done| {
                let _ = done.send(());
            });
        }
        let goes_on = |streaming: &&mut Streaming| gives_a_slice || streaming.at_end;
        if let Some(streaming) = state.streaming.as_mut().filter(goes_on) {
            match streaming.advance(core, now) {
                StreamStep::More => {
                    let _ = myself.cast(ShardMessage::StreamNext);
                }
                StreamStep::Busy => drop(myself.send_after(STREAM_RETRY, || ShardMessage::StreamNext)),
                StreamStep::Waiting => {}
                StreamStep::Over => end_streaming(&mut state.streaming, core),
            }
        }
        if let Some(writes) = core.take_commit() {
            let (shard, metrics) = (myself.clone(), Arc::clone(&state.shared.metrics));
            let (records, stopwatch) = (writes.len(), Stopwatch::start());
            let done = Box::new(move |result| {
                let took = stopwatch.elapsed();
                metrics.commit(&CommitFacts { records, result: &result, took });
                // A shard that has failed meanwhile is restored from the store, which this batch has reached.
                let _ = shard.cast(ShardMessage::Committed(result, took));
            });
            state.shared.store.commit(writes, done);
        }
        if let (Some(wait), Some(alarm)) = (core.take_wait(), &state.alarm) {
            // Without a ring the shard starts the next batch at once.
            if alarm.set(wait).is_err() {
                let _ = myself.cast(ShardMessage::BatchDelayEnded);
            }
        }
        Ok(())
    }
}

/// Ends the shard's part of a checkpoint, which aborts the checkpoint unless that part was finished.
fn end_streaming(streaming: &mut Option<Streaming>, core: &mut Core) {
    if streaming.take().is_some() {
        core.tables_mut().end_scan();
    }
}
