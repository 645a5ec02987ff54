//! A place for a copy of the snapshot.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::super::directory::Directory;
use super::super::error::{OpenError, is_of_a_full_disk, refusal_in};
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
    /// Makes one and has it used: in the data directory, where there is a disk for data; once more in the system's
    /// directory for such things if the first cannot be written to, or is full before `read` has what it needs.
    pub(super) fn with<T>(
        directory: &Directory,
        read: impl Fn(&Self) -> Result<T, OpenError>,
    ) -> Result<(Self, T), OpenError> {
        remove_left_over(&directory.root);
        let name = format!("{NAME}{}", std::process::id());
        let beside = directory.root.join(&name);
        let first = match attempt(&beside, &read) {
            Err(Failed::NoPlace(why)) => why,
            Err(Failed::Other(error)) => return Err(error),
            Ok(made) => return Ok(made),
        };
        let elsewhere = std::env::temp_dir().join(format!("onceward-{name}"));
        attempt(&elsewhere, &read).map_err(|failed| match failed {
            Failed::NoPlace(second) => OpenError::NoPlaceToRead { beside, first, elsewhere, second },
            Failed::Other(error) => error,
        })
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

/// Why a place was of no use.
enum Failed {
    /// It cannot be written to, or is full: another may do.
    NoPlace(String),
    Other(OpenError),
}

fn attempt<T>(path: &Path, read: impl Fn(&Scratch) -> Result<T, OpenError>) -> Result<(Scratch, T), Failed> {
    let scratch = make(path).map_err(|error| {
        if is_not_ours(&error) || is_full(&error) {
            return Failed::NoPlace(error.to_string());
        }
        Failed::Other(OpenError::io("make a directory for a copy of the snapshot:", path)(error))
    })?;
    match read(&scratch) {
        Ok(done) => Ok((scratch, done)),
        Err(OpenError::Io { source, .. }) if is_full(&source) => Err(Failed::NoPlace(source.to_string())),
        // What met a full disk was sled, or the writing of what was read from it.
        Err(OpenError::SnapshotRefused { detail, .. })
            if refusal_in(&detail).is_some_and(is_of_a_full_disk) =>
        {
            Err(Failed::NoPlace(detail))
        }
        Err(error) => Err(Failed::Other(error)),
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

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn where_there_is_no_room_another_place_is_tried_and_then_it_is_said_what_to_do() {
        let home = tempfile::tempdir().expect("a directory");
        let directory = Directory::existing(home.path());
        let tried = RefCell::new(Vec::new());
        let full = |scratch: &Scratch, refused: usize| {
            tried.borrow_mut().push(scratch.path().to_owned());
            if tried.borrow().len() > refused {
                return Ok(());
            }
            let error = io::Error::from(io::ErrorKind::StorageFull);
            Err(OpenError::io("copy", scratch.path())(error))
        };
        let (scratch, ()) = Scratch::with(&directory, |scratch| full(scratch, 1)).expect("a second place");
        assert!(!scratch.path().starts_with(home.path()));
        let places = tried.take();
        assert!(places[0].starts_with(home.path()) && !places[0].exists(), "{places:?}");
        drop(scratch);
        let error = Scratch::with(&directory, |scratch| full(scratch, 2)).err().expect("no place");
        assert!(matches!(error, OpenError::NoPlaceToRead { .. }), "{error}");
        assert!(
            error.to_string().contains("TMPDIR") && !error.to_string().contains("start again"),
            "{error}"
        );
        assert!(tried.take().iter().all(|place| !place.exists()));
        // What is wrong with the data is no better elsewhere.
        let damaged = Scratch::with(&directory, |scratch| -> Result<(), OpenError> {
            tried.borrow_mut().push(scratch.path().to_owned());
            Err(OpenError::SnapshotDamaged { path: scratch.path().to_owned(), detail: "no".into() })
        });
        assert!(matches!(damaged.err(), Some(OpenError::SnapshotDamaged { .. })));
        assert_eq!(tried.take().len(), 1);
    }
}
