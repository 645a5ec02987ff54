//! `onceward export`, `onceward import` and `onceward check-data` with the real program.

mod check;
mod frozen;
mod lost_parts;
mod refusals;
mod round_trip;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::prelude::*;

/// The beginning of a segment of the journal.
const SEGMENT: &[u8] = b"owjournl";

/// A server with codes for so many numbers.
async fn serving(numbers: usize) -> World {
    let world = World::new().await;
    for _ in 0..numbers {
        world.number_with_code().await;
    }
    world
}

/// The data directory of such a server that was killed.
async fn killed(numbers: usize) -> Setup {
    let world = serving(numbers).await;
    world.server.killed().await;
    world.setup
}

/// The report about the data directory. Asserts that the check ended with this code.
async fn check(setup: &Setup, code: i32) -> Value {
    parsed(&setup.command(["check-data", "--json", "--quiet"]).await.exits(code).output)
}

fn copy_directory(from: &Path, to: &Path) {
    let copied = Command::new("cp").args(["-r", "--sparse=always"]).arg(from).arg(to).status();
    assert!(copied.expect("cp").success());
}

/// The checks of a report that failed.
fn damage(report: &Value) -> Vec<&Value> {
    let checks = report["checks"].as_array().expect("a list");
    checks.iter().filter(|check| check["verdict"] == "fail").collect()
}

fn first_segment(setup: &Setup) -> (PathBuf, Vec<u8>) {
    let mut segments = files(&setup.data_dir().join("journal")).into_iter();
    segments.find(|(_, bytes)| bytes.starts_with(SEGMENT)).expect("a segment")
}
