//! The same with the real program: every answer over HTTP holds when the program starts on a disk after a power cut.

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rustix::process::Signal;
use tokio::task::JoinSet;

use super::cuts::{Cuts, places};
use super::disk::Disk;
use super::trace::{self, Place, Watched};
use crate::belief::{Exchange, Subject};
use crate::support::prelude::*;

const GUESTS: u64 = 8;
const NUMBERS_PER_GUEST: usize = 6;

/// The divisor of the number of cuts: here each cut is a start of the program.
const FEWER: usize = 15;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_power_cut_the_program_knows_what_it_answered() {
    let cuts = Cuts::from_environment(8 * FEWER);
    let (watched, twilio) = (Watched::new(), Twilio::start().await);
    let loaded = watched.setup(through(&twilio.base_url(), settings()));
    let traces = watched.traces();
    let numbers = Numbers::default();
    let mut guests: Vec<Guest> =
        (0..GUESTS).map(|guest| Guest::new(cuts.seed ^ (guest + 1), &numbers)).collect();
    let shared = Arc::new(Shared { twilio, traces: traces.clone(), load: Load::default() });
    for (answers, is_killed) in [(150, true), (120, false), (100, true), (100, false)] {
        let server = loaded.start().await;
        shared.load.server_is_back();
        shared.load.begin(answers);
        let mut load = JoinSet::new();
        for guest in guests.drain(..) {
            load.spawn(guest.act(server.client.clone(), shared.clone()));
        }
        shared.load.until_kill().await;
        if is_killed {
            server.kill();
        }
        guests = load.join_all().await;
        if !is_killed {
            server.signal(Signal::TERM);
        }
        server.ended().await;
    }

    let events = trace::read(&traces);
    let mut rng = StdRng::seed_from_u64(cuts.seed);
    let places = places(&events, cuts.count.div_ceil(FEWER), &mut rng);
    println!("POWER_SEED={} {} events, {} cuts", cuts.seed, events.len(), places.len());
    let mut disk = Disk::default();
    for event in places {
        let cut = disk.advance_to(event, &events);
        // A separate home. The program needs no gateway any more.
        let again = through("http://127.0.0.1:9", settings());
        disk.cut_into(again.home(), &mut StdRng::seed_from_u64(rng.random()));
        println!("cut behind event {event}");
        let server = again.start().await;
        for history in guests.iter().flat_map(|guest| &guest.histories) {
            history.still_holds(cut, &server.client).await;
        }
    }
}

/// Two codes of ten digits are never equal by chance.
fn settings() -> Setup {
    Setup::new().config("otp-length", json!(10)).config("otp-timeout", json!("1h"))
}

struct Shared {
    twilio: Twilio,
    traces: std::path::PathBuf,
    load: Load,
}

struct Guest {
    rng: StdRng,
    histories: Vec<History>,
}

struct History {
    subject: Subject,
    asked: Vec<Asked>,
}

/// An exchange, where the trace was before and after it, and the code that came with it.
struct Asked {
    began: Place,
    ended: Place,
    exchange: Exchange,
    codes: Vec<String>,
}

impl Guest {
    fn new(seed: u64, numbers: &Numbers) -> Self {
        let history = |_| History { subject: Subject::new(numbers.next()), asked: Vec::new() };
        let histories = (0..NUMBERS_PER_GUEST).map(history).collect();
        Self { rng: StdRng::seed_from_u64(seed), histories }
    }

    async fn act(mut self, client: Client, shared: Arc<Shared>) -> Self {
        let Shared { twilio, traces, load } = &*shared;
        while !load.may_fail() {
            let chosen = self.rng.random_range(0..self.histories.len());
            let History { subject, asked } = &mut self.histories[chosen];
            let request = subject.any_request(&mut self.rng);
            let began = Place::now(traces);
            let mut ended = began;
            let hear = |answer| {
                ended = Place::now(traces);
                load.count(answer)
            };
            let (exchanges, codes) = subject.ask(&client, twilio, vec![request], hear).await;
            let exchange = |exchange| Asked { began, ended, exchange, codes: codes.clone() };
            asked.extend(exchanges.into_iter().map(exchange));
        }
        self
    }
}

impl History {
    /// Asserts that every answer before the cut still holds.
    async fn still_holds(&self, cut: Place, client: &Client) {
        let mut subject = Subject::new(self.subject.number.clone());
        for Asked { ended, exchange: (request, reply), codes, .. } in
            self.asked.iter().filter(|asked| asked.began <= cut)
        {
            let reply = reply.clone().filter(|_| *ended <= cut);
            subject.learn(&[(request.clone(), reply)], codes);
        }
        subject.still_holds(client).await;
    }
}
