//! `onceward export`, `onceward import` and `onceward check-data` with the real program.

mod frozen;

use std::fs;

use crate::support::prelude::*;

/// A server with codes for three numbers.
async fn serving() -> World {
    let world = World::new().await;
    for _ in 0..3 {
        world.number_with_code().await;
    }
    world
}

#[tokio::test]
async fn sound_data_passes_a_check_and_a_key_that_a_start_refuses_is_found() {
    let World { setup, server, .. } = serving().await;
    let is_well = async || {
        let checked = setup.command(["check-data", "--json"]).await.exits(0).object();
        assert_eq!((&checked["numbers"], &checked["sends"]), (&json!(3), &json!(3)), "{checked}");
    };
    is_well().await;
    server.killed().await;
    let before = files(&setup.data_dir());
    is_well().await;
    assert_eq!(files(&setup.data_dir()), before, "a check changes nothing in the data directory");
    let check = ["check-data"];
    setup.command(check).await.exits(0).says(["no damage found: 3 numbers"]);

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
async fn an_export_is_imported_whole_and_with_its_key_or_not_at_all() {
    let world = serving().await;
    let whole = export(&world.setup, "whole.jsonl").await.join("\n") + "\n";
    let damaged = whole.replacen("\"in_a_row\":0", "\"in_a_row\":1", 1);
    let setup = world.setup.clone().file("damaged.jsonl", damaged).file("other.key", "ab".repeat(32));
    let without_key = ["import", "whole.jsonl", "--data-dir", "restored"];
    setup.command(without_key).await.exits(70).says(["there is no server key in restored"]);
    let other = setup.clone().env("ONCEWARD_KEY_FILE", "other.key");
    other.command(without_key).await.exits(70).says(["with another server key"]);
    assert!(!setup.home().join("restored").exists(), "nothing was begun");

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
