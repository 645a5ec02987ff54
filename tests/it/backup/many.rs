//! Exports many numbers, imports them and exports them again. `BACKUP_NUMBERS=1000000` tries the promised million, with
//! the release build; the test prints times and sizes.

use std::fs;

use onceward::clock::{Clock as _, SystemClock};

use crate::support::prelude::*;

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
