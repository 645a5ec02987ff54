//! Tests of the embedded store as a whole. Helpers first here, because the files beside this one
//! share them.

mod commits;
mod copies;
mod disk_trouble;
mod durability;
mod endings;
mod first_round;
mod layers;
mod merging;
mod model;
mod rounds;
mod start;
mod torn;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use super::super::{Key, Kind, Outcome, Revision, Store, StoreError, Subject, Write};
use super::message::Message;
use super::{EmbeddedStore, OpenError, OpenOptions};
use onceward_core::clock::ManualClock;
use onceward_core::domain::{ServiceId, Timestamp};

mod faulty;
pub(super) mod log;

use faulty::{FaultyDisk, HANGS_AFTER};

/// Long enough that no test waits for it, unless something hangs.
const LONG: Duration = Duration::from_secs(600);

/// When the tests' clock begins.
const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// What a store contains: the text under each subject.
type Contents = BTreeMap<u64, String>;

/// One store in a directory of its own, and the contents it must have.
struct World {
    runtime: Runtime,
    clock: Arc<ManualClock>,
    disk: FaultyDisk,
    segment_bytes: u64,
    home: TempDir,
    store: Option<EmbeddedStore>,
    expected: Contents,
    revisions: BTreeMap<u64, Revision>,
}

impl World {
    fn new() -> Self {
        Self::with_segments_of(64 * 1024)
    }

    fn with_segments_of(segment_bytes: u64) -> Self {
        let mut world = Self {
            runtime: Builder::new_current_thread().enable_time().build().unwrap(),
            clock: Arc::new(ManualClock::starting_at(START)),
            disk: FaultyDisk::default(),
            segment_bytes,
            home: TempDir::new().unwrap(),
            store: None,
            expected: Contents::new(),
            revisions: BTreeMap::new(),
        };
        world.open();
        world
    }

    /// The data directory.
    fn dir(&self) -> PathBuf {
        self.home.path().join("data")
    }

    fn options(&self, dir: &Path) -> OpenOptions {
        let mut options = OpenOptions::new(dir, [7; 16], self.clock.clone());
        options.segment_bytes = self.segment_bytes;
        // Rounds happen when a test asks for one.
        options.round_every = LONG;
        options
    }

    fn open(&mut self) {
        let disk = Arc::new(self.disk.clone());
        self.store = Some(EmbeddedStore::open_on(&self.options(&self.dir()), disk).unwrap());
    }

    fn store(&self) -> &EmbeddedStore {
        self.store.as_ref().unwrap()
    }

    /// One batch; on success the world expects it to last.
    fn batch(&mut self, changes: &[(u64, Option<&str>)]) -> Result<(), StoreError> {
        let writes: Vec<Write> = changes.iter().map(|(subject, text)| self.write(*subject, *text)).collect();
        let outcomes = self.runtime.block_on(self.store().cas(writes, LONG))?;
        for ((subject, text), outcome) in changes.iter().zip(outcomes) {
            let Outcome::Applied(revision) = outcome else { panic!("a conflict: {outcome:?}") };
            self.acknowledged(*subject, *text, revision);
        }
        Ok(())
    }

    fn acknowledged(&mut self, subject: u64, text: Option<&str>, revision: Revision) {
        if let Some(text) = text {
            self.expected.insert(subject, text.to_owned());
            self.revisions.insert(subject, revision);
        } else {
            assert_eq!(revision, Revision::ABSENT);
            self.expected.remove(&subject);
            self.revisions.remove(&subject);
        }
    }

    fn write(&self, subject: u64, text: Option<&str>) -> Write {
        let expect = self.revisions.get(&subject).copied().unwrap_or(Revision::ABSENT);
        write(subject, expect, text)
    }

    fn put(&mut self, subject: u64, text: &str) {
        self.batch(&[(subject, Some(text))]).unwrap();
    }

    fn remove(&mut self, subject: u64) {
        self.batch(&[(subject, None)]).unwrap();
    }

    /// A snapshot round, from beginning to end, with everything written before.
    fn round(&self) -> Result<(), String> {
        let (reply, ended) = oneshot::channel();
        self.tell(Message::Tick(Some(reply)));
        let ended = async { tokio::time::timeout(HANGS_AFTER, ended).await.expect("the round hangs") };
        self.runtime.block_on(ended).unwrap()
    }

    fn tell(&self, message: Message) {
        assert!(self.store().writer.send(message).is_ok(), "the journal's thread has ended");
    }

    fn close(&mut self) -> Result<(), StoreError> {
        let store = self.store.take().unwrap();
        self.runtime.block_on(store.close())
    }

    /// The process ends at once, and begins again.
    fn crash_and_open(&mut self) {
        let copy = self.copy();
        self.abandon();
        fs::remove_dir_all(self.dir()).unwrap();
        fs::rename(copy.path().join("data"), self.dir()).unwrap();
        self.open();
    }

    /// Ends the threads of the store without closing it.
    fn abandon(&mut self) {
        drop(self.store.take());
        // Whoever gets the lock knows that they have ended.
        let lock = fs::File::open(self.dir().join("lock")).unwrap();
        lock.lock().unwrap();
    }

    /// The data directory as a crash at this moment would leave it.
    fn copy(&self) -> TempDir {
        copy_of(&self.dir())
    }

    fn contents(&self) -> Contents {
        self.contents_of(self.store())
    }

    fn contents_of(&self, store: &EmbeddedStore) -> Contents {
        self.try_contents_of(store).unwrap()
    }

    fn try_contents_of(&self, store: &EmbeddedStore) -> Result<Contents, StoreError> {
        let seen = Arc::new(Mutex::new(Contents::new()));
        let visitor = seen.clone();
        let visit = Box::new(move |key: Key, revision: Revision, record: &[u8]| {
            assert_ne!(revision, Revision::ABSENT);
            let text = String::from_utf8(record.to_vec()).unwrap();
            let before = visitor.lock().unwrap().insert(key.subject.0, text);
            assert_eq!(before, None, "a record was visited twice");
        });
        self.runtime.block_on(store.scan(Kind::Number, visit))?;
        let seen = seen.lock().unwrap();
        Ok(seen.clone())
    }

    /// What a start with a copy of the data directory finds.
    fn contents_after_crash(&self, copy: &TempDir) -> Result<Contents, OpenError> {
        let store = EmbeddedStore::open(self.options(&copy.path().join("data")))?;
        let contents = self.contents_of(&store);
        self.runtime.block_on(store.close()).unwrap();
        Ok(contents)
    }

    /// Returns when that is so.
    fn until(&self, otherwise: &str, is_so: impl Fn() -> bool) {
        let polled = async {
            while !is_so() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let in_time = async { tokio::time::timeout(HANGS_AFTER, polled).await };
        assert!(self.runtime.block_on(in_time).is_ok(), "{otherwise}");
    }

    fn assert_as_expected(&self) {
        assert_eq!(self.contents(), self.expected);
    }
}

fn key(subject: u64) -> Key {
    Key { kind: Kind::Number, service: ServiceId::DEFAULT, subject: Subject(subject) }
}

fn write(subject: u64, expect: Revision, text: Option<&str>) -> Write {
    let put = text.map(|text| Bytes::copy_from_slice(text.as_bytes()));
    Write { key: key(subject), expect, put, gc_after: START.plus(LONG) }
}

/// A copy of a data directory, in `data` within a new directory.
fn copy_of(dir: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    copy_into(dir, &copy.path().join("data"));
    copy
}

fn copy_into(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_into(&entry.path(), &target);
        } else if entry.file_name() != "lock" {
            // A round may remove a file at any time.
            match fs::copy(entry.path(), target) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                result => drop(result.unwrap()),
            }
        }
    }
}

/// The segments of a data directory, oldest first.
fn segments(dir: &Path) -> Vec<PathBuf> {
    sorted(&dir.join("journal"))
}

/// The layers of a data directory, oldest first.
fn layers(dir: &Path) -> Vec<PathBuf> {
    sorted(&dir.join("snapshot"))
}

fn sorted(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// How many entries the snapshot has.
fn entries(world: &World) -> u64 {
    world.store().snapshot.entries()
}
