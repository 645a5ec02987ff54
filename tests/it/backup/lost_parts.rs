//! A data directory that lacks a part or its key, or does not belong to its key: what a start and the commands say, and how
//! to go on.

use std::fs;

use super::{check, damage, killed};
use crate::support::prelude::*;

#[tokio::test]
async fn a_lost_part_is_damage_with_advice_and_refuses_a_start_and_an_export() {
    let setup = killed(3).await;
    let journal = setup.data_dir().join("journal");
    fs::rename(&journal, setup.home().join("aside")).expect("lost");
    let report = check(&setup, 65).await;
    let damage = damage(&report)[0];
    assert_eq!(damage["file"], json!(journal), "{report}");
    text(damage, "detail").says(["it is missing, and with it changes that were acknowledged"]);
    text(damage, "remedy").says(["from a backup"]);
    setup.command(["export", "--out", "no.jsonl"]).await.exits(65);
    assert!(!setup.home().join("no.jsonl").exists());
    setup.run().await.exits(70).says(["from a backup"]);
}

#[tokio::test]
async fn a_key_that_would_have_a_start_refused_is_found() {
    let setup = killed(2).await;
    assert_eq!(check(&setup, 0).await["key"], "fits");
    let path = setup.data_dir().join("server.key");
    let right = fs::read_to_string(&path).expect("the key");
    for (content, found, what) in [
        ("ab".repeat(32), "another", "is not the one this data was written with: a start is refused"),
        (right[..40].to_owned(), "unreadable", "it is not a server key"),
    ] {
        fs::write(&path, content).expect("written");
        let report = check(&setup, 65).await;
        assert_eq!((&report["key"], &report["numbers"]), (&json!(found), &json!(2)), "{report}");
        text(damage(&report)[0], "detail").says([what]);
        setup.run().await.exits(70);
    }
    let elsewhere = setup.env("ONCEWARD_KEY_FILE", "elsewhere.key");
    assert_eq!(check(&elsewhere, 65).await["key"], "missing");
    assert_eq!(check(&elsewhere.file("elsewhere.key", right), 0).await["key"], "fits");
}

#[tokio::test]
async fn without_any_copy_of_the_key_only_codes_are_lost() {
    let world = World::of(V2::account(Setup::new())).await;
    world.setup.new_key(&["--service", "default", "--scope", "admin"]).await;
    let (waiting, code) = world.number_with_code().await;
    let (counted, counted_code) = world.number_with_code().await;
    world.verify(&counted, &wrong(&counted_code)).await.expects(incorrect(&counted, 4));
    let (locked_number, of_locked) = world.locked_out().await;
    let setup = world.setup.clone();
    world.server.stop().await;
    fs::remove_file(setup.data_dir().join("server.key")).expect("lost");

    // As docs/operate/backup.md says.
    setup.command(["export", "--out", "all.jsonl"]).await.exits(0);
    fs::rename(setup.data_dir(), setup.home().join("old")).expect("moved away");
    setup.command(["import", "all.jsonl"]).await.exits(70).says(["there is no server key"]);
    let setup = setup.file("other.key", "ab".repeat(32));
    let other = ["import", "all.jsonl", "--key-file", "other.key"];
    setup.command(other).await.exits(70).says(["another server key"]);
    assert!(!setup.data_dir().join("FORMAT").exists(), "nothing was begun");
    let imported = setup.command(["import", "all.jsonl", "--drop-codes", "--json"]).await.exits(0);
    imported.says(["created a new server key, /"]);
    let summary = imported.object();
    assert_eq!((&summary["numbers"], &summary["codes_dropped"]), (&json!(2), &json!(2)), "{summary}");

    let server = setup.start().await;
    // The list has the sends, and its ids find their verifications.
    let v2 = V2::of(&server.client);
    let listed = v2.get("/Attempts").await.json();
    let attempts = listed["attempts"].as_array().expect("a list");
    assert_eq!(attempts.len(), 3, "{listed}");
    for attempt in attempts {
        let verification = text(attempt, "verification_sid");
        let found = v2.get(&format!("/Attempts?VerificationSid={verification}")).await.json();
        assert_eq!(found["attempts"], json!([attempt]), "{found}");
    }
    server.client.verify(&waiting, &code).await.expects(incorrect(&waiting, 5));
    server.client.verify(&counted, &counted_code).await.expects(incorrect(&counted, 3));
    server.client.verify(&locked_number, &of_locked).await.expects(locked(&locked_number, 30));
    server.client.send(&waiting).await.expects(sent(&waiting, 5));
    let new_code = world.doubles.code_for(&waiting);
    server.client.verify(&waiting, &new_code).await.expects(verified(&waiting));
    let listed = setup.command(["keys", "list", "--json"]).await;
    assert_eq!(listed.output.lines().filter(|line| line.contains("\"SK")).count(), 1, "{}", listed.output);
}
