//! The real store in its own process: its disk can fail, a test can kill it, and it takes checkpoints as often as a
//! test needs. The process is this test binary, which runs the one test below.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Instant;

use bytes::Bytes;
use onceward::clock::SystemClock;
use onceward::domain::Timestamp;
use onceward::store::{EmbeddedStore, Key, OpenOptions, Store, Write};
use tempfile::TempDir;

use crate::support::prelude::*;

/// The directory of the store, for the process that runs it.
const DIRECTORY: &str = "ONCEWARD_TEST_STORE";

/// Prefix of the driven process's lines; the test runner prints the others.
const MARK: &str = ">> ";

/// Longer than the answer of a slow machine.
const HANGS_AFTER: Duration = Duration::from_secs(300);

const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

const CHECKPOINT_EVERY: Duration = Duration::from_millis(20);

/// The content of a store: the text under each subject.
pub type Contents = BTreeMap<u64, String>;

#[test]
fn a_store_that_another_process_drives() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    let mut options = options(Path::new(&directory));
    options.settings.segment_bytes = 16 * 1024;
    options.settings.checkpoint_bytes = 256 * 1024;
    options.settings.pause = Duration::ZERO;
    let store = EmbeddedStore::open(&options).map_err(|error| error.to_string());
    let opened = store.and_then(|store| {
        let held = runtime.block_on(HeldRecords::attached_to(&store))?;
        Ok((Arc::new(store), held))
    });
    let (store, held) = match opened {
        Ok(opened) => opened,
        Err(error) => return println!("\n{MARK}refused {error}"),
    };
    let checkpoints = runtime.spawn(checkpoints(store.clone()));
    println!("\n{MARK}open");
    for line in std::io::stdin().lines() {
        let line = line.expect("a line");
        let answer = match line.split(' ').collect::<Vec<_>>()[..] {
            ["put", subject, text] => runtime.block_on(put(&store, &held, subject, Some(text))),
            ["remove", subject] => runtime.block_on(put(&store, &held, subject, None)),
            ["health"] => store.health().err().unwrap_or_else(|| "well".to_owned()),
            ["close"] => {
                checkpoints.abort();
                runtime.block_on(store.close()).map_or_else(|e| e.to_string(), |()| "closed".to_owned())
            }
            _ => panic!("{line}"),
        };
        println!("{MARK}{answer}");
    }
}

/// Takes checkpoints one after the other, whether they fail or not.
async fn checkpoints(store: Arc<EmbeddedStore>) {
    loop {
        tokio::time::sleep(CHECKPOINT_EVERY).await;
        let _ = store.checkpoint().await;
    }
}

async fn put(store: &EmbeddedStore, held: &Arc<HeldRecords>, subject: &str, text: Option<&str>) -> String {
    let put = text.map(|text| Bytes::copy_from_slice(text.as_bytes()));
    let key = key_of(subject.parse().expect("a number"));
    let write = Write { key, put, expires: Timestamp::from_millis(u64::MAX) };
    match tokio::time::timeout(ANSWERS_WITHIN, commit(store, held, vec![write])).await {
        Ok(Ok(Ok(()))) => "durable".to_owned(),
        Ok(Ok(Err(error))) => error.to_string(),
        Ok(Err(_)) => "the store never said".to_owned(),
        Err(_) => format!("the store did not answer within {ANSWERS_WITHIN:?}"),
    }
}

fn options(directory: &Path) -> OpenOptions {
    OpenOptions::new(directory, [7; 16], Arc::new(SystemClock::start()))
}

/// Returns the content that a start on a healthy disk finds.
pub fn contents_of(directory: &Path) -> Result<Contents, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut options = options(directory);
    // Space for two is reserved; these few records need no more.
    options.settings.segment_bytes = 64 * 1024;
    options.settings.pause = Duration::ZERO;
    let store = EmbeddedStore::open(&options).map_err(|error| error.to_string())?;
    let held = runtime.block_on(HeldRecords::attached_to(&store));
    runtime.block_on(store.close()).map_err(|error| error.to_string())?;
    let text = |(key, record, _): &(Key, Bytes, Timestamp)| {
        (subject_of(key), String::from_utf8_lossy(record).into_owned())
    };
    Ok(held?.all().iter().map(text).collect())
}

/// A time limit, which only a broken store exceeds.
#[derive(Debug, Clone, Copy)]
pub struct Patience(Instant);

impl Patience {
    #[expect(clippy::disallowed_methods, reason = "a limit for a test that waits for another process")]
    pub fn begins() -> Self {
        Self(Instant::now())
    }

    pub fn so_far(&self) -> Duration {
        self.0.elapsed()
    }

    pub fn lasts(&self) -> bool {
        self.0.elapsed() < HANGS_AFTER
    }
}

struct Driven {
    child: Child,
    to: ChildStdin,
    answers: Receiver<String>,
}

impl Driven {
    /// Starts the process; the error says why the store did not open.
    fn open(directory: &Path, shim: &Shim) -> Result<Self, String> {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command
            .args(["--exact", "storage_trouble::driven::a_store_that_another_process_drives", "--nocapture"])
            .env(DIRECTORY, directory)
            .envs(shim.environment())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // The log contains no answers.
            .stderr(Stdio::null());
        let mut child = command.spawn().expect("this program once more");
        let (to, from) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(from).lines() {
                let line = line.expect("text");
                let answer = line.strip_prefix(MARK).map(str::to_owned);
                if answer.is_some_and(|answer| sender.send(answer).is_err()) {
                    break;
                }
            }
        });
        let driven = Self { child, to, answers };
        match driven.answer() {
            Some(answer) if answer == "open" => Ok(driven),
            answer => Err(answer.unwrap_or_else(|| "it died".to_owned())),
        }
    }

    /// `None` if the process ended.
    fn answer(&self) -> Option<String> {
        match self.answers.recv_timeout(HANGS_AFTER) {
            Ok(answer) => Some(answer),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => Some(format!("no answer within {HANGS_AFTER:?}")),
        }
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client of a store whose disk fails on command, and the results that it received.
pub struct StoreClient {
    pub shim: Shim,
    pub home: TempDir,
    pub directory: PathBuf,
    pub durable: Contents,
    /// Content that may also exist, because the store did not know.
    perhaps: BTreeSet<(u64, String)>,
    pub writes: u64,
    driven: Option<Driven>,
}

impl StoreClient {
    pub fn in_a_new_directory() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let directory = home.path().join("data");
        let (shim, durable) = (Shim::over(&directory), Contents::new());
        Self { shim, home, directory, durable, perhaps: BTreeSet::new(), writes: 0, driven: None }
    }

    /// Also opens the store.
    pub fn of_a_new_store() -> Self {
        let mut client = Self::in_a_new_directory();
        client.open().expect("a store");
        client
    }

    /// Kills the store if it runs, and starts it; the error says why it did not open.
    pub fn open(&mut self) -> Result<(), String> {
        self.kill();
        self.driven = Some(Driven::open(&self.directory, &self.shim)?);
        Ok(())
    }

    pub fn kill(&mut self) {
        self.driven = None;
    }

    pub fn ask(&mut self, question: &str) -> String {
        let driven = self.driven.as_mut().expect("an open store");
        let answer = writeln!(driven.to, "{question}").ok().and_then(|()| driven.answer());
        answer.unwrap_or_else(|| panic!("the process ended over: {question}"))
    }

    /// Writes a new text of about this length, and notes the answer.
    pub fn write(&mut self, subject: u64, bytes: usize) -> String {
        self.writes += 1;
        let text = format!("{}-{}", self.writes, "x".repeat(bytes));
        let answer = self.ask(&format!("put {subject} {text}"));
        if answer == "durable" {
            self.durable.insert(subject, text);
            self.perhaps.retain(|(other, _)| *other != subject);
        } else if !answer.starts_with("the store is unavailable") {
            self.perhaps.insert((subject, text));
        }
        answer
    }

    pub fn writes_durably(&mut self, subjects: impl IntoIterator<Item = u64>, bytes: usize) {
        for subject in subjects {
            assert_eq!(self.write(subject, bytes), "durable");
        }
    }

    pub fn until(&mut self, what: &str, mut step: impl FnMut(&mut Self) -> bool) {
        let began = Patience::begins();
        while !step(self) {
            let first = self.shim.first();
            assert!(began.lasts(), "{what}: never; failed: {first}, health: {}", self.ask("health"));
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// After the trouble the store recovers without a restart.
    pub fn recovers(&mut self, what: &str) {
        self.shim.end();
        self.until(what, |store| store.ask("health") == "well" && store.write(1000, 100) == "durable");
    }

    /// Kills the store. Then a start on a healthy disk finds what was acknowledged, and nothing that was refused.
    pub fn survives_a_kill(&mut self, what: &str) {
        self.kill();
        self.shim.end();
        let found = contents_of(&self.directory).unwrap_or_else(|error| panic!("{what}: {error}"));
        let subjects: BTreeSet<u64> = self.durable.keys().chain(found.keys()).copied().collect();
        for subject in subjects {
            let (wanted, found) = (self.durable.get(&subject), found.get(&subject));
            let may_be = found.is_some_and(|text| self.perhaps.contains(&(subject, text.clone())));
            let short = |text: Option<&String>| text.map(|text| text.trim_end_matches('x').to_owned());
            let is =
                format!("{}: {subject} is {:?}, not {:?}", self.shim.first(), short(found), short(wanted));
            assert!(found == wanted || may_be, "{what}: {is}");
        }
    }
}
