//! `kill -9` under load: every answer to a client still holds after the restart.
//!
//! Guests send codes and check right, wrong and used ones, each guest on its own numbers, some of them twice at once,
//! and record the answers. After some answers the test kills the server, either while it works or while it stops in
//! order and writes its snapshot. The test also kills some of the next starts, while the server replays the journal. In
//! the end the guests ask about the numbers again, and an answer that fits no possible state fails the test.
//!
//! `CRASH_ROUNDS=1000` repeats it more often, `CRASH_SEED` repeats the run that a failure printed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rustix::process::Signal;
use serde_json::json;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::belief::{Belief, NO_CODE, ObservedReply, Request};
use crate::support::{Client, HttpResponse, Numbers, Server, Setup, Twilio, World, soon};

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
    }
    println!("{totals:?}");
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
    let World { twilio, setup, mut server, numbers } = world;
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
        shared.load.is_enough().await;
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
        shared.load.killed.store(false, Ordering::SeqCst);
        for guest in &mut guests {
            guest.ask_again(&server.client).await;
        }
    }
    totals.answers += shared.load.answers.load(Ordering::SeqCst);
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

/// The state that all guests share.
struct Shared {
    twilio: Twilio,
    numbers: Numbers,
    load: Load,
}

struct Guest {
    shared: Arc<Shared>,
    rng: StdRng,
    subjects: Vec<Subject>,
}

struct Subject {
    number: String,
    belief: Belief,
    used: Vec<String>,
    /// Whether its guest asked about it since the last restart.
    touched: bool,
}

impl Guest {
    fn new(shared: Arc<Shared>, rng: StdRng) -> Self {
        Self { shared, rng, subjects: Vec::new() }
    }

    async fn act_until_the_kill(mut self, client: Client) -> Self {
        for _ in 0..NEW_NUMBERS_PER_ROUND {
            let number = self.shared.numbers.next();
            self.subjects.push(Subject { number, belief: Belief::new(), used: Vec::new(), touched: false });
        }
        while !self.shared.load.killed.load(Ordering::SeqCst) {
            // Chooses older numbers too: their state must still hold.
            let chosen = self.rng.random_range(0..self.subjects.len());
            let mut requests = vec![self.subjects[chosen].something_to_ask(&mut self.rng)];
            let second = self.subjects[chosen].something_to_ask(&mut self.rng);
            // A send is not one step: it takes a while, and its answer has the count at its end.
            if !requests.contains(&Request::Send) && second != Request::Send && self.rng.random_bool(0.5) {
                requests.push(second);
            }
            self.ask(&client, chosen, requests).await;
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
            for request in subject.belief.questions(&subject.used) {
                self.ask(client, chosen, vec![request]).await;
            }
            self.subjects[chosen].touched = false;
        }
    }

    /// Asks one thing, or two at once on two connections.
    async fn ask(&mut self, client: &Client, chosen: usize, requests: Vec<Request>) {
        let subject = &mut self.subjects[chosen];
        subject.touched = true;
        let number = &subject.number;
        let before = self.shared.twilio.last_code_for(number);
        let one = async |request: &Request| match request {
            Request::Send => client.try_send(number).await,
            Request::Check(guess) => client.try_verify(number, guess).await,
        };
        let answers = match &requests[..] {
            [first, second] => {
                let (first, second) = tokio::join!(one(first), one(second));
                vec![first, second]
            }
            requests => vec![one(&requests[0]).await],
        };
        let mut exchanges = Vec::new();
        for (request, answer) in requests.into_iter().zip(answers) {
            let heard = self.shared.load.heard(answer);
            let heard = heard.map(|answer| ObservedReply::in_answer(&answer, number));
            if let (Some(ObservedReply::Verified), Request::Check(guess)) = (&heard, &request) {
                subject.used.push(guess.clone());
            }
            exchanges.push((request, heard));
        }
        let answered = exchanges.iter().any(|(_, heard)| heard.is_some());
        let code =
            self.shared.twilio.last_code_for(number).filter(|code| answered || before.as_ref() != Some(code));
        let codes: Vec<String> = code.into_iter().collect();
        subject.belief.take_in(&exchanges, &codes).unwrap_or_else(|why| panic!("{number}: {why}"));
    }
}

impl Subject {
    fn something_to_ask(&self, rng: &mut StdRng) -> Request {
        let outstanding = self.belief.codes().into_iter().next();
        match (rng.random_range(0..10), outstanding) {
            (0..3, Some(code)) => Request::Check(code),
            (3..7, Some(_)) => Request::Check(NO_CODE.to_owned()),
            (7, _) => Request::Check(self.used.last().cloned().unwrap_or_else(|| NO_CODE.to_owned())),
            _ => Request::Send,
        }
    }
}

/// The answers that clients get, until there are enough of them for a kill.
#[derive(Default)]
pub struct Load {
    pub answers: AtomicU64,
    kill_at: AtomicU64,
    enough: Notify,
    pub killed: AtomicBool,
}

impl Load {
    pub fn begin(&self, answers_until_the_kill: u64) {
        self.kill_at.store(self.answers.load(Ordering::SeqCst) + answers_until_the_kill, Ordering::SeqCst);
    }

    /// Waits for as many answers. From then on a request may get none.
    pub async fn is_enough(&self) {
        soon("the load", self.enough.notified()).await;
        self.killed.store(true, Ordering::SeqCst);
    }

    /// The answer; `None` if the kill came first.
    pub fn heard(&self, answer: Result<HttpResponse, std::io::Error>) -> Option<HttpResponse> {
        let killed = self.killed.load(Ordering::SeqCst);
        match answer {
            Ok(answer) if answer.status() == 503 && killed => None,
            Ok(answer) => {
                if self.answers.fetch_add(1, Ordering::SeqCst) + 1 == self.kill_at.load(Ordering::SeqCst) {
                    self.enough.notify_one();
                }
                Some(answer)
            }
            Err(error) => {
                assert!(killed, "an answer before the kill, not {error}");
                None
            }
        }
    }
}

pub fn from_environment(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect("a number"))
}
