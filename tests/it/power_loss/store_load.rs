//! A load on a store in a process of its own, which the shim watches.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use onceward::clock::SystemClock;
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

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Closed,
    Killed,
}

/// One process: opens the store, notes what it shows, writes, ends.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub seed: u64,
    pub commits: u64,
    pub end: End,
}

impl Load {
    /// Runs it.
    pub fn run(self, watched: &Watched) {
        let status = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "power_loss::store_load::a_load_on_a_store", "--nocapture"])
            .envs(watched.environment())
            .env("POWER_LOAD", format!("{} {} {}", self.seed, self.commits, self.end == End::Killed))
            .env("POWER_NOTES", watched.promises())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .expect("this program again");
        assert!(self.ended_as_wanted(status), "the load ended with {status}");
    }

    fn ended_as_wanted(self, status: ExitStatus) -> bool {
        (self.end == End::Closed && status.success()) || (self.end == End::Killed && status.code().is_none())
    }
}

/// The store in this directory, with small segments and frequent rounds, so that much happens.
pub fn open(data_dir: &Path) -> Result<EmbeddedStore, OpenError> {
    let mut options = OpenOptions::new(data_dir, [7; 16], Arc::new(SystemClock::start()));
    options.segment_bytes = 48 * 1024;
    options.round_every = Duration::from_millis(40);
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
    let (seed, commits) = (words[0].parse().unwrap(), words[1].parse().unwrap());
    let path = |name: &str| PathBuf::from(std::env::var_os(name).unwrap());
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let data_dir = path("POWER_ROOT").join("data");
    runtime.block_on(write(
        data_dir,
        path("POWER_TRACE"),
        path("POWER_NOTES"),
        seed,
        commits,
        words[2] == "true",
    ));
}

async fn write(data_dir: PathBuf, traces: PathBuf, notes: PathBuf, seed: u64, commits: u64, killed: bool) {
    let store = Arc::new(open(&data_dir).expect("the store opens"));
    let notes = Arc::new(Notes::append_to(&notes));
    let there = contents(&store).await.expect("the store can be read");
    notes.shown(Place::now(&traces), &versions(&there));
    let next = Arc::new(AtomicU64::new(1 + there.iter().map(|(_, version, _)| *version).max().unwrap_or(0)));
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
            gc_after: Timestamp::from_millis(u64::MAX / 2),
        }
    }
}
