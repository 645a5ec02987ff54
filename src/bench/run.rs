//! A run: servers in turn, in rounds, and what becomes of it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::driver::{PATIENCE, Seen};
use super::options::{Options, Watcher};
use super::process::Processes;
use super::results::{Plan, Results, Window};
use super::servers::Contestant;
use super::twilio::Twilio;
use super::{BenchError, Beside, machine};
use crate::clock::{Clock, SystemClock};

/// Before the first window of each server: long enough for connections, caches and the first journal segment.
pub const WARM_UP: Duration = Duration::from_secs(1);

/// Open files beside the connections: the runtime, timers, the double's connections, the store that is filled.
const FILES: u64 = 1_500;

/// A run that was made.
#[derive(Debug)]
pub struct Done {
    /// What was measured.
    pub results: Results,
    /// CPU time of the load itself and of its double, in microseconds per answer of any kind.
    pub own_cpu_us: Option<f64>,
    /// Answers that were not as the contract promises.
    pub unexpected: u64,
}

impl Options {
    /// How many servers it has.
    pub fn servers(&self) -> u32 {
        1 + u32::try_from(self.beside.len()).unwrap_or(u32::MAX)
    }

    /// Whether a server of this program's own is in it, with data on the disk.
    pub fn starts_onceward(&self) -> bool {
        self.target.is_none() || self.beside.contains(&Beside::Onceward)
    }

    /// How long the measured part takes.
    pub fn length(&self) -> Duration {
        (WARM_UP + self.window * self.rounds) * self.servers()
    }

    /// How long it may take when servers do not answer, without their start.
    pub fn length_at_most(&self) -> Duration {
        let late = if self.rate.is_some() { self.window } else { Duration::ZERO } + PATIENCE;
        self.length() + (WARM_UP + PATIENCE + late * self.rounds) * self.servers()
    }
}

/// Makes a run; `home` is an empty directory, which the caller removes. To stop it, drop the future: its servers end.
///
/// # Errors
///
/// Something is missing or a server does not work at all. Single answers that are wrong are in the results.
pub async fn run(options: &Options, home: &Path, watcher: &dyn Watcher) -> Result<Done, BenchError> {
    allow_open_files(options)?;
    watcher.begins("looking at the disk");
    let machine = machine::describe(options.starts_onceward().then_some(home));
    let machine = machine.map_err(BenchError::io(format!("write to the disk of {}", home.display())))?;
    let listen = options.target.as_ref().map(|target| target.gateway_listen);
    let listen = listen.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let twilio = Twilio::start(listen).await;
    let twilio = twilio.map_err(BenchError::io(format!("listen on {listen} as Twilio")))?;
    twilio.takes(options.gateway_delay);
    watcher.begins("starting the servers");
    let began = humantime::format_rfc3339_seconds(
        SystemTime::UNIX_EPOCH + Duration::from_millis(SystemClock::start().now().as_millis()),
    );
    let mut servers = vec![Contestant::first(options, home, &twilio, watcher).await?];
    for which in &options.beside {
        let directory = home.join(which.name());
        std::fs::create_dir(&directory).map_err(BenchError::io("make a directory for a server"))?;
        servers.push(Contestant::of(options, *which, &directory, &twilio).await?);
    }
    let mut clock = Progress { watcher, passed: Duration::ZERO };
    for server in &servers {
        clock.begins(&format!("warming up {}", server.results.name));
        let seen = server.drive(WARM_UP, options.rate, |time| clock.at(time)).await?;
        clock.passed += WARM_UP;
        if seen.latency.count == 0 {
            return Err(useless(server, &seen));
        }
    }
    let own = Processes::one(std::process::id());
    let own_before = own.cpu();
    for round in 0..options.rounds {
        measure_round(options, round, &mut servers, &mut clock).await?;
    }
    let own_cpu = own.cpu().zip(own_before).map(|(after, before)| after.saturating_sub(before));
    let mut warnings = general_doubts(options, &machine.file_system);
    for server in &servers {
        let name = &server.results.name;
        let doubts = server.doubts.told(options.rounds, options.rate);
        warnings.extend(doubts.iter().map(|doubt| format!("{name}: {doubt}")));
        warnings.extend(server.troubles().iter().map(|line| format!("{name} logged: {line}")));
    }
    let results = Results {
        form: 1,
        program: concat!("onceward ", env!("CARGO_PKG_VERSION")).to_owned(),
        began: began.to_string(),
        machine,
        plan: plan(options),
        servers: servers.into_iter().map(|server| server.results).collect(),
        warnings,
    };
    Ok(done(results, own_cpu))
}

/// One window for each server; they take turns to be first.
async fn measure_round(
    options: &Options,
    round: u32,
    servers: &mut [Contestant],
    clock: &mut Progress<'_>,
) -> Result<(), BenchError> {
    let count = servers.len();
    let before: Vec<_> = servers.iter().map(Contestant::cpu).collect();
    let mut windows: Vec<Option<Seen>> = (0..count).map(|_| None).collect();
    for turn in 0..count {
        let which = (turn + usize::try_from(round).unwrap_or_default()) % count;
        let server = &servers[which];
        clock.begins(&format!("round {} of {}: {}", round + 1, options.rounds, server.results.name));
        windows[which] = Some(server.drive(options.window, options.rate, |time| clock.at(time)).await?);
        clock.passed += options.window;
    }
    // Each server is charged for the whole round: work that it put off comes while another one is driven.
    for ((server, seen), before) in servers.iter_mut().zip(windows).zip(before) {
        let Some(seen) = seen else { continue };
        let cpu = server.cpu().zip(before).map(|(after, before)| after.saturating_sub(before));
        server.doubts.look_at(round + 1, &seen);
        server.results.windows.push(Window {
            lasted_s: seen.lasted.as_secs_f64(),
            kinds: seen.kinds,
            latency: seen.latency,
            cpu_us: cpu.and_then(|cpu| u64::try_from(cpu.as_micros()).ok()),
            memory_bytes: seen.samples.iter().filter_map(|sample| sample.memory_bytes).max(),
            samples: seen.samples,
        });
    }
    Ok(())
}

fn general_doubts(options: &Options, file_system: &str) -> Vec<String> {
    let mut doubts = Vec::new();
    if cfg!(debug_assertions) {
        doubts.push(
            "this program was built without optimisation: no figure here is one of a release build".into(),
        );
    }
    if matches!(file_system, "tmpfs" | "ramfs") {
        doubts.push(format!(
            "the data are on a {file_system}, in memory, where a sync costs nothing: use --disk"
        ));
    }
    let settings: Vec<&str> = options.environment.iter().map(|(name, _)| name.as_str()).collect();
    if !settings.is_empty() {
        doubts.push(format!("onceward does not have its default settings: {}", settings.join(", ")));
    }
    doubts
}

fn plan(options: &Options) -> Plan {
    Plan {
        workload: options.workload.name().to_owned(),
        connections: options.connections,
        rate: options.rate,
        gateway_delay_ms: u64::try_from(options.gateway_delay.as_millis()).unwrap_or(u64::MAX),
        live_numbers: options.live_numbers,
        window_s: options.window.as_secs_f64(),
        rounds: options.rounds,
        seed: options.seed,
    }
}

fn done(results: Results, own_cpu: Option<Duration>) -> Done {
    let kinds = results.servers.iter().flat_map(|server| &server.windows).flat_map(|window| &window.kinds);
    let (mut all, mut unexpected) = (0, 0);
    for kind in kinds {
        all += kind.answers + kind.refused + kind.unexpected;
        unexpected += kind.unexpected;
    }
    #[expect(clippy::cast_precision_loss, reason = "no run has 2^53 answers")]
    let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / (all as f64);
    let own_cpu_us = own_cpu.filter(|_| all > 0).map(each);
    Done { results, own_cpu_us, unexpected }
}

/// A server that answers nothing as promised is not measured.
fn useless(server: &Contestant, seen: &Seen) -> BenchError {
    let mut what = format!("answered nothing as expected in {} s", WARM_UP.as_secs());
    let refused: u64 = seen.kinds.iter().map(|kind| kind.refused).sum();
    if refused > 0 {
        what.extend(["; ", &refused.to_string(), " requests were refused as too many"]);
    }
    for quote in &seen.quotes {
        what.extend(["\n  ", quote]);
    }
    let log = server.troubles().join("\n  ");
    BenchError::Server { name: server.results.name.clone(), what, log }
}

fn allow_open_files(options: &Options) -> Result<(), BenchError> {
    let each = if options.rate.is_some() { 2 } else { 1 };
    let wanted = u64::from(options.connections) * u64::from(options.servers()) * each + FILES;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_some_and(|current| current < wanted) {
        let raised = Rlimit { current: maximum, maximum };
        let enough = maximum.is_none_or(|maximum| maximum >= wanted);
        if !enough || setrlimit(Resource::Nofile, raised).is_err() {
            return Err(BenchError::Refused(format!(
                "so many connections need {wanted} open files, and the limit is {}: use fewer --connections or raise it \
                 (ulimit -n)",
                maximum.unwrap_or(u64::MAX)
            )));
        }
    }
    Ok(())
}

/// How far the run is.
struct Progress<'a> {
    watcher: &'a dyn Watcher,
    /// Of the measured time, before the present window.
    passed: Duration,
}

impl Progress<'_> {
    fn begins(&self, what: &str) {
        self.watcher.begins(what);
    }

    fn at(&self, time: Duration) {
        self.watcher.at(self.passed + time);
    }
}
