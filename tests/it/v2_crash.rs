//! `kill -9` during verifications over /v2: every answer to a client still holds after the restart.
//!
//! Guests begin verifications, with and without idempotency keys and under a rate limit, check right and wrong codes,
//! sometimes two at once, and cancel. After some answers the test kills the server and starts it again, and every guest
//! asks again about what it knows.
//!
//! `V2_CRASH_ROUNDS=200` repeats it more often, `V2_CRASH_SEED` repeats the run that a failure printed.

use std::collections::HashMap;
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;

use crate::support::prelude::*;

const GUESTS: u64 = 8;
/// Longer than any code here.
const NO_CODE: &str = "0000000000";
/// Verifications that the rate limit allows for one value.
const PASSES: u32 = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_kill_9_every_answer_given_over_v2_still_holds() {
    let rounds = from_environment("V2_CRASH_ROUNDS", 6);
    let seed = from_environment("V2_CRASH_SEED", 20_261_121);
    println!("V2_CRASH_SEED={seed} V2_CRASH_ROUNDS={rounds}");
    let (world, root) = World::with_account(Setup::new()).await;
    let World { doubles: twilio, setup, mut server, numbers } = world;
    let service = root.service(&[("CodeLife", "600")]).await;
    root.rate_limit(&service, "device", &PASSES.to_string(), "86400").await;

    let shared = Arc::new(Shared { twilio, numbers, service, load: Load::default() });
    let mut rng = StdRng::seed_from_u64(seed);
    let mut guests: Vec<Guest> = (0..GUESTS).map(|n| Guest::new(n, shared.clone(), seed)).collect();
    for _ in 0..rounds {
        shared.load.begin(rng.random_range(20..200));
        let mut load = JoinSet::new();
        for guest in guests.drain(..) {
            load.spawn(guest.act_until_the_kill(V2::of(&server.client)));
        }
        shared.load.until_kill().await;
        server.kill();
        guests = load.join_all().await;
        server.ended().await;
        server = setup.start().await;
        shared.load.server_is_back();
        let v2 = V2::of(&server.client);
        for guest in &mut guests {
            guest.ask_again(&v2).await;
        }
    }
    let sum = |count: fn(&Guest) -> u64| guests.iter().map(count).sum::<u64>();
    println!(
        "{} answers, {} approved, {} refused by the limit, {} keys cut off",
        shared.load.answers(),
        sum(|guest| guest.approved),
        sum(|guest| guest.limited),
        sum(|guest| guest.cut_off),
    );
    assert!(sum(|guest| guest.approved) > 0 && sum(|guest| guest.limited) > 0);
}

struct Shared {
    twilio: Twilio,
    numbers: Numbers,
    service: String,
    load: Load,
}

/// A creation with an idempotency key, on a number of its own.
struct Keyed {
    key: String,
    number: String,
    value: String,
    told: Option<Value>,
}

struct Guest {
    name: u64,
    shared: Arc<Shared>,
    rng: StdRng,
    known: Vec<Known>,
    keyed: Vec<Keyed>,
    /// Creations that each value of the rate limit let pass.
    passed: HashMap<String, u32>,
    made: u32,
    approved: u64,
    limited: u64,
    cut_off: u64,
}

impl Guest {
    fn new(name: u64, shared: Arc<Shared>, seed: u64) -> Self {
        Self {
            name,
            shared,
            rng: StdRng::seed_from_u64(seed ^ (name + 1)),
            known: Vec::new(),
            keyed: Vec::new(),
            passed: HashMap::new(),
            made: 0,
            approved: 0,
            limited: 0,
            cut_off: 0,
        }
    }

    async fn act_until_the_kill(mut self, v2: V2) -> Self {
        while !self.shared.load.may_fail() {
            if self.known.is_empty() {
                self.begins(&v2).await;
                continue;
            }
            let chosen = self.rng.random_range(0..self.known.len());
            match self.rng.random_range(0..12) {
                0..3 => self.begins(&v2).await,
                3 => self.begins_with_key(&v2).await,
                4 => self.repeats_a_key(&v2).await,
                5..9 => self.checks(&v2, chosen, &[false]).await,
                9 => self.checks(&v2, chosen, &[true, true]).await,
                10 => self.checks(&v2, chosen, &[true, false]).await,
                _ => self.cancels(&v2, chosen).await,
            }
        }
        self
    }

    async fn ask_again(&mut self, v2: &V2) {
        for chosen in 0..self.known.len() {
            if self.known[chosen].touched {
                self.checks(v2, chosen, &[false]).await;
                self.checks(v2, chosen, &[true]).await;
                self.checks(v2, chosen, &[true]).await;
                self.known[chosen].touched = false;
            }
        }
        for chosen in 0..self.keyed.len() {
            self.verifies_cut_off(v2, chosen).await;
            self.asks_with_key(v2, chosen).await;
        }
    }

    /// Checks the code of a creation without an answer, which arrived all the same. It may have been asked for again
    /// and been answered meanwhile.
    async fn verifies_cut_off(&mut self, v2: &V2, chosen: usize) {
        let Keyed { number, told: None, .. } = &self.keyed[chosen] else { return };
        if let Some(code) = self.shared.twilio.last_code_for(number).filter(|_| self.rng.random()) {
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
        let passed = self.passed.entry(value.to_owned()).or_default();
        if status_and_code(answer) == (429, "20429".to_owned()) {
            self.limited += 1;
            return;
        }
        assert_eq!(answer.status(), 201, "{}", answer.text());
        *passed += 1;
        assert!(*passed <= PASSES, "{passed} passed with the value {value}");
    }

    async fn begins(&mut self, v2: &V2) {
        let (number, value) = (self.shared.numbers.next(), self.value());
        let Some(answer) = self.creates(v2, &number, &value, None).await else { return };
        self.was_counted(&value, &answer);
        if answer.status() == 201 {
            let code = self.shared.twilio.code_for(&number);
            let sid = sid(&answer);
            let (wrong, perhaps_wrong, over, touched) = (0, 0, Over::No, true);
            self.known.push(Known { sid, number, code, wrong, perhaps_wrong, over, touched });
        }
    }

    async fn begins_with_key(&mut self, v2: &V2) {
        let (number, value) = (self.shared.numbers.next(), self.value());
        let key = format!("key-{}-{}", self.name, self.made);
        self.keyed.push(Keyed { key, number, value, told: None });
        self.asks_with_key(v2, self.keyed.len() - 1).await;
    }

    async fn repeats_a_key(&mut self, v2: &V2) {
        if !self.keyed.is_empty() {
            let chosen = self.rng.random_range(0..self.keyed.len());
            self.asks_with_key(v2, chosen).await;
        }
    }

    /// Creates once, or twice at the same time.
    async fn asks_with_key(&mut self, v2: &V2, chosen: usize) {
        let Keyed { key, number, value, told: before } = &self.keyed[chosen];
        let (key, number, value, before) = (key.clone(), number.clone(), value.clone(), before.clone());
        let answer = self.creates(v2, &number, &value, Some(&key)).await;
        let messages = self.shared.twilio.messages_for(&number).len();
        assert!(messages <= 1, "{messages} messages for one idempotency key");
        let Some(answer) = answer else {
            self.cut_off += u64::from(before.is_none());
            return;
        };
        if before.is_none() {
            self.was_counted(&value, &answer);
            self.keyed[chosen].told = (answer.status() == 201).then(|| lasting(&answer));
        } else {
            assert_eq!(
                (answer.status(), Some(lasting(&answer))),
                (201, before),
                "the same verification for {key}"
            );
        }
    }

    async fn creates(&self, v2: &V2, number: &str, value: &str, key: Option<&str>) -> Option<HttpResponse> {
        let path = format!("{}/Verifications", self.shared.service);
        let limits = serde_json::json!({"device": value}).to_string();
        let form = [("To", number), ("Channel", "sms"), ("RateLimits", limits.as_str())];
        let answer = match key {
            Some(key) => v2.try_post_with(&path, ("idempotency-key", key), &form).await,
            None => v2.try_post(&path, &form).await,
        };
        self.shared.load.count(answer)
    }

    /// Checks right or wrong codes, all at once.
    async fn checks(&mut self, v2: &V2, chosen: usize, rights: &[bool]) {
        let path = format!("{}/VerificationCheck", self.shared.service);
        let known = &self.known[chosen];
        let (named, code) = (known.sid.clone(), known.code.clone());
        let asks = rights.iter().map(|right| {
            let (v2, path, named) = (v2.clone(), path.clone(), named.clone());
            let code = if *right { code.clone() } else { NO_CODE.to_owned() };
            async move { v2.try_post(&path, &[("VerificationSid", &named), ("Code", &code)]).await }
        });
        let answers = futures_util::future::join_all(asks).await;
        let answers: Vec<_> = answers.into_iter().map(|answer| self.shared.load.count(answer)).collect();
        let known = &mut self.known[chosen];
        // The order of these checks is unknown: any of them may have been first.
        let before = known.over;
        known.touched = true;
        for (right, answer) in rights.iter().zip(&answers) {
            match (right, answer) {
                (true, None) if known.over == Over::No => known.over = Over::Perhaps,
                (false, None) => known.perhaps_wrong += 1,
                (_, None) => {}
                (_, Some(answer)) => {
                    let at_once = rights.len() > 1;
                    self.approved +=
                        u64::from(known.takes_in(before, *right, at_once, &status_and_code(answer)));
                }
            }
        }
    }

    async fn cancels(&mut self, v2: &V2, chosen: usize) {
        let path = format!("{}/Verifications/{}", self.shared.service, self.known[chosen].sid);
        let answer = v2.try_post(&path, &[("Status", "canceled")]).await;
        let answer = self.shared.load.count(answer);
        let known = &mut self.known[chosen];
        known.touched = true;
        match answer.as_ref().map(status_and_code) {
            None if known.over == Over::No => known.over = Over::Perhaps,
            None => {}
            Some((200, status)) if status == "canceled" => {
                known.may_be_live("canceled");
                known.over = Over::Canceled;
            }
            Some((404, _)) => assert_ne!(known.over, Over::No, "{} is gone", known.number),
            Some(other) => panic!("{}: a cancellation got {other:?}", known.number),
        }
    }
}

/// What every repetition tells. A crash may lose that the message was accepted, and with it its attempt.
fn lasting(answer: &HttpResponse) -> Value {
    let shown = answer.json();
    ["sid", "to", "channel", "status", "date_created"].map(|name| shown[name].clone()).into()
}

/// Wrong codes that one verification allows.
const CHECKS: u32 = 5;

/// A verification, and what the server told its guest.
pub struct Known {
    pub sid: String,
    pub number: String,
    pub code: String,
    /// Wrong codes, checked by id, that the server answered as wrong; then those without an answer.
    pub wrong: u32,
    pub perhaps_wrong: u32,
    pub over: Over,
    pub touched: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    No,
    /// A right code or a cancellation got no answer.
    Perhaps,
    Approved,
    Canceled,
}

impl Known {
    /// Fails the test if the server said that it is over.
    pub fn may_be_live(&self, what: &str) {
        let is_over = matches!(self.over, Over::Approved | Over::Canceled);
        assert!(!is_over, "{} {what} after it was {:?}", self.number, self.over);
    }

    /// Takes in the answer to a check; returns whether it approves. `before` is the state when the check was sent.
    pub fn takes_in(&mut self, before: Over, right: bool, at_once: bool, told: &(u16, String)) -> bool {
        let number = &self.number;
        let was_over = matches!(before, Over::Approved | Over::Canceled);
        match (told.0, told.1.as_str()) {
            (200, "approved") => {
                assert!(right, "{number}: a wrong code was approved");
                self.may_be_live("approved");
                assert!(self.wrong < CHECKS, "{number}: approved after {} wrong codes", self.wrong);
                self.over = Over::Approved;
                return true;
            }
            (200, status @ ("pending" | "max_attempts_reached")) => {
                assert!(!right, "{number}: a right code is {status}");
                assert!(!was_over, "{number}: live after {before:?}");
                self.wrong += 1;
                assert!(self.wrong <= CHECKS, "{number}: {} guesses", self.wrong);
                let (least, most) = (self.wrong, self.wrong + self.perhaps_wrong);
                let is_possible = if status == "pending" { least < CHECKS } else { most >= CHECKS };
                assert!(is_possible, "{number}: {status} at {least}");
            }
            (429, "60202") => {
                let most = self.wrong + self.perhaps_wrong;
                assert!(most >= CHECKS, "{number}: refused after {most} wrong codes");
                assert!(!was_over, "{number}: refused after {before:?}");
            }
            (404, _) => {
                assert!(self.over != Over::No || at_once, "{number}: gone, and no client was told so");
                if self.over == Over::No {
                    self.over = Over::Perhaps;
                }
            }
            other => panic!("{number}: a check got {other:?}"),
        }
        false
    }
}
