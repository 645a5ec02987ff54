//! The clients of one server: each follows its script on its own connection, window by window.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use hdrhistogram::Histogram;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::args::Options;
use crate::ceiling::{CREDENTIALS, Mock};
use crate::run::{ALL, Figures, Window, float};
use crate::script::{Dialect, RequestKind, Routes, Script, Step, Verdict};

/// The wait for one answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// The wait before a lost connection is opened again.
const RECONNECT_AFTER: Duration = Duration::from_millis(100);

pub struct Clients(Vec<Arc<tokio::sync::Mutex<Client>>>);

struct Client {
    script: Script,
    connection: Connection,
    dialect: Dialect,
    mock: Mock,
}

impl Clients {
    pub async fn connect(
        address: SocketAddr,
        routes: Routes,
        options: &Options,
        mock: &Mock,
    ) -> Result<Self> {
        let dialect = Connection::to(address).dialect(routes).await?;
        let mut clients = Vec::new();
        for client in 0..options.connections {
            let mut connection = Connection::to(address);
            let opened = connection.open().await;
            opened.with_context(|| format!("cannot open connection {client} to {address}"))?;
            let script = Script::new(options.workload, options.seed, client, options.connections);
            let client = Client { script, connection, dialect: dialect.clone(), mock: mock.clone() };
            clients.push(Arc::new(tokio::sync::Mutex::new(client)));
        }
        Ok(Self(clients))
    }

    /// Drives the server for a window.
    pub async fn window(&self, length: Duration, rate: Option<u32>) -> Window {
        let tally = Arc::<Mutex<Tally>>::default();
        let schedule = Arc::new(Schedule::new(rate, length));
        let mut busy = JoinSet::new();
        for client in &self.0 {
            let (client, schedule, tally) = (client.clone(), schedule.clone(), tally.clone());
            busy.spawn(async move { client.lock().await.drive(&schedule, &tally).await });
        }
        busy.join_all().await;
        let lasted = schedule.start.elapsed();
        let mut tally = tally.lock();
        Window {
            lasted_s: lasted.as_secs_f64(),
            kinds: tally.figures(lasted),
            dropped: schedule.dropped(),
            quotes: std::mem::take(&mut tally.quotes),
        }
    }
}

/// The departure times of requests. In a closed loop, a client sends when it has its answer, until the window ends. In
/// an open loop, the times are at even distances. If a time passes while all clients wait for answers, the first free
/// client sends late, and the latency counts from that time. Late requests leave until twice the window has passed.
struct Schedule {
    start: Instant,
    window: Duration,
    /// Of an open loop: the times that have come, and how many there are in the window.
    due: Option<tokio::sync::Mutex<mpsc::UnboundedReceiver<Duration>>>,
    moments: u64,
    taken: AtomicU64,
}

impl Schedule {
    fn new(rate: Option<u32>, window: Duration) -> Self {
        let (start, moments) = (now(), u64::from(rate.unwrap_or_default()) * window.as_secs());
        let due = rate.map(|rate| {
            let (at, due) = mpsc::unbounded_channel();
            // A thread sleeps to some microseconds, and a timer of the runtime to a millisecond.
            thread::spawn(move || {
                for index in 0..moments {
                    let moment = Duration::from_nanos(index.saturating_mul(1_000_000_000) / u64::from(rate));
                    thread::sleep(moment.saturating_sub(start.elapsed()));
                    // Without a receiver the window has ended.
                    if at.send(moment).is_err() {
                        return;
                    }
                }
            });
            tokio::sync::Mutex::new(due)
        });
        Self { start, window, due, moments, taken: AtomicU64::new(0) }
    }

    /// The next due time; `None` without one, or when it is too late for any.
    async fn take(&self) -> Option<Duration> {
        let Some(due) = &self.due else {
            return Some(self.start.elapsed()).filter(|time| *time < self.window);
        };
        let moment = due.lock().await.recv().await?;
        if self.start.elapsed() > self.window * 2 {
            return None;
        }
        self.taken.fetch_add(1, Ordering::Relaxed);
        Some(moment)
    }

    fn dropped(&self) -> u64 {
        self.moments - self.taken.load(Ordering::Relaxed)
    }
}

impl Client {
    /// Sends requests until the window ends.
    async fn drive(&mut self, schedule: &Schedule, tally: &Mutex<Tally>) {
        self.script.forget();
        while let Some(due) = schedule.take().await {
            let step = self.script.next();
            let (verdict, code) = timeout(PATIENCE, self.ask(&step))
                .await
                .unwrap_or_else(|_| (Verdict::Unexpected(format!("no answer within {PATIENCE:?}")), None));
            if matches!(verdict, Verdict::Expected) {
                self.script.arrived(code);
            } else {
                self.script.forget();
            }
            tally.lock().answered(step.kind, verdict, schedule.start.elapsed().saturating_sub(due));
        }
    }

    /// Sends the request and classifies the response; after a send also the code that arrived.
    async fn ask(&mut self, step: &Step) -> (Verdict, Option<String>) {
        let (status, body) = match self.connection.step(&self.dialect, step).await {
            Ok(answer) => answer,
            Err(error) => {
                sleep(RECONNECT_AFTER).await;
                return (Verdict::Unexpected(format!("no answer: {error:#}")), None);
            }
        };
        let verdict = self.dialect.classify(step, status.as_u16(), &body);
        if step.code.is_some() || !matches!(verdict, Verdict::Expected) {
            return (verdict, None);
        }
        // The server answers a send after the provider accepted the message.
        match self.mock.take_code(step.digits) {
            Some(code) => (verdict, Some(code)),
            None => (Verdict::Unexpected(format!("{status}, but no text arrived at the mock")), None),
        }
    }
}

/// Carries one request at a time. Opened when needed, and again after a loss.
pub struct Connection {
    address: SocketAddr,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    pub fn to(address: SocketAddr) -> Self {
        Self { address, sender: None }
    }

    async fn open(&mut self) -> Result<()> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // The failing request shows the error.
        tokio::spawn(async move { drop(connection.await) });
        self.sender = Some(sender);
        Ok(())
    }

    /// Below `/v2` with a service that it creates.
    pub async fn dialect(&mut self, routes: Routes) -> Result<Dialect> {
        if routes == Routes::Api {
            return Ok(Dialect::Api);
        }
        let (status, body) = self.request("/v2/Services", "FriendlyName=bench".to_owned()).await?;
        let service: Value = serde_json::from_slice(&body).unwrap_or_default();
        let sid = service["sid"].as_str().with_context(|| format!("cannot create a service: {status}"))?;
        Ok(Dialect::V2(sid.to_owned()))
    }

    pub async fn step(&mut self, dialect: &Dialect, step: &Step) -> Result<(StatusCode, Bytes)> {
        let (path, body) = dialect.request(step);
        self.request(&path, body).await
    }

    pub async fn request(&mut self, path: &str, body: String) -> Result<(StatusCode, Bytes)> {
        if self.sender.is_none() {
            self.open().await?;
        }
        let mut sender = self.sender.take().context("it was closed")?;
        let mut request = Request::builder()
            .method(if body.is_empty() { "GET" } else { "POST" })
            .uri(path)
            .header(HOST, self.address.to_string());
        request = if path.starts_with("/v2/") {
            request
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .header(AUTHORIZATION, CREDENTIALS)
        } else {
            request.header(CONTENT_TYPE, "application/json")
        };
        sender.ready().await?;
        let response = sender.send_request(request.body(Full::from(body))?).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        self.sender = Some(sender);
        Ok((status, body))
    }
}

/// Counts and latencies of all clients in one window.
#[derive(Default)]
struct Tally {
    kinds: BTreeMap<RequestKind, Counts>,
    quotes: BTreeSet<String>,
}

struct Counts {
    unexpected: u64,
    /// Nanoseconds up to an hour, with three significant digits.
    latencies: Histogram<u64>,
}

impl Default for Counts {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, 3_600_000_000_000, 3);
        let latencies = histogram.unwrap_or_else(|error| unreachable!("these bounds are allowed: {error}"));
        Self { unexpected: 0, latencies }
    }
}

impl Counts {
    fn figures(&self, lasted: Duration) -> Figures {
        let answers = float(self.latencies.len());
        let mut figures = Figures::from([
            ("answers", answers),
            ("unexpected", float(self.unexpected)),
            ("requests_per_s", answers / lasted.as_secs_f64()),
        ]);
        for (name, percentile) in [("p50_us", 50.0), ("p99_us", 99.0)] {
            // At least one answer is beyond it.
            if (1.0 - percentile / 100.0) * answers >= 0.5 {
                figures.insert(name, float(self.latencies.value_at_percentile(percentile)) / 1e3);
            }
        }
        figures
    }
}

impl Tally {
    const QUOTES: usize = 5;

    fn answered(&mut self, kind: RequestKind, verdict: Verdict, latency: Duration) {
        let counts = self.kinds.entry(kind).or_default();
        match verdict {
            Verdict::Expected => counts.latencies.saturating_record(nanos(latency)),
            Verdict::Unexpected(what) => {
                counts.unexpected += 1;
                if self.quotes.len() < Self::QUOTES {
                    self.quotes.insert(format!("{}: {what}", kind.name()));
                }
            }
        }
    }

    /// Of all kinds together, and of each.
    fn figures(&self, lasted: Duration) -> BTreeMap<&'static str, Figures> {
        let mut all = Counts::default();
        for Counts { unexpected, latencies } in self.kinds.values() {
            all.unexpected += unexpected;
            // Histograms with the same bounds always fit.
            let _ = all.latencies.add(latencies);
        }
        let kinds = self.kinds.iter().map(|(kind, counts)| (kind.name(), counts.figures(lasted)));
        std::iter::once((ALL, all.figures(lasted))).chain(kinds).collect()
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[expect(clippy::disallowed_methods, reason = "a measurement of time")]
pub fn now() -> Instant {
    Instant::now()
}
