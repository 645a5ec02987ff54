//! A load on a store in a process of its own, which the shim watches.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use onceward::clock::{Clock as _, SystemClock};
use onceward::domain::{ServiceId, Timestamp};
use onceward::store::{
    EmbeddedStore, Key, Kind, OpenError, OpenOptions, Outcome, Revision, Store, Subject, Write,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rustix::process::{Signal, getpid, kill_process};
use tokio::task::JoinSet;

use super::promises::{Notes, Version};
use super::shim::Watched;
use super::trace::Place;

const WRITERS: u64 = 6;
const KEYS_PER_WRITER: u64 = 1500;
const LONG: Duration = Duration::from_secs(60);

/// A part of the versions ends that long after it was written, or up to eight times as long: some before a round has
/// them, some in a layer.
const SHORTEST_LIFE: Duration = Duration::from_millis(15);

/// A large round has come some way when so much of its layer is written.
const LARGE_ROUND_BYTES: &str = "200000";

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Closed,
    Killed,
    /// While a large layer is being written.
    KilledInRound,
    /// When the third layer has just got its name, and before anything is made of it.
    KilledAtName,
}

/// How rounds come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounds {
    /// As often as possible, with little each.
    Frequent,
    /// Seldom, with much.
    Large,
}

/// One process: opens the store, notes what it shows, writes, ends.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub seed: u64,
    pub commits: u64,
    pub rounds: Rounds,
    pub end: End,
}

impl Load {
    /// Runs it.
    pub fn run(self, watched: &Watched) {
        let status = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "power_loss::store_load::a_load_on_a_store", "--nocapture"])
            .envs(watched.environment())
            .env("POWER_LOAD", format!("{} {} {:?} {:?}", self.seed, self.commits, self.rounds, self.end))
            .env("POWER_NOTES", watched.promises())
            .envs(match self.end {
                End::Closed | End::Killed => None,
                End::KilledInRound => Some(("POWER_KILL_IN_LAYER", LARGE_ROUND_BYTES)),
                End::KilledAtName => Some(("POWER_KILL_AT_LAYER", "3")),
            })
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .expect("this program again");
        assert!(self.ended_as_wanted(status), "the load ended with {status}");
    }

    fn ended_as_wanted(self, status: ExitStatus) -> bool {
        (self.end == End::Closed && status.success()) || (self.end != End::Closed && status.code().is_none())
    }
}

/// The store in this directory, with small segments and frequent rounds, so that much happens.
pub fn open(data_dir: &Path) -> Result<EmbeddedStore, OpenError> {
    open_with(data_dir, Rounds::Frequent)
}

fn open_with(data_dir: &Path, rounds: Rounds) -> Result<EmbeddedStore, OpenError> {
    let mut options = OpenOptions::new(data_dir, [7; 16], Arc::new(SystemClock::start()));
    (options.segment_bytes, options.round_every) = match rounds {
        Rounds::Frequent => (48 * 1024, Duration::from_millis(40)),
        Rounds::Large => (1024 * 1024, Duration::from_secs(3)),
    };
    EmbeddedStore::open(options)
}

/// Everything that the store has, with the revisions.
pub async fn contents(store: &EmbeddedStore) -> Result<Vec<(u64, u64, Revision)>, String> {
    let found = Arc::new(Mutex::new(Vec::new()));
    let seen = found.clone();
    let visit = Box::new(move |key: Key, revision: Revision, value: &[u8]| {
        seen.lock().unwrap().push((key.subject.0, version_in(key.subject.0, value), revision));
    });
    store.scan(Kind::Number, visit).await.map_err(|error| error.to_string())?;
    let found = std::mem::take(&mut *found.lock().unwrap());
    Ok(found)
}

/// The same as the notes have it.
pub fn versions(contents: &[(u64, u64, Revision)]) -> Vec<Version> {
    contents.iter().map(|(key, version, _)| (*key, Some(*version))).collect()
}

fn value(key: u64, version: u64) -> Bytes {
    let mut bytes = version.to_be_bytes().to_vec();
    let length = if version.is_multiple_of(97) { 3000 } else { 12 + (key + version) % 70 };
    bytes.extend((0..length).map(|i| u8::try_from((key + version + i) % 251).unwrap()));
    bytes.into()
}

/// Whether this version ends soon.
pub fn ends(key: u64, version: u64) -> bool {
    (key + version).is_multiple_of(3)
}

/// The version that these bytes are of; 0 if they were never written.
fn version_in(key: u64, bytes: &[u8]) -> u64 {
    let version = bytes.first_chunk().map_or(0, |version| u64::from_be_bytes(*version));
    if value(key, version) == bytes { version } else { 0 }
}

/// A process that the other tests start. By itself it does nothing.
#[test]
fn a_load_on_a_store() {
    let Ok(load) = std::env::var("POWER_LOAD") else { return };
    let words: Vec<&str> = load.split(' ').collect();
    let path = |name: &str| PathBuf::from(std::env::var_os(name).unwrap());
    let writing = Writing {
        data_dir: path("POWER_ROOT").join("data"),
        traces: path("POWER_TRACE"),
        notes: path("POWER_NOTES"),
        seed: words[0].parse().unwrap(),
        commits: words[1].parse().unwrap(),
        rounds: if words[2] == "Large" { Rounds::Large } else { Rounds::Frequent },
        killed: words[3] == "Killed",
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    runtime.block_on(writing.write());
    // Those that are killed in a round do not come here.
    assert!(["Closed", "Killed"].contains(&words[3]), "there was no such round");
}

struct Writing {
    data_dir: PathBuf,
    traces: PathBuf,
    notes: PathBuf,
    seed: u64,
    commits: u64,
    rounds: Rounds,
    /// By itself, when it has written everything.
    killed: bool,
}

impl Writing {
    async fn write(self) {
        let Self { data_dir, traces, notes, seed, commits, rounds, killed } = self;
        let store = Arc::new(open_with(&data_dir, rounds).expect("the store opens"));
        let notes = Arc::new(Notes::append_to(&notes));
        let there = contents(&store).await.expect("the store can be read");
        notes.shown(Place::now(&traces), &versions(&there));
        let highest = there.iter().map(|(_, version, _)| *version).max().unwrap_or(0);
        // What was written under a higher one may have ended.
        let next = Arc::new(AtomicU64::new(highest + 10_000));
        let done = Arc::new(AtomicU64::new(0));
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            let mine = writer * 1_000_000..(writer + 1) * 1_000_000;
            let revisions: HashMap<u64, Revision> = there
                .iter()
                .filter(|(key, ..)| mine.contains(key))
                .map(|(key, _, revision)| (*key, *revision))
                .collect();
            let mut writer = Writer {
                keys: mine.start,
                store: store.clone(),
                notes: notes.clone(),
                traces: traces.clone(),
                rng: StdRng::seed_from_u64(seed ^ (writer + 1)),
                next: next.clone(),
                revisions,
                clock: SystemClock::start(),
            };
            let done = done.clone();
            writers.spawn(async move {
                while done.fetch_add(1, Ordering::Relaxed) < commits {
                    writer.commit().await;
                }
                if killed {
                    kill_process(getpid(), Signal::KILL).expect("the end");
                }
            });
        }
        writers.join_all().await;
        store.close().await.expect("closed in order");
    }
}

struct Writer {
    /// The first of its keys.
    keys: u64,
    store: Arc<EmbeddedStore>,
    notes: Arc<Notes>,
    traces: PathBuf,
    rng: StdRng,
    /// Versions are never used twice.
    next: Arc<AtomicU64>,
    revisions: HashMap<u64, Revision>,
    clock: SystemClock,
}

impl Writer {
    async fn commit(&mut self) {
        let wanted = if self.rng.random_bool(0.1) { 200 } else { self.rng.random_range(1..30) };
        let mut keys: Vec<u64> =
            (0..wanted).map(|_| self.keys + self.rng.random_range(0..KEYS_PER_WRITER)).collect();
        keys.sort_unstable();
        keys.dedup();
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let versions: Vec<Version> =
            keys.iter().map(|key| (*key, (!self.rng.random_bool(0.15)).then_some(id))).collect();
        self.notes.asked(id, Place::now(&self.traces), &versions);
        let writes = versions.iter().map(|(key, version)| self.write_of(*key, *version)).collect();
        let outcomes = self.store.cas(writes, LONG).await.expect("written");
        self.notes.answered(id, Place::now(&self.traces));
        for ((key, _), outcome) in versions.iter().zip(outcomes) {
            let Outcome::Applied(revision) = outcome else { panic!("{outcome:?}") };
            self.revisions.insert(*key, revision);
        }
        tokio::task::yield_now().await;
    }

    fn write_of(&self, key: u64, version: Option<u64>) -> Write {
        Write {
            key: Key { kind: Kind::Number, service: ServiceId::new(1), subject: Subject(key) },
            expect: self.revisions.get(&key).copied().unwrap_or(Revision::ABSENT),
            put: version.map(|version| value(key, version)),
            gc_after: match version {
                Some(version) if ends(key, version) => {
                    let lives = SHORTEST_LIFE * u32::try_from(1 + key % 8).expect("a few");
                    self.clock.now().plus(lives)
                }
                _ => Timestamp::from_millis(u64::MAX / 2),
            },
        }
    }
}
