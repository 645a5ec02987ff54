//! The files that the server's user may not use. `doctor` runs as root, which can read every file. The server's user can
//! write the data directory: its links are not followed, and no remedy changes what they lead to.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::absolute;
use super::Findings;
use crate::config::{StorageSettings, TlsFiles};
use crate::node::server_key;

/// Bits of a mode.
const READ: u32 = 0o4;
const WRITE: u32 = 0o2;
const ENTER: u32 = 0o1;

/// The files of the data directory that a start reads and writes.
const WRITTEN: [&str; 4] = ["FORMAT", "journal", "lock", "snapshot"];

/// Does nothing unless run as root: any other user gets the error itself.
pub(super) fn examine(
    storage: &StorageSettings,
    tls: Option<&TlsFiles>,
    config_file: &Path,
    findings: &mut Findings,
) {
    let data_dir = &storage.data_dir;
    let Ok(found) = fs::metadata(data_dir) else { return };
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let owner = ServerUser { uid: found.uid(), gid: found.gid() };
    let user = ServerUser::of_unit(config_file).unwrap_or(owner);
    if user.uid == 0 {
        let detail = "not examined: root owns the data directory, and no unit `onceward` with this configuration names \
                      another user";
        findings.note("permissions", detail, "run doctor as the user that runs the server");
        return;
    }
    let server_key = server_key::place(data_dir, storage.server_key_file.as_deref());
    let read = [absolute(config_file), server_key, data_dir.join("account.env")];
    let of_tls = tls.into_iter().flat_map(|files| [files.certificate.clone(), files.key.clone()]);
    let mut is_fine = true;
    for file in read.into_iter().chain(of_tls) {
        if file.starts_with(data_dir) && is_link(&file) {
            is_fine = false;
            let detail =
                format!("{} is a link, and doctor follows none in the data directory", file.display());
            findings.fail("permissions", detail, "replace it by a file of the server's user");
            continue;
        }
        let Some(part) = user.refused_part(&file) else { continue };
        is_fine = false;
        let detail = if part == file {
            format!("the server's user ({}) may not read {}", user.uid, file.display())
        } else {
            format!(
                "the server's user ({}) may not enter {} to read {}",
                user.uid,
                part.display(),
                file.display()
            )
        };
        let is_data = part.starts_with(data_dir);
        let (part, group) = (part.display(), user.gid);
        let remedy = if is_data {
            format!("run chown -h {}:{group} {part}", user.uid)
        } else {
            format!("run chgrp {group} {part} && chmod g+rX {part}, or keep the file elsewhere")
        };
        findings.fail("permissions", detail, &remedy);
    }
    let mut refused = Vec::new();
    if !user.may(data_dir, READ | WRITE | ENTER) {
        refused.push(data_dir.to_owned());
    }
    for name in WRITTEN {
        user.refused_below(&data_dir.join(name), &mut refused);
    }
    if let [first, ..] = refused.as_slice() {
        is_fine = false;
        let (user, group, shown) = (user.uid, user.gid, data_dir.display());
        let more =
            if refused.len() == 1 { String::new() } else { format!(" and {} more", refused.len() - 1) };
        // The server's user chose the name.
        let first = first.to_string_lossy();
        let detail =
            format!("the server's user ({user}) may not read and write {}{more}", first.escape_debug());
        let remedy = format!("run chown -R {user}:{group} {shown} && chmod -R u+rwX {shown}");
        findings.fail("permissions", detail, &remedy);
    }
    if is_fine {
        let detail =
            format!("the server's user ({}) can read its files and write the data directory", user.uid);
        findings.ok("permissions", detail);
    }
}

/// The user of the unit, or the owner of the data directory.
struct ServerUser {
    uid: u32,
    gid: u32,
}

impl ServerUser {
    /// The user that systemd runs the server as, if the unit `onceward` has this configuration.
    fn of_unit(config_file: &Path) -> Option<Self> {
        let unit = answer_of("systemctl", &["show", "--property=User", "--property=ExecStart", "onceward"])?;
        let property = |name| unit.lines().find_map(|line| line.strip_prefix(name));
        let named = format!(" --config {} ", absolute(config_file).display());
        let user = property("User=").filter(|user| !user.is_empty())?;
        let id = |option| answer_of("id", &[option, user])?.trim().parse().ok();
        property("ExecStart=")?.contains(&named).then_some(())?;
        Some(Self { uid: id("-u")?, gid: id("-g")? })
    }

    /// The file if the user may not read it, or the directory on the way to it that the user may not enter. Follows links.
    fn refused_part(&self, file: &Path) -> Option<PathBuf> {
        let named = absolute(file);
        let real = fs::canonicalize(file).ok()?;
        let directories = named.ancestors().skip(1).chain(real.ancestors().skip(1));
        let refused = directories.filter(|directory| !self.may(directory, ENTER)).last();
        refused.map(Path::to_owned).or_else(|| (!self.may(file, READ)).then(|| file.to_owned()))
    }

    /// Adds the files and directories at `path` and below it that the user may not read and write, and the links.
    fn refused_below(&self, path: &Path, refused: &mut Vec<PathBuf>) {
        let Ok(found) = fs::symlink_metadata(path) else { return };
        let needed = if found.is_dir() { READ | WRITE | ENTER } else { READ | WRITE };
        if found.is_symlink() {
            return refused.push(path.to_owned());
        }
        if !self.may(path, needed) {
            refused.push(path.to_owned());
        }
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            self.refused_below(&entry.path(), refused);
        }
    }

    /// A missing file counts as accessible. Further groups of the user and access lists are not read: a file with a list,
    /// or of a group other than root's, counts as accessible if its group may use it.
    fn may(&self, path: &Path, needed: u32) -> bool {
        let Ok(found) = fs::metadata(path) else { return true };
        let (mode, has_list) = (found.mode(), has_access_list(path));
        let permitted = if found.uid() == self.uid {
            mode >> 6
        } else if found.gid() == self.gid {
            mode >> 3
        } else if found.gid() != 0 || has_list {
            mode >> 3 | mode
        } else {
            mode
        };
        permitted & needed == needed
    }
}

fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink())
}

fn answer_of(program: &str, arguments: &[&str]) -> Option<String> {
    let asked = Command::new(program).args(arguments).output().ok()?;
    Some(String::from_utf8_lossy(&asked.stdout).into_owned())
}

/// Whether the file has an access control list.
fn has_access_list(path: &Path) -> bool {
    let mut none: [u8; 0] = [];
    rustix::fs::getxattr(path, "system.posix_acl_access", &mut none).is_ok_and(|bytes| bytes > 0)
}
