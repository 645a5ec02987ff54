//! Clients of all nodes that believe their answers, whatever happens to the nodes.
//!
//! Each caller sends codes and checks right, wrong and used ones on its own numbers, at a node chosen at random, some of
//! them twice at once. An answer that fits no possible state of the number fails the test. In the end the callers ask
//! about every number again.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::Cluster;
use crate::belief::{ObservedReply, Request, Subject};
use crate::support::prelude::*;

const CALLERS: u64 = 8;
/// Numbers that a caller uses in turn.
const IN_USE: usize = 8;
/// Older numbers about which a caller asks in the end.
const SAMPLE: usize = 40;
/// Between two requests of a caller: the nodes and etcd share two cores with others.
const PAUSE: Duration = Duration::from_millis(40);
/// On an idle machine gaps last 2.5 s. Beside other work everything lasts longer.
const LONGEST_GAP: Duration = Duration::from_secs(60);
/// After a request without an answer.
const LONGER_PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// 503, or no answer; for a send also 500. A refused connection may be retried at another node.
    Trouble,
    /// Only an answer, which counts as none if it is 503. A refused connection, or one that the server closes first, may be
    /// retried at another node.
    Answers,
}

pub struct Load {
    shared: Arc<Shared>,
    callers: JoinSet<Caller>,
}

struct Shared {
    twilio: Arc<Twilio>,
    numbers: Arc<Numbers>,
    nodes: Vec<Client>,
    expect: Expect,
    is_over: AtomicBool,
    answers: AtomicU64,
    /// Every second caller does not ask this node.
    avoided: AtomicUsize,
    /// When the owner failed last.
    failure: watch::Sender<Option<Instant>>,
}

#[derive(Debug, Default)]
pub struct Seen {
    pub answers: u64,
    pub unanswered: u64,
    /// Why requests were not answered, where all must be.
    pub failures: Vec<String>,
    pub messages: usize,
    /// For each failure and caller: the time until the caller got an answer again.
    pub gaps: Vec<Duration>,
}

struct Caller {
    shared: Arc<Shared>,
    rng: StdRng,
    /// Whether it asks only nodes that work, as through a balancer.
    is_balanced: bool,
    /// Its numbers, and how many sends of each it asked for and were answered.
    subjects: Vec<(Subject, Sends)>,
    seen: Seen,
    /// The failure after which this caller has got an answer.
    last_answered_failure: Option<Instant>,
}

#[derive(Debug, Default)]
struct Sends {
    asked: usize,
    answered: usize,
}

impl Load {
    pub fn begin(cluster: &Cluster, expect: Expect, seed: u64) -> Self {
        let shared = Arc::new(Shared {
            twilio: Arc::clone(&cluster.twilio),
            numbers: Arc::clone(&cluster.numbers),
            nodes: cluster.clients(),
            expect,
            is_over: AtomicBool::new(false),
            answers: AtomicU64::new(0),
            avoided: AtomicUsize::new(usize::MAX),
            failure: watch::Sender::default(),
        });
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            let caller = Caller {
                shared: Arc::clone(&shared),
                rng: StdRng::seed_from_u64(seed ^ (caller + 1)),
                is_balanced: caller % 2 == 1,
                subjects: Vec::new(),
                seen: Seen::default(),
                last_answered_failure: None,
            };
            callers.spawn(caller.act());
        }
        Self { shared, callers }
    }

    pub fn owner_fails(&self) {
        self.shared.failure.send_replace(Some(now()));
    }

    /// From now on every second caller does not ask this node, and the gaps of these callers count.
    pub fn avoid(&self, node: usize) {
        self.shared.avoided.store(node, Ordering::Relaxed);
    }

    /// Returns once so many more requests have been answered. Panics if a caller has panicked.
    pub async fn answers(&mut self, more: u64) {
        let enough = self.shared.answers.load(Ordering::Relaxed) + more;
        while self.shared.answers.load(Ordering::Relaxed) < enough {
            self.goes_on();
            sleep(PAUSE).await;
        }
    }

    pub fn goes_on(&mut self) {
        if let Some(ended) = self.callers.try_join_next() {
            let _ = ended.expect("a caller");
            panic!("a caller ended early");
        }
    }

    /// Ends the load, and asks about the numbers again. All nodes must work by now.
    #[expect(clippy::print_stdout, reason = "the figures")]
    pub async fn end(self) -> Seen {
        self.shared.is_over.store(true, Ordering::Relaxed);
        let mut seen = Seen::default();
        for mut caller in self.callers.join_all().await {
            caller.ask_again().await;
            caller.seen.messages = caller.messages();
            seen = seen.and(caller.seen);
        }
        println!("{seen}");
        assert!(seen.longest_gap() <= LONGEST_GAP, "{seen}");
        seen
    }
}

#[expect(clippy::disallowed_methods, reason = "measures how long other processes give no answers")]
pub fn now() -> Instant {
    Instant::now()
}

impl Seen {
    pub fn median_gap(&self) -> Duration {
        self.gaps.get(self.gaps.len() / 2).copied().unwrap_or_default()
    }

    pub fn longest_gap(&self) -> Duration {
        self.gaps.last().copied().unwrap_or_default()
    }

    pub fn and(mut self, other: Self) -> Self {
        self.answers += other.answers;
        self.unanswered += other.unanswered;
        self.failures.extend(other.failures);
        self.messages += other.messages;
        self.gaps.extend(other.gaps);
        self.gaps.sort_unstable();
        self
    }
}

impl std::fmt::Display for Seen {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { answers, unanswered, failures, messages, gaps } = self;
        let (median, longest, measured) = (self.median_gap(), self.longest_gap(), gaps.len());
        write!(
            to,
            "{answers} answers, {unanswered} unanswered {failures:?}, {messages} messages; gap {median:.1?} in the median, {longest:.1?} at \
             most, {measured} measured"
        )
    }
}

impl Caller {
    fn node(&mut self) -> usize {
        let (nodes, avoided) = (self.shared.nodes.len(), self.shared.avoided.load(Ordering::Relaxed));
        let node = self.rng.random_range(0..nodes);
        if self.is_balanced && node == avoided { (node + 1) % nodes } else { node }
    }

    async fn act(mut self) -> Self {
        while !self.shared.is_over.load(Ordering::Relaxed) {
            if self.subjects.len() < IN_USE || self.rng.random_bool(0.1) {
                self.subjects.push((Subject::new(self.shared.numbers.next()), Sends::default()));
            }
            let subjects = self.subjects.len();
            let chosen = self.rng.random_range(subjects.saturating_sub(IN_USE)..subjects);
            let requests = self.subjects[chosen].0.one_or_two_requests(&mut self.rng);
            let is_answered = self.ask(chosen, requests).await;
            sleep(if is_answered { PAUSE } else { LONGER_PAUSE }).await;
        }
        self
    }

    async fn ask_again(&mut self) {
        let newest = self.subjects.len().saturating_sub(IN_USE);
        let sample = rand::seq::index::sample(&mut self.rng, newest, SAMPLE.min(newest));
        for chosen in (newest..self.subjects.len()).chain(sample) {
            for request in self.subjects[chosen].0.questions() {
                assert!(self.ask(chosen, vec![request]).await, "an answer in the end");
            }
        }
    }

    /// Messages that arrived for the caller's numbers. Fails the test if one was sent twice, or an answered one was not.
    fn messages(&self) -> usize {
        let mut all = 0;
        for (Subject { number, .. }, sends) in &self.subjects {
            let messages = self.shared.twilio.messages_for(number).len();
            let is_possible = (sends.answered..=sends.asked).contains(&messages);
            assert!(is_possible, "{number}: {messages} messages for {sends:?}");
            all += messages;
        }
        all
    }

    /// Asks one thing, or two at once. Returns whether all were answered.
    async fn ask(&mut self, chosen: usize, requests: Vec<Request>) -> bool {
        let began = now();
        let nodes: Vec<usize> = requests.iter().map(|_| self.node()).collect();
        let (subject, sends) = &mut self.subjects[chosen];
        sends.asked += requests.iter().filter(|request| **request == Request::Send).count();
        let before = self.shared.twilio.last_code_for(&subject.number);
        let asked = requests.iter().zip(nodes);
        let answers = asked.map(|(request, node)| self.shared.answer(node, &subject.number, request));
        let answers = join_all(answers).await;
        if self.shared.expect == Expect::Answers {
            self.seen.failures.extend(answers.iter().filter_map(|answer| answer.as_ref().err()).cloned());
        }
        let answers = answers.into_iter().map(Result::ok);
        let (exchanges, _) = subject.take_in(requests, answers, before.as_ref(), &self.shared.twilio);
        let replies: Vec<_> = exchanges.iter().filter_map(|(_, reply)| reply.as_ref()).collect();
        let are_sent = replies.iter().filter(|reply| matches!(reply, ObservedReply::Sent { .. }));
        sends.answered += are_sent.count();
        let answered = replies.len();
        self.shared.answers.fetch_add(answered as u64, Ordering::Relaxed);
        self.seen.answers += answered as u64;
        self.seen.unanswered += (exchanges.len() - answered) as u64;
        let failure = *self.shared.failure.borrow();
        let counts = self.is_balanced || self.shared.avoided.load(Ordering::Relaxed) == usize::MAX;
        if answered > 0
            && counts
            && failure != self.last_answered_failure
            && let Some(failure) = failure.filter(|failure| began >= *failure)
        {
            self.last_answered_failure = Some(failure);
            self.seen.gaps.push(failure.elapsed());
        }
        answered == exchanges.len()
    }
}

impl Shared {
    /// The answer of this node; an error if there was none, or 503.
    async fn answer(&self, mut node: usize, number: &str, request: &Request) -> Result<HttpResponse, String> {
        loop {
            match (request.ask(&self.nodes[node], number).await, self.expect) {
                // An owner that was stopped for longer than a send may take does not know whether the message was sent.
                (Ok(answer), Expect::Trouble) if *request == Request::Send && answer.status() == 500 => {
                    return Err(format!("node {node}: {}", answer.text()));
                }
                (Ok(answer), _) => {
                    if answer.status() == 503 {
                        answer.expects_retry_after();
                        return Err(format!("node {node}: {}", answer.text()));
                    }
                    return Ok(answer);
                }
                (Err(error), _) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    node = (node + 1) % self.nodes.len();
                }
                // A server may close an idle connection while a request is on its way (RFC 9112, 9.5). If it had begun the
                // request, a second message or a second wrong code would show it.
                (Err(error), Expect::Answers) if is_closed_meanwhile(&error) => {
                    node = (node + 1) % self.nodes.len();
                }
                (Err(error), Expect::Trouble) => return Err(format!("node {node}: {error:?}")),
                (Err(error), Expect::Answers) => panic!("node {node}: {error:?}"),
            }
        }
    }
}

/// Whether a connection ended before the answer began.
fn is_closed_meanwhile(error: &io::Error) -> bool {
    let of_hyper = error.get_ref().and_then(|error| error.downcast_ref::<hyper::Error>());
    error.kind() == io::ErrorKind::UnexpectedEof || of_hyper.is_some_and(hyper::Error::is_incomplete_message)
}
