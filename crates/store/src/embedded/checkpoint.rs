//! Making a snapshot: the owners' records go into a new database, which is proved on a copy and only then sealed.
//!
//! Everything that calls sled runs on a thread of its own, which the journal's thread abandons if it makes no progress.
//! If sled hangs, panics, fails or loses a record, the attempt is discarded, and the journal still has every record.

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use onceward_core::domain::Timestamp;
use rustix::fs::{Advice, fadvise};

use super::database::{self, ChunkWriter};
use super::directory::Directory;
use super::disk::{CheckpointStep, Disk, create_private};
use super::journal;
use super::manifest::{FileSum, Manifest};
use super::replay::{self, Covered};
use super::snapshot::{self, Listing, SYNC_BYTES, Snapshot, database_in};
use crate::stream::{Collector, StreamPart};
use crate::{Slots, StoreError};

/// One attempt to write a snapshot.
pub(super) struct Attempt {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) directory: Directory,
    /// Tells the directories of attempts apart.
    pub(super) number: u64,
    pub(super) covered: Covered,
    pub(super) time: Timestamp,
    pub(super) records: Collector,
    /// The pause after each 256 KiB, so that commits do not wait; none while a stop waits for the snapshot.
    pub(super) pause: Duration,
}

impl Attempt {
    /// Writes the owners' records, proves the database, and seals it.
    pub(super) fn make(self) -> Result<Snapshot, StoreError> {
        // A stop waits for its checkpoint and serves nothing beside it: at the lowest priority the checkpoint may miss
        // the deadline.
        if !self.pause.is_zero() {
            yield_to_other_threads();
        }
        let (new, copy) =
            snapshot::attempt_paths(&self.directory.snapshot, self.covered.segment, self.number);
        let mut database = None;
        let made = catch_unwind(AssertUnwindSafe(|| {
            let manifest = self.write(&new, &mut database)?;
            let sealed = self.sync_and_prove(&manifest, &new, &copy)?;
            Snapshot::seal(&*self.disk, &self.directory.snapshot, &new, sealed)
        }));
        let made = made.unwrap_or_else(|_| Err(StoreError::Checkpoint("sled panicked".into())));
        // The journal's thread, which may have given the attempt up, does not know the snapshot then.
        let made =
            made.and_then(|sealed| if self.records.progress.stop() { Ok(sealed) } else { Err(stopped()) });
        if let Some(failed) = database {
            // sled may hang when it is closed.
            let _ = thread::Builder::new().name("snapshot-close".into()).spawn(move || drop(failed));
        }
        if made.is_err() {
            for left in [&new, &copy].into_iter().filter(|left| left.exists()) {
                let _ = self.disk.remove_dir(left);
            }
        }
        made
    }

    /// Writes the records that the owners give. After an error the database is still open.
    fn write(&self, new: &Path, database: &mut Option<sled::Db>) -> Result<Manifest, StoreError> {
        create_private(new).map_err(StoreError::io("create", new))?;
        let directory = database_in(new);
        let open = database.insert(database::create(&directory)?);
        self.reached(CheckpointStep::Created)?;
        let mut chunks = ChunkWriter::new(open, self.covered, self.time);
        let (mut given, mut unsynced) = (Slots::default(), 0);
        while given != Slots::all() {
            match self.records.next_part() {
                Some(StreamPart::Records(records, _)) => unsynced += chunks.add(&records)?,
                Some(StreamPart::Finished(slots)) => given.extend(slots),
                None => {
                    let why = "an owner of records went away before it had given all of them";
                    return Err(StoreError::Checkpoint(why.into()));
                }
            }
            self.progressed()?;
            // A sync of the journal waits for all unwritten data of the file system, including other files.
            if unsynced >= SYNC_BYTES {
                unsynced = 0;
                let log = directory.join("db");
                self.disk.sync_file(&log).map_err(StoreError::io("sync", &log))?;
                thread::sleep(self.pause);
            }
        }
        let manifest = chunks.finish()?;
        *database = None;
        self.reached(CheckpointStep::Written)?;
        Ok(manifest)
    }

    /// Syncs the database, reads all of it from the disk, opens a copy, and reads every record of that. Answers the manifest
    /// with the files in it.
    fn sync_and_prove(&self, manifest: &Manifest, new: &Path, copy: &Path) -> Result<Manifest, StoreError> {
        let directory = database_in(new);
        let found = snapshot::database_files(&directory);
        let (files, directories) = found.map_err(StoreError::io("read", &directory))?;
        for path in files.iter().map(|name| directory.join(name)) {
            // sled makes its files and directories readable by other users.
            restrict(&path, 0o600)?;
            self.disk.sync_file(&path).map_err(StoreError::io("sync", &path))?;
            self.progressed()?;
        }
        for path in directories.iter().map(PathBuf::as_path).chain([new]) {
            restrict(path, 0o700)?;
            self.disk.sync_dir(path).map_err(StoreError::io("sync", path))?;
        }
        self.reached(CheckpointStep::Synced)?;
        let mut sealed = manifest.clone();
        for name in files {
            let path = directory.join(&name);
            let to = database_in(copy).join(&name);
            // The proof has to read what is on the disk, not what the page cache still holds.
            forget_cached(&path)?;
            let mut piece = |file: &File| {
                file.sync_data().map_err(StoreError::io("sync", &to))?;
                thread::sleep(self.pause);
                self.progressed()
            };
            let (bytes, checksum) = snapshot::copy_file(&path, &to, "write", &mut piece)?;
            // It is not read again before the next start.
            forget_cached(&path)?;
            sealed.files.push(FileSum { name, bytes, checksum });
        }
        // sled truncates its log after one failed read: it must never open the files that are sealed.
        let database = database::open(&database_in(copy))?;
        self.reached(CheckpointStep::Copied)?;
        let lost = |detail: &str| StoreError::Checkpoint(format!("sled lost records: {detail}"));
        let mut records = 0_u64;
        database::read(&database, manifest, lost, &mut |_, _, _| {
            records += 1;
            if records.is_multiple_of(4096) { self.progressed() } else { Ok(()) }
        })?;
        drop(database);
        // What stays is removed with the snapshots that this one replaces.
        let _ = self.disk.remove_dir(copy);
        self.reached(CheckpointStep::Proved)?;
        Ok(sealed)
    }

    /// Tells the journal's thread that sled does not hang. Fails once the attempt is not wanted any more.
    fn progressed(&self) -> Result<(), StoreError> {
        self.records.progress.step();
        if self.records.progress.is_stopped() {
            return Err(stopped());
        }
        Ok(())
    }

    fn reached(&self, step: CheckpointStep) -> Result<(), StoreError> {
        self.disk.reached(step).map_err(|error| StoreError::Checkpoint(error.to_string()))?;
        self.progressed()
    }
}

fn stopped() -> StoreError {
    StoreError::Checkpoint("the checkpoint was stopped".into())
}

/// Removes what attempts left, the snapshots before the one that covers the segment `newest`, and then the segments that it
/// covers, the oldest first.
pub(super) fn discard(disk: &dyn Disk, directory: &Directory, newest: u64) -> Result<(), StoreError> {
    let listing = Listing::of(&directory.snapshot)?;
    let older = listing.sealed.iter().filter(|number| **number < newest);
    let older = older.map(|number| snapshot::sealed_path(&directory.snapshot, *number));
    let older: Vec<_> = older.collect();
    snapshot::remove_leftovers(disk, &listing);
    let numbers = replay::numbers(&directory.journal)?.into_iter().filter(|number| *number <= newest);
    let covered: Vec<_> = numbers.map(|number| journal::segment_path(&directory.journal, number)).collect();
    for path in &older {
        let remove = || {
            disk.remove_dir(path)?;
            disk.reached(CheckpointStep::SnapshotRemoved)
        };
        remove().map_err(StoreError::io("remove", path))?;
    }
    // An older snapshot needs the segments after it: its removal is on the disk before theirs begins.
    if !older.is_empty() {
        disk.sync_dir(&directory.snapshot).map_err(StoreError::io("sync", &directory.snapshot))?;
    }
    for path in &covered {
        let remove = || {
            disk.remove(path)?;
            disk.reached(CheckpointStep::SegmentRemoved)
        };
        remove().map_err(StoreError::io("remove", path))?;
    }
    if !covered.is_empty() {
        disk.sync_dir(&directory.journal).map_err(StoreError::io("sync", &directory.journal))?;
    }
    Ok(())
}

/// Gives this thread, and those of sled that it starts, the lowest priority: requests are served first.
fn yield_to_other_threads() {
    // Elsewhere the priority is that of the whole process.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, 19);
}

fn restrict(path: &Path, mode: u32) -> Result<(), StoreError> {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).map_err(StoreError::io("restrict", path))
}

/// Has the next reader of a synced file read it from the disk.
fn forget_cached(path: &Path) -> Result<(), StoreError> {
    use rustix::io::Errno;
    let forget = || match fadvise(File::open(path)?, 0, None, Advice::DontNeed) {
        // Some file systems have no cache, or do not support the call.
        Ok(()) | Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(()),
        Err(errno) => Err(errno.into()),
    };
    forget().map_err(StoreError::io("read", path))
}
