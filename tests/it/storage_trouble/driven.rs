//! The real store in its own process: its disk can fail, a test can kill it, and it takes checkpoints as often as a
//! test needs. The process is this test binary, which runs the one test below.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use onceward::clock::SystemClock;
use onceward::domain::Timestamp;
use onceward::store::{EmbeddedStore, Key, OpenOptions, Store, StoreError, Write};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use super::shim::Shim;
use crate::support::HeldRecords;

/// The directory of the store, for the process that runs it.
const DIRECTORY: &str = "ONCEWARD_TEST_STORE";

/// Prefix of the driven process's lines; the test runner prints the others.
const MARK: &str = ">> ";

/// Longer than the answer of a slow machine.
const HANGS_AFTER: Duration = Duration::from_secs(300);

/// The longest time a request waits for its answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// The time between two checkpoints.
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
            ["put", subject, text] => put(&runtime, &store, &held, subject.parse().unwrap(), Some(text)),
            ["remove", subject] => put(&runtime, &store, &held, subject.parse().unwrap(), None),
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

fn put(
    runtime: &Runtime,
    store: &EmbeddedStore,
    held: &Arc<HeldRecords>,
    subject: u64,
    text: Option<&str>,
) -> String {
    let put = text.map(|text| Bytes::copy_from_slice(text.as_bytes()));
    let write = Write { key: key_of(subject), put, expires: Timestamp::from_millis(u64::MAX) };
    let (to, answer) = oneshot::channel();
    let (held, durable) = (held.clone(), write.clone());
    let done = move |result: Result<(), StoreError>| {
        if result.is_ok() {
            held.apply([durable]);
        }
        let _ = to.send(result);
    };
    store.commit(vec![write], Box::new(done));
    let in_time = runtime.block_on(async { tokio::time::timeout(ANSWERS_WITHIN, answer).await });
    match in_time {
        Ok(Ok(Ok(()))) => "durable".to_owned(),
        Ok(Ok(Err(error))) => error.to_string(),
        Ok(Err(_)) => "the store never said".to_owned(),
        Err(_) => format!("the store did not answer within {ANSWERS_WITHIN:?}"),
    }
}

fn key_of(subject: u64) -> Key {
    let mut id = [0; 12];
    id[4..].copy_from_slice(&subject.to_be_bytes());
    Key { slot: subject.to_be_bytes()[7], kind: 1, id }
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
        let subject = u64::from_be_bytes(key.id[4..].try_into().expect("8 bytes"));
        (subject, String::from_utf8_lossy(record).into_owned())
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

/// Killed when dropped.
pub struct Driven {
    child: Child,
    to: ChildStdin,
    answers: Receiver<String>,
}

impl Driven {
    /// Starts the process; the error says why the store did not open.
    pub fn open(directory: &Path, shim: Option<&Shim>) -> Result<Self, String> {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command
            .args(["--exact", "storage_trouble::driven::a_store_that_another_process_drives", "--nocapture"])
            .env(DIRECTORY, directory)
            .envs(shim.into_iter().flat_map(Shim::environment))
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
        let mut driven = Self { child, to, answers };
        match driven.answer() {
            Some(answer) if answer == "open" => Ok(driven),
            answer => Err(answer.unwrap_or_else(|| "it died".to_owned())),
        }
    }

    /// Sends a question and returns the answer; `None` if the process ended.
    pub fn ask(&mut self, question: &str) -> Option<String> {
        writeln!(self.to, "{question}").ok()?;
        self.answer()
    }

    /// The same, but fails if the process ended.
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
