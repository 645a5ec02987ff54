//! Clients behind a load balancer that believe their answers, whatever happens to the nodes.
//!
//! Each caller sends codes and checks right, wrong and used ones on its own numbers, some of them twice at once. An answer
//! that fits no possible state of the number fails the test; one of 503 says that nothing has happened. In the end the
//! callers ask about their numbers again.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rand::seq::IndexedRandom as _;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::Cluster;
use crate::belief::Guest;
use crate::support::prelude::*;

const CALLERS: u64 = 24;
/// Of each caller, in the end.
const QUESTIONS: usize = 40;
/// Between two requests of a caller: the nodes and etcd share two cores with others.
const PAUSE: Duration = Duration::from_millis(120);
/// On an idle machine gaps last 3.5 s. Beside other work everything lasts longer.
const LONGEST_GAP: Duration = Duration::from_secs(60);

pub struct Load {
    shared: Arc<Shared>,
    callers: JoinSet<Guest>,
}

struct Shared {
    twilio: Arc<Twilio>,
    numbers: Arc<Numbers>,
    client: Client,
    is_over: AtomicBool,
    seen: Mutex<Seen>,
}

#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Answers that say what has happened.
    answers: u64,
    /// How often the callers got which other answer.
    others: BTreeMap<String, u64>,
    /// The longest time in which no caller got an answer.
    longest_gap: Duration,
    last: Option<Instant>,
}

impl Load {
    pub fn begin(cluster: &Cluster, balancer: &Client, seed: u64) -> Self {
        let shared = Arc::new(Shared {
            twilio: Arc::clone(&cluster.twilio),
            numbers: Arc::clone(&cluster.numbers),
            client: balancer.clone(),
            is_over: AtomicBool::new(false),
            seen: Mutex::default(),
        });
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            callers.spawn(act(Guest::new(seed ^ (caller + 1)), Arc::clone(&shared)));
        }
        Self { shared, callers }
    }

    /// Returns once so many more requests have been answered. Panics if a caller has panicked.
    pub async fn answers(&mut self, more: u64) {
        let shared = Arc::clone(&self.shared);
        let answers = || shared.seen.lock().unwrap().answers;
        let enough = answers() + more;
        while answers() < enough {
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
        let Self { shared, callers } = self;
        shared.is_over.store(true, Ordering::Relaxed);
        for mut guest in callers.join_all().await {
            let questions = guest.questions();
            for (chosen, request) in questions.sample(&mut guest.rng, QUESTIONS).cloned() {
                let hear = |answer: io::Result<HttpResponse>| Some(answer.expect("an answer in the end"));
                let subject = &mut guest.subjects[chosen];
                subject.ask(&shared.client, &shared.twilio, vec![request], hear).await;
            }
            guest.subjects.iter().for_each(|subject| subject.was_sent_none_twice(&shared.twilio));
        }
        let seen = shared.seen.lock().unwrap().clone();
        println!("{seen:?}");
        assert!(seen.longest_gap <= LONGEST_GAP, "{seen:?}");
        seen
    }
}

async fn act(mut guest: Guest, shared: Arc<Shared>) -> Guest {
    while !shared.is_over.load(Ordering::Relaxed) {
        let (chosen, requests) = guest.next(&shared.numbers);
        let hear = |answer| shared.seen.lock().unwrap().hears(answer);
        guest.subjects[chosen].ask(&shared.client, &shared.twilio, requests, hear).await;
        sleep(PAUSE).await;
    }
    guest
}

#[expect(clippy::disallowed_methods, reason = "measures how long other processes give no answers")]
pub fn now() -> Instant {
    Instant::now()
}

impl Seen {
    /// Counts an answer; returns it if it says what has happened.
    fn hears(&mut self, answer: io::Result<HttpResponse>) -> Option<HttpResponse> {
        let other = match answer {
            Ok(answer) if answer.status() < 500 => {
                let last = self.last.replace(now());
                self.longest_gap = self.longest_gap.max(last.map_or(Duration::ZERO, |last| last.elapsed()));
                self.answers += 1;
                return Some(answer);
            }
            Ok(answer) => answer.status().to_string(),
            Err(error) => format!("{:?}", error.kind()),
        };
        *self.others.entry(other).or_default() += 1;
        None
    }

    /// Answers after which the client does not know what has happened.
    pub fn unknown(&self) -> u64 {
        self.others.iter().filter(|(answer, _)| *answer != "503").map(|(_, times)| times).sum()
    }
}
