//! The possible states of a number from a client's view: a model of the contract, independent of the engine.
//!
//! A request without an answer may or may not have been executed, and two concurrent ones may have been executed in
//! either order. The belief keeps every possible state until an answer excludes it. An answer that fits no state is a
//! broken promise.

use std::io;

use futures_util::future::join_all;
use rand::RngExt;
use rand::rngs::StdRng;

use crate::support::prelude::*;

const MAX_ATTEMPTS: u32 = 5;

/// No code has this form.
pub const NO_CODE: &str = "0000-00000";

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Fresh,
    Open { wrong: u32, code: Option<String> },
    Locked,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    Send,
    Check(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObservedReply {
    Sent { trials: u32 },
    Verified,
    Incorrect { trials: u32 },
    Locked,
}

pub type Exchange = (Request, Option<ObservedReply>);

impl Request {
    /// Sends it; returns an error if no answer comes.
    pub async fn ask(&self, client: &Client, number: &str) -> io::Result<HttpResponse> {
        match self {
            Self::Send => client.try_send(number).await,
            Self::Check(guess) => client.try_verify(number, guess).await,
        }
    }
}

/// A number, and what its client knows about it.
#[derive(Clone)]
pub struct Subject {
    pub number: String,
    pub belief: Belief,
    /// The codes that were approved.
    pub used: Vec<String>,
}

impl Subject {
    pub fn new(number: String) -> Self {
        Self { number, belief: Belief::new(), used: Vec::new() }
    }

    /// A send, or a check of a right, wrong or used code.
    pub fn any_request(&self, rng: &mut StdRng) -> Request {
        let outstanding = self.belief.codes().into_iter().next();
        match (rng.random_range(0..10), outstanding) {
            (0..3, Some(code)) => Request::Check(code),
            (3..6, Some(_)) => Request::Check(NO_CODE.to_owned()),
            (6, _) => Request::Check(self.used.last().cloned().unwrap_or_else(|| NO_CODE.to_owned())),
            _ => Request::Send,
        }
    }

    /// One request, or two checks for the same moment. A send is never concurrent: it takes a while, and its answer has the
    /// count at its end.
    pub fn one_or_two_requests(&self, rng: &mut StdRng) -> Vec<Request> {
        let (first, second) = (self.any_request(rng), self.any_request(rng));
        let are_checks = ![&first, &second].contains(&&Request::Send);
        if are_checks && rng.random_bool(0.5) { vec![first, second] } else { vec![first] }
    }

    /// Checks that tell the possible states apart: of a wrong code, a used one, and each that may be right.
    pub fn questions(&self) -> Vec<Request> {
        let uncertain = if self.belief.is_certain() { Vec::new() } else { self.belief.codes() };
        let codes = [NO_CODE.to_owned()].into_iter().chain(self.used.last().cloned()).chain(uncertain);
        codes.map(Request::Check).collect()
    }

    /// Asks one thing, or several at once on connections of their own. `hear` counts an answer, and returns it unless it
    /// tells nothing; one of 503 tells that nothing has happened. Returns the exchanges, and the code that came with
    /// them. Fails the test if they fit no possible state.
    pub async fn ask(
        &mut self,
        client: &Client,
        twilio: &Twilio,
        requests: Vec<Request>,
        mut hear: impl FnMut(io::Result<HttpResponse>) -> Option<HttpResponse>,
    ) -> (Vec<Exchange>, Vec<String>) {
        let before = twilio.last_code_for(&self.number);
        let answers = join_all(requests.iter().map(|request| request.ask(client, &self.number))).await;
        let mut exchanges = Vec::new();
        for (request, answer) in requests.into_iter().zip(answers) {
            let is_refused = answer.as_ref().is_ok_and(|answer| answer.status() == 503);
            let reply = hear(answer).map(|answer| ObservedReply::in_answer(&answer, &self.number));
            if reply.is_some() || !is_refused {
                exchanges.push((request, reply));
            }
        }
        let is_answered = exchanges.iter().any(|(_, reply)| reply.is_some());
        // After a send without an answer, the code may be the previous one.
        let is_new = |code: &String| is_answered || before.as_ref() != Some(code);
        let codes: Vec<String> = twilio.last_code_for(&self.number).filter(is_new).into_iter().collect();
        self.learn(&exchanges, &codes);
        (exchanges, codes)
    }

    /// Asserts that the answers until now hold at this server: it counts on, and each code that is certain works.
    pub async fn still_holds(mut self, client: &Client) {
        let mut questions = self.questions();
        questions.extend(self.belief.codes().into_iter().map(Request::Check));
        for question in questions {
            let answer = question.ask(client, &self.number).await.expect("an answer");
            let reply = ObservedReply::in_answer(&answer, &self.number);
            self.learn(&[(question, Some(reply))], &[]);
        }
    }

    /// Takes in concurrent exchanges, and the code of a send among them. Fails the test if they fit no possible state.
    pub fn learn(&mut self, exchanges: &[Exchange], codes: &[String]) {
        for exchange in exchanges {
            if let (Request::Check(guess), Some(ObservedReply::Verified)) = exchange {
                self.used.push(guess.clone());
            }
        }
        self.belief.take_in(exchanges, codes).unwrap_or_else(|why| panic!("{}: {why}", self.number));
    }
}

/// All states that are possible.
#[derive(Debug, Clone)]
pub struct Belief(Vec<State>);

impl Belief {
    pub fn new() -> Self {
        Self(vec![State::Fresh])
    }

    pub fn is_certain(&self) -> bool {
        self.0.len() == 1
    }

    /// The codes that may be valid.
    pub fn codes(&self) -> Vec<String> {
        let code = |state: &State| match state {
            State::Open { code, .. } => code.clone(),
            State::Fresh | State::Locked => None,
        };
        self.0.iter().filter_map(code).collect()
    }

    /// Takes in concurrent exchanges, and the code of a send among them, which may be the previous one if that was
    /// still in flight. Fails if the exchanges fit no possible state.
    pub fn take_in(&mut self, exchanges: &[Exchange], codes: &[String]) -> Result<(), String> {
        let mut possible = Vec::new();
        let (all, codes): (Vec<_>, Vec<_>) = (exchanges.iter().collect(), codes.iter().collect());
        for state in &self.0 {
            explore(state, &all, &codes, &mut possible);
        }
        if possible.is_empty() {
            return Err(format!("{exchanges:?}, but believed is {:?}", self.0));
        }
        self.0 = possible;
        Ok(())
    }
}

/// Tries every order, and every choice of the unanswered requests that were executed.
fn explore(state: &State, exchanges: &[&Exchange], codes: &[&String], possible: &mut Vec<State>) {
    if exchanges.iter().all(|(_, reply)| reply.is_none()) && !possible.contains(state) {
        possible.push(state.clone());
    }
    for (chosen, (request, reply)) in exchanges.iter().enumerate() {
        let rest = without(exchanges, chosen);
        let mut go_on = |code: Option<&String>, codes: &[&String]| {
            let (would_hear, next) = state.after(request, code);
            if reply.as_ref().is_none_or(|reply| *reply == would_hear) {
                explore(&next, &rest, codes, possible);
            }
        };
        if *request == Request::Send {
            for (index, code) in codes.iter().enumerate() {
                go_on(Some(code), &without(codes, index));
            }
        }
        // The message of an unanswered send may be missing or unseen.
        if *request != Request::Send || reply.is_none() || *reply == Some(ObservedReply::Locked) {
            go_on(None, codes);
        }
    }
}

fn without<T: Copy>(all: &[T], index: usize) -> Vec<T> {
    all.iter().enumerate().filter(|(at, _)| *at != index).map(|(_, one)| *one).collect()
}

impl State {
    /// Returns the expected reply and the next state. `code` is the code of a send, if known.
    fn after(&self, request: &Request, code: Option<&String>) -> (ObservedReply, Self) {
        let wrong = match self {
            Self::Locked => return (ObservedReply::Locked, Self::Locked),
            Self::Fresh => 0,
            Self::Open { wrong, .. } => *wrong,
        };
        match (self, request) {
            (_, Request::Send) => (
                ObservedReply::Sent { trials: MAX_ATTEMPTS - wrong },
                Self::Open { wrong, code: code.cloned() },
            ),
            (Self::Open { code: Some(right), .. }, Request::Check(guess)) if right == guess => {
                (ObservedReply::Verified, Self::Fresh)
            }
            (Self::Open { .. }, Request::Check(_)) if wrong + 1 == MAX_ATTEMPTS => {
                (ObservedReply::Locked, Self::Locked)
            }
            (Self::Open { code, .. }, Request::Check(_)) => (
                ObservedReply::Incorrect { trials: MAX_ATTEMPTS - wrong - 1 },
                Self::Open { wrong: wrong + 1, code: code.clone() },
            ),
            (_, Request::Check(_)) => (ObservedReply::Incorrect { trials: MAX_ATTEMPTS }, Self::Fresh),
        }
    }
}

impl ObservedReply {
    /// Parses an answer about this number.
    pub fn in_answer(answer: &HttpResponse, number: &str) -> Self {
        let data = &answer.json()["data"];
        let trials = data["trials"].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(u32::MAX);
        let reply = match answer.status() {
            200 if data.is_string() => Self::Verified,
            200 => Self::Sent { trials },
            401 => Self::Incorrect { trials },
            _ => Self::Locked,
        };
        answer.expects(match reply {
            Self::Verified => verified(number),
            Self::Sent { trials } => sent(number, trials),
            Self::Incorrect { trials } => incorrect(number, trials),
            // The remaining minutes decrease while the test runs.
            Self::Locked => {
                locked(number, data["ttl"].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(0))
            }
        });
        reply
    }
}

impl Subject {
    pub async fn with_code(world: &World) -> Self {
        let (number, code) = world.number_with_code().await;
        Self::of_sent(&number, &code)
    }

    pub fn of_sent(number: &str, code: &str) -> Self {
        let mut subject = Self::new(number.to_owned());
        subject.learn(&[(Request::Send, Some(ObservedReply::Sent { trials: 5 }))], &[code.to_owned()]);
        subject
    }

    pub async fn submits_a_wrong_code(&mut self, client: &Client) -> HttpResponse {
        self.submits(client, NO_CODE.to_owned()).await
    }

    pub async fn submits_the_right_code(&mut self, client: &Client) -> HttpResponse {
        let code = self.belief.codes().remove(0);
        self.submits(client, code).await
    }

    async fn submits(&mut self, client: &Client, code: String) -> HttpResponse {
        let answer = client.verify(&self.number, &code).await;
        // 503 says that nothing has happened; after 500 it is unknown whether the check counts.
        if answer.status() != 503 {
            let reply = (answer.status() != 500).then(|| ObservedReply::in_answer(&answer, &self.number));
            self.learn(&[(Request::Check(code), reply)], &[]);
        }
        answer
    }
}

/// Numbers with known states.
pub struct Facts {
    pub guessed: Subject,
    used: Subject,
    pub locked: String,
}

impl Facts {
    pub async fn made_in(world: &World) -> Self {
        let (mut guessed, mut used) = (Subject::with_code(world).await, Subject::with_code(world).await);
        guessed.submits_a_wrong_code(world).await.expects_status(401);
        used.submits_the_right_code(world).await.expects_status(200);
        Self { guessed, used, locked: locked_number(world).await }
    }

    pub async fn hold(&self, client: &Client) {
        client.send(&self.locked).await.expects_status(403);
        client.verify(&self.locked, NO_CODE).await.expects_status(403);
        self.used.clone().still_holds(client).await;
        self.guessed.clone().still_holds(client).await;
    }
}

pub async fn locked_number(world: &World) -> String {
    let (number, _) = world.locked_out().await;
    world.send(&number).await.expects_status(403);
    number
}

const CODE: &str = "1234567890";

fn with_code() -> Belief {
    let mut belief = Belief::new();
    let sent = (Request::Send, Some(ObservedReply::Sent { trials: 5 }));
    belief.take_in(&[sent], &[CODE.to_owned()]).expect("a send");
    belief
}

fn check(reply: Option<ObservedReply>) -> Exchange {
    (Request::Check(CODE.to_owned()), reply)
}

#[test]
fn of_two_checks_of_one_code_at_once_only_one_can_have_succeeded() {
    let mut belief = with_code();
    let twice = [check(Some(ObservedReply::Verified)), check(Some(ObservedReply::Verified))];
    belief.clone().take_in(&twice, &[]).expect_err("a code that was good twice");
    let once = [check(Some(ObservedReply::Incorrect { trials: 5 })), check(Some(ObservedReply::Verified))];
    belief.take_in(&once, &[]).expect("one of them was first");
    assert!(belief.is_certain());
}

#[test]
fn a_right_code_without_an_answer_was_used_up_or_not() {
    let mut belief = with_code();
    belief.take_in(&[check(None)], &[]).expect("no answer");
    for reply in [ObservedReply::Verified, ObservedReply::Incorrect { trials: 5 }] {
        belief.clone().take_in(&[check(Some(reply))], &[]).expect("a possible answer");
    }
    belief
        .take_in(&[check(Some(ObservedReply::Incorrect { trials: 4 }))], &[])
        .expect_err("one wrong code too many");
}
