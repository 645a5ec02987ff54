//! Refused imports and exports leave nothing that looks complete.

use std::fs;

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
    let says = "after an import that did not end, remove everything in the directory but server.key";
    setup.command(serve).await.exits(70).says([says]);
    setup.command(["check-data", "--data-dir", "restored"]).await.exits(65).says([says]);
    setup.command(["export", "--data-dir", "restored", "--out", "no.jsonl"]).await.exits(65);
    assert!(!setup.home().join("no.jsonl").exists());
    import(&setup, "whole.jsonl", "restored").await.exits(70).says(["is not empty"]);
    for part in ["journal", "snapshot"] {
        fs::remove_dir_all(setup.home().join("restored").join(part)).expect("removed");
    }
    import(&setup, "whole.jsonl", "restored").await.exits(0);
}

#[tokio::test]
async fn an_import_needs_the_server_key_of_the_export() {
    let world = serving(1).await;
    export(&world.setup, "backup.jsonl").await;
    let setup = world.setup.clone().file("other.key", "ab".repeat(32));
    let import = ["import", "backup.jsonl", "--data-dir", "restored"];
    setup.command(import).await.exits(70).says(["there is no server key in restored"]);
    let other = setup.clone().env("ONCEWARD_KEY_FILE", "other.key");
    other.command(import).await.exits(70).says(["with another server key"]);
    assert!(!setup.home().join("restored").exists(), "nothing was begun");
}
