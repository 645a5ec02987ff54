//! The snapshot: where records rest that the journal no longer carries.
//!
//! It is in no answer's path. One thread writes it, in batches that are atomic, and every batch
//! carries an account of the whole: how many entries there are and a sum over all of them. So
//! the first pass over the snapshot proves that it is complete, whatever happened to its files.

use std::fs::{DirEntry, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::fs::Advice;

use super::account::Account;
use super::changes::{Change, Changes};
use super::database::{self, Database, SnapshotError, unreadable};
use super::disk::{Disk, Step};
use super::nudge::nudged;
use super::stored::{self, Found};
use crate::domain::Timestamp;
use crate::store::{Key, Kind, Revision};

/// Changes per batch: a few milliseconds of work.
pub(super) const BATCH: usize = 256;

/// The pause after a batch, so that a round leaves the processor to the answers.
pub(super) const PAUSE: Duration = Duration::from_millis(1);

/// The fewest keys looked at per round to find records that no longer matter.
const EXPIRY_KEYS: usize = 4096;

/// So many more are looked at for each change and for each record that was found dead: so at most
/// about a quarter of the snapshot is dead weight, however many records come or end at once.
const LOOKS_EACH: usize = 4;

/// The most looks that dead records bring about in one round: a second of work, at ten
/// microseconds a removal and with pauses.
const MOST_LOOKS: usize = 64 * 1024;

/// What a round has to bring into the snapshot.
#[derive(Debug, Clone)]
pub(super) struct Round {
    /// The changes since the last one.
    pub(super) changes: Arc<Changes>,
    /// The last journal segment whose changes these are.
    pub(super) segment: u64,
    /// The last sequence in that segment.
    pub(super) sequence: u64,
    /// Whether to pause between batches.
    pub(super) paced: bool,
}

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

    /// Brings the changes of `round` in, removes some records that no longer matter, and notes
    /// which segments are no longer needed; returns when all of it is on the disk. After an error
    /// the same round can be tried again.
    pub(super) fn apply(&self, round: &Round, now: Timestamp) -> Result<(), SnapshotError> {
        let generation = self.with(|database| {
            database.verify()?;
            Ok(database.generation)
        })?;
        let sorted = round.changes.sorted();
        for changes in sorted.chunks(BATCH) {
            self.with_same(generation, |database| database.write(changes, now))?;
            self.disk.reached(Step::Batch);
            if round.paced {
                std::thread::sleep(PAUSE);
            }
        }
        self.expire(generation, sorted.len().saturating_mul(LOOKS_EACH), round.paced, now)?;
        self.disk.reached(Step::Written);
        self.sync(generation)?;
        self.disk.reached(Step::WrittenAndSynced);
        // Only now, so that no order in which the disk is written can make it true too early.
        self.with_same(generation, |database| database.cover(round.segment, round.sequence))?;
        self.disk.reached(Step::Covered);
        self.sync(generation)?;
        self.disk.reached(Step::CoveredAndSynced);
        Ok(())
    }

    /// Removes some records that no longer matter, while there are no rounds that would. Returns when
    /// that is on the disk.
    pub(super) fn tidy(&self, now: Timestamp) -> Result<(), SnapshotError> {
        // Before the first pass nothing is known to be whole, and nothing is changed.
        let generation = self.with(|database| {
            let may = database.verified && database.may_expire(now);
            Ok(may.then_some(database.generation))
        })?;
        let Some(generation) = generation else { return Ok(()) };
        if self.expire(generation, 0, true, now)? == 0 {
            return Ok(());
        }
        self.disk.reached(Step::Tidied);
        self.sync(generation)?;
        self.disk.reached(Step::TidiedAndSynced);
        Ok(())
    }

    /// Looks at `looks` keys at least and removes the records that no longer matter; says how many.
    fn expire(
        &self,
        generation: u64,
        looks: usize,
        paced: bool,
        now: Timestamp,
    ) -> Result<usize, SnapshotError> {
        let (mut looks, most) = (looks.max(EXPIRY_KEYS), looks.max(MOST_LOOKS));
        let (mut looked_at, mut removed) = (0, 0);
        while looked_at < looks.min(most) {
            let expired = self.with_same(generation, |database| database.expire(BATCH, now))?;
            looked_at += BATCH;
            looks = looks.saturating_add(expired.removed.saturating_mul(LOOKS_EACH));
            removed += expired.removed;
            if expired.at_the_end {
                break;
            }
            if paced && expired.removed > 0 {
                std::thread::sleep(PAUSE);
            }
        }
        Ok(removed)
    }

    /// Brings records in that belong to no round: into a new snapshot, by an import. Durable after
    /// [`Snapshot::loaded`].
    pub(super) fn load(&self, records: &[(&Key, &Change)]) -> Result<(), SnapshotError> {
        for records in records.chunks(BATCH) {
            // Whether they still matter is for the importer to say.
            self.with_same(0, |database| database.write(records, Timestamp::EPOCH))?;
        }
        Ok(())
    }

    /// Returns when all that was loaded is on the disk, with a note that the journal goes on behind `sequence`.
    pub(super) fn loaded(&self, sequence: u64) -> Result<(), SnapshotError> {
        self.with_same(0, |database| database.cover(0, sequence))?;
        self.sync(0)
    }

    /// The records under `keys`, dead ones included, in their order.
    pub(super) fn find(&self, keys: &[Key]) -> Result<Vec<Option<Found>>, SnapshotError> {
        self.with(|database| {
            let one = |key: &Key| -> Result<_, SnapshotError> {
                let Some(value) = database.sled.get(stored::key(key))? else { return Ok(None) };
                stored::read_value(&value).map(Some).ok_or_else(unreadable)
            };
            keys.iter().map(one).collect()
        })
    }

    /// Visits every record of `kind`, dead ones included.
    pub(super) fn visit(
        &self,
        kind: Kind,
        mut visit: impl FnMut(Key, Revision, Timestamp, &[u8]),
    ) -> Result<(), SnapshotError> {
        let mut see = |key: &[u8], value: &[u8]| {
            let key = stored::read_key(key).ok_or_else(unreadable)?;
            let (revision, gc_after, record) = stored::split_value(value).ok_or_else(unreadable)?;
            if key.kind == kind {
                visit(key, revision, gc_after, record);
            }
            Ok(())
        };
        let verified = self.with(|database| {
            if database.verified {
                return Ok(Some((database.sled.clone(), database.config.clone())));
            }
            // The first pass is also the proof that nothing is missing.
            database.verify_while(&mut see)?;
            Ok(None)
        })?;
        match verified {
            // Beside the rounds, which must not wait for it.
            Some((sled, config)) => nudged(&sled, &config, || database::walk(&sled, &mut see)),
            None => Ok(()),
        }
    }

    /// Shows `see` every entry as it is, readable or not. Says what was found, and what should have been.
    pub(super) fn raw(&self, see: &mut dyn FnMut(&[u8], &[u8])) -> Result<(Account, Account), SnapshotError> {
        let (sled, config, says) =
            self.with(|database| Ok((database.sled.clone(), database.config.clone(), database.account)))?;
        let mut is = Account { entries: 0, digest: 0, ..says };
        let mut see = |key: &[u8], value: &[u8]| {
            is.add(key, value);
            see(key, value);
            Ok(())
        };
        nudged(&sled, &config, || database::walk(&sled, &mut see))?;
        Ok((is, says))
    }

    /// Visits every record, dead ones included, in the order of keys, after a proof that none is missing.
    /// Beside everything else but the proof; the caller sees to it that no round runs meanwhile.
    pub(super) fn walk(
        &self,
        mut visit: impl FnMut(Key, Timestamp, &[u8]) -> Result<(), SnapshotError>,
    ) -> Result<(), SnapshotError> {
        let (sled, config) = self.with(|database| {
            database.verify()?;
            Ok((database.sled.clone(), database.config.clone()))
        })?;
        let mut see = |key: &[u8], value: &[u8]| {
            let key = stored::read_key(key).ok_or_else(unreadable)?;
            let (_, gc_after, record) = stored::split_value(value).ok_or_else(unreadable)?;
            visit(key, gc_after, record)
        };
        nudged(&sled, &config, || database::walk(&sled, &mut see))
    }

    /// Returns when everything written is on the disk. sled's flush calls `sync_file_range`, which
    /// flushes neither the length of the file nor the cache of the disk; so each file is synced.
    fn sync(&self, generation: u64) -> Result<(), SnapshotError> {
        self.with_same(generation, |database| {
            database.sled.flush()?;
            self.sync_parent().and_then(|()| self.sync_files(&self.path)).map_err(|error| {
                SnapshotError::Failed(format!("cannot sync {}: {error}", self.path.display()))
            })
        })
    }

    pub(super) fn sync_files(&self, directory: &Path) -> io::Result<()> {
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            make_private(&entry)?;
            if entry.file_type()?.is_dir() {
                self.sync_files(&entry.path())?;
                continue;
            }
            match self.disk.sync_file(&entry.path()) {
                // sled removes its old files on a thread of its own.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => result?,
            }
        }
        self.disk.sync_dir(directory)
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
            self.put_right().map_err(|error| SnapshotError::Failed(error.to_string()))?;
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

    /// The same, if the database has not been opened anew since `generation`: a round whose first
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
