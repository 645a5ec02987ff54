//! A load on a store in its own process, which the shim watches; the store's answers, and the content that it may
//! therefore have after a power cut.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use onceward::clock::{Clock as _, EngineClock, SystemClock};
use onceward::domain::Timestamp;
use onceward::store::{EmbeddedStore, Key, OpenOptions, RecordStream, Store as _, StoreError, Write};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rustix::process::{Signal, getpid, kill_process};
use serde::{Deserialize, Serialize};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::trace::{Place, Watched};
use crate::support::prelude::*;

const WRITERS: u64 = 6;
const KEYS_PER_WRITER: u64 = 1500;

/// Some versions end this long after they were written, or up to eight times as long: some before a checkpoint, some in
/// a snapshot.
const SHORTEST_LIFE: Duration = Duration::from_millis(15);

/// A checkpoint is well under way when this much of its database is written.
const CHECKPOINT_BYTES: &str = "400000";

/// Commits between two checkpoints that a process asks for.
const COMMITS_PER_CHECKPOINT: u64 = 70;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Closed,
    Killed,
    /// While a snapshot is being written.
    KilledInCheckpoint,
    /// When the second snapshot has just got its name, before anything uses it.
    KilledAtName,
}

/// One process: opens the store, notes what it shows, writes, ends.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub seed: u64,
    pub commits: u64,
    pub end: End,
}

impl Load {
    pub fn run(self, watched: &Watched) {
        let status = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "power_loss::store_load::a_load_on_a_store", "--nocapture"])
            .envs(watched.environment())
            .env("POWER_LOAD", format!("{} {} {:?}", self.seed, self.commits, self.end))
            .env("POWER_NOTES", watched.promises())
            .envs(match self.end {
                End::Closed | End::Killed => None,
                End::KilledInCheckpoint => Some(("POWER_KILL_IN_SNAPSHOT", CHECKPOINT_BYTES)),
                End::KilledAtName => Some(("POWER_KILL_AT_SNAPSHOT", "2")),
            })
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .expect("this program again");
        let expected = (self.end == End::Closed).then_some(0);
        assert_eq!(status.code(), expected, "the load ended with {status}");
    }
}

/// Opens the store with small segments and frequent checkpoints.
pub fn open(data_dir: &Path) -> Result<EmbeddedStore, StoreError> {
    let clock = EngineClock::over(Arc::new(SystemClock::start()));
    let mut options = OpenOptions::new(data_dir, [7; 16], clock);
    options.segment_bytes = 48 * 1024;
    options.checkpoint_bytes = 1024 * 1024;
    EmbeddedStore::open(&options)
}

pub async fn contents(store: &EmbeddedStore) -> Result<Vec<Version>, String> {
    Ok(HeldRecords::restored_from(store).await?.versions())
}

/// The restored records of a store, and the commits since.
#[derive(Default)]
struct HeldRecords(Mutex<HashMap<Key, (Bytes, Timestamp)>>);

impl HeldRecords {
    async fn restored_from(store: &EmbeddedStore) -> Result<Arc<Self>, String> {
        let held = Arc::new(Self::default());
        let visited = held.clone();
        let visit = Box::new(move |key: Key, expires, record: &[u8]| {
            visited.apply([Write { key, put: Some(Bytes::copy_from_slice(record)), expires }]);
            Ok(())
        });
        store.restore(visit).await.map_err(|error| error.to_string())?;
        Ok(held)
    }

    fn apply(&self, writes: impl IntoIterator<Item = Write>) {
        let mut records = self.0.lock().unwrap();
        for Write { key, put, expires } in writes {
            match put {
                Some(record) => drop(records.insert(key, (record, expires))),
                None => drop(records.remove(&key)),
            }
        }
    }

    fn versions(&self) -> Vec<Version> {
        let version = |(key, (record, _)): (&Key, &(Bytes, Timestamp))| {
            let name = u64::from_be_bytes(key.id[4..].try_into().expect("8 bytes"));
            (name, Some(version_in(name, record)))
        };
        self.0.lock().unwrap().iter().map(version).collect()
    }

    /// Gives all to a checkpoint.
    fn stream(&self, to: RecordStream) {
        let records = self.0.lock().unwrap().clone();
        let write = |(key, (record, expires))| Write { key, put: Some(record), expires };
        let all: Vec<Write> = records.into_iter().map(write).collect();
        let give = async move {
            for slice in all.chunks(200) {
                if to.send(Some(slice.to_vec())).await.is_err() {
                    return;
                }
            }
            let _ = to.send(None).await;
        };
        std::thread::spawn(|| Builder::new_current_thread().build().expect("a runtime").block_on(give));
    }
}

fn key_of(subject: u64) -> Key {
    let mut id = [0; 12];
    id[4..].copy_from_slice(&subject.to_be_bytes());
    Key { slot: subject.to_be_bytes()[7], kind: 1, id }
}

fn value(key: u64, version: u64) -> Bytes {
    let mut bytes = version.to_be_bytes().to_vec();
    let length = if version.is_multiple_of(97) { 3000 } else { 12 + (key + version) % 70 };
    bytes.extend((0..length).map(|i| u8::try_from((key + version + i) % 251).unwrap()));
    bytes.into()
}

pub fn ends(key: u64, version: u64) -> bool {
    (key + version).is_multiple_of(3)
}

/// The version that these bytes belong to; 0 if they were never written.
fn version_in(key: u64, bytes: &[u8]) -> u64 {
    let version = bytes.first_chunk().map_or(0, |version| u64::from_be_bytes(*version));
    if value(key, version) == bytes { version } else { 0 }
}

/// Other tests start this in a process. By itself it does nothing.
#[test]
fn a_load_on_a_store() {
    let Ok(load) = std::env::var("POWER_LOAD") else { return };
    let [seed, commits, end] = load.split(' ').collect::<Vec<_>>()[..] else { panic!("{load}") };
    let writing = write(seed.parse().unwrap(), commits.parse().unwrap(), end == "Killed");
    let mut runtime = Builder::new_multi_thread();
    runtime.worker_threads(2).enable_time().build().unwrap().block_on(writing);
    // A process that is killed in a checkpoint does not get here.
    assert!(["Closed", "Killed"].contains(&end), "there was no such checkpoint");
}

/// Writers write until there are enough commits. `killed`: then the process kills itself.
async fn write(seed: u64, commits: u64, killed: bool) {
    let path = |name: &str| PathBuf::from(std::env::var_os(name).unwrap());
    let (traces, notes) = (path("POWER_TRACE"), path("POWER_NOTES"));
    let store = open(&path("POWER_ROOT").join("data")).expect("the store opens");
    let records = HeldRecords::restored_from(&store).await.expect("the store can be read");
    let owner = records.clone();
    store.attach(Box::new(move |to| owner.stream(to)));
    let there = records.versions();
    let highest = there.iter().filter_map(|(_, version)| *version).max().unwrap_or(0);
    Note::Shown { at: Place::now(&traces), versions: there }.append_to(&notes);
    // Versions above `highest` may have been written and have ended.
    let (next, done) = (AtomicU64::new(highest + 10_000), AtomicU64::new(0));
    let load = Arc::new(Writing { store, notes, traces, next, done, records, clock: SystemClock::start() });
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let mut rng = StdRng::seed_from_u64(seed ^ (writer + 1));
        let load = load.clone();
        writers.spawn(async move {
            loop {
                let number = load.done.fetch_add(1, Ordering::Relaxed);
                if number >= commits {
                    break;
                }
                load.commit(writer * 1_000_000, &mut rng).await;
                if number % COMMITS_PER_CHECKPOINT == COMMITS_PER_CHECKPOINT - 1 {
                    load.store.checkpoint().await.expect("a checkpoint");
                }
            }
            if killed {
                kill_process(getpid(), Signal::KILL).expect("the end");
            }
        });
    }
    writers.join_all().await;
    load.store.close().await.expect("closed in order");
}

/// What all writers of a process share.
struct Writing {
    store: EmbeddedStore,
    notes: PathBuf,
    traces: PathBuf,
    /// Versions are never used twice.
    next: AtomicU64,
    /// Commits that were begun.
    done: AtomicU64,
    records: Arc<HeldRecords>,
    clock: SystemClock,
}

impl Writing {
    /// Commits some of the keys that begin with this one.
    async fn commit(&self, first: u64, rng: &mut StdRng) {
        let wanted = if rng.random_bool(0.1) { 200 } else { rng.random_range(1..30) };
        let mut keys: Vec<u64> = (0..wanted).map(|_| first + rng.random_range(0..KEYS_PER_WRITER)).collect();
        keys.sort_unstable();
        keys.dedup();
        let write = self.next.fetch_add(1, Ordering::Relaxed);
        let version = |key| (key, (!rng.random_bool(0.15)).then_some(write));
        let versions: Vec<Version> = keys.into_iter().map(version).collect();
        let writes: Vec<Write> =
            versions.iter().map(|(key, version)| self.write_of(*key, *version)).collect();
        Note::Asked { write, at: Place::now(&self.traces), versions }.append_to(&self.notes);
        let (to, answer) = oneshot::channel();
        let (records, durable) = (self.records.clone(), writes.clone());
        let done = move |result: Result<(), StoreError>| {
            result.expect("written");
            records.apply(durable);
            let _ = to.send(());
        };
        self.store.commit(writes, Box::new(done));
        answer.await.expect("an answer");
        Note::Answered { write, at: Place::now(&self.traces) }.append_to(&self.notes);
        tokio::task::yield_now().await;
    }

    fn write_of(&self, key: u64, version: Option<u64>) -> Write {
        let expires = match version {
            Some(version) if ends(key, version) => {
                let lives = SHORTEST_LIFE * u32::try_from(1 + key % 8).expect("a few");
                self.clock.now().plus(lives)
            }
            _ => Timestamp::from_millis(u64::MAX / 2),
        };
        Write { key: key_of(key), put: version.map(|version| value(key, version)), expires }
    }
}

/// A key and its version; `None` if it was removed.
pub type Version = (u64, Option<u64>);

#[derive(Debug, Serialize, Deserialize)]
pub enum Note {
    /// The load gives these to the store.
    Asked { write: u64, at: Place, versions: Vec<Version> },
    /// The store said that they are durable.
    Answered { write: u64, at: Place },
    /// A store showed these when it opened, and nothing else.
    Shown { at: Place, versions: Vec<Version> },
}

impl Note {
    /// It is in the file before the load continues.
    fn append_to(&self, path: &Path) {
        let line = serde_json::to_string(self).expect("text") + "\n";
        let file = File::options().append(true).open(path);
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("noted");
    }
}

#[derive(Debug)]
pub struct Promises {
    notes: Vec<Note>,
    /// When the writes were answered, by the index of the note about the write.
    answered: HashMap<usize, Place>,
}

impl Promises {
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).expect("notes");
        // A kill may cut the last line short.
        let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let notes: Vec<Note> = lines.map(|line| serde_json::from_str(line).expect("a note")).collect();
        let (mut asked, mut answered) = (HashMap::new(), HashMap::new());
        for (index, note) in notes.iter().enumerate() {
            match note {
                // A process may use the numbers of one that was killed before.
                Note::Asked { write, .. } => drop(asked.insert(write, index)),
                Note::Answered { write, at } => drop(answered.insert(asked[write], *at)),
                Note::Shown { .. } => {}
            }
        }
        Self { notes, answered }
    }

    /// The content that may exist after a cut at this place.
    pub fn at(&self, cut: Place) -> Possible {
        let mut possible = BTreeMap::<u64, Vec<Option<u64>>>::new();
        for (index, note) in self.notes.iter().enumerate() {
            match note {
                Note::Asked { at, versions, .. } if *at <= cut => {
                    let sure = self.answered.get(&index).is_some_and(|at| *at <= cut);
                    for (key, version) in versions {
                        let of_key = possible.entry(*key).or_insert_with(|| vec![None]);
                        if sure {
                            of_key.clear();
                        }
                        of_key.push(*version);
                    }
                }
                Note::Shown { at, versions } if *at <= cut => {
                    Possible(possible).allows(versions).expect("what a store shows when it opens");
                    possible = versions.iter().map(|(key, version)| (*key, vec![*version])).collect();
                }
                _ => {}
            }
        }
        Possible(possible)
    }
}

/// The possible versions of each key; other keys have none. A version that ends may be gone, but an earlier one may not
/// come back.
#[derive(Debug, Default, Clone)]
pub struct Possible(BTreeMap<u64, Vec<Option<u64>>>);

impl Possible {
    /// Checks that these are possible; the error says what is wrong.
    pub fn allows(&self, found: &[Version]) -> Result<(), String> {
        let found: BTreeMap<u64, Option<u64>> = found.iter().copied().collect();
        let wrong = |key: &u64, version: Option<u64>| {
            let allowed = self.0.get(key).cloned().unwrap_or_else(|| vec![None]);
            let ended = version.is_none() && allowed.iter().flatten().any(|version| ends(*key, *version));
            (!ended && !allowed.contains(&version))
                .then(|| format!("key {key}: {version:?} is there, not one of {allowed:?}"))
        };
        let of_found = found.iter().filter_map(|(key, version)| wrong(key, *version));
        let missing = self.0.keys().filter(|key| !found.contains_key(key)).filter_map(|key| wrong(key, None));
        let all: Vec<String> = of_found.chain(missing).collect();
        if all.is_empty() { Ok(()) } else { Err(format!("{} wrong, such as {}", all.len(), all[0])) }
    }
}
