//! What the clients do: a mix in which every kind of record comes, ends and is swept.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use hyper::StatusCode;

use super::pace::Pace;
use super::{CODE_LIVES, LOCKED_FOR};
use crate::driver::{Connection, now, record, take_code};
use onceward::bench::twilio::Twilio;

/// A connection is closed and opened again after so many turns: files and tasks must not pile up.
const TURNS_PER_CONNECTION: u32 = 2_000;

/// Wrong codes until the lockout: the default.
const ATTEMPTS: u32 = 5;

/// Every so many turns of a client somebody asks for nonsense.
const NONSENSE: u32 = 50;

/// What all clients count together.
#[derive(Clone)]
pub struct Shared {
    /// When the run began.
    pub start: Instant,
    pace: Arc<Pace>,
    counts: Arc<Mutex<Counts>>,
}

/// Since the last sample, and what is alive.
pub struct Counts {
    /// Times of the requests in nanoseconds.
    pub latencies: Histogram<u64>,
    /// Codes that were sent since the run began.
    pub sends: u64,
    /// Lockouts since the run began.
    pub lockouts: u64,
    /// Answers 503 since the run began.
    pub unavailable: u64,
    /// How many records of numbers end in which second of the run.
    ends: BTreeMap<u64, u64>,
}

impl Counts {
    /// Records of numbers that still matter at this second of the run.
    pub fn live_numbers(&mut self, second: u64) -> u64 {
        self.ends = self.ends.split_off(&second);
        self.ends.values().sum()
    }
}

impl Shared {
    /// Nothing yet.
    pub fn new(start: Instant, pace: Pace) -> Self {
        let counts = Counts {
            latencies: Histogram::new(3).expect("three digits"),
            sends: 0,
            lockouts: 0,
            unavailable: 0,
            ends: BTreeMap::new(),
        };
        Self { start, pace: Arc::new(pace), counts: Arc::new(Mutex::new(counts)) }
    }

    /// Looks at the counts, or changes them.
    pub fn with<T>(&self, action: impl FnOnce(&mut Counts) -> T) -> T {
        action(&mut self.counts.lock().expect("no client has panicked"))
    }

    fn ends_in(&self, time: Duration) {
        let second = (now() + time - self.start).as_secs();
        self.with(|counts| *counts.ends.entry(second).or_default() += 1);
    }
}

/// One connection at a time.
pub struct Client {
    connection: Connection,
    address: SocketAddr,
    twilio: Twilio,
    shared: Shared,
    turn: u32,
}

/// What becomes of a number in one turn.
#[derive(Clone, Copy)]
enum Turn {
    Verified,
    VerifiedAfterAWrongCode,
    SentTwiceAndVerified,
    Forgotten,
    GuessedAtAndForgotten,
    LockedOut,
}

impl Turn {
    /// Out of twenty in ordinary times, and in hostile ones.
    fn of(turn: u32, hostile: bool) -> Self {
        match (turn % 20, hostile) {
            (0..=1, false) => Self::VerifiedAfterAWrongCode,
            (2, false) => Self::SentTwiceAndVerified,
            (3..=5, false) | (0..=9, true) => Self::Forgotten,
            (6, false) | (10..=12, true) => Self::GuessedAtAndForgotten,
            (7, false) | (13..=16, true) => Self::LockedOut,
            _ => Self::Verified,
        }
    }
}

impl Client {
    /// Opens its first connection.
    pub async fn new(address: SocketAddr, index: u32, twilio: &Twilio, shared: &Shared) -> Self {
        let connection = Connection::open(address, 200 + index).await;
        Self { connection, address, twilio: twilio.clone(), shared: shared.clone(), turn: index }
    }

    /// Goes on until `end`; ordinary and hostile times last `phase` each.
    pub async fn repeat_until(mut self, end: Instant, phase: Duration) {
        while now() < end {
            let phases = self.shared.start.elapsed().as_secs_f64() / phase.as_secs_f64();
            let hostile = phases % 2.0 >= 1.0;
            self.turn += 1;
            self.take_turn(Turn::of(self.turn, hostile)).await;
            if self.turn.is_multiple_of(NONSENSE) {
                self.ask("/api/send-otp", r#"{"phoneNumber":"+1"}"#.into(), StatusCode::BAD_REQUEST).await;
                self.ask("/no-such-page", String::new(), StatusCode::NOT_FOUND).await;
            }
            if self.turn.is_multiple_of(TURNS_PER_CONNECTION) {
                self.connection.open_again(self.address).await;
            }
        }
    }

    async fn take_turn(&mut self, turn: Turn) {
        let digits = self.connection.next_number();
        let Some(mut code) = self.send(&digits).await else { return };
        match turn {
            Turn::Verified => {}
            Turn::VerifiedAfterAWrongCode => self.guess(&digits, &code, StatusCode::UNAUTHORIZED).await,
            Turn::SentTwiceAndVerified => match self.send(&digits).await {
                Some(second) => code = second,
                None => return,
            },
            Turn::Forgotten => return self.shared.ends_in(CODE_LIVES + LOCKED_FOR),
            Turn::GuessedAtAndForgotten => {
                self.guess(&digits, &code, StatusCode::UNAUTHORIZED).await;
                return self.shared.ends_in(CODE_LIVES + LOCKED_FOR);
            }
            Turn::LockedOut => return self.lock_out(&digits, &code).await,
        }
        let body = format!(r#"{{"user":{{"phoneNumber":"+{digits}"}},"code":"{code}"}}"#);
        // Late on a busy machine, the code has expired.
        if self.ask("/api/verify-otp", body, StatusCode::OK).await != StatusCode::OK {
            self.shared.ends_in(CODE_LIVES + LOCKED_FOR);
        }
    }

    async fn lock_out(&mut self, digits: &str, code: &str) {
        for attempt in 1..=ATTEMPTS {
            let wanted = if attempt < ATTEMPTS { StatusCode::UNAUTHORIZED } else { StatusCode::FORBIDDEN };
            self.guess(digits, code, wanted).await;
        }
        self.shared.with(|counts| counts.lockouts += 1);
        self.shared.ends_in(LOCKED_FOR);
        self.guess(digits, code, StatusCode::FORBIDDEN).await;
        let body = format!(r#"{{"phoneNumber":"+{digits}"}}"#);
        self.ask("/api/send-otp", body, StatusCode::FORBIDDEN).await;
    }

    /// The code that arrived, unless the server said that it is overloaded.
    async fn send(&mut self, digits: &str) -> Option<String> {
        let body = format!(r#"{{"phoneNumber":"+{digits}"}}"#);
        let answered = self.ask("/api/send-otp", body, StatusCode::OK).await;
        self.shared.with(|counts| counts.sends += 1);
        (answered == StatusCode::OK).then(|| take_code(&self.twilio, digits))
    }

    /// A code that is surely wrong.
    async fn guess(&mut self, digits: &str, code: &str, wanted: StatusCode) {
        let last = if code.ends_with('0') { '1' } else { '0' };
        let wrong = format!("{}{last}", &code[..code.len() - 1]);
        let body = format!(r#"{{"user":{{"phoneNumber":"+{digits}"}},"code":"{wrong}"}}"#);
        self.ask("/api/verify-otp", body, wanted).await;
    }

    /// Refusals that an overloaded machine explains are counted; any other surprise ends the run.
    async fn ask(&mut self, path: &'static str, body: String, wanted: StatusCode) -> StatusCode {
        self.shared.pace.turn().await;
        let asked = now();
        let (answered, body) = self.connection.ask(path, body).await;
        let latency = asked.elapsed();
        let late = answered == StatusCode::UNAUTHORIZED && wanted == StatusCode::OK;
        let unavailable = answered == StatusCode::SERVICE_UNAVAILABLE;
        assert!(
            answered == wanted || late || unavailable || wanted == StatusCode::FORBIDDEN,
            "{path} was answered {answered} {}",
            String::from_utf8_lossy(&body)
        );
        self.shared.with(|counts| {
            record(&mut counts.latencies, latency);
            counts.unavailable += u64::from(unavailable);
        });
        answered
    }
}
