//! One client whose answers must be the expected ones, for the modes that go their own way.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use hdrhistogram::Histogram;
use hyper::StatusCode;
use onceward::bench::line::{Line, Parts, check_body, send_body};
use onceward::bench::twilio::Twilio;

pub use onceward::bench::now;

/// How often a connection can begin again before its numbers come round.
const NUMBERS_PER_CONNECTION: u32 = 7_000_000;

/// A connection.
pub struct Connection {
    line: Line,
    area: u32,
    next: u32,
}

impl Connection {
    /// Opens one; `area` makes its numbers different from those of other connections.
    pub async fn open(address: SocketAddr, area: u32) -> Self {
        let line = Line::open(&Parts::of(address)).await.expect("a connection");
        Self { line, area, next: 0 }
    }

    /// Closes it and opens another, which goes on with the numbers.
    pub async fn open_again(&mut self, address: SocketAddr) {
        *self = Self { next: self.next, ..Self::open(address, self.area).await };
    }

    /// The digits of a number that was not used on this connection before.
    pub fn next_number(&mut self) -> String {
        let digits = format!("1{:03}{:07}", self.area, 2_000_000 + self.next);
        self.next = (self.next + 1) % NUMBERS_PER_CONNECTION;
        digits
    }

    /// Has a code sent to a number.
    pub async fn send(&mut self, digits: &str) {
        let answer = self.send_whatever_comes(digits).await;
        expect_success("a send", &answer, "OTP send successfully.");
    }

    /// Verifies with the right code.
    pub async fn verify(&mut self, digits: &str, code: &str) {
        let answer = self.verify_whatever_comes(digits, code).await;
        expect_success("a check", &answer, "OTP verified successfully.");
    }

    /// Has a code sent to a number, and takes whatever comes of it.
    pub async fn send_whatever_comes(&mut self, digits: &str) -> (StatusCode, Bytes) {
        self.ask("/api/send-otp", send_body(as_number(digits))).await
    }

    /// Verifies, and takes whatever comes of it.
    pub async fn verify_whatever_comes(&mut self, digits: &str, code: &str) -> (StatusCode, Bytes) {
        self.ask("/api/verify-otp", check_body(as_number(digits), code)).await
    }

    /// Whether the server says that it is ready.
    pub async fn ready(&mut self) -> StatusCode {
        self.line.look_at("/readyz").await.expect("an answer").0
    }

    /// One request, and what it is answered.
    pub async fn ask(&mut self, path: &'static str, body: impl Into<Bytes>) -> (StatusCode, Bytes) {
        self.line.ask_at(path, body.into()).await.expect("an answer")
    }
}

/// The code that was sent to this number, given without the plus.
pub fn take_code(twilio: &Twilio, digits: &str) -> String {
    twilio.take_code(as_number(digits)).expect("a message that arrived before the answer")
}

fn as_number(digits: &str) -> u64 {
    digits.parse().expect("digits")
}

fn expect_success(what: &str, (status, body): &(StatusCode, Bytes), wanted: &str) {
    let body = String::from_utf8_lossy(body);
    assert!(*status == StatusCode::OK && body.contains(wanted), "{what} was answered {status} {body}");
}

/// Adds a time to those of a window.
pub fn record(latencies: &mut Histogram<u64>, latency: Duration) {
    let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
    latencies.record(nanoseconds).expect("a histogram that grows");
}
