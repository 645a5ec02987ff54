//! Exports of many numbers, exports while the server has a lot to do, and kills of either side. `BACKUP_NUMBERS=1000000`
//! tries the promised million, with the release build; that test prints times and sizes.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex};

use onceward::clock::{Clock as _, SystemClock};
use tokio::task::JoinSet;

use crate::belief::NO_CODE;
use crate::support::prelude::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_count_that_was_told_before_an_export_is_in_it() {
    let world = World::with([("otp-max-attempts", json!(100)), ("otp-timeout", json!("1h"))]).await;
    let told: Arc<Mutex<BTreeMap<String, u64>>> = Arc::default();
    let mut guests = JoinSet::new();
    for _ in 0..8 {
        let (number, client, told) = (world.number(), world.server.client.clone(), Arc::clone(&told));
        guests.spawn(async move {
            client.send(&number).await;
            for count in 1..90 {
                client.verify(&number, NO_CODE).await.expects(incorrect(&number, 100 - count));
                told.lock().unwrap().insert(number.clone(), u64::from(count));
            }
        });
    }
    let mut exports = 0;
    while !guests.is_empty() {
        while guests.try_join_next().is_some() {}
        let before = told.lock().unwrap().clone();
        let lines = export(&world.setup, "backup.jsonl").await;
        let count = |line: &String| {
            let line = parsed(line);
            let number = line["subject"].as_str().filter(|_| line["kind"] == "numbers")?.to_owned();
            Some((number, line["record"]["open"]["failures"]["in_a_row"].as_u64().unwrap_or(0)))
        };
        let counts: BTreeMap<String, u64> = records(&lines).iter().filter_map(count).collect();
        for (number, count) in before {
            assert!(counts.get(&number) >= Some(&count), "{number}: {count} told, {counts:?}");
        }
        exports += 1;
    }
    assert!(exports > 1, "the load ended before the second export");
    import(&world.setup, "backup.jsonl", "restored").await.exits(0);
}

#[tokio::test]
async fn a_killed_client_does_not_stop_the_server_and_the_next_gets_everything() {
    let world = World::new().await;
    let (number, _) = world.number_with_code().await;
    for _ in 0..5 {
        let client = world.setup.launch_command(["export", "--out", "killed.jsonl"]);
        client.killed().await;
    }
    let killed = world.setup.home().join("killed.jsonl");
    if killed.exists() {
        let last = lines_of(&killed).pop().expect("a line");
        assert_eq!(parsed(&last)["kind"], "end", "what has the name is whole");
    }
    let again = || world.setup.command(["export", "--out", "whole.jsonl"]);
    until("an export", again, |finished| finished.status.success()).await;
    let lines = lines_of(&world.setup.home().join("whole.jsonl"));
    assert!(lines.iter().any(|line| line.contains(&number)));
    world.number_with_code().await;
}

#[tokio::test]
async fn when_the_server_is_killed_an_export_is_whole_or_not_there() {
    let mut world = World::new().await;
    for round in 0..4 {
        world.number_with_code().await;
        let name = format!("round-{round}.jsonl");
        let client = world.setup.launch_command(["export", "--out", &name]);
        world = world.restart_after_kill().await;
        let finished = client.ended().await;
        if finished.status.success() {
            import(&world.setup, &name, &format!("restored-{round}")).await.exits(0);
        } else {
            assert!(!world.setup.home().join(&name).exists(), "{}", finished.output);
        }
    }
}

#[tokio::test]
async fn many_numbers_come_through_an_export_and_an_import_as_they_were() {
    let numbers = from_environment("BACKUP_NUMBERS", 3_000);
    println!("BACKUP_NUMBERS={numbers}");
    let world = World::new().await;
    let setup = world.setup.clone();
    copy_key(&setup, "first");
    copy_key(&setup, "second");
    // The generated export must belong to this server's key.
    let key = parsed(&export(&setup, "empty.jsonl").await[0])["key"].as_str().expect("a key").to_owned();
    make_up_export(&setup.home().join("made-up.jsonl"), numbers, &key);

    run(&setup, &["import", "made-up.jsonl", "--data-dir", "first"]).await;
    run(&setup, &["export", "--data-dir", "first", "--out", "first.jsonl"]).await;
    run(&setup, &["import", "first.jsonl", "--data-dir", "second"]).await;
    run(&setup, &["export", "--data-dir", "second", "--out", "second.jsonl"]).await;
    run(&setup, &["check-data", "--data-dir", "second"]).await;
    let [made_up, first, second] =
        ["made-up.jsonl", "first.jsonl", "second.jsonl"].map(|name| lines_of(&setup.home().join(name)));
    assert_eq!(records(&first).len() as u64, numbers);
    assert!(records(&first) == records(&made_up), "the first export is not what was imported");
    assert!(records(&second) == records(&first), "the second export is not the first");
    let size = fs::metadata(setup.home().join("first.jsonl")).expect("it is there").len();
    println!("the export has {size} bytes");
}

#[expect(clippy::print_stdout, reason = "the figures are what the long run is for")]
async fn run(setup: &Setup, command: &[&str]) {
    let clock = SystemClock::start();
    let began = clock.now();
    setup.command(command.iter().copied()).await.exits(0);
    println!("{}: {:?}", command.join(" "), clock.now().since(began));
}
