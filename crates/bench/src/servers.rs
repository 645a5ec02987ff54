//! The servers of a run: processes that the bench starts.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use hyper::StatusCode;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep, timeout};

use crate::args::{Comparison, Options, settings};
use crate::ceiling;
use crate::ceiling::{ACCOUNT_SID, AUTH_TOKEN, Mock, SENDER};
use crate::load::{Clients, Connection, now};
use crate::run::{Figures, ServerResults, float, say};
use crate::script::{Routes, Step, live_number, masked};

/// A start with much data takes long.
const STARTS_WITHIN: Duration = Duration::from_secs(120);

/// A server that takes longer to end is killed.
const STOPS_WITHIN: Duration = Duration::from_secs(5);

const POLL_EVERY: Duration = Duration::from_millis(1);

/// More numbers than any run uses: the server must not reach its limit on numbers.
const MAX_NUMBERS: u64 = 40_000_000;

/// Their names, and whether they are durable.
const CEILINGS: [(&str, bool); 2] = [("stateless", false), ("durable", true)];

pub struct Setup<'a> {
    pub options: &'a Options,
    /// Each server has a directory in it.
    pub home: &'a Path,
    pub mock: Mock,
}

pub struct Target {
    pub results: ServerResults,
    pub clients: Clients,
    pub processes: Processes,
    /// Ends with this.
    _child: Child,
}

impl Setup<'_> {
    /// All servers of a run; for each routes the first is the one that the others are compared with.
    pub async fn start_all(&self) -> Result<Vec<Target>> {
        let mut targets = Vec::new();
        for routes in self.options.routes.iter().copied() {
            targets.push(self.onceward("onceward", &self.options.onceward()?, routes).await?);
            if let Some(program) = &self.options.baseline {
                targets.push(self.onceward("baseline", program, routes).await?);
            }
            if self.options.beside == Comparison::None {
                continue;
            }
            for (name, is_durable) in CEILINGS {
                let (name, home) = self.directory(name, routes)?;
                let command = ceiling::command(&self.mock.base_url(), is_durable, &home)?;
                let begun = now();
                let child = Child::start(&name, command, &home).await?;
                targets.push(self.started(begun, child, routes).await?);
            }
        }
        Ok(targets)
    }

    async fn onceward(&self, name: &str, program: &Path, routes: Routes) -> Result<Target> {
        let (name, home) = self.directory(name, routes)?;
        if self.options.live_numbers > 0 {
            self.make_live_numbers(&name, program, &home, routes).await?;
        }
        let begun = now();
        let child = self.start_onceward(&name, program, &home).await?;
        self.started(begun, child, routes).await
    }

    /// Starts an onceward with its data in `home/data` and waits until it is ready. It runs as an operator runs it, with
    /// default settings except those of the environment.
    async fn start_onceward(&self, name: &str, program: &Path, home: &Path) -> Result<Child> {
        let mut command = Command::new(program);
        command.current_dir(home).env_clear().envs([
            ("TWILIO_ACCOUNT_SID", ACCOUNT_SID),
            ("TWILIO_AUTH_TOKEN", AUTH_TOKEN),
            ("TWILIO_PHONE_NUMBER", SENDER),
            ("TWILIO_BASE_URL", &self.mock.base_url()),
            // Otherwise it makes credentials and logs a warning.
            ("ONCEWARD_ACCOUNT_SID", ACCOUNT_SID),
            ("ONCEWARD_AUTH_TOKEN", AUTH_TOKEN),
            // The load sends more messages than the default budget, many to one number, and to areas that do not exist.
            ("ONCEWARD_GUARD", r#"{"mode": "off", "number-types": "off", "landlines": "off"}"#),
            ("ONCEWARD_NUMBERS", "possible"),
            ("ONCEWARD_MAX_NUMBERS", &(self.options.live_numbers + MAX_NUMBERS).to_string()),
        ]);
        command.envs(settings());
        command.args(["--listen", "127.0.0.1:0", "--log-format", "json", "--data-dir", "data"]);
        let child = Child::start(name, command, home).await?;
        let mut connection = Connection::to(child.address);
        let ready = async {
            while !matches!(connection.request("/readyz", String::new()).await, Ok((StatusCode::OK, _))) {
                sleep(POLL_EVERY).await;
            }
        };
        timeout(STARTS_WITHIN, ready).await.map_err(|_| child.error("was not ready within 120 s"))?;
        Ok(child)
    }

    async fn started(&self, begun: Instant, child: Child, routes: Routes) -> Result<Target> {
        let mut start = Figures::from([("ready_ms", begun.elapsed().as_secs_f64() * 1e3)]);
        let processes = Processes::with_children(child.process.id());
        start.extend(processes.memory_mib().map(|memory| ("idle_memory_mib", memory)));
        let clients = Clients::connect(child.address, routes, self.options, &self.mock).await?;
        let (name, routes) = (child.name.clone(), routes.prefix());
        let results = ServerResults { name, routes, start, summary: BTreeMap::new(), windows: Vec::new() };
        Ok(Target { results, clients, processes, _child: child })
    }

    /// Sends a code to each live number over HTTP, then stops the server in order: the measured one starts on its data.
    async fn make_live_numbers(&self, name: &str, program: &Path, home: &Path, routes: Routes) -> Result<()> {
        const CONNECTIONS: usize = 64;
        let numbers = self.options.live_numbers;
        say(&format!("{name}: sending {numbers} live numbers their codes"));
        let child = self.start_onceward(name, program, home).await?;
        let dialect = Connection::to(child.address).dialect(routes).await?;
        let mut sending = JoinSet::new();
        for first in 0..CONNECTIONS {
            let (mut connection, mock) = (Connection::to(child.address), self.mock.clone());
            let dialect = dialect.clone();
            sending.spawn(async move {
                for index in (0..numbers).skip(first).step_by(CONNECTIONS) {
                    let step = Step::send(live_number(index));
                    let (status, body) = connection.step(&dialect, &step).await?;
                    let sent = status.is_success() && mock.take_code(step.digits).is_some();
                    ensure!(sent, "{status} {}", masked(&String::from_utf8_lossy(&body)));
                }
                Ok(())
            });
        }
        let sent: Result<()> = sending.join_all().await.into_iter().collect();
        sent.with_context(|| format!("cannot send codes to live numbers of {name}"))?;
        child.stop().await
    }

    /// The full name of a server, and its directory.
    fn directory(&self, name: &str, routes: Routes) -> Result<(String, PathBuf)> {
        let suffix = if routes == Routes::Api { "" } else { routes.prefix() };
        let directory = self.home.join(format!("{name}{}", suffix.replace('/', "-")));
        fs::create_dir(&directory).context("cannot make a directory for a server")?;
        Ok((format!("{name} {suffix}").trim_end().to_owned(), directory))
    }
}

/// A server that the bench started, with its log in a file. Ended when dropped, with the processes that it started.
#[derive(Debug)]
pub struct Child {
    name: String,
    process: process::Child,
    pub address: SocketAddr,
    log: PathBuf,
}

impl Child {
    const LOG_LINES: usize = 30;

    /// Starts a server and waits for the line of JSON on standard error with the message `listening` and a field `url`.
    pub async fn start(name: &str, mut command: Command, home: &Path) -> Result<Self> {
        let log = home.join("log");
        let process = command
            // A ceiling ends with it, also when the bench was killed.
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            // Ctrl-C at a terminal reaches only the bench, which ends its children.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let mut child = Self { name: name.to_owned(), process, address: ([0; 4], 0).into(), log };
        let begun = now();
        while begun.elapsed() < STARTS_WITHIN {
            let ended = !matches!(child.process.try_wait(), Ok(None));
            if let Some(address) = child.lines().iter().find_map(|line| listening(line)) {
                child.address = address;
                return Ok(child);
            }
            if ended {
                return Err(child.error("ended before it listened"));
            }
            sleep(POLL_EVERY).await;
        }
        Err(child.error("did not listen within 120 s"))
    }

    async fn stop(mut self) -> Result<()> {
        kill_process(Pid::from_child(&self.process), Signal::TERM)?;
        let (child, status) =
            spawn_blocking(move || self.process.wait().map(|status| (self, status))).await??;
        if status.success() { Ok(()) } else { Err(child.error(&format!("ended with {status}"))) }
    }

    fn lines(&self) -> Vec<String> {
        let log = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&log).lines().map(str::to_owned).collect()
    }

    fn error(&self, what: &str) -> anyhow::Error {
        let lines = self.lines();
        let end = &lines[lines.len().saturating_sub(Self::LOG_LINES)..];
        anyhow!("the server {} {what}; the end of its log:\n  {}", self.name, end.join("\n  "))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let id = Pid::from_child(&self.process);
        // An instrumented program writes its profile when it ends by itself. An error means that it has ended.
        let _ = kill_process(id, Signal::TERM);
        let asked = now();
        while matches!(self.process.try_wait(), Ok(None)) && asked.elapsed() < STOPS_WITHIN {
            thread::sleep(POLL_EVERY);
        }
        let _ = kill_process_group(id, Signal::KILL);
        let _ = self.process.wait();
    }
}

fn listening(line: &str) -> Option<SocketAddr> {
    let event: Value = serde_json::from_str(line).ok()?;
    let url = (event["message"] == "listening").then(|| event["url"].as_str())??;
    url.strip_prefix("http://")?.trim_end_matches('/').parse().ok()
}

// What processes use of the machine, as the kernel counts it (proc(5)).

/// Figures of a round, for each request.
pub const CPU: &str = "cpu_us_per_request";
const JOURNAL_WRITES: &str = "journal_writes_per_request";

/// A server's processes, with those that it started.
#[derive(Debug, Clone)]
pub struct Processes {
    ids: Vec<u32>,
}

impl Processes {
    /// This process and all its descendants at this moment.
    pub fn with_children(id: u32) -> Self {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let all = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let all: Vec<(u32, u64)> = all.filter_map(|id| Some((id, stat(id, PARENT)?))).collect();
        let (mut ids, mut at) = (vec![id], 0);
        while let Some(parent) = ids.get(at).copied() {
            ids.extend(all.iter().filter(|(_, of)| *of == u64::from(parent)).map(|(id, _)| *id));
            at += 1;
        }
        Self { ids }
    }

    /// CPU time so far in microseconds, of user and system; `None` if a process has ended. How often the threads that
    /// write a journal wrote: once for each commit of an onceward, and once more to wake a server that sleeps.
    pub fn usage(&self) -> Option<Figures> {
        let ticks = self.sum(USER_TICKS)? + self.sum(SYSTEM_TICKS)?;
        let cpu = float(ticks * 1_000_000 / rustix::param::clock_ticks_per_second().max(1));
        let mut writes = 0.0;
        for id in &self.ids {
            for thread in fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten() {
                let read = |file: &str| fs::read_to_string(thread.path().join(file)).unwrap_or_default();
                if read("comm").trim_end() == JOURNAL_THREAD {
                    let io = read("io");
                    let count = io.lines().find_map(|line| line.strip_prefix("syscw:")?.trim().parse().ok());
                    writes += count.unwrap_or(0.0);
                }
            }
        }
        Some(Figures::from([(CPU, cpu), (JOURNAL_WRITES, writes)]))
    }

    pub fn memory_mib(&self) -> Option<f64> {
        let page = u64::try_from(rustix::param::page_size()).ok()?;
        Some(float(self.sum(PAGES)? * page) / f64::from(1 << 20))
    }

    fn sum(&self, field: usize) -> Option<u64> {
        self.ids.iter().map(|id| stat(*id, field)).sum()
    }
}

/// The thread that commits.
pub const JOURNAL_THREAD: &str = "journal";

/// Places in `/proc/<pid>/stat` after the name, which may contain anything.
const PARENT: usize = 1;
const USER_TICKS: usize = 11;
const SYSTEM_TICKS: usize = 12;
const PAGES: usize = 21;

fn stat(id: u32, field: usize) -> Option<u64> {
    let line = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    line.rsplit_once(')')?.1.split_whitespace().nth(field)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_is_found_by_its_log_and_ends_with_its_children() {
        let home = tempfile::tempdir().unwrap();
        let line = r#"{"level":"INFO","message":"listening","url":"http://127.0.0.1:4711"}"#;
        let mut script = Command::new("/bin/sh");
        script.current_dir(home.path());
        script.args(["-c", &format!("sleep 600 & echo $! > child; echo '{line}' >&2; wait")]);
        let child = Child::start("ceiling", script, home.path()).await.unwrap();
        assert_eq!(child.address, "127.0.0.1:4711".parse().unwrap());
        let below = fs::read_to_string(home.path().join("child")).unwrap();
        let alive = |id: &str| {
            let stat = fs::read_to_string(format!("/proc/{}/stat", id.trim())).unwrap_or_default();
            !stat.is_empty() && !stat.contains(") Z ")
        };
        assert!(alive(&below));
        let id = child.process.id().to_string();
        drop(child);
        assert!(!alive(&id));
        while alive(&below) {
            sleep(POLL_EVERY).await;
        }
    }
}
