//! A client that behaves: requests at even distances over a few connections, whatever the server does.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use hdrhistogram::Histogram;

use super::tally::times;
use crate::driver::{Connection, now, record, take_code};
use onceward::bench::twilio::Twilio;

/// Its connections.
pub const CONNECTIONS: u32 = 8;

/// Its requests per second, over all of them.
pub const RATE: u32 = 200;

/// The client.
pub struct Steady {
    connections: Vec<Connection>,
    twilio: Twilio,
}

/// A number, and the code that was sent to it.
pub type Known = (String, String);

impl Steady {
    /// Opens its connections.
    pub async fn connect(address: SocketAddr, twilio: &Twilio) -> Self {
        let mut connections = Vec::new();
        for index in 0..CONNECTIONS {
            connections.push(Connection::open(address, 200 + index).await);
        }
        Self { connections, twilio: twilio.clone() }
    }

    /// Sends and verifies in turn for this long.
    pub async fn send_and_verify(&mut self, length: Duration) -> Histogram<u64> {
        let mut moments = Moments::for_each(length);
        let turns = self.connections.iter_mut().map(|connection| {
            let (mut moments, twilio) = (moments(), self.twilio.clone());
            async move {
                let mut times = times();
                while moments.are_left() {
                    let digits = connection.next_number();
                    let start = moments.wait().await;
                    connection.send(&digits).await;
                    record(&mut times, start.elapsed());
                    let code = take_code(&twilio, &digits);
                    let start = moments.wait().await;
                    connection.verify(&digits, &code).await;
                    record(&mut times, start.elapsed());
                }
                times
            }
        });
        sum(join_all(turns).await)
    }

    /// Has as many codes sent as can be verified in this time.
    pub async fn prepare(&mut self, length: Duration) -> Vec<Vec<Known>> {
        let each = length.as_millis() * u128::from(RATE) / u128::from(CONNECTIONS) / 1_000;
        let turns = self.connections.iter_mut().map(|connection| {
            let twilio = self.twilio.clone();
            async move {
                let mut codes = Vec::new();
                for _ in 0..each {
                    let digits = connection.next_number();
                    connection.send(&digits).await;
                    let code = take_code(&twilio, &digits);
                    codes.push((digits, code));
                }
                codes
            }
        });
        join_all(turns).await
    }

    /// Verifies them.
    pub async fn verify(&mut self, known: Vec<Vec<Known>>, length: Duration) -> Histogram<u64> {
        let mut moments = Moments::for_each(length);
        let turns = self.connections.iter_mut().zip(known).map(|(connection, codes)| {
            let mut moments = moments();
            async move {
                let mut times = times();
                for (digits, code) in codes {
                    let start = moments.wait().await;
                    connection.verify(&digits, &code).await;
                    record(&mut times, start.elapsed());
                }
                times
            }
        });
        sum(join_all(turns).await)
    }
}

fn sum(parts: Vec<Histogram<u64>>) -> Histogram<u64> {
    let mut all = times();
    for part in parts {
        all.add(part).expect("histograms of one kind");
    }
    all
}

/// When a connection is to ask.
struct Moments {
    next: Instant,
    end: Instant,
}

impl Moments {
    /// Those of each connection: one after the other in turn.
    fn for_each(length: Duration) -> impl FnMut() -> Self {
        let mut start = now();
        move || {
            start += Duration::from_secs(1) / RATE;
            Self { next: start, end: start + length }
        }
    }

    fn are_left(&self) -> bool {
        self.next < self.end
    }

    /// Waits for the next one, and says since when the time of the request counts. It leaves late if the one before
    /// was answered late, and then it counts from when it was to leave; what a timer adds does not count.
    async fn wait(&mut self) -> Instant {
        let due = self.next;
        self.next += Duration::from_secs(1) * CONNECTIONS / RATE;
        if now() > due {
            return due;
        }
        tokio::time::sleep_until(due.into()).await;
        now()
    }
}
