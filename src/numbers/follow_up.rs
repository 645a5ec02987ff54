//! Sends that nobody waits for: what delivery planned is made when its time has come, if its code can
//! still be used.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, watch};
use tokio::time::sleep;

use super::command::{CommandKind, Deps, FollowedUp, NumberCommand, Reply, ResumeCommand};
use super::record::NumberKey;
use crate::delivery::tracker::{Dropped, Due, Tracker};
use crate::domain::{Timestamp, TrackKey};
use crate::shard::Shards;

/// How often the plan is looked at while there is something in it. What is planned is due after half a
/// second at the earliest.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The wait before a follow-up is tried again that found no room, or no store.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Where planned sends come from.
pub trait Plan: Send + Sync + 'static {
    /// Takes those whose time has come; each is handed out once.
    fn take_due(&self, now: Timestamp) -> Vec<Due>;
    /// One of them is not made.
    fn drop_follow_up(&self, key: TrackKey, why: Dropped);
    /// Whether nothing is planned.
    fn is_empty(&self) -> bool;
    /// Returns when something is planned after there was nothing.
    fn planned(&self) -> impl Future<Output = ()> + Send;
}

impl Plan for Tracker {
    fn take_due(&self, now: Timestamp) -> Vec<Due> {
        Self::take_due(self, now)
    }

    fn drop_follow_up(&self, key: TrackKey, why: Dropped) {
        Self::drop_follow_up(self, key, why);
    }

    fn is_empty(&self) -> bool {
        self.next_due().is_none()
    }

    fn planned(&self) -> impl Future<Output = ()> + Send {
        self.earlier_due()
    }
}

/// What planned sends are made with.
pub struct FollowUps<P> {
    /// Where they come from.
    pub plan: P,
    /// Who decides whether they are still to be made.
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
pub async fn run<P: Plan>(follow_ups: FollowUps<P>, mut stop: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(follow_ups.at_once.max(1)));
    let follow_ups = Arc::new(follow_ups);
    loop {
        let idle = follow_ups.plan.is_empty();
        tokio::select! {
            () = told_to_stop(&mut stop) => return,
            () = follow_ups.plan.planned(), if idle => {}
            () = sleep(LOOK_EVERY), if !idle => {}
        }
        for due in follow_ups.due() {
            let room = tokio::select! {
                () = told_to_stop(&mut stop) => return,
                room = Arc::clone(&room).acquire_owned() => room,
            };
            let Ok(room) = room else { return };
            tokio::spawn(Arc::clone(&follow_ups).follow(due, room, stop.clone()));
        }
    }
}

async fn told_to_stop(stop: &mut watch::Receiver<bool>) {
    // An error says that nobody is left who could ask for anything.
    let _ = stop.wait_for(|stop| *stop).await;
}

impl<P: Plan> FollowUps<P> {
    fn due(&self) -> Vec<Due> {
        // A panic here must not be the end of every planned send.
        let take = AssertUnwindSafe(|| self.plan.take_due(self.shards.clock().now()));
        std::panic::catch_unwind(take).unwrap_or_else(|_panic| {
            tracing::error!("looking up planned messages panicked; trying again");
            Vec::new()
        })
    }

    async fn follow(self: Arc<Self>, due: Due, _room: OwnedSemaphorePermit, mut stop: watch::Receiver<bool>) {
        let (key, number) = (due.about.key, due.about.number);
        let followed = AssertUnwindSafe(self.follow_while_usable(due, &mut stop)).catch_unwind().await;
        match followed {
            // One that was stopped is due again after the next start.
            Ok(Followed::Settled | Followed::Stopped) => {}
            Ok(Followed::NotUsable) => self.plan.drop_follow_up(key, Dropped::NotUsable),
            Ok(Followed::Lost) | Err(_) => {
                tracing::error!(%number, "a planned message was lost in a shard's failure; it may have been sent");
            }
        }
    }

    async fn follow_while_usable(&self, due: Due, stop: &mut watch::Receiver<bool>) -> Followed {
        while self.shards.clock().now() < due.about.expires {
            match self.try_once(Box::new(due.clone())).await {
                Tried::Ended(followed) => return followed,
                Tried::Again => {}
            }
            tokio::select! {
                () = told_to_stop(stop) => return Followed::Stopped,
                () = sleep(TRY_AGAIN_AFTER) => {}
            }
        }
        Followed::NotUsable
    }

    async fn try_once(&self, due: Box<Due>) -> Tried {
        let place = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => place,
            Err(TryAcquireError::NoPermits) => return Tried::Again,
            Err(TryAcquireError::Closed) => return Tried::Ended(Followed::Stopped),
        };
        let (reply, answer) = Reply::new(place);
        let key = NumberKey { service: due.about.key.service, number: due.about.number };
        let resume = ResumeCommand { due, reply, decided: None };
        let command = NumberCommand::new(key, CommandKind::Resume(resume), Arc::clone(&self.deps));
        self.shards.router().send(command);
        match answer.await {
            Ok(Ok(FollowedUp::Done)) => Tried::Ended(Followed::Settled),
            Ok(Ok(FollowedUp::NotUsable)) => Tried::Ended(Followed::NotUsable),
            // Nothing was sent, and the code may be good for a while yet.
            Ok(Ok(FollowedUp::NoRoom) | Err(_)) => Tried::Again,
            // The shard failed with it, before or after it was sent: never twice.
            Err(_) => Tried::Ended(Followed::Lost),
        }
    }
}

/// How one try at a planned send ended.
enum Tried {
    Ended(Followed),
    Again,
}

/// How a planned send ended.
enum Followed {
    Settled,
    NotUsable,
    Stopped,
    Lost,
}
