//! The servers of a run.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::args::{External, Options};
use crate::background::Background;
use crate::child::Child;
use crate::client::{Clients, Seen, Setup};
use crate::error::BenchError;
use crate::live;
use crate::machine::Processes;
use crate::mock::{ACCOUNT_SID, AUTH_TOKEN, SENDER};
use crate::progress::Progress;
use crate::reference::Reference;
use crate::results::Server;
use crate::schedule::now;
use crate::warnings::Warnings;

/// More numbers than any run uses: the limit on numbers must not be met.
const MAX_NUMBERS: u64 = 40_000_000;

/// A server that requests are sent to.
pub struct Target {
    pub results: Server,
    pub warnings: Warnings,
    clients: Clients,
    processes: Option<Processes>,
    child: Option<Child>,
    _background: Background,
}

/// How an onceward is started: as an operator does, with default settings except those given.
pub struct Onceward<'a> {
    pub program: &'a Path,
    pub twilio: &'a str,
    pub live_numbers: u64,
    pub environment: &'a [(String, String)],
}

impl Onceward<'_> {
    pub fn command(&self, home: &Path) -> Command {
        let mut command = Command::new(self.program);
        command
            .current_dir(home)
            .env_clear()
            .env("TWILIO_ACCOUNT_SID", ACCOUNT_SID)
            .env("TWILIO_AUTH_TOKEN", AUTH_TOKEN)
            .env("TWILIO_PHONE_NUMBER", SENDER)
            .env("TWILIO_BASE_URL", self.twilio)
            // Otherwise it makes credentials and logs a warning.
            .env("ONCEWARD_ACCOUNT_SID", ACCOUNT_SID)
            .env("ONCEWARD_AUTH_TOKEN", AUTH_TOKEN)
            .env("ONCEWARD_MAX_NUMBERS", (self.live_numbers + MAX_NUMBERS).to_string())
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// Starts an onceward with its data in `home/data` and waits until it is ready.
pub async fn start_onceward(name: &str, onceward: &Onceward<'_>, home: &Path) -> Result<Child, BenchError> {
    let mut command = onceward.command(home);
    command.args(["--listen", "127.0.0.1:0", "--log-format", "json", "--data-dir", "data"]);
    let child = Child::start(name, command, false).await?;
    child.ready().await?;
    Ok(child)
}

impl Target {
    /// All servers of a run; the first is the one that the others are compared with.
    pub async fn start_all(
        options: &Options,
        home: &Path,
        setup: &Setup,
        progress: &Progress,
    ) -> Result<Vec<Self>, BenchError> {
        let twilio = setup.mock.base_url();
        let mut targets = Vec::new();
        if let Some(external) = &options.external {
            targets.push(Self::external(options, external, setup).await?);
        } else {
            let what = "the onceward under test; every answer is on the disk before it leaves";
            let program = &options.program;
            targets.push(Self::onceward(options, ("onceward", what), program, home, setup, progress).await?);
        }
        if let Some(program) = &options.baseline {
            let what = format!("{}, with the same settings", program.display());
            targets.push(Self::onceward(options, ("baseline", &what), program, home, setup, progress).await?);
        }
        for reference in &options.beside {
            let home = make_directory(home, reference.name())?;
            let begun = now();
            let command = reference.command(&twilio, &home).map_err(BenchError::io("find this program"))?;
            let child = Child::start(reference.name(), command, true).await?;
            let results = server(reference.name(), Reference::what(*reference), Some(begun.elapsed()));
            targets.push(Self::connected(options, results, child, None, setup).await?);
        }
        Ok(targets)
    }

    async fn onceward(
        options: &Options,
        (name, what): (&str, &str),
        program: &Path,
        home: &Path,
        setup: &Setup,
        progress: &Progress,
    ) -> Result<Self, BenchError> {
        let home = make_directory(home, name)?;
        let twilio = setup.mock.base_url();
        let (live_numbers, environment) = (options.live_numbers, options.environment.as_slice());
        let onceward = Onceward { program, twilio: &twilio, live_numbers, environment };
        if live_numbers > 0 {
            let doing = format!("{name}: writing {live_numbers} live numbers");
            progress.begin(&doing);
            let progress = progress.clone();
            let written = move |so_far| progress.begin(&format!("{doing}: {so_far}"));
            live::fill(&onceward, &home, live_numbers, setup, written).await?;
        }
        progress.begin(&format!("starting {name}"));
        let begun = now();
        let child = start_onceward(name, &onceward, &home).await?;
        let results = server(name, what, Some(begun.elapsed()));
        Self::connected(options, results, child, Some(home.join("data")), setup).await
    }

    async fn connected(
        options: &Options,
        mut results: Server,
        child: Child,
        data: Option<PathBuf>,
        setup: &Setup,
    ) -> Result<Self, BenchError> {
        let mut processes = Processes::with_children(child.id());
        processes.data = data;
        results.idle_memory_bytes = processes.memory();
        let clients = Clients::connect(child.address()?, setup).await?;
        let background =
            Background::start(child.address()?, options.idle_connections, options.hanging_sends).await;
        let (warnings, processes, child) = (Warnings::default(), Some(processes), Some(child));
        Ok(Self { results, warnings, clients, processes, child, _background: background })
    }

    async fn external(options: &Options, external: &External, setup: &Setup) -> Result<Self, BenchError> {
        let address = external.address;
        let clients = Clients::connect(address, setup).await?;
        let processes = external.pid.map(Processes::with_children);
        if processes.as_ref().is_some_and(|processes| processes.cpu().is_none()) {
            return Err(BenchError::Refused("--pid names no process of this machine".to_owned()));
        }
        // A server that sends elsewhere would send thousands of messages to strangers.
        clients.probe().await.map_err(|what| BenchError::Server {
            name: address.to_string(),
            what: format!("{what}; nothing more was asked of it"),
            log: String::new(),
        })?;
        let results = server(&address.to_string(), "a server that the bench did not start", None);
        let background = Background::start(address, options.idle_connections, options.hanging_sends).await;
        Ok(Self {
            results,
            warnings: Warnings::default(),
            clients,
            processes,
            child: None,
            _background: background,
        })
    }

    pub fn cpu(&self) -> Option<Duration> {
        self.processes.as_ref().and_then(Processes::cpu)
    }

    pub async fn window(
        &self,
        length: Duration,
        rate: Option<u32>,
        passed: impl Fn(Duration),
    ) -> Result<Seen, BenchError> {
        self.clients.window(length, rate, self.processes.as_ref(), passed).await
    }

    /// The first errors and warnings that it logged.
    pub fn problems(&self) -> Vec<String> {
        self.child.as_ref().map(Child::problems).unwrap_or_default()
    }
}

fn server(name: &str, what: &str, ready: Option<Duration>) -> Server {
    let ready_ms = ready.map(|ready| ready.as_secs_f64() * 1e3);
    Server { name: name.to_owned(), what: what.to_owned(), ready_ms, ..Server::default() }
}

fn make_directory(parent: &Path, name: &str) -> Result<PathBuf, BenchError> {
    let directory = parent.join(name);
    std::fs::create_dir(&directory).map_err(BenchError::io("make a directory for a server"))?;
    Ok(directory)
}
