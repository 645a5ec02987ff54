//! A data directory whose `server.key` is lost: what a start says, what a copy of the key brings back, and how to go on
//! without one.

use std::fs;

use crate::support::documented::{locked, sent, verified};
use crate::support::{Says, World, parsed};

#[tokio::test]
async fn with_a_copy_of_the_key_live_codes_work_again() {
    let world = World::new().await;
    let (number, code) = world.number_with_code().await;
    let (setup, key) = (world.setup.clone(), world.setup.data_dir().join("server.key"));
    let copy = setup.home().join("copy-of-the-key");
    fs::rename(&key, &copy).expect("lost");
    assert_eq!(world.server.stop().await.status.code(), Some(0), "a running server has it in memory");

    setup.run().await.exits(70).says([
        "holds data but no server.key",
        "from a backup",
        "ONCEWARD_KEY_FILE",
        "docs/operate/backup.md",
    ]);
    assert!(!key.exists(), "no other key takes its place");
    setup.command(["check-data", "--json"]).await.exits(65);

    fs::rename(&copy, &key).expect("put back");
    let server = setup.start().await;
    server.client.verify(&number, &code).await.expects(verified(&number));
}

#[tokio::test]
async fn without_any_copy_of_the_key_only_codes_are_lost() {
    let world = World::new().await;
    world.setup.new_key(&["--service", "default", "--scope", "admin"]).await;
    let (number, code) = world.number_with_code().await;
    let (locked_number, of_locked) = world.locked_out().await;
    let setup = world.setup.clone();
    world.server.stop().await;
    fs::remove_file(setup.data_dir().join("server.key")).expect("lost");

    // As docs/operate/backup.md says.
    setup.command(["export", "--out", "all.jsonl"]).await.exits(0);
    fs::rename(setup.data_dir(), setup.home().join("old")).expect("moved away");
    let plain = setup.command(["import", "all.jsonl"]).await;
    assert_ne!(plain.status.code(), Some(0), "codes without their key are refused: {}", plain.output);
    let imported = setup.command(["import", "all.jsonl", "--drop-codes", "--json"]).await.exits(0);
    assert!(imported.output.contains("created a new server key, /"), "{}", imported.output);
    let line = imported.output.lines().find(|line| line.starts_with('{')).expect("a summary");
    assert_eq!(parsed(line)["codes_dropped"], 1, "{line}");

    let server = setup.start().await;
    server.client.verify(&locked_number, &of_locked).await.expects(locked(&locked_number, 30));
    assert_ne!(server.client.verify(&number, &code).await.status(), 200, "the code is lost");
    server.client.send(&number).await.expects(sent(&number, 5));
    let new_code = world.twilio.code_for(&number);
    server.client.verify(&number, &new_code).await.expects(verified(&number));
    let listed = setup.command(["keys", "list", "--json"]).await;
    assert_eq!(listed.output.lines().filter(|line| line.contains("\"SK")).count(), 1, "{}", listed.output);
}
