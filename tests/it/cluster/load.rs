//! Clients behind a load balancer that believe their answers, whatever happens to the nodes.
//!
//! Each caller sends codes and checks right, wrong and used ones on its own numbers, some of them twice at once. An answer
//! that fits no possible state of the number fails the test; one of 503 says that nothing has happened. In the end the
//! callers ask about every number again.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::Cluster;
use crate::belief::{ObservedReply, Request, Subject};
use crate::support::prelude::*;

const CALLERS: u64 = 24;
/// Numbers that a caller uses in turn.
const IN_USE: usize = 8;
/// Older numbers about which a caller asks in the end.
const SAMPLE: usize = 20;
/// Between two requests of a caller: the nodes and etcd share two cores with others.
const PAUSE: Duration = Duration::from_millis(120);
/// On an idle machine gaps last 3.5 s. Beside other work everything lasts longer.
const LONGEST_GAP: Duration = Duration::from_secs(60);

pub struct Load {
    shared: Arc<Shared>,
    callers: JoinSet<Caller>,
}

struct Shared {
    twilio: Arc<Twilio>,
    numbers: Arc<Numbers>,
    client: Client,
    is_over: AtomicBool,
    answers: AtomicU64,
    /// When the owner failed last.
    failure: watch::Sender<Option<Instant>>,
}

#[derive(Debug, Default)]
pub struct Seen {
    /// Answers that say what has happened.
    pub answers: u64,
    /// How often the client got which other answer.
    pub others: BTreeMap<String, u64>,
    /// The longest time from a failure until a caller got an answer again.
    pub longest_gap: Duration,
    /// The sum of these times, and how many they are.
    gap_sum: Duration,
    gaps: u32,
}

struct Caller {
    shared: Arc<Shared>,
    rng: StdRng,
    /// Its numbers, and how many sends of each may have happened and were answered.
    subjects: Vec<(Subject, Sends)>,
    seen: Seen,
    /// The failure after which this caller has got an answer.
    last_answered_failure: Option<Instant>,
}

#[derive(Debug, Default)]
struct Sends {
    possible: usize,
    answered: usize,
}

impl Load {
    pub fn begin(cluster: &Cluster, balancer: &Client, seed: u64) -> Self {
        let shared = Arc::new(Shared {
            twilio: Arc::clone(&cluster.twilio),
            numbers: Arc::clone(&cluster.numbers),
            client: balancer.clone(),
            is_over: AtomicBool::new(false),
            answers: AtomicU64::new(0),
            failure: watch::Sender::default(),
        });
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            let caller = Caller {
                shared: Arc::clone(&shared),
                rng: StdRng::seed_from_u64(seed ^ (caller + 1)),
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

    /// Ends the load, and asks about the numbers again. A node must answer by now.
    #[expect(clippy::print_stdout, reason = "the figures")]
    pub async fn end(self) -> Seen {
        self.shared.is_over.store(true, Ordering::Relaxed);
        let mut seen = Seen::default();
        for mut caller in self.callers.join_all().await {
            caller.ask_again().await;
            caller.sent_none_twice();
            seen = seen.and(caller.seen);
        }
        println!("{seen:?}");
        assert!(seen.longest_gap <= LONGEST_GAP, "{seen:?}");
        seen
    }
}

#[expect(clippy::disallowed_methods, reason = "measures how long other processes give no answers")]
pub fn now() -> Instant {
    Instant::now()
}

impl Seen {
    /// Answers after which the client does not know what has happened.
    pub fn unknown(&self) -> u64 {
        self.others.iter().filter(|(answer, _)| *answer != "503").map(|(_, times)| times).sum()
    }

    /// The mean time from a failure until a caller got an answer again.
    pub fn mean_gap(&self) -> Duration {
        self.gap_sum / self.gaps.max(1)
    }

    pub fn and(mut self, other: Self) -> Self {
        self.answers += other.answers;
        for (answer, times) in other.others {
            *self.others.entry(answer).or_default() += times;
        }
        self.longest_gap = self.longest_gap.max(other.longest_gap);
        self.gap_sum += other.gap_sum;
        self.gaps += other.gaps;
        self
    }
}

impl Caller {
    async fn act(mut self) -> Self {
        while !self.shared.is_over.load(Ordering::Relaxed) {
            if self.subjects.len() < IN_USE || self.rng.random_bool(0.1) {
                self.subjects.push((Subject::new(self.shared.numbers.next()), Sends::default()));
            }
            let subjects = self.subjects.len();
            let chosen = self.rng.random_range(subjects.saturating_sub(IN_USE)..subjects);
            let requests = self.subjects[chosen].0.one_or_two_requests(&mut self.rng);
            self.ask(chosen, requests).await;
            sleep(PAUSE).await;
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

    /// Fails the test if a message of the caller's numbers was sent twice, or an answered one was not.
    fn sent_none_twice(&self) {
        for (Subject { number, .. }, sends) in &self.subjects {
            let messages = self.shared.twilio.messages_for(number).len();
            let is_possible = (sends.answered..=sends.possible).contains(&messages);
            assert!(is_possible, "{number}: {messages} messages for {sends:?}");
        }
    }

    /// Asks one thing, or two at once. Returns whether all were answered.
    async fn ask(&mut self, chosen: usize, requests: Vec<Request>) -> bool {
        let (began, asked) = (now(), requests.len());
        let (subject, sends) = &mut self.subjects[chosen];
        let others = &mut self.seen.others;
        let hear = |answer: io::Result<HttpResponse>| {
            let other = match answer {
                Ok(answer) if answer.status() < 500 => return Some(answer),
                Ok(answer) => answer.status().to_string(),
                Err(error) => format!("{:?}", error.kind()),
            };
            *others.entry(other).or_default() += 1;
            None
        };
        let (exchanges, _) = subject.ask(&self.shared.client, &self.shared.twilio, requests, hear).await;
        let mut answered = 0;
        for (request, reply) in &exchanges {
            sends.possible += usize::from(*request == Request::Send);
            sends.answered += usize::from(matches!(reply, Some(ObservedReply::Sent { .. })));
            answered += usize::from(reply.is_some());
        }
        self.shared.answers.fetch_add(answered as u64, Ordering::Relaxed);
        self.seen.answers += answered as u64;
        let failure = *self.shared.failure.borrow();
        if answered > 0
            && failure != self.last_answered_failure
            && let Some(failure) = failure.filter(|failure| began >= *failure)
        {
            self.last_answered_failure = Some(failure);
            let gap = failure.elapsed();
            self.seen.longest_gap = self.seen.longest_gap.max(gap);
            self.seen.gap_sum += gap;
            self.seen.gaps += 1;
        }
        answered == asked
    }
}
