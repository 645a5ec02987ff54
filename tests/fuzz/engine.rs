//! Runs a target for `cargo test` on its corpus. `FUZZ_INPUT=file` runs it on that file alone.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::targets;

/// Runs the target with that name on its inputs.
///
/// # Panics
/// If the target does, after printing the input.
#[expect(clippy::print_stdout, reason = "the test runner keeps it together with the failure")]
pub fn run(name: &str) {
    let target = targets::find(name).expect("a target of the table");
    if let Some(path) = std::env::var_os("FUZZ_INPUT") {
        let path = Path::new(&path);
        return target(&fs::read(path).unwrap_or_else(|error| panic!("read {}: {error}", path.display())));
    }
    for input in corpus(name) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(&input))) {
            println!("the input: \"{}\"", input.escape_ascii());
            resume_unwind(panic);
        }
    }
}

/// The inputs of a target's corpus, in the order of their names.
pub fn corpus(name: &str) -> Vec<Vec<u8>> {
    let archive = root().join("tests/fuzz/corpus").join(format!("{name}.tar.gz"));
    let folder = tempfile::tempdir().expect("a directory");
    let unpacked = Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(folder.path()).status();
    assert!(unpacked.expect("tar, which unpacks the corpora").success(), "{}", archive.display());
    let files = fs::read_dir(folder.path()).expect("the corpus");
    let mut files: Vec<_> = files.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files.iter().map(|path| fs::read(path).expect("a file")).collect()
}

/// The repository's.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
