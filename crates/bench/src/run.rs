//! A run: the servers take turns, window by window, in rounds.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Result, bail};
use clap::ValueEnum;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::args::{Options, WARM_UP, settings};
use crate::machine::CPU;
use crate::mock::Mock;
use crate::results::{ALL, Results, ServerResults, say};
use crate::servers::{Setup, Target};

/// Makes a run with its files in `home`.
pub async fn run(options: &Options, home: &Path) -> Result<Results> {
    let mock = Mock::start(options.gateway_listen, options.gateway_delay).await?;
    let setup = Setup { options, home, mock };
    let mut targets = start(&setup).await?;
    #[expect(clippy::disallowed_methods, reason = "for people")]
    let began = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    for round in 0..options.rounds {
        measure_round(&setup, round, &mut targets).await;
    }
    let mut warnings = general_warnings();
    let mut servers: Vec<ServerResults> = Vec::new();
    for mut target in targets {
        let first = servers.iter().find(|server: &&ServerResults| server.routes == target.results.routes);
        target.results.summarise(first);
        let (server, name) = (&target.results, &target.results.name);
        let quotes: BTreeSet<&String> = server.windows.iter().flat_map(|window| &window.quotes).collect();
        warnings.extend(quotes.into_iter().map(|quote| format!("{name}: unexpected: {quote}")));
        servers.push(target.results);
    }
    Ok(Results {
        program: concat!("onceward-bench ", env!("CARGO_PKG_VERSION")),
        began,
        plan: plan(options),
        seed: options.seed,
        servers,
        warnings,
    })
}

async fn start(setup: &Setup<'_>) -> Result<Vec<Target>> {
    // An error shows where a connection is opened.
    let maximum = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let targets = setup.start_all().await?;
    for target in &targets {
        let window = target.clients.window(WARM_UP, setup.options.rate).await;
        if window.figure("answers") == 0.0 {
            let (name, refused) = (&target.results.name, window.figure("refused"));
            let why: Vec<String> = window.quotes.into_iter().collect();
            bail!(
                "the server {name} answered nothing as expected in {WARM_UP:?}; {refused} requests were refused as too \
                 many\n  {}",
                why.join("\n  ")
            );
        }
    }
    Ok(targets)
}

/// One window for each server; they take turns to be first.
async fn measure_round(setup: &Setup<'_>, round: u32, targets: &mut [Target]) {
    let before: Vec<_> = targets.iter().map(|target| target.processes.usage()).collect();
    for turn in 0..targets.len() {
        let which = (turn + round as usize) % targets.len();
        let target = &mut targets[which];
        say(&format!("round {} of {}: {}", round + 1, setup.options.rounds, target.results.name));
        let mut window = target.clients.window(setup.options.window(), setup.options.rate).await;
        let memory = target.processes.memory_mib().map(|memory| ("memory_mib", memory));
        window.kinds.entry(ALL).or_default().extend(memory);
        target.results.windows.push(window);
    }
    // Each server is charged for the whole round: deferred work comes while another one is driven.
    for (target, before) in targets.iter_mut().zip(before) {
        let after = target.processes.usage();
        let Some(window) = target.results.windows.last_mut() else { continue };
        let answers = window.figure("answers");
        if let Some((before, after)) = before.zip(after).filter(|_| answers > 0.0) {
            let used = after.into_iter().map(|(name, after)| (name, (after - before[name]) / answers));
            // Without a journal nothing is written into one.
            let used = used.filter(|(name, used)| *name == CPU || *used > 0.0);
            window.kinds.entry(ALL).or_default().extend(used);
        }
    }
}

fn general_warnings() -> Vec<String> {
    let mut warnings = Vec::new();
    if cfg!(debug_assertions) {
        warnings.push("the bench was built without optimisation: believe no figure here".to_owned());
    }
    let settings: Vec<String> = settings().into_iter().map(|(name, _)| name).collect();
    if !settings.is_empty() {
        warnings.push(format!("onceward does not have its default settings: {}", settings.join(", ")));
    }
    warnings
}

/// The parameters of the run, in words.
pub fn plan(options: &Options) -> String {
    let open = |rate: u32| format!("open loop at {rate} requests/s");
    let live = Some(options.live_numbers).filter(|numbers| *numbers > 0);
    let live = live.map(|numbers| format!(", {numbers} live numbers")).unwrap_or_default();
    format!(
        "{}, {}, {} connections{}, provider answers after {}, rounds: {}, each of {} s, seed {}",
        options.workload.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default(),
        options.rate.map_or_else(|| "closed loop".to_owned(), open),
        options.connections,
        live,
        humantime::format_duration(options.gateway_delay),
        options.rounds,
        options.seconds,
        options.seed
    )
}
