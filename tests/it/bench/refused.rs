//! What is refused before anything is started.

use crate::support::Setup;

#[tokio::test]
async fn options_that_make_no_sense_end_with_the_exit_code_of_wrong_usage() {
    for (arguments, wanted) in [
        (
            ["bench", "--target", "http://192.0.2.1:80", "--gateway-listen=127.0.0.1:1"].as_slice(),
            "--anywhere",
        ),
        (&["bench", "--target", "http://127.0.0.1:80"], "--gateway-listen"),
        (&["bench", "--beside", "redis,redis"], "redis"),
        (&["bench", "--data-dir", "data"], "--data-dir"),
        (&["bench", "--config", "config.json"], "--config"),
        (&["bench", "--workload", "nothing"], "nothing"),
    ] {
        let setup = Setup::bare();
        let finished = setup.command(arguments.iter().copied()).await;
        assert_eq!(finished.status.code(), Some(64), "{arguments:?}: {}", finished.output);
        assert!(finished.output.contains(wanted), "{arguments:?}: {}", finished.output);
        assert_eq!(std::fs::read_dir(setup.home()).expect("a directory").count(), 0, "nothing was made");
    }
}

#[tokio::test]
async fn results_that_cannot_be_written_are_found_before_the_run() {
    let finished = Setup::bare().command(["bench", "--json", "no/such/directory/results.json"]).await;
    assert_eq!(finished.status.code(), Some(70), "{}", finished.output);
    assert!(finished.output.contains("no/such/directory/results.json"), "{}", finished.output);
}

#[tokio::test]
async fn a_disk_that_is_not_there_is_named() {
    let finished = Setup::bare().command(["bench", "--disk", "no/such/directory"]).await;
    assert_eq!(finished.status.code(), Some(70), "{}", finished.output);
    assert!(finished.output.contains("--disk no/such/directory is not a directory"), "{}", finished.output);
}

#[tokio::test]
async fn the_help_explains_workloads_loops_and_servers() {
    let finished = Setup::bare().command(["bench", "--help"]).await;
    assert_eq!(finished.status.code(), Some(0));
    for part in ["Workloads", "wrong-codes", "open loop", "closed loop", "--anywhere", "Examples", "ceiling"]
    {
        assert!(
            finished.output.to_lowercase().contains(&part.to_lowercase()),
            "{part}:\n{}",
            finished.output
        );
    }
    assert!(!finished.output.contains("bench-reference"));
}
