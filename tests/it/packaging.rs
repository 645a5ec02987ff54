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
    let import = ["import", written, "--drop-codes", "--data-dir", "other"];
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
    let server = setup.args(["--listen", "127.0.0.1:0"]).start().await;
    assert_eq!(server.client.send("+14155550123").await.status(), 200);
}

#[tokio::test]
async fn health_asks_the_configured_address_and_shows_why_a_server_is_not_ready() {
    let authority = Authority::new();
    for setup in [Setup::new(), authority.issue().configure(Setup::new())] {
        let server = setup.start().await;
        let port = server.client.address().port().to_string();
        // The environment of the server, as in a container.
        let setup = setup.env("PORT", &port);
        let ready = setup.command(["health"]).await;
        assert_eq!((ready.status.code(), ready.output.as_str()), (Some(0), "ready"));
        server.killed().await;
        setup.command(["health"]).await.exits(70).says(["does not answer", &port]);
    }
    let server = Setup::new().start().await;
    server.let_writes_fail();
    assert_eq!(server.client.send("+14155550123").await.status(), 503);
    let asked = Setup::bare().env("PORT", server.client.address().port().to_string());
    asked.command(["health"]).await.exits(70).says(["not ready: store; onceward doctor says more"]);
}

/// Only dpkg, the program and another user are real: no unit is installed, and `#DEBHELPER#` notes a restart.
#[tokio::test]
async fn an_upgrade_is_refused_before_the_restart_if_the_data_cannot_be_read() {
    let setup = Setup::new();
    setup.start().await.stop().await.exits(0);
    let Some(package) = Package::install() else { return };
    package.take_data(&setup.data_dir());
    let started = || fs::read_to_string(package.home.path().join("started")).unwrap_or_default();
    assert_eq!(started(), "install\n");
    let upgraded = package.upgrade("2.0.0");
    assert!(upgraded.status.success(), "{upgraded:?}");
    assert_eq!(started(), "install\n2.0.0 over 1.0.0\n");

    // Data of a newer format: a downgrade.
    let format = package.data().join("FORMAT");
    let (right, newer) = (fs::read_to_string(&format).expect("FORMAT"), FORMAT + 1);
    fs::write(
        &format,
        right
            .replace(&format!("format = {FORMAT}"), &format!("format = {newer}"))
            .replace("program = ", "program = 9."),
    )
    .expect("newer");
    let needs = format!("Install onceward 9.{} or a later version.", env!("CARGO_PKG_VERSION"));
    refused(&package.upgrade("1.5.0")).says([
        &*format!("has format {newer}"),
        &needs,
        "Nothing was changed.",
    ]);
    let settings = package.root().join("etc/onceward");
    for (config, variables) in [
        ("{ \"data-dir\"\n:\n  \"/srv/onceward\" }", ""),
        ("{}", "ONCEWARD_DATA_DIR=/srv/onceward # the data\n"),
        ("{ \"data-dir\": \"/srv/unused\" }", "A=b\nexport ONCEWARD_DATA_DIR='/srv/onceward'\n"),
    ] {
        fs::write(settings.join("config.json"), config).expect("a file");
        fs::write(settings.join(".env"), variables).expect("a file");
        refused(&package.upgrade("1.5.0")).says(["Nothing was changed."]);
    }
    fs::write(settings.join(".env"), "").expect("a file");
    let installed = package.dpkg(&["-s", "onceward"]).stdout;
    String::from_utf8_lossy(&installed).says(["\nVersion: 2.0.0\n"]);
    assert_eq!(started(), "install\n2.0.0 over 1.0.0\n", "its server is not restarted");
    fs::write(&format, right).expect("put back");

    // Damage, which a start would refuse.
    let key = fs::read(package.data().join("server.key")).expect("the key");
    fs::write(package.data().join("server.key"), "00".repeat(32)).expect("another key");
    let key_is_wrong = "the key here is not the one this data was written with";
    refused(&package.upgrade("3.0.0")).says(["the server was not restarted", key_is_wrong]);
    assert_eq!(started(), "install\n2.0.0 over 1.0.0\n");
    fs::write(package.data().join("server.key"), key).expect("put back");
    let configured = package.dpkg(&["--configure", "onceward"]);
    assert!(configured.status.success(), "{configured:?}");
    assert_eq!(started(), "install\n2.0.0 over 1.0.0\n3.0.0 over 2.0.0\n");

    // A setting that the new version refuses.
    let length = r#"{ "otp-length": 99 }"#;
    for (config, variables, of_unit) in
        [(length, "", ""), ("{}", "ONCEWARD_OTP_LENGTH=99\n", ""), ("{}", "", "ONCEWARD_OTP_LENGTH=99")]
    {
        fs::write(settings.join("config.json"), config).expect("a file");
        fs::write(settings.join(".env"), variables).expect("a file");
        package.unit_sets(of_unit);
        let said = refused(&package.upgrade("4.0.0"));
        said.says(["99", "otp", "the server was not restarted", "configuration"]);
    }
    assert_eq!(started(), "install\n2.0.0 over 1.0.0\n3.0.0 over 2.0.0\n");
    package.unit_sets("");
    let configured = package.dpkg(&["--configure", "onceward"]);
    assert!(configured.status.success(), "{configured:?}");
    let users = fs::read_to_string(package.home.path().join("users")).expect("the users of the program");
    assert!(users.lines().all(|user| user == SERVER_USER.to_string()), "{users}");
}

/// What an installation says that must fail.
fn refused(installed: &Output) -> String {
    let said = String::from_utf8_lossy(&installed.stderr).into_owned();
    assert!(!installed.status.success(), "{said}");
    said
}

/// A user without rights, in the place of the package's.
const SERVER_USER: u32 = 65_534;

/// Does with its properties what systemd does.
const SYSTEMD_RUN: &str = r#"#!/bin/sh
user= variables=
for argument; do
  case $argument in
    --property=User=onceward) user='$user' ;;
    --property=LoadCredential=.env:*) install -m 644 "${argument#*.env:}" "$HOME/credentials/.env" || exit 243 ;;
    --property=Environment=*) variables=${argument#*Environment=} ;;
    --*) ;;
    *) break ;;
  esac
  shift
done
exec setpriv $user env -i PATH="$PATH" CREDENTIALS_DIRECTORY="$HOME/credentials" $variables "$@"
"#;

/// Packages of this program with the scripts of `dist/debian`, installed below a directory of their own.
struct Package {
    home: tempfile::TempDir,
}

impl Package {
    /// Installs version 1.0.0. `None` without dpkg, or if this user may not install; in CI both must be.
    #[expect(clippy::print_stdout, reason = "a test that does not run has to say so")]
    fn install() -> Option<Self> {
        let is_root = rustix::process::geteuid().is_root();
        if !is_root || Command::new("dpkg").arg("--version").output().is_err() {
            assert!(std::env::var_os("CI").is_none() || !is_root, "CI must have dpkg");
            println!("SKIPPED: dpkg installs as root only");
            return None;
        }
        let package = Self { home: tempfile::tempdir().expect("a directory") };
        let root = package.root();
        for directory in ["var/lib/dpkg/updates", "var/lib/dpkg/info", "srv", "etc/onceward"] {
            fs::create_dir_all(root.join(directory)).expect("a directory");
        }
        fs::write(root.join("var/lib/dpkg/status"), "").expect("a file");
        fs::write(root.join("etc/onceward/config.json"), r#"{ "data-dir": "/srv/onceward" }"#)
            .expect("a file");
        let variables = root.join("etc/onceward/.env");
        fs::write(&variables, "").expect("a file");
        fs::set_permissions(&variables, fs::Permissions::from_mode(0o600)).expect("as the package has it");
        // systemd does not run here, and the package's user does not exist. Its substitute may not enter the directories
        // of the build.
        let bin = package.home.path().join("bin");
        program(&bin.join("systemctl"), "#!/bin/sh\ncase $* in *Environment*) cat \"$HOME/unit\" ;; esac\n");
        let of_user = format!("--reuid={SERVER_USER} --regid={SERVER_USER} --clear-groups");
        program(&bin.join("systemd-run"), &SYSTEMD_RUN.replace("$user", &of_user));
        fs::copy(env!("CARGO_BIN_EXE_onceward"), bin.join("onceward")).expect("a copy");
        fs::set_permissions(&package.home, fs::Permissions::from_mode(0o755)).expect("a directory for all");
        fs::create_dir(package.home.path().join("credentials")).expect("a directory");
        program(&package.home.path().join("users"), "");
        fs::set_permissions(package.home.path().join("users"), fs::Permissions::from_mode(0o666))
            .expect("a file for all");
        package.unit_sets("");
        let installed = package.upgrade("1.0.0");
        assert!(installed.status.success(), "{installed:?}");
        Some(package)
    }

    /// Puts a copy of `data` in the place of its data.
    fn take_data(&self, data: &Path) {
        let copied = Command::new("cp").arg("-a").arg(data).arg(self.data()).status().expect("cp");
        let of_server = format!("{SERVER_USER}:{SERVER_USER}");
        let given = Command::new("chown").args(["-R", &of_server]).arg(self.data()).status().expect("chown");
        assert!(copied.success() && given.success());
    }

    /// The variables that the unit and its overrides set.
    fn unit_sets(&self, variables: &str) {
        fs::write(self.home.path().join("unit"), variables).expect("a file");
    }

    fn root(&self) -> PathBuf {
        self.home.path().join("root")
    }

    /// Where config.json of the package says that the data is.
    fn data(&self) -> PathBuf {
        self.root().join("srv/onceward")
    }

    /// Builds a version and installs it.
    fn upgrade(&self, version: &str) -> Output {
        let tree = self.home.path().join(format!("tree-{version}"));
        let debian = tree.join("DEBIAN");
        // The program does not know the other root.
        let (real, data) = (self.home.path().join("bin/onceward"), self.data());
        let users = self.home.path().join("users");
        let wrapper = format!(
            "#!/bin/sh\nid -u >>{}\nexec {} \"$@\" --data-dir {}\n",
            users.display(),
            real.display(),
            data.display()
        );
        program(&tree.join("usr/bin/onceward"), &wrapper);
        let control = format!(
            "Package: onceward\nVersion: {version}\nArchitecture: all\nMaintainer: none <none@onceward.invalid>\n\
             Description: a test\n"
        );
        fs::create_dir_all(&debian).expect("a directory");
        fs::write(debian.join("control"), control).expect("a file");
        let log = self.home.path().join("started");
        let started = format!(
            "if [ \"$1\" = configure ]; then echo \"${{2:+{version} over }}${{2:-install}}\" >>{}; fi",
            log.display()
        );
        for (script, part) in [("preinst", ""), ("postinst", started.as_str())] {
            let text = fs::read_to_string(dist("debian").join(script)).expect("a script");
            assert!(text.contains("\n#DEBHELPER#\n"), "{script} has no place for parts that cargo deb adds");
            program(&debian.join(script), &text.replace("#DEBHELPER#", part));
        }
        let file = self.home.path().join(format!("{version}.deb"));
        let built = Command::new("dpkg-deb").args(["--build", "-Znone"]).arg(&tree).arg(&file).output();
        let built = built.expect("dpkg-deb");
        assert!(built.status.success(), "{built:?}");
        self.dpkg(&["--install", file.to_str().expect("a path")])
    }

    fn dpkg(&self, arguments: &[&str]) -> Output {
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}:/usr/sbin:/sbin", self.home.path().join("bin").display());
        let mut dpkg = Command::new("dpkg");
        dpkg.arg(format!("--root={}", self.root().display()))
            .args(["--force-script-chrootless", "--force-downgrade", "--log=/dev/null"])
            .args(arguments)
            .env("PATH", path)
            .env("HOME", self.home.path());
        dpkg.output().expect("dpkg")
    }
}

fn program(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
    fs::write(path, text).expect("a file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a program");
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
