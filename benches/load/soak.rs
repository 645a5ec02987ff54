//! A long run under load: do memory, disk, files and threads stay as they are?
//!
//! The numbers turn over many times: most are verified, the others are left to expire, guessed at
//! or locked out, with a short life of codes and lockouts. A sample is taken every few seconds, and
//! the last quarter of the run is compared with the second.

mod mix;
mod pace;
mod sample;
mod stored;
mod verdict;

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use tokio::task::JoinSet;

use self::mix::{Client, Shared};
use self::pace::Pace;
use self::sample::Watched;
use self::stored::Stored;
use self::verdict::Verdict;
use super::child::Child;
use super::{Arguments, describe, double, onceward};
use onceward::bench::now;
use onceward::bench::results::Machine;

pub use self::sample::{Sample, look_at};
pub use self::stored::count_numbers;

/// The life of a code in this run.
pub const CODE_LIVES: Duration = Duration::from_secs(20);

/// How long a lockout lasts in this run, and a number that was not verified is remembered.
pub const LOCKED_FOR: Duration = Duration::from_secs(60);

/// Verifications whose sends are remembered: the default.
pub const TRACKED: u64 = 100_000;

/// Samples in a run, unless it is so short that they would come more often than once a second.
const SAMPLES: u32 = 360;

/// The load changes between ordinary and hostile this often in a run; each quarter has as much of both.
const PHASES: u32 = 24;

/// What was measured.
pub struct Soak {
    machine: Machine,
    connections: u32,
    rate: Option<u32>,
    length: Duration,
    samples: Vec<Sample>,
    stored: Stored,
}

/// Runs for `length` and samples.
pub async fn measure(arguments: &Arguments, length: Duration) -> Soak {
    let home = tempfile::tempdir_in(arguments.disk()).expect("a directory for the data");
    let machine = describe(home.path());
    let twilio = double().await;
    let settings = [
        ("ONCEWARD_OTP_TIMEOUT", format!("{}s", CODE_LIVES.as_secs())),
        ("ONCEWARD_OTP_LOCK_TIMEOUT", format!("{}s", LOCKED_FOR.as_secs())),
    ];
    let settings = settings.each_ref().map(|(key, value)| (*key, value.as_str()));
    let server = onceward(home.path(), &twilio, &settings).await;
    let data = home.path().join("data");
    say(&format!("{machine}\nprocess {}, data in {}", server.id(), data.display()));
    let start = now();
    let shared = Shared::new(start, Pace::of(start, arguments.bench.rate));
    let mut clients = JoinSet::new();
    for index in 0..arguments.bench.connections {
        let client = Client::new(server.address(), index, &twilio, &shared).await;
        clients.spawn(client.repeat_until(start + length, length / PHASES));
    }
    let samples = sample_until(arguments, &server, &data, &shared, length).await;
    while let Some(done) = clients.join_next().await {
        done.expect("every answer is one that can be expected");
    }
    // As a crash would, so that what is looked at is what was there under load.
    drop(server);
    let stored = Stored::read(&data).await;
    let (connections, rate) = (arguments.bench.connections, arguments.bench.rate);
    Soak { machine, connections, rate, length, samples, stored }
}

async fn sample_until(
    arguments: &Arguments,
    server: &Child,
    data: &Path,
    shared: &Shared,
    length: Duration,
) -> Vec<Sample> {
    let mut table = arguments.csv.as_ref().map(|path| File::create(path).expect("a file for the samples"));
    if let Some(table) = &mut table {
        writeln!(table, "{}", Sample::HEAD).expect("a line of the samples");
    }
    let every = (length / SAMPLES).max(Duration::from_secs(1));
    let mut watched = Watched::new(server, data, shared);
    let mut samples = Vec::new();
    let mut due = shared.start;
    while due + every <= shared.start + length {
        due += every;
        tokio::time::sleep_until(due.into()).await;
        let sample = watched.sample();
        if let Some(table) = &mut table {
            writeln!(table, "{}", sample.row()).expect("a line of the samples");
        }
        say(&sample.to_string());
        samples.push(sample);
    }
    samples
}

impl Soak {
    /// Prints the table and the verdict; says whether all of it is well.
    pub fn print(&self) -> bool {
        let verdict = Verdict::of(&self.samples, self.length, self.stored);
        say(&format!(
            "\n{}\n{} connections for {}, {}; codes live {} s, lockouts {} s; {}",
            self.machine,
            self.connections,
            humantime::format_duration(self.length),
            self.rate.map_or("as fast as they can".into(), |rate| format!("{rate} requests/s")),
            CODE_LIVES.as_secs(),
            LOCKED_FOR.as_secs(),
            self.stored
        ));
        say(&verdict.to_string());
        verdict.is_good()
    }

    /// The same for a program.
    pub fn to_json(&self) -> String {
        let verdict = Verdict::of(&self.samples, self.length, self.stored);
        let report = serde_json::json!({
            "machine": self.machine,
            "connections": self.connections,
            "rate": self.rate,
            "seconds": self.length.as_secs(),
            "stored": self.stored,
            "verdict": verdict.to_json(),
            "samples": self.samples,
        });
        format!("{report:#}\n")
    }
}

#[expect(clippy::print_stdout, reason = "a program that talks to a person")]
fn say(text: &str) {
    println!("{text}");
}
