//! More messages than a slow gateway takes: checks beside them, and how soon the refused ones are told.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::guests::{Guests, Manners};
use super::steady::{self, Steady};
use super::tally::{Tally, head, ms, row};
use super::{Arguments, say};
use crate::child::Child;
use crate::driver::now;
use crate::median;
use crate::onceward;
use crate::{describe, double};

/// The flood before the window begins: long enough to fill the places at the gateway.
const RISES: Duration = Duration::from_secs(2);

/// One window.
struct Seen {
    times: Histogram<u64>,
    server_cpu: f64,
}

/// Measures in rounds of two windows each: checks alone, then beside the flood.
pub async fn measure(arguments: &Arguments, guests: u32, gateway_takes: Duration, again_after: Duration) {
    let home = tempfile::tempdir_in(arguments.disk()).expect("a directory for the data");
    let length = Duration::from_secs(arguments.bench.seconds);
    say(&describe(home.path()).to_string());
    say(&format!(
        "checks, {} requests/s over {} connections; alone and beside {guests} clients in a closed loop that ask for \
         messages, and wait {again_after:?} when refused; the gateway takes {gateway_takes:?}; {} rounds of {} s each",
        steady::RATE,
        steady::CONNECTIONS,
        arguments.bench.rounds,
        arguments.bench.seconds
    ));
    let twilio = double().await;
    let manners = Manners { guests, verify: false, again_after };
    let numbers = Arc::<AtomicU32>::default();
    let (mut alone, mut beside, mut all) = (Vec::new(), Vec::new(), Tally::default());
    let mut firsts = Vec::new();
    say(&head());
    for number in 1..=arguments.bench.rounds {
        // A server that knows nothing of the gateway yet, so that each round shows how soon it learns.
        let data = tempfile::tempdir_in(arguments.disk()).expect("a directory for the data");
        let server = onceward(data.path(), &twilio, &[("ONCEWARD_OTP_TIMEOUT", "10m")]).await;
        let mut client = Steady::connect(server.address(), &twilio).await;
        client.send_and_verify(crate::WARM_UP).await;
        let known = client.prepare(length).await;
        alone.push(window(&mut client, &server, known, length).await);
        let known = client.prepare(length).await;
        twilio.takes(gateway_takes);
        let flood = Guests::come(server.address(), &twilio, manners, &numbers);
        tokio::time::sleep(RISES).await;
        beside.push(window(&mut client, &server, known, length).await);
        let report = flood.go().await;
        twilio.takes(Duration::ZERO);
        for (name, seen) in [("alone", &alone), ("beside the flood", &beside)] {
            if let Some(Seen { times, server_cpu }) = seen.last() {
                let name = format!("{number} checks {name}, server CPU {:.0} %", server_cpu * 100.0);
                say(&row(&name, times));
            }
        }
        firsts.extend(report.first_refusal);
        all.add(report.tally);
    }
    say("\nwhat the flood was answered, all rounds:");
    all.print();
    say(&format!("first refusal after the flood began, by round: {firsts:.0?}"));
    let ratio = |quantile| {
        median(beside.iter().zip(&alone).map(|(b, a)| ms(&b.times, quantile) / ms(&a.times, quantile)))
    };
    say(&format!(
        "\nchecks beside the flood against alone, median of the rounds: p50 {:.2}x, p99 {:.2}x",
        ratio(0.5),
        ratio(0.99)
    ));
}

async fn window(
    client: &mut Steady,
    server: &Child,
    known: Vec<Vec<steady::Known>>,
    length: Duration,
) -> Seen {
    let (start, cpu) = (now(), server.cpu());
    let times = client.verify(known, length).await;
    let cpu = server.cpu().saturating_sub(cpu);
    Seen { times, server_cpu: cpu.as_secs_f64() / start.elapsed().as_secs_f64() }
}
