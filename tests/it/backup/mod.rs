//! `onceward export`, `onceward import` and `onceward check-data` with the real program.

mod check;
mod frozen;
mod lost_parts;
mod refusals;
mod round_trip;

use crate::support::prelude::*;

/// A server with codes for so many numbers.
async fn serving(numbers: usize) -> World {
    let world = World::new().await;
    for _ in 0..numbers {
        world.number_with_code().await;
    }
    world
}

/// The data directory of such a server that was killed.
async fn killed(numbers: usize) -> Setup {
    let world = serving(numbers).await;
    world.server.killed().await;
    world.setup
}

/// The report about the data directory. Asserts that the check ended with this code.
async fn check(setup: &Setup, code: i32) -> Value {
    parsed(&setup.command(["check-data", "--json", "--quiet"]).await.exits(code).output)
}

/// The checks of a report that failed.
fn damage(report: &Value) -> Vec<&Value> {
    let checks = report["checks"].as_array().expect("a list");
    checks.iter().filter(|check| check["verdict"] == "fail").collect()
}
