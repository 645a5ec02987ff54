//! The command line, and combinations that make no sense.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use rand::TryRng;
use rand::rngs::SysRng;
use url::Url;

use crate::contract::AnswerSet;
use crate::numbers::LIVE_AT_MOST;
use crate::reference::{COMMAND, Reference};
use crate::results::JSON_FIELDS;
use crate::script::Workload;

/// The delivery of a message gives up after 10 s.
const LONGEST_DELAY: Duration = Duration::from_secs(9);

/// Live numbers are forgotten half an hour after their code has expired; some of it goes for writing them.
const LIVE_NUMBERS_LAST: Duration = Duration::from_secs(20 * 60);

/// Codes live 30 s by default: a connection that asks less often lets them expire.
const SECONDS_BETWEEN_REQUESTS: u32 = 20;

/// Messages of a bench go to its mock only: these choose the gateways.
const GATEWAY_SETTINGS: [&str; 2] = ["ONCEWARD_OTP_SMS_PROVIDER", "ONCEWARD_HTTP_GATEWAY"];

const ANSWERS_SETTING: &str = "ONCEWARD_REDIS_VERSION_ANSWERS";

const MORE: &str = "\
Workloads:
  send-verify  send a code to a fresh number, verify it with the code in the text
  send         send codes to fresh numbers
  wrong-codes  send a code to a fresh number, then wrong codes until it is locked
  locked       send to and check numbers that were locked before: all 403
  resend       send codes to the same 16 numbers of each connection, again and again
  mix          of 20 turns 12 verify, 2 after a wrong code, 2 after a second send,
               2 leave their code, 1 is locked out, 1 asks for a locked number
Every answer is checked against the contract. Unexpected ones are counted and quoted.

Servers in a run take turns, window by window; ratios compare the first with the others.
The first is the onceward under test, or the server that --target names. Variables
ONCEWARD_.. reach every onceward of the run, except those that name gateways: messages
go to the bench's mock of Twilio.

A closed loop (without --rate) drives a server as fast as it answers: for throughput and
CPU time per request. An open loop (--rate) sends at fixed moments and measures from
them: for latency.

Ctrl-C ends the run; the finished rounds are printed and written.

Exit codes: 0 all answers were right; 1 some were not, the rate of an open loop was not
achieved, a limit was not kept, or the run was stopped; 64 the options are wrong; 70 the
run could not be made.

Examples:
  onceward-bench                                   send and verify, beside the ceiling
  onceward-bench --rate 2000 --connections 200     latency at 2,000 requests/s
  onceward-bench --baseline old/onceward           against another build
  onceward-bench --workload mix --html report.html
  onceward-bench --live-numbers 1000000 --beside none
  onceward-bench --target http://127.0.0.1:8080 --gateway-listen 127.0.0.1:4010
                       a server that runs already, with http://127.0.0.1:4010 as Twilio
docs/bench.md says what the figures mean and what not to believe.";

/// Drives servers as clients would, plays Twilio for them, checks every answer and compares costs.
///
/// On loopback. Needs no account and sends no messages; uses all the CPU that it gets.
#[derive(Debug, Parser)]
#[command(name = "onceward-bench", version, after_help = format!("{MORE}\n\n{JSON_FIELDS}"), max_term_width = 110)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub bench: BenchArgs,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    #[command(hide = true, name = COMMAND)]
    Reference {
        which: Reference,
        #[arg(long)]
        twilio: String,
    },
}

#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// Requests of the clients, see below.
    #[arg(long, value_name = "NAME", value_enum, hide_possible_values = true, default_value = "send-verify")]
    workload: Workload,

    /// Connections, each with one request at a time.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,

    /// Open loop: N requests per second over all connections.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: Option<u32>,

    /// Length of one window; each round has one for each server.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=172_800))]
    seconds: u64,

    /// Rounds; the servers take turns to be first.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,

    /// Seed of all numbers and choices: the same seed, the same requests [default: random].
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// The onceward under test [default: the one beside this program].
    #[arg(long, value_name = "PATH", help_heading = "Servers")]
    onceward: Option<PathBuf>,

    /// Another onceward to compare with.
    #[arg(long, value_name = "PATH", help_heading = "Servers")]
    baseline: Option<PathBuf>,

    /// Reference servers to compare with, separated by commas: none, ceiling, redis, redis-durable
    /// [default: ceiling, and none with --target].
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = reference, help_heading = "Servers")]
    beside: Vec<MaybeReference>,

    /// Where an onceward keeps its data: a directory on the disk that is of interest.
    #[arg(long, value_name = "DIR", default_value = ".", help_heading = "Servers")]
    disk: PathBuf,

    /// The server under test runs already at this address, such as `http://127.0.0.1:8080`.
    #[arg(
        long,
        value_name = "URL",
        requires = "gateway_listen",
        conflicts_with = "onceward",
        help_heading = "Servers"
    )]
    target: Option<String>,

    /// Where to be Twilio for that server, such as `127.0.0.1:4010`. Its Twilio base URL must be `http://ADDR`.
    #[arg(long, value_name = "ADDR", requires = "target", help_heading = "Servers")]
    gateway_listen: Option<SocketAddr>,

    /// The process of that server, for its CPU time and memory; its children count too.
    #[arg(long, value_name = "PID", requires = "target", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Servers")]
    pid: Option<u32>,

    /// Allow addresses that are not loopback. Driving a machine that is not yours is an attack, codes travel in the
    /// clear, and every client that reaches the mock of Twilio can give it texts.
    #[arg(long, requires = "target", help_heading = "Servers")]
    anywhere: bool,

    /// Which answers are expected (docs/migrating-from-redis-version.md); an onceward of the run is set to them.
    #[arg(
        long,
        value_name = "NAME",
        value_enum,
        hide_possible_values = true,
        default_value = "documented",
        help_heading = "Servers"
    )]
    answers: AnswerSet,

    /// How long the mock of Twilio takes for each answer, such as 80ms; at most 9s.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = humantime::parse_duration, help_heading = "Circumstances")]
    gateway_delay: Duration,

    /// Numbers with a live code that every onceward has before it starts.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=LIVE_AT_MOST), help_heading = "Circumstances")]
    live_numbers: u64,

    /// Connections to each server that are open all the time and send nothing.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=50_000), help_heading = "Circumstances")]
    idle_connections: u32,

    /// Sends to each server whose message hangs at the provider, at any time.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=5_000), help_heading = "Circumstances")]
    hanging_sends: u32,

    /// Also write the results to this file, as JSON.
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    pub json: Option<PathBuf>,

    /// Also write the results to this file, as a page with plots.
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    pub html: Option<PathBuf>,

    /// Fail when CPU per request is more than X times that of any server beside.
    #[arg(long, value_name = "X", help_heading = "Results")]
    pub max_cpu_ratio: Option<f64>,

    /// Fail when requests/s are less than X times those of any server beside.
    #[arg(long, value_name = "X", help_heading = "Results")]
    pub min_rate_ratio: Option<f64>,
}

/// A server to compare with, or `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct MaybeReference(Option<Reference>);

/// A run, with its options checked.
#[derive(Debug, Clone)]
pub struct Options {
    pub workload: Workload,
    pub answers: AnswerSet,
    pub connections: u32,
    pub rate: Option<u32>,
    pub gateway_delay: Duration,
    pub live_numbers: u64,
    pub idle_connections: u32,
    pub hanging_sends: u32,
    pub window: Duration,
    pub rounds: u32,
    pub seed: u64,
    pub disk: PathBuf,
    /// Of the onceward under test; unused with `external`.
    pub program: PathBuf,
    pub baseline: Option<PathBuf>,
    pub beside: Vec<Reference>,
    pub external: Option<External>,
    /// Variables of every onceward.
    pub environment: Vec<(String, String)>,
}

/// A server that the bench does not start.
#[derive(Debug, Clone)]
pub struct External {
    pub address: SocketAddr,
    pub gateway_listen: SocketAddr,
    pub pid: Option<u32>,
}

impl BenchArgs {
    /// Checks the options against each other; the error is a sentence.
    pub fn read(&self, environment: impl Iterator<Item = (String, String)>) -> Result<Options, String> {
        let external = self.external()?;
        let beside = self.references()?;
        let refuse = |when: bool, why: &str| if when { Err(why.to_owned()) } else { Ok(()) };
        let starts_onceward = external.is_none() || self.baseline.is_some();
        refuse(
            external.is_some() && self.live_numbers > 0,
            "--live-numbers fills the store of a server that the bench starts, and --target names another one",
        )?;
        refuse(
            self.answers == AnswerSet::AsBuilt && !beside.is_empty(),
            "--answers as-built goes with --beside none: reference servers answer as documented",
        )?;
        refuse(
            self.gateway_delay > LONGEST_DELAY,
            "--gateway-delay is at most 9s: delivery gives up after 10 s, and every send would fail",
        )?;
        refuse(self.json.is_some() && self.json == self.html, "--json and --html name the same file")?;
        if let Some(rate) = self.rate.filter(|rate| self.connections / rate >= SECONDS_BETWEEN_REQUESTS) {
            return Err(format!(
                "with --rate {rate} and --connections {}, each connection asks once in {} s, and codes live for 30 s: use \
                 fewer connections or a higher rate",
                self.connections,
                self.connections / rate
            ));
        }
        let ours = |(name, _): &(String, String)| {
            starts_onceward && name.starts_with("ONCEWARD_") && !GATEWAY_SETTINGS.contains(&name.as_str())
        };
        let mut environment: Vec<_> = environment.filter(ours).collect();
        if self.answers == AnswerSet::AsBuilt && starts_onceward {
            environment.retain(|(name, _)| name != ANSWERS_SETTING);
            environment.push((ANSWERS_SETTING.to_owned(), "as-built".to_owned()));
        }
        let program = match (&self.onceward, &external) {
            (Some(path), _) => absolute(path)?,
            (None, Some(_)) => PathBuf::new(),
            (None, None) => beside_this_program()?,
        };
        let random =
            || SysRng.try_next_u32().map_err(|error| format!("the system gives no randomness: {error}"));
        let options = Options {
            workload: self.workload,
            answers: self.answers,
            connections: self.connections,
            rate: self.rate,
            gateway_delay: self.gateway_delay,
            live_numbers: self.live_numbers,
            idle_connections: self.idle_connections,
            hanging_sends: self.hanging_sends,
            window: Duration::from_secs(self.seconds),
            rounds: self.rounds,
            seed: self.seed.map_or_else(|| random().map(u64::from), Ok)?,
            disk: self.disk.clone(),
            program,
            baseline: self.baseline.as_deref().map(absolute).transpose()?,
            beside,
            external,
            environment,
        };
        refuse(
            options.live_numbers > 0 && options.length() > LIVE_NUMBERS_LAST,
            "with --live-numbers a run is at most 20 minutes: half an hour after their code they end",
        )?;
        Ok(options)
    }

    fn references(&self) -> Result<Vec<Reference>, String> {
        if self.beside.is_empty() {
            let default = self.target.is_none() && self.answers == AnswerSet::Documented;
            return Ok(if default { vec![Reference::Ceiling] } else { Vec::new() });
        }
        let mut references = Vec::new();
        for MaybeReference(which) in &self.beside {
            match which {
                None if self.beside.len() > 1 => {
                    return Err("--beside none goes with no other name".to_owned());
                }
                None => {}
                Some(which) if references.contains(which) => {
                    return Err(format!("--beside names {} twice", which.name()));
                }
                Some(which) => references.push(*which),
            }
        }
        Ok(references)
    }

    fn external(&self) -> Result<Option<External>, String> {
        let (Some(text), Some(gateway_listen)) = (&self.target, self.gateway_listen) else { return Ok(None) };
        let wrong = |why: &str| format!("--target {text}: {why}");
        let url = Url::parse(text).map_err(|error| wrong(&format!("{error}; use http://HOST:PORT")))?;
        if url.scheme() != "http" || url.path() != "/" || url.query().is_some() {
            return Err(wrong(
                "use http://HOST:PORT, without a path: the bench has no TLS, and knows the routes",
            ));
        }
        let addresses = url.socket_addrs(|| None).map_err(|error| wrong(&error.to_string()))?;
        let address = *addresses.first().ok_or_else(|| wrong("the name has no address"))?;
        for (option, address) in [("--target", address), ("--gateway-listen", gateway_listen)] {
            if !address.ip().is_loopback() && !self.anywhere {
                return Err(format!(
                    "{option}: {address} is not a loopback address. If the machines at both ends and the network between \
                     them are yours, say --anywhere"
                ));
            }
        }
        if gateway_listen.port() == 0 {
            return Err("--gateway-listen needs a port: the server must know it".to_owned());
        }
        Ok(Some(External { address, gateway_listen, pid: self.pid }))
    }
}

fn reference(name: &str) -> Result<MaybeReference, String> {
    if name == "none" {
        return Ok(MaybeReference(None));
    }
    let reference = <Reference as clap::ValueEnum>::from_str(name, false);
    let wrong = |_| "there are none, ceiling, redis and redis-durable".to_owned();
    reference.map(|reference| MaybeReference(Some(reference))).map_err(wrong)
}

/// Servers are started in directories of their own.
fn absolute(path: &Path) -> Result<PathBuf, String> {
    path.canonicalize().map_err(|error| format!("{}: {error}", path.display()))
}

fn beside_this_program() -> Result<PathBuf, String> {
    let this = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let onceward = this.with_file_name("onceward");
    if onceward.is_file() {
        return Ok(onceward);
    }
    Err(format!(
        "there is no {}: build it (cargo build --release), or name one with --onceward",
        onceward.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Options, String> {
        let fixed = ["onceward-bench"].iter().chain(arguments);
        let arguments = Arguments::try_parse_from(fixed).map_err(|error| error.to_string())?;
        let owned = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        arguments.bench.read(owned)
    }

    const TARGET: [&str; 4] = ["--target", "http://127.0.0.1:80", "--gateway-listen", "127.0.0.1:4010"];
    const PROGRAM: [&str; 2] = ["--onceward", "/bin/sh"];

    #[test]
    fn the_ceiling_is_beside_an_onceward_and_nothing_beside_a_target() {
        assert_eq!(read(&PROGRAM, &[]).unwrap().beside, [Reference::Ceiling]);
        assert!(read(&[PROGRAM.as_slice(), &["--beside", "none"]].concat(), &[]).unwrap().beside.is_empty());
        let external = read(&TARGET, &[("ONCEWARD_OTP_LENGTH", "8")]).unwrap();
        assert!(external.beside.is_empty() && external.environment.is_empty() && !external.starts_onceward());
        let both = read(
            &[PROGRAM.as_slice(), &["--baseline", "/bin/sh", "--beside", "redis,ceiling"]].concat(),
            &[],
        );
        assert_eq!(both.unwrap().servers(), 4);
    }

    #[test]
    fn settings_reach_an_onceward_except_those_of_gateways() {
        let environment =
            [("ONCEWARD_OTP_LENGTH", "8"), ("ONCEWARD_OTP_SMS_PROVIDER", "Http"), ("PATH", "/bin")];
        let options = read(&PROGRAM, &environment).unwrap();
        assert_eq!(options.environment, [("ONCEWARD_OTP_LENGTH".to_owned(), "8".to_owned())]);
        let options = read(&[PROGRAM.as_slice(), &["--answers", "as-built"]].concat(), &[]).unwrap();
        assert_eq!(options.environment, [(ANSWERS_SETTING.to_owned(), "as-built".to_owned())]);
    }

    #[test]
    fn combinations_that_make_no_sense_are_refused() {
        for (more, why) in [
            (["--live-numbers", "1"].as_slice(), "--live-numbers"),
            (&["--gateway-delay", "10s"], "at most 9s"),
            (&["--rate", "1", "--connections", "40"], "fewer connections"),
            (&["--json", "a", "--html", "a"], "same file"),
            (&["--beside", "none,ceiling"], "no other name"),
            (&["--beside", "ceiling,ceiling"], "twice"),
            (&["--answers", "as-built", "--beside", "ceiling"], "--beside none"),
        ] {
            let error = read(&[&TARGET, more].concat(), &[]).unwrap_err();
            assert!(error.contains(why), "{more:?}: {error}");
        }
        for (target, listen, why) in [
            ("https://127.0.0.1:80", "127.0.0.1:1", "no TLS"),
            ("http://127.0.0.1:80/path", "127.0.0.1:1", "without a path"),
            ("http://192.0.2.1:80", "127.0.0.1:1", "--anywhere"),
            ("http://127.0.0.1:80", "0.0.0.0:1", "--anywhere"),
            ("http://127.0.0.1:80", "127.0.0.1:0", "needs a port"),
        ] {
            let error = read(&["--target", target, "--gateway-listen", listen], &[]).unwrap_err();
            assert!(error.contains(why), "{target} {listen}: {error}");
        }
        let long = ["--live-numbers", "1", "--seconds", "600", "--rounds", "3"];
        assert!(read(&[PROGRAM.as_slice(), &long].concat(), &[]).unwrap_err().contains("20 minutes"));
    }
}
