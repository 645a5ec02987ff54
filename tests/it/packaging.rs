//! The files of the package below `dist`. `scripts/package-test` installs the package itself.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use onceward::store::FORMAT;

use crate::support::prelude::*;

/// Where the package installs the program.
const PROGRAM: &str = "/usr/bin/onceward";

/// Ten times the exposure that `systemd-analyze security` may find.
const EXPOSURE: &str = "--threshold=20";

#[test]
fn systemd_reads_the_units_without_a_warning() {
    let home = tempfile::tempdir().expect("a directory");
    let units = ["onceward.service", "backup/onceward-export.service", "backup/onceward-export.timer"];
    let units = units.map(|unit| {
        let copy = home.path().join(unit.trim_start_matches("backup/"));
        // The program need not be installed.
        let text = fs::read_to_string(dist(unit))
            .expect("the unit")
            .replace(PROGRAM, env!("CARGO_BIN_EXE_onceward"));
        fs::write(&copy, text).expect("a copy");
        copy
    });
    for unit in &units {
        let Some(verified) = analyze(&["verify", "--man=no"], unit) else { return };
        let said = String::from_utf8_lossy(&verified.stderr);
        assert!(verified.status.success() && said.is_empty(), "{said}");
    }
}

/// Without systemd, which would set the user and the directory.
#[tokio::test]
async fn the_nightly_unit_exports_a_running_server() {
    let text = fs::read_to_string(dist("backup/onceward-export.service")).expect("the unit");
    let command = between(&text, "ExecStart=/bin/sh -c '", "'\n");
    let setup = Setup::new().config("data-dir", "data");
    let server = setup.start().await;
    assert_eq!(server.client.send("+14155550123").await.status(), 200);

    fs::create_dir(setup.home().join("backups")).expect("a directory");
    let mut command = command.replace("%%", "%");
    for (place, own) in [("/var/backups/onceward", "backups"), (PROGRAM, env!("CARGO_BIN_EXE_onceward"))] {
        assert!(command.contains(place), "{command}");
        command = command.replace(place, own);
    }
    let ended = Command::new("/bin/sh").args(["-c", &command]).env_clear().current_dir(setup.home()).output();
    let ended = ended.expect("a shell");
    assert!(ended.status.success(), "{ended:?}");
    let exports = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].map(|day| format!("backups/{day}.jsonl"));
    let written = exports.iter().find(|export| setup.home().join(export).exists()).expect("an export");
    let import = ["import", written, "--data-dir", "other", "--key-file", "data/server.key"];
    setup.command(import).await.exits(0).says(["the sends of 1 verifications"]);
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

/// Does with its properties what systemd does, but for the user.
const SYSTEMD_RUN: &str = r#"#!/bin/sh
variables=
for argument; do
  case $argument in
    --property=LoadCredential=.env:*) cp "${argument#*.env:}" "$HOME/credentials/.env" || exit 243 ;;
    --property=Environment=*) variables=${argument#*Environment=} ;;
    --*) ;;
    *) break ;;
  esac
  shift
done
exec env -i PATH="$PATH" CREDENTIALS_DIRECTORY="$HOME/credentials" $variables "$@"
"#;

/// The scripts of the package as dpkg runs them, below a directory of their own.
#[tokio::test]
async fn an_upgrade_is_refused_before_the_restart_if_the_data_cannot_be_read() {
    let setup = Setup::new();
    setup.start().await.stop().await.exits(0);
    let (home, data) = (setup.home(), setup.data_dir());
    let put = |path: &str, text: &str| {
        let path = home.join(path);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("a program");
    };
    let program = env!("CARGO_BIN_EXE_onceward");
    // The program does not know the other root.
    put("usr/bin/onceward", &format!("#!/bin/sh\nexec {program} \"$@\" --data-dir {}\n", data.display()));
    put("bin/systemctl", "#!/bin/sh\ncase $* in *Environment*) cat \"$HOME/unit\" ;; esac\n");
    put("bin/systemd-run", SYSTEMD_RUN);
    put("credentials/.env", "");
    let configured = |config: &str, variables: &str, of_unit: &str| {
        put("etc/onceward/config.json", config);
        put("etc/onceward/.env", variables);
        put("unit", of_unit);
    };
    let runs = |script: &str, step: &str| {
        let path = format!("{}:{}", home.join("bin").display(), std::env::var("PATH").unwrap_or_default());
        let mut shell = Command::new("sh");
        shell.arg(dist("debian").join(script)).args([step, "1.0.0"]);
        let ran = shell.env("DPKG_ROOT", home).env("HOME", home).env("PATH", path).output().expect("a shell");
        (ran.status.success(), String::from_utf8_lossy(&ran.stderr).into_owned())
    };
    let usual = r#"{ "data-dir": "/data" }"#;
    configured(usual, "", "");
    for (script, step) in [("preinst", "upgrade"), ("postinst", "configure")] {
        assert_eq!(runs(script, step), (true, String::new()));
    }

    // Data of a newer format: a downgrade.
    let format = data.join("FORMAT");
    let (right, newer) = (fs::read_to_string(&format).expect("FORMAT"), FORMAT + 1);
    let changed = right.replace(&format!("format = {FORMAT}"), &format!("format = {newer}"));
    fs::write(&format, changed.replace("program = ", "program = 9.")).expect("newer");
    let needs = format!("Install onceward 9.{} or a later version.", env!("CARGO_PKG_VERSION"));
    for (config, variables) in [
        ("{ \"data-dir\"\n:\n  \"/data\" }", ""),
        ("{ \"data-dir\": \"/unused\" }", "A=b\nexport ONCEWARD_DATA_DIR='/data' # the data\n"),
    ] {
        configured(config, variables, "");
        let (is_success, said) = runs("preinst", "upgrade");
        assert!(!is_success, "{said}");
        said.says([&*format!("has format {newer}"), &needs, "Nothing was changed."]);
    }
    fs::write(&format, right).expect("put back");

    // Damage, and a setting, that the new version's start would refuse.
    let key = fs::read(data.join("server.key")).expect("the key");
    fs::write(data.join("server.key"), "00".repeat(32)).expect("another key");
    let (length, wrong_key) = ("99", "the server key is not the one that the data in");
    for (config, variables, of_unit, why) in [
        (usual, "", "", wrong_key),
        (r#"{ "otp-length": 99 }"#, "", "", length),
        ("{}", "ONCEWARD_OTP_LENGTH=99\n", "", length),
        ("{}", "", "ONCEWARD_OTP_LENGTH=99", length),
    ] {
        configured(config, variables, of_unit);
        let (is_success, said) = runs("postinst", "configure");
        assert!(!is_success, "{said}");
        said.says(["the server was not restarted", why]);
        fs::write(data.join("server.key"), &key).expect("put back");
    }
    configured("{}", "", "");
    assert!(runs("postinst", "configure").0, "put right, it is configured");
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
