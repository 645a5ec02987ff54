//! The servers of a run: started, connected to, driven in turn.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use super::child::Child;
use super::doubts::Doubts;
use super::driver::{Driver, Seen};
use super::line::Parts;
use super::moments::now;
use super::options::{Options, Target, Watcher};
use super::process::Processes;
use super::twilio::{ACCOUNT_SID, AUTH_TOKEN, SENDER, Twilio};
use super::{BenchError, Beside, live, reference, results};
use crate::clock::{Clock, SystemClock};
use crate::store::Store as _;

/// The default life of a code, and how long a number is remembered beyond it: what is written must be what a server with
/// these settings would have written, or it shortens it.
const CODE_LIVES: Duration = Duration::from_secs(30);
const REMEMBERED: Duration = Duration::from_secs(30 * 60);

/// One server in a run.
pub struct Contestant {
    /// Its row in the results.
    pub results: results::Server,
    /// What makes its windows doubtful.
    pub doubts: Doubts,
    driver: Driver,
    processes: Option<Processes>,
    child: Option<Child>,
}

impl Contestant {
    /// The server of the run that all others are compared with.
    pub async fn first(
        options: &Options,
        home: &Path,
        twilio: &Twilio,
        watcher: &dyn Watcher,
    ) -> Result<Self, BenchError> {
        if let Some(target) = &options.target {
            return Self::there(options, target, twilio).await;
        }
        if options.live_numbers > 0 {
            fill(&home.join("data"), options.live_numbers, watcher).await?;
        }
        Self::of(options, Beside::Onceward, home, twilio).await
    }

    /// A server that is started now.
    pub async fn of(
        options: &Options,
        which: Beside,
        home: &Path,
        twilio: &Twilio,
    ) -> Result<Self, BenchError> {
        let begun = now();
        let command = match which {
            Beside::Onceward => onceward(options, home, twilio),
            other => reference::command(options, other, &twilio.base_url(), home),
        };
        let child = Child::start(which.name(), command).await?;
        if which == Beside::Onceward {
            child.ready().await?;
        }
        let ready_ms = Some(begun.elapsed().as_secs_f64() * 1e3);
        let driver = connect(options, &Parts::of(child.address()), twilio).await?;
        let processes = Some(Processes::with_children(child.id()));
        let (name, what) = (which.name().to_owned(), reference::what(which).to_owned());
        let results = results::Server { name, what, windows: Vec::new(), ready_ms };
        Ok(Self { results, doubts: Doubts::default(), driver, processes, child: Some(child) })
    }

    async fn there(options: &Options, target: &Target, twilio: &Twilio) -> Result<Self, BenchError> {
        let driver = connect(options, &Parts::of(target.address), twilio).await?;
        let processes = target.pid.map(Processes::with_children);
        if let Some(pid) = target.pid
            && Processes::one(pid).cpu().is_none()
        {
            return Err(BenchError::Refused(format!("there is no process {pid} on this machine")));
        }
        // A server that sends elsewhere would send thousands of messages to strangers.
        driver.probe().await.map_err(|what| BenchError::Server {
            name: target.address.to_string(),
            what: format!("{what}; nothing more was asked of it"),
            log: String::new(),
        })?;
        let (name, what) = (target.address.to_string(), "a server that was there before".to_owned());
        let results = results::Server { name, what, windows: Vec::new(), ready_ms: None };
        Ok(Self { results, doubts: Doubts::default(), driver, processes, child: None })
    }

    /// CPU time so far.
    pub fn cpu(&self) -> Option<Duration> {
        self.processes.as_ref().and_then(Processes::cpu)
    }

    /// One window.
    pub async fn drive(
        &self,
        length: Duration,
        rate: Option<u32>,
        passes: impl Fn(Duration),
    ) -> Result<Seen, BenchError> {
        self.driver.window(length, rate, self.processes.as_ref(), passes).await
    }

    /// Its trouble, as far as it logged any.
    pub fn troubles(&self) -> Vec<String> {
        self.child.as_ref().map(Child::troubles).unwrap_or_default()
    }
}

async fn connect(options: &Options, parts: &Parts, twilio: &Twilio) -> Result<Driver, BenchError> {
    let kind = (options.workload, options.answers);
    Driver::connect(parts, twilio, kind, (options.connections, options.seed)).await
}

/// Numbers that may come in one run: so many that no run meets the limit.
const MAY_COME: u64 = 40_000_000;

/// The real thing, as an operator starts it, with its settings at their defaults but for those given, and for the limit
/// on numbers, which a fast server would reach within a minute.
pub fn onceward(options: &Options, home: &Path, twilio: &Twilio) -> Command {
    let mut command = Command::new(&options.program);
    command
        .args(["--listen", "127.0.0.1:0", "--log-format", "json", "--data-dir", "data"])
        .current_dir(home)
        .env_clear()
        .env("TWILIO_ACCOUNT_SID", ACCOUNT_SID)
        .env("TWILIO_AUTH_TOKEN", AUTH_TOKEN)
        .env("TWILIO_PHONE_NUMBER", SENDER)
        .env("TWILIO_BASE_URL", twilio.base_url())
        // Else it would make credentials and log them, as something that a person must see.
        .env("ONCEWARD_ACCOUNT_SID", ACCOUNT_SID)
        .env("ONCEWARD_AUTH_TOKEN", AUTH_TOKEN)
        .env("ONCEWARD_MAX_NUMBERS", (options.live_numbers + MAY_COME).to_string())
        .envs(options.environment.iter().map(|(name, value)| (name, value)));
    command
}

async fn fill(data: &Path, numbers: u64, watcher: &dyn Watcher) -> Result<(), BenchError> {
    watcher.begins(&format!("writing {numbers} live numbers"));
    live::make_data_dir(data)?;
    let clock = Arc::new(SystemClock::start());
    let code = clock.now().plus(CODE_LIVES);
    let ends = live::Ends { code, record: code.plus(REMEMBERED) };
    let store = live::open(data, clock.clone()).await?;
    let said = |so_far: u64| {
        if so_far.is_multiple_of(500_000) {
            watcher.begins(&format!("writing {numbers} live numbers: {so_far}"));
        }
    };
    live::fill(&store, 0..numbers, ends, said).await?;
    store.close().await.map_err(|error| BenchError::Store(error.to_string()))
}
