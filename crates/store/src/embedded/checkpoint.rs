//! Making a snapshot: the owner's records go into new databases, which are proved on copies and only then sealed.
//!
//! Everything that calls sled runs on a thread of its own. If sled panics, fails or loses a record, the attempt is
//! discarded; if it hangs, no other begins. The journal still has every record.

use std::collections::HashMap;
use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use onceward_core::domain::Timestamp;
use rustix::fs::{Advice, fadvise};
use rustix::io::Errno;
use sled::Db;
use tokio::sync::mpsc::Receiver;

use super::directory::{Directory, Disk, Operation, create_private};
use super::journal::{self, Covered, OpenSegment, Replayed, segment_path};
use super::snapshot::{self, Manifest, SYNC_BYTES, SnapshotCopy};
use crate::record::RecordRef;
use crate::{Key, StoreError, Write};

/// A chunk takes no further record when it has so many bytes. A leaf of sled has up to 16 chunks, and becomes a file of its
/// own above 128 KiB.
const CHUNK_BYTES: usize = 6 * 1024;

/// One attempt to write a snapshot.
pub(super) struct Attempt {
    pub(super) disk: Disk,
    /// Of the snapshots.
    pub(super) directory: PathBuf,
    /// Tells the directories of attempts apart.
    pub(super) number: u64,
    pub(super) covered: Covered,
    pub(super) time: Timestamp,
    pub(super) records: Receiver<Option<Vec<Write>>>,
    pub(super) database_bytes: usize,
    /// The pause after each 256 KiB, so that commits do not wait; none while a stop waits for the snapshot.
    pub(super) pause: Duration,
}

impl Attempt {
    /// Writes the owner's records, proves the databases, and seals them.
    pub(super) fn make(mut self) -> Result<Manifest, StoreError> {
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
            manifest.seal(&self.disk, &self.directory, &new)?;
            Ok(manifest)
        }));
        let made = made.unwrap_or_else(|_| Err(StoreError::Unavailable("sled panicked".into())));
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

    /// Writes the records that the owner gives. After an error a database is still open.
    fn write(&mut self, new: &Path, database: &mut Option<Db>) -> Result<Manifest, StoreError> {
        create_private(new).map_err(StoreError::io("create", new))?;
        let mut manifest = Manifest::empty(self.covered, self.time);
        self.reached("Created")?;
        // The first record begins the first database.
        let (mut written, mut synced) = (self.database_bytes, self.database_bytes);
        let (mut log, mut is_complete) = (PathBuf::new(), false);
        while let Some(slice) = self.records.blocking_recv() {
            is_complete = slice.is_none();
            let mut records = slice.iter().flatten().peekable();
            while records.peek().is_some() {
                let mut chunk = Vec::with_capacity(CHUNK_BYTES);
                while let Some(record) = records.next_if(|_| chunk.len() < CHUNK_BYTES) {
                    record.encode(&mut chunk);
                    manifest.records += 1;
                }
                if written >= self.database_bytes {
                    close(database)?;
                    let directory = new.join(manifest.databases.to_string());
                    *database = Some(snapshot::create(&directory)?);
                    manifest.databases += 1;
                    log = directory.join("db");
                    (written, synced) = (0, 0);
                }
                let (key, value) = manifest.next_chunk(&chunk);
                written += value.len();
                database.as_ref().map(|database| database.insert(key, value)).transpose()?;
            }
            // A sync of the journal waits for all unwritten data of the file system, including other files.
            if written - synced >= SYNC_BYTES {
                synced = written;
                self.disk.sync_file(&log)?;
                thread::sleep(self.pause);
            }
        }
        if !is_complete {
            let why = "the owner of the records went away before it had given all of them";
            return Err(StoreError::Unavailable(why.into()));
        }
        close(database)?;
        self.reached("Written")?;
        Ok(manifest)
    }

    /// Syncs the databases, reads all of them from the disk, opens copies, and reads every record of these. Notes the files
    /// in the manifest.
    fn sync_and_prove(&self, manifest: &mut Manifest, new: &Path, copy: &Path) -> Result<(), StoreError> {
        let (files, directories) = snapshot::files_below(new)?;
        for path in &files {
            self.disk.sync_file(path)?;
        }
        for path in &directories {
            self.disk.sync_dir(path)?;
        }
        self.reached("Synced")?;
        for path in &files {
            // The proof has to read what is on the disk, not what the page cache still holds.
            forget_cached(path)?;
            let name = path.strip_prefix(new).unwrap_or(path);
            let to = copy.join(name);
            let sum = snapshot::copy_file(path, &to, "write", &mut |piece| {
                piece.sync_data().map_err(StoreError::io("write", &to))?;
                thread::sleep(self.pause);
                Ok(())
            })?;
            manifest.files.insert(name.to_string_lossy().into_owned(), sum);
            // It is not read again before the next start.
            forget_cached(path)?;
        }
        self.reached("Copied")?;
        // sled truncates its log after one failed read: it must never open the files that are sealed.
        let lost = |detail: &str| StoreError::Unavailable(format!("sled lost records: {detail}"));
        snapshot::read(copy, manifest, &lost, &mut |_| Ok::<_, StoreError>(()))?;
        // What stays is removed with the snapshots that this one replaces.
        let _ = self.disk.remove_dir(copy);
        self.reached("Proved")
    }

    fn reached(&self, step: &'static str) -> Result<(), StoreError> {
        self.disk.run(Operation::Step(step), "make a snapshot in", &self.directory, || Ok(()))
    }
}

fn close(database: &mut Option<Db>) -> Result<(), StoreError> {
    database.as_ref().map(|database| database.flush()).transpose()?;
    *database = None;
    Ok(())
}

/// Removes what attempts left, the snapshots before the one that covers the segment `newest`, and then the segments that it
/// covers, the oldest first.
pub(super) fn discard(disk: &Disk, directory: &Directory, newest: u64) -> Result<(), StoreError> {
    let Directory { snapshot: snapshots, journal, .. } = directory;
    snapshot::remove_leftovers(disk, snapshots)?;
    let older = snapshot::sealed(snapshots)?.into_iter().filter(|number| *number < newest);
    for number in older {
        disk.remove_dir(&snapshot::sealed_path(snapshots, number))?;
        // An older snapshot needs the segments after it: its removal is on the disk before theirs begins.
        disk.sync_dir(snapshots)?;
    }
    let covered = journal::segment_numbers(journal)?.into_iter().filter(|number| *number <= newest);
    for number in covered {
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

/// Has the next reader of a synced file read it from the disk.
fn forget_cached(path: &Path) -> Result<(), StoreError> {
    let forget = || match fadvise(File::open(path)?, 0, None, Advice::DontNeed) {
        // Some file systems have no cache, or do not support the call.
        Ok(()) | Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(()),
        Err(errno) => Err(errno.into()),
    };
    forget().map_err(StoreError::io("read", path))
}

// Every live record, once: those of the snapshot and of the journal after it. A start, `onceward export` and `onceward
// check-data` all read with this, the last two also beside a running server.

/// Readings of a state until an error counts.
const TRIES: usize = 3;

/// Receives live records. An error ends the reading.
pub type VisitLive<'a, E> = &'a mut dyn FnMut(Key, Timestamp, &[u8]) -> Result<(), E>;

/// The live records of a directory whose journal was verified. Keeps the keys of the journal in memory, not the records. A
/// checkpoint takes nothing away from it.
pub struct LiveRecords {
    pub(super) copy: SnapshotCopy,
    segments: Vec<OpenSegment>,
    /// Which record of the journal, counted from the first, is the latest of its key.
    latest: HashMap<Key, u64>,
    pub(super) replayed: Replayed,
}

impl LiveRecords {
    /// Finds the records of a directory, and the fingerprint of its server key in hex digits; `None` if nothing was ever
    /// written into it. Stops at the first damage. Changes nothing, except for a temporary copy of the snapshot.
    ///
    /// # Errors
    /// Why a start would be refused.
    pub fn read(dir: &Path) -> Result<Option<(String, Self)>, StoreError> {
        let directory = Directory::at(dir);
        let Some(key) = directory.key()? else { return Ok(None) };
        Ok(Some((key, Self::newest(&directory)?)))
    }

    /// Finds the newest records on the disk. Beside a running store a file can go away, and the end of the journal grow,
    /// while they are read: only an error that comes again counts.
    pub(super) fn newest(directory: &Directory) -> Result<Self, StoreError> {
        let mut errors = Vec::new();
        loop {
            match Self::find(directory) {
                Err(error) if errors.len() + 1 < TRIES && errors.last() != Some(&error) => errors.push(error),
                found => return found,
            }
        }
    }

    fn find(directory: &Directory) -> Result<Self, StoreError> {
        let sealed = snapshot::sealed(&directory.snapshot)?;
        let missing = || StoreError::snapshot_damaged(&directory.snapshot, "there is no snapshot in it");
        let newest = *sealed.last().ok_or_else(missing)?;
        let manifest = Manifest::load(&directory.snapshot, newest)?;
        let covered = manifest.covered;
        // Before the copy, which takes time: what is open stays.
        let segments = journal::open_segments(&directory.journal, covered)?;
        let copy = manifest.copy(&directory.snapshot)?;
        let (mut latest, mut count) = (HashMap::new(), 0);
        let mut note = |record: RecordRef<'_>| {
            count += 1;
            latest.insert(record.key, count);
            Ok::<_, StoreError>(())
        };
        let replayed = journal::read_segments(&segments, covered, None, &mut note)?;
        Ok(Self { copy, segments, latest, replayed })
    }

    /// The newest time in the snapshot and the journal.
    pub fn newest_time(&self) -> Timestamp {
        self.replayed.newest.max(self.copy.manifest.time)
    }

    /// Visits every record that is alive at the later of `now` and the newest time in the directory. Therefore a clock
    /// that is behind does not revive expired records. An error of the visitor ends the reading.
    pub fn each<E: From<StoreError>>(self, now: Timestamp, visit: VisitLive<'_, E>) -> Result<(), E> {
        let now = now.max(self.newest_time());
        let mut give = |RecordRef { key, expires, put }: RecordRef<'_>| {
            put.filter(|_| now < expires).map_or(Ok(()), |record| visit(key, expires, record))
        };
        let Self { copy, segments, latest, replayed } = self;
        copy.read(&mut |record| if latest.contains_key(&record.key) { Ok(()) } else { give(record) })?;
        let mut count = 0;
        let mut give_latest = |record: RecordRef<'_>| {
            count += 1;
            if latest.get(&record.key) == Some(&count) { give(record) } else { Ok(()) }
        };
        // Beside a running writer the journal has grown since, perhaps by a part of a frame.
        let (covered, until) = (copy.manifest.covered, Some(replayed.last.sequence));
        journal::read_segments(&segments, covered, until, &mut give_latest).map(drop)
    }
}
