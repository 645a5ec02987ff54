//! Wall clocks that are wrong and that are set, under the real program: over restarts, kills, reboots, and
//! while it runs.

mod running;
mod starting;

use std::fs;

use serde_json::Value;

use crate::support::documented::locked;
use crate::support::{Server, Setup, Shifted, World, until, wrong};

const HOUR: i64 = 60 * 60;
const YEAR: i64 = 365 * 24 * HOUR;

/// A server under a clock of its own, and a number that is locked out for 30 minutes.
struct Wrong {
    clock: Shifted,
    world: World,
    locked: String,
}

impl Wrong {
    async fn new() -> Self {
        let (clock, setup) = Shifted::over(Setup::new().config("otp-max-attempts", 2));
        let world = World::of(setup).await;
        let locked = lock_out(&world).await;
        // From then on a kill costs nothing.
        let file = world.setup.data_dir().join("clock");
        let length = || async { fs::metadata(&file).map_or(0, |file| file.len()) };
        until("a mark of the time", length, |bytes| *bytes > 0).await;
        Self { clock, world, locked }
    }

    async fn is_locked_for(&self, minutes: u32) {
        let (number, world) = (&self.locked, &self.world);
        world.send(number).await.expects(locked(number, minutes));
        world.verify(number, "123456").await.expects(locked(number, minutes));
    }
}

async fn lock_out(world: &World) -> String {
    let (number, code) = world.number_with_code().await;
    for _ in 0..2 {
        world.verify(&number, &wrong(&code)).await;
    }
    world.send(&number).await.expects(locked(&number, 30));
    number
}

/// The warnings that speak of a clock.
fn warnings(server: &Server) -> Vec<Value> {
    let of_clock = |event: &Value| {
        event["level"] == "WARN" && event["message"].as_str().is_some_and(|text| text.contains("clock"))
    };
    server.output().events().into_iter().filter(of_clock).collect()
}
