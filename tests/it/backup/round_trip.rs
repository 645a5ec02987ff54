//! A server continues after an import from the exported state.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::serving;
use crate::support::prelude::*;

#[tokio::test]
async fn a_server_goes_on_where_the_export_was_made() {
    let world = World::new().await;
    let (waiting, code) = world.number_with_code().await;
    let (counted, counted_code) = world.number_with_code().await;
    world.verify(&counted, &wrong(&counted_code)).await.expects(incorrect(&counted, 4));
    let (locked_number, locked_code) = world.locked_out().await;
    let (used, used_code) = world.number_with_code().await;
    world.verify(&used, &used_code).await.expects(verified(&used));

    // The server runs during this export.
    let exported = export(&world.setup, "backup.jsonl").await;
    let file = fs::metadata(world.setup.home().join("backup.jsonl")).expect("it is there");
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
    let text = exported.join("\n");
    for code in [&code, &counted_code, &locked_code, &used_code] {
        assert!(!text.contains(&format!("\"{code}\"")), "a code is in the export");
    }
    let header = parsed(&exported[0]);
    assert_eq!(
        (&header["is"], &header["format"]),
        (&json!("onceward export"), &json!(onceward::store::FORMAT))
    );
    let numbers = records(&exported).iter().filter(|line| line.starts_with("{\"kind\":\"numbers\""));
    assert_eq!(numbers.count(), 3, "the used code is forgotten: {text}");

    world.server.stop().await.exits(0);
    import(&world.setup, "backup.jsonl", "restored").await.exits(0).says(["imported 3 numbers"]);

    replace_data(&world.setup, "restored");
    let server = world.setup.start().await;
    server.client.verify(&waiting, &code).await.expects(verified(&waiting));
    server.client.verify(&counted, &wrong(&counted_code)).await.expects(incorrect(&counted, 3));
    server.client.verify(&locked_number, &locked_code).await.expects(locked(&locked_number, 30));
    server.client.verify(&used, &used_code).await.expects(incorrect(&used, 5));
    server.client.send(&used).await.expects(sent(&used, 5));
}

#[tokio::test]
async fn every_way_to_export_the_same_state_gives_the_same_records() {
    let world = serving(5).await;
    // An orderly stop writes everything, including the list of sends.
    world.server.stop().await;
    let before = files(&world.setup.data_dir());
    let from_directory = export(&world.setup, "directory.jsonl").await;
    assert_eq!(files(&world.setup.data_dir()), before, "an export changes nothing in the data directory");
    let expected = "five numbers, the sends of five verifications, the default service, the account";
    // How many records of the history there are depends on the minute. Those of the guard depend on its tables.
    let is_other = |line: &String| {
        let kind = parsed(line)["kind"].clone();
        kind != "history" && !kind.as_str().is_some_and(|kind| kind.starts_with("guard "))
    };
    let others = records(&from_directory).iter().filter(|line| is_other(line)).count();
    assert_eq!(others, 12, "{expected}");

    let server = world.setup.start().await;
    let from_server = export(&world.setup, "server.jsonl").await;
    assert_eq!(records(&from_server), records(&from_directory));
    server.killed().await;
    let after_a_kill = export(&world.setup, "killed.jsonl").await;
    assert_eq!(records(&after_a_kill), records(&from_directory));

    for (into, name) in [("first", "directory.jsonl"), ("second", "server.jsonl")] {
        import(&world.setup, name, into).await.exits(0);
        let again = format!("{into}.jsonl");
        world.setup.command(["export", "--data-dir", into, "--out", &again]).await.exits(0);
        let again = lines_of(&world.setup.home().join(again));
        assert_eq!(records(&again), records(&from_directory));
    }
}
