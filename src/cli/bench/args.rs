//! What can be said to `onceward bench`, and what makes no sense together.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use url::Url;

use super::Files;
use crate::bench::numbers::LIVE_AT_MOST;
use crate::bench::{Answers, Beside, Options, Target, Workload, reference};

/// The delivery of a message has 10 s in all: a gateway that takes longer fails every send.
const LONGEST_DELAY: Duration = Duration::from_secs(9);

/// Numbers with a live record are forgotten half an hour after their code has ended; some of it goes for writing them.
const LIVE_NUMBERS_LAST: Duration = Duration::from_secs(20 * 60);

/// Codes live 30 s by default. A connection of an open loop that asks less often lets them expire in the middle.
const SECONDS_BETWEEN_REQUESTS: u32 = 20;

/// Variables that say through whom messages go. Those of a bench go to its double and to nobody else, wherever it is
/// started: beside an operator's own server it would send thousands of messages to strangers.
const NAME_GATEWAYS: [&str; 2] = ["ONCEWARD_OTP_SMS_PROVIDER", "ONCEWARD_HTTP_GATEWAY"];

/// The setting that `--answers` makes of a server of our own.
const ANSWERS: &str = "ONCEWARD_REDIS_VERSION_ANSWERS";

/// What `--help` says after the options.
pub const MORE: &str = "\
Workloads:
  send-verify  send a code to a fresh number, verify it with the code in the text
  send         send codes to fresh numbers
  wrong-codes  send a code to a fresh number, then wrong codes until it is locked
  locked       send to and check numbers that were locked before: all 403
  resend       send codes to the same 16 numbers of each connection, again and again
  mix          of 20 turns 12 verify, 2 after a wrong code, 2 after a second send,
               2 leave their code, 1 is locked out, 1 asks for a locked number
Every answer is checked against the contract. One that is not as promised is counted
and shown, and makes the exit code 1.

Servers in a run take turns, window by window. The first is what the others are
compared with: a server of this program's own, in a directory that is removed at the
end, or the one that --target names. Variables ONCEWARD_.. reach a server of our own,
but for those that name gateways: its messages go to the double of Twilio.

A closed loop (without --rate) drives a server as fast as it answers: good for its
throughput and its CPU time per request. An open loop (--rate) asks at fixed moments
and measures from them, as people do who do not wait for each other: good for latency.

Exit codes: 0 all answers were right; 1 some were not, or the run was stopped;
64 the options are wrong; 70 the run could not be made.

Examples:
  onceward bench                                   send and verify, beside the ceiling
  onceward bench --rate 2000 --connections 200     latency at 2,000 requests/s
  onceward bench --workload mix --html report.html
  onceward bench --live-numbers 1000000 --beside none
  onceward bench --target http://127.0.0.1:8080 --gateway-listen 127.0.0.1:4010
                       a server that is there, with http://127.0.0.1:4010 as Twilio
docs/bench.md says what the figures mean and what not to believe.";

/// The options of a run.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// What the clients do, see below.
    #[arg(long, value_name = "NAME", default_value = "send-verify", value_parser = workload())]
    pub workload: Workload,

    /// Connections, each with one request at a time.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub connections: u32,

    /// Open loop: N requests per second over all connections, each timed from the moment at which it was to leave.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rate: Option<u32>,

    /// Length of one window; each round has one for each server.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub seconds: u64,

    /// Rounds; the servers take turns to be first.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,

    /// Servers to compare with, separated by commas: none, ceiling, redis, redis-durable; with --target also onceward
    /// [default: ceiling, and none with --target].
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = beside())]
    pub beside: Vec<Named>,

    /// How long the double of Twilio takes for each answer, such as 80ms; at most 9s.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = humantime::parse_duration)]
    pub gateway_delay: Duration,

    /// Numbers with a live code that are in our own server's store before it starts.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=LIVE_AT_MOST))]
    pub live_numbers: u64,

    /// What numbers and choices are drawn from: the same seed, the same requests [default: another one each time].
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// Where our own server keeps its data: a directory on the disk that is of interest [default: this directory].
    #[arg(long, value_name = "DIR")]
    pub disk: Option<PathBuf>,

    /// Drive the server that is at this address, such as `http://127.0.0.1:8080`, in place of one of our own.
    #[arg(long, value_name = "URL", requires = "gateway_listen")]
    pub target: Option<String>,

    /// Where to be Twilio for that server, such as `127.0.0.1:4010`. Its Twilio base URL must be `http://ADDR`.
    #[arg(long, value_name = "ADDR", requires = "target", value_parser = listen_address)]
    pub gateway_listen: Option<SocketAddr>,

    /// Which answers that server gives (docs/migrating-from-redis-version.md). A server of our own is set to them.
    #[arg(long, value_name = "NAME", default_value = "documented", value_parser = answers())]
    pub answers: Answers,

    /// The process of that server, for its CPU time and memory; counts what it has started too.
    #[arg(long, value_name = "PID", requires = "target", value_parser = clap::value_parser!(u32).range(1..))]
    pub pid: Option<u32>,

    /// Allow addresses that are not loopback. Driving a machine that is not yours is an attack; and whoever reaches the
    /// double of Twilio can give it texts, while whoever listens on the way reads codes.
    #[arg(long, requires = "target")]
    pub anywhere: bool,

    /// Also write the results to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Also write the results to this file, as a page with plots.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// What a reference server needs to know.
#[derive(Debug, Clone, Args)]
pub struct ReferenceArgs {
    /// Which one.
    #[arg(value_parser = reference_server())]
    pub which: Beside,

    /// The base URL of the double of Twilio.
    #[arg(long)]
    pub twilio: String,
}

/// A server to compare with, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named(pub Option<Beside>);

/// What the process has to offer for a run.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The program that is started as a server.
    pub program: PathBuf,
    /// Where data go without `--disk`.
    pub disk: PathBuf,
    /// All variables; those of our own server are taken out of them.
    pub environment: BTreeMap<String, String>,
    /// In place of `--seed`.
    pub seed: u64,
}

impl BenchArgs {
    /// Checks the options against each other.
    ///
    /// # Errors
    ///
    /// What makes no sense, in words.
    pub fn read(&self, surroundings: Surroundings) -> Result<(Options, Files), String> {
        let target = self.target()?;
        let beside = self.servers_beside()?;
        if target.is_some() && self.live_numbers > 0 {
            return Err(
                "--live-numbers fills the store of a server of our own, and --target names another one"
                    .into(),
            );
        }
        if self.disk.is_some() && target.is_some() && beside.is_empty() {
            return Err(
                "--disk is for the data of a server of our own; --target names one that has its own".into()
            );
        }
        if self.answers == Answers::AsBuilt && !beside.is_empty() {
            return Err("--answers as-built goes with --beside none: the servers to compare with answer as documented".into());
        }
        if self.gateway_delay > LONGEST_DELAY {
            return Err(
                "--gateway-delay is at most 9s: delivery gives up after 10 s, and every send would fail"
                    .into(),
            );
        }
        if let Some(rate) = self.rate.filter(|rate| self.connections / rate >= SECONDS_BETWEEN_REQUESTS) {
            return Err(format!(
                "with --rate {rate} and --connections {}, each connection asks once in {} s, and codes live for 30 s: use \
                 fewer connections or a higher rate",
                self.connections,
                self.connections / rate
            ));
        }
        if self.json.is_some() && self.json == self.html {
            return Err("--json and --html name the same file".into());
        }
        let files = Files { json: self.json.clone(), html: self.html.clone() };
        let ours = |(name, _): &(String, String)| {
            name.starts_with("ONCEWARD_") && !NAME_GATEWAYS.contains(&name.as_str())
        };
        let mut environment: Vec<_> = surroundings.environment.into_iter().filter(ours).collect();
        if self.answers == Answers::AsBuilt {
            // Beside a target there is no server of our own with other answers.
            environment.retain(|(name, _)| name != ANSWERS);
            environment.push((ANSWERS.to_owned(), self.answers.name().to_owned()));
        }
        let mut options = Options {
            workload: self.workload,
            answers: self.answers,
            connections: self.connections,
            rate: self.rate,
            gateway_delay: self.gateway_delay,
            live_numbers: self.live_numbers,
            window: Duration::from_secs(self.seconds),
            rounds: self.rounds,
            seed: self.seed.unwrap_or(surroundings.seed),
            disk: self.disk.clone().unwrap_or(surroundings.disk),
            program: surroundings.program,
            environment,
            target,
            beside,
        };
        if !options.starts_onceward() {
            options.environment.clear();
        }
        if options.live_numbers > 0 && options.length() > LIVE_NUMBERS_LAST {
            return Err(
                "with --live-numbers a run is at most 20 minutes: half an hour after their code they end"
                    .into(),
            );
        }
        Ok((options, files))
    }

    fn servers_beside(&self) -> Result<Vec<Beside>, String> {
        let names: Vec<Option<Beside>> = match (self.beside.as_slice(), &self.target) {
            ([], None) if self.answers == Answers::Documented => vec![Some(Beside::Ceiling)],
            (named, _) => named.iter().map(|Named(which)| *which).collect(),
        };
        if names.contains(&None) && names.len() > 1 {
            return Err("--beside none goes with no other name".into());
        }
        let mut servers = Vec::new();
        for which in names.into_iter().flatten() {
            if servers.contains(&which) {
                return Err(format!("--beside names {which} twice"));
            }
            if which == Beside::Onceward && self.target.is_none() {
                return Err(
                    "--beside onceward goes with --target: without it the first server is onceward already"
                        .into(),
                );
            }
            if let Some(why) = reference::missing(which) {
                return Err(format!("--beside {which}: {why}"));
            }
            servers.push(which);
        }
        Ok(servers)
    }

    fn target(&self) -> Result<Option<Target>, String> {
        let (Some(text), Some(gateway_listen)) = (&self.target, self.gateway_listen) else { return Ok(None) };
        let wrong = |why: &str| format!("--target {text}: {why}");
        let url = Url::parse(text).map_err(|error| wrong(&format!("{error}; use http://HOST:PORT")))?;
        if url.scheme() != "http" {
            return Err(wrong("only http:// is spoken here; the bench has no TLS"));
        }
        if url.path() != "/" || url.query().is_some() {
            return Err(wrong("give the address without a path: the routes are those of the contract"));
        }
        let addresses = url.socket_addrs(|| None).map_err(|error| wrong(&error.to_string()))?;
        let address = *addresses.first().ok_or_else(|| wrong("the name has no address"))?;
        for (option, address) in [("--target", address), ("--gateway-listen", gateway_listen)] {
            if !address.ip().is_loopback() && !self.anywhere {
                return Err(format!(
                    "{option}: {address} is not a loopback address. If the machines at both ends are yours, and the network \
                     between them, say --anywhere"
                ));
            }
        }
        if gateway_listen.port() == 0 {
            return Err("--gateway-listen needs a port: the server must know it".into());
        }
        Ok(Some(Target { address, gateway_listen, pid: self.pid }))
    }
}

fn listen_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "not an address and a port, such as 127.0.0.1:4010".to_owned())
}

fn workload() -> impl TypedValueParser<Value = Workload> {
    named(Workload::ALL.map(|workload| (workload.name(), workload)).to_vec())
}

fn answers() -> impl TypedValueParser<Value = Answers> {
    named(Answers::ALL.map(|answers| (answers.name(), answers)).to_vec())
}

fn beside() -> impl TypedValueParser<Value = Named> {
    let servers = Beside::ALL.map(|which| (which.name(), Named(Some(which))));
    named([("none", Named(None))].into_iter().chain(servers).collect())
}

fn reference_server() -> impl TypedValueParser<Value = Beside> {
    named(Beside::ALL.map(|which| (which.name(), which)).to_vec())
}

fn named<T: Copy + Send + Sync + 'static>(
    values: Vec<(&'static str, T)>,
) -> impl TypedValueParser<Value = T> {
    let names: Vec<&str> = values.iter().map(|(name, _)| *name).collect();
    PossibleValuesParser::new(names).try_map(move |given| {
        let value = values.iter().find(|(name, _)| *name == given).map(|(_, value)| *value);
        value.ok_or("not one of the names")
    })
}

#[cfg(test)]
mod tests;
