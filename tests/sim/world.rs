//! The world around the shards: clients, gateways, disk and clock, all from one seed.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use onceward::delivery::attempts::AttemptLog;
use onceward::domain::{AttemptLogKey, Channel};
use onceward::engine::{NumberState, SendOptions};
use onceward::shard::{Record as _, RecordKey};
use onceward::verification::command::{Asking, NumberDeps, Sending};
use onceward::verification::in_flight::{Commands, Responder};
use onceward::verification::{Reply, SendOutcome};
use rand::RngExt;
use rand::rngs::StdRng;

use crate::disk::Disk;
use crate::facts::{Checked, CommandId, Fact, Outcome, Salted, What};
use crate::number::{Memory, Step};
use crate::runs::Tally;
use crate::setup::{Setup, millis};
use crate::shard::{COMMIT_TIMEOUT, Captured, InFlight, PLACES, Shard, deps};

pub struct World {
    pub setup: Setup,
    pub rng: StdRng,
    pub clock: u64,
    /// The latest time before the clock was set back.
    pub latest: u64,
    pub disk: Disk,
    pub shards: Vec<Shard>,
    /// Whether the process has lost its lease in a cluster.
    pub is_stale: bool,
    pub knows_of_its_loss: bool,
    pub deps: Arc<NumberDeps>,
    pub captured: Arc<Captured>,
    /// The commands of the process, and the messages that it is sending.
    pub places: Arc<Commands>,
    pub facts: Vec<Fact>,
    pub tally: Tally,
    /// A text of every event; kept only for printing.
    pub log: Option<Vec<LogLine>>,
    /// The position of the last event in the order.
    pub events: u64,
    pub commands: BTreeMap<CommandId, Open>,
    /// The commands that asked for a message first.
    pub first: BTreeMap<CommandId, First>,
    pub joined: BTreeMap<CommandId, Joined>,
    pub next_command: CommandId,
    pub sends: Vec<AtGateway<Sending>>,
    pub checks: Vec<AtGateway<Asking>>,
    /// Messages that may be repeated.
    pub plans: Vec<Plan>,
    /// The number of planned sends; each has an index.
    pub planned: u32,
    /// When each planned send that has not left is due, by index.
    pub due: BTreeMap<u32, u64>,
    /// Codes in messages, by number; the latest is last.
    pub inbox: BTreeMap<usize, Vec<String>>,
    /// The verifications of messages that left, by number; the latest is last.
    pub salts: BTreeMap<usize, Vec<Salted>>,
    /// Codes that gateways hold, by verification.
    pub held: BTreeMap<Salted, HeldCode>,
}

/// A message that the process is asked for.
#[derive(PartialEq)]
pub struct First {
    pub number: usize,
    pub message: (Channel, Option<SendOptions>),
}

/// A command that gets the answer to another one.
pub struct Joined {
    pub first: CommandId,
    pub answer: Answer,
    pub _place: Responder<Reply<SendOutcome>>,
}

/// A command without an answer.
pub struct Open {
    pub number: usize,
    pub asked: Step,
    /// Whether the planned message that it offered was due.
    pub is_due: bool,
    /// The record of the attempts of its message, once that has left.
    pub log: Option<AttemptLogKey>,
    pub answer: Answer,
}

/// The future of an answer.
pub type Answer = Pin<Box<dyn Future<Output = Outcome>>>;

/// A message or a submitted code at a gateway.
pub struct AtGateway<T> {
    pub shard: usize,
    pub life: u32,
    pub command: CommandId,
    pub request: T,
}

#[derive(Debug, Clone)]
pub struct Plan {
    pub number: usize,
    pub salt: Salted,
    pub log: AttemptLogKey,
    pub expires: u64,
}

#[derive(Debug, Clone)]
pub struct HeldCode {
    pub code: String,
    pub used: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    pub event: u64,
    /// The numbers that it concerns; all if this is empty.
    pub numbers: Vec<usize>,
    pub text: String,
}

/// The start of every world's clock.
const BEGINNING: u64 = 1_700_000_000_000;

impl World {
    pub fn new(seed: u64, logged: bool) -> Self {
        let (setup, mut rng) = Setup::of(seed);
        let shards = (0..setup.shards).map(|_| Shard::new(&setup, Vec::new(), &mut rng)).collect();
        let captured = Arc::<Captured>::default();
        let deps = deps(&setup, &captured);
        let mut tally = Tally::default();
        tally.count(if setup.shards > 1 { "world of two shards" } else { "world of one shard" });
        let log = logged.then(Vec::new);
        let places = Commands::new(PLACES, setup.commands_per_number);
        Self {
            setup,
            rng,
            clock: BEGINNING,
            latest: BEGINNING,
            disk: Disk::default(),
            shards,
            is_stale: false,
            knows_of_its_loss: false,
            deps,
            captured,
            places,
            facts: Vec::new(),
            tally,
            log,
            events: 0,
            commands: BTreeMap::new(),
            first: BTreeMap::new(),
            joined: BTreeMap::new(),
            next_command: 0,
            sends: Vec::new(),
            checks: Vec::new(),
            plans: Vec::new(),
            planned: 0,
            due: BTreeMap::new(),
            inbox: BTreeMap::new(),
            salts: BTreeMap::new(),
            held: BTreeMap::new(),
        }
    }

    /// Runs the seed to its end. An error is an immediate failure; the facts still need a check.
    pub fn runs(&mut self) -> Checked {
        for _ in 0..self.setup.steps {
            self.step()?;
        }
        self.ends()
    }

    fn step(&mut self) -> Checked {
        let permille = self.rng.random_range(0..1_000_u32);
        let crashes = self.setup.crashes;
        if self.is_stale && self.chance(8) {
            return self.crashes();
        }
        if permille < crashes {
            match self.rng.random_range(0..100) {
                0..45 => self.crashes()?,
                45..60 => self.loses_its_lease(),
                _ => self.panics()?,
            }
            return Ok(());
        }
        if permille < crashes + self.setup.clock_backwards {
            self.clock_goes_back();
            return Ok(());
        }
        match self.rng.random_range(0..100) {
            0..22 => self.client_asks()?,
            22..60 => self.commit_goes_on()?,
            60..75 => self.send_ends()?,
            75..86 => self.gateway_says()?,
            86..90 => self.planned_send()?,
            90..92 => self.sweeps()?,
            92..94 => self.is_asked_about_a_code(),
            _ => self.clock_goes_on(),
        }
        Ok(())
    }

    pub fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    pub fn any_shard(&mut self) -> usize {
        self.rng.random_range(0..self.shards.len())
    }

    /// Whether this shard refuses new commands: its commit takes too long, or the process knows that its lease is lost.
    pub fn refuses(&self, shard: usize) -> bool {
        let Shard { seen, commit, .. } = &self.shards[shard];
        let is_late = |commit: &InFlight| *seen >= commit.began + millis(COMMIT_TIMEOUT);
        self.knows_of_its_loss || commit.as_ref().is_some_and(is_late)
    }

    pub fn slot(&self, number: usize) -> u8 {
        self.deps.subject(&self.setup.numbers[number]).slot
    }

    pub fn owner(&self, number: usize) -> usize {
        usize::from(self.slot(number)) % self.setup.shards
    }

    pub fn record_key(&self, number: usize) -> RecordKey {
        let id = self.setup.numbers[number].id();
        RecordKey { slot: self.slot(number), kind: NumberState::KIND, id }
    }

    pub fn on_disk(&self, number: usize) -> Memory {
        self.disk.memory(&self.record_key(number))
    }

    pub fn durable_log(&self, key: AttemptLogKey) -> Option<AttemptLog> {
        self.disk.log(&RecordKey { slot: key.slot(), kind: AttemptLog::KIND, id: key.id() })
    }

    pub fn any_number(&mut self) -> usize {
        self.rng.random_range(0..self.setup.numbers.len())
    }

    /// The position of a new event in the order.
    pub fn event(&mut self) -> u64 {
        self.events += 1;
        self.events
    }

    /// Writes a line into the log about these numbers, or about all if there are none.
    pub fn says(&mut self, numbers: &[usize], words: impl FnOnce() -> String) {
        if let Some(log) = &mut self.log {
            let (event, since) = (self.events, self.clock.cast_signed() - BEGINNING.cast_signed());
            let text = format!("{event:>5} {since:>+9} ms  {}", words());
            log.push(LogLine { event, numbers: numbers.to_vec(), text });
        }
    }

    /// Counts an event that concerns all numbers, and writes it into the log.
    pub fn happens(&mut self, what: &'static str) {
        self.tally.count(what);
        self.says(&[], || what.to_owned());
    }

    pub fn notes(&mut self, fact: Fact) {
        self.says(&[fact.number], || {
            let Fact { number, shard, at, what, .. } = &fact;
            let at = at.cast_signed() - BEGINNING.cast_signed();
            format!("[shard {shard}] number {number}, at {at}: {what:?}")
        });
        self.facts.push(fact);
    }

    /// Notes a fact that is not of a shard's output.
    pub fn notes_now(&mut self, shard: usize, number: usize, what: What) {
        let (call, now) = (self.event(), self.shards[shard].seen);
        let refuses = self.refuses(shard);
        self.notes(Fact { call, number, shard, at: now, refuses, what });
    }
}
