//! Wall clocks that are wrong, or that change: over restarts and kills, and while the program runs.

use crate::belief::locked_number;
use crate::support::prelude::*;

const HOUR: i64 = 60 * 60;
const YEAR: i64 = 365 * 24 * HOUR;

#[tokio::test]
async fn the_clock_that_the_program_sees_is_the_one_that_is_set() {
    // All of these tests depend on this.
    let shifted = ShiftedWorld::new().await;
    shifted.clock.by(100 * YEAR);
    shifted.world.number_with_code().await;
    let year = |event: &Value| event["timestamp"].as_str()?.get(..4)?.parse::<u32>().ok();
    let output = shifted.world.server.output();
    let before = output.events().first().and_then(year).expect("a year");
    let later = output.event(|event| year(event).is_some_and(|year| year >= before + 99));
    soon("a line of another century", later).await.expect("the program runs");
}

/// A server under a clock of its own, and a number that is locked out for 30 minutes.
struct ShiftedWorld {
    clock: Shifted,
    world: World,
    locked: String,
}

impl ShiftedWorld {
    async fn new() -> Self {
        let (clock, setup) = Shifted::over(Setup::new().config("otp-max-attempts", 2));
        let world = World::of(setup).await;
        let locked = locked_number(&world).await;
        Self { clock, world, locked }
    }

    async fn is_locked_for(&self, minutes: u32) {
        let (number, world) = (&self.locked, &self.world);
        world.send(number).await.expects(locked(number, minutes));
        world.verify(number, "123456").await.expects(locked(number, minutes));
    }
}

fn warnings(server: &Server) -> Vec<Value> {
    let of_clock = |event: &Value| {
        event["level"] == "WARN" && event["message"].as_str().is_some_and(|text| text.contains("clock"))
    };
    server.output().events().into_iter().filter(of_clock).collect()
}

#[tokio::test]
async fn everything_goes_on_after_kills_and_stops_with_clocks_set_back() {
    let mut shifted = ShiftedWorld::new().await;
    let (number, code) = shifted.world.number_with_code().await;
    let (other, its_code) = shifted.world.number_with_code().await;
    shifted.world.verify(&other, &wrong(&its_code)).await.expects(incorrect(&other, 1));
    for (hours, is_killed) in [(5, true), (100, false), (200, false), (500, true), (400_000, true)] {
        println!("{hours} hours back, killed: {is_killed}");
        shifted.clock.by(-hours * HOUR);
        shifted.world = shifted.world.restart_by(is_killed).await;
        let said = warnings(&shifted.world.server);
        assert!(said.len() == 1 && said[0]["message"].as_str().unwrap().contains("clock behind"), "{said:?}");
        shifted.is_locked_for(30).await;
    }
    shifted.world.verify(&number, &code).await.expects(verified(&number));
    shifted.world.verify(&other, &wrong(&its_code)).await.expects(locked(&other, 30));
}
