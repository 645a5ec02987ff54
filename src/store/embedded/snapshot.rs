//! The snapshot: where records rest that the journal no longer carries.
//!
//! It is in no answer's path. One thread writes it, in batches that are atomic, and every batch
//! carries an account of the whole: how many entries there are and a sum over all of them. So
//! the first pass over the snapshot proves that it is complete, whatever happened to its files.

mod apply;
pub(super) mod files;
mod read;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::Advice;

use super::account::Account;
use super::database::{Database, SnapshotError};
use super::disk::Disk;
use super::nudge::nudged;
#[cfg(test)]
use crate::domain::Timestamp;

pub(super) use self::apply::Round;

/// The snapshot of a data directory.
pub(super) struct Snapshot {
    pub(super) path: PathBuf,
    pub(super) disk: Arc<dyn Disk>,
    slot: Mutex<Slot>,
    /// Whether the directory that has the snapshot was changed and could not be synced.
    pub(super) parent_unsynced: AtomicBool,
}

/// The database, while it is open.
pub(super) struct Slot {
    pub(super) database: Option<Database>,
    pub(super) generation: u64,
    pub(super) closed: bool,
}

impl Snapshot {
    /// Makes a new, empty snapshot in the empty directory at `path`.
    pub(super) fn create(path: &Path, disk: &Arc<dyn Disk>) -> Result<Self, SnapshotError> {
        let snapshot = Self::with_database(path, disk, Database::create(path)?);
        snapshot.sync(0)?;
        Ok(snapshot)
    }

    /// The snapshot at `path`, which must be there.
    pub(super) fn open(path: &Path, disk: &Arc<dyn Disk>) -> Result<Self, SnapshotError> {
        Ok(Self::with_database(path, disk, Database::open(path, 0)?))
    }

    fn with_database(path: &Path, disk: &Arc<dyn Disk>, database: Database) -> Self {
        let slot = Mutex::new(Slot { database: Some(database), generation: 0, closed: false });
        Self { path: path.to_owned(), disk: disk.clone(), slot, parent_unsynced: AtomicBool::new(false) }
    }

    /// What the snapshot says of itself.
    pub(super) fn account(&self) -> Result<Account, SnapshotError> {
        self.with(|database| Ok(database.account))
    }

    /// Returns when what was found at the opening is on the disk, and not in a cache only.
    pub(super) fn make_durable(&self) -> Result<(), SnapshotError> {
        let generation = self.with(|database| Ok(database.generation))?;
        self.sync(generation)
    }

    /// Returns when everything written is on the disk. sled's flush calls `sync_file_range`, which
    /// flushes neither the length of the file nor the cache of the disk; so each file is synced.
    fn sync(&self, generation: u64) -> Result<(), SnapshotError> {
        self.with_same(generation, |database| {
            database.sled.flush()?;
            self.sync_parent()
                .and_then(|()| files::sync(&self.path, &*self.disk))
                .map_err(|error| self.not_synced(&error))
        })
    }

    fn not_synced(&self, error: &io::Error) -> SnapshotError {
        SnapshotError::Failed(format!("cannot sync {}: {error}", self.path.display()))
    }

    /// Closes the database for good, flushed.
    pub(super) fn close(&self) {
        let mut slot = self.lock();
        slot.closed = true;
        if let Some(database) = slot.database.take() {
            database.close();
        }
    }

    /// Runs `action` on the open database. After a failure it is closed, because sled refuses
    /// everything once it has seen an error; the next action opens it again, with what is really
    /// on the disk.
    pub(super) fn with<T>(
        &self,
        action: impl FnOnce(&mut Database) -> Result<T, SnapshotError>,
    ) -> Result<T, SnapshotError> {
        let mut slot = self.lock();
        if slot.closed {
            return Err(SnapshotError::Failed("the store is closed".into()));
        }
        if slot.database.is_none() {
            slot.generation += 1;
            self.put_back().map_err(|error| SnapshotError::Failed(error.to_string()))?;
            // On a disk that cannot sync it must still be possible to read.
            let _ = files::settle(&self.path, &*self.disk);
            slot.database = Some(Database::open(&self.path, slot.generation)?);
        }
        let Some(database) = &mut slot.database else {
            return Err(SnapshotError::Failed("the snapshot is not open".into()));
        };
        let (sled, config) = (database.sled.clone(), database.config.clone());
        let result = nudged(&sled, &config, || action(database));
        drop(sled);
        if result.is_err()
            && let Some(database) = slot.database.take()
        {
            database.close();
            self.forget_cached();
        }
        result
    }

    /// Whether there may be records that no longer matter.
    #[cfg(test)]
    pub(super) fn may_expire_for_test(&self, now: Timestamp) -> bool {
        self.with(|database| Ok(database.may_expire(now))).unwrap()
    }

    /// Fails as a reader does that meets an error.
    #[cfg(test)]
    pub(super) fn fail_for_test(&self) {
        let failed: Result<(), _> = self.with(|_| Err(SnapshotError::Failed("on request".into())));
        assert!(failed.is_err());
    }

    /// Runs `action`, if the database has not been opened anew since `generation`: a round whose first
    /// half went to a database that failed has to begin again.
    pub(super) fn with_same<T>(
        &self,
        generation: u64,
        action: impl FnOnce(&mut Database) -> Result<T, SnapshotError>,
    ) -> Result<T, SnapshotError> {
        self.with(|database| {
            if database.generation == generation {
                return action(database);
            }
            Err(SnapshotError::Failed("the snapshot failed and was opened again meanwhile".into()))
        })
    }

    /// After a failed sync the system may hold, as clean, what never reached the disk. Without its
    /// copy the next opening sees what is there.
    fn forget_cached(&self) {
        if let Ok(file) = File::open(self.path.join("db")) {
            let _ = rustix::fs::fadvise(&file, 0, None, Advice::DontNeed);
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A start that fails drops an open database, on a disk that may take nothing more.
impl Drop for Snapshot {
    fn drop(&mut self) {
        self.close();
    }
}
