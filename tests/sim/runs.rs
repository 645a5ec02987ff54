//! Runs one seed or many, counts the events, and reports a failure. A simulation that silently stops covering an event
//! fails.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use crate::checker;
use crate::facts::Fact;
use crate::setup::Setup;
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
    pub fn of(seed: u64, logged: bool) -> Self {
        let mut world = World::new(seed, logged);
        let ran = caught(|| Ok(world.runs()?));
        let judged = caught(|| checker::check(&world.facts, &world.setup.number_rules()));
        let broken = judged.err().or(ran.err()).map(|broken| *broken);
        let World { setup, tally, log, .. } = world;
        Self { setup, log: log.unwrap_or_default(), tally, broken }
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
        let by = fact.as_ref().map(|fact| format!("\nby {fact:?}")).unwrap_or_default();
        let again = format!("SIM_SEED={seed} cargo test --test sim promises -- --nocapture");
        format!("{text}seed {seed} breaks a promise: {what}{by}\nto see it again: {again}")
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

/// Runs many seeds on all cores. Returns the tally of all, and the first failing seed of some core.
pub fn all(seeds: Range<u64>) -> (Tally, Option<u64>) {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let some = |first| {
        let mut tally = Tally::default();
        for seed in seeds.clone().skip(first).step_by(threads) {
            let run = Run::of(seed, false);
            tally.add(run.tally);
            if run.broken.is_some() {
                return (tally, Some(seed));
            }
        }
        (tally, None)
    };
    thread::scope(|scope| {
        let parts: Vec<_> = (0..threads).map(|first| scope.spawn(move || some(first))).collect();
        let parts = parts.into_iter().map(|part| part.join().expect("panics are caught"));
        parts.reduce(|(mut tally, broken), (more, also)| {
            tally.add(more);
            (tally, broken.or(also))
        })
    })
    .expect("a core")
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally(BTreeMap<String, u64>);

/// Events that must occur in some hundred seeds.
const EXPECTED: &str = include_str!("expected.txt");

impl Tally {
    pub fn count(&mut self, what: impl Into<String>) {
        *self.0.entry(what.into()).or_default() += 1;
    }

    pub fn add(&mut self, other: Self) {
        for (what, times) in other.0 {
            *self.0.entry(what).or_default() += times;
        }
    }

    pub fn missing(&self) -> Vec<&'static str> {
        EXPECTED.lines().filter(|name| !self.0.contains_key(*name)).collect()
    }
}
