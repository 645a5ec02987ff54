//! sled's files as the file system has them.

use std::ffi::OsStr;
use std::fs::{DirEntry, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::store::embedded::disk::Disk;

/// What has to happen before sled opens its files. A killed process may have left them in the system's
/// cache only, and sled builds on what it reads, so they are synced. And a copy of its page table that it
/// had begun to write must go: it takes that for a whole one, and refuses it. It does without. A full disk leaves one
/// too, and sled would write the next over it without shortening it.
pub(in crate::store::embedded) fn settle(path: &Path, disk: &dyn Disk) -> io::Result<()> {
    for entry in std::fs::read_dir(path)? {
        let name = entry?.file_name();
        if is_half_written(&name) {
            disk.remove(&path.join(name))?;
        }
    }
    sync(path, disk)
}

/// Whether this is a copy of its page table that sled had begun to write.
pub(in crate::store::embedded) fn is_half_written(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with("snap.") && name.ends_with(".generating"))
}

/// Returns when every file below `directory`, and every entry, is on the disk. They are made private first.
pub(in crate::store::embedded) fn sync(directory: &Path, disk: &dyn Disk) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        make_private(&entry)?;
        if entry.file_type()?.is_dir() {
            sync(&entry.path(), disk)?;
            continue;
        }
        match disk.sync_file(&entry.path()) {
            // sled removes its old files on a thread of its own.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => result?,
        }
    }
    disk.sync_dir(directory)
}

/// sled creates its files as the process's umask says, which often lets everybody read them.
fn make_private(entry: &DirEntry) -> io::Result<()> {
    let change = || {
        let metadata = entry.metadata()?;
        let mode = if metadata.is_dir() { 0o700 } else { 0o600 };
        if metadata.permissions().mode() & 0o777 == mode {
            return Ok(());
        }
        std::fs::set_permissions(entry.path(), Permissions::from_mode(mode))
    };
    match change() {
        // sled removes its old files on a thread of its own.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
