//! The real store in a process of its own, so that its disk can fail and it can be killed, with rounds as often
//! as a test needs them. The process is this test binary once more: it runs the one test below.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use onceward::clock::SystemClock;
use onceward::domain::{ServiceId, Timestamp};
use onceward::store::{EmbeddedStore, Key, Kind, OpenOptions, Revision, Store, Subject, Write};

use super::shim::Shim;

/// The directory of the store, for the process that is to run it.
const DIRECTORY: &str = "ONCEWARD_TEST_STORE";

/// Lines of the driven process begin with it; the others are of the test runner.
const MARK: &str = ">> ";

/// Long after a slow machine would have answered.
const HANGS_AFTER: Duration = Duration::from_secs(60);

/// What the store has in it: the text under each subject.
pub type Contents = BTreeMap<u64, String>;

#[test]
fn a_store_that_another_process_drives() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    let mut options = options(Path::new(&directory));
    options.segment_bytes = 16 * 1024;
    options.round_every = Duration::from_millis(20);
    let store = match EmbeddedStore::open(options) {
        Ok(store) => store,
        Err(error) => return println!("\n{MARK}refused {error}"),
    };
    println!("\n{MARK}open");
    for line in std::io::stdin().lines() {
        let line = line.expect("a line");
        let answer = match line.split(' ').collect::<Vec<_>>()[..] {
            ["put", subject, text] => put(&runtime, &store, subject.parse().unwrap(), Some(text)),
            ["remove", subject] => put(&runtime, &store, subject.parse().unwrap(), None),
            ["health"] => store.health().err().unwrap_or_else(|| "well".to_owned()),
            ["close"] => {
                runtime.block_on(store.close()).map_or_else(|e| e.to_string(), |()| "closed".to_owned())
            }
            _ => panic!("{line}"),
        };
        println!("{MARK}{answer}");
    }
}

fn put(runtime: &tokio::runtime::Runtime, store: &EmbeddedStore, subject: u64, text: Option<&str>) -> String {
    let put = text.map(|text| Bytes::copy_from_slice(text.as_bytes()));
    let key = Key { kind: Kind::Number, service: ServiceId::DEFAULT, subject: Subject(subject) };
    // One that may be there, so that a removal reaches the snapshot.
    let write = Write { key, expect: Revision(1), put, gc_after: Timestamp::from_millis(u64::MAX) };
    let answer = runtime.block_on(store.cas(vec![write], Duration::from_secs(2)));
    answer.map_or_else(|error| error.to_string(), |_| "durable".to_owned())
}

fn options(directory: &Path) -> OpenOptions {
    OpenOptions::new(directory, [7; 16], Arc::new(SystemClock::start()))
}

/// What a start on a healthy disk finds.
pub fn contents_of(directory: &Path) -> Result<Contents, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut options = options(directory);
    // Space for one is laid out; that is all these few records need.
    options.segment_bytes = 64 * 1024;
    let store = EmbeddedStore::open(options).map_err(|error| error.to_string())?;
    let seen = Arc::new(Mutex::new(Contents::new()));
    let visitor = seen.clone();
    let visit = move |key: Key, _: Revision, record: &[u8]| {
        visitor.lock().unwrap().insert(key.subject.0, String::from_utf8_lossy(record).into_owned());
    };
    let scanned = runtime.block_on(store.scan(Kind::Number, Box::new(visit)));
    runtime.block_on(store.close()).map_err(|error| error.to_string())?;
    scanned.map_err(|error| error.to_string())?;
    Ok(seen.lock().unwrap().clone())
}

/// Time for what must happen. Only a broken store takes that long.
#[derive(Debug, Clone, Copy)]
pub struct Patience(Instant);

impl Patience {
    /// It begins now.
    #[expect(clippy::disallowed_methods, reason = "a limit for a test that waits for another process")]
    pub fn begins() -> Self {
        Self(Instant::now())
    }

    /// How long ago it began.
    pub fn so_far(&self) -> Duration {
        self.0.elapsed()
    }

    /// Whether it is not over.
    pub fn lasts(&self) -> bool {
        self.0.elapsed() < HANGS_AFTER
    }
}

/// The driven process. Killed when dropped.
pub struct Driven {
    child: Child,
    to: ChildStdin,
    answers: Receiver<String>,
}

impl Driven {
    /// Starts it; `Err` is why the store was not opened.
    pub fn open(directory: &Path, shim: Option<&Shim>) -> Result<Self, String> {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command
            .args(["--exact", "storage_trouble::driven::a_store_that_another_process_drives", "--nocapture"])
            .env(DIRECTORY, directory)
            .envs(shim.into_iter().flat_map(Shim::environment))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Its log is no answer.
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
        let mut driven = Self { child, to, answers };
        match driven.answer() {
            Some(answer) if answer == "open" => Ok(driven),
            answer => Err(answer.unwrap_or_else(|| "it died".to_owned())),
        }
    }

    /// Asks, and answers what was said; `None` if the process ended.
    pub fn ask(&mut self, question: &str) -> Option<String> {
        writeln!(self.to, "{question}").ok()?;
        self.answer()
    }

    /// The same of a process that must live.
    pub fn said(&mut self, question: &str) -> String {
        self.ask(question).unwrap_or_else(|| panic!("the process ended over: {question}"))
    }

    fn answer(&mut self) -> Option<String> {
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
