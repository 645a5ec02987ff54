//! Filling a new data directory at once, without the journal: an import.
//!
//! Until the last step the directory says of itself that an import into it goes on, and is then
//! neither complete nor new: no server starts on it. An import that was interrupted begins again.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::directory::{Directory, Lock, State};
use super::disk::{Disk, RealDisk};
use super::error::OpenError;
use super::segment::Segment;
use super::snapshot::{Covered, Entry, LayerWriter, Snapshot};
use crate::Key;
use onceward_core::domain::Timestamp;

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
    records: LayerWriter,
    _lock: Lock,
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
    /// an interrupted import left in it is removed. Time in it goes on from `time`.
    ///
    /// # Errors
    /// [`OpenError`], when there is something in it, or the disk refuses.
    pub fn begin(dir: &Path, key_fingerprint: [u8; 16], time: Timestamp) -> Result<Self, OpenError> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        check_new(dir)?;
        let directory = Directory::at(dir)?;
        let lock = directory.lock()?;
        // Somebody may have been faster.
        check_new(dir)?;
        directory.write_state(State::Importing, key_fingerprint, &*disk)?;
        directory.clear(&*disk)?;
        // Nothing of theirs is in the journal, which begins behind them.
        let covered = Covered { segment: 0, sequence: SEQUENCE, time };
        let records = Snapshot::begin(&directory.snapshot, &disk, covered, Timestamp::EPOCH);
        let records = records.map_err(|error| OpenError::not_created(&directory.snapshot, &error))?;
        Ok(Self { directory, key_fingerprint, disk, records, _lock: lock })
    }

    /// Adds one record. Keys have to grow.
    ///
    /// # Errors
    /// [`OpenError`], when the disk refuses or the key is not above the last one.
    pub fn add(&mut self, key: Key, gc_after: Timestamp, record: Bytes) -> Result<(), OpenError> {
        let entry = Entry { key, sequence: SEQUENCE, gc_after, put: Some(record) };
        match self.records.add(&entry) {
            Ok(_) => Ok(()),
            Err(error) => Err(OpenError::not_created(&self.directory.snapshot, &error)),
        }
    }

    /// Makes everything durable, and then the directory one that a server starts on.
    ///
    /// # Errors
    /// [`OpenError`], when the disk refuses; the directory is then not usable.
    pub fn finish(self) -> Result<(), OpenError> {
        let Directory { journal, snapshot, .. } = &self.directory;
        self.records.finish().map_err(|error| OpenError::not_created(snapshot, &error))?;
        self.disk.sync_dir(snapshot).map_err(OpenError::io("sync", snapshot))?;
        // Only to be there, so that a journal without any segment is always one that lost it.
        Segment::create(&*self.disk, journal, 1, 0)
            .map_err(OpenError::io("create the first segment in", journal))?;
        self.directory.write_state(State::Complete, self.key_fingerprint, &*self.disk)
    }
}
