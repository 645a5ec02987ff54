//! Answers to clients survive an orderly stop and a kill.

use crate::support::documented::{incorrect, locked, sent, verified};
use crate::support::{Setup, World, wrong};

#[tokio::test]
async fn after_an_orderly_stop_or_a_kill_everything_is_as_it_was() {
    // 1024 is the most.
    for (shards, is_killed) in [(None, false), (None, true), (Some(1024), false)] {
        println!("shards {shards:?}, killed: {is_killed}");
        let setup = shards.into_iter().fold(Setup::new(), |setup, shards| setup.config("shards", shards));
        let world = World::of(setup).await;
        let before = Before::prepare(&world).await;
        let world = if is_killed {
            world.restart_after_kill().await
        } else {
            let (world, finished) = world.restart().await;
            finished.exits(0);
            world
        };
        before.still_holds(&world).await;
    }
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
