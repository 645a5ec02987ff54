//! `onceward doctor`: looks at the configuration, the data directory, the clock, the keys and the gateways, and says what
//! to do about each finding. Changes nothing, sends no message, and works with and without a server.

use std::fmt::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use futures_util::future::join_all;
use serde::Serialize;
use serde::de::IgnoredAny;
use tokio::time::timeout;

use super::answer::{CommandOutput, json_line};
use super::client::{Client, ClientError};
use super::context::{Context, runtime};
use super::error::CommandError;
use super::export::is_of;
use super::keys;
use crate::clock::{Clock as _, SystemClock};
use crate::config::{self, Loaded, Settings, StorageSettings, is_readable_by_others};
use crate::delivery::Routed;
use crate::domain::{GatewayName, Timestamp};
use crate::gateway::{AccountFinding, ErrorClass};
use crate::node::{build_gateways, server_key};
use crate::server::{self, EXIT_FAILED};
use crate::store::key_fingerprint_in;

pub fn run(cx: &Context) -> Result<CommandOutput, CommandError> {
    let (mut findings, clock) = (Findings::default(), SystemClock::start());
    let loaded = config::load(&cx.sources);
    match &loaded {
        Ok(loaded) => {
            configuration(loaded, &mut findings);
            examine_gateways(&loaded.settings, &clock, &mut findings)?;
        }
        Err(errors) => {
            for warning in &errors.warnings {
                findings.add("configuration", warn(warning, CONFIGURATION));
            }
            for error in &errors.errors {
                findings.add("configuration", fail(error, CONFIGURATION));
            }
        }
    }
    // The place of the data can be known although another setting is wrong.
    let is_clustered = cx.settings().is_ok_and(|settings| settings.cluster.is_some());
    if let Ok(storage) = cx.storage() {
        examine_data(&storage, is_clustered, &mut findings);
    }
    Ok(findings.output(cx, EXIT_FAILED))
}

const CONFIGURATION: &str =
    "correct it (docs/reference/configuration.md has each key), and see what `onceward --check` says";

fn configuration(loaded: &Loaded, findings: &mut Findings) {
    for warning in &loaded.warnings {
        findings.add("configuration", warn(warning, CONFIGURATION));
    }
    match server::check(&loaded.settings) {
        Ok(of_certificate) if loaded.warnings.is_empty() && of_certificate.is_empty() => {
            findings.add("configuration", ok("valid"));
        }
        Ok(of_certificate) => {
            for warning in of_certificate {
                findings.add("configuration", warn(warning, "see docs/operate/tls.md"));
            }
        }
        Err(error) => findings.add("configuration", fail(error.to_string(), CONFIGURATION)),
    }
    if let Some(exposed) = &loaded.settings.registry.unless_keys {
        let found = if keys::is_there_one(&loaded.settings.storage) {
            ok("callers need an API key, and there is one")
        } else {
            let remedy = "`onceward keys list` shows the keys, `onceward keys create` creates one";
            warn(format!("no API key is known: {}", exposed.errors.join("; ")), remedy)
        };
        findings.add("access", found);
    }
}

// What `doctor` found.

crate::named! {
    /// The result of one check, the worst last.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
    #[serde(rename_all = "lowercase")]
    pub enum Verdict {
        #[default]
        Ok = "ok",
        Warn = "warn",
        Fail = "fail",
    }
}

/// What a check found, and what to do about it.
#[derive(Debug, Default, Serialize)]
pub struct Found {
    /// What was checked; [`Findings::add`] sets it.
    check: String,
    verdict: Verdict,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

pub fn ok(detail: impl Into<String>) -> Found {
    Found { detail: detail.into(), ..Found::default() }
}

pub fn warn(detail: impl Into<String>, remedy: impl Into<String>) -> Found {
    Found { verdict: Verdict::Warn, remedy: Some(remedy.into()), ..ok(detail) }
}

pub fn fail(detail: impl Into<String>, remedy: impl Into<String>) -> Found {
    Found { verdict: Verdict::Fail, ..warn(detail, remedy) }
}

/// Checks with their verdicts.
#[derive(Debug, Default, Serialize)]
pub struct Findings {
    verdict: Verdict,
    checks: Vec<Found>,
}

impl Findings {
    pub fn add(&mut self, check: impl Into<String>, found: Found) {
        self.verdict = self.verdict.max(found.verdict);
        self.checks.push(Found { check: check.into(), ..found });
    }

    /// One line of JSON, or text for people. `failed` is the exit code if a check failed.
    pub fn output(&self, cx: &Context, failed: u8) -> CommandOutput {
        let code = if self.verdict == Verdict::Fail { failed } else { 0 };
        let out = if cx.json { json_line(self) } else { self.text() };
        CommandOutput { code, ..CommandOutput::of(out) }
    }

    // Writing to a text cannot fail.
    fn text(&self) -> String {
        let mut text = String::new();
        for Found { check, verdict, detail, remedy } in &self.checks {
            // Further lines begin where the remedy does.
            let detail = detail.replace('\n', "\n  ");
            let _ = writeln!(text, "{:4}  {check}: {detail}", verdict.as_str());
            if let Some(remedy) = remedy {
                let _ = writeln!(text, "      {remedy}");
            }
        }
        text
    }
}

// The data directory: who may use it, the room on its disk, the server key, and the server on it.

const MIB: u64 = 1024 * 1024;

/// In a cluster the directory has no records.
pub(super) fn examine_data(settings: &StorageSettings, is_clustered: bool, findings: &mut Findings) {
    let data_dir = &settings.data_dir;
    let shown = data_dir.display();
    let problem = match fs::metadata(data_dir) {
        Ok(found) if found.is_dir() => return directory(settings, &found, is_clustered, findings),
        Ok(_) => fail(format!("{shown} is not a directory"), "name another with data-dir"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => absent(data_dir),
        Err(error) => fail(format!("{shown}: {error}"), UNWRITABLE),
    };
    findings.add("data directory", problem);
}

fn absent(data_dir: &Path) -> Found {
    let shown = data_dir.display();
    let above = data_dir.ancestors().find(|above| above.exists()).unwrap_or(Path::new("."));
    match try_to_write(above) {
        Ok(()) => ok(format!("{shown} does not exist; the first start creates it")),
        Err(error) => fail(format!("{shown} cannot be created in {}: {error}", above.display()), UNWRITABLE),
    }
}

fn directory(settings: &StorageSettings, found: &fs::Metadata, is_clustered: bool, findings: &mut Findings) {
    let data_dir = &settings.data_dir;
    findings.add("data directory", owner(data_dir, found));
    if let Err(error) = try_to_write(data_dir) {
        let detail = format!("{} cannot be written to: {error}", data_dir.display());
        findings.add("data directory", fail(detail, UNWRITABLE));
    }
    if let Ok(disk) = rustix::fs::statvfs(data_dir)
        && !is_clustered
    {
        findings.add("disk space", room(data_dir, &disk));
    }
    if let Some(found) = key(settings, is_clustered) {
        findings.add("server key", found);
    }
    findings.add("server", server(settings));
}

const UNWRITABLE: &str =
    "run the command as the server's user; if that is it, name another directory with data-dir";

/// Makes a file in a directory, and removes it.
fn try_to_write(directory: &Path) -> io::Result<()> {
    let file = directory.join(format!(".onceward-doctor-{}", std::process::id()));
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file)?;
    fs::remove_file(file)
}

fn owner(data_dir: &Path, found: &fs::Metadata) -> Found {
    let (shown, owner, us) = (data_dir.display(), found.uid(), rustix::process::geteuid());
    if owner != us.as_raw() && !us.is_root() {
        fail(
            format!("{shown} belongs to the user {owner}, and this command runs as {}", us.as_raw()),
            "run the command as the server's user (runuser -u USER -- onceward ...), or change the owner",
        )
    } else if found.permissions().mode() & 0o077 != 0 {
        warn(format!("other users of this machine can enter {shown}"), format!("chmod 700 {shown}"))
    } else {
        ok(format!("{shown}, of the user {owner}, private"))
    }
}

/// A checkpoint takes four times the live records beside what is there; a snapshot is 1.6 times as large as they are.
fn room(data_dir: &Path, disk: &rustix::fs::StatVfs) -> Found {
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let needed = 256 * MIB + size_of(&data_dir.join("snapshot")).saturating_mul(5) / 2;
    let detail =
        format!("{} MiB are free, and a checkpoint needs up to {} MiB", free / MIB, needed.div_ceil(MIB));
    if free < needed {
        fail(detail, "free space, or use a larger disk: docs/operate/data-directory.md")
    } else {
        ok(detail)
    }
}

/// The disk usage of what is below a directory, in bytes.
fn size_of(path: &Path) -> u64 {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            entries.map(|entry| size_of(&entry.path())).sum()
        }
        // Blocks are counted in 512 bytes, whatever the file system's are (POSIX, stat).
        Ok(found) => found.blocks() * 512,
        Err(_) => 0,
    }
}

fn key(settings: &StorageSettings, is_clustered: bool) -> Option<Found> {
    const PUT_BACK: &str =
        "put the server.key that the data was written with back, or name it with ONCEWARD_KEY_FILE";
    let (data_dir, file) = (&settings.data_dir, settings.server_key_file.as_deref());
    let path = server_key::place(data_dir, file);
    let shown = path.display();
    let fits = match (server_key::find(data_dir, file), key_fingerprint_in(data_dir).ok()) {
        (Err(error), _) => return Some(fail(error.to_string(), PUT_BACK)),
        (Ok(None), Some(_)) => return Some(fail(format!("{shown} is missing, and there is data"), PUT_BACK)),
        // The configuration has said so.
        (Ok(None), None) if is_clustered => return None,
        (Ok(None), None) => return Some(ok("the first start creates it")),
        (Ok(Some(key)), of_data) => of_data.is_none_or(|of_data| is_of(&key, &of_data)),
    };
    Some(if !fits {
        fail(format!("{shown} is not the key that the data was written with"), PUT_BACK)
    } else if is_readable_by_others(&path) {
        warn(format!("every user of this machine can read {shown}"), format!("chmod o= {shown}"))
    } else {
        ok(format!("{shown}; keep a copy apart from copies of the data"))
    })
}

/// The server that runs on the directory, if there is one.
fn server(settings: &StorageSettings) -> Found {
    let asked = Client::of(&settings.data_dir).and_then(|client| client.get::<IgnoredAny>("/readyz", &[]));
    match asked {
        Ok(_) => ok("runs on the data directory, and is ready"),
        Err(ClientError::Refused { why, .. }) => fail(
            format!("runs, but is {why}"),
            "remove the cause: docs/operate/troubleshooting.md and the server's log say how",
        ),
        Err(error) if error.has_no_socket() => {
            ok("none runs on the data directory; onceward check-data reads what is in it")
        }
        Err(error) => fail(error.to_string(), "see the server's log"),
    }
}

// The gateways: credentials, asked by requests that cost nothing.

/// For all requests to one gateway.
const WITHIN: Duration = Duration::from_secs(20);

/// A provider's clock that differs by more shows that this machine's is wrong.
const TOLERANCE: Duration = Duration::from_secs(30);

pub(super) fn examine_gateways(
    settings: &Settings,
    clock: &SystemClock,
    findings: &mut Findings,
) -> Result<(), CommandError> {
    // The configuration has said what is wrong with them.
    let Ok(built) = build_gateways(&settings.gateways, clock) else { return Ok(()) };
    let asked = built.routed.iter().map(async |Routed { routed_as, gateway }| {
        // One outside the order sends nothing: a server works without it.
        let is_used = settings.gateways.routing.names(*routed_as);
        (gateway.name(), is_used, timeout(WITHIN, gateway.examine_account()).await)
    });
    for (name, is_used, found) in runtime()?.block_on(join_all(asked)) {
        match found {
            Ok(None) => findings.add(format!("gateway {name}"), silent(name)),
            Ok(Some(found)) => one(name, is_used, found, clock, findings),
            Err(_) => {
                let detail = format!("did not answer within {} s", WITHIN.as_secs());
                findings.add(format!("gateway {name}"), problem(is_used, detail, REACH));
            }
        }
    }
    Ok(())
}

const REACH: &str = "let this machine reach the provider: name resolution, firewall, HTTPS_PROXY";

/// Of a gateway outside the order only a warning.
fn problem(is_used: bool, detail: String, remedy: &str) -> Found {
    if is_used {
        fail(detail, remedy)
    } else {
        warn(detail, "it is not in otp-sms-provider and sends nothing: correct its settings, or remove them")
    }
}

fn silent(name: GatewayName) -> Found {
    ok(if name == GatewayName::Simulator {
        "sends no message: it shows codes on a page of this machine"
    } else {
        "configured; checking the credentials is not possible without a message"
    })
}

fn one(
    name: GatewayName,
    is_used: bool,
    found: AccountFinding,
    clock: &SystemClock,
    findings: &mut Findings,
) {
    let AccountFinding { asked, state, date } = found;
    let found = match state {
        Ok(()) => ok(format!("the credentials are right ({asked})")),
        Err(error) => {
            let remedy = match error.class {
                ErrorClass::Configuration => {
                    "correct the setting, or the account at the provider; docs/reference/gateways.md"
                }
                ErrorClass::Retry => REACH,
                _ => "check the address of the gateway; try again, or ask the provider",
            };
            problem(is_used, format!("{error} ({asked})"), remedy)
        }
    };
    findings.add(format!("gateway {name}"), found);
    let theirs = date.and_then(Timestamp::from_system_time);
    let (ours, theirs) = (clock.wall(), theirs.unwrap_or(clock.wall()));
    let apart = ours.since(theirs).max(theirs.since(ours));
    if apart > TOLERANCE {
        let detail = format!("this machine's clock and that of {name} are {} s apart", apart.as_secs());
        findings.add("clock", warn(detail, "synchronize the clock (NTP): `timedatectl` shows its state"));
    }
}
