//! A smaller world: one process, and services without a fixed lockout, whose verifications are addressed by id.
//!
//! The large world tests the contract, whose model is about numbers; here the model is about verifications and who
//! names them. The disk, its faults, crashes and the shard are the same.

mod belief;
mod client;
mod expect;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use onceward::config::AttemptLogSettings;
use onceward::delivery::PlanChange;
use onceward::domain::{Code, CodeLength, PhoneNumber, ServiceId, Timestamp};
use onceward::engine::{
    Ending, LockoutRule, NumberState, Policy, PossiblySent, SendOptions, SendResult, SendRules,
    VerificationName,
};
use onceward::shard::{Core, Record as _, RecordKey, Slots, Write};
use onceward::template::MessageStyle;
use onceward::verification::numbers::check;
use onceward::verification::numbers::command::{NumberCommand, NumberDeps, Request, Responder, Sending};
use onceward::verification::numbers::in_flight::{CommandLimit, CommandPermit};
use onceward::verification::numbers::{Check, NumberKey, Outgoing, Policies};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use self::belief::Belief;
use self::client::{ClientCommand, End, Open};
use crate::clients::{command_of, style_of};
use crate::disk::{Disk, Fault};
use crate::facts::{Checked, Salted};
use crate::gateways::delivered;
use crate::runs::number_from;
use crate::setup::millis;
use crate::shard::{COMMIT_TIMEOUT, Captured, Left, core, deps, is_usable};

/// Seeds of a normal run.
const SEEDS: u64 = 300;

#[test]
fn without_a_fixed_lockout_the_promises_hold_whatever_happens() {
    let only = number_from("SIM_SEED");
    let first = only.or_else(|| number_from("SIM_FIRST")).unwrap_or(0);
    let seeds = if only.is_some() { 1 } else { number_from("SIM_SEEDS").unwrap_or(SEEDS) };
    let mut tally = BTreeMap::<&str, u64>::new();
    for seed in first..first + seeds {
        let mut world = World::new(seed);
        if let Err(broken) = world.runs() {
            let log = world.log.join("\n");
            panic!(
                "seed {seed}: {broken}\n{log}\nSIM_SEED={seed} cargo test --test sim verifications repeats it"
            );
        }
        for (what, times) in world.tally {
            *tally.entry(what).or_default() += times;
        }
    }
    println!("{tally:#?}\n{seeds} seeds from {first}");
    for what in
        ["approved", "wrong by name", "wrong by number", "used up", "canceled", "message", "503 or dropped"]
    {
        assert!(seeds < SEEDS || tally.contains_key(what), "this never happened: {what}");
    }
}

const SECOND: u64 = 1_000;

/// More commands than may wait for a number.
const COMMANDS: usize = 64;

/// A batch between the core and the store.
struct InFlight {
    writes: Vec<Write>,
    /// The store has it and does nothing.
    hangs: bool,
}

pub struct World {
    rng: StdRng,
    pub clock: u64,
    pub policy: Policy,
    pub numbers: Vec<NumberKey>,
    faults: u32,
    crashes: u32,
    disk: Disk,
    core: Core,
    places: Arc<CommandLimit>,
    commit: Option<InFlight>,
    deps: Arc<NumberDeps>,
    captured: Arc<Captured>,
    pub open: Vec<Open>,
    /// The name of the next command.
    next: u64,
    pub sends: Vec<Sending>,
    pub beliefs: BTreeMap<u64, Belief>,
    /// Wrong codes by number that were answered 503, by number.
    pub unattributed: BTreeMap<usize, u8>,
    pub tally: BTreeMap<&'static str, u64>,
    pub log: Vec<String>,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let policy = Policy {
            max_attempts: [1, 3, 5][rng.random_range(0..3)],
            lockout: LockoutRule::Verification,
            // Ten digits, so that no two codes are equal by chance.
            code: SendOptions {
                life: Duration::from_secs(600),
                length: CodeLength::new(10).expect("a length"),
            },
            sends: SendRules {
                max: [None, Some(2), Some(5)][rng.random_range(0..3)],
                keeps_code: rng.random_range(0..3) > 0,
                cools_down: rng.random_range(0..4) == 0,
            },
        };
        let number = |n: u64| {
            NumberKey::new(ServiceId::DEFAULT, PhoneNumber::from_u64(14_155_550_000 + n).expect("a number"))
        };
        let numbers = (0..rng.random_range(1..=3)).map(number).collect();
        let captured = Arc::<Captured>::default();
        let budgets = (Duration::from_secs(10), Duration::from_secs(12));
        let attempt_log = AttemptLogSettings { keep_for: Duration::ZERO, keep_at_most: 0 };
        let deps = deps(Policies::new(policy), budgets, attempt_log, &captured);
        let core = core(COMMANDS, Vec::new(), &mut rng);
        let (faults, crashes) = ([0, 10, 30][rng.random_range(0..3)], [0, 10, 40][rng.random_range(0..3)]);
        Self {
            rng,
            clock: 1_700_000_000_000,
            policy,
            numbers,
            faults,
            crashes,
            disk: Disk::default(),
            core,
            deps,
            captured,
            places: CommandLimit::new(10_000),
            commit: None,
            open: Vec::new(),
            next: 0,
            sends: Vec::new(),
            beliefs: BTreeMap::new(),
            unattributed: BTreeMap::new(),
            tally: BTreeMap::new(),
            log: Vec::new(),
        }
    }

    pub fn runs(&mut self) -> Checked {
        for _ in 0..self.rng.random_range(200..800) {
            self.step()?;
        }
        self.ends()
    }

    fn step(&mut self) -> Checked {
        if self.rng.random_range(0..1_000) < self.crashes {
            return self.crash();
        }
        let number = self.rng.random_range(0..self.numbers.len());
        match self.rng.random_range(0..100) {
            0..14 => self.begins(number),
            14..24 => self.checks(number, None, None),
            24..36 => {
                let id = self.some(number);
                self.checks(number, id, None)
            }
            36..42 => {
                let (id, unnamed) = (self.some(number), self.rng.random_range(0..4) == 0);
                self.checks(number, id.filter(|_| !unnamed), id)
            }
            42..45 => match self.some(number) {
                Some(id) => self.cancels(number, id),
                None => Ok(()),
            },
            45..70 => self.commit_goes_on(),
            70..88 => self.send_ends(),
            88..90 => self.sweeps(),
            _ => {
                let longest = if self.rng.random_range(0..5) == 0 { 700 } else { 40 };
                self.clock += self.rng.random_range(0..longest * SECOND);
                Ok(())
            }
        }
    }

    /// One of the number's verifications, usually the last.
    fn some(&mut self, number: usize) -> Option<u64> {
        let of_number =
            |(id, belief): (&u64, &Belief)| (belief.number == number).then_some((belief.expires, *id));
        let mut ids: Vec<_> = self.beliefs.iter().filter_map(of_number).collect();
        ids.sort_unstable();
        let back = usize::from(self.rng.random_range(0..5) == 0);
        ids.into_iter().rev().nth(back).map(|(_, id)| id)
    }

    fn begins(&mut self, number: usize) -> Checked {
        let (responder, answer) = Responder::new(self.place()?);
        let style = style_of(self.next);
        let outgoing = Outgoing { style, has_limits: true, ..Outgoing::new(self.numbers[number]) };
        let request = Request::Send(Box::new(outgoing), responder);
        self.submits(number, ClientCommand::Begin, End::Begin(answer), request)
    }

    fn checks(&mut self, number: usize, named: Option<u64>, right: Option<u64>) -> Checked {
        // The code of a verification is unknown if its message never left.
        let right = right.filter(|id| !self.beliefs[id].code.is_empty());
        let code = Code::parse(right.map_or("0000000", |id| &self.beliefs[&id].code));
        let (responder, answer) = Responder::new(self.place()?);
        let name = named.map(VerificationName::of);
        let check = Check { named: name, ..Check::new(self.numbers[number], code) };
        let request = Request::Check(check, responder);
        self.submits(number, ClientCommand::Check { named, right }, End::Check(answer), request)
    }

    fn cancels(&mut self, number: usize, id: u64) -> Checked {
        let (responder, answer) = Responder::new(self.place()?);
        let named = Some(VerificationName::of(id));
        let (key, ending) = (self.numbers[number], Ending::Canceled);
        let end = check::End { key, ending, named, audited: None, was_erased: false };
        self.submits(number, ClientCommand::Cancel(id), End::Cancel(answer), Request::End(end, responder))
    }

    fn place(&self) -> Result<CommandPermit, String> {
        self.places.acquire(ServiceId::DEFAULT, false).map_err(|_| "the places ran out".to_owned())
    }

    fn submits(&mut self, number: usize, command: ClientCommand, answer: End, request: Request) -> Checked {
        let (at, name) = (self.clock, self.next);
        self.log.push(format!("{at} number {number} {command:x?}"));
        self.open.push(Open { number, command, at, name, left: false, in_vain: None, answer });
        self.next += 1;
        self.hands_over(self.numbers[number], request)
    }

    fn hands_over(&mut self, key: NumberKey, request: Request) -> Checked {
        let command = NumberCommand::new(key, request, Arc::clone(&self.deps));
        self.core.submit(command, Timestamp::from_millis(self.clock));
        self.comes_out()
    }

    fn sweeps(&mut self) -> Checked {
        self.core.sweep(4, Timestamp::from_millis(self.clock));
        self.comes_out()
    }

    fn commit_goes_on(&mut self) -> Checked {
        let Some(InFlight { writes, hangs }) = self.commit.take() else { return Ok(()) };
        let faulty = hangs || self.rng.random_range(0..100) < self.faults;
        let fault = faulty.then(|| match self.rng.random_range(0..5) {
            0 => Fault::Unavailable,
            1 => Fault::UnknownApplied,
            2 => Fault::UnknownNotApplied,
            3 => Fault::Torn { whole: self.rng.random() },
            _ => Fault::Hang,
        });
        // A hanging commit sometimes ends well.
        let fault = fault.filter(|fault| !(hangs && *fault == Fault::Hang));
        self.log.push(format!("{} commit of {} meets {fault:?}", self.clock, writes.len()));
        let Some(committed) = self.disk.commit(&writes, fault) else {
            self.commit = Some(InFlight { writes, hangs: true });
            // Sometimes for so long that the core gives it up.
            if self.rng.random_range(0..2) == 0 {
                self.clock += millis(COMMIT_TIMEOUT);
            }
            return self.sweeps();
        };
        self.core.committed(&committed, Timestamp::from_millis(self.clock));
        self.comes_out()
    }

    fn send_ends(&mut self) -> Checked {
        if self.sends.is_empty() {
            return Ok(());
        }
        let dispatch = self.sends.swap_remove(self.rng.random_range(0..self.sends.len()));
        let (key, permit) = (dispatch.outgoing.key, dispatch.permitted.permit);
        let (salt, now) = (permit.verification.salt, Timestamp::from_millis(self.clock));
        let record = self.record_key(key);
        let end = if is_usable(&self.core, &record, &self.policy, Salted(salt.0), now) {
            match self.rng.random_range(0..10) {
                0..6 => SendResult::Accepted { message_id: "SM1".to_owned(), held: None },
                6 => SendResult::Failed { may_have_been_sent: Some(PossiblySent { held: None }) },
                7 => SendResult::NumberRefused,
                _ => SendResult::Failed { may_have_been_sent: None },
            }
        } else {
            SendResult::NoLongerUsable
        };
        self.log.push(format!("{} message of {:x} ends {end:?}", self.clock, salt.id()));
        let surely_not_sent =
            !matches!(end, SendResult::Accepted { .. } | SendResult::Failed { may_have_been_sent: Some(_) });
        // Only the permit of the first message with a new code names the code that it replaced. If a repetition of that
        // message fails last, the previous code does not return, and the verification ends.
        if let Some(open) = self.open_of(&dispatch.outgoing.style) {
            open.in_vain = surely_not_sent.then(|| salt.id());
        }
        if surely_not_sent {
            let of_keeping = self.policy.sends.keeps_code;
            self.beliefs.entry(salt.id()).and_modify(|belief| {
                // It is none of the messages that the verification may have.
                belief.messages = belief.messages.saturating_sub(1);
                if permit.replaced.is_none() && !of_keeping {
                    belief.doubted();
                }
            });
        }
        self.hands_over(key, Request::Settle(dispatch, delivered(end, PlanChange::Keep)))
    }

    /// The command whose message has this style, if it waits for an answer.
    fn open_of(&mut self, style: &MessageStyle) -> Option<&mut Open> {
        let name = command_of(style);
        self.open.iter_mut().find(|open| open.name == name)
    }

    fn record_key(&self, key: NumberKey) -> RecordKey {
        RecordKey { slot: self.deps.subject(&key).slot, kind: NumberState::KIND, id: key.id() }
    }

    pub fn durable(&self, key: NumberKey) -> NumberState {
        self.disk.state(&self.record_key(key))
    }

    fn crash(&mut self) -> Checked {
        if let Some(InFlight { writes, .. }) = self.commit.take() {
            let fault = Fault::of_a_crash(&mut self.rng);
            self.log.push(format!("{} crash in a commit: {fault:?}", self.clock));
            self.disk.commit(&writes, fault);
        }
        self.log.push(format!("{} crash", self.clock));
        self.sends.clear();
        self.core = core(COMMANDS, self.disk.load(&Slots::all()), &mut self.rng);
        self.comes_out()?;
        if self.open.is_empty() { Ok(()) } else { Err("a command outlived its process".to_owned()) }
    }

    fn comes_out(&mut self) -> Checked {
        for left in self.captured.take() {
            let Left::Message(dispatch) = left else {
                return Err("a gateway without codes is asked".to_owned());
            };
            self.leaves(*dispatch)?;
        }
        if let Some(writes) = self.core.take_commit() {
            let before = self.commit.replace(InFlight { writes, hangs: false });
            assert!(before.is_none(), "a second commit while one is in flight");
        }
        let mut answered = Vec::new();
        for mut open in std::mem::take(&mut self.open) {
            match open.answer.poll() {
                Poll::Ready(reply) => answered.push((open, reply)),
                Poll::Pending => self.open.push(open),
            }
        }
        // Concurrent answers are in the order of their commands.
        for (open, reply) in answered {
            self.log.push(format!("{} number {} {:x?}: {reply:x?}", self.clock, open.number, open.command));
            self.check_reply(&open, &reply)?;
        }
        let now = self.clock;
        for (id, belief) in &self.beliefs {
            belief.is_on(*id, &self.durable(self.numbers[belief.number]), now)?;
        }
        Ok(())
    }

    /// After the faults: every command gets an answer, and every number can be verified.
    fn ends(&mut self) -> Checked {
        (self.faults, self.crashes) = (0, 0);
        for number in 0..self.numbers.len() {
            self.settles_down()?;
            self.clock += 700 * SECOND;
            let before = self.tally.get("approved").copied().unwrap_or_default();
            // The gateway may fail.
            for _ in 0..60 {
                self.begins(number)?;
                self.settles_down()?;
                self.clock += 301 * SECOND;
                let Some(id) = self.some_told(number) else { continue };
                self.checks(number, Some(id), Some(id))?;
                self.settles_down()?;
                break;
            }
            if self.tally.get("approved").copied().unwrap_or_default() <= before {
                return Err(format!("number {number} cannot be verified"));
            }
        }
        if self.open.is_empty() { Ok(()) } else { Err("a client got no answer".to_owned()) }
    }

    fn some_told(&self, number: usize) -> Option<u64> {
        let good =
            |belief: &Belief| belief.number == number && belief.is_good(self.policy.max_attempts, self.clock);
        self.beliefs.iter().find(|(_, belief)| good(belief)).map(|(id, _)| *id)
    }

    fn settles_down(&mut self) -> Checked {
        while self.commit.is_some() || !self.sends.is_empty() {
            self.commit_goes_on()?;
            self.send_ends()?;
        }
        Ok(())
    }
}
