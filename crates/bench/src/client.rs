//! The clients of one server: each follows its script on a connection of its own, window by window.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hdrhistogram::Histogram;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::connection::{Connection, Route, check_body, send_body};
use crate::contract::{AnswerSet, Expect, Verdict, classify_response, masked};
use crate::error::BenchError;
use crate::machine::Processes;
use crate::mock::Mock;
use crate::results::{self, Latency, Sample, float};
use crate::schedule::{LoadModel, Schedule, WindowClock, now};
use crate::script::{Kind, Script, Step, Workload, wrong_code};
use crate::tally::{Tally, histogram};

/// For answers when a window is over.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// For one answer outside of a window; the delivery of a message gives up after 10 s.
const ANSWERS_WITHIN: Duration = Duration::from_secs(15);

/// Reserved for use in films: +1 202 555 0123.
const FICTITIOUS: u64 = 12_025_550_123;

const RECONNECT_AFTER: Duration = Duration::from_millis(100);

/// More than any policy allows.
const WRONG_CODES_AT_MOST: u32 = 1_000;

/// All clients of one server.
pub struct Clients {
    workload: Workload,
    clients: Vec<Arc<Client>>,
}

struct Client {
    state: Mutex<(Script, Session)>,
    /// The kind of request that waits for its answer, plus 1; 0 for none.
    waits_for: AtomicUsize,
}

/// The parameters that all clients of a run share.
#[derive(Clone)]
pub struct Setup {
    pub workload: Workload,
    pub answers: AnswerSet,
    pub connections: u32,
    pub seed: u64,
    pub mock: Mock,
}

/// A connection, opened again when it was lost.
struct Session {
    connection: Option<Connection>,
    address: SocketAddr,
    mock: Mock,
    answers: AnswerSet,
}

/// The observations of one window.
pub struct Seen {
    pub lasted: Duration,
    pub kinds: Vec<results::Kind>,
    pub latency: Latency,
    pub samples: Vec<Sample>,
    /// Of an open loop: requests that never left, and the rate at which the others did.
    pub dropped: u64,
    pub achieved: Option<f64>,
    /// The 99th percentile of how late the load itself was.
    pub lateness: Duration,
    pub quotes: Vec<String>,
}

impl Clients {
    pub async fn connect(address: SocketAddr, setup: &Setup) -> Result<Self, BenchError> {
        let mut clients = Vec::new();
        for place in 0..setup.connections {
            let opened = timeout(ANSWERS_WITHIN, Connection::open(address)).await;
            let opened = opened.unwrap_or_else(|late| Err(late.into()));
            let what = format!("open connection {} to the server at {address}", place + 1);
            let connection = Some(opened.map_err(BenchError::io(what))?);
            let script = Script::new(setup.workload, setup.seed, place, setup.connections);
            let session = Session { connection, address, mock: setup.mock.clone(), answers: setup.answers };
            clients.push(Arc::new(Client {
                state: Mutex::new((script, session)),
                waits_for: AtomicUsize::new(0),
            }));
        }
        Ok(Self { workload: setup.workload, clients })
    }

    /// Sends one code to a fictitious number: its text must arrive at the mock. The error says what came instead.
    pub async fn probe(&self) -> Result<(), String> {
        let Some(client) = self.clients.first() else { return Ok(()) };
        let (_, session) = &mut *client.state.lock().await;
        let (status, body) = session.request_soon(Route::Send, send_body(FICTITIOUS)).await?;
        let said = format!("answered a send with {status} {}", masked(&String::from_utf8_lossy(&body)));
        let base = format!("its Twilio base URL must be {}", session.mock.base_url());
        let sent = |answers| {
            matches!(
                classify_response(answers, Expect::Sent, FICTITIOUS, status, &body),
                Verdict::Expected(_)
            )
        };
        if !sent(session.answers) {
            let other = [(AnswerSet::Documented, "documented"), (AnswerSet::AsBuilt, "as-built")];
            return Err(match other.into_iter().find(|(answers, _)| sent(*answers)) {
                Some((_, name)) => format!("{said}, which --answers {name} expects"),
                None => format!("{said}; {base}"),
            });
        }
        let arrived = session.mock.take_code(FICTITIOUS).is_some();
        arrived
            .then_some(())
            .ok_or_else(|| format!("says that a code was sent, but no text arrived at the mock; {base}"))
    }

    /// Prepares what the workload needs, then drives the server for a window; `passed` hears the time once a second.
    pub async fn window(
        &self,
        length: Duration,
        rate: Option<u32>,
        watched: Option<&Processes>,
        passed: impl Fn(Duration),
    ) -> Result<Seen, BenchError> {
        self.lock_numbers().await?;
        let model =
            rate.map_or(LoadModel::Closed(length), |rate| LoadModel::Open(Schedule::new(rate, length)));
        let end = if rate.is_some() { length * 2 } else { length } + PATIENCE;
        let (model, tally) = (Arc::new(model), Arc::new(Tally::new()?));
        let mut sampler = Sampler::new(&tally, watched)?;
        let start = sampler.start;
        let mut busy = JoinSet::new();
        for (index, client) in self.clients.iter().enumerate() {
            let clock =
                if rate.is_some() { WindowClock::with_timer(start) } else { Ok(WindowClock::new(start)) };
            let clock = clock.map_err(BenchError::io("set a timer"))?;
            let (client, model, tally) = (client.clone(), model.clone(), tally.clone());
            busy.spawn(async move {
                let (script, session) = &mut *client.state.lock().await;
                drive(&model, &clock, (index, &tally), script, session, &client.waits_for).await;
            });
        }
        loop {
            tokio::select! {
                done = busy.join_next() => if done.is_none() { break },
                () = sleep_until(sampler.due) => {
                    sampler.sample();
                    passed(start.elapsed().min(length));
                    if start.elapsed() > end {
                        busy.abort_all();
                    }
                }
            }
        }
        let lasted = start.elapsed();
        passed(length);
        self.count_unanswered(&tally).await;
        let (kinds, latency) = tally.results(self.workload)?;
        let (dropped, achieved) = match &*model {
            LoadModel::Open(schedule) => (schedule.dropped(), Some(schedule.achieved())),
            LoadModel::Closed(_) => (0, None),
        };
        let seconds = sampler.end();
        let (lateness, quotes) = (tally.lateness()?, tally.quotes());
        Ok(Seen { lasted, kinds, latency, samples: seconds, dropped, achieved, lateness, quotes })
    }

    async fn lock_numbers(&self) -> Result<(), BenchError> {
        let mut busy = JoinSet::new();
        for client in &self.clients {
            let client = client.clone();
            busy.spawn(async move {
                let (script, session) = &mut *client.state.lock().await;
                for digits in script.begin_window() {
                    let late = |_| Err(format!("does not answer within {} s", PATIENCE.as_secs()));
                    timeout(PATIENCE, session.lock(digits)).await.unwrap_or_else(late)?;
                }
                Ok(())
            });
        }
        while let Some(done) = busy.join_next().await {
            let done: Result<(), String> = done.unwrap_or_else(|_| Err("the task was ended".to_owned()));
            done.map_err(|what| {
                BenchError::Refused(format!("cannot lock the numbers of the workload: {what}"))
            })?;
        }
        Ok(())
    }

    /// Requests that were aborted while they waited have no answer, and their connections are of no use any more.
    async fn count_unanswered(&self, tally: &Tally) {
        for (index, client) in self.clients.iter().enumerate() {
            let waited = client.waits_for.swap(0, Ordering::Relaxed);
            if let Some(kind) = Kind::of(self.workload).iter().find(|kind| **kind as usize + 1 == waited) {
                let silence = format!("no answer, {} s after the window ended", PATIENCE.as_secs());
                tally.answered(index, *kind, &Verdict::Unexpected(silence), Duration::ZERO);
                client.state.lock().await.1.connection = None;
            }
        }
    }
}

/// Carries a client's requests. A trait, so that a test can be the server.
trait Server: Send {
    /// Sends the request and classifies the response; after a send also the code that arrived.
    fn ask(&mut self, step: &Step) -> impl Future<Output = (Verdict, Option<String>)> + Send;
}

/// Asks until the window is over.
async fn drive(
    model: &LoadModel,
    clock: &WindowClock,
    (client, tally): (usize, &Tally),
    script: &mut Script,
    server: &mut impl Server,
    waits_for: &AtomicUsize,
) {
    loop {
        let now = clock.now();
        let due = match model {
            LoadModel::Closed(end) if now >= *end => return,
            LoadModel::Closed(_) => now,
            LoadModel::Open(schedule) => {
                let Some(due) = schedule.take(now) else { return };
                if due > now {
                    clock.wait_until(due).await;
                    tally.left_late(client, clock.now().saturating_sub(due));
                }
                due
            }
        };
        let step = script.next();
        waits_for.store(step.kind as usize + 1, Ordering::Relaxed);
        let (verdict, code) = server.ask(&step).await;
        waits_for.store(0, Ordering::Relaxed);
        tally.answered(client, step.kind, &verdict, clock.now().saturating_sub(due));
        match verdict {
            Verdict::Expected(trials) => script.succeeded(&step, code, trials),
            Verdict::Refused | Verdict::Unexpected(_) => script.failed(),
        }
    }
}

impl Session {
    async fn request(&mut self, route: Route, body: Bytes) -> Result<(u16, Bytes), String> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => match Connection::open(self.address).await {
                Ok(connection) => connection,
                Err(error) => {
                    sleep(RECONNECT_AFTER).await;
                    return Err(format!("no connection: {error}"));
                }
            },
        };
        match connection.request(route, body).await {
            Ok((status, body)) => {
                self.connection = Some(connection);
                Ok((status.as_u16(), body))
            }
            Err(error) => Err(format!("no answer: {error}")),
        }
    }

    async fn request_soon(&mut self, route: Route, body: Bytes) -> Result<(u16, Bytes), String> {
        let late = |_| Err(format!("gave no answer within {} s", ANSWERS_WITHIN.as_secs()));
        timeout(ANSWERS_WITHIN, self.request(route, body)).await.unwrap_or_else(late)
    }

    /// Locks a number with as many wrong codes as it takes.
    async fn lock(&mut self, digits: u64) -> Result<(), String> {
        let answers = self.answers;
        let classified =
            |expect, status, body: &Bytes| classify_response(answers, expect, digits, status, body);
        let said = |status: u16, body: &Bytes| format!("{status} {}", masked(&String::from_utf8_lossy(body)));
        let (status, body) = self.request_soon(Route::Send, send_body(digits)).await?;
        if matches!(classified(Expect::Locked, status, &body), Verdict::Expected(_)) {
            return Ok(());
        }
        let Verdict::Expected(trials) = classified(Expect::Sent, status, &body) else {
            return Err(format!("a send was answered {}", said(status, &body)));
        };
        let code = self.mock.take_code(digits).ok_or("no text arrived at the mock")?;
        for left in (0..trials.unwrap_or(1).min(WRONG_CODES_AT_MOST)).rev() {
            let wrong = check_body(digits, &wrong_code(&code, left + 1));
            let (status, body) = self.request_soon(Route::Check, wrong).await?;
            let expect = if left == 0 { Expect::Locks } else { Expect::Wrong(left) };
            if !matches!(classified(expect, status, &body), Verdict::Expected(_)) {
                return Err(format!("a wrong code was answered {}", said(status, &body)));
            }
        }
        Ok(())
    }
}

impl Server for Session {
    async fn ask(&mut self, step: &Step) -> (Verdict, Option<String>) {
        let Step { kind, digits, code, expect } = step;
        let body = code.as_ref().map_or_else(|| send_body(*digits), |code| check_body(*digits, code));
        let (status, body) = match self.request(step.route(), body).await {
            Ok(answer) => answer,
            Err(what) => return (Verdict::Unexpected(what), None),
        };
        let verdict = classify_response(self.answers, *expect, *digits, status, &body);
        if !matches!((kind, &verdict), (Kind::Send | Kind::SendAgain, Verdict::Expected(_))) {
            return (verdict, None);
        }
        // A send is answered after the provider took the message.
        match self.mock.take_code(*digits) {
            Some(code) => (verdict, Some(code)),
            None => (Verdict::Unexpected(format!("{status}, but no text arrived at the mock")), None),
        }
    }
}

/// Samples once a second.
struct Sampler<'a> {
    tally: &'a Tally,
    watched: Option<&'a Processes>,
    start: Instant,
    due: Instant,
    last: Instant,
    cpu: Option<Duration>,
    second: Histogram<u64>,
    samples: Vec<Sample>,
}

impl<'a> Sampler<'a> {
    const EVERY: Duration = Duration::from_secs(1);

    fn new(tally: &'a Tally, watched: Option<&'a Processes>) -> Result<Self, BenchError> {
        let cpu = watched.and_then(Processes::cpu);
        let (second, start) = (histogram()?, now());
        let due = start + Self::EVERY;
        Ok(Self { tally, watched, start, due, last: start, cpu, second, samples: Vec::new() })
    }

    fn sample(&mut self) {
        let (cpu, moment) = (self.watched.and_then(Processes::cpu), now());
        self.tally.take_second(&mut self.second);
        let lasted = (moment - self.last).as_secs_f64().max(1e-9);
        let used = cpu.zip(self.cpu).map(|(cpu, before)| cpu.saturating_sub(before).as_secs_f64());
        self.samples.push(Sample {
            at_s: (moment - self.start).as_secs_f64(),
            requests_per_s: float(self.second.len()) / lasted,
            p99_us: (!self.second.is_empty()).then(|| float(self.second.value_at_quantile(0.99)) / 1e3),
            cores: used.map(|used| used / lasted),
            memory_bytes: self.watched.and_then(Processes::memory),
            disk_bytes: self.watched.and_then(Processes::disk),
        });
        (self.last, self.cpu) = (moment, cpu);
        self.due += Self::EVERY;
    }

    /// With the rest of the window, if it is long enough.
    fn end(mut self) -> Vec<Sample> {
        if self.last.elapsed() > Self::EVERY / 2 {
            self.sample();
        }
        self.samples
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Answers within a millisecond, but stands still in its third second.
    struct Stalls(Instant);

    const STALL: std::ops::Range<Duration> = Duration::from_secs(2)..Duration::from_secs(3);

    impl Server for Stalls {
        async fn ask(&mut self, _: &Step) -> (Verdict, Option<String>) {
            sleep(Duration::from_millis(1)).await;
            if STALL.contains(&self.0.elapsed()) {
                sleep_until(self.0 + STALL.end).await;
            }
            (Verdict::Expected(Some(5)), Some("123456".to_owned()))
        }
    }

    async fn driven(model: LoadModel, clients: u32) -> (Latency, Arc<LoadModel>, Duration) {
        let start = now();
        let (model, tally) = (Arc::new(model), Arc::new(Tally::new().unwrap()));
        let mut all = JoinSet::new();
        for client in 0..clients {
            let (model, tally) = (model.clone(), tally.clone());
            all.spawn(async move {
                let mut script = Script::new(Workload::SendVerify, 1, client, clients);
                let (clock, waits) = (WindowClock::new(start), AtomicUsize::new(0));
                let counted = (client as usize, &*tally);
                drive(&model, &clock, counted, &mut script, &mut Stalls(start), &waits).await;
            });
        }
        while let Some(done) = all.join_next().await {
            done.unwrap();
        }
        let (_, latency) = tally.results(Workload::SendVerify).unwrap();
        (latency, model, tally.lateness().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_loop_charges_a_stall_to_all_requests_due_in_it() {
        let schedule = Schedule::new(100, Duration::from_secs(10));
        let (latency, _, lateness) = driven(LoadModel::Open(schedule), 4).await;
        assert_eq!(latency.count, 1_000, "none is left out");
        // 100 of the 1,000 were due in the second in which nothing was answered, evenly spread over it.
        let ms = |percentile| latency.at(percentile).unwrap() / 1e3;
        assert!(ms(85.0) < 10.0, "{latency:?}");
        assert!((200.0..300.0).contains(&ms(92.5)), "{latency:?}");
        assert!((450.0..550.0).contains(&ms(95.0)), "{latency:?}");
        assert!((850.0..950.0).contains(&ms(99.0)), "{latency:?}");
        assert!(latency.max_us > 990_000.0, "{latency:?}");
        assert!(lateness < Duration::from_millis(2), "the stall is not the load's own: {lateness:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_loop_hides_the_same_stall() {
        let (latency, _, _) = driven(LoadModel::Closed(Duration::from_secs(10)), 4).await;
        assert!(latency.at(99.9).unwrap() < 10_000.0, "{latency:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_beyond_the_server_ends_and_counts_the_dropped() {
        // Four clients that take a millisecond each carry 4,000 a second.
        let schedule = Schedule::new(20_000, Duration::from_secs(1));
        let (latency, model, _) = driven(LoadModel::Open(schedule), 4).await;
        let LoadModel::Open(schedule) = &*model else { panic!() };
        assert_eq!(latency.count + schedule.dropped(), 20_000);
        assert!(schedule.dropped() > 10_000);
        assert!((3_000.0..5_000.0).contains(&schedule.achieved()), "{}", schedule.achieved());
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_never_answers_is_given_up() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mock = Mock::start("127.0.0.1:0".parse().unwrap(), Duration::ZERO).await.unwrap();
        let (workload, answers) = (Workload::Locked, AnswerSet::Documented);
        let setup = Setup { workload, answers, connections: 1, seed: 1, mock };
        let clients = Clients::connect(silent.local_addr().unwrap(), &setup).await.unwrap();
        assert_eq!(clients.probe().await.unwrap_err(), "gave no answer within 15 s");
        let window = clients.window(Duration::from_secs(1), None, None, |_| ());
        assert!(window.await.err().unwrap().to_string().ends_with("gave no answer within 15 s"));
    }
}
