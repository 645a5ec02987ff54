//! Making a snapshot: the owners' records go into new databases, which are proved on copies and only then sealed.
//!
//! Everything that calls sled runs on a thread of its own, which the journal's thread abandons if it makes no progress.
//! If sled hangs, panics, fails or loses a record, the attempt is discarded, and the journal still has every record.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use onceward_core::domain::Timestamp;
use rustix::fs::{Advice, fadvise};
use rustix::io::Errno;

use super::disk::{CheckpointStep, Disk, Operation, create_private};
use super::replay::{self, Covered, segment_path};
use super::snapshot::{self, ChunkReader, ChunkWriter, Manifest, SYNC_BYTES, Snapshot};
use crate::StoreError;
use crate::stream::Collector;

/// One attempt to write a snapshot.
pub(super) struct Attempt {
    pub(super) disk: Disk,
    /// Of the snapshots.
    pub(super) directory: PathBuf,
    /// Tells the directories of attempts apart.
    pub(super) number: u64,
    pub(super) covered: Covered,
    pub(super) time: Timestamp,
    pub(super) records: Collector,
    pub(super) progress: Arc<Progress>,
    pub(super) database_bytes: usize,
    /// The pause after each 256 KiB, so that commits do not wait; none while a stop waits for the snapshot.
    pub(super) pause: Duration,
}

/// What the journal's thread and that of an attempt know of each other.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) steps: AtomicU64,
    /// The store has ended: the directory may be another store's.
    pub(super) has_ended: AtomicBool,
}

impl Attempt {
    /// Writes the owners' records, proves the databases, and seals them.
    pub(super) fn make(mut self) -> Result<Snapshot, StoreError> {
        // A stop waits for its checkpoint and serves nothing beside it: at the lowest priority the checkpoint may miss
        // the deadline.
        if !self.pause.is_zero() {
            yield_to_other_threads();
        }
        let [new, copy] = snapshot::attempt_paths(&self.directory, self.covered.segment, self.number);
        let mut database = None;
        let made = catch_unwind(AssertUnwindSafe(|| {
            let mut manifest = self.write(&new, &mut database)?;
            self.sync_and_prove(&mut manifest, &new, &copy)?;
            Snapshot::seal(&self.disk, &self.directory, &new, manifest)
        }));
        let made = made.unwrap_or_else(|_| Err(StoreError::Checkpoint("sled panicked".into())));
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

    /// Writes the records that the owners give. After an error a database is still open.
    fn write(&mut self, new: &Path, database: &mut Option<sled::Db>) -> Result<Manifest, StoreError> {
        create_private(new).map_err(StoreError::io("create", new))?;
        let mut chunks = ChunkWriter {
            directory: new,
            database_bytes: self.database_bytes,
            database,
            in_database: 0,
            chunk: Vec::new(),
            in_chunk: 0,
            manifest: Manifest::empty(self.covered, self.time),
        };
        chunks.begin()?;
        self.reached(CheckpointStep::Created)?;
        let mut unsynced = 0;
        while let Some(records) = self.records.next_slice() {
            unsynced += chunks.add(&records)?;
            self.progressed()?;
            // A sync of the journal waits for all unwritten data of the file system, including other files.
            if unsynced >= SYNC_BYTES {
                unsynced = 0;
                self.disk.sync_file(&chunks.newest().join("db"))?;
                thread::sleep(self.pause);
            }
        }
        if !self.records.is_complete() {
            let why = "an owner of records went away before it had given all of them";
            return Err(StoreError::Checkpoint(why.into()));
        }
        let manifest = chunks.finish()?;
        self.reached(CheckpointStep::Written)?;
        Ok(manifest)
    }

    /// Syncs the databases, and reads all of each from the disk: opens a copy, and reads every record of that. Notes the
    /// files in the manifest.
    fn sync_and_prove(&self, manifest: &mut Manifest, new: &Path, copy: &Path) -> Result<(), StoreError> {
        let (files, directories) = snapshot::files_below(new)?;
        for path in &files {
            // sled makes its files and directories readable by other users.
            restrict(path, 0o600)?;
            self.disk.sync_file(path)?;
            self.progressed()?;
        }
        for path in &directories {
            restrict(path, 0o700)?;
            self.disk.sync_dir(path)?;
        }
        self.reached(CheckpointStep::Synced)?;
        let lost = |detail: &str| StoreError::Checkpoint(format!("sled lost records: {detail}"));
        let (written, mut sums, mut read) = (manifest.clone(), Vec::new(), 0_u64);
        let mut reader = ChunkReader::new(&written, &lost);
        for number in (0..written.databases).map(|number| number.to_string()) {
            let directory = new.join(&number);
            for path in files.iter().filter(|path| path.starts_with(&directory)) {
                // The proof has to read what is on the disk, not what the page cache still holds.
                forget_cached(path)?;
                let name = path.strip_prefix(new).unwrap_or(path).to_string_lossy();
                let mut piece = |file: &File| {
                    file.sync_data().map_err(StoreError::io("sync a copy of", path))?;
                    thread::sleep(self.pause);
                    self.progressed()
                };
                sums.push(snapshot::copy_file(path, copy, &name, "write", &mut piece)?);
                // It is not read again before the next start.
                forget_cached(path)?;
            }
            // sled truncates its log after one failed read: it must never open the files that are sealed.
            let database = snapshot::open(&copy.join(&number))?;
            self.reached(CheckpointStep::Copied)?;
            reader.read(&database, &mut |_| {
                read += 1;
                if read.is_multiple_of(4096) { self.progressed() } else { Ok(()) }
            })?;
            drop(database);
            // What stays is removed with the snapshots that this one replaces.
            let _ = self.disk.remove_dir(&copy.join(&number));
        }
        reader.finish()?;
        let _ = self.disk.remove_dir(copy);
        manifest.files = sums;
        self.reached(CheckpointStep::Proved)
    }

    /// Tells the journal's thread that sled does not hang. Fails once the store has ended.
    fn progressed(&self) -> Result<(), StoreError> {
        self.progress.steps.fetch_add(1, Ordering::Relaxed);
        let has_ended = self.progress.has_ended.load(Ordering::Relaxed);
        if has_ended { Err(StoreError::Closed) } else { Ok(()) }
    }

    fn reached(&self, step: CheckpointStep) -> Result<(), StoreError> {
        self.disk.run(Operation::Step(step), "make a snapshot in", &self.directory, || Ok(()))?;
        self.progressed()
    }
}

/// Removes what attempts left, the snapshots before the one that covers the segment `newest`, and then the segments that it
/// covers, the oldest first.
pub(super) fn discard(disk: &Disk, snapshots: &Path, journal: &Path, newest: u64) -> Result<(), StoreError> {
    snapshot::remove_leftovers(disk, snapshots)?;
    let older = snapshot::sealed(snapshots)?.into_iter().filter(|number| *number < newest);
    for number in older {
        disk.remove_dir(&snapshot::sealed_path(snapshots, number))?;
        // An older snapshot needs the segments after it: its removal is on the disk before theirs begins.
        disk.sync_dir(snapshots)?;
    }
    let covered = replay::numbers(journal)?.into_iter().filter(|(number, _)| *number <= newest);
    for (number, _) in covered {
        let path = segment_path(journal, number);
        disk.run(Operation::Remove, "remove", &path, || fs::remove_file(&path))?;
    }
    disk.sync_dir(journal)
}

/// Gives this thread, and those of sled that it starts, the lowest priority: requests are served first.
fn yield_to_other_threads() {
    // Elsewhere the priority is that of the whole process.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, 19);
}

fn restrict(path: &Path, mode: u32) -> Result<(), StoreError> {
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(StoreError::io("restrict", path))
}

/// Has the next reader of a synced file read it from the disk.
fn forget_cached(path: &Path) -> Result<(), StoreError> {
    let forget = || match fadvise(File::open(path)?, 0, None, Advice::DontNeed) {
        // Some file systems have no cache, or do not support the call.
        Ok(()) | Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(()),
        Err(errno) => Err(errno.into()),
    };
    forget().map_err(StoreError::io("read", path))
}
