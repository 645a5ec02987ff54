//! The task of a shard: it passes messages to a [`Core`] and the core's commits to the store.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::Shared;
use super::command::AnyCommand;
use super::core::Core;
use super::restore::restore;
use super::table::Tables;
use crate::clock::{Alarm, Stopwatch};
use crate::domain::Timestamp;
use crate::observe::metrics::CommitFacts;
use crate::store::{RecordStream, SLICE_RECORDS, Slots, StoreError, StreamTurn};

/// Wait before a shard that cannot be restored is tried again.
const RETRY_RESTORE: Duration = Duration::from_secs(1);
/// Records of each kind that one step of the sweep looks at.
const SWEEP_STEP: usize = 1_000;
/// Time between two steps: a million records are seen in under three minutes. Lazy changes are written as often.
const SWEEP_EVERY: Duration = Duration::from_millis(150);
/// Messages that are handled before the commit of their commands begins.
const AT_ONCE: usize = 256;

/// Where a shard takes messages. The limit on commands in flight bounds them.
pub type Mailbox = UnboundedSender<ShardMessage>;

/// A function that runs on a shard.
pub type CallFn = Box<dyn FnOnce(&mut Core, Timestamp) + Send>;

/// The messages of a shard.
pub enum ShardMessage {
    Command(Box<dyn AnyCommand>),
    /// The result of the commit in flight, and how long it took.
    Committed(Result<(), StoreError>, Duration),
    /// Runs a function between two commands.
    Call(CallFn),
    /// A checkpoint wants every record of the shard.
    Stream(RecordStream),
}

/// Runs the shard of this index, and starts it again from the store if it panics.
pub async fn keep_running(index: usize, mut running: Running, shared: Arc<Shared>) {
    while let Err(panic) = AssertUnwindSafe(running).catch_unwind().await {
        shared.router.set_mailbox(index, None);
        let why = panic.downcast_ref::<&str>().map(ToString::to_string);
        let why = why.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        tracing::error!(shard = index, why, "shard failed, restarting from the store");
        let tables = loop {
            let restored = restore(&*shared.store, &shared.kinds, &[shared.router.slots_of(index)]).await;
            match restored.map(|mut tables| tables.pop()) {
                Ok(Some(tables)) => break tables,
                Ok(None) => return,
                Err(error) => tracing::error!(shard = index, %error, "shard restart failed, retrying"),
            }
            sleep(RETRY_RESTORE).await;
        };
        running = start(index, tables, &shared);
        tracing::info!(shard = index, "shard restarted");
    }
}

/// What takes messages from the mailbox of a shard.
pub type Running = BoxFuture<'static, ()>;

/// Opens the mailbox of a shard.
pub fn start(index: usize, mut tables: Tables, shared: &Arc<Shared>) -> Running {
    for (kind, follower) in shared.indexes_of(index) {
        tables.follow(kind, follower);
    }
    let rng = StdRng::from_rng(&mut *shared.rng.lock().unwrap_or_else(PoisonError::into_inner));
    let mut core = Core::new(tables, shared.kinds.clone(), rng, shared.settings);
    core.set_limits(shared.store.limits());
    let (mailbox, messages) = unbounded_channel();
    shared.router.set_mailbox(index, Some(mailbox.clone()));
    let slots = shared.router.slots_of(index);
    Shard { core, slots, streaming: None, itself: mailbox, shared: Arc::clone(shared) }.run(messages).boxed()
}

struct Shard {
    core: Core,
    slots: Slots,
    /// A checkpoint that has not every record yet.
    streaming: Option<RecordStream>,
    itself: Mailbox,
    shared: Arc<Shared>,
}

impl Shard {
    async fn run(mut self, mut messages: UnboundedReceiver<ShardMessage>) {
        // Without a timer no batch waits for more commands, which costs a little more processor time.
        let alarm = Alarm::new().inspect_err(|error| tracing::debug!(%error, "shard timer unavailable")).ok();
        if alarm.is_some() {
            self.core.enable_batch_delay();
        }
        let (mut taken, mut is_waiting) = (Vec::with_capacity(AT_ONCE), false);
        let mut sweep = interval(SWEEP_EVERY);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // The shard decides commands between two slices of records.
            tokio::select! {
                _ = messages.recv_many(&mut taken, AT_ONCE) => self.handle(&mut taken),
                () = rung(alarm.as_ref()), if is_waiting => {
                    is_waiting = false;
                    self.core.batch_delay_ended(self.shared.clock.now());
                }
                _ = sweep.tick() => self.sweep(),
                turn = turn(self.streaming.as_ref()) => self.give_slice(turn),
            }
            self.commit();
            if let (Some(wait), Some(alarm)) = (self.core.take_wait(), &alarm) {
                is_waiting = alarm.set(wait).is_ok();
                if !is_waiting {
                    self.core.batch_delay_ended(self.shared.clock.now());
                    self.commit();
                }
            }
        }
    }

    /// Commands that come together are decided together.
    fn handle(&mut self, messages: &mut Vec<ShardMessage>) {
        let (core, now) = (&mut self.core, self.shared.clock.now());
        core.set_owns_records(self.shared.store.owns_records());
        let mut commands = Vec::new();
        for message in messages.drain(..) {
            match message {
                ShardMessage::Command(command) => {
                    commands.push(command);
                    continue;
                }
                _ if commands.is_empty() => {}
                _ => core.submit_all(std::mem::take(&mut commands), now),
            }
            match message {
                ShardMessage::Command(_) => {}
                ShardMessage::Committed(result, took) => {
                    core.commit_took(took);
                    core.committed(&result, now);
                }
                ShardMessage::Call(call) => call(core, now),
                ShardMessage::Stream(to) => {
                    core.tables_mut().begin_scan();
                    self.streaming = Some(to);
                }
            }
        }
        if !commands.is_empty() {
            core.submit_all(commands, now);
        }
    }

    fn sweep(&mut self) {
        self.core.set_owns_records(self.shared.store.owns_records());
        self.core.sweep(SWEEP_STEP, self.shared.clock.now());
        if self.core.is_late() {
            // The store logs its trouble when its health is read; `/readyz` may not be polled.
            let _ = self.shared.store.health();
        }
    }

    /// Gives the checkpoint a slice of records, or ends the shard's part of it. A checkpoint that was aborted has no turn.
    fn give_slice(&mut self, turn: Option<StreamTurn>) {
        let now = self.shared.clock.now();
        let slice = turn.map(|turn| (turn, self.core.tables_mut().next_slice(SLICE_RECORDS, now)));
        match (slice, &self.streaming) {
            (Some((turn, Some(slice))), Some(to)) => to.give(turn, &slice),
            (last, _) => {
                let (slots, to) = (self.slots, self.streaming.take());
                self.core.tables_mut().end_scan();
                if let (Some(_), Some(to)) = (last, to) {
                    self.core.when_written(Box::new(move || to.finish(slots)));
                }
            }
        }
    }

    /// Hands the store a batch, if the core has one.
    fn commit(&mut self) {
        let Some(writes) = self.core.take_commit() else { return };
        let (shard, metrics) = (self.itself.clone(), Arc::clone(&self.shared.metrics));
        let (records, stopwatch) = (writes.len(), Stopwatch::start());
        let done = move |result| {
            let took = stopwatch.elapsed();
            metrics.commit(&CommitFacts { records, result: &result, took });
            // A shard that has failed meanwhile is restored from the store, which this batch has reached.
            let _ = shard.send(ShardMessage::Committed(result, took));
        };
        self.shared.store.commit(writes, Box::new(done));
    }
}

async fn rung(alarm: Option<&Alarm>) {
    match alarm {
        Some(alarm) => alarm.rung().await,
        None => std::future::pending().await,
    }
}

async fn turn(streaming: Option<&RecordStream>) -> Option<StreamTurn> {
    match streaming {
        Some(to) => to.turn().await,
        None => std::future::pending().await,
    }
}
