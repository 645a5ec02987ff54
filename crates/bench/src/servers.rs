//! The servers of a run: processes that the bench starts, or one that runs already.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use hyper::StatusCode;
use indicatif::ProgressBar;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::args::Options;
use crate::load::{Clients, Connection, RECONNECT_AFTER, now};
use crate::machine::Processes;
use crate::mock::{ACCOUNT_SID, AUTH_TOKEN, Mock, SENDER};
use crate::report::count;
use crate::results::{Figures, Server, float};
use crate::script::{hanging_number, live_number};

/// A start with very much data takes long.
const STARTS_WITHIN: Duration = Duration::from_secs(120);

/// Times of starts are exact to this.
const POLL_EVERY: Duration = Duration::from_millis(1);

/// More numbers than any run uses: the limit on numbers must not be met.
const MAX_NUMBERS: u64 = 40_000_000;

/// What starting the servers of a run needs.
pub struct Setup<'a> {
    pub options: &'a Options,
    /// Each server has a directory in it.
    pub home: &'a Path,
    pub mock: Mock,
    pub progress: &'a ProgressBar,
}

/// A server that requests are sent to.
pub struct Target {
    pub results: Server,
    pub clients: Clients,
    pub processes: Option<Processes>,
    child: Option<Child>,
    /// Connections beside the measured ones, which end when dropped.
    _background: JoinSet<()>,
}

impl Setup<'_> {
    /// All servers of a run; the first is the one that the others are compared with.
    pub async fn start_all(&self) -> Result<Vec<Target>> {
        let mut targets = Vec::new();
        if let Some(address) = self.options.target {
            targets.push(self.running(address).await?);
        } else {
            let what = "the onceward under test; every answer is on the disk before it leaves";
            targets.push(self.onceward("onceward", what, &self.options.onceward()?).await?);
        }
        if let Some(program) = &self.options.baseline {
            let what = format!("{}, with the same settings", program.display());
            targets.push(self.onceward("baseline", &what, program).await?);
        }
        for reference in self.options.beside() {
            let ((name, what), begun) = (reference.describe(), now());
            let home = self.directory(&name)?;
            let child = Child::start(&name, reference.command(&self.mock.base_url(), &home)?, &home).await?;
            targets.push(self.started(&what, begun, child, None).await?);
        }
        Ok(targets)
    }

    async fn onceward(&self, name: &str, what: &str, program: &Path) -> Result<Target> {
        let home = self.directory(name)?;
        if self.options.live_numbers > 0 {
            self.make_live_numbers(name, program, &home).await?;
        }
        self.progress.set_message(format!("starting {name}"));
        let begun = now();
        let child = self.start_onceward(name, program, &home).await?;
        self.started(what, begun, child, Some(home.join("data"))).await
    }

    /// Starts an onceward with its data in `home/data` and waits until it is ready.
    async fn start_onceward(&self, name: &str, program: &Path, home: &Path) -> Result<Child> {
        let mut command = self.onceward_command(program, home);
        command.args(["--listen", "127.0.0.1:0", "--log-format", "json", "--data-dir", "data"]);
        let child = Child::start(name, command, home).await?;
        let mut connection = Connection::to(child.address);
        let ready = async {
            let is_ready =
                |answer: Result<(StatusCode, _)>| answer.is_ok_and(|(status, _)| status.is_success());
            while !is_ready(connection.request("/readyz", String::new()).await) {
                sleep(POLL_EVERY).await;
            }
        };
        timeout(STARTS_WITHIN, ready).await.map_err(|_| child.error("was not ready within 120 s"))?;
        Ok(child)
    }

    /// An onceward as an operator runs it, with default settings except those of the environment.
    fn onceward_command(&self, program: &Path, home: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(home).env_clear().envs([
            ("TWILIO_ACCOUNT_SID", ACCOUNT_SID),
            ("TWILIO_AUTH_TOKEN", AUTH_TOKEN),
            ("TWILIO_PHONE_NUMBER", SENDER),
            ("TWILIO_BASE_URL", &self.mock.base_url()),
            // Otherwise it makes credentials and logs a warning.
            ("ONCEWARD_ACCOUNT_SID", ACCOUNT_SID),
            ("ONCEWARD_AUTH_TOKEN", AUTH_TOKEN),
            ("ONCEWARD_MAX_NUMBERS", &(self.options.live_numbers + MAX_NUMBERS).to_string()),
        ]);
        command.envs(self.options.settings());
        command
    }

    /// A server that was started at `begun`.
    async fn started(
        &self,
        what: &str,
        begun: Instant,
        child: Child,
        data: Option<PathBuf>,
    ) -> Result<Target> {
        let mut start = Figures::from([("ready_ms", begun.elapsed().as_secs_f64() * 1e3)]);
        let processes = Processes::with_children(child.process.id(), data);
        start.extend(processes.memory().map(|bytes| ("idle_memory_bytes", float(bytes))));
        let results = Server { name: child.name.clone(), what: what.to_owned(), start, ..Server::default() };
        let clients = Clients::connect(child.address, self.options, &self.mock).await?;
        let background = self.background(child.address).await?;
        let (processes, child) = (Some(processes), Some(child));
        Ok(Target { results, clients, processes, child, _background: background })
    }

    /// A server that the bench did not start.
    async fn running(&self, address: SocketAddr) -> Result<Target> {
        let clients = Clients::connect(address, self.options, &self.mock).await?;
        let processes = self.options.pid.map(|pid| Processes::with_children(pid, None));
        let is_there = processes.as_ref().is_none_or(|processes| processes.cpu().is_some());
        ensure!(is_there, "--pid names no process of this machine");
        // A server that sends elsewhere would send thousands of messages to strangers.
        if let Err(error) = clients.probe().await {
            bail!("the server {address}: {error:#}; nothing more was asked of it");
        }
        let (name, what) = (address.to_string(), "a server that the bench did not start".to_owned());
        let results = Server { name, what, ..Server::default() };
        let background = self.background(address).await?;
        Ok(Target { results, clients, processes, child: None, _background: background })
    }

    /// Idle connections, and sends whose message hangs at the provider.
    async fn background(&self, address: SocketAddr) -> Result<JoinSet<()>> {
        let mut tasks = JoinSet::new();
        for _ in 0..self.options.idle_connections {
            let mut stream = TcpStream::connect(address).await.context("cannot open an idle connection")?;
            tasks.spawn(async move {
                loop {
                    // Ends when the server closes the connection.
                    let _ = stream.read(&mut [0; 64]).await;
                    sleep(RECONNECT_AFTER).await;
                    if let Ok(opened) = TcpStream::connect(address).await {
                        stream = opened;
                    }
                }
            });
        }
        let sends = u64::from(self.options.hanging_sends);
        for first in 0..sends {
            tasks.spawn(async move {
                let mut connection = Connection::to(address);
                for round in 0.. {
                    // Answered with an error when the server gives the provider up.
                    let _ = connection.send_code(hanging_number(first + round * sends)).await;
                    sleep(RECONNECT_AFTER).await;
                }
            });
        }
        Ok(tasks)
    }

    /// Makes `home/data` with numbers that wait for a code: a server of the same program sends a code to one number and
    /// exports its record, which is imported under other numbers. The bench knows the format of exports
    /// (`docs/operate/backup.md`), but none of the disk.
    async fn make_live_numbers(&self, name: &str, program: &Path, home: &Path) -> Result<()> {
        let numbers = self.options.live_numbers;
        self.progress.set_message(format!("{name}: writing {} live numbers", count(numbers)));
        let (first_home, data) = (home.join("template"), home.join("data"));
        fs::create_dir(&first_home)?;
        let child = self.start_onceward("template", program, &first_home).await?;
        let clients = Clients::connect(child.address, self.options, &self.mock).await?;
        clients.probe().await.context("cannot make live numbers: the server")?;
        let mut export = self.onceward_command(program, &first_home);
        let exported = export.args(["export", "--quiet", "--data-dir", "data"]).output();
        let exported = exported.context("cannot export a number")?;
        drop((clients, child));
        let first = first_number(&String::from_utf8_lossy(&exported.stdout));
        let (header, number) = first.with_context(|| {
            format!("no number in the export. {}", String::from_utf8_lossy(&exported.stderr))
        })?;
        fs::DirBuilder::new().mode(0o700).create(&data)?;
        fs::copy(first_home.join("data/server.key"), data.join("server.key"))?;
        fs::remove_dir_all(&first_home)?;
        let mut import = self.onceward_command(program, home);
        import.args(["import", "-", "--quiet", "--data-dir", "data"]);
        import.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let import = import.spawn().context("cannot import live numbers")?;
        tokio::task::spawn_blocking(move || feed(import, header, number, numbers)).await?
    }

    fn directory(&self, name: &str) -> Result<PathBuf> {
        let directory = self.home.join(name);
        fs::create_dir(&directory).context("cannot make a directory for a server")?;
        Ok(directory)
    }
}

impl Target {
    /// The first errors and warnings that it logged.
    pub fn logged(&self) -> Vec<String> {
        self.child.as_ref().map(Child::problems).unwrap_or_default()
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
    const PROBLEMS: usize = 5;

    /// Starts a server and waits for the line of JSON on standard error with the message `listening` and a field `url`.
    pub async fn start(name: &str, mut command: Command, home: &Path) -> Result<Self> {
        let log = home.join("log");
        let process = command
            // A reference server ends with it, also when the bench was killed.
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

    fn lines(&self) -> Vec<String> {
        let log = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&log).lines().map(str::to_owned).collect()
    }

    /// The first errors and warnings that it logged, and lines that are no JSON.
    fn problems(&self) -> Vec<String> {
        let is_problem = |line: &String| match serde_json::from_str::<Value>(line) {
            // Refused requests are counted by the clients.
            Ok(event) if event["message"] == "requests were refused" => false,
            Ok(event) => matches!(event["level"].as_str(), Some("ERROR" | "WARN")),
            Err(_) => true,
        };
        self.lines().into_iter().filter(is_problem).take(Self::PROBLEMS).collect()
    }

    fn error(&self, what: &str) -> anyhow::Error {
        let lines = self.lines();
        let end = &lines[lines.len().saturating_sub(Self::LOG_LINES)..];
        anyhow!("the server {} {what}; the end of its log:\n  {}", self.name, end.join("\n  "))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // An error means that they have ended already.
        if let Some(group) = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.process.wait();
    }
}

/// The address, if the line says where the server listens.
fn listening(line: &str) -> Option<SocketAddr> {
    let event: Value = serde_json::from_str(line).ok()?;
    let url = (event["message"] == "listening").then(|| event["url"].as_str())??;
    url.strip_prefix("http://")?.trim_end_matches('/').parse().ok()
}

type Object = Map<String, Value>;

/// The first line of an export, and the record of its first number.
fn first_number(export: &str) -> Option<(Object, Object)> {
    let mut lines = export.lines().filter_map(|line| serde_json::from_str::<Object>(line).ok());
    let header = lines.next()?;
    Some((header, lines.find(|line| line.get("kind").and_then(Value::as_str) == Some("numbers"))?))
}

fn feed(mut import: process::Child, header: Object, number: Object, count: u64) -> Result<()> {
    let input = import.stdin.take().map(|input| BufWriter::with_capacity(1 << 20, input));
    let written = input.map_or(Ok(()), |input| write_export(input, header, number, count));
    let ended = import.wait_with_output()?;
    // A pipe that broke has its reason in what the import says.
    let said = String::from_utf8_lossy(&ended.stderr);
    ensure!(ended.status.success(), "cannot import live numbers: {}: {said}", ended.status);
    Ok(written?)
}

/// An export of `count` copies of a record, each under a number and with a salt of its own.
fn write_export(mut out: impl Write, header: Object, mut number: Object, count: u64) -> io::Result<()> {
    const NUMBER: &str = "__NUMBER__";
    const SALT: &str = "__SALT__";
    let mut sum = Sha256::new();
    let header = sealed(&unsealed(header)?);
    sum.update(&header);
    out.write_all(header.as_bytes())?;
    number.insert("subject".to_owned(), NUMBER.into());
    let record = number.get_mut("record");
    if let Some(salt) = record.and_then(|record| record.pointer_mut("/open/verification/salt")) {
        *salt = SALT.into();
    }
    // Serialised once: to serialise each line would take several times as long.
    let template = unsealed(number)?;
    for index in 0..count {
        let number = format!("+{}", live_number(index, count));
        let salt = u128::from(index + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        let line = sealed(&template.replace(NUMBER, &number).replace(SALT, &format!("{salt:032x}")));
        sum.update(&line);
        out.write_all(line.as_bytes())?;
    }
    let sha256 = base16ct::lower::encode_string(&sum.finalize());
    let end = [("kind", "end".into()), ("records", count.into()), ("sha256", sha256.into())];
    let end = end.map(|(name, value): (&str, Value)| (name.to_owned(), value));
    out.write_all(sealed(&unsealed(Map::from_iter(end))?).as_bytes())?;
    out.flush()
}

/// A line of an export, up to its checksum.
fn unsealed(mut line: Object) -> io::Result<String> {
    line.remove("crc32c");
    let mut text = serde_json::to_string(&line)?;
    text.pop();
    Ok(text)
}

/// The whole line, with its checksum.
fn sealed(line: &str) -> String {
    format!("{line},\"crc32c\":\"{:08x}\"}}\n", crc32c::crc32c(line.as_bytes()))
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
        let home = tempfile::tempdir().unwrap();
        let script = shell("echo 'the disk is full' >&2; exit 3");
        let text = Child::start("ceiling", script, home.path()).await.unwrap_err().to_string();
        assert!(text.contains("ceiling ended before it listened"), "{text}");
        assert!(text.contains("the disk is full"), "{text}");
    }

    #[tokio::test]
    async fn a_server_is_found_by_its_log_and_ends_with_its_children() {
        let home = tempfile::tempdir().unwrap();
        let line = r#"{"level":"INFO","message":"listening","url":"http://127.0.0.1:4711"}"#;
        let script = shell(&format!("sleep 600 & echo $! > child; echo '{line}' >&2; wait"));
        let mut script = script;
        script.current_dir(home.path());
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

    #[test]
    fn errors_and_warnings_are_found_in_the_log() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let lines = [
            r#"{"level":"INFO","message":"x"}"#,
            r#"{"level":"WARN","message":"requests were refused"}"#,
            r#"{"level":"ERROR","message":"y"}"#,
            "a panic",
        ];
        fs::write(log.path(), lines.join("\n")).unwrap();
        let process = shell("exit").process_group(0).spawn().unwrap();
        let (address, log) = (([0; 4], 0).into(), log.path().to_owned());
        let child = Child { name: String::new(), process, address, log };
        assert_eq!(child.problems(), [r#"{"level":"ERROR","message":"y"}"#, "a panic"]);
    }

    const EXPORT: &str = r#"{"is":"onceward export","format":3,"key":"0f","crc32c":"00000000"}
{"kind":"numbers","service":0,"subject":"+12025550123","record":{"open":{"verification":{"salt":"00112233445566778899aabbccddeeff"}}},"crc32c":"00000000"}
{"kind":"delivery attempts","crc32c":"00000000"}
{"kind":"end","records":2,"sha256":"","crc32c":"00000000"}
"#;

    #[test]
    fn an_export_has_as_many_numbers_in_order_and_right_sums() {
        let (header, number) = first_number(EXPORT).unwrap();
        let mut written = Vec::new();
        write_export(&mut written, header, number, 3).unwrap();
        let text = String::from_utf8(written).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((lines.len(), &lines[0]["key"]), (5, &Value::from("0f")));
        let numbers: Vec<_> = lines[1..4].iter().map(|line| line["subject"].as_str().unwrap()).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b) && numbers.iter().all(|n| n.len() == 12), "{numbers:?}");
        let salt = |line: &Value| line.pointer("/record/open/verification/salt").cloned();
        assert_ne!(salt(&lines[1]), salt(&lines[2]));
        assert_eq!(lines[4]["records"], 3);
        for line in text.lines() {
            let (covered, seal) = line.split_once(",\"crc32c\":\"").unwrap();
            assert_eq!(seal, format!("{:08x}\"}}", crc32c::crc32c(covered.as_bytes())));
        }
    }
}
