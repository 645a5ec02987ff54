//! The requests of each client, and their numbers. Every choice is drawn from the seed: all servers of a
//! run, and another run with the same seed, get the same requests.

use std::ops::Range;

use clap::ValueEnum;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use self::RequestKind::{Right, Send, Wrong};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RequestKind {
    Send,
    Right,
    Wrong,
}

impl RequestKind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Right => "check, right code",
            Self::Wrong => "check, wrong code",
        }
    }
}

pub struct Step {
    pub kind: RequestKind,
    pub digits: u64,
    pub code: Option<String>,
}

impl Step {
    pub const fn send(digits: u64) -> Self {
        Self { kind: Send, digits, code: None }
    }
}

const SEND: &[RequestKind] = &[Send];
const VERIFY: &[RequestKind] = &[Send, Right];
/// With default settings the fifth wrong code locks the number.
const LOCK_OUT: &[RequestKind] = &[Send, Wrong, Wrong, Wrong, Wrong, Wrong];

/// The requests of one client about one number after another.
pub struct Script {
    workload: Workload,
    seed: u64,
    choices: SmallRng,
    client: u64,
    clients: u64,
    /// Numbers used so far.
    used: u64,
    digits: u64,
    /// The code that arrived.
    code: String,
    /// Requests about the number that are left.
    plan: &'static [RequestKind],
}

impl Script {
    pub fn new(workload: Workload, seed: u64, client: u32, clients: u32) -> Self {
        let (client, clients) = (u64::from(client), u64::from(clients));
        let choices = SmallRng::seed_from_u64(seed.wrapping_add(client.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
        Self { workload, seed, choices, client, clients, used: 0, digits: 0, code: String::new(), plan: &[] }
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
                    12..14 => &[Send, Wrong, Right],
                    14..17 => &[Send, Send, Right],
                    17..19 => SEND,
                    _ => LOCK_OUT,
                },
            };
            self.digits = scattered(FRESH, self.seed, self.used * self.clients + self.client);
            self.used += 1;
        }
        let (&kind, left) = self.plan.split_first().unwrap_or((&Send, &[]));
        self.plan = left;
        let code = match kind {
            Send => None,
            Right => Some(self.code.clone()),
            Wrong => Some(wrong_code(&self.code)),
        };
        Step { kind, digits: self.digits, code }
    }

    /// Takes the code that arrived after a send.
    pub fn arrived(&mut self, code: Option<String>) {
        self.code = code.unwrap_or(std::mem::take(&mut self.code));
    }
}

/// Only the last digit differs.
fn wrong_code(code: &str) -> String {
    let mut wrong = code.to_owned();
    let last = wrong.pop().and_then(|last| last.to_digit(10)).unwrap_or_default();
    format!("{wrong}{}", (last + 1) % 10)
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
    let place = (offset + index % count) % count * STEP % count;
    10_000_000_000 + (areas.start + place / IN_AREA) * 10_000_000 + 2_000_000 + place % IN_AREA
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_same_seed_asks_the_same_and_no_number_twice() {
        let asked = |seed| {
            let mut scripts: Vec<Script> =
                (0..4).map(|client| Script::new(Workload::Send, seed, client, 4)).collect();
            let steps = (0..1_000).flat_map(|_| scripts.iter_mut().map(Script::next).collect::<Vec<_>>());
            steps.map(|step| step.digits).collect::<Vec<_>>()
        };
        assert_eq!(asked(7), asked(7));
        assert_ne!(asked(7), asked(8));
        let live = (0..1_000).map(live_number);
        assert_eq!(asked(7).into_iter().chain(live).collect::<HashSet<_>>().len(), 5_000);
        assert_eq!(wrong_code("123459"), "123450");
    }
}
