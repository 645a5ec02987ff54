//! The files of the package below `dist`. `scripts/package-test` installs the package itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use onceward::store::FORMAT;

use crate::support::prelude::*;

/// Where the package installs the program.
const PROGRAM: &str = "/usr/bin/onceward";

#[test]
fn systemd_reads_the_units_without_a_warning_at_an_exposure_below_two() {
    let home = tempfile::tempdir().expect("a directory");
    let units = ["onceward.service", "backup/onceward-export.service", "backup/onceward-export.timer"];
    let units = units.map(|unit| {
        let copy = home.path().join(unit.trim_start_matches("backup/"));
        // The program need not be installed.
        let text = fs::read_to_string(dist(unit)).expect("the unit");
        fs::write(&copy, text.replace(PROGRAM, env!("CARGO_BIN_EXE_onceward"))).expect("a copy");
        copy
    });
    for unit in &units {
        let Some(verified) = analyze(&["verify", "--man=no"], unit) else { return };
        let said = String::from_utf8_lossy(&verified.stderr);
        assert!(verified.status.success() && said.is_empty(), "{said}");
    }
    // The threshold is ten times the exposure.
    let arguments = ["security", "--offline=true", "--threshold=20"];
    let found = analyze(&arguments, &dist("onceward.service")).expect("systemd-analyze, as above");
    let said = String::from_utf8_lossy(&found.stdout);
    assert!(found.status.success() && said.contains("Overall exposure level"), "{said}");
}

#[tokio::test]
async fn the_installed_configuration_is_valid_and_starts_a_simulator() {
    let file = |name: &str| fs::read(dist(name)).expect("a file of the package");
    let setup = Setup::bare().file("config.json", file("config.json")).file(".env", file("env"));
    assert_eq!(setup.command(["--check"]).await.output, "configuration is valid");
    // Its data directory is that of the machine.
    let server = setup.args(["--listen", "127.0.0.1:0", "--data-dir", "data"]).start().await;
    assert_eq!(server.client.send("+14155550123").await.status(), 200);
}

#[tokio::test]
async fn health_shows_whether_a_server_is_ready_and_why_not() {
    let setup = Setup::new();
    let server = setup.start().await;
    let ready = setup.command(["health"]).await;
    assert_eq!((ready.status.code(), ready.output.as_str()), (Some(0), "ready"));
    server.let_writes_fail();
    assert_eq!(server.client.send("+14155550123").await.status(), 503);
    setup.command(["health"]).await.exits(70).says(["says: not ready"]);
    server.killed().await;
    setup.command(["health"]).await.exits(70).says(["no server answers on"]);
}

/// The script as dpkg runs it, below a directory of its own. `scripts/package-test` has refused downgrades and upgrades
/// under systemd.
#[tokio::test]
async fn a_downgrade_is_refused_wherever_the_configuration_has_the_data() {
    let setup = Setup::new();
    setup.start().await.stop().await.exits(0);
    let home = setup.home();
    fs::create_dir_all(home.join("etc/onceward")).expect("a directory");
    let runs = |config: &str, variables: &str| {
        for (name, text) in [("config.json", config), (".env", variables)] {
            fs::write(home.join("etc/onceward").join(name), text).expect("a file");
        }
        let mut shell = Command::new("sh");
        shell.arg(dist("debian/preinst")).args(["upgrade", "1.0.0"]).env("DPKG_ROOT", home);
        let ran = shell.output().expect("a shell");
        (ran.status.success(), String::from_utf8_lossy(&ran.stderr).into_owned())
    };
    let spread = "{ \"data-dir\"\n:\n  \"/data\" }";
    assert_eq!(runs(spread, ""), (true, String::new()));

    let format = setup.data_dir().join("FORMAT");
    let (right, newer) = (fs::read_to_string(&format).expect("FORMAT"), FORMAT + 1);
    let changed = right.replace(&format!("format = {FORMAT}"), &format!("format = {newer}"));
    fs::write(&format, changed.replace("program = ", "program = 9.")).expect("newer");
    let needs = format!("Install onceward 9.{} or a later version.", env!("CARGO_PKG_VERSION"));
    let variable = "A=b\nexport ONCEWARD_DATA_DIR='/data' # the data\n";
    for (config, variables) in [(spread, ""), ("{ \"data-dir\": \"/unused\" }", variable)] {
        let (is_success, said) = runs(config, variables);
        assert!(!is_success, "{said}");
        said.says([&*format!("has format {newer}"), &needs, "Nothing was changed."]);
    }
}

fn dist(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dist").join(file)
}

/// `None` without systemd's tools; in CI they must be there.
#[expect(clippy::print_stdout, reason = "a test that does not run has to say so")]
fn analyze(arguments: &[&str], unit: &Path) -> Option<Output> {
    let ran = Command::new("systemd-analyze").args(arguments).arg("--no-pager").arg(unit).output();
    ran.inspect_err(|error| {
        assert!(std::env::var_os("CI").is_none(), "systemd-analyze: {error}. CI must have it.");
        println!("SKIPPED: cannot run systemd-analyze (package systemd): {error}");
    })
    .ok()
}
