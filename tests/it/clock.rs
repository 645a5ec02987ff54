//! Wall clocks that are wrong, or that change: over restarts and kills, and while the program runs.

use std::collections::BTreeSet;

use crate::belief::locked_number;
use crate::support::prelude::*;
use crate::support::wrong as wrong_code;

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

    async fn ahead_by(seconds: i64) -> Self {
        let (clock, setup) = Shifted::over(Setup::new().config("otp-max-attempts", 2));
        clock.by(seconds);
        let world = World::of(setup).await;
        let locked = locked_number(&world).await;
        Self { clock, world, locked }
    }

    async fn stopped(self) -> Down {
        let Self { clock, world, locked } = self;
        let World { doubles: twilio, setup, server, numbers } = world;
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
        Wrong { clock, world: World { doubles: twilio, setup, server, numbers }, locked }
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
    let down = Wrong::new().await.stopped().await;
    down.clock.by(2 * HOUR);
    let lines = export(&down.setup, "ahead.jsonl").await;
    let checked = down.setup.command(["check-data", "--json"]).await;
    down.clock.by(0);
    assert!(records(&lines).iter().any(|line| line.contains(&down.locked)), "{lines:?}");
    let counts = parsed(checked.output.trim());
    assert_eq!((&counts["numbers"], &counts["sends"]), (&1.into(), &1.into()), "{counts}");
    down.moved("ahead.jsonl").await.start().await.is_locked_for(30).await;
}

#[tokio::test]
async fn an_export_of_a_directory_whose_time_is_ahead_prolongs_nothing() {
    let wrong = Wrong::ahead_by(24 * HOUR).await;
    wrong.clock.by(0);
    let wrong = wrong.stopped().await.start().await;
    wrong.is_locked_for(30).await;
    let through_server = export(&wrong.world.setup, "served.jsonl").await;
    let down = wrong.stopped().await;
    let without = export(&down.setup, "alone.jsonl").await;
    // The guard's allowances refill meanwhile.
    let is_lasting = |record: &&String| !record.contains("\"guard records\"");
    let lasting = [&through_server, &without]
        .map(|export| records(export).iter().filter(is_lasting).cloned().collect::<BTreeSet<_>>());
    assert_eq!(lasting[0], lasting[1]);
    let wrong = down.moved("served.jsonl").await.start().await;
    wrong.is_locked_for(30).await;
    let down = wrong.stopped().await;
    down.moved("alone.jsonl").await.start().await.is_locked_for(30).await;
}

impl Down {
    /// Replaces the data directory by an import of this export.
    async fn moved(self, export: &str) -> Self {
        import(&self.setup, export, "new").await.exits(0);
        replace_data(&self.setup, "new");
        self
    }
}

#[tokio::test]
async fn everything_goes_on_after_kills_and_stops_with_clocks_set_back() {
    let mut wrong = Wrong::new().await;
    let (number, code) = wrong.world.number_with_code().await;
    let (other, its_code) = wrong.world.number_with_code().await;
    wrong.world.verify(&other, &wrong_code(&its_code)).await.expects(incorrect(&other, 1));
    for (hours, is_killed) in [(5, true), (100, false), (200, false), (500, true), (400_000, true)] {
        println!("{hours} hours back, killed: {is_killed}");
        wrong.clock.by(-hours * HOUR);
        wrong.world = wrong.world.restart_by(is_killed).await;
        let said = warnings(&wrong.world.server);
        assert!(said.len() == 1 && said[0]["message"].as_str().unwrap().contains("clock behind"), "{said:?}");
        wrong.is_locked_for(30).await;
    }
    wrong.world.verify(&number, &code).await.expects(verified(&number));
    wrong.world.verify(&other, &wrong_code(&its_code)).await.expects(locked(&other, 30));
}
