//! A real `redis-server` of its own, as a child process.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::{Client, InfoDict, RedisResult, cmd};
use tempfile::TempDir;

/// Only a machine in trouble takes that long to start it.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often it is asked whether it has started.
const ASK_EVERY: Duration = Duration::from_millis(10);

/// How long is waited each time: whoever else has the port may never answer.
const ANSWER_WITHIN: Duration = Duration::from_millis(250);

/// How many ports are tried: somebody may take one between the choice and the start.
const PORTS_TRIED: u32 = 5;

/// When what was written is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// As Redis comes: a snapshot every now and then. A crash loses what was answered since.
    AsItComes,
    /// An append-only file with an fsync before each answer, as durable as onceward.
    EveryWrite,
}

/// It runs until this is dropped.
#[derive(Debug)]
pub struct RedisServer {
    process: Process,
    port: u16,
    /// Goes after the process.
    home: TempDir,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum RedisServerError {
    /// The program is not there.
    #[error("redis-server is missing. As root, run: apt-get install redis-server")]
    Missing,
    /// The system did not do what is needed.
    #[error("redis-server could not be started")]
    System(#[from] io::Error),
    /// It ended, on every port that was tried.
    #[error("redis-server ended at once. It said:\n{0}")]
    Ended(String),
    /// It does not answer.
    #[error("redis-server does not answer PING after {} s", PATIENCE.as_secs())]
    Silent,
}

impl RedisServer {
    /// Starts one on a free port of the loopback interface, with its data in a new directory below `parent`, and
    /// waits until it answers. The disk that has `parent` is the one that is measured.
    ///
    /// # Errors
    /// [`RedisServerError`], which says what to do.
    pub async fn start(durability: Durability, parent: &Path) -> Result<Self, RedisServerError> {
        Self::start_on(durability, parent, free_port).await
    }

    async fn start_on(
        durability: Durability,
        parent: &Path,
        mut port: impl FnMut() -> io::Result<u16>,
    ) -> Result<Self, RedisServerError> {
        let mut said = String::new();
        for _ in 0..PORTS_TRIED {
            let home = tempfile::Builder::new().prefix("redis-").tempdir_in(parent)?;
            let port = port()?;
            let process = Process(spawn(durability, port, home.path())?);
            let mut server = Self { process, port, home };
            match tokio::time::timeout(PATIENCE, server.answers()).await {
                Ok(Ok(())) => return Ok(server),
                Ok(Err(Gone)) => said = server.log(),
                Err(_) => return Err(RedisServerError::Silent),
            }
        }
        Err(RedisServerError::Ended(said))
    }

    /// Where it listens, such as `redis://127.0.0.1:45001`.
    pub fn url(&self) -> String {
        format!("redis://{}:{}", Ipv4Addr::LOCALHOST, self.port)
    }

    /// Its process, for its CPU time.
    pub fn id(&self) -> u32 {
        self.process.0.id()
    }

    /// Waits until it answers, unless it ends before.
    async fn answers(&mut self) -> Result<(), Gone> {
        let url = self.url();
        loop {
            // Another server on this port would answer too.
            let answer = tokio::time::timeout(ANSWER_WITHIN, who_answers(&url)).await;
            if matches!(answer, Ok(Ok(Some(id))) if id == self.id()) {
                return Ok(());
            }
            if !matches!(self.process.0.try_wait(), Ok(None)) {
                return Err(Gone);
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    fn log(&self) -> String {
        let path = self.home.path().join(LOG);
        std::fs::read_to_string(path).unwrap_or_else(|error| format!("nothing that can be read: {error}"))
    }
}

/// The process has ended.
struct Gone;

/// Ended by its own id when dropped.
#[derive(Debug)]
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // An error says that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What it says goes to this file in its directory.
const LOG: &str = "redis.log";

fn spawn(durability: Durability, port: u16, home: &Path) -> Result<Child, RedisServerError> {
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--daemonize", "no", "--logfile", LOG]);
    command.arg("--port").arg(port.to_string());
    command.arg("--dir").arg(home);
    if durability == Durability::EveryWrite {
        command.args(["--appendonly", "yes", "--appendfsync", "always"]);
    }
    command.current_dir(home).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => RedisServerError::Missing,
        _ => RedisServerError::System(error),
    })
}

/// A port that was free a moment ago.
fn free_port() -> io::Result<u16> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr().map(|address| address.port())
}

/// Which process answers PING there.
async fn who_answers(url: &str) -> RedisResult<Option<u32>> {
    let mut connection = Client::open(url)?.get_multiplexed_async_connection().await?;
    cmd("PING").query_async::<()>(&mut connection).await?;
    let info: InfoDict = cmd("INFO").arg("server").query_async(&mut connection).await?;
    Ok(info.get("process_id"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn two_servers_keep_to_themselves_and_each_ends_when_it_is_dropped() {
        let parent = tempfile::tempdir().expect("a directory");
        let started = RedisServer::start(Durability::AsItComes, parent.path()).await;
        if let Err(missing @ RedisServerError::Missing) = started {
            return println!("SKIPPED: {missing}");
        }
        let one = started.expect("a server");
        let other = RedisServer::start(Durability::EveryWrite, parent.path()).await.expect("a server");
        assert_ne!((one.id(), one.url()), (other.id(), other.url()));
        let url = one.url();
        drop(one);
        assert!(who_answers(&url).await.is_err());
        assert_eq!(who_answers(&other.url()).await.ok().flatten(), Some(other.id()));
        drop(other);
        let left = std::fs::read_dir(parent.path()).expect("a directory").count();
        assert_eq!(left, 0, "their directories go with them");
    }

    #[tokio::test]
    async fn when_a_port_is_taken_another_is_tried_and_after_some_the_error_says_why() {
        let parent = tempfile::tempdir().expect("a directory");
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let taken = move || taken.local_addr().map(|address| address.port());
        let mut first = Some(taken().expect("a port"));
        let ports = || first.take().map_or_else(free_port, Ok);
        match RedisServer::start_on(Durability::AsItComes, parent.path(), ports).await {
            Err(missing @ RedisServerError::Missing) => return println!("SKIPPED: {missing}"),
            started => drop(started.expect("a server on the second port")),
        }
        match RedisServer::start_on(Durability::AsItComes, parent.path(), taken).await {
            Err(RedisServerError::Ended(said)) => assert!(said.contains("bind"), "{said}"),
            other => panic!("{other:?}"),
        }
    }
}
