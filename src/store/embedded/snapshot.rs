//! The snapshot: where records rest that the journal no longer carries.
//!
//! It is in no answer's path. One thread writes it, in batches that are atomic, and every batch
//! carries an account of the whole: how many entries there are and a sum over all of them. So
//! the first pass over the snapshot proves that it is complete, whatever happened to its files.

use std::fs::{DirEntry, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rustix::fs::Advice;

use super::account::Account;
use super::changes::{Change, Changes};
use super::database::{self, Database, SnapshotError, drop_quietly, guarded, unreadable};
use super::disk::{Disk, Step};
use super::stored::{self, Found};
use crate::domain::Timestamp;
use crate::store::{Key, Kind, Revision};

/// Changes per batch, and the bytes of their records. Each batch is synced before the next, because of
/// how sled's log is read after a power cut: the header of a segment says up to where the ones before it
/// are whole, and sled believes that, though it has not really synced them; and it writes over a segment
/// when the copies of its pages are two segments old. So no more than one of its segments (512 KiB) may
/// ever wait for a sync. A record takes up to some 3 KiB of its log, with the pages around it and those
/// that are moved out of old segments.
const BATCH: usize = 64;
const BATCH_BYTES: usize = 8 * 1024;

/// The pause after a batch, so that a round leaves the processor to the answers.
const PAUSE: Duration = Duration::from_micros(250);

/// The fewest keys looked at per round to find records that no longer matter.
const EXPIRY_KEYS: usize = 4096;

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
    path: PathBuf,
    disk: Arc<dyn Disk>,
    slot: Mutex<Slot>,
}

/// The database, while it is open.
struct Slot {
    database: Option<Database>,
    generation: u64,
    closed: bool,
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
        Self { path: path.to_owned(), disk: disk.clone(), slot }
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
        let mut rest = sorted.as_slice();
        while !rest.is_empty() {
            let (changes, behind) = rest.split_at(batch_at_front_of(rest));
            rest = behind;
            self.with_same(generation, |database| {
                self.synced(database, |database| database.write(changes, now))
            })?;
            self.disk.reached(Step::Batch);
            if round.paced {
                std::thread::sleep(PAUSE);
            }
        }
        // Four times what was written: so at most about a quarter of the snapshot is dead weight.
        let looked_at = EXPIRY_KEYS.max(sorted.len().saturating_mul(4));
        for from in (0..looked_at).step_by(BATCH) {
            let keys = BATCH.min(looked_at - from);
            let at_the_end = self.with_same(generation, |database| {
                self.synced(database, |database| database.expire(keys, now))
            })?;
            if at_the_end {
                break;
            }
        }
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
                return Ok(Some(database.sled.clone()));
            }
            // The first pass is also the proof that nothing is missing.
            database.verify_while(&mut see)?;
            Ok(None)
        })?;
        match verified {
            // Beside the rounds, which must not wait for it.
            Some(sled) => guarded(|| database::walk(&sled, &mut see)),
            None => Ok(()),
        }
    }

    /// Returns when everything written is on the disk. sled's flush calls `sync_file_range`, which
    /// flushes neither the length of the file nor the cache of the disk; so each file is synced.
    fn sync(&self, generation: u64) -> Result<(), SnapshotError> {
        self.with_same(generation, |database| {
            database.sled.flush()?;
            sync_files(&self.path, &*self.disk).map_err(|error| self.not_synced(&error))
        })
    }

    /// Carries out one batch and, if it changed something, returns when that is on the disk.
    fn synced<T>(
        &self,
        database: &mut Database,
        batch: impl FnOnce(&mut Database) -> Result<T, SnapshotError>,
    ) -> Result<T, SnapshotError> {
        let before = database.account;
        let result = batch(database)?;
        if database.account != before {
            database.sled.flush()?;
            self.disk.sync_file(&self.path.join("db")).map_err(|error| self.not_synced(&error))?;
        }
        Ok(result)
    }

    fn not_synced(&self, error: &io::Error) -> SnapshotError {
        SnapshotError::Failed(format!("cannot sync {}: {error}", self.path.display()))
    }

    /// Closes the database for good, flushed.
    pub(super) fn close(&self) {
        let mut slot = self.lock();
        slot.closed = true;
        drop_quietly(slot.database.take());
    }

    /// Runs `action` on the open database. After a failure it is closed, because sled refuses
    /// everything once it has seen an error; the next action opens it again, with what is really
    /// on the disk.
    fn with<T>(
        &self,
        action: impl FnOnce(&mut Database) -> Result<T, SnapshotError>,
    ) -> Result<T, SnapshotError> {
        let mut slot = self.lock();
        if slot.closed {
            return Err(SnapshotError::Failed("the store is closed".into()));
        }
        if slot.database.is_none() {
            slot.generation += 1;
            // On a disk that cannot sync it must still be possible to read.
            let _ = settle(&self.path, &*self.disk);
            slot.database = Some(Database::open(&self.path, slot.generation)?);
        }
        let Some(database) = &mut slot.database else {
            return Err(SnapshotError::Failed("the snapshot is not open".into()));
        };
        let result = guarded(|| action(database));
        if result.is_err() {
            drop_quietly(slot.database.take());
            self.forget_cached();
        }
        result
    }

    /// Fails as a reader does that meets an error.
    #[cfg(test)]
    pub(super) fn fail_for_test(&self) {
        let failed: Result<(), _> = self.with(|_| Err(SnapshotError::Failed("on request".into())));
        assert!(failed.is_err());
    }

    /// The same, if the database has not been opened anew since `generation`: a round whose first
    /// half went to a database that failed has to begin again.
    fn with_same<T>(
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

    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many of these changes are one batch.
fn batch_at_front_of(changes: &[(&Key, &Change)]) -> usize {
    let (mut count, mut bytes) = (0, 0);
    for (_, change) in changes.iter().take(BATCH) {
        bytes += change.put.as_ref().map_or(0, Bytes::len);
        if count > 0 && bytes > BATCH_BYTES {
            break;
        }
        count += 1;
    }
    count
}

/// What has to happen before sled opens its files. A killed process may have left them in the system's
/// cache only, and sled builds on what it reads, so they are synced. And a copy of its page table that it
/// had begun to write must go: it takes that for a whole one, and refuses it. It does without.
pub(super) fn settle(path: &Path, disk: &dyn Disk) -> io::Result<()> {
    for entry in std::fs::read_dir(path)? {
        let name = entry?.file_name();
        if name.to_str().is_some_and(|name| name.starts_with("snap.") && name.ends_with(".generating")) {
            disk.remove(&path.join(name))?;
        }
    }
    sync_files(path, disk)
}

fn sync_files(directory: &Path, disk: &dyn Disk) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        make_private(&entry)?;
        if entry.file_type()?.is_dir() {
            sync_files(&entry.path(), disk)?;
            continue;
        }
        match disk.sync_file(&entry.path()) {
            // sled removes its old files on a thread of its own.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => result?,
        }
    }
    disk.sync_dir(directory)
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
