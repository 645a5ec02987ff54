//! Fuzz targets: the real parts read input from outside, and properties must hold for every input.
//!
//! These tests run each target on its corpus. `tests/fuzz/run` changes the inputs, guided by coverage;
//! `tests/fuzz/README.md` says how.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

mod engine;
#[macro_use]
mod targets;

macro_rules! tests {
    ($($module:ident::$name:ident,)*) => {
        $(#[test]
        fn $name() {
            engine::run(stringify!($name));
        })*
    };
}

with_targets!(tests);

#[test]
fn every_target_has_a_corpus_and_every_corpus_a_target() {
    for (name, _) in targets::ALL {
        assert!(!engine::corpus(name).is_empty(), "tests/fuzz/corpus/{name}.tar.gz is empty");
    }
    let corpora = std::fs::read_dir(engine::root().join("tests/fuzz/corpus")).expect("the corpora");
    assert_eq!(corpora.count(), targets::ALL.len());
}
