//! Clients behind a load balancer that believe their answers, whatever happens to the nodes.
//!
//! Each caller sends codes and checks right, wrong and used ones on its own numbers, some of them twice at once. An answer
//! that fits no possible state of the number fails the test; one of 503 says that nothing has happened. In the end the
//! callers ask about every number again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_util::future::join_all;
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
    pub messages: usize,
    /// For each failure and caller: the time until the caller got an answer again.
    pub gaps: Vec<Duration>,
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

    /// Answers after which the client does not know what has happened.
    pub fn unknown(&self) -> u64 {
        self.others.iter().filter(|(answer, _)| *answer != "503").map(|(_, times)| times).sum()
    }

    pub fn and(mut self, other: Self) -> Self {
        self.answers += other.answers;
        for (answer, times) in other.others {
            *self.others.entry(answer).or_default() += times;
        }
        self.messages += other.messages;
        self.gaps.extend(other.gaps);
        self.gaps.sort_unstable();
        self
    }
}

impl std::fmt::Display for Seen {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { answers, others, messages, gaps } = self;
        let (median, longest, measured) = (self.median_gap(), self.longest_gap(), gaps.len());
        write!(
            to,
            "{answers} answers, others {others:?}, {messages} messages; gap {median:.2?} in the median, {longest:.2?} at \
             most, {measured} measured"
        )
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

    /// Messages that arrived for the caller's numbers. Fails the test if one was sent twice, or an answered one was not.
    fn messages(&self) -> usize {
        let mut all = 0;
        for (Subject { number, .. }, sends) in &self.subjects {
            let messages = self.shared.twilio.messages_for(number).len();
            let is_possible = (sends.answered..=sends.possible).contains(&messages);
            assert!(is_possible, "{number}: {messages} messages for {sends:?}");
            all += messages;
        }
        all
    }

    /// Asks one thing, or two at once. Returns whether all were answered.
    async fn ask(&mut self, chosen: usize, requests: Vec<Request>) -> bool {
        let began = now();
        let (subject, sends) = &mut self.subjects[chosen];
        let before = self.shared.twilio.last_code_for(&subject.number);
        let answers = requests.iter().map(|request| request.ask(&self.shared.client, &subject.number));
        let answers = join_all(answers).await;
        let mut possible = Vec::new();
        let mut is_refused = false;
        for (request, answer) in requests.into_iter().zip(answers) {
            let (answer, status) = match answer {
                Ok(answer) => {
                    let status = answer.status();
                    ((status < 500).then_some(answer), status.to_string())
                }
                Err(error) => (None, format!("{:?}", error.kind())),
            };
            if answer.is_none() {
                *self.seen.others.entry(status.clone()).or_default() += 1;
            }
            if status == "503" {
                is_refused = true;
            } else {
                possible.push((request, answer));
            }
        }
        sends.possible += possible.iter().filter(|(request, _)| *request == Request::Send).count();
        let (asked, answers): (Vec<_>, Vec<_>) = possible.into_iter().unzip();
        let (exchanges, _) = subject.take_in(asked, answers, before.as_ref(), &self.shared.twilio);
        let replies: Vec<_> = exchanges.iter().filter_map(|(_, reply)| reply.as_ref()).collect();
        let are_sent = replies.iter().filter(|reply| matches!(reply, ObservedReply::Sent { .. }));
        sends.answered += are_sent.count();
        let answered = replies.len();
        self.shared.answers.fetch_add(answered as u64, Ordering::Relaxed);
        self.seen.answers += answered as u64;
        let failure = *self.shared.failure.borrow();
        if answered > 0
            && failure != self.last_answered_failure
            && let Some(failure) = failure.filter(|failure| began >= *failure)
        {
            self.last_answered_failure = Some(failure);
            self.seen.gaps.push(failure.elapsed());
        }
        answered == exchanges.len() && !is_refused
    }
}
