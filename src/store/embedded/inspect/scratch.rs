//! A place for a copy of the snapshot.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::super::directory::Directory;
use super::super::error::OpenError;
use super::super::snapshot::files;

/// What its name begins with; the number of the process follows.
const NAME: &str = "reading.tmp.";

/// A directory that only its owner can look into, removed when it is dropped.
pub(super) struct Scratch {
    path: PathBuf,
    /// Locked while it is in use, so that what a killed process left is told from it.
    _lock: File,
}

impl Scratch {
    /// In the data directory, where there is a disk for data; in the system's directory for such things if
    /// that one cannot be written to.
    pub(super) fn beside(directory: &Directory) -> Result<Self, OpenError> {
        remove_left_over(&directory.root);
        let name = format!("{NAME}{}", std::process::id());
        let beside = directory.root.join(&name);
        let failed =
            |path: &Path| OpenError::io("make a directory for a copy of the snapshot:", path.to_owned());
        match make(&beside) {
            Err(error) if is_not_ours(&error) => {
                let elsewhere = std::env::temp_dir().join(format!("onceward-{name}"));
                make(&elsewhere).map_err(failed(&elsewhere))
            }
            made => made.map_err(failed(&beside)),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Copies the directory of a snapshot into it.
    pub(super) fn copy_of(&self, snapshot: &Path) -> Result<PathBuf, OpenError> {
        let copy = self.path.join("snapshot");
        copy_tree(snapshot, &copy)
            .map_err(OpenError::io("copy, to read it without changing it,", snapshot))?;
        Ok(copy)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn make(path: &Path) -> io::Result<Scratch> {
    fs::DirBuilder::new().mode(0o700).create(path)?;
    let lock = File::open(path)?;
    lock.lock()?;
    Ok(Scratch { path: path.to_owned(), _lock: lock })
}

/// Removes what processes left that were killed. What cannot be removed is in nobody's way.
fn remove_left_over(root: &Path) {
    let Ok(entries) = fs::read_dir(root) else { return };
    for entry in entries.flatten() {
        let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(NAME));
        let nobodys = || File::open(entry.path()).is_ok_and(|directory| directory.try_lock().is_ok());
        if ours && nobodys() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn is_not_ours(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
}

fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        // As a start does, which removes it: sled would take it for a finished one.
        if files::is_half_written(&entry.file_name()) {
            continue;
        }
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
