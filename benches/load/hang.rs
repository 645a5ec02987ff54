//! Verifying while the provider hangs: does a check wait for somebody else's message?
//!
//! The same server verifies codes that were sent before, in turn with nothing else to do and with
//! its provider silent and hundreds of sends waiting for it.

use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use super::child::Child;
use super::driver::{Connection, now, record, take_code};
use super::median;
use super::{Arguments, describe, double, onceward};
use onceward::bench::results::Machine;
use onceward::bench::twilio::Twilio;

/// Sends that wait for the silent provider: nearly all of the places at it.
const WAITING: u32 = 500;

/// Codes that each connection verifies in one window.
const CODES: usize = 1_000;

/// What was measured.
pub struct HangReport {
    machine: Machine,
    connections: u32,
    rounds: Vec<[Checks; 2]>,
}

/// The checks of one window.
struct Checks {
    lasted: Duration,
    latencies: Histogram<u64>,
}

/// Measures in rounds of two windows each: quiet, then silent, and the other way round in the next.
pub async fn measure(arguments: &Arguments) -> HangReport {
    let home = tempfile::tempdir_in(arguments.disk()).expect("a directory for the data");
    let machine = describe(home.path());
    let twilio = double().await;
    let server = onceward(home.path(), &twilio, &[("ONCEWARD_OTP_TIMEOUT", "10m")]).await;
    let mut connections = Vec::new();
    for index in 0..arguments.bench.connections {
        connections.push(Connection::open(server.address(), 200 + index).await);
    }
    let mut rounds = Vec::new();
    // The first round is for warming up.
    for number in 0..=arguments.bench.rounds {
        let mut windows = [false, true];
        if number % 2 == 1 {
            windows.reverse();
        }
        let mut round = [None, None];
        for silent in windows {
            round[usize::from(silent)] = Some(window(&mut connections, &server, &twilio, silent).await);
        }
        if let ([Some(quiet), Some(silent)], 1..) = (round, number) {
            rounds.push([quiet, silent]);
        }
    }
    HangReport { machine, connections: arguments.bench.connections, rounds }
}

async fn window(connections: &mut Vec<Connection>, server: &Child, twilio: &Twilio, silent: bool) -> Checks {
    let mut prepared = Vec::new();
    let mut preparing = JoinSet::new();
    for mut connection in connections.drain(..) {
        let twilio = twilio.clone();
        preparing.spawn(async move {
            let mut codes = Vec::with_capacity(CODES);
            for _ in 0..CODES {
                let digits = connection.next_number();
                connection.send(&digits).await;
                let code = take_code(&twilio, &digits);
                codes.push((digits, code));
            }
            (connection, codes)
        });
    }
    while let Some(done) = preparing.join_next().await {
        prepared.push(done.expect("every code was sent"));
    }
    let mut waiting = JoinSet::new();
    if silent {
        twilio.hang(true);
        for index in 0..WAITING {
            let address = server.address();
            waiting.spawn(async move {
                let mut connection = Connection::open(address, 999).await;
                let _ = connection.send_whatever_comes(&format!("1999{:07}", 3_000_000 + index)).await;
            });
        }
        twilio.arrived(WAITING).await;
    }
    let start = now();
    let mut checking = JoinSet::new();
    for (mut connection, codes) in prepared {
        checking.spawn(async move {
            let mut latencies = Histogram::new(3).expect("three digits");
            for (digits, code) in codes {
                let asked = now();
                connection.verify(&digits, &code).await;
                record(&mut latencies, asked.elapsed());
            }
            (connection, latencies)
        });
    }
    let mut latencies = Histogram::new(3).expect("three digits");
    while let Some(done) = checking.join_next().await {
        let (connection, one) = done.expect("every code was right");
        connections.push(connection);
        latencies.add(one).expect("histograms of one kind");
    }
    let lasted = start.elapsed();
    twilio.hang(false);
    while waiting.join_next().await.is_some() {}
    Checks { lasted, latencies }
}

impl HangReport {
    /// Prints the table.
    #[expect(clippy::print_stdout, reason = "the purpose of the program")]
    pub fn print(&self) {
        println!("{}", self.machine);
        println!(
            "checks of codes that were sent before; {} connections, {} rounds; while the provider is silent, \
             {WAITING} sends wait for it",
            self.connections,
            self.rounds.len()
        );
        println!("\n{:<22}{:>12}{:>10}{:>10}", "", "checks/s", "p50 ms", "p99 ms");
        for (index, round) in self.rounds.iter().enumerate() {
            for (checks, name) in round.iter().zip(NAMES) {
                let row = format!("{} {name}", index + 1);
                println!("{row:<22}{:>12.0}{:>10.2}{:>10.2}", checks.rate(), checks.ms(0.5), checks.ms(0.99));
            }
        }
        let ratio =
            |of: fn(&Checks) -> f64| median(self.rounds.iter().map(|[quiet, silent]| of(silent) / of(quiet)));
        println!(
            "\nprovider silent against normal, median of the rounds: checks/s {:.2}x, p50 {:.2}x, p99 {:.2}x",
            ratio(Checks::rate),
            ratio(|checks| checks.ms(0.5)),
            ratio(|checks| checks.ms(0.99))
        );
    }
}

const NAMES: [&str; 2] = ["normal", "provider silent"];

impl Checks {
    fn rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "no window has 2^53 checks")]
        let checks = self.latencies.len() as f64;
        checks / self.lasted.as_secs_f64()
    }

    fn ms(&self, quantile: f64) -> f64 {
        Duration::from_nanos(self.latencies.value_at_quantile(quantile)).as_secs_f64() * 1e3
    }
}
