//! Exports of data directories.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{Finished, Setup};

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

fn copy_key(setup: &Setup, into: &str) {
    let directory = setup.home().join(into);
    fs::create_dir_all(&directory).expect("a directory");
    fs::copy(setup.data_dir().join("server.key"), directory.join("server.key")).expect("the key");
}

pub fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}
