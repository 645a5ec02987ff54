//! A run: the servers take turns, window by window, in rounds.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::pin::pin;
use std::time::{Duration, SystemTime};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::args::Options;
use crate::client::{PATIENCE, Seen, Setup};
use crate::error::BenchError;
use crate::machine::{self, Processes};
use crate::mock::Mock;
use crate::progress::Progress;
use crate::results::{Machine, Plan, Results, Window, float};
use crate::servers::Target;

/// Before the first window of each server: for connections, caches and the first journal segment.
pub const WARM_UP: Duration = Duration::from_secs(1);

/// Open files beside the connections: the runtime, timers, the mock.
const FILES: u64 = 1_500;

/// A run that has at least one finished round.
pub struct Done {
    pub results: Results,
    /// Of the load and its mock, per answer of any kind.
    pub own_cpu_us: Option<f64>,
    pub unexpected: u64,
    /// Servers for which the rate of an open loop was too high, with the reason.
    pub overloads: Vec<String>,
    /// The run was stopped after so many rounds.
    pub stopped: bool,
}

/// Makes a run with its files in `home`. When `stop` completes, the finished rounds are the run; `None` if there is none.
pub async fn run(
    options: &Options,
    home: &Path,
    mut progress: Progress,
    stop: impl Future<Output = ()>,
) -> Result<Option<Done>, BenchError> {
    let mut stop = pin!(stop);
    allow_open_files(options)?;
    let started = tokio::select! {
        started = start(options, home, &mut progress) => started?,
        () = &mut stop => return Ok(None),
    };
    let (machine, mut targets) = started;
    let began = SystemTime::UNIX_EPOCH + unix_time();
    let own = Processes::one(std::process::id());
    let own_before = own.cpu();
    let mut rounds = 0;
    while rounds < options.rounds {
        tokio::select! {
            measured = measure_round(options, rounds, &mut targets, &mut progress) => measured?,
            () = &mut stop => break,
        }
        rounds += 1;
    }
    if rounds == 0 {
        return Ok(None);
    }
    let own_cpu = own.cpu().zip(own_before).map(|(after, before)| after.saturating_sub(before));
    let mut warnings = general_warnings(options, &machine);
    let stopped = rounds < options.rounds;
    if stopped {
        warnings.push(format!("stopped after {rounds} of {} rounds", options.rounds));
    }
    let mut overloads = Vec::new();
    for target in &targets {
        let name = &target.results.name;
        overloads.extend(target.warnings.overload(rounds, options.rate).map(|why| format!("{name} {why}")));
        let sentences = target.warnings.sentences(rounds, options.rate);
        warnings.extend(sentences.iter().map(|sentence| format!("{name}: {sentence}")));
        let problem = |line: &String| format!("{name} logged: {}", line.replace(char::is_control, " "));
        warnings.extend(target.problems().iter().map(problem));
    }
    let results = Results {
        form: 1,
        program: concat!("onceward-bench ", env!("CARGO_PKG_VERSION")).to_owned(),
        began: humantime::format_rfc3339_seconds(began).to_string(),
        machine,
        plan: Plan { rounds, ..plan(options) },
        servers: targets.into_iter().map(|target| target.results).collect(),
        warnings,
    };
    let windows = || results.servers.iter().flat_map(|server| &server.windows);
    let kinds = || windows().flat_map(|window| &window.kinds);
    let answers: u64 = kinds().map(|kind| kind.answers + kind.refused + kind.unexpected).sum();
    let unexpected = kinds().map(|kind| kind.unexpected).sum();
    let own_cpu_us = own_cpu.filter(|_| answers > 0).map(|cpu| cpu.as_secs_f64() * 1e6 / float(answers));
    Ok(Some(Done { results, own_cpu_us, unexpected, overloads, stopped }))
}

/// Starts the servers and warms them up.
async fn start(
    options: &Options,
    home: &Path,
    progress: &mut Progress,
) -> Result<(Machine, Vec<Target>), BenchError> {
    progress.begin("looking at the disk");
    let machine = machine::describe(options.starts_onceward().then_some(home));
    let machine = machine.map_err(BenchError::io(format!("write to the disk of {}", home.display())))?;
    let listen = options.external.as_ref().map(|external| external.gateway_listen);
    let listen = listen.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let mock = Mock::start(listen, options.gateway_delay).await;
    let mock = mock.map_err(BenchError::io(format!("listen on {listen} as Twilio")))?;
    let Options { workload, answers, connections, seed, .. } = *options;
    let setup = Setup { workload, answers, connections, seed, mock };
    let targets = Target::start_all(options, home, &setup, progress).await?;
    for target in &targets {
        progress.begin(&format!("warming up {}", target.results.name));
        let seen = target.window(WARM_UP, options.rate, |time| progress.at(time)).await?;
        progress.window_ended(WARM_UP);
        if seen.latency.count == 0 {
            return Err(useless(target, &seen));
        }
    }
    Ok((machine, targets))
}

/// One window for each server; they take turns to be first.
async fn measure_round(
    options: &Options,
    round: u32,
    targets: &mut [Target],
    progress: &mut Progress,
) -> Result<(), BenchError> {
    let count = targets.len();
    let before: Vec<_> = targets.iter().map(Target::cpu).collect();
    let mut windows: Vec<Option<Seen>> = (0..count).map(|_| None).collect();
    for turn in 0..count {
        let which = (turn + usize::try_from(round).unwrap_or_default()) % count;
        let target = &targets[which];
        progress.begin(&format!("round {} of {}: {}", round + 1, options.rounds, target.results.name));
        windows[which] = Some(target.window(options.window, options.rate, |time| progress.at(time)).await?);
        progress.window_ended(options.window);
    }
    // Each server is charged for the whole round: deferred work comes while another one is driven.
    for ((target, seen), before) in targets.iter_mut().zip(windows).zip(before) {
        let Some(seen) = seen else { continue };
        let cpu = target.cpu().zip(before).map(|(after, before)| after.saturating_sub(before));
        target.warnings.look_at(round + 1, options.rate, &seen);
        target.results.windows.push(Window {
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

fn general_warnings(options: &Options, machine: &Machine) -> Vec<String> {
    let mut warnings = Vec::new();
    if cfg!(debug_assertions) {
        warnings.push("the bench was built without optimisation: believe no figure here".to_owned());
    }
    if matches!(machine.file_system.as_str(), "tmpfs" | "ramfs") {
        let kind = &machine.file_system;
        warnings.push(format!("the data are on a {kind}, in memory, where a sync costs nothing: use --disk"));
    }
    let settings: Vec<&str> = options.environment.iter().map(|(name, _)| name.as_str()).collect();
    if !settings.is_empty() {
        warnings.push(format!("onceward does not have its default settings: {}", settings.join(", ")));
    }
    warnings
}

fn plan(options: &Options) -> Plan {
    Plan {
        workload: options.workload.name(),
        connections: options.connections,
        rate: options.rate,
        gateway_delay_ms: u64::try_from(options.gateway_delay.as_millis()).unwrap_or(u64::MAX),
        live_numbers: options.live_numbers,
        idle_connections: options.idle_connections,
        hanging_sends: options.hanging_sends,
        window_s: options.window.as_secs_f64(),
        rounds: options.rounds,
        seed: options.seed,
    }
}

#[expect(clippy::disallowed_methods, reason = "when the run began, for people")]
fn unix_time() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

fn useless(target: &Target, seen: &Seen) -> BenchError {
    let mut what = format!("answered nothing as expected in {} s", WARM_UP.as_secs());
    let refused: u64 = seen.kinds.iter().map(|kind| kind.refused).sum();
    if refused > 0 {
        what.extend(["; ", &refused.to_string(), " requests were refused as too many"]);
    }
    for quote in &seen.quotes {
        what.extend(["\n  ", quote]);
    }
    BenchError::Server { name: target.results.name.clone(), what, log: target.problems().join("\n  ") }
}

fn allow_open_files(options: &Options) -> Result<(), BenchError> {
    let each = if options.rate.is_some() { 2 } else { 1 };
    let connections = options.connections * each + options.idle_connections + options.hanging_sends;
    let wanted = u64::from(connections) * u64::from(options.servers()) + FILES;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_some_and(|current| current < wanted) {
        let enough = maximum.is_none_or(|maximum| maximum >= wanted);
        if !enough || setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_err() {
            return Err(BenchError::Refused(format!(
                "so many connections need {wanted} open files, and the limit is {}: use fewer connections or raise it \
                 (ulimit -n)",
                maximum.unwrap_or(u64::MAX)
            )));
        }
    }
    Ok(())
}

impl Options {
    pub fn servers(&self) -> u32 {
        1 + u32::from(self.baseline.is_some()) + u32::try_from(self.beside.len()).unwrap_or(u32::MAX)
    }

    pub fn starts_onceward(&self) -> bool {
        self.external.is_none() || self.baseline.is_some()
    }

    /// How long the measured part takes.
    pub fn length(&self) -> Duration {
        (WARM_UP + self.window * self.rounds) * self.servers()
    }

    /// How long it may take when servers do not answer.
    pub fn length_at_most(&self) -> Duration {
        let late = if self.rate.is_some() { self.window } else { Duration::ZERO } + PATIENCE;
        self.length() + (WARM_UP + PATIENCE + late * self.rounds) * self.servers()
    }
}
