//! A data directory whose `server.key` is lost: what a start says, what a copy of the key brings back, and how to go on
//! without one.

use std::fs;

use rustix::process::Signal;

use super::json;
use crate::support::documented::{locked, sent, verified};
use crate::support::{World, wrong};

#[tokio::test]
async fn with_a_copy_of_the_key_live_codes_work_again() {
    let world = World::new().await;
    let (number, code) = world.number_with_code().await;
    let (setup, key) = (world.setup.clone(), world.setup.data_dir().join("server.key"));
    let copy = setup.home().join("copy-of-the-key");
    fs::rename(&key, &copy).expect("lost");
    world.server.signal(Signal::TERM);
    assert_eq!(world.server.ended().await.status.code(), Some(0), "a running server has it in memory");

    let refused = setup.run().await;
    assert_eq!(refused.status.code(), Some(70), "{}", refused.output);
    for part in
        ["holds data but no server.key", "from a backup", "ONCEWARD_KEY_FILE", "docs/operate/backup.md"]
    {
        assert!(refused.output.contains(part), "no {part:?} in {}", refused.output);
    }
    assert!(!key.exists(), "no other key takes its place");
    let checked = setup.command(["check-data", "--json", "--data-dir", "data"]).await;
    assert_eq!(checked.status.code(), Some(65), "{}", checked.output);

    fs::rename(&copy, &key).expect("put back");
    let server = setup.start().await;
    server.client.verify(&number, &code).await.expects(verified(&number));
}

#[tokio::test]
async fn without_any_copy_of_the_key_only_codes_are_lost() {
    let world = World::new().await;
    let made =
        world.setup.command(["keys", "create", "--service", "default", "--scope", "admin", "--json"]).await;
    assert_eq!(made.status.code(), Some(0), "{}", made.output);
    let (number, code) = world.number_with_code().await;
    let locked_out = world.number();
    world.send(&locked_out).await;
    let of_locked = world.twilio.code_for(&locked_out);
    for _ in 0..5 {
        world.verify(&locked_out, &wrong(&of_locked)).await;
    }
    let setup = world.setup.clone();
    world.server.signal(Signal::TERM);
    world.server.ended().await;
    fs::remove_file(setup.data_dir().join("server.key")).expect("lost");

    // As docs/operate/backup.md says.
    let exported = setup.command(["export", "--data-dir", "data", "--out", "all.jsonl"]).await;
    assert_eq!(exported.status.code(), Some(0), "{}", exported.output);
    fs::rename(setup.data_dir(), setup.home().join("old")).expect("moved away");
    let plain = setup.command(["import", "all.jsonl", "--data-dir", "data"]).await;
    assert_ne!(plain.status.code(), Some(0), "codes without their key are refused: {}", plain.output);
    let imported =
        setup.command(["import", "all.jsonl", "--data-dir", "data", "--drop-codes", "--json"]).await;
    assert_eq!(imported.status.code(), Some(0), "{}", imported.output);
    assert!(imported.output.contains("made a new server key, /"), "{}", imported.output);
    let line = imported.output.lines().find(|line| line.starts_with('{')).expect("a summary");
    assert_eq!(json(line)["codes_dropped"], 1, "{line}");

    let server = setup.start().await;
    server.client.verify(&locked_out, &of_locked).await.expects(locked(&locked_out, 30));
    assert_ne!(server.client.verify(&number, &code).await.status(), 200, "the code is lost");
    server.client.send(&number).await.expects(sent(&number, 5));
    let new_code = world.twilio.code_for(&number);
    server.client.verify(&number, &new_code).await.expects(verified(&number));
    let listed = setup.command(["keys", "list", "--json", "--data-dir", "data"]).await;
    assert_eq!(listed.output.lines().filter(|line| line.contains("\"SK")).count(), 1, "{}", listed.output);
}
