//! `onceward export`, `onceward import` and `onceward check-data` with the real program.

mod check;
mod frozen;
mod load;
mod lost_key;
mod lost_parts;
pub mod many;
mod refusals;
mod round_trip;
mod versions;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

pub use crate::support::files;
use crate::support::{Finished, Setup, World};

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

/// The same of one that stopped in order: everything is in the snapshot.
async fn closed(numbers: usize) -> Setup {
    let world = serving(numbers).await;
    world.server.stop().await.exits(0);
    world.setup
}

/// The report about the data directory. Asserts that the check ended with this code.
async fn check(setup: &Setup, code: i32) -> Value {
    json(&setup.command(["check-data", "--json", "--quiet"]).await.exits(code).output)
}

/// Exports the setup's data directory into a file in its home, and returns the lines.
pub async fn export(setup: &Setup, name: &str) -> Vec<String> {
    setup.command(["export", "--out", name]).await.exits(0);
    lines_of(&setup.home().join(name))
}

pub fn lines_of(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).expect("an export");
    text.lines().map(str::to_owned).collect()
}

/// The lines without the first, which contains a time, and the last, whose sum depends on the first.
pub fn records(lines: &[String]) -> &[String] {
    &lines[1..lines.len() - 1]
}

/// Imports a file from the setup's home into another directory there, with the setup's key.
pub async fn import(setup: &Setup, name: &str, into: &str) -> Finished {
    copy_key(setup, into);
    setup.command(["import", name, "--data-dir", into]).await
}

/// Puts a directory of the setup's home in the place of its data directory.
pub fn replace_data(setup: &Setup, by: &str) {
    fs::remove_dir_all(setup.data_dir()).expect("removed");
    fs::rename(setup.home().join(by), setup.data_dir()).expect("put in its place");
}

/// Copies a directory to a path that does not exist.
fn copy_directory(from: &Path, to: &Path) {
    let copied = Command::new("cp").args(["-r", "--sparse=always"]).arg(from).arg(to).status();
    assert!(copied.expect("cp").success());
}

fn copy_key(setup: &Setup, into: &str) {
    let directory = setup.home().join(into);
    fs::create_dir_all(&directory).expect("a directory");
    fs::copy(setup.data_dir().join("server.key"), directory.join("server.key")).expect("the key");
}

pub fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The checks of a report that failed.
pub fn damage(report: &Value) -> Vec<&Value> {
    let checks = report["checks"].as_array().expect("a list");
    checks.iter().filter(|check| check["verdict"] == "fail").collect()
}

fn first_segment(setup: &Setup) -> (PathBuf, Vec<u8>) {
    let mut segments = files(&setup.data_dir().join("journal")).into_iter();
    segments.find(|(_, bytes)| bytes.starts_with(SEGMENT)).expect("a segment")
}

fn only_snapshot(setup: &Setup) -> PathBuf {
    let snapshots = fs::read_dir(setup.data_dir().join("snapshot")).expect("a directory");
    let mut paths: Vec<PathBuf> = snapshots.map(|entry| entry.expect("an entry").path()).collect();
    assert_eq!(paths.len(), 1, "{paths:?}");
    paths.remove(0)
}
