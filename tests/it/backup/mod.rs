//! `onceward export`, `onceward import` and `onceward check-data` with the real program.

mod frozen;
mod lost_parts;
mod refusals;

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

#[tokio::test]
async fn sound_data_passes_a_check_with_and_without_a_server() {
    let world = serving(3).await;
    let is_well = async |through_server: bool| {
        let report = check(&world.setup, 0).await;
        let facts = ["verdict", "through_server", "numbers"].map(|fact| report[fact].clone());
        assert_eq!(facts, [json!("ok"), json!(through_server), json!(3)]);
        report
    };
    is_well(true).await;
    world.server.killed().await;
    let before = files(&world.setup.data_dir());
    let report = is_well(false).await;
    assert_eq!(report["versions"]["numbers, version 1"], 3, "{report}");
    assert_eq!(report["journal"]["closed_in_order"], false, "{report}");
    assert_eq!(files(&world.setup.data_dir()), before, "a check changes nothing in the data directory");
    world.setup.command(["check-data"]).await.says(["no damage found"]);
}
