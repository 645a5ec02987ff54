//! The files of the package below `dist`. `scripts/package-test` installs the package itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::{Authority, Setup};

/// Ten times the exposure that `systemd-analyze security` may find.
const EXPOSURE: &str = "--threshold=20";

#[test]
fn systemd_reads_the_unit_without_a_warning() {
    let home = tempfile::tempdir().expect("a directory");
    let unit = home.path().join("onceward.service");
    // The program need not be installed.
    let program = env!("CARGO_BIN_EXE_onceward");
    let text = fs::read_to_string(dist("onceward.service")).expect("the unit");
    assert!(text.contains("ExecStart=/usr/bin/onceward "), "{text}");
    fs::write(&unit, text.replace("/usr/bin/onceward", program)).expect("a copy");
    let Some(verified) = analyze(&["verify", "--man=no"], &unit) else { return };
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && said.is_empty(), "{said}");
}

#[test]
fn the_exposure_of_the_unit_is_below_two() {
    let Some(found) = analyze(&["security", "--offline=true", EXPOSURE], &dist("onceward.service")) else {
        return;
    };
    let said = String::from_utf8_lossy(&found.stdout);
    assert!(found.status.success() && said.contains("Overall exposure level"), "{said}");
}

#[tokio::test]
async fn the_installed_configuration_is_valid_and_starts_a_simulator() {
    let file = |name: &str| fs::read(dist(name)).expect("a file of the package");
    let setup = Setup::bare().file("config.json", file("config.json")).file(".env", file("env"));
    let checked = setup.command(["--check"]).await;
    assert_eq!(checked.output, "configuration is valid");
    let server = setup.args(["--listen", "127.0.0.1:0", "--data-dir", "data"]).start().await;
    assert_eq!(server.client.send("+14155550123").await.status(), 200);
}

#[tokio::test]
async fn health_asks_the_address_that_is_configured() {
    let authority = Authority::new();
    for setup in [Setup::new(), authority.issue().configure(Setup::new())] {
        let server = setup.start().await;
        let port = server.client.address().port().to_string();
        // The environment of the server, as in a container.
        let setup = setup.env("PORT", &port);
        let ready = setup.command(["health"]).await;
        assert_eq!((ready.status.code(), ready.output.as_str()), (Some(0), "ready"));

        server.kill();
        server.ended().await;
        let gone = setup.command(["health"]).await;
        assert_eq!(gone.status.code(), Some(70), "{}", gone.output);
        assert!(gone.output.contains("does not answer") && gone.output.contains(&port), "{}", gone.output);
    }
}

#[tokio::test]
async fn health_of_a_server_that_is_not_ready_shows_the_reasons() {
    let server = Setup::new().start().await;
    server.let_writes_fail();
    assert_eq!(server.client.send("+14155550123").await.status(), 503);
    let asked = Setup::bare().env("PORT", server.client.address().port().to_string());
    let refused = asked.command(["health"]).await;
    assert_eq!(refused.status.code(), Some(70), "{}", refused.output);
    assert!(refused.output.contains("not ready: the journal has not been writable"), "{}", refused.output);
}

fn dist(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dist").join(file)
}

/// `None` without systemd's tools; in CI they must be there.
#[expect(clippy::print_stdout, reason = "a test that does not run has to say so")]
fn analyze(arguments: &[&str], unit: &Path) -> Option<Output> {
    let ran = Command::new("systemd-analyze").args(arguments).arg("--no-pager").arg(unit).output();
    match ran {
        Ok(output) => Some(output),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "systemd-analyze: {error}. CI must have it.");
            println!("SKIPPED: cannot run systemd-analyze (package systemd): {error}");
            None
        }
    }
}
