//! The same with the real program: every answer over HTTP holds when the program starts on a disk after a power cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rustix::process::Signal;
use serde_json::json;
use tokio::task::JoinSet;

use super::cuts::{Cuts, places};
use super::disk::Disk;
use super::shim::Watched;
use super::trace::{self, Place};
use crate::belief::{Belief, NO_CODE, ObservedReply, Request};
use crate::support::{Client, Numbers, Setup, Twilio, through};

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
    let shared = Arc::new(Shared {
        twilio,
        traces: traces.clone(),
        answers: AtomicU64::new(0),
        over: AtomicBool::new(false),
    });
    for (answers, killed) in [(150, true), (120, false), (100, true), (100, false)] {
        let server = loaded.start().await;
        shared.over.store(false, Ordering::SeqCst);
        let until = shared.answers.load(Ordering::SeqCst) + answers;
        let mut load = JoinSet::new();
        for guest in guests.drain(..) {
            load.spawn(guest.act(server.client.clone(), shared.clone(), until, killed));
        }
        if killed {
            let answers = async || shared.answers.load(Ordering::SeqCst);
            crate::support::until("the load", answers, |answers| *answers >= until).await;
            shared.over.store(true, Ordering::SeqCst);
            server.kill();
            guests = load.join_all().await;
        } else {
            guests = load.join_all().await;
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
        for subject in guests.iter().flat_map(|guest| &guest.subjects) {
            subject.still_holds(cut, &server.client).await;
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
    answers: AtomicU64,
    over: AtomicBool,
}

struct Guest {
    rng: StdRng,
    subjects: Vec<Subject>,
}

struct Subject {
    number: String,
    belief: Belief,
    history: Vec<Asked>,
}

struct Asked {
    at: Place,
    request: Request,
    heard: Option<(Place, ObservedReply)>,
    codes: Vec<String>,
}

impl Guest {
    fn new(seed: u64, numbers: &Numbers) -> Self {
        let subject = |_| {
            let number = numbers.next();
            Subject { number, belief: Belief::new(), history: Vec::new() }
        };
        let subjects = (0..NUMBERS_PER_GUEST).map(subject).collect();
        Self { rng: StdRng::seed_from_u64(seed), subjects }
    }

    async fn act(mut self, client: Client, shared: Arc<Shared>, until: u64, killed: bool) -> Self {
        while !shared.over.load(Ordering::SeqCst) && (killed || shared.answers.load(Ordering::SeqCst) < until)
        {
            let chosen = self.rng.random_range(0..self.subjects.len());
            let request = self.subjects[chosen].something_to_ask(&mut self.rng);
            self.subjects[chosen].ask(request, &client, &shared).await;
        }
        self
    }
}

impl Subject {
    fn something_to_ask(&self, rng: &mut StdRng) -> Request {
        match (rng.random_range(0..10), self.belief.codes().into_iter().next()) {
            (0..3, Some(code)) => Request::Check(code),
            (3..7, Some(_)) => Request::Check(NO_CODE.to_owned()),
            _ => Request::Send,
        }
    }

    async fn ask(&mut self, request: Request, client: &Client, shared: &Shared) {
        let before = shared.twilio.last_code_for(&self.number);
        let at = Place::now(&shared.traces);
        let answer = match &request {
            Request::Send => client.try_send(&self.number).await,
            Request::Check(guess) => client.try_verify(&self.number, guess).await,
        };
        let answered = Place::now(&shared.traces);
        let heard = match answer {
            Ok(answer) => {
                shared.answers.fetch_add(1, Ordering::SeqCst);
                Some(ObservedReply::in_answer(&answer, &self.number))
            }
            Err(error) => {
                assert!(shared.over.load(Ordering::SeqCst), "an answer before the kill, not {error}");
                None
            }
        };
        let new = |code: &String| heard.is_some() || before.as_ref() != Some(code);
        let codes: Vec<String> = shared.twilio.last_code_for(&self.number).filter(new).into_iter().collect();
        self.belief.take_in(&[(request.clone(), heard.clone())], &codes).expect("an answer that fits");
        self.history.push(Asked { at, request, heard: heard.map(|heard| (answered, heard)), codes });
    }

    /// Asserts that every answer before the cut still holds.
    async fn still_holds(&self, cut: Place, client: &Client) {
        let (mut belief, mut used) = (Belief::new(), Vec::new());
        for asked in self.history.iter().filter(|asked| asked.at <= cut) {
            let heard = asked.heard.clone().filter(|(at, _)| *at <= cut).map(|(_, heard)| heard);
            if let (Some(ObservedReply::Verified), Request::Check(guess)) = (&heard, &asked.request) {
                used.push(guess.clone());
            }
            let exchange = (asked.request.clone(), heard);
            belief.take_in(&[exchange], &asked.codes).expect("as it was heard");
        }
        // Each code that is certain must still work.
        let mut questions = belief.questions(&used);
        questions.extend(belief.codes().into_iter().map(Request::Check));
        for question in questions {
            let Request::Check(code) = &question else { continue };
            let answer = client.try_verify(&self.number, code).await.expect("an answer");
            let heard = ObservedReply::in_answer(&answer, &self.number);
            belief.take_in(&[(question, Some(heard))], &[]).expect(&self.number);
        }
    }
}
