//! A client that behaves, alone and beside thousands of connections that are idle or slow.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::members::Members;
use super::steady::{self, Steady};
use super::tally::ms;
use super::{Arguments, say};
use crate::child::Child;
use crate::driver::now;
use crate::median;
use crate::onceward;
use crate::soak::Sample;
use crate::{describe, double};

/// Connections that the server has room for beside the crowd: the limit is as near as an operator's would be.
const ROOM: u32 = 200;

/// From when all have come until the window begins: what opening them cost is over.
const SETTLE: Duration = Duration::from_secs(3);

/// Time to come, and to be noticed as gone.
const PATIENCE: Duration = Duration::from_secs(120);

/// Open files of a server without a crowd: fewer.
const FEW_FILES: u64 = 200;

/// One window.
struct Seen {
    times: Histogram<u64>,
    /// Parts of a core.
    server_cpu: f64,
    crowd_cpu: f64,
    /// Connections of the crowd, opened per second.
    came: f64,
    /// Memory of the server in MiB.
    memory: f64,
    /// Connections of the crowd that are there at the end.
    present: u32,
}

/// Measures in rounds of two windows each: alone, then beside the crowd, and the other way round in the next.
pub async fn measure(arguments: &Arguments, members: u32) {
    let home = tempfile::tempdir_in(arguments.disk()).expect("a directory for the data");
    let length = Duration::from_secs(arguments.bench.seconds);
    say(&describe(home.path()).to_string());
    say(&format!(
        "send, then verify, {} requests/s over {} connections; alone and beside {members} connections that are idle or \
         slow; {} rounds of {} s each",
        steady::RATE,
        steady::CONNECTIONS,
        arguments.bench.rounds,
        arguments.bench.seconds
    ));
    let twilio = double().await;
    let limit = (members + ROOM).to_string();
    let server = onceward(home.path(), &twilio, &[("ONCEWARD_MAX_CONNECTIONS", &limit)]).await;
    let mut client = Steady::connect(server.address(), &twilio).await;
    client.send_and_verify(crate::WARM_UP).await;
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    say(&format!(
        "\n{:<10}{:>10}{:>9}{:>9}{:>9}{:>13}{:>12}{:>8}{:>12}{:>11}",
        "",
        "requests",
        "p50 ms",
        "p99 ms",
        "max ms",
        "server CPU",
        "memory MiB",
        "there",
        "crowd CPU",
        "came/s"
    ));
    for number in 1..=arguments.bench.rounds {
        for crowded in [number % 2 == 0, number % 2 == 1] {
            let members = if crowded { members } else { 0 };
            let seen = window(&mut client, &server, members, length).await;
            say(&seen.row(&format!("{number} {}", if crowded { "beside" } else { "alone" })));
            if crowded { &mut beside } else { &mut alone }.push(seen);
        }
    }
    let ratio = |of: fn(&Seen) -> f64| median(beside.iter().zip(&alone).map(|(b, a)| of(b) / of(a)));
    let of_all = |seen: &[Seen], of: fn(&Seen) -> f64| median(seen.iter().map(of));
    say(&format!(
        "\nbeside the crowd against alone, median of the rounds: p50 {:.2}x, p99 {:.2}x (p99 {:.2} ms against {:.2} ms); \
         memory {:.1} MiB against {:.1} MiB at the first",
        ratio(|seen| ms(&seen.times, 0.5)),
        ratio(|seen| ms(&seen.times, 0.99)),
        of_all(&beside, |seen| ms(&seen.times, 0.99)),
        of_all(&alone, |seen| ms(&seen.times, 0.99)),
        of_all(&beside, |seen| seen.memory),
        alone[0].memory,
    ));
}

async fn window(client: &mut Steady, server: &Child, members: u32, length: Duration) -> Seen {
    let crowd = (members > 0).then(|| Members::gather(server.address(), members));
    if let Some(crowd) = &crowd {
        until("the crowd is there", || crowd.done().present >= members - members / 50).await;
    }
    tokio::time::sleep(SETTLE).await;
    let (start, cpu, before) = (now(), server.cpu(), crowd.as_ref().map(Members::done));
    let times = client.send_and_verify(length).await;
    let (lasted, cpu) = (start.elapsed(), server.cpu().saturating_sub(cpu));
    let sample = look_at(server);
    let (mut crowd_cpu, mut came, mut present) = (0.0, 0.0, 0);
    if let (Some(crowd), Some(before)) = (&crowd, before) {
        let after = crowd.done();
        present = after.present;
        crowd_cpu = (after.cpu.saturating_sub(before.cpu)).as_secs_f64() / lasted.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let coming = (after.came - before.came) as f64;
        came = coming / lasted.as_secs_f64();
    }
    drop(crowd);
    until("the crowd is gone", || look_at(server).files < FEW_FILES).await;
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let memory = sample.rss as f64 / (1024.0 * 1024.0);
    let server_cpu = cpu.as_secs_f64() / lasted.as_secs_f64();
    Seen { times, server_cpu, crowd_cpu, came, memory, present }
}

fn look_at(server: &Child) -> Sample {
    let mut sample = Sample::default();
    sample.look_at_process(server);
    sample
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let start = now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "not within {} s: {what}", PATIENCE.as_secs());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

impl Seen {
    fn row(&self, name: &str) -> String {
        let Self { times, server_cpu, crowd_cpu, came, memory, present } = self;
        let (p50, p99, max) = (ms(times, 0.5), ms(times, 0.99), ms(times, 1.0));
        format!(
            "{name:<10}{:>10}{p50:>9.2}{p99:>9.2}{max:>9.2}{:>11.1} %{memory:>12.1}{present:>8}{:>10.1} %{came:>11.0}",
            times.len(),
            server_cpu * 100.0,
            crowd_cpu * 100.0
        )
    }
}
