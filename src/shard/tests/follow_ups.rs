//! Planned sends, from the plan to the gateway.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::actors::{World, ask};
use super::world::{due, number};
use crate::clock::Clock;
use crate::config::Bounds;
use crate::delivery::tracker::{Dropped, Due};
use crate::domain::{ServiceId, Timestamp, TrackKey};
use crate::engine::Salt;
use crate::shard::SendAnswer;
use crate::shard::follow_up::Plan;
use crate::store::Fault;

#[tokio::test(start_paused = true)]
async fn a_planned_send_repeats_the_live_code() {
    let (world, plan) = planned(Bounds::default()).await;
    let code = world.sends(1).await;
    plan.add(due(number(1), world.live_salt().await, world.clock.now()));
    soon(|| world.simulator.messages(None, 10).len() == 2).await;
    assert!(world.simulator.messages(None, 10).iter().all(|message| message.code.matches(&code)));
    assert!(plan.dropped().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_planned_send_of_a_code_that_is_gone_is_dropped() {
    let (world, plan) = planned(Bounds::default()).await;
    let code = world.sends(1).await;
    let planned = due(number(1), world.live_salt().await, world.clock.now());
    world.checks(1, &code).await.expect("approved");
    let key = planned.about.key;
    plan.add(planned);
    soon(|| plan.dropped() == [(key, Dropped::NotUsable)]).await;
    assert_eq!(world.simulator.messages(None, 10).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_planned_send_whose_code_has_expired_is_dropped_without_asking() {
    let (world, plan) = planned(Bounds::default()).await;
    let mut planned = due(number(1), Salt([3; 16]), world.clock.now());
    planned.about.expires = world.clock.now();
    plan.add(planned);
    soon(|| plan.dropped().len() == 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_planned_send_that_finds_no_room_is_tried_again() {
    let (world, plan) = planned(Bounds { commands: 1, ..Bounds::default() }).await;
    world.sends(1).await;
    let salt = world.live_salt().await;
    world.store.hold();
    let busy = tokio::spawn(ask(world.verifier.clone(), 2));
    world.store.waiting(1).await;
    plan.add(due(number(1), salt, world.clock.now()));
    soon(|| plan.is_empty()).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(world.simulator.messages(Some(number(1).number), 10).len(), 1);
    world.store.release();
    assert!(matches!(busy.await.expect("no panic"), Ok(SendAnswer::Sent { .. })));
    soon(|| world.simulator.messages(Some(number(1).number), 10).len() == 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_planned_send_goes_on_when_the_store_recovers() {
    let (world, plan) = planned(Bounds::default()).await;
    world.sends(1).await;
    let salt = world.live_salt().await;
    world.store.fail_next([Fault::UnknownNotApplied]);
    world.checks_wrong(1).await.expect_err("the store failed");
    world.store.fail_next([Fault::UnknownNotApplied]);
    plan.add(due(number(1), salt, world.clock.now()));
    soon(|| world.simulator.messages(None, 10).len() == 2).await;
}

#[tokio::test(start_paused = true)]
async fn after_a_stop_no_planned_send_begins() {
    let (world, plan) = planned(Bounds::default()).await;
    world.sends(1).await;
    let salt = world.live_salt().await;
    world.verifier.stop().await;
    plan.add(due(number(1), salt, world.clock.now()));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!plan.is_empty(), "it is due again after the next start");
    assert_eq!(world.simulator.messages(None, 10).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_panics_is_asked_again() {
    let (world, plan) = planned(Bounds::default()).await;
    world.sends(1).await;
    let salt = world.live_salt().await;
    *plan.panics.lock().expect("not poisoned") = true;
    plan.add(due(number(1), salt, world.clock.now()));
    soon(|| world.simulator.messages(None, 10).len() == 2).await;
}

#[tokio::test]
async fn the_code_of_a_track_is_the_one_that_was_sent_until_it_is_used() {
    let world = World::start().await;
    let code = world.sends(1).await;
    let (number, track) = (number(1).number, world.live_salt().await.track());
    let found = world.verifier.code_of(ServiceId::DEFAULT, number, track).await.expect("a code");
    assert!(found.0.matches(&code) && !found.1.is_zero());
    assert!(world.verifier.code_of(ServiceId::DEFAULT, number, track ^ 1).await.is_none());
    world.checks(1, &code).await.expect("approved");
    assert!(world.verifier.code_of(ServiceId::DEFAULT, number, track).await.is_none());
}

/// Lets paused time go by until something can be seen.
async fn soon(mut seen: impl FnMut() -> bool) {
    for _ in 0..1_000 {
        if seen() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("nothing was seen for 20 seconds");
}

async fn planned(bounds: Bounds) -> (World, Scripted) {
    let world = World::with(bounds).await;
    let plan = Scripted::default();
    world.verifier.follow(plan.clone(), 4);
    (world, plan)
}

/// A plan that a test writes.
#[derive(Clone, Default)]
struct Scripted {
    due: Arc<Mutex<Vec<Due>>>,
    dropped: Arc<Mutex<Vec<(TrackKey, Dropped)>>>,
    panics: Arc<Mutex<bool>>,
}

impl Scripted {
    fn add(&self, due: Due) {
        self.due.lock().expect("not poisoned").push(due);
    }

    fn is_empty(&self) -> bool {
        self.due.lock().expect("not poisoned").is_empty()
    }

    fn dropped(&self) -> Vec<(TrackKey, Dropped)> {
        self.dropped.lock().expect("not poisoned").clone()
    }
}

impl Plan for Scripted {
    fn take_due(&self, _now: Timestamp) -> Vec<Due> {
        let panics = std::mem::take(&mut *self.panics.lock().expect("not poisoned"));
        if panics {
            std::panic::panic_any("a fault in the tracker");
        }
        std::mem::take(&mut *self.due.lock().expect("not poisoned"))
    }

    fn drop_follow_up(&self, key: TrackKey, why: Dropped) {
        self.dropped.lock().expect("not poisoned").push((key, why));
    }

    /// It may be asked at any time.
    fn is_empty(&self) -> bool {
        false
    }

    async fn planned(&self) {}
}
