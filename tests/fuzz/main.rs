//! Fuzz targets: the real parts read input from outside, and properties must hold for every input.
//!
//! These tests run each target on its corpus and, for a short time, on changed copies of it. `tests/fuzz/run` does the
//! same guided by coverage, for any duration; `tests/fuzz/README.md` says how.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

mod engine;
mod targets;

/// One test for each target of the table.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            engine::run(stringify!($name));
        })*

        #[test]
        fn every_target_has_a_test_and_a_corpus() {
            let tests = [$(stringify!($name)),*];
            let targets = targets::ALL.map(|(name, _)| name);
            assert_eq!(tests, targets, "the table of tests/fuzz/targets/mod.rs and the tests of main.rs differ");
            for name in targets {
                assert!(!engine::corpus(name).is_empty(), "tests/fuzz/corpus/{name}.tar.gz is empty");
            }
        }
    };
}

tests!(
    numbers,
    locales,
    routing,
    codes,
    states,
    logs,
    frames,
    journal,
    snapshot,
    config_file,
    dotenv,
    variables,
    templates,
    callbacks,
    receipts,
    providers,
    http_gateway,
    requests,
    connections,
    sids,
    v2,
);
