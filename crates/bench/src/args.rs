//! The command line, and combinations that make no sense.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum, value_parser};
use rand::TryRng;
use rand::rngs::SysRng;

use crate::contract::Routes;
use crate::script::{LIVE_AT_MOST, Workload};

/// Before the first window of each server: for connections, caches and the first journal segment.
pub const WARM_UP: Duration = Duration::from_secs(1);

/// Codes live 30 s by default: they expire on a connection that sends fewer requests.
const SECONDS_BETWEEN_REQUESTS: u32 = 20;

/// Messages of a bench go to its mock only: these choose the gateways.
const GATEWAY_SETTINGS: [&str; 2] = ["ONCEWARD_OTP_SMS_PROVIDER", "ONCEWARD_GATEWAYS"];

/// Drives servers as clients would, plays Twilio for them, checks every answer and compares costs.
///
/// On loopback. Needs no account and sends no messages; uses all the CPU that it gets.
#[derive(Debug, Parser)]
#[command(name = "onceward-bench", version, after_help = include_str!("help.txt"), max_term_width = 110)]
pub struct Options {
    /// Be the ceiling, with the mock of Twilio at this URL.
    #[arg(long, hide = true, value_name = "URL")]
    pub be_ceiling: Option<String>,

    /// Requests of the clients.
    #[arg(long, value_name = "NAME", default_value = "send-verify")]
    pub workload: Workload,

    /// Routes that the clients use; with `api,v2` each program has a server for either.
    #[arg(long, value_name = "NAMES", default_value = "api", value_delimiter = ',')]
    pub routes: Vec<Routes>,

    /// Connections, each with one request at a time.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = value_parser!(u32).range(1..=10_000))]
    pub connections: u32,

    /// Open loop: N requests per second over all connections.
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub rate: Option<u32>,

    /// Length of one window; each round has one for each server.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = value_parser!(u64).range(1..=172_800))]
    pub seconds: u64,

    /// Rounds; the servers take turns to be first.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = value_parser!(u32).range(1..=100))]
    pub rounds: u32,

    /// Seed of all numbers and choices: the same seed, the same requests [default: random].
    #[arg(long, value_name = "N", default_value_t = random_seed(), hide_default_value = true)]
    pub seed: u64,

    /// The onceward under test [default: the one beside this program].
    #[arg(long, value_name = "PATH", value_parser = |path: &str| fs::canonicalize(path), help_heading = "Servers")]
    onceward: Option<PathBuf>,

    /// Another onceward to compare with, also an older one.
    #[arg(long, value_name = "PATH", value_parser = |path: &str| fs::canonicalize(path), help_heading = "Servers")]
    pub baseline: Option<PathBuf>,

    /// What to compare with besides [default: ceiling, and none with --target].
    #[arg(long, value_name = "NAME", help_heading = "Servers")]
    beside: Option<Comparison>,

    /// Where an onceward keeps its data: a directory on the disk that is of interest.
    #[arg(long, value_name = "DIR", default_value = ".", help_heading = "Servers")]
    pub disk: PathBuf,

    /// The server under test runs already at this address of loopback, such as `127.0.0.1:8080`.
    #[arg(long, value_name = "ADDR", value_parser = loopback, requires = "gateway_listen", conflicts_with = "onceward", help_heading = "Servers")]
    pub target: Option<SocketAddr>,

    /// Where to be Twilio for that server, such as `127.0.0.1:4010`. Its Twilio base URL must be `http://ADDR`.
    #[arg(long, value_name = "ADDR", value_parser = loopback, requires = "target", help_heading = "Servers")]
    pub gateway_listen: Option<SocketAddr>,

    /// The process of that server, for its CPU time and memory; its children count too.
    #[arg(long, value_name = "PID", requires = "target", value_parser = value_parser!(u32).range(1..), help_heading = "Servers")]
    pub pid: Option<u32>,

    /// Delay of each answer from the mock of Twilio, such as 80ms; less than 9s.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = humantime::parse_duration, help_heading = "Circumstances")]
    pub gateway_delay: Duration,

    /// Numbers that were sent a code before every onceward starts.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = value_parser!(u64).range(0..=LIVE_AT_MOST), conflicts_with = "target", help_heading = "Circumstances")]
    pub live_numbers: u64,

    /// Also write the results to this file, as JSON.
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    pub json: Option<PathBuf>,

    /// Fail when CPU per request is more than X times that of any server beside.
    #[arg(long, value_name = "X", help_heading = "Results")]
    pub max_cpu_ratio: Option<f64>,

    /// Fail when requests/s are less than X times those of any server beside.
    #[arg(long, value_name = "X", help_heading = "Results")]
    pub min_rate_ratio: Option<f64>,
}

impl Options {
    /// Checks the options against each other, before anything is started.
    pub fn check(&self) -> Result<()> {
        let outlasts = self.live_numbers > 0 && self.length() > Duration::from_secs(20 * 60);
        ensure!(!outlasts, "with --live-numbers a run is at most 20 minutes: after half an hour they end");
        let gives_up = self.gateway_delay.as_secs() >= 9;
        ensure!(!gives_up, "--gateway-delay is less than 9s: delivery gives up after 10 s");
        let expire = self.connections / self.rate.unwrap_or(u32::MAX) >= SECONDS_BETWEEN_REQUESTS;
        ensure!(
            !expire,
            "at this --rate codes expire between the requests of a connection: use fewer connections"
        );
        ensure!(self.disk.is_dir(), "--disk {} is not a directory", self.disk.display());
        if let Some(path) = &self.json {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            ensure!(parent.is_none_or(Path::is_dir), "{}: no such directory", path.display());
        }
        if self.target.is_none() { self.onceward().map(drop) } else { Ok(()) }
    }

    /// The program under test, where --target does not name a server.
    pub fn onceward(&self) -> Result<PathBuf> {
        let beside_this = || Ok::<_, anyhow::Error>(std::env::current_exe()?.with_file_name("onceward"));
        let path = self.onceward.clone().map_or_else(beside_this, Ok)?;
        let why = "build it (cargo build --release), or name one with --onceward";
        ensure!(path.is_file(), "there is no {}: {why}", path.display());
        Ok(path)
    }

    pub fn has_ceiling(&self) -> bool {
        self.beside.map_or(self.target.is_none(), |beside| beside == Comparison::Ceiling)
    }

    pub fn starts_onceward(&self) -> bool {
        self.target.is_none() || self.baseline.is_some()
    }

    /// Variables of the environment that reach every onceward of the run.
    pub fn settings(&self) -> Vec<(String, String)> {
        let is_setting = |name: &str| name.starts_with("ONCEWARD_") && !GATEWAY_SETTINGS.contains(&name);
        let all = std::env::vars_os().filter(|_| self.starts_onceward());
        let all = all.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        all.filter(|(name, _)| is_setting(name)).collect()
    }

    pub fn window(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// The duration of the measured part.
    pub fn length(&self) -> Duration {
        let programs = 1 + usize::from(self.baseline.is_some()) + usize::from(self.has_ceiling());
        let servers = u32::try_from(self.routes.len() * programs).unwrap_or(u32::MAX);
        (WARM_UP + self.window() * self.rounds) * servers
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Comparison {
    /// nothing
    None,
    /// hyper and one reqwest call for each send; keeps, counts and writes nothing
    Ceiling,
}

fn random_seed() -> u64 {
    // Without randomness of the system every run has the same seed, which is printed.
    SysRng.try_next_u32().unwrap_or_default().into()
}

/// Driving a machine that is not yours is an attack, and codes would travel in the clear.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address =
        text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/').parse::<SocketAddr>().ok();
    let address = address.filter(|address| address.ip().is_loopback() && address.port() > 0);
    address.ok_or_else(|| "use an address of loopback with its port, such as 127.0.0.1:8080".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Options, String> {
        let arguments = ["onceward-bench"].iter().chain(arguments);
        let options = Options::try_parse_from(arguments).map_err(|error| error.to_string())?;
        options.check().map_err(|error| error.to_string())?;
        Ok(options)
    }

    const TARGET: [&str; 4] = ["--target", "http://127.0.0.1:80", "--gateway-listen", "127.0.0.1:4010"];
    const PROGRAM: [&str; 2] = ["--onceward", "/bin/sh"];

    #[test]
    fn the_ceiling_is_beside_an_onceward_and_nothing_beside_a_target() {
        assert!(parsed(&PROGRAM).unwrap().has_ceiling());
        assert!(!parsed(&[PROGRAM.as_slice(), &["--beside", "none"]].concat()).unwrap().has_ceiling());
        let target = parsed(&TARGET).unwrap();
        assert!(!target.has_ceiling() && !target.starts_onceward());
        let both =
            [PROGRAM.as_slice(), &["--baseline", "/bin/sh", "--routes", "api,v2", "--rounds", "1"]].concat();
        assert_eq!(parsed(&both).unwrap().length(), Duration::from_secs(6 * 6));
    }

    #[test]
    fn combinations_that_make_no_sense_are_refused() {
        for (more, why) in [
            (["--live-numbers", "1"].as_slice(), "--live-numbers"),
            (&["--gateway-delay", "10s"], "less than 9s"),
            (&["--rate", "1", "--connections", "40"], "use fewer connections"),
            (&["--beside", "nothing"], "nothing"),
        ] {
            let error = parsed(&[&TARGET, more].concat()).unwrap_err();
            assert!(error.contains(why), "{more:?}: {error}");
        }
        for (target, listen) in [
            ("https://127.0.0.1:80", "127.0.0.1:1"),
            ("http://127.0.0.1:80/path", "127.0.0.1:1"),
            ("http://192.0.2.1:80", "127.0.0.1:1"),
            ("http://127.0.0.1:80", "0.0.0.0:1"),
            ("http://127.0.0.1:80", "127.0.0.1:0"),
        ] {
            let error = parsed(&["--target", target, "--gateway-listen", listen]).unwrap_err();
            assert!(error.contains("an address of loopback"), "{target} {listen}: {error}");
        }
        let long = ["--live-numbers", "1", "--seconds", "600", "--rounds", "3"];
        assert!(parsed(&[PROGRAM.as_slice(), &long].concat()).unwrap_err().contains("20 minutes"));
    }
}
