//! The data directory: who may use it, the room on its disk, the server key, the server on it, and the clock against it.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use serde::de::IgnoredAny;

use super::super::check_data::size_of;
use super::super::client::{Client, ClientError};
use super::super::source::{is_of, open};
use super::super::{CommandError, absolute};
use super::Findings;
use crate::clock::{Clock as _, SystemClock};
use crate::config::{StorageSettings, is_readable_by_others};
use crate::domain::Timestamp;
use crate::http::answers::ServerAnswer;
use crate::node::server_key;
use crate::store::key_fingerprint_in;

/// Clocks before and after NTP has corrected them differ a little.
const TOLERANCE: Duration = Duration::from_secs(90);

const MIB: u64 = 1024 * 1024;

/// In a cluster the directory has no records.
pub(super) fn examine(
    settings: &StorageSettings,
    is_clustered: bool,
    clock: &SystemClock,
    findings: &mut Findings,
) {
    let data_dir = &settings.data_dir;
    let shown = data_dir.display();
    let found = match fs::metadata(data_dir) {
        Ok(found) if found.is_dir() => found,
        Ok(_) => {
            return findings.fail(
                "data directory",
                format!("{shown} is not a directory"),
                "name another with data-dir",
            );
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return absent(data_dir, findings),
        Err(error) => {
            return findings.fail("data directory", format!("{shown}: {error}"), UNWRITABLE);
        }
    };
    owner(data_dir, &found, findings);
    unreadable(data_dir, findings);
    if let Err(error) = try_to_write(data_dir) {
        findings.fail("data directory", format!("{shown} cannot be written to: {error}"), UNWRITABLE);
    }
    if !is_clustered {
        room(data_dir, findings);
    }
    key(settings, found.uid(), is_clustered, findings);
    let time_of_server = server(settings, is_clustered, findings);
    time(data_dir, time_of_server, clock, findings);
}

const UNWRITABLE: &str =
    "run the command as the server's user; if that is it, name another directory with data-dir";

/// The first start makes the directory, and those above it that are missing.
fn absent(data_dir: &Path, findings: &mut Findings) {
    let shown = data_dir.display();
    let data_dir = absolute(data_dir);
    let above = data_dir.ancestors().skip(1).find(|above| above.exists()).unwrap_or(Path::new("/"));
    match try_to_write(above) {
        Ok(()) => {
            findings.ok("data directory", format!("{shown} does not exist; the first start creates it"));
        }
        Err(error) => findings.fail(
            "data directory",
            format!("{shown} does not exist, and {} cannot be written to: {error}", above.display()),
            UNWRITABLE,
        ),
    }
}

/// Makes a file in a directory, and removes it.
fn try_to_write(directory: &Path) -> io::Result<()> {
    let file = directory.join(format!(".onceward-doctor-{}", std::process::id()));
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file)?;
    fs::remove_file(file)
}

fn owner(data_dir: &Path, found: &fs::Metadata, findings: &mut Findings) {
    let (shown, us) = (data_dir.display(), rustix::process::geteuid());
    if found.uid() != us.as_raw() && !us.is_root() {
        findings.fail(
            "data directory",
            format!("{shown} belongs to the user {}, and this command runs as {}", found.uid(), us.as_raw()),
            "run the command as the server's user (runuser -u USER -- onceward ...), or change the owner",
        );
    } else if found.permissions().mode() & 0o077 != 0 {
        findings.warn(
            "data directory",
            format!("other users of this machine can enter {shown}"),
            &format!("chmod 700 {shown}"),
        );
    } else {
        let as_root = if us.is_root() && found.uid() != 0 {
            "; root can open every file: run the command as that user to find one that the server cannot read"
        } else {
            ""
        };
        findings.ok("data directory", format!("{shown}, of the user {}, private{as_root}", found.uid()));
    }
}

/// The files that this user may not open, which another user has left.
fn unreadable(directory: &Path, findings: &mut Findings) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        match fs::File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let remedy =
                    "make the server's user its owner (chown) with read and write permission (chmod u+rw)";
                findings.fail("data directory", format!("{}: {error}", path.display()), remedy);
            }
            _ if entry.file_type().is_ok_and(|kind| kind.is_dir()) => unreadable(&path, findings),
            _ => {}
        }
    }
}

/// A checkpoint takes four times the live records beside what is there; a snapshot is 1.6 times as large as they are.
fn room(data_dir: &Path, findings: &mut Findings) {
    let Ok(disk) = rustix::fs::statvfs(data_dir) else { return };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let needed = 256 * MIB + size_of(&data_dir.join("snapshot")).saturating_mul(5) / 2;
    let detail =
        format!("{} MiB are free, and a checkpoint needs up to {} MiB", free / MIB, needed.div_ceil(MIB));
    if free < needed {
        let remedy = "free space, or use a larger disk: docs/operate/data-directory.md";
        findings.fail("disk space", detail, remedy);
    } else {
        findings.ok("disk space", detail);
    }
}

fn key(settings: &StorageSettings, user: u32, is_clustered: bool, findings: &mut Findings) {
    let (data_dir, file) = (&settings.data_dir, settings.server_key_file.as_deref());
    let path = server_key::place(data_dir, file);
    let shown = path.display();
    let of_data = key_fingerprint_in(data_dir).ok();
    let put_back =
        "put the server.key that the data was written with back, or name it with ONCEWARD_KEY_FILE";
    match (server_key::find(data_dir, file), of_data) {
        (Err(error), _) => findings.fail("server key", error.to_string(), put_back),
        (Ok(None), Some(_)) => {
            findings.fail("server key", format!("{shown} is missing, and there is data"), put_back);
        }
        // The configuration has said so.
        (Ok(None), None) if is_clustered => {}
        (Ok(None), None) => findings.ok("server key", "the first start creates it"),
        (Ok(Some(key)), Some(of_data)) if !is_of(&key, &of_data) => {
            findings.fail(
                "server key",
                format!("{shown} is not the key that the data was written with"),
                put_back,
            );
        }
        (Ok(Some(_)), _) if is_readable_by_others(&path) => {
            let remedy = format!("chmod o= {shown}");
            findings.warn("server key", format!("every user of this machine can read {shown}"), &remedy);
        }
        (Ok(Some(_)), _) => match server_key::other_owner(&path, user) {
            Some(owner) => {
                let detail = format!("{shown} belongs to the user {owner}, and the data directory to {user}");
                // Root seldom runs the server: more likely the directory was copied by root.
                let remedy = match user {
                    0 => format!("unless root runs the server: chown -R {owner} {}", data_dir.display()),
                    _ => format!("chown {user} {shown}"),
                };
                findings.warn("server key", detail, &remedy);
            }
            None => findings.ok("server key", format!("{shown}; keep a copy apart from copies of the data")),
        },
    }
}

/// The time of the server that runs on the directory, if there is one.
fn server(settings: &StorageSettings, is_clustered: bool, findings: &mut Findings) -> Option<Timestamp> {
    let own = env!("CARGO_PKG_VERSION");
    let asked = Client::of(&settings.data_dir).and_then(|client| {
        let server: ServerAnswer = client.get("/local/Server", &[])?;
        Ok((server, client.get::<IgnoredAny>("/readyz", &[])))
    });
    match asked {
        Ok((ServerAnswer { version, time, .. }, readiness)) => {
            if version != own {
                let detail = format!("version {version} runs, and this program is version {own}");
                findings.warn("server", detail, "restart the server to run the installed version");
            }
            match readiness {
                Ok(_) if version == own => {
                    findings.ok("server", format!("runs on the data directory, version {own}, and is ready"));
                }
                Ok(_) => {}
                Err(ClientError::Refused { why, .. }) => {
                    findings.fail("server", format!("runs, but is {why}"), NOT_READY);
                }
                Err(error) => findings.fail("server", error.to_string(), "see the server's log"),
            }
            time
        }
        Err(CommandError::Client(error)) if error.has_no_socket() => {
            if is_clustered {
                findings.ok("server", "none runs on the data directory");
            } else {
                stopped(settings, findings);
            }
            None
        }
        Err(CommandError::Client(ClientError::Refused { why, .. })) => {
            let detail = format!("another version runs on the data directory; it says: {why}");
            findings.warn("server", detail, "restart the server to run the installed version");
            None
        }
        Err(error) => {
            findings.fail("server", error.to_string(), "see the server's log");
            None
        }
    }
}

const NOT_READY: &str = "remove the cause: docs/operate/troubleshooting.md and the server's log say how";

fn stopped(settings: &StorageSettings, findings: &mut Findings) {
    let verified = open(settings).and_then(|directory| {
        let records = directory.key_and_format()?.map(|_| directory.find(&mut Err)).transpose()?;
        Ok(records.map(|records| records.unusable_snapshot().map(str::to_owned)))
    });
    match verified {
        Ok(None) | Err(CommandError::NoData(_)) => {
            findings.ok("server", "none runs; the data directory is empty");
        }
        Ok(Some(None)) => {
            let detail = "none runs on the data directory; the journal is whole, and the records were not read: run \
                          onceward check-data";
            findings.ok("server", detail);
        }
        Ok(Some(Some(reason))) => {
            let detail = format!(
                "none runs on the data directory; the newest snapshot cannot be used ({reason}); a start uses the older \
                 one and the journal"
            );
            findings.warn("server", detail, "start the server, export the data, then check the disk");
        }
        Err(error) => findings.fail(
            "server",
            error.to_string(),
            "see \"When a start is refused\" in docs/operate/data-directory.md",
        ),
    }
}

/// The clock, compared with the time of the server, or else with that of the last write.
fn time(data_dir: &Path, of_server: Option<Timestamp>, clock: &SystemClock, findings: &mut Findings) {
    let now = clock.wall();
    let (what, reached) = match (of_server, last_write(data_dir)) {
        (Some(time), _) => ("the server's time", time),
        (None, Some(time)) => ("the last write into the data directory", time),
        (None, None) => return,
    };
    let behind = reached.since(now);
    if behind > TOLERANCE {
        findings.warn(
            "clock",
            format!("this machine's clock is {} s behind {what}", behind.as_secs()),
            "set the clock; the server goes on from the later time, and codes and lockouts end by it",
        );
    } else {
        findings.ok("clock", format!("{}, not behind {what}", now.rfc3339_seconds()));
    }
}

fn last_write(data_dir: &Path) -> Option<Timestamp> {
    let segments = fs::read_dir(data_dir.join("journal")).ok()?.flatten();
    let written = segments.filter_map(|segment| segment.metadata().ok()?.modified().ok());
    Timestamp::from_system_time(written.max()?)
}
