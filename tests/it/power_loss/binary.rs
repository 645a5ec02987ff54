//! The same with the real program: every answer over HTTP holds when the program starts on a disk after a power cut.

use std::path::PathBuf;
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rustix::process::Signal;
use tokio::task::JoinSet;

use super::cuts::{Cuts, places};
use super::disk::Disk;
use super::trace::{self, Place, Watched};
use crate::belief::{Exchange, Guest, Subject};
use crate::support::prelude::*;

const CALLERS: u64 = 8;

/// The divisor of the number of cuts: here each cut is a start of the program.
const FEWER: usize = 15;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_power_cut_the_program_knows_what_it_answered() {
    let cuts = Cuts::from_environment(8 * FEWER);
    let (watched, twilio) = (Watched::new(), Twilio::start().await);
    let loaded = watched.setup(through(&twilio.base_url(), settings()));
    let traces = watched.traces();
    let shared =
        Shared { twilio, numbers: Numbers::default(), traces: traces.clone(), load: Load::default() };
    let shared = Arc::new(shared);
    let caller = |name| Caller { guest: Guest::new(cuts.seed ^ (name + 1)), asked: Vec::new() };
    let mut callers: Vec<Caller> = (0..CALLERS).map(caller).collect();
    for (answers, is_killed) in [(150, true), (120, false), (100, true), (100, false)] {
        let server = loaded.start().await;
        shared.load.server_is_back();
        shared.load.begin(answers);
        let mut load = JoinSet::new();
        for caller in callers.drain(..) {
            load.spawn(caller.act(server.client.clone(), shared.clone()));
        }
        shared.load.until_kill().await;
        if is_killed {
            server.kill();
        }
        callers = load.join_all().await;
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
        for subject in callers.iter().flat_map(|caller| caller.knew(cut)) {
            subject.still_holds(&server.client).await;
        }
    }
}

/// Two codes of ten digits are never equal by chance.
fn settings() -> Setup {
    Setup::new().config("otp-length", json!(10)).config("otp-timeout", json!("1h"))
}

struct Shared {
    twilio: Twilio,
    numbers: Numbers,
    traces: PathBuf,
    load: Load,
}

struct Caller {
    guest: Guest,
    asked: Vec<Asked>,
}

/// Exchanges about a subject, where the trace was before and after them, and the code that came with them.
struct Asked {
    subject: usize,
    began: Place,
    ended: Place,
    exchanges: Vec<Exchange>,
    codes: Vec<String>,
}

impl Caller {
    async fn act(mut self, client: Client, shared: Arc<Shared>) -> Self {
        let Shared { twilio, numbers, traces, load } = &*shared;
        while !load.may_fail() {
            let (subject, mut requests) = self.guest.next(numbers);
            // Of two at once it is unknown which one was answered before a cut.
            requests.truncate(1);
            let began = Place::now(traces);
            let mut ended = began;
            let hear = |answer| {
                ended = Place::now(traces);
                load.count(answer)
            };
            let (exchanges, codes) = self.guest.subjects[subject].ask(&client, twilio, requests, hear).await;
            self.asked.push(Asked { subject, began, ended, exchanges, codes });
        }
        self
    }

    /// Its numbers, as it knew them at a cut.
    fn knew(&self, cut: Place) -> Vec<Subject> {
        let fresh = |subject: &Subject| Subject::new(subject.number.clone());
        let mut subjects: Vec<Subject> = self.guest.subjects.iter().map(fresh).collect();
        for asked in self.asked.iter().filter(|asked| asked.began <= cut) {
            let mut exchanges = asked.exchanges.clone();
            if asked.ended > cut {
                for (_, reply) in &mut exchanges {
                    *reply = None;
                }
            }
            subjects[asked.subject].learn(&exchanges, &asked.codes);
        }
        subjects
    }
}
