//! `onceward check-data` finds damage and data of a newer version, and changes nothing.

use super::{check, serving};
use crate::support::prelude::*;

#[tokio::test]
async fn data_that_is_well_is_found_to_be_with_and_without_a_server() {
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
    assert_eq!(report["versions"]["numbers, version 2"], 3, "{report}");
    assert_eq!(report["journal"]["closed_in_order"], false, "{report}");
    assert_eq!(files(&world.setup.data_dir()), before, "a check changes nothing in the data directory");
    world.setup.command(["check-data"]).await.says(["no damage found"]);
}
