//! Starts the shards, and starts a failed one again from the store.

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};

use super::actor::ShardActor;
use super::core::Core;
use super::decide::Judge;
use super::fill::fill;
use super::surroundings::Surroundings;
use super::table::Table;

/// Wait before a shard that cannot be loaded is tried again.
const RETRY_LOAD: Duration = Duration::from_secs(1);

/// What the supervisor is told.
#[derive(Debug)]
pub enum Message {
    /// Load and start the shard of this index.
    Start(usize),
}

/// Makes a judge for one shard: each has a random source of its own.
pub type JudgeFactory = Box<dyn Fn() -> Judge + Send + Sync>;

/// What the supervisor works with.
pub struct Plan {
    /// What the shards work with.
    pub around: Arc<Surroundings>,
    /// Makes the judge of a shard.
    pub judge: JudgeFactory,
    /// Commands in flight for one number.
    pub commands_per_number: usize,
}

impl Plan {
    fn core(&self, table: Table) -> Core {
        Core::new(table, (self.judge)(), self.commands_per_number)
    }
}

/// The actor.
pub struct Supervisor;

/// The actor's state.
pub struct SupervisorState {
    plan: Plan,
    shards: Vec<Option<ActorId>>,
}

impl Actor for Supervisor {
    type Msg = Message;
    type State = SupervisorState;
    type Arguments = Plan;

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        plan: Plan,
    ) -> Result<SupervisorState, ActorProcessingErr> {
        let tables = fill(&plan.around, None).await?;
        let mut shards = Vec::with_capacity(tables.len());
        for (index, table) in tables.into_iter().enumerate() {
            shards.push(Some(start(&myself, &plan, index, table).await?));
        }
        Ok(SupervisorState { plan, shards })
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        Message::Start(index): Message,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        let started = match fill(&state.plan.around, Some(index)).await {
            Ok(mut tables) => match tables.pop() {
                Some(table) => start(&myself, &state.plan, index, table).await.map_err(|e| e.to_string()),
                None => Err("no such shard".to_owned()),
            },
            Err(error) => Err(error.to_string()),
        };
        match started {
            Ok(id) => {
                if let Some(slot) = state.shards.get_mut(index) {
                    *slot = Some(id);
                }
                tracing::info!(shard = index, "the shard is running again");
            }
            Err(error) => {
                tracing::error!(
                    shard = index,
                    error,
                    "the shard could not be started again; trying once more soon"
                );
                myself.send_after(RETRY_LOAD, move || Message::Start(index));
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Message>,
        event: SupervisionEvent,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        let (id, why) = match &event {
            SupervisionEvent::ActorFailed(cell, error) => (cell.get_id(), error.to_string()),
            SupervisionEvent::ActorTerminated(cell, _, reason) => {
                (cell.get_id(), reason.clone().unwrap_or_else(|| "ended".to_owned()))
            }
            _ => return Ok(()),
        };
        let Some(index) = state.shards.iter().position(|shard| *shard == Some(id)) else { return Ok(()) };
        if let Some(slot) = state.shards.get_mut(index) {
            *slot = None;
        }
        tracing::error!(shard = index, why, "a shard failed; it starts again from the store");
        state.plan.around.router.place(index, None);
        myself.cast(Message::Start(index))?;
        Ok(())
    }
}

async fn start(
    supervisor: &ActorRef<Message>,
    plan: &Plan,
    index: usize,
    table: Table,
) -> Result<ActorId, ActorProcessingErr> {
    let arguments = (plan.core(table), Arc::clone(&plan.around));
    let (shard, _) = ShardActor::spawn_linked(None, ShardActor, arguments, supervisor.get_cell()).await?;
    let id = shard.get_id();
    plan.around.router.place(index, Some(shard));
    Ok(id)
}
