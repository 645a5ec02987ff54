//! `onceward doctor`: what it finds, what it advises, and that it sends nothing. `src/cli/calls.txt` has what it says of a
//! configuration.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use crate::support::prelude::*;

/// A report that ends with this code.
async fn doctor(setup: &Setup, code: i32) -> Finished {
    setup.command(["doctor"]).await.exits(code)
}

#[tokio::test]
async fn doctor_examines_a_running_and_a_stopped_server_and_its_data() {
    let world = World::of(Setup::new()).await;
    doctor(&world.setup, 0).await.says([
        "ok    gateway TwilioMessages: the credentials are right",
        &*world.twilio().base_url(),
        "ok    server: runs on the data directory, and is ready",
    ]);
    assert!(world.twilio().received().iter().all(|received| received.target.starts_with("GET ")));
    world.number_with_code().await;
    world.server.stop().await;
    let report = doctor(&world.setup, 0).await;
    report.says(["ok    server: none runs on the data directory"]);
    assert!(!report.output.contains('\x1b'), "colors without a terminal");

    let (data_dir, setup) = (world.setup.data_dir(), world.setup);
    let key = data_dir.join("server.key");
    fs::set_permissions(&data_dir, Permissions::from_mode(0o755)).expect("a mode");
    fs::set_permissions(&key, Permissions::from_mode(0o644)).expect("a mode");
    doctor(&setup, 0).await.says([
        "warn  data directory: other users of this machine can enter",
        "warn  server key: every user of this machine can read",
    ]);
    fs::write(&key, "0f".repeat(32)).expect("another key");
    doctor(&setup, 70).await.says(["fail  server key: ", "is not the key that the data was written with"]);
    fs::remove_file(&key).expect("removed");
    doctor(&setup, 70).await.says(["fail  server key: ", "is missing, and there is data"]);
}

#[tokio::test]
async fn doctor_says_what_is_wrong_with_the_account_at_a_gateway() {
    let world = World::of(Setup::new()).await;
    let setup = world.setup.clone().env("TWILIO_AUTH_TOKEN", "another-t0ken-than-the-accounts");
    let text = doctor(&setup, 70).await.output;
    let failed = text.lines().skip_while(|line| !line.starts_with("fail  gateway TwilioMessages"));
    let lines: Vec<&str> = failed.take(2).collect();
    assert!(lines[0].contains("20003") && lines[1].starts_with("      correct the setting"), "{text}");
    assert!(!text.contains("another-t0ken"), "{text}");

    let setup = world.setup.clone().env("TWILIO_BASE_URL", "http://127.0.0.1:9");
    doctor(&setup, 70).await.says(["fail  gateway TwilioMessages: ", "was not reached"]);

    // The server meets it too.
    world.send(&world.number_with([Reply::Refuse { status: 401, code: 20003 }])).await;
    doctor(&world.setup, 70).await.says(["fail  server: runs, but is not ready: "]);
}
