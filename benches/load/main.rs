//! `cargo bench --bench load`: `onceward bench` on this build, and modes for those who change the program.
//!
//! `benches/README.md` explains the modes, `docs/bench.md` the bench. A mode fails loudly when any answer is not the one
//! that was expected.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that cannot go on fails")]

mod child;
mod driver;
mod hang;
mod live;
mod million;
mod overload;
mod smoke;
mod soak;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use onceward::bench::machine;
use onceward::bench::results::Machine;
use onceward::bench::twilio::{self, Twilio};
use onceward::cli::EXIT_CONFIGURATION;
use onceward::cli::bench::{self, BenchArgs, Surroundings};

use child::Child;

/// Long enough for connections, caches and the first journal segment.
const WARM_UP: Duration = Duration::from_secs(1);

/// Options of `onceward bench` that say nothing to a mode.
const ONLY_FOR_BENCH: [&str; 9] =
    ["workload", "beside", "gateway_delay", "live_numbers", "seed", "target", "html", "answers", "anywhere"];

/// What to measure.
#[derive(Debug, Parser)]
#[command(name = "load", bin_name = "cargo bench --bench load --", after_help = bench::MORE, max_term_width = 110)]
struct Arguments {
    #[command(flatten)]
    bench: BenchArgs,
    /// A short run beside the ceiling, whose ratios must keep generous limits: what `scripts/bench-smoke` does.
    #[arg(long, help_heading = "Modes", conflicts_with_all = ["provider_hangs", "soak", "million", "beside_numbers", "json", "rate", "connections", "seconds", "rounds"], conflicts_with_all = ONLY_FOR_BENCH)]
    smoke: bool,
    /// Measure checks while the provider hangs instead, against checks while it does not.
    #[arg(long, help_heading = "Modes", conflicts_with_all = ["seconds", "json", "rate"], conflicts_with_all = ONLY_FOR_BENCH)]
    provider_hangs: bool,
    /// Run for this long instead, such as `1h`, and see whether memory and disk stay as they are. With `--rate`: so many
    /// requests per second; each connection should have one a second at least, so that no code expires meanwhile.
    #[arg(long, help_heading = "Modes", conflicts_with_all = ["seconds", "rounds", "provider_hangs"], conflicts_with_all = ONLY_FOR_BENCH, value_parser = soak_length)]
    soak: Option<Duration>,
    /// Fill a store with a million numbers instead, or as many as are given, and see how they end.
    #[arg(long, help_heading = "Modes", num_args = 0..=1, default_missing_value = "1000000", conflicts_with_all = ["soak", "provider_hangs", "rate"], conflicts_with_all = ONLY_FOR_BENCH, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    million: Option<u64>,
    /// When these numbers end.
    #[arg(long, help_heading = "Modes", requires = "million", default_value = "3m", value_parser = humantime::parse_duration)]
    ends_in: Duration,
    /// Send and verify beside so many live numbers instead, in turn with a server that has ten thousand.
    #[arg(long, help_heading = "Modes", value_name = "N", conflicts_with_all = ["million", "soak", "provider_hangs", "json", "rate"], conflicts_with_all = ONLY_FOR_BENCH, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    beside_numbers: Option<u64>,
    #[command(flatten)]
    overload: overload::Modes,
    /// Write the samples of a long run to this file while they come.
    #[arg(long, help_heading = "Modes", requires = "soak")]
    csv: Option<PathBuf>,
    /// Given by `cargo bench`.
    #[arg(long = "bench", hide = true)]
    wanted: bool,
}

impl Arguments {
    /// The disk of the data: below `target` unless another one is named.
    fn disk(&self) -> &Path {
        self.bench.disk.as_deref().unwrap_or(Path::new(env!("CARGO_TARGET_TMPDIR")))
    }
}

/// A quarter of the shortest run still has a few samples; the longest ends on its own.
fn soak_length(text: &str) -> Result<Duration, String> {
    let length = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let accepted = Duration::from_secs(20)..=Duration::from_secs(48 * 3600);
    accepted.contains(&length).then_some(length).ok_or_else(|| "between 20 s and 2 days".to_owned())
}

fn main() -> ExitCode {
    // Test runners start every target once; only `cargo bench` says that it wants figures.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(answer) => {
            let _ = answer.print();
            return ExitCode::from(if answer.use_stderr() { EXIT_CONFIGURATION } else { 0 });
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    if arguments.smoke {
        let program = Path::new(env!("CARGO_BIN_EXE_onceward"));
        return ExitCode::from(u8::from(!runtime.block_on(smoke::measure(program, arguments.disk()))));
    }
    if arguments.provider_hangs {
        runtime.block_on(hang::measure(&arguments)).print();
    } else if runtime.block_on(overload::measure(&arguments)) {
        // It has printed what it saw.
    } else if let Some(numbers) = arguments.million {
        runtime.block_on(million::measure(&arguments, numbers));
    } else if let Some(numbers) = arguments.beside_numbers {
        runtime.block_on(live::measure(&arguments, numbers));
    } else if let Some(length) = arguments.soak {
        let soak = runtime.block_on(soak::measure(&arguments, length));
        if let Some(file) = &arguments.bench.json {
            std::fs::write(file, soak.to_json()).expect("write the results");
        }
        let good = soak.print();
        // Ended by its status, so that a script can tell.
        return ExitCode::from(u8::from(!good));
    } else {
        drop(runtime);
        return bench(&arguments);
    }
    ExitCode::SUCCESS
}

/// The same as `onceward bench`, with the program that cargo has just built.
fn bench(arguments: &Arguments) -> ExitCode {
    let read = bench::surroundings(std::env::vars().collect()).and_then(|surroundings| {
        let (program, disk) = (PathBuf::from(env!("CARGO_BIN_EXE_onceward")), arguments.disk().to_owned());
        arguments.bench.read(Surroundings { program, disk, ..surroundings })
    });
    ExitCode::from(match read {
        Ok((options, files)) => bench::run(&options, &files),
        Err(why) => {
            say_error(&why);
            EXIT_CONFIGURATION
        }
    })
}

#[expect(clippy::print_stderr, reason = "a program that talks to a person")]
fn say_error(why: &str) {
    eprintln!("error: {why}");
}

/// The double of Twilio on a free port.
async fn double() -> Twilio {
    Twilio::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.expect("a port")
}

/// The machine, and the disk that has this directory.
fn describe(home: &Path) -> Machine {
    machine::describe(Some(home)).expect("a disk that can be written")
}

/// The middle one, or the mean of the two middle ones.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}

/// The real thing, as an operator starts it, with its settings at their defaults but for those given.
async fn onceward(home: &Path, twilio: &Twilio, settings: &[(&str, &str)]) -> Child {
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
    Child::start(command).await
}
