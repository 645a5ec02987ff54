//! The data directory: who may use it, the room on its disk, the server key, and the server on it.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use serde::de::IgnoredAny;
use serde_json::Value;

use super::super::answer::text;
use super::super::client::{Client, ClientError};
use super::super::findings::{Findings, Found, fail, ok, warn};
use super::super::source::is_of;
use crate::config::{StorageSettings, is_readable_by_others};
use crate::http::tls::absolute;
use crate::node::server_key;
use crate::store::key_fingerprint_in;

const MIB: u64 = 1024 * 1024;

/// In a cluster the directory has no records.
pub(super) fn examine(settings: &StorageSettings, is_clustered: bool, findings: &mut Findings) {
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

/// The first start makes the directory, and those above it that are missing.
fn absent(data_dir: &Path) -> Found {
    let shown = data_dir.display();
    let data_dir = absolute(data_dir);
    let above = data_dir.ancestors().skip(1).find(|above| above.exists()).unwrap_or(Path::new("/"));
    match try_to_write(above) {
        Ok(()) => ok(format!("{shown} does not exist; the first start creates it")),
        Err(error) => {
            let above = above.display();
            fail(format!("{shown} does not exist, and {above} cannot be written to: {error}"), UNWRITABLE)
        }
    }
}

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
    const OWN: &str = env!("CARGO_PKG_VERSION");
    const RESTART: &str = "restart the server to run the installed version";
    let asked = Client::of(&settings.data_dir).and_then(|client| {
        let server: Value = client.get("/local/Server", &[])?;
        Ok((text(&server, "version").to_owned(), client.get::<IgnoredAny>("/readyz", &[])))
    });
    match asked {
        Ok((_, Err(ClientError::Refused { why, .. }))) => fail(
            format!("runs, but is {why}"),
            "remove the cause: docs/operate/troubleshooting.md and the server's log say how",
        ),
        Ok((_, Err(error))) => fail(error.to_string(), "see the server's log"),
        Ok((version, Ok(_))) if version != OWN => {
            warn(format!("version {version} runs, and this program is version {OWN}"), RESTART)
        }
        Ok(_) => ok(format!("runs on the data directory, version {OWN}, and is ready")),
        Err(error) if error.has_no_socket() => {
            ok("none runs on the data directory; onceward check-data reads what is in it")
        }
        Err(ClientError::Refused { why, .. }) => {
            warn(format!("another version runs on the data directory; it says: {why}"), RESTART)
        }
        Err(error) => fail(error.to_string(), "see the server's log"),
    }
}
