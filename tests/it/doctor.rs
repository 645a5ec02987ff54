//! `onceward doctor`: what it finds, what it advises, and that it sends nothing. `src/cli/calls.txt` has what it says of a
//! configuration.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use crate::support::prelude::*;

#[tokio::test]
async fn doctor_examines_a_running_and_a_stopped_server() {
    let world = World::of(Setup::new()).await;
    let checks = report(&world.setup, 0).await;
    finds(&checks, "ok", "gateway TwilioMessages", &world.twilio().base_url());
    finds(&checks, "ok", "server", "runs on the data directory");
    assert!(world.twilio().received().iter().all(|received| received.target.starts_with("GET ")));

    world.server.stop().await;
    let text = world.setup.command(["doctor"]).await.exits(0);
    text.says(["ok    gateway TwilioMessages: the credentials are right", "none runs on the data directory"]);
    assert!(!text.output.contains('\x1b'), "colors without a terminal");
}

#[tokio::test]
async fn doctor_says_what_is_wrong_with_the_account_at_a_gateway() {
    let world = World::of(Setup::new()).await;
    let setup = world.setup.clone().env("TWILIO_AUTH_TOKEN", "another-t0ken-than-the-accounts");
    let text = setup.command(["doctor"]).await.exits(70).output;
    let failed = text.lines().skip_while(|line| !line.starts_with("fail  gateway TwilioMessages"));
    let lines: Vec<&str> = failed.take(2).collect();
    assert!(lines[0].contains("20003") && lines[1].starts_with("      correct the setting"), "{text}");
    assert!(!text.contains("another-t0ken"), "{text}");

    let setup = world.setup.clone().env("TWILIO_BASE_URL", "http://127.0.0.1:9");
    let checks = report(&setup, 70).await;
    finds(&checks, "fail", "gateway TwilioMessages", "was not reached");

    // The server meets it too.
    world.send(&world.number_with([Reply::Refuse { status: 401, code: 20003 }])).await;
    let checks = report(&world.setup, 70).await;
    finds(&checks, "fail", "server", "runs, but is not ready: ");
}

#[tokio::test]
async fn doctor_looks_at_the_data_directory() {
    let world = World::of(Setup::new()).await;
    world.number_with_code().await;
    world.server.stop().await;
    let (data_dir, setup) = (world.setup.data_dir(), world.setup);
    let key = data_dir.join("server.key");
    fs::set_permissions(&data_dir, Permissions::from_mode(0o755)).expect("a mode");
    fs::set_permissions(&key, Permissions::from_mode(0o644)).expect("a mode");
    let checks = report(&setup, 0).await;
    finds(&checks, "warn", "data directory", "other users of this machine can enter");
    finds(&checks, "warn", "server key", "every user of this machine can read");

    fs::write(&key, "0f".repeat(32)).expect("another key");
    let checks = report(&setup, 70).await;
    finds(&checks, "fail", "server key", "is not the key that the data was written with");
    fs::remove_file(&key).expect("removed");
    let checks = report(&setup, 70).await;
    finds(&checks, "fail", "server key", "is missing, and there is data");
}

/// The checks of a report that ends with this code.
async fn report(setup: &Setup, code: i32) -> Vec<Value> {
    let report = setup.command(["doctor", "--json"]).await.exits(code).object();
    assert_eq!(report["verdict"] == "fail", code == 70, "{report}");
    report["checks"].as_array().expect("checks").clone()
}

#[track_caller]
fn finds(checks: &[Value], verdict: &str, check: &str, words: &str) {
    let found = checks.iter().any(|found| {
        let detail = found["detail"].as_str().unwrap_or_default();
        let advised = verdict == "ok" || found["remedy"].is_string();
        found["verdict"] == verdict && found["check"] == check && detail.contains(words) && advised
    });
    assert!(found, "no {verdict} of {check:?} with {words:?} in:\n{checks:#?}");
}
