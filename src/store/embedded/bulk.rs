//! Filling a new data directory at once, without the journal: an import.
//!
//! Until the last step the directory says of itself that an import into it goes on, and is then
//! neither complete nor new: no server starts on it. An import that was interrupted begins again.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::changes::Change;
use super::database::SnapshotError;
use super::directory::{Directory, State};
use super::disk::{Disk, RealDisk};
use super::error::OpenError;
use super::segment::Segment;
use super::snapshot::Snapshot;
use crate::domain::Timestamp;
use crate::store::Key;

/// Records are handed to the snapshot in so large portions.
const PORTION: usize = 4096;

/// The change set that imported records count as. The first one is never 0, and the journal goes on behind it.
const SEQUENCE: u64 = 1;

/// What may lie in a directory that counts as empty: the server key, and what file systems and this program
/// put there by themselves.
const NOT_DATA: [&str; 4] = ["server.key", "lock", "lost+found", "FORMAT.new"];

/// A data directory that is being filled. Dropped before [`NewStore::finish`], it stays one that no server
/// starts on.
pub struct NewStore {
    directory: Directory,
    key_fingerprint: [u8; 16],
    disk: Arc<dyn Disk>,
    snapshot: Snapshot,
    portion: Vec<(Key, Change)>,
    last: Option<Key>,
    _lock: File,
}

impl std::fmt::Debug for NewStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewStore").finish_non_exhaustive()
    }
}

/// Says whether `dir` could be filled: it is not there, empty but for a server key, or what an import or a
/// first start left that did not come to its end. Changes nothing.
///
/// # Errors
/// [`OpenError::NotEmpty`], and those of reading.
pub fn check_new(dir: &Path) -> Result<(), OpenError> {
    let directory = Directory::existing(dir);
    match directory.peek() {
        Ok(found) => match found.state {
            State::Creating | State::Importing => Ok(()),
            State::Complete => Err(OpenError::NotEmpty { directory: directory.root }),
        },
        Err(OpenError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            let entries = match fs::read_dir(&directory.root) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                entries => entries.map_err(OpenError::io("read", &directory.root))?,
            };
            for entry in entries {
                let name = entry.map_err(OpenError::io("read", &directory.root))?.file_name();
                if !NOT_DATA.iter().any(|known| name == **known) {
                    return Err(OpenError::NotEmpty { directory: directory.root });
                }
            }
            Ok(())
        }
        Err(error) => Err(error),
    }
}

impl NewStore {
    /// Takes the directory, which is made if it is not there, and marks it as one that is being filled. What
    /// an interrupted import left in it is removed.
    ///
    /// # Errors
    /// [`OpenError`], when there is something in it, or the disk refuses.
    pub fn begin(dir: &Path, key_fingerprint: [u8; 16]) -> Result<Self, OpenError> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        check_new(dir)?;
        let directory = Directory::at(dir)?;
        let lock = directory.lock()?;
        // Somebody may have been faster.
        check_new(dir)?;
        directory.write_state(State::Importing, key_fingerprint, &*disk)?;
        directory.clear()?;
        let snapshot = Snapshot::create(&directory.snapshot, &disk);
        let snapshot = snapshot.map_err(|error| not_created(&directory.snapshot, &error))?;
        let portion = Vec::with_capacity(PORTION);
        Ok(Self { directory, key_fingerprint, disk, snapshot, portion, last: None, _lock: lock })
    }

    /// Adds one record. Keys have to grow.
    ///
    /// # Errors
    /// [`OpenError`], when the disk refuses or the key is not above the last one.
    pub fn add(&mut self, key: Key, gc_after: Timestamp, record: Bytes) -> Result<(), OpenError> {
        if self.last.is_some_and(|last| last >= key) {
            let error = SnapshotError::Failed("its records do not come in the order of their keys".into());
            return Err(not_created(&self.directory.snapshot, &error));
        }
        self.last = Some(key);
        let change = Change { sequence: SEQUENCE, gc_after, put: Some(record), maybe_in_snapshot: false };
        self.portion.push((key, change));
        if self.portion.len() >= PORTION { self.write_portion() } else { Ok(()) }
    }

    fn write_portion(&mut self) -> Result<(), OpenError> {
        let changes: Vec<_> = self.portion.iter().map(|(key, change)| (key, change)).collect();
        let loaded = self.snapshot.load(&changes);
        loaded.map_err(|error| not_created(&self.directory.snapshot, &error))?;
        self.portion.clear();
        Ok(())
    }

    /// Makes everything durable, and then the directory one that a server starts on.
    ///
    /// # Errors
    /// [`OpenError`], when the disk refuses; the directory is then not usable.
    pub fn finish(mut self) -> Result<(), OpenError> {
        self.write_portion()?;
        let covered = self.snapshot.loaded(SEQUENCE);
        covered.map_err(|error| not_created(&self.directory.snapshot, &error))?;
        self.snapshot.close();
        let journal = &self.directory.journal;
        // Only to be there, so that a journal without any segment is always one that lost it.
        Segment::create(&*self.disk, journal, 1, 0)
            .map_err(OpenError::io("create the first segment in", journal))?;
        self.directory.write_state(State::Complete, self.key_fingerprint, &*self.disk)
    }
}

impl Drop for NewStore {
    fn drop(&mut self) {
        self.snapshot.close();
    }
}

fn not_created(path: &Path, error: &SnapshotError) -> OpenError {
    OpenError::NotCreated { path: PathBuf::from(path), detail: error.to_string() }
}
