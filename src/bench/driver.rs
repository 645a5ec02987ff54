//! The clients of one server, over all windows of a run.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until, timeout};

use super::answers::{Expect, Verdict, judge, masked};
use super::drive::{self, Carrier, Pace};
use super::line::{Line, Parts, Route, check_body, send_body};
use super::moments::{Real, now};
use super::options::{Answers, Workload};
use super::process::Processes;
use super::results::{Latency, Sample};
use super::script::{Kind, Script, Step, wrong_code};
use super::tally::{Tally, times, us};
use super::twilio::Twilio;
use super::{BenchError, results};

/// How long is waited for answers when a window is over.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// For one answer outside of a window: a connection that is opened, the probe, what locks a number. The delivery of a
/// message gives up after 10 s.
const ANSWERS_WITHIN: Duration = Duration::from_secs(15);

/// A number that is kept for use in films.
const NOBODYS: u64 = 12_025_550_123;

/// Before a connection that could not be opened is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(100);

/// No policy allows so many wrong codes that locking a number takes longer.
const WRONG_CODES_AT_MOST: u32 = 1_000;

/// All clients of one server.
pub struct Driver {
    workload: Workload,
    clients: Vec<Arc<Client>>,
}

struct Client {
    talker: Mutex<Talker>,
    waits: AtomicUsize,
}

struct Talker {
    script: Script,
    wire: Wire,
}

/// A connection, opened again when it was lost.
struct Wire {
    line: Option<Line>,
    parts: Parts,
    twilio: Twilio,
    answers: Answers,
}

/// What one window saw.
pub struct Seen {
    /// Seconds from the first request to the last answer.
    pub lasted: Duration,
    /// By kind.
    pub kinds: Vec<results::Kind>,
    /// All expected answers.
    pub latency: Latency,
    /// Once a second.
    pub samples: Vec<Sample>,
    /// Requests of an open loop that never left.
    pub left_over: u64,
    /// How late the load itself was.
    pub lateness: Histogram<u64>,
    /// The first surprises.
    pub quotes: Vec<String>,
}

impl Driver {
    /// Opens all connections.
    ///
    /// # Errors
    ///
    /// One cannot be opened.
    pub async fn connect(
        parts: &Parts,
        twilio: &Twilio,
        (workload, answers): (Workload, Answers),
        (connections, seed): (u32, u64),
    ) -> Result<Self, BenchError> {
        let mut clients = Vec::new();
        for place in 0..connections {
            let line =
                timeout(ANSWERS_WITHIN, Line::open(parts)).await.unwrap_or_else(|late| Err(late.into()));
            let what = || format!("open connection {} to the server at {}", place + 1, parts.address());
            let line = line.map_err(|error| BenchError::io(what())(error))?;
            let script = Script::new(workload, seed, place, connections);
            let wire = Wire { line: Some(line), parts: parts.clone(), twilio: twilio.clone(), answers };
            let talker = Mutex::new(Talker { script, wire });
            clients.push(Arc::new(Client { talker, waits: AtomicUsize::new(0) }));
        }
        Ok(Self { workload, clients })
    }

    /// Has one code sent to a number that nobody has, to see whether its text arrives at the double.
    ///
    /// # Errors
    ///
    /// What came instead, in words.
    pub async fn probe(&self) -> Result<(), String> {
        let Some(client) = self.clients.first() else { return Ok(()) };
        let mut talker = client.talker.lock().await;
        let (status, body) = talker.wire.soon(Route::Send, send_body(NOBODYS)).await?;
        let said = format!("answered a send with {status} {}", masked(&String::from_utf8_lossy(&body)));
        let base = format!("its Twilio base URL must be {}", talker.wire.twilio.base_url());
        let sent =
            |answers| matches!(judge(answers, Expect::Sent, NOBODYS, status, &body), Verdict::Expected(_));
        if !sent(talker.wire.answers) {
            return Err(match Answers::ALL.into_iter().find(|other| sent(*other)) {
                Some(other) => format!("{said}, which --answers {} expects", other.name()),
                None => format!("{said}; {base}"),
            });
        }
        if talker.wire.twilio.take_code(NOBODYS).is_none() {
            return Err(format!("says that a code was sent, but no text arrived at the double; {base}"));
        }
        Ok(())
    }

    /// Prepares what the workload needs, then keeps the clients at work for a window; `passes` hears how much of it has
    /// passed, about once a second.
    pub async fn window(
        &self,
        length: Duration,
        rate: Option<u32>,
        watched: Option<&Processes>,
        passes: impl Fn(Duration),
    ) -> Result<Seen, BenchError> {
        self.prepare().await?;
        let pace = rate
            .map_or(Pace::Closed(length), |rate| Pace::Open(super::schedule::Schedule::new(rate, length)));
        let last = if rate.is_some() { length * 2 } else { length } + PATIENCE;
        let (pace, tally) = (Arc::new(pace), Arc::new(Tally::new()?));
        let mut looks = Sampler::new(&tally, watched)?;
        let start = looks.start;
        let mut busy = JoinSet::new();
        for (index, client) in self.clients.iter().enumerate() {
            let moments =
                if rate.is_some() { Real::with_alarm(start) } else { Ok(Real::without_alarm(start)) };
            let mut moments = moments.map_err(BenchError::io("set a timer"))?;
            let (client, pace, tally) = (client.clone(), pace.clone(), tally.clone());
            busy.spawn(async move {
                let mut talker = client.talker.lock().await;
                let Talker { script, wire } = &mut *talker;
                let window =
                    drive::Window { pace: &pace, tally: &tally, client: index, waits: &client.waits };
                drive::drive(window, script, wire, &mut moments).await;
            });
        }
        loop {
            tokio::select! {
                done = busy.join_next() => if done.is_none() { break },
                () = sleep_until(looks.due.into()) => {
                    looks.sample();
                    passes(start.elapsed().min(length));
                    if start.elapsed() > last {
                        busy.abort_all();
                    }
                }
            }
        }
        let lasted = start.elapsed();
        passes(length);
        self.count_the_silent(&tally).await;
        let (kinds, latency) = tally.results(self.workload)?;
        let left_over = if let Pace::Open(schedule) = &*pace { schedule.left_over() } else { 0 };
        let samples = looks.end();
        let (lateness, quotes) = (tally.lateness()?, tally.quotes());
        Ok(Seen { lasted, kinds, latency, samples, left_over, lateness, quotes })
    }

    /// Locks the numbers that the workload wants locked.
    async fn prepare(&self) -> Result<(), BenchError> {
        let mut busy = JoinSet::new();
        for client in &self.clients {
            let client = client.clone();
            busy.spawn(async move {
                let mut talker = client.talker.lock().await;
                for digits in talker.script.begin_window() {
                    let locking = talker.wire.lock(digits);
                    timeout(PATIENCE, locking).await.unwrap_or_else(|_| Err(silent()))?;
                }
                Ok(())
            });
        }
        while let Some(done) = busy.join_next().await {
            done.unwrap_or_else(|_| Err("the task that locks numbers was ended".to_owned())).map_err(
                |what| BenchError::Refused(format!("cannot lock the numbers of the workload: {what}")),
            )?;
        }
        Ok(())
    }

    /// Those who were ended while they waited got no answer, and their connections are of no use any more.
    async fn count_the_silent(&self, tally: &Tally) {
        for (index, client) in self.clients.iter().enumerate() {
            let waited = client.waits.swap(0, Ordering::Relaxed);
            let kind = Kind::of(self.workload).iter().find(|kind| **kind as usize + 1 == waited);
            if let Some(kind) = kind {
                let silence = format!("no answer, {} s after the window ended", PATIENCE.as_secs());
                tally.answered(index, *kind, &Verdict::Unexpected(silence), Duration::ZERO);
                client.talker.lock().await.wire.line = None;
            }
        }
    }
}

impl Wire {
    async fn exchange(&mut self, route: Route, body: Bytes) -> Result<(u16, Bytes), String> {
        if self.line.is_none() {
            match Line::open(&self.parts).await {
                Ok(line) => self.line = Some(line),
                Err(error) => {
                    sleep(TRY_AGAIN).await;
                    return Err(format!("no connection: {error}"));
                }
            }
        }
        let Some(line) = &mut self.line else { return Err("no connection".to_owned()) };
        match line.ask(route, body).await {
            Ok((status, body)) => Ok((status.as_u16(), body)),
            Err(error) => {
                self.line = None;
                Err(format!("no answer: {error}"))
            }
        }
    }

    /// The same for what no window bounds.
    async fn soon(&mut self, route: Route, body: Bytes) -> Result<(u16, Bytes), String> {
        timeout(ANSWERS_WITHIN, self.exchange(route, body)).await.unwrap_or_else(|_| {
            self.line = None;
            Err(format!("gave no answer within {} s", ANSWERS_WITHIN.as_secs()))
        })
    }

    /// Has a number locked, whatever that takes.
    async fn lock(&mut self, digits: u64) -> Result<(), String> {
        let (status, body) = self.soon(Route::Send, send_body(digits)).await?;
        let judged = |expect, status, body: &Bytes| judge(self.answers, expect, digits, status, body);
        if matches!(judged(Expect::Locked, status, &body), Verdict::Expected(_)) {
            return Ok(());
        }
        let said = |status: u16, body: &Bytes| format!("{status} {}", masked(&String::from_utf8_lossy(body)));
        let Verdict::Expected(trials) = judged(Expect::Sent, status, &body) else {
            return Err(format!("a send was answered {}", said(status, &body)));
        };
        let code = self.twilio.take_code(digits).ok_or("no text arrived at the double")?;
        for left in (0..trials.unwrap_or(1).min(WRONG_CODES_AT_MOST)).rev() {
            let wrong = wrong_code(&code, left + 1);
            let (status, body) = self.soon(Route::Check, check_body(digits, &wrong)).await?;
            let expect = if left == 0 { Expect::Locks } else { Expect::Wrong(left) };
            if !matches!(judge(self.answers, expect, digits, status, &body), Verdict::Expected(_)) {
                return Err(format!("a wrong code was answered {}", said(status, &body)));
            }
        }
        Ok(())
    }
}

impl Carrier for Wire {
    async fn ask(&mut self, step: &Step) -> (Verdict, Option<String>) {
        let Step { kind, digits, code, expect } = step;
        let body = code.as_ref().map_or_else(|| send_body(*digits), |code| check_body(*digits, code));
        let (status, body) = match self.exchange(step.route(), body).await {
            Ok(answer) => answer,
            Err(what) => return (Verdict::Unexpected(what), None),
        };
        let verdict = judge(self.answers, *expect, *digits, status, &body);
        if !matches!((kind, &verdict), (Kind::Send | Kind::SendAgain, Verdict::Expected(_))) {
            return (verdict, None);
        }
        // A send is answered after the provider took the message.
        match self.twilio.take_code(*digits) {
            Some(code) => (verdict, Some(code)),
            None => (Verdict::Unexpected(format!("{status}, but no text arrived at the double")), None),
        }
    }
}

fn silent() -> String {
    format!("does not answer within {} s", PATIENCE.as_secs())
}

/// Looks once a second.
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
        let (second, start) = (times()?, now());
        let due = start + Self::EVERY;
        Ok(Self { tally, watched, start, due, last: start, cpu, second, samples: Vec::new() })
    }

    fn sample(&mut self) {
        let (cpu, moment) = (self.watched.and_then(Processes::cpu), now());
        self.tally.second(&mut self.second);
        let lasted = (moment - self.last).as_secs_f64().max(1e-9);
        let used = cpu.zip(self.cpu).map(|(cpu, before)| cpu.saturating_sub(before).as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "no second has 2^53 requests")]
        let requests = self.second.len() as f64;
        self.samples.push(Sample {
            at_s: (moment - self.start).as_secs_f64(),
            requests_per_s: requests / lasted,
            p99_us: (!self.second.is_empty()).then(|| us(self.second.value_at_quantile(0.99))),
            cores: used.map(|used| used / lasted),
            memory_bytes: self.watched.and_then(Processes::memory),
        });
        (self.last, self.cpu) = (moment, cpu);
        self.due += Self::EVERY;
    }

    /// With what is left at the end, if it is long enough to say something.
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

    #[tokio::test(start_paused = true)]
    async fn a_server_that_never_answers_is_not_waited_for_without_end() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let parts = Parts::of(silent.local_addr().unwrap());
        let twilio = Twilio::start("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let kind = (Workload::Locked, Answers::Documented);
        let connect = || Driver::connect(&parts, &twilio, kind, (1, 1));
        let driver = connect().await.unwrap();
        assert_eq!(driver.probe().await.unwrap_err(), "gave no answer within 15 s");
        let driver = connect().await.unwrap();
        let window = driver.window(Duration::from_secs(1), None, None, |_| ());
        assert!(window.await.err().unwrap().to_string().ends_with("gave no answer within 15 s"));
    }
}
