//! Clients in a closed loop that take whatever they are answered, on a thread and a runtime of their own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hyper::StatusCode;
use tokio::task::JoinSet;

use super::tally::Tally;
use crate::driver::{Connection, now, take_code};
use onceward::bench::twilio::Twilio;

/// The first area that no other client uses.
const AREA: u32 = 300;

/// Numbers in one area.
const NUMBERS: u32 = 7_000_000;

/// What they do.
#[derive(Debug, Clone, Copy)]
pub struct Manners {
    /// How many they are.
    pub guests: u32,
    /// Whether they verify the code that was sent.
    pub verify: bool,
    /// How long each waits after it was refused.
    pub again_after: Duration,
}

/// The clients, at work.
pub struct Guests {
    shared: Arc<Shared>,
    thread: JoinHandle<Report>,
}

struct Shared {
    address: SocketAddr,
    twilio: Twilio,
    manners: Manners,
    stop: AtomicBool,
}

/// What they were answered.
#[derive(Default)]
pub struct Report {
    pub tally: Tally,
    /// From the first request to the first refusal.
    pub first_refusal: Option<Duration>,
}

impl Guests {
    /// They begin. Each run needs numbers of its own, from `numbers` on.
    pub fn come(address: SocketAddr, twilio: &Twilio, manners: Manners, numbers: &Arc<AtomicU32>) -> Self {
        let stop = AtomicBool::new(false);
        let shared = Arc::new(Shared { address, twilio: twilio.clone(), manners, stop });
        let (work, numbers) = (Arc::clone(&shared), Arc::clone(numbers));
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(run(work, numbers))
        });
        Self { shared, thread }
    }

    /// They ask nothing more, and are waited for until all are answered.
    pub async fn go(self) -> Report {
        self.shared.stop.store(true, Ordering::Relaxed);
        let thread = self.thread;
        let report = tokio::task::spawn_blocking(move || thread.join()).await.expect("a thread to wait on");
        report.expect("every guest was answered")
    }
}

async fn run(shared: Arc<Shared>, numbers: Arc<AtomicU32>) -> Report {
    let mut connections = Vec::new();
    for _ in 0..shared.manners.guests {
        connections.push(Connection::open(shared.address, AREA).await);
    }
    let start = now();
    let mut guests = JoinSet::new();
    for connection in connections {
        guests.spawn(guest(connection, Arc::clone(&shared), Arc::clone(&numbers), start));
    }
    let mut all = Report::default();
    while let Some(done) = guests.join_next().await {
        let Report { tally, first_refusal } = done.expect("a guest was answered");
        all.tally.add(tally);
        all.first_refusal = [all.first_refusal, first_refusal].into_iter().flatten().min();
    }
    all
}

async fn guest(
    mut connection: Connection,
    shared: Arc<Shared>,
    numbers: Arc<AtomicU32>,
    start: Instant,
) -> Report {
    let mut report = Report::default();
    while !shared.stop.load(Ordering::Relaxed) {
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        let digits = format!("1{:03}{:07}", AREA + number / NUMBERS, 2_000_000 + number % NUMBERS);
        let asked = now();
        let (status, body) = connection.send_whatever_comes(&digits).await;
        report.tally.note("send", status, &body, asked.elapsed());
        if status != StatusCode::OK {
            report.first_refusal.get_or_insert_with(|| start.elapsed());
            tokio::time::sleep(shared.manners.again_after).await;
        } else if shared.manners.verify {
            let code = take_code(&shared.twilio, &digits);
            let asked = now();
            let (status, body) = connection.verify_whatever_comes(&digits, &code).await;
            report.tally.note("verify", status, &body, asked.elapsed());
        }
    }
    report
}
