//! Tests of the whole embedded store. The helpers come first, because the other files share them.

mod checkpoints;
mod commits;
mod disk_trouble;
mod durability;
mod faulty;
mod model;
mod readers;
mod sled_trouble;
mod start;
mod torn;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use onceward_core::clock::{Clock as _, EngineClock, ManualClock};
use onceward_core::domain::Timestamp;
use parking_lot::Mutex;
use rustix::io::Errno;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use super::directory::Operation;
use super::{EmbeddedStore, LiveRecords, OpenOptions};
use crate::{Key, RecordStream, Store, StoreError, Write};
use faulty::{FaultyDisk, HANGS_AFTER};

/// Longer than any test waits, unless something hangs.
const LONG: Duration = Duration::from_secs(3600);

const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// The content of a store: the text under each number.
type Contents = BTreeMap<u64, String>;

/// A store in its own directory, an owner of its records, and the expected contents.
struct World {
    runtime: Runtime,
    clock: Arc<ManualClock>,
    disk: FaultyDisk,
    home: TempDir,
    options: OpenOptions,
    store: Option<EmbeddedStore>,
    owner: Arc<TestOwner>,
    expected: Contents,
}

impl World {
    fn new() -> Self {
        Self::with_sizes(64 * 1024, 1024 * 1024)
    }

    fn with_one_record() -> Self {
        let mut world = Self::new();
        world.put(1, "one");
        world
    }

    /// Sets the size of segments, and the bytes after which a checkpoint begins.
    fn with_sizes(segment_bytes: u64, checkpoint_bytes: u64) -> Self {
        let home = TempDir::new().unwrap();
        let clock = Arc::new(ManualClock::starting_at(START));
        let decisions = EngineClock::over(clock.clone());
        let mut options = OpenOptions::new(home.path().join("data"), [7; 16], decisions);
        (options.segment_bytes, options.checkpoint_bytes) = (segment_bytes, checkpoint_bytes);
        // The snapshots of most tests have several databases.
        options.database_bytes = 8 * 1024;
        (options.pause, options.tick) = (Duration::ZERO, LONG);
        let mut world = Self {
            runtime: Builder::new_current_thread().enable_time().build().unwrap(),
            clock,
            disk: FaultyDisk::default(),
            home,
            options,
            store: None,
            owner: Arc::default(),
            expected: Contents::new(),
        };
        world.open();
        world
    }

    fn dir(&self) -> PathBuf {
        self.options.dir.clone()
    }

    fn options(&self, dir: &Path) -> OpenOptions {
        OpenOptions { dir: dir.to_owned(), ..self.options.clone() }
    }

    /// Opens the store, restores the owner, and attaches it.
    fn open(&mut self) {
        let store = EmbeddedStore::open_on(&self.options, self.disk.disk()).unwrap();
        *self.owner.records.lock() = self.restored(&store);
        let owner = self.owner.clone();
        store.attach(Box::new(move |to| owner.stream(to)));
        self.store = Some(store);
    }

    /// Opens the store again. It looks so often at what may hang or is due.
    fn looks_every(&mut self, tick: Duration) {
        self.close().unwrap();
        self.options.tick = tick;
        self.open();
    }

    fn store(&self) -> &EmbeddedStore {
        self.store.as_ref().unwrap()
    }

    /// Commits one batch; the answer comes later.
    fn submit<S: AsRef<str>>(&self, changes: &[(u64, Option<S>)]) -> Receiver<Result<(), StoreError>> {
        let copied = |text: &Option<S>| text.as_ref().map(|text| text.as_ref().to_owned());
        let changes: Vec<_> = changes.iter().map(|(number, text)| (*number, copied(text))).collect();
        let writes = changes.iter().map(|(number, text)| write(*number, text.as_deref())).collect();
        let (to, answer) = mpsc::channel();
        let owner = self.owner.clone();
        let done = move |result: Result<(), StoreError>| {
            if result.is_ok() {
                apply(&mut owner.records.lock(), &changes);
            }
            let _ = to.send(result);
        };
        self.store().commit(writes, Box::new(done));
        answer
    }

    /// Commits one batch; on success the world expects it to last.
    fn batch<S: AsRef<str>>(&mut self, changes: &[(u64, Option<S>)]) -> Result<(), StoreError> {
        self.submit(changes).recv_timeout(HANGS_AFTER).expect("an answer")?;
        apply(&mut self.expected, changes);
        Ok(())
    }

    fn put(&mut self, number: u64, text: &str) {
        self.batch(&[(number, Some(text))]).unwrap();
    }

    fn put_many(&mut self) {
        let many: Vec<_> = (0..500).map(|number| (number, Some("text"))).collect();
        self.batch(&many).unwrap();
    }

    fn remove(&mut self, number: u64) {
        self.batch(&[(number, None::<&str>)]).unwrap();
    }

    /// Takes a checkpoint. After success also waits for the next reserved segment.
    fn checkpoint(&self) -> Result<(), StoreError> {
        let ended = async { tokio::time::timeout(HANGS_AFTER, self.store().checkpoint()).await };
        self.runtime.block_on(ended).expect("the checkpoint hangs")?;
        until(|| (segments(&self.dir()).len() > 1).then_some(()));
        Ok(())
    }

    fn close(&mut self) -> Result<(), StoreError> {
        let store = self.store.take().unwrap();
        self.runtime.block_on(store.close())
    }

    /// Ends the process at once and starts it again.
    fn crash_and_open(&mut self) {
        self.begin_with(&copy_of(&self.dir()));
    }

    /// The same, and fails unless everything is there.
    fn crash_and_check(&mut self) {
        self.crash_and_open();
        self.assert_as_expected();
    }

    /// Continues with the state that a crash left.
    fn begin_with(&mut self, crashed: &TempDir) {
        self.abandon();
        fs::remove_dir_all(self.dir()).unwrap();
        fs::rename(crashed.path(), self.dir()).unwrap();
        self.open();
    }

    /// Ends the threads of the store without closing it.
    fn abandon(&mut self) {
        drop(self.store.take());
        wait_until_free(&self.dir());
    }

    fn restored(&self, store: &EmbeddedStore) -> Contents {
        let seen = Arc::new(Mutex::new(Contents::new()));
        let visitor = seen.clone();
        let visit = move |key, _, record: &[u8]| {
            see(&mut visitor.lock(), key, record);
            Ok(())
        };
        self.runtime.block_on(store.restore(Box::new(visit))).unwrap();
        let seen = seen.lock();
        seen.clone()
    }

    /// The content that a start with a copy of the data directory finds.
    fn contents_after_crash(&self, copy: &TempDir) -> Result<Contents, StoreError> {
        let store = EmbeddedStore::open(&self.options(copy.path()))?;
        let contents = self.restored(&store);
        self.runtime.block_on(store.close()).unwrap();
        Ok(contents)
    }

    /// Fails unless a crash at this moment would lose nothing.
    fn assert_crash_safe(&self, what: &str) {
        let found = self.contents_after_crash(&copy_of(&self.dir()));
        assert_eq!(found.unwrap(), self.expected, "{what}");
    }

    /// Fails unless a reader of the directory finds what is expected.
    fn assert_as_expected(&self) {
        assert_eq!(read(&self.dir(), self.clock.now()), self.expected);
    }
}

/// Owns all records of a world.
#[derive(Default)]
struct TestOwner {
    records: Mutex<Contents>,
    /// The owner ignores its stream.
    is_silent: AtomicBool,
    kept: Mutex<Vec<RecordStream>>,
}

impl TestOwner {
    /// The ignored stream.
    async fn kept_stream(&self) -> RecordStream {
        loop {
            let kept = self.kept.lock().pop();
            if let Some(stream) = kept {
                return stream;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Commits a record when a checkpoint asks for the owner's records, and gives them after that.
    async fn commits_lazily(&self, store: &EmbeddedStore, number: u64) {
        let stream = self.kept_stream().await;
        let (to, answer) = tokio::sync::oneshot::channel();
        store.commit(vec![write(number, Some("lazy"))], Box::new(move |result| drop(to.send(result))));
        assert_eq!(answer.await.unwrap(), Ok(()));
        stream.send(Some(self.copies())).await.unwrap();
        stream.send(None).await.unwrap();
    }

    fn copies(&self) -> Vec<Write> {
        self.records.lock().iter().map(|(number, text)| write(*number, Some(text))).collect()
    }

    fn stream(&self, to: RecordStream) {
        if self.is_silent.load(Ordering::Relaxed) {
            return self.kept.lock().push(to);
        }
        let records = self.copies();
        thread::spawn(move || {
            for slice in records.chunks(100) {
                let _ = to.blocking_send(Some(slice.to_vec()));
            }
            let _ = to.blocking_send(None);
        });
    }
}

fn apply<S: AsRef<str>>(contents: &mut Contents, changes: &[(u64, Option<S>)]) {
    for (number, text) in changes {
        match text {
            Some(text) => drop(contents.insert(*number, text.as_ref().to_owned())),
            None => drop(contents.remove(number)),
        }
    }
}

/// Notes a record, which must be a new one.
fn see(contents: &mut Contents, key: Key, record: &[u8]) {
    let text = String::from_utf8(record.to_vec()).unwrap();
    assert_eq!(contents.insert(number(key), text), None, "a record was visited twice");
}

/// What a reader of a directory finds.
fn read(dir: &Path, now: Timestamp) -> Contents {
    contents_of(LiveRecords::read(dir).unwrap().unwrap().1, now)
}

fn contents_of(records: LiveRecords, now: Timestamp) -> Contents {
    let mut contents = Contents::new();
    let visit = &mut |key, _, record: &[u8]| {
        see(&mut contents, key, record);
        Ok::<_, StoreError>(())
    };
    records.each(now, visit).unwrap();
    contents
}

fn key(number: u64) -> Key {
    let mut id = [0; 12];
    id[4..].copy_from_slice(&number.to_be_bytes());
    Key { slot: number.to_le_bytes()[0], kind: 1, id }
}

fn number(key: Key) -> u64 {
    u64::from_be_bytes(key.id[4..].try_into().unwrap())
}

fn write(number: u64, text: Option<&str>) -> Write {
    let put = text.map(|text| Bytes::copy_from_slice(text.as_bytes()));
    Write { key: key(number), put, expires: START.plus(LONG) }
}

/// Commits a batch, which becomes durable.
fn commit(store: &EmbeddedStore, writes: Vec<Write>) {
    let (to, done) = mpsc::channel();
    store.commit(writes, Box::new(move |result| to.send(result).unwrap()));
    done.recv_timeout(HANGS_AFTER).expect("an answer").unwrap();
}

/// Looks again until there is something, and fails if nothing comes.
fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let looks = std::iter::repeat_with(|| {
        thread::sleep(Duration::from_millis(1));
        look()
    });
    looks.take(60_000).flatten().next().expect("something")
}

/// Waits for the threads of a store, which hold the lock of its directory until they end.
fn wait_until_free(dir: &Path) {
    fs::File::open(dir).unwrap().lock().unwrap();
}

/// A copy of a data directory, as a crash at this moment would leave it.
fn copy_of(dir: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    copy_into(dir, copy.path());
    copy
}

fn copy_into(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    // A checkpoint may remove any file at any time.
    for entry in fs::read_dir(from).into_iter().flatten().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_into(&entry.path(), &target);
        } else {
            let _ = fs::copy(entry.path(), target);
        }
    }
}

/// The segments of a data directory, oldest first.
fn segments(dir: &Path) -> Vec<PathBuf> {
    sorted(&dir.join("journal"))
}

/// The files in the directory of snapshots, in order.
fn snapshots(dir: &Path) -> Vec<String> {
    sorted(&dir.join("snapshot")).iter().map(|path| name_of(path)).collect()
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

fn sorted(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// The message of the damage that refused a start, and its place in the file.
fn damage<T: Debug>(refused: Result<T, StoreError>) -> (String, Option<u64>) {
    match refused {
        Err(StoreError::Damaged { path, at, what }) => (format!("{} {what}", path.display()), at),
        other => panic!("{other:?}"),
    }
}

fn assert_unavailable(result: &Result<(), StoreError>) {
    assert!(matches!(result, Err(StoreError::Unavailable(_))), "{result:?}");
}
