//! The ractor actor around a [`Core`]: it feeds the core what arrives and does what comes out.

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;

use super::Shared;
use super::command::{Command, Refusal};
use super::core::Core;
use super::slots::Slots;
use super::table::{Index, Records, Tables};
use crate::clock::Alarm;
use crate::domain::Timestamp;
use crate::store::StoreError;

/// Records of each kind that one step of the sweep looks at.
const SWEEP_STEP: usize = 1_000;
/// Time between two steps: a million records are seen in under three minutes. Lazy changes are written as often.
const SWEEP_EVERY: Duration = Duration::from_millis(150);

/// What a shard is told.
pub enum Message {
    /// A command to decide.
    Command(Box<dyn Command>),
    /// How the commit in flight ended.
    Committed(Result<(), StoreError>),
    /// A question about the records in memory.
    Read(Box<dyn FnOnce(&Tables, Timestamp) + Send>),
    /// The moment in which a batch waits for more commands is over.
    Gathered,
    /// Time for a step of the sweep.
    Sweep,
    /// These slots belong to this shard from now on, and these are their records.
    Gain(Slots, Records),
    /// These slots belong to another shard from now on. The other end is told when the last change of theirs is durable or
    /// has failed, and their records are forgotten.
    Lose(Slots, oneshot::Sender<()>),
    /// An index follows the changes of a kind from now on.
    Follow(u8, Box<dyn Index>),
    /// Write lazy changes now. The other end is told when that is done, or the store does not take them.
    Flush(oneshot::Sender<()>),
}

/// The actor.
pub struct ShardActor;

/// The actor's state.
pub struct ShardState {
    core: Core,
    owned: Slots,
    /// Slots that are given up once no batch is in flight.
    losing: Vec<(Slots, oneshot::Sender<()>)>,
    flushing: Vec<oneshot::Sender<()>>,
    shared: Arc<Shared>,
    alarm: Option<Alarm>,
}

impl Actor for ShardActor {
    type Msg = Message;
    type State = ShardState;
    type Arguments = (Core, Slots, Arc<Shared>);

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        (mut core, owned, shared): Self::Arguments,
    ) -> Result<ShardState, ActorProcessingErr> {
        myself.send_interval(SWEEP_EVERY, || Message::Sweep);
        // Without a timer no batch waits for more commands, which costs a little more processor time.
        let alarm = Alarm::new().inspect_err(|error| tracing::debug!(%error, "no timer for a shard")).ok();
        if alarm.is_some() {
            core.may_gather();
        }
        Ok(ShardState { core, owned, losing: Vec::new(), flushing: Vec::new(), shared, alarm })
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut ShardState,
    ) -> Result<(), ActorProcessingErr> {
        let now = state.shared.clock.now();
        let core = &mut state.core;
        match message {
            Message::Command(command) if state.owned.contains(command.subject().slot) => {
                core.submit(command, now);
            }
            Message::Command(command) => command.refuse(Refusal::Stopping),
            Message::Committed(result) => core.committed(result, now),
            Message::Read(look) => look(core.tables(), now),
            Message::Gathered => core.gathered(now),
            Message::Sweep => {
                core.sweep(SWEEP_STEP, now);
            }
            Message::Gain(slots, records) => {
                core.take_over(records);
                slots.iter().for_each(|slot| state.owned.insert(slot));
            }
            Message::Lose(slots, done) => {
                slots.iter().for_each(|slot| state.owned.remove(slot));
                state.losing.push((slots, done));
            }
            Message::Follow(kind, index) => core.follow(kind, index),
            Message::Flush(done) => state.flushing.push(done),
        }
        let losing: Vec<Slots> = state.losing.iter().map(|(slots, _)| *slots).collect();
        if !losing.is_empty() && core.give_up(&losing, now) {
            state.losing.drain(..).for_each(|(_, done)| {
                let _ = done.send(());
            });
        }
        if !state.flushing.is_empty() && core.flush(now) {
            state.flushing.drain(..).for_each(|done| {
                let _ = done.send(());
            });
        }
        if let Some(writes) = core.take_commit() {
            let shard = myself.clone();
            // A shard that has failed meanwhile is restored from the store, which this batch has reached.
            state
                .shared
                .store
                .commit(writes, Box::new(move |result| drop(shard.cast(Message::Committed(result)))));
        }
        if let (Some(wait), Some(alarm)) = (core.take_wait(), &state.alarm) {
            let alarm = alarm.clone();
            tokio::spawn(async move {
                // If it does not ring, the next batch is cut at once.
                let _ = alarm.ring_in(wait).await;
                let _ = myself.cast(Message::Gathered);
            });
        }
        Ok(())
    }
}
