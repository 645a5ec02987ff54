//! Fuzz targets: the real parts read input from outside, and properties must hold for every input.
//!
//! The test runs each target on its corpus. `tests/fuzz/run` changes the inputs, guided by coverage;
//! `tests/fuzz/README.md` says how.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::process::Command;
use std::thread;

mod targets;

#[test]
fn every_target_holds_for_its_corpus_and_every_corpus_has_a_target() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    if let Ok(input) = std::env::var("FUZZ_INPUT") {
        let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET, which reads the input");
        return targets::find(&name).expect("a target")(&fs::read(root.join(input)).expect("the input"));
    }
    let folder = root.join("tests/fuzz/corpus");
    assert_eq!(fs::read_dir(&folder).expect("the corpora").count(), targets::ALL.len());
    thread::scope(|scope| {
        for (name, target) in targets::ALL {
            let archive = folder.join(format!("{name}.tar.gz"));
            scope.spawn(move || holds_for(name, target, &archive));
        }
    });
}

/// Runs the target on the inputs of an archive. Prints the input for which it panics.
#[expect(clippy::print_stdout, reason = "the test runner keeps it together with the failure")]
fn holds_for(name: &str, target: targets::Target, archive: &Path) {
    let folder = tempfile::tempdir().expect("a directory");
    let unpacked = Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(folder.path()).status();
    assert!(unpacked.expect("tar, which unpacks the corpora").success(), "{}", archive.display());
    let files = fs::read_dir(folder.path()).expect("the corpus");
    let mut files: Vec<_> = files.map(|entry| entry.expect("an entry").path()).collect();
    assert!(!files.is_empty(), "{} is empty", archive.display());
    files.sort();
    for file in files {
        let input = fs::read(file).expect("a file");
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(&input))) {
            println!("{name} does not hold for: \"{}\"", input.escape_ascii());
            resume_unwind(panic);
        }
    }
}
