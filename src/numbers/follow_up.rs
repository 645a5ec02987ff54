//! Makes what delivery planned when its time has come. The number's shard decides whether the code can still be used, and
//! begins it durably before a gateway is asked.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, watch};
use tokio::time::sleep;

use super::command::{CommandKind, Deps, NumberCommand, Reply, ResumeCommand};
use super::record::NumberKey;
use crate::attempts::{Attempts, Due};
use crate::shard::Shards;

/// How often the plan is looked at while there is something in it. What is planned is due after half a
/// second at the earliest.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The wait before a follow-up is tried again that found no room, or no store.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Follow-ups that are taken at once.
const DUE_AT_ONCE: usize = 256;

/// What planned sends are made with.
pub struct FollowUps {
    /// Where they come from.
    pub attempts: Attempts,
    /// The shards that decide whether they are still to be made.
    pub shards: Shards,
    /// What decisions are made with.
    pub deps: Arc<Deps>,
    /// The places of commands in flight: a planned send takes one, so that a stop waits for it.
    pub places: Arc<Semaphore>,
    /// How many are made at once.
    pub at_once: usize,
}

/// Makes planned sends until `stop` is told to, or its other end is gone. What has begun by then goes
/// on; what has not is due again after the next start.
pub async fn run(follow_ups: FollowUps, mut stop: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(follow_ups.at_once.max(1)));
    let follow_ups = Arc::new(follow_ups);
    loop {
        let idle = follow_ups.attempts.has_no_plans();
        tokio::select! {
            () = told_to_stop(&mut stop) => return,
            () = follow_ups.attempts.planned(), if idle => {}
            () = sleep(LOOK_EVERY), if !idle => {}
        }
        for due in follow_ups.attempts.take_due(follow_ups.shards.clock().now(), DUE_AT_ONCE) {
            let room = tokio::select! {
                () = told_to_stop(&mut stop) => return,
                room = Arc::clone(&room).acquire_owned() => room,
            };
            let Ok(room) = room else { return };
            tokio::spawn(Arc::clone(&follow_ups).follow(due, room));
        }
    }
}

async fn told_to_stop(stop: &mut watch::Receiver<bool>) {
    // An error says that the last handle is gone.
    let _ = stop.wait_for(|stop| *stop).await;
}

impl FollowUps {
    async fn follow(self: Arc<Self>, due: Due, _room: OwnedSemaphorePermit) {
        let is_refused = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => {
                let (reply, answer) = Reply::new(place);
                let number = NumberKey { service: due.key.service, number: due.number };
                let resume = ResumeCommand { track: due.key, reply, decided: None };
                let command = NumberCommand::new(number, CommandKind::Resume(resume), Arc::clone(&self.deps));
                self.shards.router().send(command);
                // A shard that fails with it offers it again when it restarts, unless it had begun.
                matches!(answer.await, Ok(Err(_)))
            }
            Err(TryAcquireError::NoPermits) => true,
            Err(TryAcquireError::Closed) => false,
        };
        // Nothing was sent, and the code may be good for a while yet.
        if is_refused {
            self.attempts.put_back(due, self.shards.clock().now().plus(TRY_AGAIN_AFTER));
        }
    }
}
