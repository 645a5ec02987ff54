//! A server of our own, as a child process.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::oneshot;

use super::BenchError;
use super::line::{Line, Parts};

/// Only a broken server, or one with very much data, takes that long to start.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// For a child that is asked to end, before it is made to.
const GRACE: Duration = Duration::from_secs(2);

/// Lines of its log that are kept, and lines of trouble: enough to say why.
const LINES: usize = 30;
const TROUBLES: usize = 5;

/// Between two looks at whether something is so.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A running server. Ended when dropped.
#[derive(Debug)]
pub struct Child {
    name: String,
    process: std::process::Child,
    address: SocketAddr,
    log: Arc<Log>,
}

/// What it wrote to standard error.
#[derive(Debug, Default)]
struct Log {
    bytes: AtomicU64,
    lines: Mutex<VecDeque<String>>,
    troubles: Mutex<Vec<String>>,
}

impl Child {
    /// Starts a server and waits for the line on standard error, one JSON object, whose message is `listening` and which
    /// has a field `url`. Its standard input ends when this one ends, however that happens.
    ///
    /// # Errors
    ///
    /// It cannot be started, ends, or does not say that it listens; with the end of its log.
    pub async fn start(name: &str, mut command: Command) -> Result<Self, BenchError> {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Ctrl-C at a terminal reaches this process alone, which ends its children.
            .process_group(0)
            .spawn()
            .map_err(BenchError::io(format!("start the server {name}")))?;
        let (listens, listening) = oneshot::channel();
        let log = Arc::<Log>::default();
        if let Some(output) = process.stderr.take() {
            let (log, mut listens) = (log.clone(), Some(listens));
            // Read to the end, or the server would wait for somebody to take its words.
            thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    if let Some(address) = log.take(line)
                        && let Some(listens) = listens.take()
                    {
                        let _ = listens.send(address);
                    }
                }
            });
        }
        let mut child = Self { name: name.to_owned(), process, address: NOWHERE, log };
        match tokio::time::timeout(PATIENCE, listening).await {
            Ok(Ok(address)) => child.address = address,
            Ok(Err(_)) => return Err(child.trouble("ended before it listened")),
            Err(_) => return Err(child.trouble(&format!("did not listen within {} s", PATIENCE.as_secs()))),
        }
        Ok(child)
    }

    /// Waits until it says that it is ready.
    ///
    /// # Errors
    ///
    /// It does not within two minutes.
    pub async fn ready(&self) -> Result<(), BenchError> {
        let parts = Parts::of(self.address);
        let ready = async {
            loop {
                if let Ok(mut line) = Line::open(&parts).await {
                    while let Ok((status, _)) = line.look_at("/readyz").await {
                        if status.is_success() {
                            return;
                        }
                        tokio::time::sleep(LOOK_EVERY).await;
                    }
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let late = |_| self.trouble(&format!("was not ready within {} s", PATIENCE.as_secs()));
        tokio::time::timeout(PATIENCE, ready).await.map_err(late)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Bytes that it has written to its log so far.
    pub fn logged(&self) -> u64 {
        self.log.bytes.load(Ordering::Relaxed)
    }

    /// The first errors and warnings that it logged. A measurement of a server in trouble measures nothing.
    pub fn troubles(&self) -> Vec<String> {
        self.log.troubles.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn trouble(&self, what: &str) -> BenchError {
        // What it said last may still be on its way.
        thread::sleep(LOOK_EVERY);
        let lines = self.log.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let log = lines.iter().flat_map(|line| ["  ", line, "\n"]).collect();
        BenchError::Server { name: self.name.clone(), what: what.to_owned(), log }
    }
}

/// Until it says where.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);

impl Drop for Child {
    fn drop(&mut self) {
        // A reference server ends with its standard input, and ends what it has started.
        drop(self.process.stdin.take());
        let mut waited = Duration::ZERO;
        let ends_by_itself = self.name != super::Beside::Onceward.name();
        while ends_by_itself && waited < GRACE && matches!(self.process.try_wait(), Ok(None)) {
            thread::sleep(LOOK_EVERY);
            waited += LOOK_EVERY;
        }
        // An error means that it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Log {
    /// Keeps a line; the address in it, if it is the one that says where the server listens.
    fn take(&self, line: String) -> Option<SocketAddr> {
        let length = u64::try_from(line.len()).unwrap_or_default() + 1;
        self.bytes.fetch_add(length, Ordering::Relaxed);
        let event: Option<Value> = serde_json::from_str(&line).ok();
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        if troubles.len() < TROUBLES && event.as_ref().is_none_or(is_trouble) {
            troubles.push(line.clone());
        }
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LINES {
            lines.pop_front();
        }
        lines.push_back(line);
        let event = event.filter(|event| event["message"] == "listening")?;
        event["url"].as_str()?.strip_prefix("http://")?.trim_end_matches('/').parse().ok()
    }
}

/// Refusals are counted by whoever is refused.
fn is_trouble(event: &Value) -> bool {
    matches!(event["level"].as_str(), Some("ERROR" | "WARN")) && event["message"] != "requests were refused"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn a_server_that_ends_says_why() {
        let error = Child::start("ceiling", says("echo 'the disk is full' >&2; exit 3")).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("ceiling ended before it listened"), "{text}");
        assert!(text.contains("the disk is full"), "{text}");
    }

    #[tokio::test]
    async fn a_server_that_says_where_it_listens_is_found_and_ends_with_its_standard_input() {
        let line = r#"{"level":"INFO","message":"listening","url":"http://127.0.0.1:4711"}"#;
        let child = Child::start("ceiling", says(&format!("echo '{line}' >&2; cat"))).await.unwrap();
        assert_eq!(child.address(), "127.0.0.1:4711".parse().unwrap());
        let id = child.id();
        drop(child);
        assert!(!std::path::Path::new(&format!("/proc/{id}")).exists());
    }

    #[test]
    fn errors_and_warnings_are_kept() {
        let log = Log::default();
        log.take(r#"{"level":"INFO","message":"x"}"#.into());
        log.take(r#"{"level":"WARN","message":"requests were refused"}"#.into());
        log.take(r#"{"level":"ERROR","message":"y"}"#.into());
        log.take("a panic".into());
        assert_eq!(*log.troubles.lock().unwrap(), [r#"{"level":"ERROR","message":"y"}"#, "a panic"]);
    }
}
