//! The scheduler of planned sends. When one is due, the number's shard decides whether the code can still be used, and
//! records its beginning before a gateway is asked.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::sleep;

use super::command::{NumberCommand, NumberDeps, Request, Responder};
use super::in_flight::CommandLimit;
use crate::delivery::attempts::{Attempts, Due};
use crate::domain::NumberKey;
use crate::shard::{Refusal, Shards};

/// Poll interval for due plans while at least one plan exists. A planned send is due after half a second at the
/// earliest.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The wait before a refused planned send is tried again.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Planned sends that one poll takes.
const DUE_AT_ONCE: usize = 256;

/// The scheduler's dependencies.
pub struct FollowUps {
    /// The plans.
    pub attempts: Attempts,
    /// The shards that decide planned sends.
    pub shards: Shards,
    /// The dependencies of each command.
    pub deps: Arc<NumberDeps>,
    /// The limit on commands in flight. A planned send takes a place of its service, therefore a stop waits for it.
    pub limit: Arc<CommandLimit>,
    /// Sends in flight at once.
    pub at_once: usize,
}

/// Makes planned sends until `stop` is true or its sender is dropped. Sends that have begun by then go on; the others are
/// due again after the next start.
pub async fn run(follow_ups: FollowUps, mut stop: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(follow_ups.at_once.max(1)));
    let follow_ups = Arc::new(follow_ups);
    loop {
        let idle = follow_ups.attempts.has_no_plans();
        tokio::select! {
            () = stop_requested(&mut stop) => return,
            () = follow_ups.attempts.planned(), if idle => {}
            () = sleep(LOOK_EVERY), if !idle => {}
        }
        for due in follow_ups.attempts.take_due(follow_ups.shards.clock().now(), DUE_AT_ONCE) {
            let room = tokio::select! {
                () = stop_requested(&mut stop) => return,
                room = Arc::clone(&room).acquire_owned() => room,
            };
            let Ok(room) = room else { return };
            tokio::spawn(Arc::clone(&follow_ups).follow(due, room));
        }
    }
}

async fn stop_requested(stop: &mut watch::Receiver<bool>) {
    // An error means that the last handle is dropped.
    let _ = stop.wait_for(|stop| *stop).await;
}

impl FollowUps {
    async fn follow(self: Arc<Self>, due: Due, _room: OwnedSemaphorePermit) {
        let is_refused = match self.limit.acquire(due.key.service, true) {
            Ok(permit) => {
                let (responder, pending) = Responder::new(permit);
                let number = NumberKey::new(due.key.service, due.number);
                let resume = Request::Resume(due.key, responder);
                self.shards.submit(NumberCommand::new(number, resume, Arc::clone(&self.deps)));
                // If the shard fails, its index offers the plan again after the restart, unless the send had begun.
                matches!(pending.await, Ok(Err(_)))
            }
            Err(refusal) => refusal != Refusal::Stopping,
        };
        // Nothing was sent, and the code may still be usable.
        if is_refused {
            self.attempts.put_back(due, self.shards.clock().now().plus(TRY_AGAIN_AFTER));
        }
    }
}
