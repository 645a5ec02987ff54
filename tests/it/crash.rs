//! `kill -9` under load: every answer to a client still holds after the restart.
//!
//! Guests send codes and check right, wrong and used ones, each guest on its own numbers, some of them twice at once,
//! and record the answers. After some answers the test kills the server, either while it works or while it stops in
//! order and writes its snapshot. The test also kills some of the next starts, while the server replays the journal. In
//! the end the guests ask about the numbers again, and an answer that fits no possible state fails the test.
//!
//! `CRASH_ROUNDS=1000` repeats it more often, `CRASH_SEED` repeats the run that a failure printed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rustix::process::Signal;
use tokio::task::JoinSet;

use crate::belief::{Request, Subject};
use crate::support::prelude::*;

const GUESTS: u64 = 10;
const NEW_NUMBERS_PER_ROUND: usize = 4;

/// The test starts with a new data directory after this many rounds.
const ROUNDS_PER_WORLD: u64 = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_kill_9_under_load_every_answer_given_still_holds() {
    let rounds: u64 = from_environment("CRASH_ROUNDS", 8);
    let seed: u64 = from_environment("CRASH_SEED", 20_251_120);
    println!("CRASH_SEED={seed} CRASH_ROUNDS={rounds}");
    let mut totals = Totals::default();
    for first in (0..rounds).step_by(usize::try_from(ROUNDS_PER_WORLD).unwrap()) {
        let last = rounds.min(first + ROUNDS_PER_WORLD);
        in_one_directory(seed ^ (first << 20), first..last, &mut totals).await;
        println!("{totals:?}");
    }
    assert!(totals.kills_at_work + totals.kills_while_stopping >= rounds);
}

#[derive(Debug, Default)]
struct Totals {
    answers: u64,
    kills_at_work: u64,
    kills_while_stopping: u64,
    kills_while_starting: u64,
}

async fn in_one_directory(seed: u64, rounds: std::ops::Range<u64>, totals: &mut Totals) {
    // Two codes of ten digits are never equal by chance.
    let world = World::with([("otp-length", json!(10)), ("otp-timeout", json!("1h"))]).await;
    let World { doubles: twilio, setup, mut server, numbers } = world;
    let shared = Arc::new(Shared { twilio, numbers, load: Load::default() });
    let mut rng = StdRng::seed_from_u64(seed);
    let mut guests: Vec<Guest> =
        (0..GUESTS).map(|i| Guest::new(shared.clone(), StdRng::seed_from_u64(seed ^ (i + 1)))).collect();

    for _ in rounds {
        shared.load.begin(rng.random_range(20..250));
        let mut load = JoinSet::new();
        for guest in guests.drain(..) {
            load.spawn(guest.act_until_the_kill(server.client.clone()));
        }
        shared.load.until_kill().await;
        if rng.random_bool(0.4) {
            server.signal(Signal::TERM);
            // The kill may come at any moment.
            tokio::time::sleep(Duration::from_millis(rng.random_range(0..60))).await;
            totals.kills_while_stopping += 1;
        } else {
            totals.kills_at_work += 1;
        }
        server.kill();
        guests = load.join_all().await;
        server.ended().await;

        while rng.random_bool(0.4) {
            kill_while_it_starts(&setup, &mut rng).await;
            totals.kills_while_starting += 1;
        }
        server = setup.start().await;
        shared.load.server_is_back();
        for guest in &mut guests {
            guest.ask_again(&server.client).await;
        }
    }
    totals.answers += shared.load.answers();
}

/// Starts the server and kills it after some lines of its log, or a little later.
async fn kill_while_it_starts(setup: &Setup, rng: &mut StdRng) {
    let server: Server = setup.launch();
    let (lines, later) = (rng.random_range(0..8_usize), Duration::from_micros(rng.random_range(0..20_000)));
    let seen = AtomicUsize::new(0);
    if lines > 0 {
        let enough = server.output().event(|event| {
            seen.fetch_add(1, Ordering::Relaxed);
            event["message"] == "listening" || seen.load(Ordering::Relaxed) >= lines
        });
        soon("a line of the log", enough).await;
    }
    tokio::time::sleep(later).await;
    server.killed().await;
}

struct Shared {
    twilio: Twilio,
    numbers: Numbers,
    load: Load,
}

struct Guest {
    shared: Arc<Shared>,
    rng: StdRng,
    subjects: Vec<Subject>,
    /// The subjects that it asked about since the last restart.
    touched: BTreeSet<usize>,
}

impl Guest {
    fn new(shared: Arc<Shared>, rng: StdRng) -> Self {
        Self { shared, rng, subjects: Vec::new(), touched: BTreeSet::new() }
    }

    async fn act_until_the_kill(mut self, client: Client) -> Self {
        self.subjects.extend((0..NEW_NUMBERS_PER_ROUND).map(|_| Subject::new(self.shared.numbers.next())));
        while !self.shared.load.may_fail() {
            // Chooses older numbers too: their state must still hold.
            let chosen = self.rng.random_range(0..self.subjects.len());
            let requests = self.subjects[chosen].one_or_two_requests(&mut self.rng);
            self.ask(&client, chosen, requests).await;
            self.touched.insert(chosen);
        }
        self
    }

    /// Asks about every number of the last round, and about as many others.
    async fn ask_again(&mut self, client: &Client) {
        let touched = std::mem::take(&mut self.touched);
        let others: Vec<usize> = (0..self.subjects.len()).filter(|index| !touched.contains(index)).collect();
        let sample: Vec<usize> = others.sample(&mut self.rng, touched.len()).copied().collect();
        for chosen in touched.into_iter().chain(sample) {
            for request in self.subjects[chosen].questions() {
                self.ask(client, chosen, vec![request]).await;
            }
        }
    }

    /// Asks one thing, or two at once on two connections.
    async fn ask(&mut self, client: &Client, chosen: usize, requests: Vec<Request>) {
        let Shared { twilio, load, .. } = &*self.shared;
        self.subjects[chosen].ask(client, twilio, requests, |answer| load.count(answer)).await;
    }
}
