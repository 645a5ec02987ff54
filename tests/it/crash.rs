//! `kill -9` under load: every answer to a client still holds after the restart.
//!
//! Callers send codes over `/api`, begin verifications over `/v2`, with and without idempotency keys and under a rate
//! limit, check right, wrong and used codes and cancel, some of it twice at once, and record the answers. After some answers
//! the test kills the server, either while it works or while it stops in order and writes its snapshot. The test also kills
//! some of the next starts, while the server replays the journal. In the end the callers ask again about what they know,
//! and an answer that fits no possible state fails the test.
//!
//! `CRASH_ROUNDS=1000` repeats it more often, `CRASH_SEED` repeats the run that a failure printed.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rustix::process::Signal;
use tokio::task::JoinSet;

use crate::belief::{Guest, Named, Request, Subject};
use crate::support::prelude::*;

const CALLERS: u64 = 12;

/// Verifications that the rate limit allows for one value.
const PASSES: u32 = 3;

/// The test starts with a new data directory after this many rounds.
const ROUNDS_PER_WORLD: u64 = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_kill_9_under_load_every_answer_given_still_holds() {
    let rounds: u64 = from_environment("CRASH_ROUNDS", 10);
    let seed: u64 = from_environment("CRASH_SEED", 20_251_120);
    println!("CRASH_SEED={seed} CRASH_ROUNDS={rounds}");
    let mut totals = Totals::default();
    for first in (0..rounds).step_by(usize::try_from(ROUNDS_PER_WORLD).unwrap()) {
        let last = rounds.min(first + ROUNDS_PER_WORLD);
        in_one_directory(seed ^ (first << 20), first..last, &mut totals).await;
        println!("{totals:?}");
    }
    // A replay of a few rounds may meet none.
    assert!(totals.limited > 0 || rounds < 10);
}

#[derive(Debug, Default)]
struct Totals {
    answers: u64,
    /// Verifications that the rate limit refused.
    limited: u64,
}

async fn in_one_directory(seed: u64, rounds: std::ops::Range<u64>, totals: &mut Totals) {
    // Two codes of ten digits are never equal by chance.
    let setup = Setup::new().config("otp-length", 10).config("otp-timeout", "1h");
    let (world, root) = World::with_account(setup).await;
    let service = root.service(&[("CodeLength", "10"), ("CodeLife", "3600")]).await;
    root.rate_limit(&service, "device", &PASSES.to_string(), "86400").await;
    let World { doubles: twilio, setup, mut server, numbers } = world;
    let shared = Arc::new(Shared { twilio, numbers, service, load: Load::default() });
    let mut rng = StdRng::seed_from_u64(seed);
    let mut callers: Vec<Caller> = (0..CALLERS).map(|n| Caller::new(n, seed, shared.clone())).collect();

    for _ in rounds {
        shared.load.begin(rng.random_range(20..250));
        let mut load = JoinSet::new();
        for caller in callers.drain(..) {
            load.spawn(caller.act_until_the_kill(server.client.clone()));
        }
        shared.load.until_kill().await;
        if rng.random_bool(0.4) {
            server.signal(Signal::TERM);
            // The kill may come at any moment.
            tokio::time::sleep(Duration::from_millis(rng.random_range(0..60))).await;
        }
        server.kill();
        callers = load.join_all().await;
        server.ended().await;

        while rng.random_bool(0.4) {
            kill_while_it_starts(&setup, &mut rng).await;
        }
        server = setup.start().await;
        shared.load.server_is_back();
        for caller in &mut callers {
            caller.ask_again(&server.client).await;
        }
    }
    totals.answers += shared.load.answers();
    for Caller { guest, limited, .. } in &callers {
        totals.limited += limited;
        guest.subjects.iter().for_each(|subject| subject.was_sent_none_twice(&shared.twilio));
    }
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
    service: String,
    load: Load,
}

/// A guest who also limits verifications, and repeats requests with idempotency keys.
struct Caller {
    name: u64,
    shared: Arc<Shared>,
    guest: Guest,
    keyed: Vec<Keyed>,
    /// Creations that each value of the rate limit let pass.
    passed: HashMap<String, u32>,
    made: u32,
    limited: u64,
}

/// A creation with an idempotency key, on a number of its own, and what its first answer told.
#[derive(Clone)]
struct Keyed {
    key: String,
    number: String,
    value: String,
    told: Option<Value>,
}

impl Caller {
    fn new(name: u64, seed: u64, shared: Arc<Shared>) -> Self {
        let (guest, passed) = (Guest::new(seed ^ (name + 1)), HashMap::new());
        Self { name, shared, guest, keyed: Vec::new(), passed, made: 0, limited: 0 }
    }

    async fn act_until_the_kill(mut self, client: Client) -> Self {
        let v2 = V2::of(&client);
        while !self.shared.load.may_fail() {
            match self.guest.rng.random_range(0..8) {
                0 => self.begins(&v2).await,
                1 => {
                    let (number, value) = (self.shared.numbers.next(), self.value());
                    let key = format!("key-{}-{}", self.name, self.made);
                    self.keyed.push(Keyed { key, number, value, told: None });
                    self.asks_with_key(&v2, self.keyed.len() - 1).await;
                }
                2 if !self.keyed.is_empty() => {
                    let chosen = self.guest.rng.random_range(0..self.keyed.len());
                    self.asks_with_key(&v2, chosen).await;
                }
                _ => {
                    let (chosen, requests) = self.guest.next(&self.shared.numbers);
                    self.asks(&client, chosen, requests).await;
                }
            }
        }
        self
    }

    async fn ask_again(&mut self, client: &Client) {
        for (chosen, request) in self.guest.questions() {
            self.asks(client, chosen, vec![request]).await;
        }
        let v2 = V2::of(client);
        for chosen in 0..self.keyed.len() {
            self.verifies_cut_off(&v2, chosen).await;
            self.asks_with_key(&v2, chosen).await;
        }
    }

    /// Asks one thing, or two at once on two connections.
    async fn asks(&mut self, client: &Client, chosen: usize, requests: Vec<Request>) {
        let Shared { twilio, load, .. } = &*self.shared;
        self.guest.subjects[chosen].ask(client, twilio, requests, |answer| load.count(answer)).await;
    }

    async fn begins(&mut self, v2: &V2) {
        let (number, value) = (self.shared.numbers.next(), self.value());
        let Some(answer) = self.creates(v2, &number, &value, None).await else { return };
        self.was_counted(&value, &answer);
        if answer.status() == 201 {
            let mut subject = Subject::of_sent(&number, &self.shared.twilio.code_for(&number));
            subject.verification = Some(Named { service: self.shared.service.clone(), sid: sid(&answer) });
            self.guest.takes(subject);
        }
    }

    async fn asks_with_key(&mut self, v2: &V2, chosen: usize) {
        let Keyed { key, number, value, told: before } = self.keyed[chosen].clone();
        let answer = self.creates(v2, &number, &value, Some(&key)).await;
        let messages = self.shared.twilio.messages_for(&number).len();
        assert!(messages <= 1, "{messages} messages for one idempotency key");
        let Some(answer) = answer else { return };
        if before.is_none() {
            self.was_counted(&value, &answer);
            self.keyed[chosen].told = (answer.status() == 201).then(|| lasting(&answer));
        } else {
            assert_eq!((answer.status(), Some(lasting(&answer))), (201, before), "the same for {key}");
        }
    }

    /// Checks the code of a creation without an answer, which arrived all the same. It may have been asked for again
    /// and been answered meanwhile.
    async fn verifies_cut_off(&mut self, v2: &V2, chosen: usize) {
        let Keyed { number, told: None, .. } = &self.keyed[chosen] else { return };
        if let Some(code) = self.shared.twilio.last_code_for(number).filter(|_| self.guest.rng.random()) {
            v2.checks_number(&self.shared.service, number, &code).await.tells(200, "approved");
        }
    }

    /// A value of the rate limit with few uses.
    fn value(&mut self) -> String {
        self.made += 1;
        format!("device-{}-{}", self.name, self.made / (PASSES + 2))
    }

    /// Counts the answer to a creation with this value.
    fn was_counted(&mut self, value: &str, answer: &HttpResponse) {
        if status_and_code(answer) == (429, "20429".to_owned()) {
            self.limited += 1;
            return;
        }
        assert_eq!(answer.status(), 201, "{}", answer.text());
        let passed = self.passed.entry(value.to_owned()).or_default();
        *passed += 1;
        assert!(*passed <= PASSES, "{passed} passed with the value {value}");
    }

    async fn creates(&self, v2: &V2, number: &str, value: &str, key: Option<&str>) -> Option<HttpResponse> {
        let path = format!("{}/Verifications", self.shared.service);
        let limits = json!({ "device": value }).to_string();
        let form = [("To", number), ("Channel", "sms"), ("RateLimits", limits.as_str())];
        let answer = match key {
            Some(key) => v2.try_post_with(&path, ("idempotency-key", key), &form).await,
            None => v2.try_post(&path, &form).await,
        };
        self.shared.load.count(answer)
    }
}

/// What every repetition tells. A crash may lose that the message was accepted, and with it its attempt.
fn lasting(answer: &HttpResponse) -> Value {
    let shown = answer.json();
    ["sid", "to", "channel", "status", "date_created"].map(|name| shown[name].clone()).into()
}
