//! `kill -9` under load: whatever a client was told is still so after the restart.
//!
//! Guests send codes and check right, wrong and used ones, each on numbers of its own, and believe
//! what they are told. Some answer later the server is killed. A request without an answer may or
//! may not have been carried out: both are believed until an answer tells. After the restart the
//! numbers are asked about again, and an answer that fits nothing believed fails the test.
//!
//! `CRASH_ROUNDS=1000` repeats it more often, `CRASH_SEED` repeats what a failure printed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::support::documented::{incorrect, locked, sent, verified};
use crate::support::{Answer, Client, Numbers, Twilio, World, soon};

const GUESTS: u64 = 10;
const NEW_NUMBERS_PER_ROUND: usize = 12;
const MAX_ATTEMPTS: u32 = 5;

/// Shaped so that no code is ever equal to it.
const NO_CODE: &str = "0000-00000";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_kill_9_under_load_every_answer_given_still_holds() {
    let rounds: u64 = from_environment("CRASH_ROUNDS", 5);
    let seed: u64 = from_environment("CRASH_SEED", 20_251_120);
    println!("CRASH_SEED={seed} CRASH_ROUNDS={rounds}");

    // Ten digits: that two codes are equal by chance does not happen.
    let world = World::with([("otp-length", json!(10)), ("otp-timeout", json!("1h"))]).await;
    let World { twilio, setup, mut server, numbers } = world;
    let shared = Arc::new(Shared::new(twilio, numbers));
    let mut rng = StdRng::seed_from_u64(seed);
    let mut guests: Vec<Guest> =
        (0..GUESTS).map(|i| Guest::new(shared.clone(), StdRng::seed_from_u64(seed ^ (i + 1)))).collect();

    for round in 0..rounds {
        shared.begin(rng.random_range(20..600));
        let mut load = JoinSet::new();
        for guest in guests.drain(..) {
            load.spawn(guest.act_until_the_kill(server.client.clone()));
        }
        soon("the load", shared.enough.notified()).await;
        shared.killed.store(true, Ordering::SeqCst);
        server.kill();
        guests = load.join_all().await;
        server.ended().await;

        server = setup.start().await;
        shared.killed.store(false, Ordering::SeqCst);
        for guest in &mut guests {
            guest.ask_again(&server.client).await;
        }
        let lost: usize = guests.iter().map(|guest| guest.unanswered).sum();
        println!("round {round}: {} answers so far, {lost} requests without one", shared.answers());
    }
}

/// What all guests have in common.
struct Shared {
    twilio: Twilio,
    numbers: Numbers,
    answers: AtomicU64,
    kill_at: AtomicU64,
    enough: Notify,
    killed: AtomicBool,
}

/// One client with numbers of its own.
struct Guest {
    shared: Arc<Shared>,
    rng: StdRng,
    subjects: Vec<Subject>,
    unanswered: usize,
}

/// A number, and what its guest believes of it.
struct Subject {
    number: String,
    /// One state, or several when a request went unanswered.
    believed: Vec<State>,
    used: Vec<String>,
    /// Whether it was asked about since the last restart.
    touched: bool,
}

/// A model of one number's life, made from the contract and not from the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Fresh,
    Open { wrong: u32, code: Option<String> },
    Locked,
}

#[derive(Debug, Clone)]
enum Request {
    Send,
    Check(String),
}

#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Sent { trials: u32 },
    Verified,
    Incorrect { trials: u32 },
    Locked,
}

impl State {
    /// What the client hears and how it goes on. `code` is the one that a send carried.
    fn after(&self, request: &Request, code: Option<&String>) -> (Heard, Self) {
        let wrong = match self {
            Self::Locked => return (Heard::Locked, Self::Locked),
            Self::Fresh => 0,
            Self::Open { wrong, .. } => *wrong,
        };
        match (self, request) {
            (_, Request::Send) => {
                (Heard::Sent { trials: MAX_ATTEMPTS - wrong }, Self::Open { wrong, code: code.cloned() })
            }
            (Self::Open { code: Some(right), .. }, Request::Check(guess)) if right == guess => {
                (Heard::Verified, Self::Fresh)
            }
            (Self::Open { .. }, Request::Check(_)) if wrong + 1 == MAX_ATTEMPTS => {
                (Heard::Locked, Self::Locked)
            }
            (Self::Open { code, .. }, Request::Check(_)) => (
                Heard::Incorrect { trials: MAX_ATTEMPTS - wrong - 1 },
                Self::Open { wrong: wrong + 1, code: code.clone() },
            ),
            (_, Request::Check(_)) => (Heard::Incorrect { trials: MAX_ATTEMPTS }, Self::Fresh),
        }
    }

    fn code(&self) -> Option<&String> {
        match self {
            Self::Open { code, .. } => code.as_ref(),
            Self::Fresh | Self::Locked => None,
        }
    }
}

impl Guest {
    fn new(shared: Arc<Shared>, rng: StdRng) -> Self {
        Self { shared, rng, subjects: Vec::new(), unanswered: 0 }
    }

    async fn act_until_the_kill(mut self, client: Client) -> Self {
        for _ in 0..NEW_NUMBERS_PER_ROUND {
            let number = self.shared.numbers.next();
            let believed = vec![State::Fresh];
            self.subjects.push(Subject { number, believed, used: Vec::new(), touched: false });
        }
        while !self.shared.killed.load(Ordering::SeqCst) {
            // Older numbers come up too: what became of them long ago must still hold.
            let chosen = self.rng.random_range(0..self.subjects.len());
            let request = self.subjects[chosen].something_to_ask(&mut self.rng);
            self.ask(&client, chosen, request).await;
        }
        self
    }

    /// Asks about every number of the last round, and about as many others.
    async fn ask_again(&mut self, client: &Client) {
        let (touched, others): (Vec<usize>, Vec<usize>) =
            (0..self.subjects.len()).partition(|index| self.subjects[*index].touched);
        let sample: Vec<usize> = others.sample(&mut self.rng, touched.len()).copied().collect();
        for chosen in touched.into_iter().chain(sample) {
            let subject = &self.subjects[chosen];
            let mut requests = vec![Request::Check(NO_CODE.to_owned())];
            // It must not succeed again.
            requests.extend(subject.used.last().cloned().map(Request::Check));
            if subject.believed.len() > 1 {
                // Which of them is right tells which state it is.
                requests.extend(subject.believed.iter().filter_map(State::code).cloned().map(Request::Check));
            }
            for request in requests {
                self.ask(client, chosen, request).await;
            }
            self.subjects[chosen].touched = false;
        }
    }

    async fn ask(&mut self, client: &Client, chosen: usize, request: Request) {
        let subject = &mut self.subjects[chosen];
        subject.touched = true;
        let number = &subject.number;
        let before = self.shared.twilio.last_code_for(number);
        let answer = match &request {
            Request::Send => client.try_send(number).await,
            Request::Check(guess) => client.try_verify(number, guess).await,
        };
        let code = self.shared.twilio.last_code_for(number).filter(|code| before.as_ref() != Some(code));
        let outcomes = subject.believed.iter().map(|state| state.after(&request, code.as_ref()));
        match answer {
            Ok(answer) => {
                let heard = Heard::in_answer(&answer, number);
                let fitting: Vec<State> =
                    outcomes.filter(|(wanted, _)| *wanted == heard).map(|(_, next)| next).collect();
                assert!(
                    !fitting.is_empty(),
                    "{request:?} was answered {heard:?}, but believed is {:?}",
                    subject.believed
                );
                if let (Heard::Verified, Request::Check(guess)) = (&heard, &request) {
                    subject.used.push(guess.clone());
                }
                subject.believed = fitting;
                self.shared.count_an_answer();
            }
            Err(error) => {
                assert!(self.shared.killed.load(Ordering::SeqCst), "an answer before the kill, not {error}");
                let possible: Vec<State> = outcomes.map(|(_, next)| next).collect();
                subject.believed.extend(possible);
                self.unanswered += 1;
            }
        }
        subject.believed.dedup();
    }
}

impl Subject {
    fn something_to_ask(&self, rng: &mut StdRng) -> Request {
        let outstanding = self.believed.iter().find_map(State::code);
        match (rng.random_range(0..10), outstanding) {
            (0..4, Some(code)) => Request::Check(code.clone()),
            (4..7, Some(_)) => Request::Check(NO_CODE.to_owned()),
            (7, _) => Request::Check(self.used.last().cloned().unwrap_or_else(|| NO_CODE.to_owned())),
            _ => Request::Send,
        }
    }
}

impl Heard {
    fn in_answer(answer: &Answer, number: &str) -> Self {
        let data = &answer.json()["data"];
        let trials = data["trials"].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(u32::MAX);
        let heard = match answer.status() {
            200 if data.is_string() => Self::Verified,
            200 => Self::Sent { trials },
            401 => Self::Incorrect { trials },
            _ => Self::Locked,
        };
        answer.expects(match heard {
            Self::Verified => verified(number),
            Self::Sent { trials } => sent(number, trials),
            Self::Incorrect { trials } => incorrect(number, trials),
            // The minutes go down while the test runs.
            Self::Locked => {
                locked(number, data["ttl"].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(0))
            }
        });
        heard
    }
}

impl Shared {
    fn new(twilio: Twilio, numbers: Numbers) -> Self {
        Self {
            twilio,
            numbers,
            answers: AtomicU64::new(0),
            kill_at: AtomicU64::new(0),
            enough: Notify::new(),
            killed: AtomicBool::new(false),
        }
    }

    fn begin(&self, answers_until_the_kill: u64) {
        self.kill_at.store(self.answers() + answers_until_the_kill, Ordering::SeqCst);
    }

    fn answers(&self) -> u64 {
        self.answers.load(Ordering::SeqCst)
    }

    fn count_an_answer(&self) {
        if self.answers.fetch_add(1, Ordering::SeqCst) + 1 == self.kill_at.load(Ordering::SeqCst) {
            self.enough.notify_one();
        }
    }
}

fn from_environment(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect("a number"))
}
