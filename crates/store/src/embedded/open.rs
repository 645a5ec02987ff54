//! Opening a data directory: lock, format, snapshot, journal, threads. In this order, so that
//! nothing is touched before it is certain that it is ours and that all of it can be read.

use std::fs::OpenOptions as FileOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use tokio::sync::OnceCell;

use super::EmbeddedStore;
use super::directory::{Directory, Lock, State};
use super::disk::{Disk, RealDisk};
use super::error::OpenError;
use super::health::Health;
use super::journal::{Journal, Start};
use super::message::Message;
use super::prepare::Preparer;
use super::progress::{Loading, Progress};
use super::replay::{self, Replayed};
use super::round::{Job, Rounds};
use super::segment::Segment;
use super::snapshot::{self, Covered, Entry, Round, Snapshot, SnapshotError};
use super::watch::Watch;
use super::writer::{Ending, MAX_SEGMENTS, QUEUE, Settings, Writer};
use onceward_core::clock::Clock;
use onceward_core::domain::Timestamp;

/// Bytes reserved for one journal segment unless told otherwise.
const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;

/// The time between two snapshot rounds unless told otherwise.
const ROUND_EVERY: Duration = Duration::from_secs(10);

/// How often a journal in trouble is tried in the time between two rounds.
const PROBES_PER_ROUND: u32 = 10;

/// With so many segments left from crashes in a row, the start itself carries out a round.
const SEGMENTS_LEFT: u64 = MAX_SEGMENTS / 2;

/// How a store is opened.
#[derive(Clone)]
pub struct OpenOptions {
    /// The data directory. It is created if it is not there.
    pub dir: PathBuf,
    /// Tells one server key from another. Data that was written with another one is not opened:
    /// its codes could not be checked.
    pub key_fingerprint: [u8; 16],
    /// Says what time it is.
    pub clock: Arc<dyn Clock>,
    /// Bytes reserved for one journal segment; a full segment begins a snapshot round.
    pub segment_bytes: u64,
    /// The time between two snapshot rounds.
    pub round_every: Duration,
    /// Told how far the reading has come, here and whenever the store is scanned.
    pub loading: Arc<Loading>,
}

impl OpenOptions {
    /// With segments of 64 MiB and a round every 10 s.
    pub fn new(dir: impl Into<PathBuf>, key_fingerprint: [u8; 16], clock: Arc<dyn Clock>) -> Self {
        let dir = dir.into();
        let (segment_bytes, round_every) = (SEGMENT_BYTES, ROUND_EVERY);
        Self { dir, key_fingerprint, clock, segment_bytes, round_every, loading: Arc::default() }
    }
}

impl EmbeddedStore {
    /// Opens the data directory, or creates it. Reads the whole journal, so this blocks for as
    /// long as that takes: call it where blocking is allowed.
    ///
    /// # Errors
    /// [`OpenError`], which says what to do. The store never begins empty over data it cannot
    /// read.
    #[expect(clippy::needless_pass_by_value, reason = "whoever opens a store has no further use for them")]
    pub fn open(options: OpenOptions) -> Result<Self, OpenError> {
        Self::open_on(&options, Arc::new(RealDisk))
    }

    /// The same on a disk that may fail.
    pub(super) fn open_on(options: &OpenOptions, disk: Arc<dyn Disk>) -> Result<Self, OpenError> {
        let began = options.clock.now();
        let directory = Directory::at(&options.dir)?;
        let lock = directory.lock()?;
        let found = directory.state(options.key_fingerprint)?;
        match found.state {
            State::Creating => create(&directory, options, &disk)?,
            State::Importing => return Err(OpenError::ImportInterrupted { directory: directory.root }),
            State::Complete => {}
        }
        let (clock, loading) = (&options.clock, &options.loading);
        let all = snapshot::bytes_in(&directory.snapshot);
        let mut progress = Progress::of("reading the snapshot", all, clock, loading);
        let (mut entries, mut bytes) = (0, 0);
        let mut see = |_: &Path, entry: &Entry| {
            entries += 1;
            bytes += entry.bytes();
            progress.at(entries, bytes);
        };
        let snapshot = Snapshot::open(&directory.snapshot, &disk, began, &mut see)
            .map_err(|error| OpenError::snapshot(&directory.snapshot, error))?;
        let (covered, snapshot) = (snapshot.covered(), Arc::new(snapshot));
        let mut progress = Progress::of("reading the journal", 0, clock, loading);
        let replayed = replay::replay(&directory.journal, covered, |records| progress.at(records, 0))?;
        report(&replayed, snapshot.entries(), began, options.clock.now());
        let rounds =
            Rounds { snapshot, disk, journal: directory.journal.clone(), clock: options.clock.clone() };
        start(&directory, options, rounds, covered.segment, replayed, lock)
    }
}

/// Makes a new data directory. Until the last step it says of itself that it is being created, and
/// an interrupted creation begins again.
fn create(directory: &Directory, options: &OpenOptions, disk: &Arc<dyn Disk>) -> Result<(), OpenError> {
    directory.write_state(State::Creating, options.key_fingerprint, &**disk)?;
    directory.clear(&**disk)?;
    Snapshot::create(&directory.snapshot, disk, options.clock.now())
        .map_err(|error| OpenError::not_created(&directory.snapshot, &error))?;
    // Only to be there, so that a journal without any segment is always one that lost it.
    Segment::create(&**disk, &directory.journal, 1, 0)
        .map_err(OpenError::io("create the first segment in", &directory.journal))?;
    directory.write_state(State::Complete, options.key_fingerprint, &**disk)?;
    tracing::info!(directory = %options.dir.display(), "made a new data directory");
    Ok(())
}

fn report(replayed: &Replayed, in_snapshot: u64, began: Timestamp, now: Timestamp) {
    tracing::info!(
        in_snapshot,
        records = replayed.records,
        segments = replayed.segments,
        closed_in_order = replayed.closed,
        milliseconds = u64::try_from(now.since(began).as_millis()).unwrap_or(u64::MAX),
        "the data directory is open"
    );
}

fn start(
    directory: &Directory,
    options: &OpenOptions,
    rounds: Rounds,
    mut covered: u64,
    mut replayed: Replayed,
    lock: Lock,
) -> Result<EmbeddedStore, OpenError> {
    let health = Arc::new(Health::default());
    tidy(directory, &replayed, &rounds)?;
    let reserve = |number| {
        Segment::create(&*rounds.disk, &directory.journal, number, options.segment_bytes)
            .map_err(OpenError::io("reserve a journal segment (64 MiB) in", &directory.journal))
    };
    let active = reserve(replayed.last_segment + 1)?;
    let spare = reserve(replayed.last_segment + 2)?;
    if replayed.segments >= SEGMENTS_LEFT {
        let changes = Arc::new(std::mem::take(&mut replayed.changes));
        let (segment, sequence) = (replayed.last_segment, replayed.last_sequence);
        let to = Covered { segment, sequence, time: replayed.last_time };
        let round = Round::new(changes, to, false);
        match rounds.carry_out(&round) {
            Ok(()) => covered = to.segment,
            Err(reason) => {
                // The journal has everything, and the rounds to come try again.
                health.round(Some(&reason));
                let failed = || OpenError::snapshot(&directory.snapshot, SnapshotError::Failed(reason));
                replayed.changes = Arc::into_inner(round.changes).ok_or_else(failed)?;
            }
        }
    }

    let (to_writer, messages) = mpsc::sync_channel(QUEUE);
    let (to_rounds, jobs) = mpsc::channel::<Job>();
    let (to_preparer, wanted) = mpsc::channel();
    let snapshot = rounds.snapshot.clone();
    let preparer = Preparer {
        disk: rounds.disk.clone(),
        journal: directory.journal.clone(),
        segment_bytes: options.segment_bytes,
        wanted,
        writer: to_writer.clone(),
    };
    let next =
        Start { active, spare, next_sequence: replayed.last_sequence + 1, last_time: replayed.last_time };
    let journal = Journal::new(next, to_preparer);
    let settings = Settings {
        segment_bytes: options.segment_bytes,
        probe_every: options.round_every / PROBES_PER_ROUND,
    };
    let writer = Writer::new(
        journal,
        &settings,
        replayed.changes,
        covered,
        to_rounds,
        options.clock.clone(),
        health.clone(),
    );

    let every = options.round_every;
    let helpers = [
        spawn("snapshot", &directory.root, snapshot_thread(rounds, jobs, to_writer.clone(), every, &health))?,
        spawn("journal-reserve", &directory.root, reserve_thread(preparer, &health))?,
    ];
    let watched = health.clone();
    spawn("journal", &directory.root, move || {
        let watch = Watch::over("journal", &watched, || {});
        let ending = writer.run(&messages);
        watch.ends_in_order();
        // Whoever still wants to tell or ask the writer something learns that it has ended.
        drop(messages);
        for helper in helpers {
            let _ = helper.join();
        }
        drop(lock);
        if let Ending::Closed(replies, result) = ending {
            for reply in replies {
                let _ = reply.send(result.clone());
            }
        }
    })?;
    Ok(EmbeddedStore {
        writer: to_writer,
        snapshot,
        health,
        clock: options.clock.clone(),
        loading: options.loading.clone(),
        newest_time: replayed.last_time,
        closed: OnceCell::new(),
    })
}

fn snapshot_thread(
    rounds: Rounds,
    jobs: Receiver<Job>,
    writer: ToWriter,
    every: Duration,
    health: &Arc<Health>,
) -> impl FnOnce() + Send + 'static {
    let health = health.clone();
    move || {
        let failed = || Message::RoundEnded(Err("the snapshot thread has ended; restart the server".into()));
        let watch = Watch::over("snapshot", &health, || drop(writer.send(failed())));
        // Gone before the writer hears of it, so that it sends no further round.
        let jobs = jobs;
        rounds.run(&jobs, &writer, every);
        watch.ends_in_order();
    }
}

fn reserve_thread(preparer: Preparer, health: &Arc<Health>) -> impl FnOnce() + Send + 'static {
    let (health, writer) = (health.clone(), preparer.writer.clone());
    move || {
        let failed = || Message::Prepared(Err(io::Error::other("its thread has ended; restart the server")));
        let watch = Watch::over("journal-reserve", &health, || drop(writer.send(failed())));
        preparer.run();
        watch.ends_in_order();
    }
}

/// Removes what a crash has left behind: a write that nobody was told of, and segments that the
/// snapshot covers. A process that was killed may have left what was read here in the system's
/// cache only, so all of it is synced before anything is built on it or removed because of it.
fn tidy(directory: &Directory, replayed: &Replayed, rounds: &Rounds) -> Result<(), OpenError> {
    if let Some((path, length)) = &replayed.torn {
        tracing::warn!(
            file = %path.display(),
            byte = length,
            "the journal ends with what looks like a write that was torn and never acknowledged; it is cut off"
        );
    }
    if let Some((path, length)) = &replayed.end {
        // Also what was reserved behind the end: nothing is written there any more, and a nearly full disk has
        // no other space to reserve the next segments in.
        let cut = || {
            let file = FileOptions::new().write(true).open(path)?;
            file.set_len(*length)?;
            file.sync_all()
        };
        cut().map_err(OpenError::io("cut off what is behind the end of", path))?;
    }
    for path in &replayed.used {
        rounds.disk.sync_file(path).map_err(OpenError::io("sync", path))?;
    }
    rounds.snapshot.make_durable().map_err(|error| OpenError::snapshot(&directory.snapshot, error))?;
    for path in &replayed.obsolete {
        rounds.disk.remove(path).map_err(OpenError::io("remove", path))?;
    }
    Ok(())
}

fn spawn(
    name: &str,
    directory: &Path,
    run: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, OpenError> {
    let thread = Builder::new().name(name.into()).spawn(run);
    thread.map_err(OpenError::io("start a thread for", directory))
}

/// Where the threads of a store are reached.
pub(super) type ToWriter = SyncSender<Message>;
