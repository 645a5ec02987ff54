//! Answers to clients survive an orderly stop and a kill.

use serde_json::json;

use crate::support::documented::{incorrect, locked, sent, verified};
use crate::support::{World, wrong};

#[tokio::test]
async fn after_an_orderly_stop_everything_is_as_it_was() {
    let world = World::new().await;
    let before = Before::prepare(&world).await;
    let (world, finished) = world.restart().await;
    assert_eq!(finished.status.code(), Some(0), "{}", finished.output);
    before.still_holds(&world).await;
}

#[tokio::test]
async fn after_a_kill_everything_is_as_it_was() {
    let world = World::new().await;
    let before = Before::prepare(&world).await;
    let world = world.restart_after_kill().await;
    before.still_holds(&world).await;
}

#[tokio::test]
async fn a_lockout_survives_many_restarts_of_both_kinds() {
    let mut world = World::with([("otp-max-attempts", json!(1))]).await;
    let (number, code) = world.number_with_code().await;
    world.verify(&number, &wrong(&code)).await.expects(locked(&number, 30));
    for _ in 0..3 {
        world = world.restart_after_kill().await;
        world.send(&number).await.expects(locked(&number, 30));
        (world, _) = world.restart().await;
        world.verify(&number, &code).await.expects(locked(&number, 30));
    }
}

#[tokio::test]
async fn with_as_many_shards_as_may_be_the_server_starts_and_finds_everything() {
    let world = World::with([("shards", json!(1024))]).await;
    let before = Before::prepare(&world).await;
    let (world, _) = world.restart().await;
    before.still_holds(&world).await;
}

#[tokio::test]
async fn a_count_goes_on_across_kills() {
    let mut world = World::new().await;
    let (number, code) = world.number_with_code().await;
    for trials in [4, 3, 2, 1] {
        world.verify(&number, &wrong(&code)).await.expects(incorrect(&number, trials));
        world = world.restart_after_kill().await;
    }
    world.verify(&number, &wrong(&code)).await.expects(locked(&number, 30));
}

#[tokio::test]
async fn the_server_key_is_made_once() {
    let world = World::new().await;
    let key = world.setup.data_dir().join("server.key");
    let made = std::fs::read(&key).expect("a key");
    let (_world, _) = world.restart().await;
    assert_eq!(std::fs::read(&key).expect("a key"), made);
}

struct Before {
    waiting: (String, String),
    counted: (String, String),
    locked: (String, String),
    used: (String, String),
}

impl Before {
    async fn prepare(world: &World) -> Self {
        let before = Self {
            waiting: world.number_with_code().await,
            counted: world.number_with_code().await,
            locked: world.number_with_code().await,
            used: world.number_with_code().await,
        };
        let (number, code) = &before.counted;
        world.verify(number, &wrong(code)).await.expects(incorrect(number, 4));
        world.verify(number, &wrong(code)).await.expects(incorrect(number, 3));
        let (number, code) = &before.locked;
        for _ in 0..5 {
            world.verify(number, &wrong(code)).await;
        }
        let (number, code) = &before.used;
        world.verify(number, code).await.expects(verified(number));
        before
    }

    async fn still_holds(self, world: &World) {
        let (number, code) = self.waiting;
        world.verify(&number, &code).await.expects(verified(&number));

        let (number, _) = self.counted;
        world.send(&number).await.expects(sent(&number, 3));
        world.verify(&number, &wrong(&world.twilio.code_for(&number))).await.expects(incorrect(&number, 2));
        world.verify(&number, &world.twilio.code_for(&number)).await.expects(verified(&number));

        let (number, code) = self.locked;
        world.verify(&number, &code).await.expects(locked(&number, 30));
        world.send(&number).await.expects(locked(&number, 30));

        let (number, code) = self.used;
        world.verify(&number, &code).await.expects(incorrect(&number, 5));
        world.send(&number).await.expects(sent(&number, 5));
    }
}
