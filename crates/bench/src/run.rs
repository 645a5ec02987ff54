//! A run: the servers take turns, window by window, in rounds.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::{Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;

use crate::args::{Options, WARM_UP};
use crate::ceiling::Mock;
use crate::servers::{CPU, Setup, Target};

/// Makes a run with its files in `home`.
pub async fn run(options: &Options, home: &Path) -> Result<Results> {
    let mock = Mock::start(options.gateway_listen, options.gateway_delay).await?;
    let setup = Setup { options, home, mock };
    let mut targets = start(&setup).await?;
    for round in 0..options.rounds {
        measure_round(&setup, round, &mut targets).await;
    }
    let mut warnings = Vec::new();
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
        options: std::env::args().skip(1).collect(),
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
            let name = &target.results.name;
            let why: Vec<String> = window.quotes.into_iter().collect();
            bail!("the server {name} answered nothing as expected in {WARM_UP:?}\n  {}", why.join("\n  "));
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

// The measurements of a run and their summary: medians over the rounds, and ratios that are made in each round.
// Windows of one round are close together in time: a ratio within a round says more than one of two medians.

/// All kinds of requests together; the first of them in order.
pub const ALL: &str = "all answers";

/// Prints a line to standard error: standard output has the results alone.
pub fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// The output.
#[derive(Serialize)]
pub struct Results {
    pub program: &'static str,
    /// The command line; every other option has its default.
    pub options: Vec<String>,
    /// The ratios compare the first server with the others of the same routes.
    pub servers: Vec<ServerResults>,
    pub warnings: Vec<String>,
}

#[derive(Serialize)]
pub struct ServerResults {
    pub name: String,
    /// `/api` or `/v2`.
    pub routes: &'static str,
    /// Figures of its start: `ready_ms` from the start of its process, `idle_memory_mib` before the first request.
    #[serde(skip)]
    pub start: Figures,
    /// [`ALL`], and each kind of request.
    pub summary: BTreeMap<&'static str, Summary>,
    pub windows: Vec<Window>,
}

/// [`ALL`] or one kind of requests, in all rounds.
#[derive(Default, Serialize)]
pub struct Summary {
    /// Sums of the counts of all rounds, the greatest `memory_mib`, and the medians of the others.
    pub figures: Figures,
    /// The first server's figures divided by these: the median of the ratios of each round.
    pub ratios: Figures,
}

/// By name; a figure that could not be had is missing.
pub type Figures = BTreeMap<&'static str, f64>;

#[derive(Serialize)]
pub struct Window {
    /// From the first request to the last answer.
    pub lasted_s: f64,
    /// [`ALL`], and such as `check, wrong code`. Times are those of the expected answers, CPU that of the whole round and
    /// all processes of the server.
    pub kinds: BTreeMap<&'static str, Figures>,
    /// Of an open loop: requests that never left.
    pub dropped: u64,
    /// The first unexpected answers, each once.
    pub quotes: BTreeSet<String>,
}

impl Window {
    /// A figure of all answers, or 0.
    pub fn figure(&self, name: &str) -> f64 {
        self.kinds.get(ALL).and_then(|all| all.get(name)).copied().unwrap_or_default()
    }
}

impl ServerResults {
    pub fn summarise(&mut self, first: Option<&Self>) {
        let kinds: BTreeSet<&str> =
            self.windows.iter().flat_map(|window| window.kinds.keys().copied()).collect();
        for kind in kinds {
            let own = self.windows.iter().filter_map(|window| window.kinds.get(kind).cloned());
            let mut figures = over_rounds(own);
            if kind == ALL {
                figures.extend(&self.start);
            }
            let pairs = first.into_iter().flat_map(|first| first.windows.iter().zip(&self.windows));
            let ratios = pairs.filter_map(|(first, this)| {
                let (first, this) = (first.kinds.get(kind)?, this.kinds.get(kind)?);
                let ratio = |(name, figure): (&&'static str, &f64)| Some((*name, figure / this.get(name)?));
                // Sums differ as rates do.
                let is_compared = |name: &str| !matches!(name, "answers" | "unexpected");
                let ratios = first.iter().filter_map(ratio);
                Some(ratios.filter(|(name, ratio)| is_compared(name) && ratio.is_finite()).collect())
            });
            self.summary.insert(kind, Summary { figures, ratios: over_rounds(ratios) });
        }
    }
}

fn over_rounds(rounds: impl Iterator<Item = Figures>) -> Figures {
    let mut by_name = BTreeMap::<&'static str, Vec<f64>>::new();
    for (name, figure) in rounds.flatten() {
        by_name.entry(name).or_default().push(figure);
    }
    let combined = |(name, mut figures): (&'static str, Vec<f64>)| {
        figures.sort_by(f64::total_cmp);
        let figure = match name {
            "answers" | "unexpected" => figures.iter().sum(),
            "memory_mib" => *figures.last()?,
            // Of an even number of values the mean of the two in the middle.
            _ => f64::midpoint(figures[(figures.len() - 1) / 2], figures[figures.len() / 2]),
        };
        Some((name, figure))
    };
    by_name.into_iter().filter_map(combined).collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts and bytes of a bench")]
pub const fn float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_show_the_sum_of_counts_the_greatest_memory_and_other_medians() {
        let round = |answers, memory_mib, p50_us| {
            Figures::from([("answers", answers), ("memory_mib", memory_mib), ("p50_us", p50_us)])
        };
        let found = over_rounds([round(1.0, 9.0, 5.0), round(2.0, 3.0, 1.0)].into_iter());
        assert_eq!(found, round(3.0, 9.0, 3.0));
    }
}
