//! A place for a copy of the snapshot.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::super::directory::Directory;
use super::super::error::OpenError;

/// Its name in the data directory. Only whoever holds the lock makes one, so what is there is left over.
const NAME: &str = "reading.tmp";

/// A directory that only its owner can look into, removed when it is dropped.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// In the data directory, where there is a disk for data; in the system's directory for such things if
    /// that one cannot be written to.
    pub(super) fn beside(directory: &Directory) -> Result<Self, OpenError> {
        let beside = directory.root.join(NAME);
        let path = match make(&beside) {
            Ok(()) => beside,
            Err(error) if is_not_ours(&error) => {
                let elsewhere = std::env::temp_dir().join(format!("onceward-{NAME}.{}", std::process::id()));
                make(&elsewhere)
                    .map_err(OpenError::io("make a directory for a copy of the snapshot in", &elsewhere))?;
                elsewhere
            }
            Err(error) => {
                return Err(OpenError::io("make a directory for a copy of the snapshot in", &beside)(error));
            }
        };
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Copies the directory of a snapshot into it.
    pub(super) fn copy_of(&self, snapshot: &Path) -> Result<PathBuf, OpenError> {
        let copy = self.0.join("snapshot");
        copy_tree(snapshot, &copy)
            .map_err(OpenError::io("copy, to read it without changing it,", snapshot))?;
        Ok(copy)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn make(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::DirBuilder::new().mode(0o700).create(path)
}

fn is_not_ours(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
}

fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
