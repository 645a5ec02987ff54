//! What a file looks like, and what the manifest and the scripts must say.

use super::{expect_none, read, root, text_files};

/// Nearly all files are far shorter; a file that grows beyond this holds more than one decision.
const MOST_LINES: usize = 400;

/// Files that may be longer, each with its reason.
const LONG_FILES: &[(&str, &str)] = &[];

/// Marks of work that is not finished. Written in two parts, so that this file passes its own rule.
const UNFINISHED: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("dbg", "!("),
    concat!("#[ig", "nore"),
    concat!("Under con", "struction"),
];

/// Where the files of one person's machine are.
const HOMES: &[&str] = &[concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/")];

/// Lines of Cargo.toml that the rules of the house rest on.
const LINTS: &[&str] = &[
    "unsafe_code = \"forbid\"",
    "missing_docs = \"warn\"",
    "pedantic = { level = \"warn\", priority = -1 }",
    "unwrap_used = \"warn\"",
    "expect_used = \"warn\"",
    "print_stdout = \"warn\"",
    "print_stderr = \"warn\"",
    "dbg_macro = \"warn\"",
    "allow_attributes = \"warn\"",
    "allow_attributes_without_reason = \"warn\"",
];

/// Calls that clippy.toml must keep out of every file but the one that owns them.
const BANNED_CALLS: &[&str] = &[
    "std::time::SystemTime::now",
    "std::time::Instant::now",
    "tokio::time::Instant::now",
    "rand::rng",
    "rand::random",
    "std::env::set_var",
];

#[test]
fn files_are_short_enough_to_hold_one_decision() {
    let mut findings = Vec::new();
    for file in rust_files() {
        let lines = file.text.lines().count();
        let has_reason = LONG_FILES.iter().any(|(path, _)| *path == file.path);
        if lines > MOST_LINES && !has_reason {
            findings.push(format!("{}: {lines} lines", file.path));
        } else if lines <= MOST_LINES && has_reason {
            findings.push(format!("{}: {lines} lines, and still excused in LONG_FILES", file.path));
        }
    }
    expect_none(
        &findings,
        "split the file by decision, not into helpers. A file that is one thing can be excused, with its reason, \
         in LONG_FILES of tests/tidy/files.rs.",
    );
}

#[test]
fn every_file_begins_by_saying_what_it_is_for() {
    // The tests of the module beside them say it by their name.
    let silent = |text: &str| !text.trim_start().starts_with("//! ");
    let findings: Vec<String> = rust_files()
        .into_iter()
        .filter(|file| !file.path.ends_with("/tests.rs") && silent(&file.text))
        .map(|file| file.path)
        .collect();
    expect_none(&findings, "begin the file with `//!` and one sentence.");
}

#[test]
fn nothing_is_left_unfinished() {
    let mut findings = Vec::new();
    let scripts = text_files("scripts", &[""]).into_iter().chain(text_files(".ci", &[""]));
    for file in rust_files().into_iter().chain(scripts) {
        for (number, line) in file.text.lines().enumerate() {
            for mark in UNFINISHED.iter().filter(|mark| contains_word(line, mark)) {
                findings.push(format!("{}:{}: {mark}", file.path, number + 1));
            }
        }
    }
    expect_none(&findings, "finish it or take it out; what is for later is an issue, not a comment.");
}

#[test]
fn no_file_names_a_place_on_somebodys_machine() {
    let mut findings = Vec::new();
    let endings = [".rs", ".md", ".toml", ".json", ".yml", ".yaml", ".html", ".sample", "/test", "/run"];
    for file in text_files("", &endings) {
        for (number, line) in file.text.lines().enumerate() {
            if HOMES.iter().any(|home| line.contains(home)) {
                findings.push(format!("{}:{}: {}", file.path, number + 1, line.trim()));
            }
        }
    }
    expect_none(&findings, "write a path relative to the repository, or one that every machine has.");
}

#[test]
fn the_manifest_keeps_its_lints_and_lets_a_panic_unwind() {
    let manifest = read("Cargo.toml");
    let clippy = read("clippy.toml");
    let has = |text: &str, wanted: &str| text.lines().any(|line| line.trim() == wanted);
    let mut findings: Vec<String> = LINTS
        .iter()
        .filter(|lint| !has(&manifest, lint))
        .map(|lint| format!("Cargo.toml lacks {lint}"))
        .collect();
    let bans = BANNED_CALLS.iter().filter(|call| !clippy.contains(&format!("path = \"{call}\"")));
    findings.extend(bans.map(|call| format!("clippy.toml lacks {call}")));
    let aborts = |line: &str| line.replace(' ', "").starts_with("panic=\"abort\"");
    if manifest.lines().any(aborts) {
        findings
            .push("Cargo.toml sets panic to abort; a shard that panics must be able to restart".to_owned());
    }
    expect_none(&findings, "put it back; an exception stands beside the code, as #[expect] with its reason.");
}

#[test]
fn the_two_scripts_run_and_ci_runs_what_a_developer_runs() {
    let mut findings = Vec::new();
    for script in ["scripts/test", ".ci/run"] {
        if !is_executable(script) {
            findings.push(format!("{script} is not executable"));
        }
        if !read(script).contains("set -euo pipefail") {
            findings.push(format!("{script} goes on after a failure"));
        }
    }
    if !read(".ci/run").contains("scripts/test") {
        findings.push(".ci/run does not call scripts/test".to_owned());
    }
    expect_none(&findings, "chmod +x, set -euo pipefail, and one list of what must pass: scripts/test.");
}

fn rust_files() -> Vec<super::TextFile> {
    ["src", "tests", "benches", "examples"].iter().flat_map(|folder| text_files(folder, &[".rs"])).collect()
}

/// Whether `word` stands in the line and is not a part of a longer word.
fn contains_word(line: &str, word: &str) -> bool {
    let part_of_a_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let ends_in_letter = part_of_a_word(word.chars().last());
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + word.len()..]);
        let goes_on = ends_in_letter && part_of_a_word(after.chars().next());
        !goes_on && !part_of_a_word(before.chars().last())
    })
}

#[cfg(unix)]
fn is_executable(path: &str) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(root().join(path)).is_ok_and(|meta| meta.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(path: &str) -> bool {
    root().join(path).exists()
}
