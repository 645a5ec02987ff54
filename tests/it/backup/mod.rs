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

#[tokio::test]
async fn sound_data_passes_a_check_with_and_without_a_server() {
    let world = serving(3).await;
    let is_well = async || {
        let checked = world.setup.command(["check-data", "--json"]).await.exits(0).object();
        assert_eq!((&checked["numbers"], &checked["sends"]), (&json!(3), &json!(3)), "{checked}");
    };
    is_well().await;
    world.server.killed().await;
    let before = files(&world.setup.data_dir());
    is_well().await;
    assert_eq!(files(&world.setup.data_dir()), before, "a check changes nothing in the data directory");
    world.setup.command(["check-data"]).await.says(["no damage found: 3 numbers"]);
    assert_eq!(world.setup.command(["check-data", "--quiet"]).await.exits(0).output, "");
}
