//! Finds what `tests/sdk/install` installed, and runs programs with it.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

/// Enough for the long run of schemathesis on a busy machine. The programs usually end long before.
const LONGEST: Duration = Duration::from_secs(60 * 60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// Python, with its arguments.
    Python,
    /// The test runner of Node, with files.
    Node,
    /// The same with Chromium, and files of `tests/browser`.
    Browser,
}

pub struct Tools {
    tool: Tool,
    home: PathBuf,
}

impl Tools {
    /// Returns `None` if it is not installed, after printing so.
    ///
    /// # Panics
    /// In CI, if it is not installed.
    #[expect(clippy::print_stderr, reason = "a reader of a skipped test's output must see it")]
    pub fn find(tool: Tool) -> Option<Self> {
        let home = target().join("sdk").join(match tool {
            Tool::Python => "python",
            Tool::Node => "node",
            Tool::Browser => "browser",
        });
        // The installer writes this file last: an interrupted installation does not count.
        if home.join("installed").exists() {
            return Some(Self { tool, home });
        }
        let needed = "SKIPPED: what it needs is not installed. Run tests/sdk/install";
        assert!(std::env::var_os("CI").is_none(), "{needed}. CI must have them.");
        eprintln!("{needed}");
        None
    }

    /// Runs a program in `tests/sdk` or `tests/browser` until it ends. It alone sees the file `hosts` in the place of
    /// `/etc/hosts`.
    ///
    /// # Panics
    /// If the program fails, with its output.
    pub async fn run<S: AsRef<str>>(
        &self,
        hosts: Option<&Path>,
        arguments: &[S],
        environment: &[(&str, &str)],
    ) {
        let (program, option, modules) = match self.tool {
            Tool::Python => (self.home.join("bin/python"), None, ("PYTHONPATH", source().join("python"))),
            Tool::Node | Tool::Browser => {
                ("node".into(), Some("--test"), ("NODE_PATH", self.home.join("node_modules")))
            }
        };
        let mut command = Command::new(&program);
        if let Some(hosts) = hosts {
            command = unshare();
            command
                .args(["sh", "-c", "mount --bind \"$0\" /etc/hosts && exec \"$@\""])
                .args([hosts, program.as_path()]);
        }
        command
            .args(option)
            .args(arguments.iter().map(AsRef::as_ref))
            .envs(environment.iter().copied())
            .envs([modules, ("ONCEWARD_SDK_HOME", self.home.clone())])
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .current_dir(source().with_file_name(if self.tool == Tool::Browser { "browser" } else { "sdk" }));
        // A proxy of this machine has nothing to do with a server on it.
        for proxy in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
            command.env_remove(proxy);
        }
        let ended = tokio::task::spawn_blocking(move || command.output());
        let ended = tokio::time::timeout(LONGEST, ended).await.expect("the program ends");
        let Output { status, stdout, stderr } = ended.expect("it was waited for").expect("it was started");
        let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert!(status.success(), "{status}\n{stdout}\n{stderr}");
    }
}

/// Runs a program in a mount namespace of its own. Who is not root becomes root of a namespace of users.
fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.arg(if rustix::process::geteuid().is_root() { "-m" } else { "-rm" });
    command
}

/// An address of this process with a free port 443, under which a program can be told to find another name. `bit`, 0 or
/// 64, chooses one of two. `None` where that is not possible, after saying so.
#[expect(clippy::print_stderr, reason = "a reader of a skipped test's output must see it")]
pub fn address_for_names(bit: u8) -> Option<String> {
    let [first, high, middle, low] = crate::support::loopback().octets();
    let address = Ipv4Addr::new(first, high | bit, middle, low).to_string();
    let probe = unshare().args(["sh", "-c", "mount --bind /etc/hosts /etc/hosts"]).output();
    let can_mount = probe.is_ok_and(|probed| probed.status.success());
    if can_mount && TcpListener::bind((address.as_str(), 443)).is_ok() {
        return Some(address);
    }
    eprintln!(
        "SKIPPED: programs under Twilio's own name need mounts (unshare, package util-linux) and {address}:443"
    );
    None
}

/// The files in a folder of `tests/sdk` whose names end so.
pub fn files(folder: &str, ending: &str) -> Vec<String> {
    let entries = std::fs::read_dir(source().join(folder)).expect("the folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let mut found: Vec<String> =
        names.filter(|name| name.ends_with(ending)).map(|name| format!("{folder}/{name}")).collect();
    found.sort();
    assert!(!found.is_empty(), "{folder} has no file that ends in {ending}");
    found
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk")
}

/// Cargo's target directory.
pub fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a folder above").to_owned()
}
