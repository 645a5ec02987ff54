//! A million numbers that end: what they take, how long a start with them lasts, and how long it
//! takes an idle server to be rid of them.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::StatusCode;
use onceward::bench::live::{self, Ends};
use onceward::bench::twilio::Twilio;
use onceward::clock::{Clock, ManualClock, SystemClock};
use onceward::domain::Timestamp;
use onceward::store::{EmbeddedStore, Store};

use super::child::Child;
use super::driver::{Connection, now};
use super::soak::{Sample, look_at};
use super::{Arguments, describe, double, onceward};

/// As the setting's default says.
const CODE_LIVES: Duration = Duration::from_secs(30);

/// Only a machine that is much too slow needs longer for that.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often an idle server is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The server that is being looked at is rid of them when its files have not changed for so long.
const QUIET: Duration = Duration::from_secs(60);

/// How long is waited for that at most.
const WAIT_AT_MOST: Duration = Duration::from_secs(900);

/// Runs, and prints as it goes.
pub async fn measure(arguments: &Arguments, numbers: u64) {
    let home = tempfile::tempdir_in(arguments.disk()).expect("a directory for the data");
    let data = home.path().join("data");
    say(&describe(home.path()));
    let twilio = double().await;
    live::make_data_dir(&data).expect("a directory");
    let lives = arguments.ends_in;
    let clock = SystemClock::start();

    say(&format!("\n{numbers} numbers that live for {}", humantime::format_duration(lives)));
    let ends = clock.now().plus(lives);
    fill(&data, 0..numbers, Arc::new(SystemClock::start()), ends).await;
    let left = ends.since(clock.now());
    assert!(
        left > Duration::from_secs(20),
        "the disk was so slow that they have ended: use a longer --ends-in"
    );
    let server = start(home.path(), &twilio, "with live numbers").await;
    watch(&server, &data, ends.since(clock.now())).await;
    drop(server);
    say(&format!("records left on the disk: {}", records(&data).await));

    say(&"\nas many again, which have all ended before the start, in the same directory");
    let before = Arc::new(ManualClock::starting_at(clock.now()));
    let ends = clock.now().plus(Duration::from_millis(1));
    fill(&data, numbers..2 * numbers, before, ends).await;
    let server = start(home.path(), &twilio, "with ended numbers").await;
    watch(&server, &data, Duration::ZERO).await;
    drop(server);
    say(&format!("records left on the disk: {}", records(&data).await));
    start(home.path(), &twilio, "with none").await;
}

async fn open(data: &Path, clock: Arc<dyn Clock>) -> EmbeddedStore {
    live::open(data, clock).await.expect("a store")
}

pub async fn fill(data: &Path, numbers: std::ops::Range<u64>, clock: Arc<dyn Clock>, ends: Timestamp) {
    let begun = now();
    let store = open(data, Arc::clone(&clock)).await;
    let both = Ends { code: ends.min(clock.now().plus(CODE_LIVES)), record: ends };
    live::fill(&store, numbers, both, |_| {}).await.expect("numbers that are written");
    let written = begun.elapsed();
    store.close().await.expect("a store that closes");
    say(&format!(
        "written in {:.1} s, in the snapshot after {:.1} s; disk {}",
        written.as_secs_f64(),
        begun.elapsed().as_secs_f64(),
        Disk(&look_at(data))
    ));
}

pub async fn start(home: &Path, twilio: &Twilio, what: &str) -> Child {
    let begun = now();
    let settings = [("ONCEWARD_MAX_NUMBERS", "40000000"), ("ONCEWARD_IDLE_TIMEOUT", "1h")];
    let server = onceward(home, twilio, &settings).await;
    let listens = begun.elapsed();
    let mut connection = Connection::open(server.address(), 200).await;
    while connection.ready().await != StatusCode::OK {
        assert!(begun.elapsed() < PATIENCE, "the server does not become ready");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let ready = begun.elapsed();
    let mut sample = Sample::default();
    sample.look_at_process(&server);
    say(&format!(
        "start {what}: listens after {:.2} s, ready after {:.2} s with {:.2} s of CPU; memory {:.1} MiB",
        listens.as_secs_f64(),
        ready.as_secs_f64(),
        server.cpu().as_secs_f64(),
        mib(sample.rss)
    ));
    server
}

/// Looks at an idle server until its files no longer change; `ends_in` is when its numbers end.
async fn watch(server: &Child, data: &Path, ends_in: Duration) {
    let begun = now();
    let (mut last, mut changed): (Option<Sample>, Instant) = (None, begun);
    loop {
        let sample = look_at_both(server, data);
        let since = begun.elapsed().as_secs_f64() - ends_in.as_secs_f64();
        say(&format!(
            "{since:>+6.0} s from the end of the numbers: memory {:>6.1} MiB (anonymous {:>6.1}), disk {}, CPU {:.1} s",
            mib(sample.rss),
            mib(sample.anonymous),
            Disk(&sample),
            server.cpu().as_secs_f64()
        ));
        let differs =
            |last: &Sample| last.snapshot != sample.snapshot || last.rss.abs_diff(sample.rss) > 1024 * 1024;
        if last.as_ref().is_none_or(differs) {
            changed = now();
        }
        last = Some(sample);
        let ended = begun.elapsed() > ends_in;
        if ended && (changed.elapsed() > QUIET && begun.elapsed() > ends_in + QUIET)
            || begun.elapsed() > WAIT_AT_MOST
        {
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn look_at_both(server: &Child, data: &Path) -> Sample {
    let mut sample = look_at(data);
    sample.look_at_process(server);
    sample
}

/// Everything that is there, ended or not: at this clock nothing has.
async fn records(data: &Path) -> u64 {
    let store = open(data, Arc::new(ManualClock::starting_at(Timestamp::EPOCH))).await;
    let count = super::soak::count_numbers(&store).await;
    store.close().await.expect("a store that closes");
    count
}

struct Disk<'a>(&'a Sample);

impl fmt::Display for Disk<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(sample) = self;
        write!(
            f,
            "{:.1} MiB (journal {:.0}, snapshot {:.1} in {} layers)",
            mib(sample.disk),
            mib(sample.journal),
            mib(sample.snapshot),
            sample.layers
        )
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
pub fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}

#[expect(clippy::print_stdout, reason = "a program that talks to a person")]
pub fn say(text: &dyn fmt::Display) {
    println!("{text}");
}
