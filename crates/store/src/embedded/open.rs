//! Opening a data directory: lock, format, snapshot, journal, threads. In this order, so that
//! nothing is touched before it is certain that it is ours and that all of it can be read.

use std::fs::{self, OpenOptions as FileOptions};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use onceward_core::clock::Clock;
use onceward_core::domain::Timestamp;
use tokio::sync::OnceCell;

use super::checkpoint::{Ended, SNAPSHOT_THREAD_ENDED, Snapshots};
use super::database::{Sled, SledBackend};
use super::directory::{Directory, DirectoryState, FORMAT, Lock, check_importable};
use super::disk::{Disk, RealDisk, lacks_space};
use super::error::OpenError;
use super::health::{Health, ThreadWatch};
use super::journal::{Journal, Start, not_reserved};
use super::live::{Files, LiveRecords, Loading};
use super::replay::{self, Covered, Replayed};
use super::segment::Segment;
use super::snapshot::{self, Listing, Manifest, OpenCopy, Snapshot, SnapshotError};
use super::writer::{Grown, MAX_THRESHOLDS, Writer, WriterDeps, WriterEnd, WriterMessage};
use super::{EmbeddedStore, StoreReader};
use crate::{Slots, StoreError};

/// Sizes and times that only tests change.
#[derive(Debug, Clone)]
pub struct StoreSettings {
    /// Bytes reserved for one journal segment.
    pub segment_bytes: u64,
    /// A checkpoint begins when the journal has grown by so much, or by half the size of the last snapshot if that is
    /// more.
    pub checkpoint_bytes: u64,
    /// A checkpoint begins when the last one is this old and the journal has grown. Therefore expired records leave the
    /// disk.
    pub checkpoint_every: Duration,
    /// The pause after each 256 KiB of a snapshot, so that commits do not wait for it.
    pub pause: Duration,
    /// Time limit for progress of sled, and for records from an owner during a checkpoint.
    pub deadline: Duration,
    /// The time until a failed checkpoint is repeated.
    pub repeat_checkpoint_after: Duration,
    /// The interval between attempts to write to a failing journal.
    pub probe_every: Duration,
    /// The interval at which an idle store records the time.
    pub time_every: Duration,
    /// The format that is written, and the newest that is read.
    pub format: u32,
}

const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            segment_bytes: SEGMENT_BYTES,
            // A checkpoint closes the current segment. If it began only when a segment is full, it would close the next
            // one almost empty.
            checkpoint_bytes: SEGMENT_BYTES - 1024 * 1024,
            checkpoint_every: Duration::from_secs(20 * 60),
            pause: Duration::from_millis(2),
            deadline: Duration::from_secs(120),
            repeat_checkpoint_after: Duration::from_secs(10),
            probe_every: Duration::from_secs(1),
            time_every: Duration::from_secs(60),
            format: FORMAT,
        }
    }
}

/// The options for opening a store.
#[derive(Clone)]
pub struct OpenOptions {
    /// The data directory. It is created if it is not there.
    pub dir: PathBuf,
    /// Identifies the server key. Data that was written with another key is not opened: its codes could not be checked.
    pub key_fingerprint: [u8; 16],
    /// The clock of decisions.
    pub clock: Arc<dyn Clock>,
    /// Where copies of the snapshot go if there is no room in the data directory. `None` means the directory that the
    /// environment variable `TMPDIR` names.
    pub scratch: Option<PathBuf>,
    /// Receives the progress of the open and of a restore.
    pub loading: Arc<Loading>,
    /// Imports into a directory without data ([`check_importable`](super::check_importable)). No server starts on it before the store is closed
    /// in order. An import that was interrupted begins again.
    pub importing: bool,
    pub settings: StoreSettings,
}

impl OpenOptions {
    pub fn new(dir: impl Into<PathBuf>, key_fingerprint: [u8; 16], clock: Arc<dyn Clock>) -> Self {
        let (loading, settings) = (Arc::default(), StoreSettings::default());
        Self { dir: dir.into(), key_fingerprint, clock, scratch: None, loading, importing: false, settings }
    }
}

impl EmbeddedStore {
    /// Opens the data directory, or creates it. Copies the snapshot and reads the whole journal; therefore this blocks
    /// for as long as that takes: call it where blocking is allowed.
    ///
    /// # Errors
    /// [`OpenError`], which says what to do. The store never begins empty over data it cannot
    /// read.
    pub fn open(options: &OpenOptions) -> Result<Self, OpenError> {
        Self::open_on(options, Arc::new(RealDisk), Arc::new(Sled))
    }

    /// The same with a disk and a sled that tests can make fail.
    pub(super) fn open_on(
        options: &OpenOptions,
        disk: Arc<dyn Disk>,
        backend: Arc<dyn SledBackend>,
    ) -> Result<Self, OpenError> {
        let began = options.clock.now();
        if options.importing {
            check_importable(&options.dir)?;
        }
        let directory = Directory { newest: options.settings.format, ..Directory::at(&options.dir)? };
        let lock = directory.lock()?;
        let (state, format) = if options.importing {
            // Another import may have been faster.
            check_importable(&options.dir)?;
            (DirectoryState::Importing, directory.newest)
        } else {
            directory.state(options.key_fingerprint)?
        };
        match state {
            DirectoryState::Complete => {}
            DirectoryState::Importing if !options.importing => {
                return Err(OpenError::ImportInterrupted { directory: directory.root });
            }
            DirectoryState::Creating | DirectoryState::Importing => {
                create(&directory, options, state, &*disk)?;
            }
        }
        let scratch = options.scratch.clone();
        let copies = Copies::of(&directory, scratch, backend.clone(), options.settings.deadline)?;
        remove_leftovers(&copies)?;
        options.loading.begin("verifying the snapshot", 0);
        let copy = copies.open_newest(&directory)?;
        let snapshot = copy.snapshot.clone();
        let (journal, loading) = (directory.journal.clone(), options.loading.clone());
        let files = Files { copies, journal, loading };
        let found = LiveRecords::find(files.clone(), Some(copy), Slots::all(), None, &mut Err)?;
        report(&found.replayed, snapshot.manifest.records, began, options.clock.now());
        tidy(&directory, &found.replayed, &*disk)?;
        if format < directory.newest {
            // Before anything is written that an older version cannot read.
            directory.write_state(DirectoryState::Complete, options.key_fingerprint, &*disk)?;
            tracing::info!(from = format, to = directory.newest, "format of the data directory raised");
        }
        let snapshots = Snapshots {
            backend,
            disk,
            journal: directory.journal.clone(),
            directory: directory.snapshot.clone(),
            pause: options.settings.pause,
            deadline: options.settings.deadline,
        };
        let is_new = state != DirectoryState::Complete;
        Opened { directory, snapshots, files, snapshot, found, is_new, lock }.start(options)
    }
}

/// Creates a new data directory. Until the last step, or the end of the import, `FORMAT` has `state`, and an interrupted
/// creation begins again. It has an empty snapshot from the beginning. Therefore a missing snapshot is always a lost one.
fn create(
    directory: &Directory,
    options: &OpenOptions,
    state: DirectoryState,
    disk: &dyn Disk,
) -> Result<(), OpenError> {
    directory.write_state(state, options.key_fingerprint, disk)?;
    directory.create_first_files(Manifest::empty(Covered::default(), options.clock.now()), disk)?;
    if !options.importing {
        directory.write_state(DirectoryState::Complete, options.key_fingerprint, disk)?;
        tracing::info!(directory = %options.dir.display(), "data directory created");
    }
    Ok(())
}

/// Opens copies of the snapshots of a data directory.
#[derive(Clone)]
pub(super) struct Copies {
    pub(super) backend: Arc<dyn SledBackend>,
    /// Where the snapshots are.
    pub(super) directory: PathBuf,
    /// Where copies go if there is no room in `directory`.
    pub(super) scratch: Option<PathBuf>,
    /// The names of copies there begin with this.
    prefix: String,
    deadline: Duration,
}

impl Copies {
    pub(super) fn of(
        directory: &Directory,
        scratch: Option<PathBuf>,
        backend: Arc<dyn SledBackend>,
        deadline: Duration,
    ) -> Result<Self, OpenError> {
        let of_environment = || std::env::var_os("TMPDIR").filter(|name| !name.is_empty()).map(PathBuf::from);
        let found = fs::metadata(&directory.root).map_err(OpenError::io("look at", &directory.root))?;
        Ok(Self {
            backend,
            directory: directory.snapshot.clone(),
            scratch: scratch.or_else(of_environment),
            prefix: format!("onceward-{:x}-{:x}-", found.dev(), found.ino()),
            deadline,
        })
    }

    pub(super) fn open(&self, snapshot: &Arc<Snapshot>) -> Result<OpenCopy, SnapshotError> {
        let places = snapshot::copy_places(&self.directory, self.scratch.as_deref(), &self.prefix);
        snapshot.open_copy(&self.backend, &places, self.deadline)
    }

    /// Opens a copy of the snapshot that a start uses.
    pub(super) fn open_newest(&self, directory: &Directory) -> Result<OpenCopy, OpenError> {
        let try_to_open = |segment| self.open(&Arc::new(Snapshot::load(&self.directory, segment)?));
        let (copy, unusable) = self.newest_usable(directory, try_to_open)?;
        if let Some(reason) = unusable {
            tracing::warn!(%reason, "newest snapshot unusable, using the older snapshot and the journal");
        }
        Ok(copy)
    }

    /// Finds the newest snapshot, in a second attempt if the first one fails. Finds an older one only if the journal has
    /// every segment after it; then it also returns why the newest cannot be used.
    pub(super) fn newest_usable<T>(
        &self,
        directory: &Directory,
        try_to_open: impl Fn(u64) -> Result<T, SnapshotError>,
    ) -> Result<(T, Option<SnapshotError>), OpenError> {
        let missing =
            |detail: &str| OpenError::SnapshotDamaged { path: self.directory.clone(), detail: detail.into() };
        let listing = Listing::of(&self.directory).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => missing("it is missing"),
            _ => OpenError::io("read", &self.directory)(error),
        })?;
        let (newest, older) =
            listing.sealed.split_last().ok_or_else(|| missing("there is no snapshot in it"))?;
        let opened = try_to_open(*newest).or_else(|error| match error {
            SnapshotError::NoRoom { .. } => Err(error),
            _ => try_to_open(*newest),
        });
        let error = match opened {
            Ok(found) => return Ok((found, None)),
            Err(error @ SnapshotError::NoRoom { .. }) => {
                return Err(OpenError::snapshot(&self.directory, error));
            }
            Err(error) => error,
        };
        let segments = replay::numbers(&directory.journal).unwrap_or_default();
        for segment in older.iter().rev() {
            let is_whole = (segment + 1..=*newest).all(|number| segments.binary_search(&number).is_ok());
            if let Some(found) = is_whole.then(|| try_to_open(*segment).ok()).flatten() {
                return Ok((found, Some(error)));
            }
        }
        Err(OpenError::snapshot(&self.directory, error))
    }
}

/// Removes the leftovers of interrupted checkpoints and starts, first of all, because a full disk may need the room.
fn remove_leftovers(copies: &Copies) -> Result<(), OpenError> {
    // The reader reports missing files.
    let mut leftovers = Listing::of(&copies.directory).unwrap_or_default().leftovers;
    if let Some(entries) = copies.scratch.as_ref().and_then(|scratch| fs::read_dir(scratch).ok()) {
        let ours =
            entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(&copies.prefix));
        leftovers.extend(ours.map(|entry| entry.path()));
    }
    for path in leftovers {
        fs::remove_dir_all(&path).map_err(OpenError::io("remove", &path))?;
    }
    Ok(())
}

fn report(replayed: &Replayed, in_snapshot: u64, began: Timestamp, now: Timestamp) {
    tracing::info!(
        in_snapshot,
        records = replayed.summary.records,
        segments = replayed.summary.segments,
        closed_in_order = replayed.summary.closed,
        milliseconds = u64::try_from(now.since(began).as_millis()).unwrap_or(u64::MAX),
        "data directory opened"
    );
}

/// Truncates the journal after the last whole frame. A killed process may have left frames in the page cache only.
/// Therefore this syncs all segments before the store appends to them or removes files.
fn tidy(directory: &Directory, replayed: &Replayed, disk: &dyn Disk) -> Result<(), OpenError> {
    if let Some((path, byte, _)) = &replayed.summary.torn {
        tracing::warn!(
            file = %path.display(),
            byte,
            "end of the journal truncated; it was torn, and never acknowledged, or damaged"
        );
    }
    if let Some((path, length)) = &replayed.end {
        // Cuts the reserved space too: no later write goes there, and a nearly full disk has no other space for the
        // next segments.
        let cut = || {
            let file = FileOptions::new().write(true).open(path)?;
            file.set_len(*length)?;
            file.sync_all()
        };
        cut().map_err(OpenError::io("cut off what is behind the end of", path))?;
    }
    for path in &replayed.used {
        disk.sync_file(path).map_err(OpenError::io("sync", path))?;
    }
    // The snapshot's files were synced before it got its name, which may not have been.
    disk.sync_dir(&directory.snapshot).map_err(OpenError::io("sync", &directory.snapshot))
}

/// A data directory that was read and verified, before its threads start.
struct Opened {
    directory: Directory,
    snapshots: Snapshots,
    files: Files,
    snapshot: Arc<Snapshot>,
    found: LiveRecords,
    /// Whether the directory was created by this start.
    is_new: bool,
    lock: Lock,
}

impl Opened {
    fn start(self, options: &OpenOptions) -> Result<EmbeddedStore, OpenError> {
        let Self { directory, snapshots, files, snapshot, found, is_new, lock } = self;
        let replayed = &found.replayed;
        let (health, mut settings) = (Arc::new(Health::new(options.clock.clone())), options.settings.clone());
        if options.importing {
            // No server waits for a checkpoint: the next start makes one.
            settings.checkpoint_bytes = u64::MAX / MAX_THRESHOLDS;
        }
        let disk = snapshots.disk.clone();
        // On a full disk the store serves reads and refuses commits. The thread that reserves segments tries again.
        let reserve = |number| {
            let action = if is_new {
                "reserve space for the journal (a first start needs 128 MiB) in"
            } else {
                "reserve space for the journal in"
            };
            match Segment::create(&*disk, &directory.journal, number, settings.segment_bytes) {
                Ok(segment) => Ok(Some(segment)),
                Err(error) if !is_new && lacks_space(&error) => {
                    health.reserve(Some(&not_reserved(settings.segment_bytes, &directory.journal, &error)));
                    Ok(None)
                }
                Err(error) => Err(OpenError::io(action, &directory.journal)(error)),
            }
        };
        let active = reserve(replayed.last_segment + 1)?;
        let spare = if active.is_some() { reserve(replayed.last_segment + 2)? } else { None };
        if active.is_none() {
            health.journal(health.reserve_trouble().as_deref());
        }
        let (to_writer, messages) = mpsc::channel();
        let (to_snapshots, jobs) = mpsc::channel();
        let (to_preparer, requested) = mpsc::channel();
        let newest_time = found.newest_time();
        let records_at_start = found.max_records();
        let next = Start {
            active,
            spare,
            last_segment: replayed.last_segment,
            next_sequence: replayed.last_sequence + 1,
            last_time: newest_time,
        };
        let deps = WriterDeps {
            settings: settings.clone(),
            segments: directory.journal.clone(),
            jobs: to_snapshots,
            itself: to_writer.clone(),
            clock: options.clock.clone(),
            health: health.clone(),
        };
        let grown = Grown { bytes: replayed.bytes, records: replayed.summary.records };
        let writer = Writer::new(Journal::new(next, to_preparer), snapshot, grown, deps);
        let (disk_of_segments, journal) = (disk.clone(), directory.journal.clone());
        let create =
            move |number| Segment::create(&*disk_of_segments, &journal, number, settings.segment_bytes);
        let helpers = [
            spawn("snapshot", &directory.root, snapshot_thread(snapshots, jobs, to_writer.clone(), &health))?,
            spawn(
                "journal-reserve",
                &directory.root,
                reserve_thread(requested, create, to_writer.clone(), &health),
            )?,
        ];
        let key = options.key_fingerprint;
        let importing = options.importing.then(|| (directory.clone(), disk));
        let complete = move || {
            let Some((directory, disk)) = importing else { return Ok(()) };
            Ok(directory.write_state(DirectoryState::Complete, key, &*disk)?)
        };
        let run = journal_thread(writer, messages, helpers, (lock, complete), &health);
        spawn("journal", &directory.root, run)?;
        Ok(EmbeddedStore {
            reader: StoreReader { writer: to_writer, files, clock: options.clock.clone() },
            in_flight: Arc::new(AtomicUsize::new(0)),
            health,
            found_at_start: Mutex::new(Some(found)),
            newest_time,
            records_at_start,
            closed: OnceCell::new(),
        })
    }
}

fn journal_thread(
    writer: Writer,
    messages: Receiver<WriterMessage>,
    helpers: [JoinHandle<()>; 2],
    (lock, complete): (Lock, impl FnOnce() -> Result<(), StoreError> + Send + 'static),
    health: &Arc<Health>,
) -> impl FnOnce() + Send + 'static {
    let health = health.clone();
    move || {
        let watch = ThreadWatch::over("journal", &health, || {});
        let ending = writer.run(&messages);
        watch.ends_in_order();
        // Later senders to the writer get an error.
        drop(messages);
        for helper in helpers {
            let _ = helper.join();
        }
        if let WriterEnd::Closed(replies, result) = ending {
            let result = result.and_then(|()| complete());
            drop(lock);
            for reply in replies {
                let _ = reply.send(result.clone());
            }
        }
    }
}

fn snapshot_thread(
    snapshots: Snapshots,
    jobs: Receiver<super::checkpoint::Job>,
    writer: Sender<WriterMessage>,
    health: &Arc<Health>,
) -> impl FnOnce() + Send + 'static {
    let health = health.clone();
    move || {
        let watch = ThreadWatch::over("snapshot", &health, || {
            let _ = writer.send(WriterMessage::Ended(Ended::Checkpoint(Err(SNAPSHOT_THREAD_ENDED.into()))));
            let _ = writer.send(WriterMessage::Ended(Ended::Discard(Err(SNAPSHOT_THREAD_ENDED.into()))));
        });
        // Dropped before the report of a panic, so that the writer sends no further job.
        let jobs = jobs;
        snapshots.run(&jobs, |ended| drop(writer.send(WriterMessage::Ended(ended))));
        watch.ends_in_order();
    }
}

/// Reserves the requested segments before they are needed.
fn reserve_thread(
    requested: Receiver<u64>,
    create: impl Fn(u64) -> io::Result<Segment> + Send + 'static,
    writer: Sender<WriterMessage>,
    health: &Arc<Health>,
) -> impl FnOnce() + Send + 'static {
    let health = health.clone();
    move || {
        let failed =
            || WriterMessage::Prepared(Err(io::Error::other("its thread has ended; restart the server")));
        let watch = ThreadWatch::over("journal-reserve", &health, || drop(writer.send(failed())));
        // Dropped before the report of a panic: the writer would wait for ever for a segment that it requests after it.
        let requested = requested;
        // Until the journal's writer ends.
        let _ = requested.iter().try_for_each(|number| writer.send(WriterMessage::Prepared(create(number))));
        watch.ends_in_order();
    }
}

fn spawn(
    name: &str,
    directory: &Path,
    run: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, OpenError> {
    let thread = Builder::new().name(name.into()).spawn(run);
    thread.map_err(OpenError::io("start a thread for", directory))
}
