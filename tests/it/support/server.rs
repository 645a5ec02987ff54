//! The program as a child process.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Client, HttpResponse, Output, compiled, preloads, soon, until};

/// How to start the program: its own directory, settings, environment, arguments.
#[derive(Debug, Clone)]
pub struct Setup {
    home: Arc<TempDir>,
    config: Option<Value>,
    environment: BTreeMap<String, String>,
    arguments: Vec<String>,
}

impl Setup {
    pub async fn restart_after_kill(&self, server: Server) -> Server {
        server.killed().await;
        self.start().await
    }

    /// An empty directory, no settings, no arguments and an empty environment.
    pub fn bare() -> Self {
        let home = Arc::new(tempfile::tempdir().expect("make a directory for the test"));
        Self { home, config: None, environment: BTreeMap::new(), arguments: Vec::new() }
    }

    /// The setup of most tests: a free port on loopback, JSON logs at debug level, long times for codes and stops.
    pub fn new() -> Self {
        Self::bare()
            .args(["--listen", "127.0.0.1:0", "--log-format", "json", "--data-dir", "data"])
            .config("log-level", "debug")
            .config("otp-timeout", "10m")
            .config("graceful-stop", "10m")
            // Most tests send more unverified messages than an honest service.
            .config("guard", json!({ "mode": "record" }))
    }

    /// Sets a key of config.json; or, behind `bounds.`, a bound that only tests replace: a number, times in milliseconds.
    pub fn config(mut self, key: &str, value: impl Into<Value>) -> Self {
        if let Some(bound) = key.strip_prefix("bounds.") {
            let bounds = self.environment.entry("TEST_ONCEWARD_BOUNDS".to_owned()).or_default();
            let mut given: Value = serde_json::from_str(bounds).unwrap_or_else(|_| json!({}));
            given[bound] = value.into();
            *bounds = given.to_string();
            return self;
        }
        self.config.get_or_insert_with(|| json!({}))[key] = value.into();
        self
    }

    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.insert(name.to_owned(), value.into());
        self
    }

    pub fn args<S: Into<String>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Writes a file into the working directory of the program.
    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        std::fs::write(self.home.path().join(name), content).expect("write a file for the test");
        self
    }

    /// Preloads one of `tests/it/support/shims`: a library between the program and the system.
    pub fn preload(self, shim: &str) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/support/shims").join(shim);
        let library = compiled(shim, &std::fs::read_to_string(source).expect("a shim"));
        self.preloads(&library)
    }

    pub fn preloads(self, library: &Path) -> Self {
        let variables = preloads(library).into_iter();
        variables.fold(self, |setup, (name, value)| setup.env(name, value.to_str().expect("a path in UTF-8")))
    }

    /// The working directory of the program.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    pub fn data_dir(&self) -> PathBuf {
        self.home().join("data")
    }

    /// Starts the program and waits until its JSON log says that it listens.
    pub async fn start(&self) -> Server {
        self.try_start().await.unwrap_or_else(|finished| panic!("it does not listen:\n{}", finished.output))
    }

    /// The same; returns its end if it does not listen.
    pub async fn try_start(&self) -> Result<Server, Finished> {
        self.launch_until("listening").await
    }

    /// Starts the program and waits until its JSON log has a line with this message and an address.
    pub async fn launch_until(&self, message: &str) -> Result<Server, Finished> {
        let mut server = self.launch();
        let line = soon(message, server.output.event(|event| event["message"] == message)).await;
        let Some(line) = line else { return Err(server.ended().await) };
        server.client = Client::new(address_in(&line));
        Ok(server)
    }

    /// Runs the program until it ends.
    pub async fn run(&self) -> Finished {
        self.launch().ended().await
    }

    /// Runs another command of the program in the same directory, with the same settings and environment, until it
    /// ends.
    pub async fn command<S: Into<String>>(&self, arguments: impl IntoIterator<Item = S>) -> Finished {
        let arguments = arguments.into_iter().map(Into::into).collect();
        Self { arguments, ..self.clone() }.run().await
    }

    /// Creates an API key with the command line, and returns what it shows.
    pub async fn new_key(&self, options: &[&str]) -> Value {
        let create = ["keys", "create", "--json"].iter().chain(options).copied();
        self.command(create).await.exits(0).object()
    }

    /// The rows of `onceward tracker --json` with these arguments.
    pub async fn tracked(&self, arguments: &[&str]) -> Vec<Value> {
        let tracker = ["tracker", "--json"].iter().chain(arguments).copied();
        let mut lines = self.command(tracker).await.exits(0).json();
        // Lines of the log are objects too.
        lines.retain(|line| line.get("send_status").is_some());
        lines
    }

    /// The account that the first start created: its sid and auth token, as a shell reads them.
    pub fn created_account(&self) -> (String, String) {
        let text = std::fs::read_to_string(self.data_dir().join("account.env")).expect("the file");
        let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
        (value("ONCEWARD_ACCOUNT_SID=").to_owned(), value("ONCEWARD_AUTH_TOKEN=").to_owned())
    }

    /// Starts the program without waiting. The server has no client yet.
    pub fn launch(&self) -> Server {
        if let Some(config) = &self.config {
            let text = serde_json::to_vec_pretty(config).expect("settings as JSON");
            std::fs::write(self.home().join("config.json"), text).expect("write config.json");
        }
        let client = Client::new((Ipv4Addr::UNSPECIFIED, 0).into());
        let (reader, writer) = io::pipe().expect("a pipe");
        let errors = writer.try_clone().expect("its end");
        // A write beyond the file size limit must fail like one on a full disk, and not end the program: the signal
        // must be ignored before the program starts.
        let child = Command::new("/bin/sh")
            .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
            .arg(program())
            .args(&self.arguments)
            .current_dir(self.home())
            .env_clear()
            .envs(&self.environment)
            .stdin(Stdio::null())
            .stdout(writer)
            .stderr(errors)
            .spawn()
            .expect("start the program");
        Server { client, child, output: Output::collect(reader), home: self.home.clone() }
    }
}

/// The program under test: the one at the absolute path in `ONCEWARD_BINARY`, or the one that cargo built.
fn program() -> PathBuf {
    std::env::var_os("ONCEWARD_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_onceward").into(), PathBuf::from)
}

/// A running program. Dropping it kills it.
pub struct Server {
    pub client: Client,
    child: Child,
    output: Output,
    home: Arc<TempDir>,
}

#[derive(Debug)]
pub struct Finished {
    pub status: ExitStatus,
    pub output: String,
}

impl Finished {
    #[track_caller]
    pub fn exits(self, code: impl Into<Option<i32>>) -> Self {
        assert_eq!(self.status.code(), code.into(), "{}", self.output);
        self
    }

    /// The first line that is a JSON object.
    #[track_caller]
    pub fn object(&self) -> Value {
        self.json().into_iter().next().unwrap_or_else(|| panic!("no JSON in:\n{}", self.output))
    }

    /// The lines that are JSON objects.
    pub fn json(&self) -> Vec<Value> {
        let lines = self.output.lines().filter_map(|line| serde_json::from_str(line).ok());
        lines.filter(Value::is_object).collect()
    }
}

impl Server {
    /// The answer of `/readyz` with its details, which the control socket gives.
    pub async fn readiness(&self) -> HttpResponse {
        self.try_readiness().await.expect("an answer")
    }

    /// The same; returns an error if no answer comes.
    pub async fn try_readiness(&self) -> io::Result<HttpResponse> {
        let socket = self.home.path().join("data/control.sock");
        let ask = async {
            let stream = tokio::net::UnixStream::connect(socket).await?;
            let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
            tokio::spawn(connection);
            let request = Request::get("/readyz").header("host", "localhost").body(Empty::<Bytes>::new());
            let answer = sender.send_request(request.expect("a request")).await.map_err(io::Error::other)?;
            let (head, body) = answer.into_parts();
            let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
            Ok(HttpResponse::new(head.status, head.headers, body))
        };
        soon("an answer on the control socket", ask).await
    }

    pub fn output(&self) -> &Output {
        &self.output
    }

    /// The first log line that is `what`, now or later.
    pub async fn event(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        soon(what, self.output.event(is_it)).await.unwrap_or_else(|| panic!("the log ended before {what}"))
    }

    /// The first log line whose message begins like this, now or later.
    pub async fn line(&self, beginning: &str) -> Value {
        self.event(beginning, |event| begins(event, beginning)).await
    }

    /// The first log line of this level whose message begins like this, now or later.
    pub async fn logs(&self, level: &str, beginning: &str) -> Value {
        self.event(beginning, |event| event["level"] == level && begins(event, beginning)).await
    }

    /// The log soon has this many lines that begin like this, all of this level, and no more.
    pub async fn logs_times(&self, times: usize, level: &str, beginning: &str) {
        let found = until(beginning, async || self.lines(beginning), |found| found.len() >= times).await;
        assert!(found.len() == times && found.iter().all(|line| line["level"] == level), "{found:#?}");
    }

    /// The log lines until now whose messages begin like this.
    pub fn lines(&self, beginning: &str) -> Vec<Value> {
        self.output.events().into_iter().filter(|event| begins(event, beginning)).collect()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("send a signal");
    }

    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    pub async fn killed(self) -> Finished {
        self.kill();
        self.ended().await
    }

    pub async fn stop(self) -> Finished {
        self.signal(Signal::TERM);
        self.ended().await
    }

    /// Makes every later write to a file fail, as on a full disk.
    pub fn let_writes_fail(&self) {
        self.limit_file_size(Some(1));
    }

    pub fn let_writes_succeed(&self) {
        self.limit_file_size(None);
    }

    fn limit_file_size(&self, bytes: Option<u64>) {
        let limit = Rlimit { current: bytes, maximum: None };
        prlimit(Some(self.pid()), Resource::Fsize, limit).expect("limit the size of files");
    }

    /// Its resident memory (`VmRSS`) in MiB, or the largest until now (`VmHWM`).
    pub fn memory_mib(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("the program runs");
        let size = status.lines().find_map(|line| line.strip_prefix(name)).expect("the size");
        size.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>().expect("KiB") / 1024
    }

    /// Waits for the end of the program and of its output.
    pub async fn ended(mut self) -> Finished {
        let status = soon("the program's end", async {
            loop {
                if let Some(status) = self.child.try_wait().expect("wait for the program") {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        soon("the end of its output", self.output.closed()).await;
        Finished { status, output: self.output.text() }
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Server {
    #[expect(clippy::print_stdout, reason = "the test runner keeps it together with the failure")]
    fn drop(&mut self) {
        // An error means that it has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("--- output of the program:\n{}", self.output.text());
        }
    }
}

/// A program's wall clock, relative to this machine's.
pub struct Shifted(PathBuf);

impl Shifted {
    /// Runs the setup's program under its own clock, which is still right.
    pub fn over(setup: Setup) -> (Self, Setup) {
        let shifted = Self(setup.home().join("clock_shift"));
        shifted.by(0);
        let file = shifted.0.to_str().expect("a path in UTF-8").to_owned();
        (shifted, setup.preload("clock.c").env("CLOCK_SHIFT_FILE", file))
    }

    /// Sets the wall clock this many seconds ahead of the machine's.
    pub fn by(&self, seconds: i64) {
        // Replaces the file at once, because the program may be reading it.
        let new = self.0.with_extension("new");
        let written = std::fs::write(&new, seconds.to_string());
        written.and_then(|()| std::fs::rename(&new, &self.0)).expect("write a file for the test");
    }
}

fn begins(event: &Value, beginning: &str) -> bool {
    event["message"].as_str().is_some_and(|message| message.starts_with(beginning))
}

/// The address in the log line. Tests reach every name and address of this machine through loopback.
fn address_in(line: &Value) -> SocketAddr {
    let shown = line["url"].as_str().or(line["address"].as_str()).expect("a field `url` or `address`");
    let authority = shown.split_once("://").map_or(shown, |(_, authority)| authority);
    authority.replace("localhost", "127.0.0.1").parse().expect("an address and a port")
}
