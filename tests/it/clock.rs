//! Wall clocks that are wrong, or that change: over restarts and kills, and while the program runs.

use std::collections::BTreeSet;

use crate::belief::locked_number;
use crate::support::prelude::*;

const HOUR: i64 = 60 * 60;
const YEAR: i64 = 365 * 24 * HOUR;

#[tokio::test]
async fn while_it_runs_a_clock_that_is_set_changes_nothing() {
    let shifted = ShiftedWorld::ahead_by(0).await;
    let (number, code) = shifted.world.number_with_code().await;
    for shift in [5 * HOUR, -5 * HOUR, 300 * YEAR, -50 * YEAR] {
        shifted.clock.by(shift);
        shifted.is_locked_for(30).await;
    }
    shifted.world.verify(&number, &code).await.expects(verified(&number));
    assert_eq!(warnings(&shifted.world.server), [] as [Value; 0]);
}

#[tokio::test]
async fn the_clock_that_the_program_sees_is_the_one_that_is_set() {
    // All of these tests depend on this.
    let shifted = ShiftedWorld::ahead_by(0).await;
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
    async fn ahead_by(seconds: i64) -> Self {
        let (clock, setup) = Shifted::over(Setup::new().config("otp-max-attempts", 2));
        clock.by(seconds);
        let world = World::of(setup).await;
        let locked = locked_number(&world).await;
        Self { clock, world, locked }
    }

    async fn stopped(self) -> StoppedWorld {
        let Self { clock, world, locked } = self;
        let World { doubles: twilio, setup, server, numbers } = world;
        server.stop().await;
        StoppedWorld { clock, twilio, setup, numbers, locked }
    }

    async fn is_locked_for(&self, minutes: u32) {
        let (number, world) = (&self.locked, &self.world);
        world.send(number).await.expects(locked(number, minutes));
        world.verify(number, "123456").await.expects(locked(number, minutes));
    }
}

/// The same without a running server.
struct StoppedWorld {
    clock: Shifted,
    twilio: Twilio,
    setup: Setup,
    numbers: Numbers,
    locked: String,
}

impl StoppedWorld {
    async fn start(self) -> ShiftedWorld {
        let Self { clock, twilio, setup, numbers, locked } = self;
        let server = setup.start().await;
        ShiftedWorld { clock, world: World { doubles: twilio, setup, server, numbers }, locked }
    }
}

fn warnings(server: &Server) -> Vec<Value> {
    let of_clock = |event: &Value| {
        event["level"] == "WARN" && event["message"].as_str().is_some_and(|text| text.contains("clock"))
    };
    server.output().events().into_iter().filter(of_clock).collect()
}

#[tokio::test]
async fn an_export_without_a_server_while_the_clock_is_ahead_has_everything() {
    let stopped = ShiftedWorld::ahead_by(0).await.stopped().await;
    stopped.clock.by(2 * HOUR);
    let lines = export(&stopped.setup, "ahead.jsonl").await;
    let checked = stopped.setup.command(["check-data", "--json"]).await;
    stopped.clock.by(0);
    assert!(records(&lines).iter().any(|line| line.contains(&stopped.locked)), "{lines:?}");
    let counts = parsed(checked.output.trim());
    assert_eq!((&counts["numbers"], &counts["sends"]), (&1.into(), &1.into()), "{counts}");
    stopped.moved("ahead.jsonl").await.start().await.is_locked_for(30).await;
}

#[tokio::test]
async fn an_export_of_a_directory_whose_time_is_ahead_prolongs_nothing() {
    let shifted = ShiftedWorld::ahead_by(24 * HOUR).await;
    shifted.clock.by(0);
    let shifted = shifted.stopped().await.start().await;
    shifted.is_locked_for(30).await;
    let through_server = export(&shifted.world.setup, "served.jsonl").await;
    let stopped = shifted.stopped().await;
    let without = export(&stopped.setup, "alone.jsonl").await;
    // The guard's allowances refill meanwhile.
    let is_lasting = |record: &&String| !record.contains("\"guard records\"");
    let lasting = [&through_server, &without]
        .map(|export| records(export).iter().filter(is_lasting).cloned().collect::<BTreeSet<_>>());
    assert_eq!(lasting[0], lasting[1]);
    let shifted = stopped.moved("served.jsonl").await.start().await;
    shifted.is_locked_for(30).await;
    let stopped = shifted.stopped().await;
    stopped.moved("alone.jsonl").await.start().await.is_locked_for(30).await;
}

impl StoppedWorld {
    /// Replaces the data directory by an import of this export.
    async fn moved(self, export: &str) -> Self {
        import(&self.setup, export, "new").await.exits(0);
        replace_data(&self.setup, "new");
        self
    }
}

#[tokio::test]
async fn everything_goes_on_after_kills_and_stops_with_clocks_set_back() {
    let mut shifted = ShiftedWorld::ahead_by(0).await;
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
