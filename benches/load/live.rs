//! Sending and verifying beside many live numbers: does it cost more than beside few?
//!
//! Two servers, one with ten thousand numbers that wait for their codes and one with many more, are driven in turn
//! with the same requests about other numbers.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use onceward::bench::live::make_data_dir;
use onceward::bench::twilio::Twilio;
use onceward::clock::{Clock, SystemClock};
use tokio::task::JoinSet;

use super::child::Child;
use super::driver::{Connection, now, record, take_code};
use super::million::{fill, mib, say, start};
use super::soak::look_at;
use super::{Arguments, describe, double, median};

/// What every server carries without noticing.
const FEW: u64 = 10_000;

/// Longer than any run.
const LIFE: Duration = Duration::from_secs(24 * 3600);

/// Long enough for a snapshot round of each server.
const WARM_UP: Duration = Duration::from_secs(12);

/// Runs, and prints as it goes.
pub async fn measure(arguments: &Arguments, numbers: u64) {
    let home = tempfile::tempdir_in(arguments.disk()).expect("a directory for the data");
    say(&describe(home.path()));
    let twilio = double().await;
    let arguments = &arguments.bench;
    // The larger one first: its filling takes longer than the other's connections would wait.
    let sizes = [numbers, FEW];
    let mut servers = Vec::new();
    for size in sizes {
        let (child, data) = with_numbers(home.path(), size, &twilio).await;
        // Used at once, or a server drops connections on which nothing comes.
        let mut driver = Driver::connect(&child, arguments.connections, &twilio).await;
        driver.drive(WARM_UP).await;
        servers.push(Server { child, driver, data });
    }
    say(&format!(
        "\nsend, then verify; {} connections, {} rounds of {} s for each server\n{:<22}{:>12}{:>10}{:>10}{:>20}",
        arguments.connections,
        arguments.rounds,
        arguments.seconds,
        "live numbers",
        "requests/s",
        "p50 ms",
        "p99 ms",
        "CPU us per request"
    ));
    let mut rounds = Vec::new();
    for number in 0..arguments.rounds {
        let mut round = [Figures::default(); 2];
        let before: Vec<Duration> = servers.iter().map(|server| server.child.cpu()).collect();
        let first = number as usize % 2;
        for which in [first, 1 - first] {
            round[which] =
                Figures::of(&servers[which].driver.drive(Duration::from_secs(arguments.seconds)).await);
        }
        // For the whole round: what a server puts off comes while the other one is driven.
        for (which, server) in servers.iter().enumerate() {
            round[which].cpu_us =
                server.child.cpu().saturating_sub(before[which]).as_secs_f64() * 1e6 / round[which].requests;
            round[which].print(sizes[which]);
        }
        rounds.push(round);
    }
    let ratio =
        |value: fn(&Figures) -> f64| median(rounds.iter().map(|[many, few]| value(many) / value(few)));
    say(&format!(
        "\n{numbers} against {FEW}, median of the rounds: requests/s {:.2}x, p50 {:.2}x, p99 {:.2}x, CPU per request {:.2}x",
        ratio(|f| f.per_second),
        ratio(|f| f.p50_ms),
        ratio(|f| f.p99_ms),
        ratio(|f| f.cpu_us)
    ));
    for (server, size) in servers.iter().zip(sizes) {
        let mut sample = look_at(&server.data);
        sample.look_at_process(&server.child);
        say(&format!("{size:<22}memory {:.1} MiB, disk {:.1} MiB", mib(sample.rss), mib(sample.disk)));
    }
}

/// What one window saw.
struct Window {
    lasted: Duration,
    latencies: Histogram<u64>,
}

/// Connections that each send, verify, and begin again.
struct Driver {
    connections: Vec<Connection>,
    twilio: Twilio,
}

impl Driver {
    async fn connect(server: &Child, connections: u32, twilio: &Twilio) -> Self {
        let mut opened = Vec::new();
        for index in 0..connections {
            opened.push(Connection::open(server.address(), 200 + index).await);
        }
        Self { connections: opened, twilio: twilio.clone() }
    }

    async fn drive(&mut self, length: Duration) -> Window {
        let start = now();
        let mut busy = JoinSet::new();
        for mut connection in self.connections.drain(..) {
            let twilio = self.twilio.clone();
            busy.spawn(async move {
                let mut latencies = Histogram::new(3).expect("three digits");
                while start.elapsed() < length {
                    let digits = connection.next_number();
                    let asked = now();
                    connection.send(&digits).await;
                    record(&mut latencies, asked.elapsed());
                    let code = take_code(&twilio, &digits);
                    let asked = now();
                    connection.verify(&digits, &code).await;
                    record(&mut latencies, asked.elapsed());
                }
                (connection, latencies)
            });
        }
        let mut latencies = Histogram::new(3).expect("three digits");
        while let Some(done) = busy.join_next().await {
            let (connection, theirs) = done.expect("every answer is the expected one");
            self.connections.push(connection);
            latencies.add(theirs).expect("histograms of one kind");
        }
        Window { lasted: start.elapsed(), latencies }
    }
}

struct Server {
    child: Child,
    driver: Driver,
    data: PathBuf,
}

async fn with_numbers(home: &Path, numbers: u64, twilio: &Twilio) -> (Child, PathBuf) {
    let home = home.join(numbers.to_string());
    let data = home.join("data");
    std::fs::create_dir(&home).expect("a directory");
    make_data_dir(&data).expect("a directory");
    let clock = Arc::new(SystemClock::start());
    let ends = clock.now().plus(LIFE);
    fill(&data, 0..numbers, clock, ends).await;
    let child = start(&home, twilio, &format!("with {numbers} live numbers")).await;
    (child, data)
}

#[derive(Clone, Copy, Default)]
struct Figures {
    requests: f64,
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    cpu_us: f64,
}

impl Figures {
    fn of(window: &Window) -> Self {
        let Window { lasted, latencies } = window;
        #[expect(clippy::cast_precision_loss, reason = "no run has 2^53 requests")]
        let requests = latencies.len() as f64;
        let ms = |quantile| Duration::from_nanos(latencies.value_at_quantile(quantile)).as_secs_f64() * 1e3;
        let per_second = requests / lasted.as_secs_f64();
        Self { requests, per_second, p50_ms: ms(0.5), p99_ms: ms(0.99), cpu_us: 0.0 }
    }

    fn print(&self, numbers: u64) {
        let Self { per_second, p50_ms, p99_ms, cpu_us, .. } = self;
        say(&format!("{numbers:<22}{per_second:>12.0}{p50_ms:>10.2}{p99_ms:>10.2}{cpu_us:>20.1}"));
    }
}
