//! Reading a data directory that no server uses, without a change to anything in it.
//!
//! sled has no way to open a database without writing to it. So it is given a copy, in a directory that is
//! removed at the end; the journal is only read.

mod examine;
mod journal;
mod scratch;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::scratch::Scratch;
use super::changes::Changes;
use super::copy::{copy_into, nameless};
use super::directory::{Directory, State};
use super::disk::{Disk, RealDisk};
use super::error::OpenError;
use super::replay;
use super::snapshot::Snapshot;
use crate::domain::Timestamp;
use crate::store::copy::{Copied, CopyProgress};

pub use self::examine::{Examined, Finding};

/// A data directory that no server uses. While this is held, none can begin to.
pub struct ReadOnly {
    directory: Directory,
    state: State,
    format: u32,
    key_fingerprint: String,
    _lock: Option<File>,
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
        let lock = lock(&directory)?;
        Ok(Self { directory, state: found.state, format: found.format, key_fingerprint, _lock: lock })
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
        let scratch = Scratch::beside(&self.directory)?;
        let (snapshot, changes) = self.load(&scratch)?;
        let damaged = |error| OpenError::snapshot(&self.directory.snapshot, &error);
        let file = nameless(scratch.path())
            .map_err(OpenError::io("write a copy of the data into", scratch.path()))?;
        let cancelled = || progress.is_cancelled();
        let copied = copy_into(file, &snapshot, &changes, now, progress, cancelled).map_err(damaged);
        snapshot.close();
        copied
    }

    fn load(&self, scratch: &Scratch) -> Result<(Snapshot, Changes), OpenError> {
        let damaged = |error| OpenError::snapshot(&self.directory.snapshot, &error);
        let snapshot = scratch.snapshot(&self.directory)?;
        let account = snapshot.account().map_err(damaged)?;
        let replayed = replay::replay(&self.directory.journal, &account, |_| {})?;
        Ok((snapshot, replayed.changes))
    }

    /// The journal and the snapshot, for people.
    fn path(&self) -> PathBuf {
        self.directory.root.clone()
    }
}

/// The snapshot's copy, opened.
impl Scratch {
    fn snapshot(&self, directory: &Directory) -> Result<Snapshot, OpenError> {
        let copy = self.copy_of(&directory.snapshot)?;
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        // Messages are to name the original.
        Snapshot::open(&copy, &disk).map_err(|error| OpenError::snapshot(&directory.snapshot, &error))
    }
}

/// As a server takes it, but without making the file: a copy of a data directory may lack it, and nobody
/// uses that.
fn lock(directory: &Directory) -> Result<Option<File>, OpenError> {
    let path = directory.root.join("lock");
    let file = match File::open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(OpenError::io("open", &path))?,
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { directory: directory.root.clone() }),
        Err(TryLockError::Error(source)) => Err(OpenError::Io { action: "lock", path, source }),
    }
}
