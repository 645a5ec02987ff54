//! The rules of the house, enforced by reading the tree as text.
//!
//! A rule that a compiler or a linter can check belongs in Cargo.toml or clippy.toml. What stays
//! is here: which layer may know which, what a file looks like, and that the documents name what
//! exists. Every failure says what to do about it.

#[path = "tidy/documents.rs"]
mod documents;
#[path = "tidy/files.rs"]
mod files;
#[path = "tidy/layers.rs"]
mod layers;
#[path = "tidy/reader.rs"]
mod reader;

use std::fs;
use std::path::Path;

/// One text file of the tree.
struct TextFile {
    /// Relative to the root of the repository, with `/`.
    path: String,
    text: String,
}

/// Every text file below `folder` (`""` for all) whose name ends in one of `endings`, in order.
fn text_files(folder: &str, endings: &[&str]) -> Vec<TextFile> {
    let mut paths = Vec::new();
    collect(&root().join(folder), &mut paths);
    paths.sort();
    paths
        .into_iter()
        .filter(|path| endings.iter().any(|ending| path.ends_with(ending)))
        .map(|path| TextFile { text: read(&path), path })
        .collect()
}

/// The folders below `src` that hold more than tests, such as `src/store/`.
fn source_folders() -> Vec<String> {
    let files = text_files("src", &[".rs"]);
    let for_tests = |path: &str| path.ends_with("/tests.rs") || path.contains("/tests/");
    let mut folders: Vec<String> = files
        .iter()
        .filter(|file| !for_tests(&file.path))
        .filter_map(|file| file.path.rfind('/').map(|end| file.path[..=end].to_owned()))
        .collect();
    folders.sort();
    folders.dedup();
    folders.retain(|folder| folder != "src/");
    folders
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("read {path}: {error}"))
}

fn exists(path: &str) -> bool {
    root().join(path).exists()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files are found by walking, not by asking git, so that the rules hold before a commit too.
fn collect(path: &Path, found: &mut Vec<String>) {
    let relative = path.strip_prefix(root()).unwrap_or(path).to_string_lossy().replace('\\', "/");
    let not_ours = ["target", "data", ".git"].contains(&relative.as_str());
    if not_ours {
        return;
    }
    if path.is_file() {
        found.push(relative);
        return;
    }
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        collect(&entry.path(), found);
    }
}

/// Fails with every finding and with what to do about them.
#[track_caller]
fn expect_none(findings: &[String], what_to_do: &str) {
    assert!(findings.is_empty(), "\n  {}\n\nWhat to do: {what_to_do}\n", findings.join("\n  "));
}
