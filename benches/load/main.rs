//! The whole server over HTTP: send, then verify, beside a ceiling that keeps no state.
//!
//! `cargo bench --bench load -- --connections 32 --seconds 5 --rounds 5`; `benches/README.md`
//! explains the method. Fails loudly when any answer is not the one that was expected.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that cannot go on fails")]

mod ceiling;
mod child;
mod driver;
mod hang;
mod live;
mod machine;
mod million;
mod overload;
mod report;
mod soak;
mod twilio;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;

use child::Child;
use driver::{Driver, Window};
use report::{Report, Round};
use twilio::Twilio;

/// Long enough for connections, caches and the first journal segment.
const WARM_UP: Duration = Duration::from_secs(1);

/// What to measure.
#[derive(Debug, Parser)]
struct Arguments {
    /// Connections, each with one request at a time.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=700))]
    connections: u32,
    /// Length of one window in seconds; each round has one for each server.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Rounds; the servers take turns to be first.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Where the measured server keeps its data: a directory on the disk that is of interest.
    #[arg(long, default_value = env!("CARGO_TARGET_TMPDIR"))]
    disk: PathBuf,
    /// Measure checks while the provider hangs instead, against checks while it does not.
    #[arg(long, conflicts_with_all = ["seconds", "json"])]
    provider_hangs: bool,
    /// Run for this long instead, such as `1h`, and see whether memory and disk stay as they are.
    #[arg(long, conflicts_with_all = ["seconds", "rounds", "provider_hangs"], value_parser = soak_length)]
    soak: Option<Duration>,
    /// In a long run, so many requests per second over all connections, at even distances, instead of as many as the
    /// server answers. Each connection should have one a second at least, so that no code expires meanwhile.
    #[arg(long, value_name = "N", requires = "soak", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: Option<u32>,
    /// Fill a store with a million numbers instead, or as many as are given, and see how they end.
    #[arg(long, num_args = 0..=1, default_missing_value = "1000000", conflicts_with_all = ["soak", "provider_hangs"], value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    million: Option<u64>,
    /// When these numbers end.
    #[arg(long, requires = "million", default_value = "3m", value_parser = humantime::parse_duration)]
    ends_in: Duration,
    /// Send and verify beside so many live numbers instead, in turn with a server that has ten thousand.
    #[arg(long, value_name = "N", conflicts_with_all = ["million", "soak", "provider_hangs", "json"], value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    live_numbers: Option<u64>,
    #[command(flatten)]
    overload: overload::Modes,
    /// Write the samples of a long run to this file while they come.
    #[arg(long, requires = "soak")]
    csv: Option<PathBuf>,
    /// Also write the results to this file, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A quarter of the shortest run still has a few samples; the longest ends on its own.
fn soak_length(text: &str) -> Result<Duration, String> {
    let length = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let accepted = Duration::from_secs(20)..=Duration::from_secs(48 * 3600);
    accepted.contains(&length).then_some(length).ok_or_else(|| "between 20 s and 2 days".to_owned())
}

fn main() {
    if let Some(twilio) = ceiling::requested() {
        return ceiling::serve(&twilio);
    }
    // Test runners start every target once; only `cargo bench` says that it wants figures.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    if arguments.provider_hangs {
        runtime.block_on(hang::measure(&arguments)).print();
        return;
    }
    if runtime.block_on(overload::measure(&arguments)) {
        return;
    }
    if let Some(numbers) = arguments.million {
        return runtime.block_on(million::measure(&arguments, numbers));
    }
    if let Some(numbers) = arguments.live_numbers {
        return runtime.block_on(live::measure(&arguments, numbers));
    }
    if let Some(length) = arguments.soak {
        let soak = runtime.block_on(soak::measure(&arguments, length));
        if let Some(file) = &arguments.json {
            std::fs::write(file, soak.to_json()).expect("write the results");
        }
        let good = soak.print();
        // Ended by its status, so that a script can tell.
        std::process::exit(i32::from(!good));
    }
    let report = runtime.block_on(measure(&arguments));
    report.print();
    if let Some(file) = &arguments.json {
        std::fs::write(file, report.to_json()).expect("write the results");
    }
}

async fn measure(arguments: &Arguments) -> Report {
    let home = tempfile::tempdir_in(&arguments.disk).expect("a directory for the data");
    let machine = machine::describe(home.path());
    let twilio = Twilio::start().await;
    let servers = [onceward(home.path(), &twilio, &[]), Child::start(ceiling::command(&twilio.base_url()))];
    let mut drivers = Vec::new();
    for server in &servers {
        drivers.push(Driver::connect(server.address(), arguments.connections, &twilio).await);
    }
    for driver in &mut drivers {
        driver.drive(WARM_UP).await;
    }
    let length = Duration::from_secs(arguments.seconds);
    let mut rounds = Vec::new();
    for number in 0..arguments.rounds {
        let first = usize::try_from(number).unwrap() % 2;
        let before = servers.each_ref().map(Child::cpu);
        let mut windows = [Window::default(), Window::default()];
        for which in [first, 1 - first] {
            windows[which] = drivers[which].drive(length).await;
        }
        // Each server is charged for the whole round: work that it put off comes while the other
        // one is driven.
        let cpu = [0, 1].map(|which| servers[which].cpu().saturating_sub(before[which]));
        rounds.push(Round { windows, cpu });
    }
    Report { machine, connections: arguments.connections, seconds: arguments.seconds, rounds }
}

/// The real thing, as an operator starts it, with its settings at their defaults but for those given.
fn onceward(home: &Path, twilio: &Twilio, settings: &[(&str, &str)]) -> Child {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_onceward"));
    command
        .args(["--listen", "127.0.0.1:0", "--log-format", "json", "--data-dir", "data"])
        .current_dir(home)
        .env_clear()
        .env("TWILIO_ACCOUNT_SID", twilio::ACCOUNT_SID)
        .env("TWILIO_AUTH_TOKEN", twilio::AUTH_TOKEN)
        .env("TWILIO_PHONE_NUMBER", twilio::SENDER)
        .env("TWILIO_BASE_URL", twilio.base_url())
        .envs(settings.iter().copied())
        .envs(std::env::vars().filter(|(k, _)| k.starts_with("ONCEWARD_")));
    Child::start(command)
}
