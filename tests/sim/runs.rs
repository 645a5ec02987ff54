//! Runs one seed or many, and reports a failure.

use std::fmt::Write as _;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::checker;
use crate::facts::Fact;
use crate::setup::Setup;
use crate::tally::Tally;
use crate::world::{LogLine, World};

/// Lines of the log that a failure shows.
const LINES: usize = 80;

pub fn number_from(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number"));
    Some(number)
}

/// The outcome of one seed.
pub struct Run {
    pub setup: Setup,
    pub log: Vec<LogLine>,
    pub tally: Tally,
    pub broken: Option<Broken>,
}

pub struct Broken {
    pub what: String,
    /// The fact that broke it, if known.
    pub fact: Option<Fact>,
}

impl From<String> for Box<Broken> {
    fn from(what: String) -> Self {
        Self::new(Broken { what, fact: None })
    }
}

impl Run {
    /// Runs a seed, or its first `steps` steps.
    pub fn of(seed: u64, steps: Option<usize>, logged: bool) -> Self {
        let mut world = World::new(seed, steps, logged);
        let ran = caught(|| Ok(world.runs()?));
        let judged = caught(|| checker::check(&world.facts, &world.setup.number_rules()));
        let broken = judged.err().or(ran.err()).map(|broken| *broken);
        let World { setup, tally, log, .. } = world;
        Self { setup, log: log.unwrap_or_default(), tally, broken }
    }

    pub fn whole_log(&self) -> String {
        self.log.iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n")
    }

    /// The log of the number up to the broken promise.
    pub fn story(&self, seed: u64) -> String {
        let Some(Broken { what, fact }) = &self.broken else { return format!("seed {seed} holds") };
        let concerns = |line: &&LogLine| {
            fact.as_ref().is_none_or(|fact| {
                let same = line.numbers.is_empty() || line.numbers.contains(&fact.number);
                same && line.event <= fact.call
            })
        };
        let lines: Vec<&LogLine> = self.log.iter().filter(concerns).collect();
        let mut text = format!("{:?}\n", self.setup);
        if let Some(fact) = fact {
            let _ = writeln!(text, "what its service allows: {:?}", self.setup.policy(fact.number));
        }
        for line in &lines[lines.len().saturating_sub(LINES)..] {
            let _ = writeln!(text, "{}", line.text);
        }
        let _ = writeln!(text, "seed {seed} breaks a promise: {what}");
        if let Some(fact) = fact {
            let _ = writeln!(text, "by {fact:?}");
        }
        text
    }
}

/// A panic breaks a promise too.
fn caught(part: impl FnOnce() -> Result<(), Box<Broken>>) -> Result<(), Box<Broken>> {
    catch_unwind(AssertUnwindSafe(part)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("a panic: {}", text.unwrap_or("without a message")).into())
    })
}

/// Runs many seeds on all cores. Returns the tally of all, and the first failing seed.
pub fn all(seeds: Range<u64>) -> (Tally, Option<u64>) {
    let next = AtomicU64::new(seeds.start);
    let broken = AtomicU64::new(u64::MAX);
    let tally = Mutex::new(Tally::default());
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut mine = Tally::default();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || broken.load(Ordering::Relaxed) < seed {
                        break;
                    }
                    let run = Run::of(seed, None, false);
                    mine.add(run.tally);
                    if run.broken.is_some() {
                        broken.fetch_min(seed, Ordering::Relaxed);
                    }
                }
                tally.lock().unwrap_or_else(PoisonError::into_inner).add(mine);
            });
        }
    });
    let broken = broken.into_inner();
    let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    (tally, (broken < u64::MAX).then_some(broken))
}

/// Reports the broken promise, the end of the log of a short failing run of this seed, and how to repeat it.
pub fn explain(seed: u64) -> String {
    let whole = World::new(seed, None, false).setup.steps;
    // A run with fewer steps is the beginning of the same run. A short run that holds proves little about a longer one;
    // therefore this search finds a short failing run, but not always the shortest.
    let (mut holds, mut breaks) = (0, whole);
    while breaks - holds > 1 {
        let middle = usize::midpoint(holds, breaks);
        if Run::of(seed, Some(middle), false).broken.is_some() {
            breaks = middle;
        } else {
            holds = middle;
        }
    }
    let again = format!("SIM_SEED={seed} SIM_STEPS={breaks} cargo test --test sim promises -- --nocapture");
    format!("{}to see it again: {again}", Run::of(seed, Some(breaks), true).story(seed))
}
