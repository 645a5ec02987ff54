//! Starts the shards, and starts a failed one again from the store.

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::Shared;
use super::actor::{CommandQueue, Mailbox, ShardActor};
use super::core::{Core, ShardSettings};
use super::record::Kinds;
use super::restore::restore;
use super::table::Tables;

/// Wait before a shard that cannot be restored is tried again.
const RETRY_RESTORE: Duration = Duration::from_secs(1);

/// Restores and starts the shard of this index.
#[derive(Debug)]
pub struct Restart(usize);

/// Arguments of the supervisor.
pub struct SupervisorArgs {
    /// State that all shards share.
    pub shared: Arc<Shared>,
    /// The kinds of record that shards hold.
    pub kinds: Kinds,
    /// Bounds.
    pub settings: ShardSettings,
    /// Seeds the random source of each shard.
    pub rng: StdRng,
}

/// The actor.
pub struct Supervisor;

/// The actor's state.
pub struct SupervisorState {
    args: SupervisorArgs,
    shards: Vec<Option<ActorId>>,
}

impl Actor for Supervisor {
    type Msg = Restart;
    type State = SupervisorState;
    type Arguments = SupervisorArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<Restart>,
        mut args: SupervisorArgs,
    ) -> Result<SupervisorState, ActorProcessingErr> {
        let router = &args.shared.router;
        let owners = (0..router.shards()).map(|shard| router.slots_of(shard)).collect();
        let tables = restore(&args.shared, &args.kinds, owners).await?;
        let mut shards = Vec::with_capacity(tables.len());
        for (index, tables) in tables.into_iter().enumerate() {
            shards.push(Some(start(&myself, &mut args, index, tables).await?));
        }
        Ok(SupervisorState { args, shards })
    }

    async fn handle(
        &self,
        myself: ActorRef<Restart>,
        Restart(index): Restart,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        let SupervisorState { args, shards } = state;
        let owner = args.shared.router.slots_of(index);
        let started = match restore(&args.shared, &args.kinds, vec![owner])
            .await
            .map(|mut tables| tables.pop())
        {
            Ok(Some(tables)) => start(&myself, args, index, tables).await.map_err(|error| error.to_string()),
            Ok(None) => Err("no such shard".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        match started {
            Ok(id) => {
                if let Some(place) = shards.get_mut(index) {
                    *place = Some(id);
                }
                tracing::info!(shard = index, "shard restarted");
            }
            Err(error) => {
                tracing::error!(shard = index, error, "shard restart failed, retrying");
                myself.send_after(RETRY_RESTORE, move || Restart(index));
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Restart>,
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
        if let Some(place) = state.shards.get_mut(index) {
            *place = None;
        }
        tracing::error!(shard = index, why, "shard failed, restarting from the store");
        state.args.shared.router.set_mailbox(index, None);
        myself.cast(Restart(index))?;
        Ok(())
    }
}

async fn start(
    supervisor: &ActorRef<Restart>,
    args: &mut SupervisorArgs,
    index: usize,
    mut tables: Tables,
) -> Result<ActorId, ActorProcessingErr> {
    for (kind, follower) in args.shared.indexes_of(index) {
        tables.follow(kind, follower);
    }
    let mut core = Core::new(tables, args.kinds.clone(), StdRng::from_rng(&mut args.rng), args.settings);
    core.set_limits(args.shared.store.limits());
    let commands = Arc::<CommandQueue>::default();
    let slots = args.shared.router.slots_of(index);
    let arguments = (core, slots, Arc::clone(&args.shared), Arc::clone(&commands));
    let (shard, _) = ShardActor::spawn_linked(None, ShardActor, arguments, supervisor.get_cell()).await?;
    let id = shard.get_id();
    args.shared.router.set_mailbox(index, Some(Mailbox::new(shard, commands)));
    Ok(id)
}
