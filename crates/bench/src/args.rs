//! The command line.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum, value_parser};

use crate::script::{LIVE_AT_MOST, Routes, Workload};

/// Before the first window of each server: for connections, caches and the first journal segment.
pub const WARM_UP: Duration = Duration::from_secs(1);

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

    /// With a record on the disk before each answer.
    #[arg(long, hide = true, requires = "be_ceiling")]
    pub be_durable: bool,

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

    /// Seed of all numbers and choices: the same seed, the same requests.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,

    /// The onceward under test [default: the one beside this program].
    #[arg(long, value_name = "PATH", value_parser = |path: &str| fs::canonicalize(path), help_heading = "Servers")]
    onceward: Option<PathBuf>,

    /// Another onceward to compare with, also an older one.
    #[arg(long, value_name = "PATH", value_parser = |path: &str| fs::canonicalize(path), help_heading = "Servers")]
    pub baseline: Option<PathBuf>,

    /// What to compare with besides.
    #[arg(long, value_name = "NAME", default_value = "ceilings", help_heading = "Servers")]
    pub beside: Comparison,

    /// Where an onceward keeps its data: a directory on the disk that is of interest.
    #[arg(long, value_name = "DIR", default_value = ".", help_heading = "Servers")]
    pub disk: PathBuf,

    /// Where to be Twilio.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0", help_heading = "Circumstances")]
    pub gateway_listen: SocketAddr,

    /// Delay of each answer from the mock of Twilio, such as 80ms; less than 9s.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = humantime::parse_duration, help_heading = "Circumstances")]
    pub gateway_delay: Duration,

    /// Numbers that were sent a code before every onceward starts. They end after half an hour.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = value_parser!(u64).range(0..=LIVE_AT_MOST), help_heading = "Circumstances")]
    pub live_numbers: u64,

    /// Fail when CPU per request is more than X times that of any server beside.
    #[arg(long, value_name = "X", help_heading = "Results")]
    pub max_cpu_ratio: Option<f64>,

    /// Fail when requests/s are less than X times those of any server beside.
    #[arg(long, value_name = "X", help_heading = "Results")]
    pub min_rate_ratio: Option<f64>,
}

impl Options {
    /// The program under test.
    pub fn onceward(&self) -> Result<PathBuf> {
        let beside_this = || Ok::<_, anyhow::Error>(std::env::current_exe()?.with_file_name("onceward"));
        let path = self.onceward.clone().map_or_else(beside_this, Ok)?;
        let why = "build it (cargo build --release), or name one with --onceward";
        ensure!(path.is_file(), "there is no {}: {why}", path.display());
        Ok(path)
    }

    pub fn window(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Comparison {
    /// nothing
    None,
    /// two servers of hyper and one reqwest call for each send: one keeps nothing, one syncs a record before each answer
    Ceilings,
}

/// Variables of the environment that reach every onceward of the run.
pub fn settings() -> Vec<(String, String)> {
    let is_setting = |name: &str| name.starts_with("ONCEWARD_") && !GATEWAY_SETTINGS.contains(&name);
    let all = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    all.filter(|(name, _)| is_setting(name)).collect()
}
