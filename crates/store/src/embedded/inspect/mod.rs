//! Reading a data directory that no server uses, without a change to anything in it.
//!
//! The directory is not locked while it is read: a server that starts meanwhile, perhaps after a crash, must not
//! be kept from it. If one did, what was read is thrown away.

mod examine;
mod finding;
mod journal;
mod place;

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::changes::Changes;
use super::copy::copy_into;
use super::directory::{Directory, State};
use super::disk::{Disk, RealDisk};
use super::error::OpenError;
use super::replay;
use super::snapshot::Snapshot;
use crate::copy::{Copied, CopyProgress};
use onceward_core::domain::Timestamp;

pub use self::examine::Examined;
pub use self::finding::Finding;

/// A data directory that no server uses.
pub struct ReadOnly {
    directory: Directory,
    state: State,
    format: u32,
    key_fingerprint: String,
    /// The files as they were when nobody used them.
    before: Files,
}

impl std::fmt::Debug for ReadOnly {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadOnly").field("root", &self.directory.root).finish_non_exhaustive()
    }
}

impl ReadOnly {
    /// Opens `dir`, which must be a data directory.
    ///
    /// # Errors
    /// [`OpenError::InUse`] while a server uses it; others when it is none, or one of a newer program.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        let directory = Directory::existing(dir);
        let found = directory.peek()?;
        let key_fingerprint = directory.key_fingerprint()?;
        directory.is_free()?;
        let before = files_of(&directory)?;
        Ok(Self { directory, state: found.state, format: found.format, key_fingerprint, before })
    }

    /// What tells the server key that the data was written with from others, in hex digits.
    pub fn key_fingerprint(&self) -> &str {
        &self.key_fingerprint
    }

    /// Whether an import into it did not come to its end, or a first start.
    ///
    /// # Errors
    /// [`OpenError::ImportInterrupted`].
    pub fn is_new(&self) -> Result<bool, OpenError> {
        match self.state {
            State::Creating => Ok(true),
            State::Importing => Err(OpenError::ImportInterrupted { directory: self.directory.root.clone() }),
            State::Complete => Ok(false),
        }
    }

    /// Copies every record that matters at the newest time of the directory, as a server that starts on the directory would find them.
    ///
    /// # Errors
    /// [`OpenError`], as a start would be refused.
    pub fn copy(&self, progress: &CopyProgress) -> Result<Copied, OpenError> {
        let loaded = self.load();
        // Before what was read is believed, and before it is called damaged.
        self.undisturbed()?;
        let (snapshot, changes, newest) = loaded?;
        place::with_file(&self.directory.root, |file| {
            copy_into(file, &snapshot, &changes, newest, progress, || progress.is_cancelled())
                .map_err(|error| OpenError::snapshot(&self.directory.snapshot, error))
        })
    }

    /// Makes sure that nobody used the directory since it was opened here. A server that starts makes new
    /// segments, whatever it does next.
    fn undisturbed(&self) -> Result<(), OpenError> {
        self.directory.is_free()?;
        if files_of(&self.directory)? == self.before {
            return Ok(());
        }
        Err(OpenError::InUse { directory: self.directory.root.clone() })
    }

    fn load(&self) -> Result<(Snapshot, Changes, Timestamp), OpenError> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let snapshot = Snapshot::open(&self.directory.snapshot, &disk, Timestamp::EPOCH, &mut |_, _| {})
            .map_err(|error| OpenError::snapshot(&self.directory.snapshot, error))?;
        let replayed = replay::replay(&self.directory.journal, snapshot.covered(), |_| {})?;
        Ok((snapshot, replayed.changes, replayed.last_time))
    }
}

/// Every file that holds data, with its length, the number of its inode and when it was changed last.
type Files = BTreeSet<(PathBuf, u64, u64, i64, i64)>;

fn files_of(directory: &Directory) -> Result<Files, OpenError> {
    let mut files = Files::new();
    for path in [&directory.journal, &directory.snapshot] {
        // What is missing is for the reader to say.
        if path.exists() {
            add_files(path, &mut files).map_err(OpenError::io("look at", path))?;
        }
    }
    Ok(files)
}

fn add_files(directory: &Path, files: &mut Files) -> std::io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let found = match std::fs::metadata(&path) {
            // Whoever removed it is found out by that.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            found => found?,
        };
        if found.is_dir() {
            add_files(&path, files)?;
        } else {
            files.insert((path, found.len(), found.ino(), found.mtime(), found.mtime_nsec()));
        }
    }
    Ok(())
}
