//! The requests of each client, and their numbers. Every choice is drawn from the seed: all servers of a
//! run, and another run with the same seed, get the same requests.

use std::ops::Range;

use clap::ValueEnum;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

use self::RequestKind::{Right, Send, Wrong};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Workload {
    /// Send a code to a fresh number, verify it with the code in the text.
    SendVerify,
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

const VERIFY: &[RequestKind] = &[Send, Right];

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
                Workload::Mix => match self.choices.random_range(0..20_u32) {
                    0..12 => VERIFY,
                    12..14 => &[Send, Wrong, Right],
                    14..17 => &[Send, Send, Right],
                    17..19 => &[Send],
                    // With default settings the fifth wrong code locks the number.
                    _ => &[Send, Wrong, Wrong, Wrong, Wrong, Wrong],
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

// The routes that clients use, and the answers that the contract promises (`docs/reference/otp-api.md`,
// `docs/reference/verify-api.md`).

pub enum Verdict {
    Expected,
    /// Anything else, in words without codes and numbers.
    Unexpected(String),
}

/// Routes that clients use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Routes {
    /// /api/send-otp and /api/verify-otp, without a credential
    Api,
    /// Verifications and their checks below /v2, of a service of their own, with the account's credentials
    V2,
}

impl Routes {
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Api => "/api",
            Self::V2 => "/v2",
        }
    }
}

/// How the clients of one server ask, and what its answers must be.
#[derive(Debug, Clone)]
pub enum Dialect {
    Api,
    /// With the id of a service.
    V2(String),
}

impl Dialect {
    /// Path and body of a request.
    pub fn request(&self, Step { digits, code, .. }: &Step) -> (String, String) {
        match (self, code) {
            (Self::Api, None) => ("/api/send-otp".to_owned(), format!(r#"{{"phoneNumber":"+{digits}"}}"#)),
            (Self::Api, Some(code)) => {
                let body = format!(r#"{{"user":{{"phoneNumber":"+{digits}"}},"code":"{code}"}}"#);
                ("/api/verify-otp".to_owned(), body)
            }
            (Self::V2(service), None) => {
                (format!("/v2/Services/{service}/Verifications"), format!("To=%2B{digits}&Channel=sms"))
            }
            (Self::V2(service), Some(code)) => {
                (format!("/v2/Services/{service}/VerificationCheck"), format!("To=%2B{digits}&Code={code}"))
            }
        }
    }

    pub fn classify(&self, step: &Step, status: u16, body: &[u8]) -> Verdict {
        let answer: Value = serde_json::from_slice(body).unwrap_or_default();
        let (data, state) = (&answer["data"], answer["status"].as_str().unwrap_or_default());
        let (is_promised, number) = match (self, step.kind) {
            (Self::Api, RequestKind::Send) => {
                (status == 200 && data["trials"].as_u64() > Some(0), &data["user"]["phoneNumber"])
            }
            (Self::Api, RequestKind::Right) => (status == 200, data),
            (Self::Api, RequestKind::Wrong) => (matches!(status, 401 | 403), &data["user"]["phoneNumber"]),
            (Self::V2(_), RequestKind::Send) => ((status, state) == (201, "pending"), &answer["to"]),
            (Self::V2(_), RequestKind::Right) => ((status, state) == (200, "approved"), &answer["to"]),
            (Self::V2(_), RequestKind::Wrong) => {
                (status == 200 && matches!(state, "pending" | "max_attempts_reached"), &answer["to"])
            }
        };
        if is_promised && *number == format!("+{}", step.digits) {
            return Verdict::Expected;
        }
        let text = String::from_utf8_lossy(body);
        Verdict::Unexpected(format!("{status} {}", masked(answer["message"].as_str().unwrap_or(&text))))
    }
}

/// At most one line of the text, with every run of digits replaced that could be a code or a number.
pub fn masked(text: &str) -> String {
    let line: String = text.chars().take(160).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let runs = line.as_bytes().chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit());
    let hidden = |run: &[u8]| run.len() > 3 && run[0].is_ascii_digit();
    let masked = runs.map(|run| if hidden(run) { "...".into() } else { String::from_utf8_lossy(run) });
    masked.collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_same_seed_asks_the_same_and_no_number_twice() {
        let asked = |seed| {
            let mut scripts: Vec<Script> =
                (0..4).map(|client| Script::new(Workload::SendVerify, seed, client, 4)).collect();
            let steps = (0..2_000).flat_map(|_| scripts.iter_mut().map(Script::next).collect::<Vec<_>>());
            steps.filter(|step| step.code.is_none()).map(|step| step.digits).collect::<Vec<_>>()
        };
        assert_eq!(asked(7), asked(7));
        assert_ne!(asked(7), asked(8));
        let live = (0..1_000).map(live_number);
        assert_eq!(asked(7).into_iter().chain(live).collect::<HashSet<_>>().len(), 5_000);
        assert_eq!(wrong_code("123459"), "123450");
    }
}
