//! The requests of each client, and their numbers. Every choice is drawn from the seed: all servers of a
//! run, and another run with the same seed, get the same requests.

use std::ops::Range;

use clap::ValueEnum;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde::Serialize;

use crate::contract::Verdict;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// Send a code to a fresh number, verify it with the code in the text.
    SendVerify,
    /// Send codes to fresh numbers.
    Send,
    /// Send a code to a fresh number, then wrong codes until it is locked.
    WrongCodes,
    /// Of 20 turns 12 verify, 2 after a wrong code, 3 after a second send, 2 leave their code, 1 is locked out.
    Mix,
}

impl Workload {
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// A kind of request, by its promised answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RequestKind {
    Send,
    SendAgain,
    Right,
    Wrong,
    Locks,
}

impl RequestKind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::SendAgain => "send again",
            Self::Right => "check, right code",
            Self::Wrong => "check, wrong code",
            Self::Locks => "check, wrong code that locks",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub kind: RequestKind,
    pub digits: u64,
    pub code: Option<String>,
    /// Wrong codes that are allowed after this wrong one.
    pub trials: u32,
}

impl Step {
    pub fn send(kind: RequestKind, digits: u64) -> Self {
        Self { kind, digits, code: None, trials: 0 }
    }
}

const SEND: &[RequestKind] = &[RequestKind::Send];
const VERIFY: &[RequestKind] = &[RequestKind::Send, RequestKind::Right];
const LOCK_OUT: &[RequestKind] = &[RequestKind::Send, RequestKind::Locks];

/// The requests of one client about one number after another.
#[derive(Debug)]
pub struct Script {
    workload: Workload,
    seed: u64,
    choices: SmallRng,
    client: u64,
    clients: u64,
    /// Numbers used so far.
    used: u64,
    digits: u64,
    /// The code that arrived, and the wrong codes that are still allowed.
    code: String,
    trials: u32,
    /// Requests about the number that are left; [`RequestKind::Locks`] means wrong codes until it is locked.
    plan: &'static [RequestKind],
}

impl Script {
    pub fn new(workload: Workload, seed: u64, client: u32, clients: u32) -> Self {
        let (client, clients) = (u64::from(client), u64::from(clients));
        let choices = SmallRng::seed_from_u64(seed.wrapping_add(client.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
        let (used, digits, code, trials, plan) = Default::default();
        Self { workload, seed, choices, client, clients, used, digits, code, trials, plan }
    }

    /// Forgets the current number: its code may have expired, or its state is unknown.
    pub fn forget(&mut self) {
        self.plan = &[];
    }

    pub fn next(&mut self) -> Step {
        if self.plan.is_empty() {
            self.plan = match self.workload {
                Workload::SendVerify => VERIFY,
                Workload::Send => SEND,
                Workload::WrongCodes => LOCK_OUT,
                Workload::Mix => match self.choices.random_range(0..20_u32) {
                    0..12 => VERIFY,
                    12..14 => &[RequestKind::Send, RequestKind::Wrong, RequestKind::Right],
                    14..17 => &[RequestKind::Send, RequestKind::SendAgain, RequestKind::Right],
                    17..19 => SEND,
                    _ => LOCK_OUT,
                },
            };
            self.digits = scattered(FRESH, self.seed, self.used * self.clients + self.client);
            self.used += 1;
        }
        let (&planned, left) = self.plan.split_first().unwrap_or((&RequestKind::Send, &[]));
        self.plan = left;
        match planned {
            RequestKind::Right => self.check(planned, self.code.clone()),
            RequestKind::Wrong | RequestKind::Locks => {
                let code = wrong_code(&self.code, self.trials);
                self.trials = self.trials.saturating_sub(1);
                if planned == RequestKind::Locks && self.trials > 0 {
                    self.plan = &[RequestKind::Locks];
                    return self.check(RequestKind::Wrong, code);
                }
                self.check(if self.trials == 0 { RequestKind::Locks } else { RequestKind::Wrong }, code)
            }
            send => Step::send(send, self.digits),
        }
    }

    fn check(&self, kind: RequestKind, code: String) -> Step {
        Step { kind, digits: self.digits, code: Some(code), trials: self.trials }
    }

    /// Takes the answer to the last step; after a send also the code that arrived.
    pub fn answered(&mut self, step: &Step, verdict: &Verdict, code: Option<String>) {
        let Verdict::Expected(trials) = verdict else { return self.forget() };
        self.code = code.unwrap_or(std::mem::take(&mut self.code));
        if step.kind == RequestKind::Send {
            self.trials = trials.unwrap_or(1);
        }
    }
}

/// A wrong code: only the last digit differs. How far it is from the right one tells a server that keeps nothing how
/// many wrong codes were allowed before it (see [`trials_before`]).
fn wrong_code(code: &str, trials: u32) -> String {
    let other = (last_digit(code) + 1 + trials.saturating_sub(1) % 9) % 10;
    format!("{}{other}", code.get(..code.len().saturating_sub(1)).unwrap_or_default())
}

/// The trials that [`wrong_code`] was made with; `None` for the right code.
pub fn trials_before(right: &str, code: &str) -> Option<u32> {
    let distance = (last_digit(code) + 10 - last_digit(right) % 10) % 10;
    (distance > 0).then_some(distance)
}

fn last_digit(code: &str) -> u32 {
    code.bytes().next_back().map_or(0, |byte| u32::from(byte.wrapping_sub(b'0')))
}

/// Areas (the three digits after +1) of live numbers, and of numbers that are used once.
const LIVE: Range<u64> = 200..230;
const FRESH: Range<u64> = 230..990;

/// Numbers in one area: seven digits, of which the first is 2 to 8.
const IN_AREA: u64 = 7_000_000;

pub const LIVE_AT_MOST: u64 = 10_000_000;

/// The number is fresh to every workload.
pub fn live_number(index: u64) -> u64 {
    scattered(LIVE, 0, index)
}

/// The digits without the plus; in an order that the seed decides, each number once.
fn scattered(areas: Range<u64>, seed: u64, index: u64) -> u64 {
    /// A large prime: consecutive numbers are far apart, as those of people are.
    const STEP: u64 = 2_654_435_761;
    let count = (areas.end - areas.start) * IN_AREA;
    let offset = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(32) % count;
    number(areas, (offset + index % count) % count * STEP % count)
}

fn number(areas: Range<u64>, place: u64) -> u64 {
    10_000_000_000 + (areas.start + place / IN_AREA) * 10_000_000 + 2_000_000 + place % IN_AREA
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use super::*;

    /// Plays a script against a server that does what it is asked.
    fn steps(workload: Workload, seed: u64, count: usize) -> Vec<Step> {
        let mut script = Script::new(workload, seed, 3, 8);
        script.forget();
        let mut steps = Vec::new();
        while steps.len() < count {
            let step = script.next();
            let sent = matches!(step.kind, RequestKind::Send | RequestKind::SendAgain);
            script.answered(&step, &Verdict::Expected(sent.then_some(5)), sent.then(|| "123456".to_owned()));
            steps.push(step);
        }
        steps
    }

    #[test]
    fn the_same_seed_makes_the_same_choices_and_another_one_does_not() {
        for workload in Workload::value_variants().iter().copied() {
            assert_eq!(steps(workload, 7, 500), steps(workload, 7, 500), "{workload:?}");
            assert_ne!(steps(workload, 7, 500), steps(workload, 8, 500), "{workload:?}");
        }
    }

    #[test]
    fn every_workload_asks_for_its_kinds_and_no_others() {
        use RequestKind::{Locks, Right, Send, SendAgain, Wrong};
        let expected: [(Workload, &[RequestKind]); 4] = [
            (Workload::SendVerify, &[Send, Right]),
            (Workload::Send, &[Send]),
            (Workload::WrongCodes, &[Send, Wrong, Locks]),
            (Workload::Mix, &[Send, SendAgain, Right, Wrong, Locks]),
        ];
        for (workload, kinds) in expected {
            let asked: BTreeSet<RequestKind> =
                steps(workload, 1, 2_000).iter().map(|step| step.kind).collect();
            assert_eq!(asked, kinds.iter().copied().collect(), "{workload:?}");
        }
    }

    #[test]
    fn wrong_codes_come_until_the_number_is_locked() {
        let steps = steps(Workload::WrongCodes, 1, 7);
        let asked: Vec<(RequestKind, u32)> = steps.iter().map(|step| (step.kind, step.trials)).collect();
        let wrong = |trials| (RequestKind::Wrong, trials);
        let (send, locks) = ((RequestKind::Send, 0), (RequestKind::Locks, 0));
        assert_eq!(asked, [send, wrong(4), wrong(3), wrong(2), wrong(1), locks, send]);
    }

    #[test]
    fn after_a_surprise_the_number_is_left_alone() {
        let mut script = Script::new(Workload::SendVerify, 1, 0, 1);
        let step = script.next();
        script.answered(&step, &Verdict::Refused, None);
        let next = script.next();
        assert_eq!(next.kind, RequestKind::Send);
        assert_ne!(next.digits, step.digits);
    }

    #[test]
    fn a_wrong_code_tells_how_many_were_allowed() {
        for code in ["123456", "000000", "999999", "0009"] {
            for trials in 1..=9 {
                let wrong = wrong_code(code, trials);
                assert_ne!(wrong, code);
                assert_eq!(trials_before(code, &wrong), Some(trials));
            }
            assert_eq!(trials_before(code, code), None);
        }
    }

    #[test]
    fn no_number_comes_twice_and_the_kinds_have_none_in_common() {
        let area = |digits: u64| digits / 10_000_000 % 1_000;
        for areas in [LIVE, FRESH] {
            let some: HashSet<u64> = (0..100_000).map(|index| scattered(areas.clone(), 1, index)).collect();
            assert_eq!(some.len(), 100_000);
            assert!(some.iter().all(|digits| areas.contains(&area(*digits))));
            assert!((0..10_000).all(|index| !some.contains(&scattered(areas.clone(), 2, index))));
        }
    }
}
