//! Reading a data directory that no server uses, without a change to anything in it.
//!
//! sled has no way to open a database without writing to it. So it is given a copy, in a directory that is
//! removed at the end; the journal is only read.
//!
//! Nor is the directory locked while it is read: a server that starts meanwhile, perhaps after a crash, must not
//! be kept from it. If one did, what was read is thrown away.

mod examine;
mod finding;
mod journal;
mod scratch;

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::scratch::Scratch;
use super::changes::Changes;
use super::copy::{copy_into, nameless};
use super::directory::{Directory, State};
use super::disk::{Disk, RealDisk};
use super::error::OpenError;
use super::snapshot::Snapshot;
use super::{replay, rewrite};
use crate::domain::Timestamp;
use crate::store::copy::{Copied, CopyProgress};

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
        unused(&directory)?;
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

    /// Copies every record that matters at `now`, as a server that starts on the directory would find them.
    ///
    /// # Errors
    /// [`OpenError`], as a start would be refused.
    pub fn copy(&self, now: Timestamp, progress: &CopyProgress) -> Result<Copied, OpenError> {
        let copied = Scratch::with(&self.directory, |scratch| {
            let loaded = self.load(scratch);
            // Before what was read is believed, and before it is called damaged.
            self.undisturbed()?;
            let (snapshot, changes) = loaded?;
            let damaged = |error| OpenError::snapshot(&self.directory.snapshot, &error);
            let file = nameless(scratch.path())
                .map_err(OpenError::io("write a copy of the data into", scratch.path()))?;
            let cancelled = || progress.is_cancelled();
            let copied = copy_into(file, &snapshot, &changes, now, progress, cancelled).map_err(damaged);
            snapshot.close();
            copied
        });
        copied.map(|(_, copied)| copied)
    }

    /// Makes sure that nobody used the directory since it was opened here. A server that starts makes new
    /// segments, whatever it does next.
    fn undisturbed(&self) -> Result<(), OpenError> {
        unused(&self.directory)?;
        if files_of(&self.directory)? == self.before {
            return Ok(());
        }
        Err(OpenError::InUse { directory: self.directory.root.clone() })
    }

    fn load(&self, scratch: &Scratch) -> Result<(Snapshot, Changes), OpenError> {
        let damaged = |error| OpenError::snapshot(&self.directory.snapshot, &error);
        let snapshot = scratch.snapshot(&self.directory)?;
        let account = snapshot.account().map_err(damaged)?;
        let replayed = replay::replay(&self.directory.journal, &account, |_| {})?;
        Ok((snapshot, replayed.changes))
    }
}

/// The snapshot's copy, opened.
impl Scratch {
    fn snapshot(&self, directory: &Directory) -> Result<Snapshot, OpenError> {
        let damaged = |detail: &str| OpenError::SnapshotDamaged {
            path: directory.snapshot.clone(),
            detail: detail.to_owned(),
        };
        let original = present(directory).ok_or_else(|| damaged("it is missing"))?;
        let copy = self.copy_of(&original)?;
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        // Messages are to name the original.
        Snapshot::open(&copy, &disk).map_err(|error| OpenError::snapshot(&directory.snapshot, &error))
    }
}

/// Where the snapshot is: under its name, or where a rewrite that was cut short left it, which a start puts right.
fn present(directory: &Directory) -> Option<PathBuf> {
    [directory.snapshot.clone(), rewrite::old(&directory.snapshot)].into_iter().find(|path| path.exists())
}

/// Whether a server uses the directory. Nobody uses a copy of one that lacks the file.
fn unused(directory: &Directory) -> Result<(), OpenError> {
    let path = directory.root.join("lock");
    let file = match File::open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        file => file.map_err(OpenError::io("open", &path))?,
    };
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { directory: directory.root.clone() }),
        Err(TryLockError::Error(source)) => Err(OpenError::Io { action: "lock", path, source }),
    }
}

/// Every file that holds data, with its length, the number of its inode and when it was changed last.
type Files = BTreeSet<(PathBuf, u64, u64, i64, i64)>;

fn files_of(directory: &Directory) -> Result<Files, OpenError> {
    let mut files = Files::new();
    for path in [&directory.journal, &directory.snapshot, &rewrite::old(&directory.snapshot)] {
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
