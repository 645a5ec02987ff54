//! The clients of one server: each follows its script on its own connection, window by window.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use hdrhistogram::Histogram;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use serde_json::Value;
use tokio::io::{Interest, unix::AsyncFd};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::args::Options;
use crate::contract::{Dialect, Routes, Verdict};
use crate::machine::Processes;
use crate::mock::{CREDENTIALS, Mock};
use crate::results::{self, ALL, Window, float};
use crate::script::{RequestKind, Script, Step};

/// The wait for answers after a window.
const PATIENCE: Duration = Duration::from_secs(30);

/// The wait for one answer outside of a window; the delivery of a message gives up after 10 s.
const ANSWERS_WITHIN: Duration = Duration::from_secs(15);

/// Reserved for use in films: +1 202 555 0123.
const FICTITIOUS: u64 = 12_025_550_123;

/// The wait before a lost connection is opened again.
const RECONNECT_AFTER: Duration = Duration::from_millis(100);

pub struct Clients(Vec<Arc<tokio::sync::Mutex<Client>>>);

struct Client {
    script: Script,
    session: Session,
}

struct Session {
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
            let session = Session { connection, dialect: dialect.clone(), mock: mock.clone() };
            clients.push(Arc::new(tokio::sync::Mutex::new(Client { script, session })));
        }
        Ok(Self(clients))
    }

    /// Sends one code to a fictitious number: its text must arrive at the mock.
    pub async fn probe(&self) -> Result<()> {
        let session = &mut self.0[0].lock().await.session;
        let step = Step::send(RequestKind::Send, FICTITIOUS);
        let why = match timeout(ANSWERS_WITHIN, session.ask(&step)).await {
            Ok((Verdict::Expected(_), _)) => return Ok(()),
            Ok((verdict, _)) => format!("{verdict:?}"),
            Err(late) => format!("no answer within {ANSWERS_WITHIN:?}: {late}"),
        };
        bail!("its Twilio base URL must be {}: {why}", session.mock.base_url())
    }

    /// Drives the server for a window.
    pub async fn window(&self, length: Duration, rate: Option<u32>, processes: Option<&Processes>) -> Window {
        let tally = Arc::<Mutex<Tally>>::default();
        let schedule = Arc::new(Schedule::new(rate, length, Timer::new().ok()));
        let mut busy = JoinSet::new();
        for client in &self.0 {
            let (client, schedule, tally) = (client.clone(), schedule.clone(), tally.clone());
            busy.spawn(async move {
                let Client { script, session } = &mut *client.lock().await;
                script.forget();
                drive(&schedule, &tally, script, session).await;
            });
        }
        busy.join_all().await;
        let lasted = schedule.start.elapsed();
        let mut tally = lock(&tally);
        let mut kinds = tally.results(lasted);
        let memory = processes.and_then(Processes::memory);
        kinds[0].figures.extend(memory.map(|bytes| ("memory_bytes", float(bytes))));
        Window {
            lasted_s: lasted.as_secs_f64(),
            kinds,
            dropped: schedule.dropped(),
            achieved_per_s: rate.map(|_| schedule.achieved()),
            late_us: tally.lateness.at(99.0),
            quotes: std::mem::take(&mut tally.quotes),
        }
    }
}

/// A timerfd: exact to some microseconds; the timers of the runtime are exact to a millisecond.
#[derive(Debug)]
struct Timer(AsyncFd<OwnedFd>);

impl Timer {
    fn new() -> io::Result<Self> {
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        #[expect(
            deprecated,
            reason = "unsound for types that give another file each time; an OwnedFd is one file"
        )]
        let timer = AsyncFd::with_interest(timer, Interest::READABLE)?;
        Ok(Self(timer))
    }

    /// Zero would wait for ever.
    async fn sleep(&self, time: Duration) -> io::Result<()> {
        let it_value = Timespec::try_from(time).map_err(io::Error::other)?;
        let once = Itimerspec { it_interval: Timespec::default(), it_value };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once)?;
        // Setting it again forgets the expiry: there is nothing to read.
        self.0.readable().await?.clear_ready();
        Ok(())
    }
}

/// The departure times of requests. In a closed loop, a client sends when it has its answer, until the window ends. In
/// an open loop, the times are at even distances. If a time passes while all clients wait for answers, the first free
/// client sends late, and the latency counts from that time. Late requests leave until twice the window has passed.
#[derive(Debug)]
struct Schedule {
    start: Instant,
    window: Duration,
    /// Moments a second (at least 1) of an open loop, and in the window.
    rate: Option<u32>,
    moments: u64,
    taken: AtomicU64,
    /// Nanoseconds of the window at which the last request left.
    last_left: AtomicU64,
    /// The client that waits for the next time holds this lock with the timer; without a timer it uses the runtime's.
    turn: tokio::sync::Mutex<Option<Timer>>,
}

impl Schedule {
    fn new(rate: Option<u32>, window: Duration, timer: Option<Timer>) -> Self {
        let (taken, last_left) = Default::default();
        let turn = tokio::sync::Mutex::new(timer);
        let moments = u64::from(rate.unwrap_or_default()) * window.as_secs();
        Self { start: now(), window, rate, moments, taken, last_left, turn }
    }

    /// The time after which no request leaves.
    fn last(&self) -> Duration {
        self.window * (1 + u32::from(self.rate.is_some()))
    }

    /// The next due time; `None` without one, or when it is too late for any.
    async fn take(&self) -> Option<Duration> {
        if self.rate.is_none() {
            return Some(self.start.elapsed()).filter(|time| *time < self.window);
        }
        let timer = self.turn.lock().await;
        let index = self.taken.load(Ordering::Relaxed);
        let moment = (index < self.moments).then(|| self.moment(index))?;
        while let Some(wait) = moment.checked_sub(self.start.elapsed()).filter(|wait| !wait.is_zero()) {
            match &*timer {
                Some(timer) => timer.sleep(wait).await.ok()?,
                None => sleep(wait).await,
            }
        }
        let time = self.start.elapsed();
        if time > self.last() {
            return None;
        }
        self.taken.store(index + 1, Ordering::Relaxed);
        self.last_left.store(nanos(time), Ordering::Relaxed);
        Some(moment)
    }

    fn dropped(&self) -> u64 {
        self.moments.saturating_sub(self.taken.load(Ordering::Relaxed))
    }

    /// Requests that left, per second of the time they took to leave.
    fn achieved(&self) -> f64 {
        let last = Duration::from_nanos(self.last_left.load(Ordering::Relaxed));
        float(self.moments - self.dropped()) / self.window.max(last).as_secs_f64()
    }

    fn moment(&self, index: u64) -> Duration {
        let nanos = u128::from(index) * 1_000_000_000 / u128::from(self.rate.unwrap_or(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// The server of a client. As a trait, because a test replaces it.
trait Server: Send {
    /// Sends the request and classifies the response; after a send also the code that arrived.
    fn ask(&mut self, step: &Step) -> impl Future<Output = (Verdict, Option<String>)> + Send;
}

/// Sends requests until the window ends.
async fn drive(schedule: &Schedule, tally: &Mutex<Tally>, script: &mut Script, server: &mut impl Server) {
    let start = schedule.start;
    let mut given_up = pin!(sleep_until(start + schedule.last() + PATIENCE));
    loop {
        let free = start.elapsed();
        let Some(due) = schedule.take().await else { return };
        if due > free {
            lock(tally).lateness.record(start.elapsed().saturating_sub(due));
        }
        let step = script.next();
        let (verdict, code) = tokio::select! {
            answer = server.ask(&step) => answer,
            () = &mut given_up => {
                (Verdict::Unexpected(format!("no answer {PATIENCE:?} after the window ended")), None)
            }
        };
        lock(tally).answered(step.kind, &verdict, start.elapsed().saturating_sub(due));
        script.answered(&step, &verdict, code);
    }
}

impl Server for Session {
    async fn ask(&mut self, step: &Step) -> (Verdict, Option<String>) {
        let (status, body) = match self.connection.step(&self.dialect, step).await {
            Ok(answer) => answer,
            Err(error) => {
                sleep(RECONNECT_AFTER).await;
                return (Verdict::Unexpected(format!("no answer: {error:#}")), None);
            }
        };
        let verdict = self.dialect.classify(step, status.as_u16(), &body);
        if step.code.is_some() || !matches!(verdict, Verdict::Expected(_)) {
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

/// Counts and latencies (in nanoseconds) of all clients in one window.
#[derive(Default)]
struct Tally {
    kinds: BTreeMap<RequestKind, Counts>,
    /// The delay with which the load generator sent requests.
    lateness: Latencies,
    quotes: BTreeSet<String>,
}

#[derive(Default)]
struct Counts {
    refused: u64,
    unexpected: u64,
    expected: Latencies,
}

impl Counts {
    fn results(&self, name: &'static str, lasted: Duration) -> results::KindResults {
        const PERCENTILES: [(&str, f64); 4] =
            [("p50_us", 50.0), ("p90_us", 90.0), ("p99_us", 99.0), ("p99_9_us", 99.9)];
        let answers = float(self.expected.0.len());
        // One answer is beyond it.
        let is_known = |percentile: f64| (1.0 - percentile / 100.0) * answers >= 0.999 || percentile <= 50.0;
        let mut figures = results::Figures::from([
            ("answers", answers),
            ("refused", float(self.refused)),
            ("unexpected", float(self.unexpected)),
            ("requests_per_s", answers / lasted.as_secs_f64()),
        ]);
        if answers > 0.0 {
            let known = PERCENTILES.into_iter().filter(|(_, percentile)| is_known(*percentile));
            figures.extend(known.map(|(name, percentile)| (name, self.expected.at(percentile))));
            figures.insert("max_us", self.expected.at(100.0));
        }
        results::KindResults { name, figures }
    }
}

impl Tally {
    const QUOTES: usize = 5;

    fn answered(&mut self, kind: RequestKind, verdict: &Verdict, latency: Duration) {
        let counts = self.kinds.entry(kind).or_default();
        match verdict {
            Verdict::Expected(_) => counts.expected.record(latency),
            Verdict::Refused => counts.refused += 1,
            Verdict::Unexpected(what) => {
                counts.unexpected += 1;
                if self.quotes.len() < Self::QUOTES {
                    self.quotes.insert(format!("{}: {what}", kind.name()));
                }
            }
        }
    }

    /// Of all kinds together, then of each.
    fn results(&self, lasted: Duration) -> Vec<results::KindResults> {
        let mut all = Counts::default();
        for Counts { refused, unexpected, expected } in self.kinds.values() {
            all.refused += refused;
            all.unexpected += unexpected;
            // Histograms with the same bounds always fit.
            let _ = all.expected.0.add(&expected.0);
        }
        let kinds = self.kinds.iter().map(|(kind, counts)| counts.results(kind.name(), lasted));
        std::iter::once(all.results(ALL, lasted)).chain(kinds).collect()
    }
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Nanoseconds up to an hour, with three significant digits.
struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, 3_600_000_000_000, 3);
        Self(histogram.unwrap_or_else(|error| unreachable!("these bounds are allowed: {error}")))
    }
}

impl Latencies {
    fn record(&mut self, latency: Duration) {
        self.0.saturating_record(nanos(latency));
    }

    /// In microseconds.
    fn at(&self, percentile: f64) -> f64 {
        float(self.0.value_at_percentile(percentile).min(self.0.max())) / 1e3
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[expect(clippy::disallowed_methods, reason = "a measurement of time")]
pub fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use tokio::net::TcpListener;

    use super::*;
    use crate::args::Options;
    use crate::script::Workload;

    const STALL: std::ops::Range<Duration> = Duration::from_secs(2)..Duration::from_secs(3);

    /// Answers within a millisecond, but stands still in its third second.
    struct Stalls(Instant);

    impl Server for Stalls {
        async fn ask(&mut self, _: &Step) -> (Verdict, Option<String>) {
            sleep(Duration::from_millis(1)).await;
            if STALL.contains(&self.0.elapsed()) {
                sleep_until(self.0 + STALL.end).await;
            }
            (Verdict::Expected(Some(5)), Some("123456".to_owned()))
        }
    }

    async fn driven(
        rate: Option<u32>,
        length: Duration,
        clients: u32,
    ) -> (results::KindResults, Arc<Mutex<Tally>>, Arc<Schedule>) {
        let (schedule, tally) = (Arc::new(Schedule::new(rate, length, None)), Arc::<Mutex<Tally>>::default());
        let mut all = JoinSet::new();
        for client in 0..clients {
            let (schedule, tally) = (schedule.clone(), tally.clone());
            all.spawn(async move {
                let mut script = Script::new(Workload::Send, 1, client, clients);
                drive(&schedule, &tally, &mut script, &mut Stalls(schedule.start)).await;
            });
        }
        while let Some(done) = all.join_next().await {
            done.unwrap();
        }
        let all = lock(&tally).results(length).swap_remove(0);
        (all, tally, schedule)
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_loop_charges_a_stall_to_all_requests_due_in_it() {
        let (latency, tally, _) = driven(Some(100), Duration::from_secs(10), 4).await;
        assert!((latency.figures["answers"] - 1_000.0).abs() < 0.1, "none is left out: {latency:?}");
        // 100 of the 1,000 were due in the second in which nothing was answered, evenly spread over it.
        let tally = lock(&tally);
        let ms = |percentile: f64| tally.kinds[&RequestKind::Send].expected.at(percentile) / 1e3;
        assert!(ms(85.0) < 10.0, "{latency:?}");
        assert!((200.0..300.0).contains(&ms(92.5)), "{latency:?}");
        assert!((450.0..550.0).contains(&ms(95.0)), "{latency:?}");
        assert!((850.0..950.0).contains(&ms(99.0)), "{latency:?}");
        assert!(latency.figures["max_us"] > 990_000.0, "{latency:?}");
        let late_us = tally.lateness.at(99.0);
        assert!(late_us < 3_000.0, "the stall is not the load's own: {late_us}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_loop_hides_the_same_stall() {
        let (latency, ..) = driven(None, Duration::from_secs(10), 4).await;
        assert!(latency.figures["p99_9_us"] < 10_000.0, "{latency:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_beyond_the_server_ends_and_counts_the_dropped() {
        // Four clients that take one or two milliseconds each carry 2,000 to 4,000 a second.
        let (latency, _, schedule) = driven(Some(20_000), Duration::from_secs(1), 4).await;
        assert!(
            (latency.figures["answers"] + float(schedule.dropped()) - 20_000.0).abs() < 0.1,
            "{latency:?}"
        );
        assert!(schedule.dropped() > 10_000);
        assert!((1_500.0..5_000.0).contains(&schedule.achieved()), "{}", schedule.achieved());
    }

    #[tokio::test(start_paused = true)]
    async fn moments_are_at_even_distances_and_do_not_drift() {
        let schedule = Schedule::new(Some(3), Duration::from_secs(1_000_000), None);
        assert_eq!(schedule.moment(2_999_997), Duration::from_secs(999_999));
        let schedule = Schedule::new(Some(4), Duration::from_secs(1), None);
        for moment in [0, 250, 500, 750].map(Duration::from_millis) {
            assert_eq!(schedule.take().await, Some(moment));
            assert_eq!(schedule.start.elapsed(), moment);
        }
        assert_eq!(schedule.take().await, None);
    }

    #[tokio::test]
    async fn requests_leave_at_their_moments_in_real_time() {
        let schedule = Schedule::new(Some(500), Duration::from_secs(1), Timer::new().ok());
        for _ in 0..20 {
            let moment = schedule.take().await.unwrap();
            assert!(schedule.start.elapsed() >= moment, "{moment:?}");
        }
        assert_eq!(schedule.dropped(), 480);
    }

    #[tokio::test(start_paused = true)]
    async fn late_moments_are_taken_until_twice_the_window() {
        let schedule = Schedule::new(Some(10), Duration::from_secs(1), None);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(schedule.take().await, Some(Duration::ZERO));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(schedule.take().await, None);
        assert_eq!(schedule.dropped(), 9);
        assert!((schedule.achieved() - 0.5).abs() < 1e-9);
    }

    async fn clients(address: SocketAddr) -> Clients {
        let mock = Mock::start("127.0.0.1:0".parse().unwrap(), Duration::ZERO).await.unwrap();
        let arguments = ["onceward-bench", "--connections", "1", "--workload", "send"];
        let options = Options::parse_from(arguments);
        Clients::connect(address, Routes::Api, &options, &mock).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_never_answers_is_given_up() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = silent.local_addr().unwrap();
        let probe = clients(address).await.probe().await.unwrap_err();
        assert!(format!("{probe:#}").ends_with("no answer within 15s: deadline has elapsed"), "{probe:#}");
        let second = Duration::from_secs(1);
        let observed = clients(address).await.window(second, None, None).await;
        assert_eq!((observed.figure("answers"), observed.figure("unexpected")), (0.0, 1.0));
        assert!((31.0..31.1).contains(&observed.lasted_s), "{}", observed.lasted_s);
        assert!(observed.quotes.first().unwrap().contains("no answer 30s after the window ended"));
    }

    #[test]
    fn only_expected_answers_have_latencies_and_quotes_come_once() {
        let mut tally = Tally::default();
        for index in 0..20 {
            tally.answered(RequestKind::Send, &Verdict::Expected(Some(5)), Duration::from_millis(1));
            tally.answered(RequestKind::Right, &Verdict::Refused, Duration::from_millis(9));
            let unexpected = Verdict::Unexpected(format!("401 no {}", index % 10));
            tally.answered(RequestKind::Right, &unexpected, Duration::from_millis(9));
        }
        let kinds = tally.results(Duration::from_secs(2));
        let count =
            |kind: &results::KindResults| ["answers", "refused", "unexpected"].map(|name| kind.figures[name]);
        let counts: Vec<[f64; 3]> = kinds.iter().map(count).collect();
        assert_eq!(counts, [[20.0, 20.0, 20.0], [20.0, 0.0, 0.0], [0.0, 20.0, 20.0]]);
        assert!((kinds[0].figures["p50_us"] - 1_000.0).abs() < 2.0);
        assert!((kinds[0].figures["requests_per_s"] - 10.0).abs() < 1e-9);
        assert_eq!(kinds[0].figures.get("p99_us"), None, "no answer is beyond it");
        assert_eq!(tally.quotes.len(), Tally::QUOTES);
        assert!(tally.quotes.iter().all(|quote| quote.starts_with("check, right code: 401 no ")));
    }
}
