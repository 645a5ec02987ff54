//! A server that the bench starts, as a child process.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::oneshot;

use crate::connection::{Connection, Route};
use crate::error::BenchError;

/// A start with very much data takes long.
const STARTS_WITHIN: Duration = Duration::from_secs(120);

/// For a child whose standard input was closed, before it is killed.
const GRACE: Duration = Duration::from_secs(2);

const LOG_LINES: usize = 30;
const PROBLEMS: usize = 5;
const POLL_EVERY: Duration = Duration::from_millis(5);

/// Ended when dropped.
#[derive(Debug)]
pub struct Child {
    name: String,
    process: std::process::Child,
    address: Option<SocketAddr>,
    /// It ends when its standard input ends.
    follows_stdin: bool,
    log: Arc<Mutex<Log>>,
}

/// The end of its standard error, and the first errors and warnings in it.
#[derive(Debug, Default)]
struct Log {
    lines: VecDeque<String>,
    problems: Vec<String>,
}

impl Child {
    /// Starts a server and waits for the line of JSON on standard error with the message `listening` and a field `url`.
    pub async fn start(name: &str, mut command: Command, follows_stdin: bool) -> Result<Self, BenchError> {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Ctrl-C at a terminal reaches only the bench, which ends its children.
            .process_group(0)
            .spawn()
            .map_err(BenchError::io(format!("start {}", command.get_program().display())))?;
        let (listens, listening) = oneshot::channel();
        let log = Arc::<Mutex<Log>>::default();
        if let Some(output) = process.stderr.take() {
            let (log, mut listens) = (log.clone(), Some(listens));
            // Read to the end: a full pipe would stop the server.
            thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    let address = log.lock().unwrap_or_else(PoisonError::into_inner).add(line);
                    if let Some((address, listens)) =
                        address.and_then(|address| Some((address, listens.take()?)))
                    {
                        let _ = listens.send(address);
                    }
                }
            });
        }
        let mut child = Self { name: name.to_owned(), process, address: None, follows_stdin, log };
        match tokio::time::timeout(STARTS_WITHIN, listening).await {
            Ok(Ok(address)) => child.address = Some(address),
            Ok(Err(_)) => return Err(child.error("ended before it listened")),
            Err(_) => {
                return Err(child.error(&format!("did not listen within {} s", STARTS_WITHIN.as_secs())));
            }
        }
        Ok(child)
    }

    /// Waits until `/readyz` says so.
    pub async fn ready(&self) -> Result<(), BenchError> {
        let ready = async {
            loop {
                if let Ok(mut connection) = Connection::open(self.address()?).await {
                    while let Ok((status, _)) = connection.request(Route::Ready, Bytes::new()).await {
                        if status.is_success() {
                            return Ok(());
                        }
                        tokio::time::sleep(POLL_EVERY).await;
                    }
                }
                tokio::time::sleep(POLL_EVERY).await;
            }
        };
        let late = |_| Err(self.error(&format!("was not ready within {} s", STARTS_WITHIN.as_secs())));
        tokio::time::timeout(STARTS_WITHIN, ready).await.unwrap_or_else(late)
    }

    pub fn address(&self) -> Result<SocketAddr, BenchError> {
        self.address.ok_or_else(|| self.error("did not say where it listens"))
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The first errors and warnings that it logged.
    pub fn problems(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).problems.clone()
    }

    fn error(&self, what: &str) -> BenchError {
        // Its last lines may still be on their way.
        thread::sleep(POLL_EVERY);
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let log = log.lines.iter().flat_map(|line| ["  ", line, "\n"]).collect();
        BenchError::Server { name: self.name.clone(), what: what.to_owned(), log }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let mut waited = Duration::ZERO;
        while self.follows_stdin && waited < GRACE && matches!(self.process.try_wait(), Ok(None)) {
            thread::sleep(POLL_EVERY);
            waited += POLL_EVERY;
        }
        // An error means that it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Log {
    /// The address, if the line says where the server listens.
    fn add(&mut self, line: String) -> Option<SocketAddr> {
        let event: Option<Value> = serde_json::from_str(&line).ok();
        // Refused requests are counted by the clients.
        let is_problem = |event: &Value| {
            matches!(event["level"].as_str(), Some("ERROR" | "WARN"))
                && event["message"] != "requests were refused"
        };
        if self.problems.len() < PROBLEMS && event.as_ref().is_none_or(is_problem) {
            self.problems.push(line.clone());
        }
        if self.lines.len() == LOG_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
        let event = event.filter(|event| event["message"] == "listening")?;
        event["url"].as_str()?.strip_prefix("http://")?.trim_end_matches('/').parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn a_server_that_ends_says_why() {
        let script = shell("echo 'the disk is full' >&2; exit 3");
        let text = Child::start("ceiling", script, true).await.unwrap_err().to_string();
        assert!(text.contains("ceiling ended before it listened"), "{text}");
        assert!(text.contains("the disk is full"), "{text}");
    }

    #[tokio::test]
    async fn a_server_is_found_by_its_log_and_ends_with_its_input() {
        let line = r#"{"level":"INFO","message":"listening","url":"http://127.0.0.1:4711"}"#;
        let child = Child::start("ceiling", shell(&format!("echo '{line}' >&2; cat")), true).await.unwrap();
        assert_eq!(child.address().unwrap(), "127.0.0.1:4711".parse().unwrap());
        let id = child.id();
        drop(child);
        assert!(!std::path::Path::new(&format!("/proc/{id}")).exists());
    }

    #[test]
    fn errors_and_warnings_are_kept() {
        let mut log = Log::default();
        log.add(r#"{"level":"INFO","message":"x"}"#.into());
        log.add(r#"{"level":"WARN","message":"requests were refused"}"#.into());
        log.add(r#"{"level":"ERROR","message":"y"}"#.into());
        log.add("a panic".into());
        assert_eq!(log.problems, [r#"{"level":"ERROR","message":"y"}"#, "a panic"]);
    }
}
