//! The possible states of a number, or of a verification over `/v2`, from a client's view: a model of the contract,
//! independent of the engine.
//!
//! A request without an answer may or may not have been executed, and two concurrent ones may have been executed in
//! either order. The belief keeps every possible state until an answer excludes it. An answer that fits no state is a
//! broken promise.

use std::collections::BTreeSet;
use std::io;

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use crate::support::prelude::*;

const MAX_ATTEMPTS: u32 = 5;

/// No code has this form.
pub const NO_CODE: &str = "0000-00000";

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// A verification over `/v2` is over.
    Fresh,
    Open {
        wrong: u32,
        code: Option<String>,
    },
    Locked,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    Send,
    Check(String),
    /// Of a verification over `/v2`.
    Cancel,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObservedReply {
    Sent {
        trials: u32,
    },
    Verified,
    Incorrect {
        trials: u32,
    },
    /// The code was wrong; `/v2` does not say how many more may be.
    Wrong,
    Locked,
    Canceled,
}

pub type Exchange = (Request, Option<ObservedReply>);

impl Request {
    /// Asks it; returns an error if no answer comes.
    pub async fn ask(&self, client: &Client, about: &Subject) -> io::Result<HttpResponse> {
        let number = &about.number;
        match (self, &about.verification) {
            (Self::Send, _) => client.try_send(number).await,
            (Self::Check(guess), None) => client.try_verify(number, guess).await,
            (Self::Check(guess), Some(Named { service, sid })) => {
                let form = [("VerificationSid", sid.as_str()), ("Code", guess.as_str())];
                V2::of(client).try_post(&format!("{service}/VerificationCheck"), &form).await
            }
            (Self::Cancel, named) => {
                let Named { service, sid } = named.as_ref().expect("a verification");
                let path = format!("{service}/Verifications/{sid}");
                V2::of(client).try_post(&path, &[("Status", "canceled")]).await
            }
        }
    }
}

/// A verification over `/v2`: the path of its service, and its id.
#[derive(Debug, Clone)]
pub struct Named {
    pub service: String,
    pub sid: String,
}

/// A number, and what its client knows about it.
#[derive(Clone)]
pub struct Subject {
    pub number: String,
    /// The verification of the number that is meant; `None`: the number itself, over `/api`.
    pub verification: Option<Named>,
    /// All states that are possible.
    states: Vec<State>,
    /// The codes that were approved.
    used: Vec<String>,
    /// Messages that may have been sent, and those of which the client was told so.
    sends: (usize, usize),
}

impl Subject {
    pub fn new(number: String) -> Self {
        Self { number, verification: None, states: vec![State::Fresh], used: Vec::new(), sends: (0, 0) }
    }

    /// The codes that may be valid.
    fn codes(&self) -> Vec<String> {
        let code = |state: &State| match state {
            State::Open { code, .. } => code.clone(),
            State::Fresh | State::Locked => None,
        };
        self.states.iter().filter_map(code).collect()
    }

    /// A send or a cancellation, or a check of a right, wrong or used code.
    fn any_request(&self, rng: &mut StdRng) -> Request {
        let (choice, outstanding) = (rng.random_range(0..10), self.codes().into_iter().next());
        let is_over_v2 = self.verification.is_some();
        match (choice, outstanding) {
            (0..3, Some(code)) => Request::Check(code),
            (6, _) if let Some(used) = self.used.last() => Request::Check(used.clone()),
            (9, _) if is_over_v2 => Request::Cancel,
            (7.., _) | (0..6, None) if !is_over_v2 => Request::Send,
            _ => Request::Check(NO_CODE.to_owned()),
        }
    }

    /// One request, or two for the same moment. A send is never concurrent: it takes a while, and its answer has the count
    /// at its end.
    fn one_or_two_requests(&self, rng: &mut StdRng) -> Vec<Request> {
        let (first, second) = (self.any_request(rng), self.any_request(rng));
        let is_at_once = ![&first, &second].contains(&&Request::Send) && rng.random_bool(0.5);
        if is_at_once { vec![first, second] } else { vec![first] }
    }

    /// Checks that tell the possible states apart: of a wrong code, a used one, and each that may be right. A verification
    /// over `/v2` is brought to its end.
    fn questions(&self) -> Vec<Request> {
        let wrong_and_used = [NO_CODE.to_owned()].into_iter().chain(self.used.last().cloned());
        let codes = match self.verification {
            Some(_) => [self.codes(), self.codes()].concat(),
            None if self.states.len() == 1 => Vec::new(),
            None => self.codes(),
        };
        wrong_and_used.chain(codes).map(Request::Check).collect()
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
        let about = &*self;
        let answers = join_all(requests.iter().map(|request| request.ask(client, about))).await;
        let mut exchanges = Vec::new();
        for (request, answer) in requests.into_iter().zip(answers) {
            let is_refused = answer.as_ref().is_ok_and(|answer| answer.status() == 503);
            let reply = hear(answer).map(|answer| ObservedReply::in_answer(&answer, self));
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
        questions.extend(self.codes().into_iter().map(Request::Check));
        for question in questions {
            let answer = question.ask(client, &self).await.expect("an answer");
            let reply = ObservedReply::in_answer(&answer, &self);
            self.learn(&[(question, Some(reply))], &[]);
        }
    }

    /// Takes in concurrent exchanges, and the code of a send among them, which may be the previous one if that was still in
    /// flight. Fails the test if they fit no possible state.
    pub fn learn(&mut self, exchanges: &[Exchange], codes: &[String]) {
        let possible = self.states_after(exchanges, codes);
        assert!(!possible.is_empty(), "{}: {exchanges:?}, but believed is {:?}", self.number, self.states);
        self.states = possible;
        for exchange in exchanges {
            match exchange {
                (Request::Check(guess), Some(ObservedReply::Verified)) => self.used.push(guess.clone()),
                (Request::Send, reply) => {
                    self.sends.0 += 1;
                    self.sends.1 += usize::from(matches!(reply, Some(ObservedReply::Sent { .. })));
                }
                _ => {}
            }
        }
    }

    fn states_after(&self, exchanges: &[Exchange], codes: &[String]) -> Vec<State> {
        let mut possible = Vec::new();
        let (all, codes): (Vec<_>, Vec<_>) = (exchanges.iter().collect(), codes.iter().collect());
        for state in &self.states {
            explore(state, &all, &codes, &mut possible);
        }
        possible
    }

    /// Fails the test if a message was sent twice, or one was not that the client was told of.
    pub fn was_sent_none_twice(&self, twilio: &Twilio) {
        let (messages, (possible, told)) = (twilio.messages_for(&self.number).len(), self.sends);
        let is_possible = (told..=possible).contains(&messages);
        assert!(is_possible, "{}: {messages} messages for {:?}", self.number, self.sends);
    }
}

/// A client that believes its answers, and its numbers.
pub struct Guest {
    pub rng: StdRng,
    pub subjects: Vec<Subject>,
    /// The subjects that it asked about since its last [`Guest::questions`].
    touched: BTreeSet<usize>,
}

impl Guest {
    pub fn new(seed: u64) -> Self {
        Self { rng: StdRng::seed_from_u64(seed), subjects: Vec::new(), touched: BTreeSet::new() }
    }

    pub fn takes(&mut self, subject: Subject) {
        self.touched.insert(self.subjects.len());
        self.subjects.push(subject);
    }

    /// Its next requests, and the subject that they are about: an older one too, because its state must still hold.
    pub fn next(&mut self, numbers: &Numbers) -> (usize, Vec<Request>) {
        if self.subjects.len() < 4 || self.rng.random_bool(0.1) {
            self.takes(Subject::new(numbers.next()));
        }
        let chosen = self.rng.random_range(0..self.subjects.len());
        self.touched.insert(chosen);
        (chosen, self.subjects[chosen].one_or_two_requests(&mut self.rng))
    }

    /// Questions about every subject since the last ones, and about as many others.
    pub fn questions(&mut self) -> Vec<(usize, Request)> {
        let mut chosen = std::mem::take(&mut self.touched);
        let others: Vec<usize> = (0..self.subjects.len()).filter(|index| !chosen.contains(index)).collect();
        chosen.extend(others.sample(&mut self.rng, chosen.len()).copied());
        let of_one = |index: usize| self.subjects[index].questions().into_iter().map(move |one| (index, one));
        chosen.into_iter().flat_map(of_one).collect()
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
            if reply.as_ref().is_none_or(|reply| reply.may_be(&would_hear)) {
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
        let wrong = match (self, request) {
            (Self::Open { .. } | Self::Locked, Request::Cancel) => {
                return (ObservedReply::Canceled, Self::Fresh);
            }
            (Self::Locked, _) => return (ObservedReply::Locked, Self::Locked),
            (Self::Fresh, _) => 0,
            (Self::Open { wrong, .. }, _) => *wrong,
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
            (_, Request::Check(_) | Request::Cancel) => {
                (ObservedReply::Incorrect { trials: MAX_ATTEMPTS }, Self::Fresh)
            }
        }
    }
}

impl ObservedReply {
    fn may_be(&self, expected: &Self) -> bool {
        let is_wrong = matches!(expected, Self::Incorrect { trials } if *trials < MAX_ATTEMPTS);
        self == expected || (*self == Self::Wrong && is_wrong)
    }

    /// Parses an answer about this subject.
    fn in_answer(answer: &HttpResponse, Subject { number, verification, .. }: &Subject) -> Self {
        if verification.is_some() {
            let told = status_and_code(answer);
            return match (told.0, told.1.as_str()) {
                (200, "approved") => Self::Verified,
                (200, "pending") => Self::Wrong,
                (200, "max_attempts_reached") | (429, "60202") => Self::Locked,
                (200, "canceled") => Self::Canceled,
                (404, _) => Self::Incorrect { trials: MAX_ATTEMPTS },
                other => panic!("{number}: {other:?}"),
            };
        }
        let data = &answer.json()["data"];
        let count = |name: &str| data[name].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(u32::MAX);
        let trials = count("trials");
        let (reply, documented) = match answer.status() {
            200 if data.is_string() => (Self::Verified, verified(number)),
            200 => (Self::Sent { trials }, sent(number, trials)),
            401 => (Self::Incorrect { trials }, incorrect(number, trials)),
            // The remaining minutes decrease while the test runs.
            _ => (Self::Locked, locked(number, count("ttl"))),
        };
        answer.expects(documented);
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
        let code = self.codes().remove(0);
        self.submits(client, code).await
    }

    async fn submits(&mut self, client: &Client, code: String) -> HttpResponse {
        let answer = client.verify(&self.number, &code).await;
        // 503 says that nothing has happened; after 500 it is unknown whether the check counts.
        if answer.status() != 503 {
            let reply = (answer.status() != 500).then(|| ObservedReply::in_answer(&answer, self));
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

/// Whether checks of the code at once may have these answers.
fn may_answer(subject: &Subject, replies: &[Option<ObservedReply>]) -> bool {
    let check = |reply: &Option<ObservedReply>| (Request::Check(CODE.to_owned()), reply.clone());
    let exchanges: Vec<Exchange> = replies.iter().map(check).collect();
    !subject.states_after(&exchanges, &[]).is_empty()
}

const CODE: &str = "1234567890";

#[test]
fn of_two_checks_of_one_code_at_once_only_one_can_have_succeeded() {
    let subject = Subject::of_sent("+14155550123", CODE);
    let (right, late) = (Some(ObservedReply::Verified), Some(ObservedReply::Incorrect { trials: 5 }));
    assert!(!may_answer(&subject, &[right.clone(), right.clone()]));
    assert!(may_answer(&subject, &[late, right]));
}

#[test]
fn a_right_code_without_an_answer_was_used_up_or_not() {
    let mut subject = Subject::of_sent("+14155550123", CODE);
    subject.learn(&[(Request::Check(CODE.to_owned()), None)], &[]);
    let [late, wrong] = [5, 4].map(|trials| Some(ObservedReply::Incorrect { trials }));
    assert!(may_answer(&subject, &[Some(ObservedReply::Verified)]) && may_answer(&subject, &[late]));
    assert!(!may_answer(&subject, &[wrong]), "one wrong code too many");
}
