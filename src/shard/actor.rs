//! The ractor actor around a [`Core`]: it feeds the core what arrives and does what comes out.

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::core::Core;
use super::message::Message;
use super::surroundings::Surroundings;
use super::{ask, dispatch};
use crate::clock::Alarm;
use crate::store::Write;

/// Numbers looked at by one step of the sweep.
const SWEEP_STEP: usize = 1_000;
/// Time between two steps: a million numbers per shard are seen in under three minutes.
const SWEEP_EVERY: Duration = Duration::from_millis(150);

/// The actor.
pub struct ShardActor;

/// The actor's state.
pub struct ShardState {
    core: Core,
    around: Arc<Surroundings>,
    alarm: Option<Alarm>,
}

impl Actor for ShardActor {
    type Msg = Message;
    type State = ShardState;
    type Arguments = (Core, Arc<Surroundings>);

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        (mut core, around): Self::Arguments,
    ) -> Result<ShardState, ActorProcessingErr> {
        myself.send_interval(SWEEP_EVERY, || Message::Sweep);
        // Without one no batch waits for company, and all goes on a little dearer.
        let alarm = Alarm::new().inspect_err(|error| tracing::debug!(%error, "no timer for a shard")).ok();
        if alarm.is_some() {
            core.may_gather();
        }
        Ok(ShardState { core, around, alarm })
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut ShardState,
    ) -> Result<(), ActorProcessingErr> {
        let ShardState { core, around, alarm } = state;
        let now = around.clock.now();
        match message {
            Message::Command(command) => core.submit(command, now),
            Message::Committed(result) => core.committed(result, now),
            Message::IsUsable(key, salt, reply) => {
                let _ = reply.send(core.is_usable(&key, &salt, now));
            }
            Message::Live(key, track, reply) => {
                let _ = reply.send(core.live_of(&key, track, now));
            }
            Message::Facts(key, reply) => {
                let _ = reply.send(core.facts(&key, now));
            }
            Message::Gathered => core.gathered(now),
            Message::Sweep => {
                core.sweep(SWEEP_STEP, now);
            }
        }
        for send in core.take_dispatches() {
            tokio::spawn(dispatch::run(send, Arc::clone(around)));
        }
        for question in core.take_asks() {
            tokio::spawn(ask::run(question, Arc::clone(around)));
        }
        for note in core.take_notes() {
            around.delivery.note_check(note.key, note.status);
        }
        if let Some(writes) = core.take_commit() {
            tokio::spawn(commit(writes, Arc::clone(around), myself.clone()));
        }
        if let (Some(wait), Some(alarm)) = (core.take_wait(), alarm) {
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

/// The actor never waits for the disk: the end of a commit comes back as a message. The store keeps
/// the time itself: it must learn that nobody waits for an answer any more, which a future that is
/// dropped from outside cannot tell it.
async fn commit(writes: Vec<Write>, around: Arc<Surroundings>, shard: ActorRef<Message>) {
    let result = around.store.cas(writes, around.commit_timeout).await;
    // A shard that has failed meanwhile starts again from the store, which this batch has reached.
    let _ = shard.cast(Message::Committed(result));
}
