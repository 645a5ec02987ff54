//! Wall clocks that are wrong, or that change: over restarts and kills, and while the program runs.

mod commands;
mod starting;

use serde_json::Value;

use crate::support::documented::{locked, verified};
use crate::support::{Numbers, Server, Setup, Shifted, Twilio, World, soon, wrong};

const HOUR: i64 = 60 * 60;
const YEAR: i64 = 365 * 24 * HOUR;

#[tokio::test]
async fn while_it_runs_a_clock_that_is_set_changes_nothing() {
    let wrong = Wrong::new().await;
    let (number, code) = wrong.world.number_with_code().await;
    for shift in [5 * HOUR, -5 * HOUR, 300 * YEAR, -50 * YEAR] {
        wrong.clock.by(shift);
        wrong.is_locked_for(30).await;
    }
    wrong.world.verify(&number, &code).await.expects(verified(&number));
    assert_eq!(warnings(&wrong.world.server), [] as [Value; 0]);
}

#[tokio::test]
async fn the_clock_that_the_program_sees_is_the_one_that_is_set() {
    // All of these tests depend on this.
    let wrong = Wrong::new().await;
    wrong.clock.by(100 * YEAR);
    wrong.world.number_with_code().await;
    let year = |event: &Value| event["timestamp"].as_str()?.get(..4)?.parse::<u32>().ok();
    let output = wrong.world.server.output();
    let before = output.events().first().and_then(year).expect("a year");
    let later = output.event(|event| year(event).is_some_and(|year| year >= before + 99));
    soon("a line of another century", later).await.expect("the program runs");
}

/// A server under a clock of its own, and a number that is locked out for 30 minutes.
struct Wrong {
    clock: Shifted,
    world: World,
    locked: String,
}

impl Wrong {
    async fn new() -> Self {
        Self::ahead_by(0).await
    }

    /// Runs the server under a clock that is ahead by `seconds`.
    async fn ahead_by(seconds: i64) -> Self {
        let (clock, setup) = Shifted::over(Setup::new().config("otp-max-attempts", 2));
        clock.by(seconds);
        let world = World::of(setup).await;
        let locked = lock_out(&world).await;
        Self { clock, world, locked }
    }

    /// Stops the server in order.
    async fn stopped(self) -> Down {
        let Self { clock, world: World { twilio, setup, server, numbers }, locked } = self;
        server.stop().await;
        Down { clock, twilio, setup, numbers, locked }
    }

    async fn is_locked_for(&self, minutes: u32) {
        let (number, world) = (&self.locked, &self.world);
        world.send(number).await.expects(locked(number, minutes));
        world.verify(number, "123456").await.expects(locked(number, minutes));
    }
}

/// The same without a running server.
struct Down {
    clock: Shifted,
    twilio: Twilio,
    setup: Setup,
    numbers: Numbers,
    locked: String,
}

impl Down {
    async fn start(self) -> Wrong {
        let Self { clock, twilio, setup, numbers, locked } = self;
        let server = setup.start().await;
        Wrong { clock, world: World { twilio, setup, server, numbers }, locked }
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

/// The warnings about a clock.
fn warnings(server: &Server) -> Vec<Value> {
    let of_clock = |event: &Value| {
        event["level"] == "WARN" && event["message"].as_str().is_some_and(|text| text.contains("clock"))
    };
    server.output().events().into_iter().filter(of_clock).collect()
}
