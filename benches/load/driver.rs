//! The load: connections that each send, verify, and begin again.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::twilio::Twilio;

/// How often a connection can begin again before its numbers come round.
const NUMBERS_PER_CONNECTION: u32 = 7_000_000;

/// What one window saw.
pub struct Window {
    /// Answers, all of them right.
    pub requests: u64,
    /// From the first request to the last answer.
    pub lasted: Duration,
    /// Times of the requests in nanoseconds.
    pub latencies: Histogram<u64>,
}

impl Default for Window {
    fn default() -> Self {
        let latencies = Histogram::new(3).expect("three digits");
        Self { requests: 0, lasted: Duration::ZERO, latencies }
    }
}

/// Drives one server.
pub struct Driver {
    connections: Vec<Connection>,
}

pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
    twilio: Twilio,
    area: u32,
    next: u32,
}

impl Driver {
    /// Opens all connections.
    pub async fn connect(address: SocketAddr, connections: u32, twilio: &Twilio) -> Self {
        let mut opened = Vec::new();
        for index in 0..connections {
            opened.push(Connection::open(address, 200 + index, twilio).await);
        }
        Self { connections: opened }
    }

    /// Keeps every connection busy for this long.
    pub async fn drive(&mut self, length: Duration) -> Window {
        let start = now();
        let end = start + length;
        let mut busy = JoinSet::new();
        for connection in self.connections.drain(..) {
            busy.spawn(connection.repeat_until(end));
        }
        let mut window = Window::default();
        while let Some(done) = busy.join_next().await {
            let (connection, latencies) = done.expect("every answer is the expected one");
            self.connections.push(connection);
            window.latencies.add(latencies).expect("histograms of one kind");
        }
        window.lasted = start.elapsed();
        window.requests = window.latencies.len();
        window
    }
}

impl Connection {
    /// Opens one; `area` makes its numbers different from those of other connections.
    pub async fn open(address: SocketAddr, area: u32, twilio: &Twilio) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("an option of the socket");
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("a connection");
        // Its end shows in the request that fails with it.
        tokio::spawn(async move { drop(connection.await) });
        Self { sender, host: address.to_string(), twilio: twilio.clone(), area, next: 0 }
    }

    /// Closes it and opens another, which goes on with the numbers.
    pub async fn open_again(&mut self, address: SocketAddr) {
        let next = self.next;
        *self = Self { next, ..Self::open(address, self.area, &self.twilio.clone()).await };
    }

    /// The digits of a number that was not used on this connection before.
    pub fn next_number(&mut self) -> String {
        let digits = format!("1{:03}{:07}", self.area, 2_000_000 + self.next);
        self.next = (self.next + 1) % NUMBERS_PER_CONNECTION;
        digits
    }

    /// Has a code sent to a number.
    pub async fn send(&mut self, digits: &str) {
        self.exchange("/api/send-otp", send_body(digits), StatusCode::OK, "OTP send successfully.").await;
    }

    /// Verifies with the right code.
    pub async fn verify(&mut self, digits: &str, code: &str) {
        let body = verify_body(digits, code);
        self.exchange("/api/verify-otp", body, StatusCode::OK, "OTP verified successfully.").await;
    }

    /// Has a code sent to a number, and takes whatever comes of it.
    pub async fn send_whatever_comes(&mut self, digits: &str) -> (StatusCode, Bytes) {
        self.ask("/api/send-otp", send_body(digits)).await
    }

    /// Verifies, and takes whatever comes of it.
    pub async fn verify_whatever_comes(&mut self, digits: &str, code: &str) -> (StatusCode, Bytes) {
        self.ask("/api/verify-otp", verify_body(digits, code)).await
    }

    async fn repeat_until(mut self, end: Instant) -> (Self, Histogram<u64>) {
        let mut latencies = Histogram::new(3).expect("three digits");
        loop {
            let start = now();
            if start >= end {
                return (self, latencies);
            }
            let digits = self.next_number();
            self.send(&digits).await;
            let sent = now();
            record(&mut latencies, sent - start);
            let code = self.twilio.take_code(&digits);
            let asked = now();
            self.verify(&digits, &code).await;
            record(&mut latencies, asked.elapsed());
        }
    }

    async fn exchange(&mut self, path: &'static str, body: String, status: StatusCode, wanted: &str) {
        let (answered, body) = self.ask(path, body).await;
        let said_so = body.windows(wanted.len()).any(|window| window == wanted.as_bytes());
        assert!(
            answered == status && said_so,
            "{path} was answered {answered} {}",
            String::from_utf8_lossy(&body)
        );
    }

    /// Whether the server says that it is ready.
    pub async fn ready(&mut self) -> StatusCode {
        let request = Request::get("/readyz").header(header::HOST, &self.host);
        let request = request.body(Full::default()).expect("a request");
        let response = self.sender.send_request(request).await.expect("an answer");
        let status = response.status();
        let _ = response.into_body().collect().await.expect("a whole answer");
        status
    }

    /// One request, and what it is answered.
    pub async fn ask(&mut self, path: &'static str, body: String) -> (StatusCode, Bytes) {
        let request = Request::post(path)
            .header(header::HOST, &self.host)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .expect("a request");
        self.sender.ready().await.expect("a connection that is open");
        let response = self.sender.send_request(request).await.expect("an answer");
        let status = response.status();
        let body = response.into_body().collect().await.expect("a whole answer").to_bytes();
        (status, body)
    }
}

fn send_body(digits: &str) -> String {
    format!(r#"{{"phoneNumber":"+{digits}"}}"#)
}

fn verify_body(digits: &str, code: &str) -> String {
    format!(r#"{{"user":{{"phoneNumber":"+{digits}"}},"code":"{code}"}}"#)
}

/// Adds a time to those of a window.
pub fn record(latencies: &mut Histogram<u64>, latency: Duration) {
    let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
    latencies.record(nanoseconds).expect("a histogram that grows");
}

#[expect(clippy::disallowed_methods, reason = "a measurement of time")]
pub fn now() -> Instant {
    Instant::now()
}
