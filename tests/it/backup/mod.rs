//! `onceward export`, `onceward import` and `onceward check-data` with the real program.

mod frozen;

use std::fs;

use crate::support::prelude::*;

/// A server with codes for so many numbers.
async fn serving(numbers: usize) -> World {
    let world = World::new().await;
    for _ in 0..numbers {
        world.number_with_code().await;
    }
    world
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
}

#[tokio::test]
async fn a_key_that_would_have_a_start_refused_is_found() {
    let World { setup, server, .. } = serving(2).await;
    server.killed().await;
    let check = ["check-data"];
    setup.command(check).await.exits(0);
    let path = setup.data_dir().join("server.key");
    let right = fs::read_to_string(&path).expect("the key");
    for (content, says) in [
        ("ab".repeat(32), "the server key is not the one that the data in"),
        (right[..40].to_owned(), "is not a server key"),
    ] {
        fs::write(&path, content).expect("written");
        setup.command(check).await.exits(65).says([says]);
        setup.run().await.exits(70).says([says]);
    }
    fs::remove_file(&path).expect("lost");
    setup.command(check).await.exits(65).says(["holds data but no server.key"]);
    let elsewhere = setup.env("ONCEWARD_KEY_FILE", "elsewhere.key");
    elsewhere.command(check).await.exits(65).says(["elsewhere.key"]);
    elsewhere.file("elsewhere.key", right).command(check).await.exits(0);
}

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
