//! Refused imports and exports leave nothing that looks complete.

use super::serving;
use crate::support::prelude::*;

#[tokio::test]
async fn a_damaged_export_is_refused_and_leaves_no_usable_directory() {
    let world = serving(3).await;
    let whole = export(&world.setup, "whole.jsonl").await.join("\n") + "\n";
    let damaged = whole.replacen("\"in_a_row\":0", "\"in_a_row\":1", 1);
    let setup = world.setup.clone().file("damaged.jsonl", damaged);
    let refused = import(&setup, "damaged.jsonl", "restored").await.exits(65);
    refused.says(["nothing was imported", "the sum of all lines is not the one that was written"]);
    // A server does not use it as a data directory, nor as an empty one.
    let serve = ["--listen", "127.0.0.1:0", "--data-dir", "restored"];
    setup.command(serve).await.exits(70).says(["run `onceward import` again"]);
    setup.command(["check-data", "--data-dir", "restored"]).await.exits(65);
    setup.command(["export", "--data-dir", "restored", "--out", "no.jsonl"]).await.exits(70);
    assert!(!setup.home().join("no.jsonl").exists());
    // A later import of the complete export succeeds.
    import(&setup, "whole.jsonl", "restored").await.exits(0);
}

#[tokio::test]
async fn an_import_goes_into_no_directory_with_something_in_it() {
    let world = serving(1).await;
    export(&world.setup, "backup.jsonl").await;
    for into in ["data", "."] {
        let import = ["import", "backup.jsonl", "--data-dir", into];
        world.setup.command(import).await.exits(70).says(["is not empty"]);
    }
}

#[tokio::test]
async fn when_the_disk_is_full_there_is_no_export_and_the_server_goes_on() {
    let world = World::new().await;
    let (number, _) = world.number_with_code().await;
    export(&world.setup, "before.jsonl").await;
    world.server.let_writes_fail();
    world.setup.command(["export", "--out", "failed.jsonl"]).await.exits(70);
    assert!(!world.setup.home().join("failed.jsonl").exists());
    world.server.let_writes_succeed();
    let again = || world.setup.command(["export", "--out", "after.jsonl"]);
    until("an export", again, |finished| finished.status.success()).await;
    let lines = lines_of(&world.setup.home().join("after.jsonl"));
    assert!(lines.iter().any(|line| line.contains(&number)), "{lines:?}");
}
