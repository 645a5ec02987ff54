//! The processor's instructions for a send and its check, counted by valgrind.

use std::process::Command;

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Setup, World};

/// Thousands of instructions for a send and its check, by the program without optimisation: one client, guard off. A
/// change that is worth its instructions replaces the figure, and so does one that saves some.
const RECORDED: u64 = 2_155;

/// Starts the server under valgrind and verifies so many numbers, one after the other. Returns all its instructions.
async fn instructions(numbers: usize) -> u64 {
    let setup = Setup::new()
        .config("guard", json!({ "mode": "off", "number-types": "off", "landlines": "off" }))
        .config("log-level", "info")
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .under(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--log-file=valgrind.log"]);
    let world = World::of(setup).await;
    for _ in 0..numbers {
        let (number, code) = world.number_with_code().await;
        assert_eq!(world.verify(&number, &code).await.status(), 200);
    }
    world.server.signal(Signal::TERM);
    let World { server, setup, .. } = world;
    assert!(server.ended().await.status.success());
    let log = std::fs::read_to_string(setup.home().join("valgrind.log")).expect("valgrind's log");
    let count = log.lines().find_map(|line| line.split_once("Collected :")).expect("a count").1;
    count.trim().parse().expect("a number")
}

#[tokio::test]
async fn a_send_and_its_check_cost_no_more_instructions_than_recorded() {
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("SKIPPED: no valgrind");
        return;
    }
    let (few, many) = (instructions(10).await, instructions(60).await);
    let found = (many - few) / 50_000;
    let most = RECORDED + RECORDED / 20;
    assert!(found <= most, "{found} thousand instructions, and {RECORDED} thousand are recorded");
    println!("{found} thousand instructions; {RECORDED} thousand are recorded");
}
