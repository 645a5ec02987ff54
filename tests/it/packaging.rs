//! The files of the package below `dist`. `scripts/package-test` installs the package itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use onceward::store::FORMAT;

use crate::support::prelude::*;

#[test]
fn systemd_reads_the_units_without_a_warning() {
    let home = tempfile::tempdir().expect("a directory");
    let units = ["onceward.service", "backup/onceward-export.service", "backup/onceward-export.timer"];
    let units = units.map(|unit| {
        let copy = home.path().join(unit.trim_start_matches("backup/"));
        // The program need not be installed.
        let text = fs::read_to_string(dist(unit)).expect("the unit");
        fs::write(&copy, text.replace("/usr/bin/onceward", env!("CARGO_BIN_EXE_onceward"))).expect("a copy");
        copy
    });
    for unit in &units {
        let verified = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(unit).output();
        let verified = match verified {
            Ok(verified) => verified,
            Err(error) => {
                assert!(std::env::var_os("CI").is_none(), "systemd-analyze: {error}. CI must have it.");
                return println!("SKIPPED: cannot run systemd-analyze (package systemd): {error}");
            }
        };
        let said = String::from_utf8_lossy(&verified.stderr);
        assert!(verified.status.success() && said.is_empty(), "{said}");
    }
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
