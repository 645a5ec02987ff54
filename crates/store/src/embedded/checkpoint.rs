//! Making a snapshot: the owners' records go into a new database, which is proved on a copy and only then sealed.
//!
//! Everything that calls sled runs on a thread that can be abandoned. If sled hangs, panics, fails or loses a record,
//! the attempt is discarded, and the journal still has every record.

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use onceward_core::domain::Timestamp;
use rustix::fs::{Advice, fadvise};

use super::chunk::{self, ChunkWriter};
use super::database::{Database, SledBackend};
use super::disk::{CheckpointStep, Disk};
use super::replay::{self, Covered};
use super::segment;
use super::snapshot::{
    self, CopyError, Listing, Manifest, SYNC_BYTES, Snapshot, SnapshotError, database_in, failed,
};
use crate::Slots;
use crate::owner::{Pushed, Sink};

/// Slices of records that wait to be written.
const WAITING_SLICES: u32 = 16;

/// Free space that an attempt must find before it begins.
const PROBE_BYTES: u64 = 256 * 1024;

pub(super) const SNAPSHOT_THREAD_ENDED: &str = "the snapshot thread has ended; restart the server";

/// Maximum number of abandoned attempts that still hang. At that number no further attempt begins.
const MAX_ABANDONED: usize = 3;

/// Wait between two looks at such threads.
const ABANDONED_LOOK: Duration = Duration::from_millis(1);

/// The snapshot thread.
pub(super) struct Snapshots {
    pub(super) backend: Arc<dyn SledBackend>,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) journal: PathBuf,
    pub(super) directory: PathBuf,
    pub(super) pause: Duration,
    pub(super) deadline: Duration,
}

/// A job for the snapshot thread.
pub(super) enum Job {
    Checkpoint(Checkpoint),
    /// Removes the snapshots and the segments of the journal that this snapshot replaces.
    Discard(u64),
}

/// A checkpoint that has begun.
pub(super) struct Checkpoint {
    pub(super) covered: Covered,
    pub(super) time: Timestamp,
    pub(super) parts: Receiver<OwnerMessage>,
    pub(super) control: Arc<CheckpointControl>,
}

/// A message from an owner of records.
pub(super) enum OwnerMessage {
    /// Encoded records.
    Records(Vec<u8>),
    /// An owner has sent all records of these slots.
    Finished(Slots),
    /// An owner dropped its stream too early.
    Dropped,
}

/// State that the threads of one checkpoint share.
#[derive(Debug, Default)]
pub(super) struct CheckpointControl {
    /// Progress counter of the writing thread.
    steps: AtomicU64,
    /// Slices that wait.
    waiting: AtomicU32,
    /// Set once the checkpoint is not needed.
    stopped: AtomicBool,
    /// Commits or a stop wait for the checkpoint: it makes no more pauses, and keeps its priority if it begins then.
    hurried: AtomicBool,
}

impl CheckpointControl {
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(super) fn hurry(&self) {
        self.hurried.store(true, Ordering::Relaxed);
    }

    fn is_hurried(&self) -> bool {
        self.hurried.load(Ordering::Relaxed)
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Counts a step of progress. Fails once the checkpoint is stopped.
    fn progressed(&self) -> Result<(), String> {
        self.steps.fetch_add(1, Ordering::Relaxed);
        if self.is_stopped() { Err("the checkpoint was stopped".into()) } else { Ok(()) }
    }

    fn pause(&self, pause: Duration) -> Result<(), String> {
        if !self.is_hurried() && !pause.is_zero() {
            thread::sleep(pause);
        }
        self.progressed()
    }
}

/// The thread of an attempt whose result is known. It may hang also after a result, when it closes a database that
/// failed; but its priority may be the lowest, and on a busy machine it only ends late.
struct Abandoned {
    thread: JoinHandle<()>,
    /// Whether it outlived the deadline.
    hangs: bool,
}

/// Receives the records of one checkpoint from their owners.
pub(super) struct Collector {
    pub(super) to: Sender<OwnerMessage>,
    pub(super) control: Arc<CheckpointControl>,
}

impl Sink for Collector {
    fn ready(&self) -> Pushed {
        if self.control.is_stopped() {
            Pushed::Aborted
        } else if self.control.waiting.load(Ordering::Acquire) >= WAITING_SLICES {
            Pushed::Busy
        } else {
            Pushed::Accepted
        }
    }

    fn push(&self, records: Vec<u8>) -> Pushed {
        self.control.waiting.fetch_add(1, Ordering::AcqRel);
        if self.to.send(OwnerMessage::Records(records)).is_ok() { Pushed::Accepted } else { Pushed::Aborted }
    }

    fn end(&self, finished: Option<Slots>) {
        let _ = self.to.send(finished.map_or(OwnerMessage::Dropped, OwnerMessage::Finished));
    }
}

impl Snapshots {
    /// Carries out jobs until the journal's writer ends. `report` passes each result to that writer.
    pub(super) fn run(self, jobs: &Receiver<Job>, mut report: impl FnMut(Ended)) {
        let (mut attempts, mut abandoned) = (0, Vec::new());
        for job in jobs {
            match job {
                Job::Checkpoint(checkpoint) => {
                    attempts += 1;
                    let control = checkpoint.control.clone();
                    let made = self.make(checkpoint, attempts, &mut abandoned);
                    // The other owners stop sending.
                    control.stop();
                    report(Ended::Checkpoint(made));
                }
                Job::Discard(below) => report(Ended::Discard(self.discard(below))),
            }
        }
    }

    fn make(
        &self,
        checkpoint: Checkpoint,
        attempt: u64,
        abandoned: &mut Vec<Abandoned>,
    ) -> Result<Snapshot, String> {
        abandoned.retain(|attempt| !attempt.thread.is_finished());
        let mut waited = Duration::ZERO;
        while abandoned.len() >= MAX_ABANDONED && abandoned.iter().any(|attempt| !attempt.hangs) {
            if waited >= self.deadline {
                for attempt in &mut *abandoned {
                    attempt.hangs = true;
                }
            }
            thread::sleep(ABANDONED_LOOK);
            waited += ABANDONED_LOOK;
            abandoned.retain(|attempt| !attempt.thread.is_finished());
        }
        if abandoned.len() >= MAX_ABANDONED {
            return Err(format!("{} earlier attempts hang in sled; restart the server", abandoned.len()));
        }
        let (new, copy) = snapshot::attempt_paths(&self.directory, checkpoint.covered.segment, attempt);
        let made = self.write_and_prove(checkpoint, &new, &copy, abandoned);
        let sealed = made.and_then(|manifest| Snapshot::seal(&*self.disk, &self.directory, &new, manifest));
        if sealed.is_err() {
            // If that fails too, the next start does it.
            let _ = self.disk.remove_dir(&new);
        }
        let _ = self.disk.remove_dir(&copy);
        sealed
    }

    /// Writes and proves the database on a thread of its own. Abandons the thread if it makes no progress.
    fn write_and_prove(
        &self,
        checkpoint: Checkpoint,
        new: &Path,
        copy: &Path,
        abandoned: &mut Vec<Abandoned>,
    ) -> Result<Manifest, String> {
        let control = checkpoint.control.clone();
        let attempt = Attempt {
            backend: self.backend.clone(),
            disk: self.disk.clone(),
            new: new.to_owned(),
            copy: copy.to_owned(),
            pause: self.pause,
            control: control.clone(),
        };
        let ((to, proved), deadline) = (mpsc::sync_channel(1), self.deadline);
        let run = move || {
            if !attempt.control.is_hurried() {
                yield_to_other_threads();
            }
            let mut writer = None;
            let result = attempt.run(&mut writer, &checkpoint, deadline);
            // Owners that have not finished need not continue.
            attempt.control.stop();
            // Sends the result first: sled may hang when a failed database is closed.
            let _ = to.send(result);
            drop(to);
        };
        let thread = thread::Builder::new().name("snapshot-write".to_owned()).spawn(run);
        let thread = thread.map_err(|error| format!("cannot start a thread: {error}"))?;
        let mut hangs = false;
        let result = loop {
            let before = control.steps.load(Ordering::Relaxed);
            match proved.recv_timeout(self.deadline) {
                Ok(proved) => break proved,
                Err(RecvTimeoutError::Disconnected) => break Err("sled panicked".into()),
                Err(RecvTimeoutError::Timeout) if control.steps.load(Ordering::Relaxed) == before => {
                    control.stop();
                    hangs = true;
                    break Err(format!("sled did nothing for {:?}", self.deadline));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        };
        abandoned.push(Abandoned { thread, hangs });
        result
    }

    /// Removes the older snapshots, and then the segments that the snapshot `newest` covers, the oldest first.
    fn discard(&self, newest: u64) -> Result<(), String> {
        let listing = Listing::of(&self.directory).map_err(failed("read", &self.directory))?;
        let older: Vec<u64> = listing.sealed.into_iter().filter(|number| *number < newest).collect();
        for number in &older {
            let path = snapshot::sealed_path(&self.directory, *number);
            self.disk.remove_dir(&path).map_err(failed("remove", &path))?;
            self.disk.reached(CheckpointStep::SnapshotRemoved);
        }
        if !older.is_empty() {
            self.disk.sync_dir(&self.directory).map_err(failed("sync", &self.directory))?;
        }
        let numbers = replay::numbers(&self.journal).map_err(|error| error.to_string())?;
        let mut removed = false;
        for number in numbers.into_iter().filter(|number| *number <= newest) {
            let path = segment::path(&self.journal, number);
            self.disk.remove(&path).map_err(failed("remove", &path))?;
            self.disk.reached(CheckpointStep::SegmentRemoved);
            removed = true;
        }
        if removed {
            self.disk.sync_dir(&self.journal).map_err(failed("sync", &self.journal))?;
        }
        Ok(())
    }
}

/// The result of a job.
pub(super) enum Ended {
    Checkpoint(Result<Snapshot, String>),
    Discard(Result<(), String>),
}

/// One attempt to write a snapshot.
struct Attempt {
    backend: Arc<dyn SledBackend>,
    disk: Arc<dyn Disk>,
    /// The directory of the snapshot, and that of the copy that proves it.
    new: PathBuf,
    copy: PathBuf,
    pause: Duration,
    control: Arc<CheckpointControl>,
}

impl Attempt {
    /// Reserves room for the snapshot, writes to it, and removes it again: this finds a full or failing disk before
    /// sled does.
    fn probe(&self) -> Result<(), String> {
        let path = self.new.join("probe");
        let write = || {
            let mut file = self.disk.create(&path, PROBE_BYTES)?;
            file.write_at(b"probe", 0)?;
            file.sync()?;
            self.disk.remove(&path)
        };
        write().map_err(failed("write", &path))
    }

    /// Writes the owners' records, closes the database, syncs it and proves it. After an error the database is still
    /// open. An owner may be silent for as long as `deadline`.
    fn run<'a>(
        &'a self,
        writer: &mut Option<DatabaseWriter<'a>>,
        checkpoint: &Checkpoint,
        deadline: Duration,
    ) -> Result<Manifest, String> {
        let open = writer.insert(DatabaseWriter::begin(self, checkpoint)?);
        let (mut given, mut silent, turn) = (Slots::none(), Duration::ZERO, deadline / 10);
        while given != Slots::all() {
            match checkpoint.parts.recv_timeout(turn) {
                Ok(OwnerMessage::Records(records)) => {
                    self.control.waiting.fetch_sub(1, Ordering::AcqRel);
                    open.add(&records)?;
                    silent = Duration::ZERO;
                }
                Ok(OwnerMessage::Finished(slots)) => {
                    given.extend(slots);
                    silent = Duration::ZERO;
                }
                Ok(OwnerMessage::Dropped) => {
                    return Err("an owner of records went away before it had given all of them".into());
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err("the owners did not give every slot".into());
                }
                Err(RecvTimeoutError::Timeout) => {
                    silent = silent.saturating_add(turn);
                    if silent >= deadline {
                        return Err(format!("the owners gave no record for {deadline:?}"));
                    }
                }
            }
            self.control.progressed()?;
        }
        let manifest = open.chunks.finish(&mut *open.database)?;
        open.database.flush()?;
        self.control.progressed()?;
        *writer = None;
        self.disk.reached(CheckpointStep::Written);
        self.sync_and_prove(&manifest)
    }
}

/// Gives this thread, and those of sled that it starts, the lowest priority: requests are served first.
fn yield_to_other_threads() {
    // Elsewhere the priority is that of the whole process.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, 19);
}

/// A database that is being written.
struct DatabaseWriter<'a> {
    attempt: &'a Attempt,
    directory: PathBuf,
    database: Box<dyn Database>,
    chunks: ChunkWriter,
    unsynced: usize,
}

impl<'a> DatabaseWriter<'a> {
    fn begin(attempt: &'a Attempt, checkpoint: &Checkpoint) -> Result<Self, String> {
        super::directory::create_private(&attempt.new).map_err(failed("create", &attempt.new))?;
        attempt.probe()?;
        let directory = database_in(&attempt.new);
        let database = attempt.backend.create(&directory)?;
        let chunks = ChunkWriter::new(checkpoint.covered, checkpoint.time);
        Ok(Self { attempt, directory, database, chunks, unsynced: 0 })
    }

    /// Adds encoded records. Syncs sled's output now and then, because a sync of the journal waits for all unwritten
    /// data of the file system, including other files.
    fn add(&mut self, records: &[u8]) -> Result<(), String> {
        self.unsynced += self.chunks.add(&mut *self.database, records)?;
        if self.unsynced >= SYNC_BYTES {
            self.unsynced = 0;
            let log = self.directory.join("db");
            self.attempt.disk.sync_file(&log).map_err(failed("sync", &log))?;
            self.attempt.control.pause(self.attempt.pause)?;
        }
        Ok(())
    }
}

impl Attempt {
    fn sync_and_prove(&self, manifest: &Manifest) -> Result<Manifest, String> {
        let directory = database_in(&self.new);
        let (files, directories) =
            snapshot::database_files(&directory).map_err(failed("read", &directory))?;
        for path in files.iter().map(|name| directory.join(name)) {
            // sled makes its files and directories readable by other users.
            std::fs::set_permissions(&path, Permissions::from_mode(0o600))
                .map_err(failed("restrict", &path))?;
            self.disk.sync_file(&path).map_err(failed("sync", &path))?;
            self.control.progressed()?;
        }
        for path in directories.iter().chain([&self.new]) {
            std::fs::set_permissions(path, Permissions::from_mode(0o700))
                .map_err(failed("restrict", path))?;
            self.disk.sync_dir(path).map_err(failed("sync", path))?;
        }
        self.disk.reached(CheckpointStep::Synced);
        let sealed = self.prove(manifest, &directory, files)?;
        self.disk.reached(CheckpointStep::Proved);
        Ok(sealed)
    }

    /// Reads all of the database from the disk, opens a copy, and reads every record of that. Answers the manifest with
    /// the files in it.
    fn prove(&self, manifest: &Manifest, directory: &Path, files: Vec<String>) -> Result<Manifest, String> {
        let (mut sealed, copy) = (manifest.clone(), database_in(&self.copy));
        for name in files {
            let path = directory.join(&name);
            forget_cached(&path).map_err(failed("read", &path))?;
            let mut piece = |to: &File| {
                to.sync_data()?;
                self.control.pause(self.pause).map_err(std::io::Error::other)
            };
            match snapshot::copy_file(&path, &copy.join(&name), &mut piece) {
                Ok((bytes, checksum)) => sealed.add_file(name, bytes, checksum),
                Err(CopyError::Write(error)) => return Err(failed("write", &copy.join(name))(error)),
                Err(CopyError::Snapshot(SnapshotError::Failed(detail))) => return Err(detail),
                Err(CopyError::Snapshot(_)) => return Err(format!("{} has gone", path.display())),
            }
            // It is not read again before the next start.
            forget_cached(&path).map_err(failed("read", &path))?;
        }
        let database = self.backend.open(&copy)?;
        let mut records = 0_u64;
        let read = chunk::read(&*database, manifest, &mut |_, _, _| {
            records += 1;
            if records.is_multiple_of(4096) {
                self.control.progressed()?;
            }
            Ok(())
        });
        read.map_err(|detail| format!("sled lost records: {detail}"))?;
        drop(database);
        self.control.progressed()?;
        std::fs::remove_dir_all(&self.copy).map_err(failed("remove", &self.copy))?;
        Ok(sealed)
    }
}

/// Has the next reader of a synced file read it from the disk.
fn forget_cached(path: &Path) -> std::io::Result<()> {
    match fadvise(File::open(path)?, 0, None, Advice::DontNeed) {
        // Some file systems have no cache, or do not support the call.
        Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::OPNOTSUPP) => {
            Ok(())
        }
        Err(errno) => Err(errno.into()),
    }
}
