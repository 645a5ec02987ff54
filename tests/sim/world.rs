//! The world around the shards: clients, gateways, disk and clock, all from one seed.

use std::collections::BTreeMap;

use onceward::numbers::command::{Answer as Awaited, Dispatch, FollowedUp};
use onceward::numbers::{CheckAnswer, SendAnswer, Told};
use onceward::store::Write;
use rand::RngExt;
use rand::rngs::StdRng;

use crate::disk::Disk;
use crate::facts::{CommandId, Fact, Salted, Stage, What, Wish};
use crate::node::Node;
use crate::setup::{Setup, StoreKind};
use crate::tally::Tally;
use crate::wakes::Wakes;

pub struct World {
    pub setup: Setup,
    pub rng: StdRng,
    pub clock: u64,
    /// The latest time from which the clock was set back.
    pub latest: u64,
    pub disk: Disk,
    pub nodes: Vec<Node>,
    pub facts: Vec<Fact>,
    pub tally: Tally,
    /// Everything that happened, in words; kept when somebody reads it.
    pub log: Option<Vec<Line>>,
    /// The place of the next event in their order.
    pub events: u64,
    pub wakes: Wakes,
    pub commands: BTreeMap<CommandId, Open>,
    pub next_command: CommandId,
    /// Messages at gateways.
    pub sends: Vec<AtGateway>,
    /// Codes that a gateway is being asked about.
    pub asks: Vec<Asking>,
    /// What may be sent once more.
    pub plans: Vec<Plan>,
    /// Codes that somebody has, by number, the latest last.
    pub inbox: BTreeMap<usize, Vec<String>>,
    /// The verifications that messages left for, by number, the latest last.
    pub salts: BTreeMap<usize, Vec<Salted>>,
    /// Codes that gateways hold, by verification.
    pub held: BTreeMap<Salted, HeldCode>,
    /// Writes that were given up and are still under way.
    pub late: Vec<Vec<Write>>,
}

/// A command without an answer.
pub struct Open {
    pub number: usize,
    pub node: usize,
    pub wish: Wish,
    pub stage: Stage,
    /// When it last came to the shard, as a command or as a report about it.
    pub since: u64,
    /// Whether a gateway has it: nothing about it is being decided.
    pub at_gateway: bool,
    pub answer: AnswerEnd,
}

pub enum AnswerEnd {
    Send(Awaited<Told<SendAnswer>>),
    Check(Awaited<Told<CheckAnswer>>),
    Resume(Awaited<FollowedUp>),
}

pub struct AtGateway {
    pub node: usize,
    pub life: u32,
    pub command: CommandId,
    pub dispatch: Dispatch,
}

pub struct Asking {
    pub node: usize,
    pub life: u32,
    pub command: CommandId,
    pub ask: onceward::numbers::command::Ask,
}

#[derive(Debug, Clone)]
pub struct Plan {
    pub node: usize,
    pub number: usize,
    pub salt: Salted,
    pub expires: u64,
}

#[derive(Debug, Clone)]
pub struct HeldCode {
    pub code: String,
    pub used: bool,
}

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub event: u64,
    /// Whom it is about; everybody, when this is empty.
    pub numbers: Vec<usize>,
    pub text: String,
}

/// The start of every world's clock.
const BEGINNING: u64 = 1_700_000_000_000;

impl World {
    pub fn new(seed: u64, steps: Option<usize>, logged: bool) -> Self {
        let (mut setup, mut rng) = Setup::of(seed);
        setup.steps = steps.unwrap_or(setup.steps);
        let disk = Disk::new(setup.store);
        let nodes = (0..setup.nodes).map(|_| Node::new(&setup, disk.load(), &mut rng)).collect();
        let mut tally = Tally::default();
        tally.count(match (setup.nodes, setup.store) {
            (2.., _) => "world of two nodes",
            (_, StoreKind::Blind) => "world blind",
            (_, StoreKind::Comparing) => "world comparing",
        });
        let log = logged.then(Vec::new);
        Self {
            setup,
            rng,
            clock: BEGINNING,
            latest: BEGINNING,
            disk,
            nodes,
            facts: Vec::new(),
            tally,
            log,
            events: 0,
            wakes: Wakes::default(),
            commands: BTreeMap::new(),
            next_command: 0,
            sends: Vec::new(),
            asks: Vec::new(),
            plans: Vec::new(),
            inbox: BTreeMap::new(),
            salts: BTreeMap::new(),
            held: BTreeMap::new(),
            late: Vec::new(),
        }
    }

    /// Runs the seed to its end. An error says what broke at once; the facts are to be checked besides.
    pub fn runs(&mut self) -> Result<(), String> {
        for _ in 0..self.setup.steps {
            self.step()?;
        }
        self.ends()
    }

    fn step(&mut self) -> Result<(), String> {
        let permille = self.rng.random_range(0..1_000_u32);
        let crashes = self.setup.crashes;
        if permille < crashes {
            let node = self.any_node();
            return if self.chance(60) { self.crashes(node) } else { self.panics(node) };
        }
        if permille < crashes + self.setup.clock_backwards {
            self.clock_goes_back();
            return Ok(());
        }
        match self.rng.random_range(0..100) {
            0..22 => self.client_asks(),
            22..60 => self.commit_goes_on(),
            60..75 => self.send_ends(),
            75..86 => self.gateway_says(),
            86..90 => self.planned_send(),
            90..92 => self.sweeps(),
            92..94 => self.somebody_asks_whether_it_is_usable(),
            94..95 => {
                self.late_write_arrives();
                Ok(())
            }
            _ => {
                self.clock_goes_on();
                Ok(())
            }
        }
    }

    pub fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    pub fn any_node(&mut self) -> usize {
        self.rng.random_range(0..self.nodes.len())
    }

    pub fn any_number(&mut self) -> usize {
        self.rng.random_range(0..self.setup.numbers.len())
    }

    /// The place of what happens now in the order of events.
    pub fn event(&mut self) -> u64 {
        self.events += 1;
        self.events
    }

    /// Writes a line into the log, about these numbers, or about all when there are none.
    pub fn says(&mut self, numbers: &[usize], words: impl FnOnce() -> String) {
        if let Some(log) = &mut self.log {
            let (event, since) = (self.events, self.clock.cast_signed() - BEGINNING.cast_signed());
            let text = format!("{event:>5} {since:>+9} ms  {}", words());
            log.push(Line { event, numbers: numbers.to_vec(), text });
        }
    }

    pub fn notes(&mut self, fact: Fact) {
        self.says(&[fact.number], || {
            let Fact { effect, number, node, at, what, .. } = &fact;
            let at = at.map(|at| at.cast_signed() - BEGINNING.cast_signed());
            format!("[node {node}] number {number}: {what:?}, effect {effect}, decided at {at:?}")
        });
        self.facts.push(fact);
    }

    /// A fact that concerns nobody's decision.
    pub fn notes_now(&mut self, node: usize, number: usize, what: What) {
        let event = self.event();
        let now = self.nodes[node].seen;
        self.notes(Fact { effect: event, call: event, number, node, at: [now; 2], committed: true, what });
    }
}
