//! A run: the servers take turns, window by window, in rounds.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::pin::pin;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::args::{Options, WARM_UP};
use crate::machine::{self, CPU, Processes};
use crate::mock::Mock;
use crate::results::{Results, ServerResults, Window, rate, time};
use crate::say;
use crate::servers::{Child, Setup, Target};

/// Makes a run with its files in `home`. When `stop` completes, the finished rounds are the run; `None` if there is none.
pub async fn run(options: &Options, home: &Path, stop: impl Future<Output = ()>) -> Result<Option<Results>> {
    let mut stop = pin!(stop);
    let listen = options.gateway_listen.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let mock = Mock::start(listen, options.gateway_delay).await?;
    let setup = Setup { options, home, mock };
    let (machine, mut targets) = tokio::select! {
        started = start(&setup) => started?,
        () = &mut stop => return Ok(None),
    };
    #[expect(clippy::disallowed_methods, reason = "for people")]
    let began = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let own = Processes::one(std::process::id());
    let own_before = own.cpu();
    let mut rounds = 0;
    while rounds < options.rounds {
        tokio::select! {
            () = measure_round(&setup, rounds, &mut targets) => {}
            () = &mut stop => break,
        }
        rounds += 1;
    }
    if rounds == 0 {
        return Ok(None);
    }
    let own_cpu = own.cpu().zip(own_before).map(|(cpu, before)| cpu.saturating_sub(before));
    let mut warnings = general_warnings(options, home);
    let stopped = rounds < options.rounds;
    if stopped {
        warnings.push(format!("stopped after {rounds} of {} rounds", options.rounds));
    }
    let mut overloads = Vec::new();
    let mut servers: Vec<ServerResults> = Vec::new();
    for mut target in targets {
        // A stopped round does not count.
        target.results.windows.truncate(rounds as usize);
        let first = servers.iter().find(|server: &&ServerResults| server.routes == target.results.routes);
        target.results.summarise(first);
        let (server, name) = (&target.results, &target.results.name);
        overloads.extend(overload(server, options.rate).map(|why| format!("{name} {why}")));
        warnings.extend(doubts(server, options.rate).into_iter().map(|why| format!("{name}: {why}")));
        let logged = |line: &String| format!("{name} logged: {}", line.replace(char::is_control, " "));
        warnings.extend(target.child.iter().flat_map(Child::problems).map(|line| logged(&line)));
        servers.push(target.results);
    }
    let windows = servers.iter().flat_map(|server: &ServerResults| &server.windows);
    let answers: f64 =
        windows.flat_map(|window| ["answers", "refused", "unexpected"].map(|name| window.figure(name))).sum();
    let own_cpu_us = own_cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / answers.max(1.0));
    Ok(Some(Results {
        form: 1,
        program: concat!("onceward-bench ", env!("CARGO_PKG_VERSION")),
        began,
        machine,
        plan: plan(options),
        seed: options.seed,
        stopped,
        overloads,
        own_cpu_us,
        servers,
        warnings,
    }))
}

async fn start(setup: &Setup<'_>) -> Result<(String, Vec<Target>)> {
    // An error shows where a connection is opened.
    let maximum = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let machine = machine::describe(setup.home);
    let machine = machine.with_context(|| format!("cannot write to the disk of {}", setup.home.display()))?;
    let targets = setup.start_all().await?;
    for target in &targets {
        let window = window(setup, target, WARM_UP).await;
        if window.figure("answers") == 0.0 {
            let (name, refused) = (&target.results.name, window.figure("refused"));
            let why: Vec<String> =
                window.quotes.into_iter().chain(target.child.iter().flat_map(Child::problems)).collect();
            bail!(
                "the server {name} answered nothing as expected in {WARM_UP:?}; {refused} requests were refused as too \
                 many\n  {}",
                why.join("\n  ")
            );
        }
    }
    Ok((machine, targets))
}

async fn window(setup: &Setup<'_>, target: &Target, length: Duration) -> Window {
    target.clients.window(length, setup.options.rate, target.processes.as_ref()).await
}

/// One window for each server; they take turns to be first.
async fn measure_round(setup: &Setup<'_>, round: u32, targets: &mut [Target]) {
    let usage = |target: &Target| target.processes.as_ref().and_then(Processes::usage);
    let before: Vec<_> = targets.iter().map(usage).collect();
    for turn in 0..targets.len() {
        let which = (turn + round as usize) % targets.len();
        let target = &mut targets[which];
        say(&format!("round {} of {}: {}", round + 1, setup.options.rounds, target.results.name));
        let window = window(setup, target, setup.options.window()).await;
        target.results.windows.push(window);
    }
    // Each server is charged for the whole round: deferred work comes while another one is driven.
    for (target, before) in targets.iter_mut().zip(before) {
        let after = usage(target);
        let Some(window) = target.results.windows.last_mut() else { continue };
        let answers = window.figure("answers");
        if let Some((before, after)) = before.zip(after).filter(|_| answers > 0.0) {
            let used = after.into_iter().map(|(name, after)| (name, (after - before[name]) / answers));
            // Without a journal nothing is written into one.
            window.kinds[0].figures.extend(used.filter(|(name, used)| *name == CPU || *used > 0.0));
        }
    }
}

/// An open loop that achieves less of its rate, or has a larger share of refused requests, is overloaded.
const ACHIEVED_AT_LEAST: f64 = 0.95;
const REFUSED_AT_MOST: f64 = 0.01;

fn overload(server: &ServerResults, rate_asked: Option<u32>) -> Option<String> {
    let asked = rate_asked?;
    let least = f64::from(asked) * ACHIEVED_AT_LEAST;
    let achieved = |window: &Window| window.achieved_per_s.unwrap_or_default();
    let is_overloaded = |window: &&Window| {
        let refused = window.figure("refused");
        let share = refused / (window.figure("answers") + refused).max(1.0);
        window.dropped > 0 || achieved(window) < least || share > REFUSED_AT_MOST
    };
    let overloaded: Vec<&Window> = server.windows.iter().filter(is_overloaded).collect();
    let worst = overloaded.iter().map(|window| achieved(window)).min_by(f64::total_cmp)?;
    Some(format!(
        "was overloaded in {} of {} rounds: of {} requests/s asked for, {} were achieved; {} requests never left and {} \
         were refused. Latencies of such a run are too good: use a lower --rate or more --connections",
        overloaded.len(),
        server.windows.len(),
        asked,
        rate(worst),
        overloaded.iter().map(|window| window.dropped).sum::<u64>(),
        overloaded.iter().map(|window| window.figure("refused")).sum::<f64>()
    ))
}

/// A load that lets one request in a hundred leave this late measures itself.
const LATE_US: f64 = 2_000.0;

/// Rounds of one server that are further apart measured something else too.
const ROUNDS_AGREE: f64 = 1.5;

/// Reasons to doubt the windows of a server.
fn doubts(server: &ServerResults, rate_asked: Option<u32>) -> Vec<String> {
    let mut doubts = Vec::new();
    let late = server.windows.iter().map(|window| window.late_us).fold(0.0, f64::max);
    if late > LATE_US {
        doubts.push(format!(
            "the load itself was late: one request in a hundred left up to {} after its moment though a connection \
             was free. The load has too little CPU for this rate beside the servers, and latencies are too long",
            time(late)
        ));
    }
    let rates = || server.windows.iter().map(|window| window.figure("requests_per_s"));
    let (least, most) = (rates().fold(f64::INFINITY, f64::min), rates().fold(0.0, f64::max));
    if rate_asked.is_none() && most > least * ROUNDS_AGREE {
        doubts.push(format!(
            "its rounds differ, from {} to {} requests/s: something else kept the machine or its disk busy, or the \
             windows are too short",
            rate(least),
            rate(most)
        ));
    }
    let quotes: BTreeSet<&String> = server.windows.iter().flat_map(|window| &window.quotes).collect();
    doubts.extend(quotes.into_iter().map(|quote| format!("unexpected: {quote}")));
    doubts
}

fn general_warnings(options: &Options, home: &Path) -> Vec<String> {
    let mut warnings = Vec::new();
    if cfg!(debug_assertions) {
        warnings.push("the bench was built without optimisation: believe no figure here".to_owned());
    }
    if options.starts_onceward() && machine::is_in_memory(home) {
        warnings.push("the data are in memory, where a sync costs nothing: use --disk".to_owned());
    }
    let settings: Vec<String> = options.settings().into_iter().map(|(name, _)| name).collect();
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
        options.workload.name(),
        options.rate.map_or_else(|| "closed loop".to_owned(), open),
        options.connections,
        live,
        humantime::format_duration(options.gateway_delay),
        options.rounds,
        options.seconds,
        options.seed
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::KindResults;

    fn server(windows: impl IntoIterator<Item = Window>) -> ServerResults {
        ServerResults { windows: windows.into_iter().collect(), ..ServerResults::default() }
    }

    fn window(answers: f64, refused: f64) -> Window {
        let figures = [("answers", answers), ("refused", refused), ("requests_per_s", answers)].into();
        Window { kinds: vec![KindResults { figures, ..KindResults::default() }], ..Window::default() }
    }

    #[test]
    fn one_message_reports_an_open_loop_that_falls_behind_in_some_rounds() {
        let achieved = |rate, dropped| Window { achieved_per_s: Some(rate), dropped, ..window(640.0, 0.0) };
        let overloaded = server([achieved(990.0, 0), achieved(640.0, 7_000), achieved(700.0, 0)]);
        let why = overload(&overloaded, Some(1_000)).unwrap();
        let begins =
            "was overloaded in 2 of 3 rounds: of 1000 requests/s asked for, 640 were achieved; 7000 requests";
        assert!(why.starts_with(begins), "{why}");
        assert_eq!(overload(&server([achieved(990.0, 0)]), Some(1_000)), None);
        let refused = Window { achieved_per_s: Some(1_000.0), ..window(640.0, 10.0) };
        assert!(overload(&server([refused]), Some(1_000)).unwrap().contains("10 were refused"));
    }

    #[test]
    fn doubts_of_several_rounds_are_said_once() {
        let quotes = BTreeSet::from(["send: 500".to_owned()]);
        let late = |late_us, answers| Window { late_us, quotes: quotes.clone(), ..window(answers, 0.0) };
        let doubtful = server([late(4_000.0, 500.0), late(5_000.0, 1_000.0)]);
        let said = doubts(&doubtful, None);
        assert_eq!(said.len(), 3, "{said:?}");
        assert!(said[0].contains("one request in a hundred left up to 5.0ms"), "{said:?}");
        assert!(said[1].contains("rounds differ, from 500 to 1000"), "{said:?}");
        assert_eq!(said[2], "unexpected: send: 500");
        assert_eq!(doubts(&doubtful, Some(1_000)).len(), 2, "the rate of an open loop is that of the load");
        assert!(doubts(&server([window(500.0, 0.0), window(600.0, 0.0)]), None).is_empty());
    }
}
