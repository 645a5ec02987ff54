//! Codes that a gateway holds, against an independent model: exact answers while sends are settled
//! at once, and the promises while everything happens in any order, with crashes and failed commits.

use std::collections::HashSet;
use std::time::Duration;

use proptest::prelude::*;

use super::world::{CHECK_BUDGET, HOLDER, World};
use crate::domain::{Code, Timestamp};
use crate::engine::{
    CheckOutcome, CheckPermit, CheckResult, CheckSettled, GatewayResult, NumberState, ResumeOutcome,
    SendOutcome, SendPermit, stricter,
};

#[derive(Debug, Clone)]
enum Step {
    Send(GatewayResult),
    Resume { pick: usize, result: GatewayResult },
    Settle { pick: usize, result: GatewayResult },
    CheckOurs { pick: usize },
    CheckOther,
    CheckNoCode,
    Hear { pick: usize, result: CheckResult },
    Wait(Duration),
    Crash,
    NextCommitFails,
}

fn gateway_result() -> impl Strategy<Value = GatewayResult> {
    prop_oneof![
        3 => Just(GatewayResult::Held(HOLDER)),
        2 => Just(GatewayResult::Accepted),
        1 => Just(GatewayResult::Postponed),
        1 => Just(GatewayResult::Failed),
        1 => Just(GatewayResult::Unknown),
    ]
}

fn check_result() -> impl Strategy<Value = CheckResult> {
    prop_oneof![
        2 => Just(CheckResult::Approved),
        4 => Just(CheckResult::Wrong),
        1 => Just(CheckResult::NotLive),
        1 => Just(CheckResult::NotAsked),
        1 => Just(CheckResult::Unknown),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => gateway_result().prop_map(Step::Send),
        2 => (any::<usize>(), gateway_result()).prop_map(|(pick, result)| Step::Resume { pick, result }),
        3 => (any::<usize>(), gateway_result()).prop_map(|(pick, result)| Step::Settle { pick, result }),
        2 => any::<usize>().prop_map(|pick| Step::CheckOurs { pick }),
        6 => Just(Step::CheckOther),
        1 => Just(Step::CheckNoCode),
        8 => (any::<usize>(), check_result()).prop_map(|(pick, result)| Step::Hear { pick, result }),
        3 => (1_u64..15_000).prop_map(|ms| Step::Wait(Duration::from_millis(ms))),
        1 => (1_u64..40).prop_map(|m| Step::Wait(Duration::from_secs(60 * m))),
        1 => Just(Step::Crash),
        1 => Just(Step::NextCommitFails),
    ]
}

/// A code that is not ours: it has another length.
fn other_code() -> Code {
    Code::parse("0000000000").expect("a code")
}

/// What was sent under one salt, as the contract sees it.
#[derive(Clone)]
struct Outstanding {
    salt: [u8; 16],
    ours: String,
    ours_is_out: bool,
    held: bool,
    postponed: bool,
    ends: Timestamp,
}

/// What a number remembers, in plain facts.
#[derive(Default)]
struct Model {
    counted: u8,
    remembered_until: Option<Timestamp>,
    locked_until: Option<Timestamp>,
    outstanding: Option<Outstanding>,
    asking_until: Option<Timestamp>,
}

/// What is submitted.
enum Submitted<'a> {
    NoCode,
    Other,
    Ours(&'a str),
}

impl Model {
    fn at(&mut self, world: &World) {
        let over = |end: Option<Timestamp>| end.is_some_and(|end| world.now >= end);
        if over(self.asking_until) {
            let asked_until = self.asking_until.take();
            if self.counted >= world.policy.max_attempts && !over(self.remembered_until) {
                self.lock(asked_until.map(|end| end.plus(world.policy.lockout)));
            }
        }
        if over(self.locked_until) || (self.locked_until.is_none() && over(self.remembered_until)) {
            *self = Self::default();
        }
    }

    fn lock(&mut self, until: Option<Timestamp>) {
        *self = Self { locked_until: until, ..Self::default() };
    }

    fn remember(&mut self, until: Timestamp) {
        self.remembered_until = self.remembered_until.max(Some(until));
    }

    fn check(&mut self, submitted: &Submitted<'_>, world: &World) -> Expected {
        self.at(world);
        let (limit, lockout, now) = (world.policy.max_attempts, world.policy.lockout, world.now);
        if self.locked_until.is_some() {
            return Expected::Locked;
        }
        if self.remembered_until.is_none() {
            return Expected::Wrong { attempts_left: limit, live: false };
        }
        if self.asking_until.is_some() {
            return Expected::Busy;
        }
        let live = self.outstanding.clone().filter(|code| now < code.ends);
        if let (Some(code), Submitted::Ours(text)) = (&live, submitted) {
            if code.ours == *text && (code.ours_is_out || !code.held) {
                *self = Self::default();
                return Expected::Approved;
            }
        }
        self.counted += 1;
        if live.as_ref().is_some_and(|code| code.held) && !matches!(submitted, Submitted::NoCode) {
            let until = now.plus(CHECK_BUDGET);
            self.asking_until = Some(until);
            self.remember(until.plus(lockout));
            return Expected::Ask;
        }
        if self.counted >= limit {
            self.lock(Some(now.plus(lockout)));
            return Expected::LockedNow { live: live.is_some() };
        }
        Expected::Wrong { attempts_left: limit - self.counted, live: live.is_some() }
    }

    fn hear(&mut self, permit: &CheckPermit, result: CheckResult, world: &World) -> Heard {
        self.at(world);
        let limit = world.policy.max_attempts;
        if self.locked_until.is_some() {
            return Heard::Locked;
        }
        if self.asking_until != Some(permit.until) {
            return match result {
                CheckResult::Wrong | CheckResult::NotLive => {
                    Heard::Wrong { attempts_left: limit - self.counted, live: false }
                }
                _ => Heard::Failed,
            };
        }
        self.asking_until = None;
        match result {
            CheckResult::Approved => {
                *self = Self::default();
                return Heard::Approved;
            }
            CheckResult::NotAsked => {
                self.counted -= 1;
                return Heard::Failed;
            }
            CheckResult::NotLive => {
                self.outstanding = self
                    .outstanding
                    .take()
                    .filter(|c| c.ours_is_out || c.postponed)
                    .map(|code| Outstanding { held: false, ..code });
            }
            CheckResult::Wrong | CheckResult::Unknown => {}
        }
        let live = self.outstanding.is_some();
        if self.counted >= limit {
            self.lock(Some(world.now.plus(world.policy.lockout)));
            return Heard::LockedNow { live };
        }
        if result == CheckResult::Unknown {
            return Heard::Failed;
        }
        Heard::Wrong { attempts_left: limit - self.counted, live }
    }

    /// A send that was permitted and is settled at once.
    fn sent(&mut self, permit: &SendPermit, ours: String, result: GatewayResult, world: &World) {
        let asked_before = self.remembered_until.is_some();
        if result != GatewayResult::Failed {
            self.outstanding = Some(Outstanding {
                salt: permit.salt.0,
                ours,
                ours_is_out: matches!(result, GatewayResult::Accepted | GatewayResult::Unknown),
                held: matches!(result, GatewayResult::Held(_)),
                postponed: result == GatewayResult::Postponed,
                ends: permit.expires,
            });
        }
        if result != GatewayResult::Failed || asked_before {
            self.remember(permit.expires.plus(world.policy.lockout));
        }
    }

    fn resumed(&mut self, result: GatewayResult) {
        let Some(code) = &mut self.outstanding else { return };
        code.postponed = result == GatewayResult::Postponed;
        code.ours_is_out |= matches!(result, GatewayResult::Accepted | GatewayResult::Unknown);
        code.held |= matches!(result, GatewayResult::Held(_));
        if !code.postponed && !code.ours_is_out && !code.held {
            self.outstanding = None;
            if self.counted == 0 {
                *self = Self::default();
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Expected {
    Approved,
    Wrong { attempts_left: u8, live: bool },
    LockedNow { live: bool },
    Locked,
    Ask,
    Busy,
}

impl From<CheckOutcome> for Expected {
    fn from(outcome: CheckOutcome) -> Self {
        match outcome {
            CheckOutcome::Approved => Self::Approved,
            CheckOutcome::Wrong { attempts_left, live } => Self::Wrong { attempts_left, live },
            CheckOutcome::LockedNow { live, .. } => Self::LockedNow { live },
            CheckOutcome::Locked { .. } => Self::Locked,
            CheckOutcome::Ask(_) => Self::Ask,
            CheckOutcome::Busy { .. } => Self::Busy,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Approved,
    Wrong { attempts_left: u8, live: bool },
    LockedNow { live: bool },
    Locked,
    Failed,
}

impl From<CheckSettled> for Heard {
    fn from(outcome: CheckSettled) -> Self {
        match outcome {
            CheckSettled::Approved => Self::Approved,
            CheckSettled::Wrong { attempts_left, live } => Self::Wrong { attempts_left, live },
            CheckSettled::LockedNow { live, .. } => Self::LockedNow { live },
            CheckSettled::Locked { .. } => Self::Locked,
            CheckSettled::Failed => Self::Failed,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    /// Sends are settled at once here; what a gateway says of a code comes late, in any order, or never.
    #[test]
    fn every_answer_is_the_one_that_the_contract_says(steps in proptest::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        let mut model = Model::default();
        let mut sent: Vec<SendPermit> = Vec::new();
        let mut asked: Vec<CheckPermit> = Vec::new();
        for step in steps {
            match step {
                Step::Wait(by) => world.advance(by),
                Step::Crash => asked.clear(),
                Step::NextCommitFails => {}
                Step::CheckOther | Step::CheckNoCode | Step::CheckOurs { .. } => {
                    let ours = match step {
                        Step::CheckOurs { pick } if !sent.is_empty() => Some(world.code_of(&sent[pick % sent.len()])),
                        _ => None,
                    };
                    let submitted = match (&ours, &step) {
                        (Some(code), _) => Submitted::Ours(code.expose()),
                        (None, Step::CheckNoCode) => Submitted::NoCode,
                        (None, _) => Submitted::Other,
                    };
                    let expected = model.check(&submitted, &world);
                    let outcome = match submitted {
                        Submitted::NoCode => world.checks_wrong(),
                        Submitted::Other => world.checks(&other_code()),
                        Submitted::Ours(code) => world.checks(&Code::parse(code).expect("a code")),
                    };
                    if let CheckOutcome::Ask(permit) = outcome {
                        asked.push(permit);
                    }
                    prop_assert_eq!(Expected::from(outcome), expected);
                }
                Step::Hear { pick, result } => {
                    if asked.is_empty() { continue; }
                    let permit = asked.swap_remove(pick % asked.len());
                    let expected = model.hear(&permit, result, &world);
                    prop_assert_eq!(Heard::from(world.hears(&permit, result)), expected);
                }
                Step::Send(result) | Step::Settle { result, .. } => {
                    model.at(&world);
                    match world.ask() {
                        SendOutcome::Permitted(permit) => {
                            prop_assert!(model.locked_until.is_none() && model.asking_until.is_none());
                            let ours = world.code_of(&permit).expose().to_owned();
                            model.sent(&permit, ours, result, &world);
                            world.settles(&permit, result);
                            sent.push(permit);
                        }
                        SendOutcome::Locked { until } => prop_assert_eq!(Some(until), model.locked_until),
                        SendOutcome::Busy { until } => prop_assert_eq!(Some(until), model.asking_until),
                    }
                }
                Step::Resume { pick, result } => {
                    if sent.is_empty() { continue; }
                    model.at(&world);
                    let salt = sent[pick % sent.len()].salt;
                    let usable = model.outstanding.as_ref().is_some_and(|c| c.salt == salt.0 && world.now < c.ends);
                    match world.resumes(salt) {
                        ResumeOutcome::Permitted(permit) => {
                            prop_assert!(usable && model.asking_until.is_none());
                            model.resumed(result);
                            world.settles(&permit, result);
                        }
                        ResumeOutcome::NotUsable => prop_assert!(!usable),
                        ResumeOutcome::Busy { until } => {
                            prop_assert!(usable);
                            prop_assert_eq!(Some(until), model.asking_until);
                        }
                    }
                }
            }
        }
    }

    /// Everything in any order; a crash goes back to what was durable, and a commit may fail.
    #[test]
    fn whatever_happens_in_whatever_order_the_promises_hold(
        steps in proptest::collection::vec((step(), any::<bool>()), 1..100)
    ) {
        let mut run = Run::new();
        for (step, lazy) in steps {
            run.take(step, lazy)?;
            run.holds()?;
        }
    }
}

/// A number, what is durable of it, and what an outsider who sees the gateways too has seen.
struct Run {
    world: World,
    disk: NumberState,
    commit_fails: bool,
    /// Every send that was permitted, and whether it has been settled.
    sent: Vec<(SendPermit, bool)>,
    asked: Vec<CheckPermit>,
    /// Codes that somebody compared, us or a gateway, since the number was last fresh.
    evaluated: u8,
    approved: HashSet<[u8; 16]>,
    /// Salts whose own code may have left through a gateway that carries it.
    carried: HashSet<[u8; 16]>,
    /// Salts for which a gateway holds a code.
    held: HashSet<[u8; 16]>,
}

impl Run {
    fn new() -> Self {
        Self {
            world: World::new(),
            disk: NumberState::Fresh,
            commit_fails: false,
            sent: Vec::new(),
            asked: Vec::new(),
            evaluated: 0,
            approved: HashSet::new(),
            carried: HashSet::new(),
            held: HashSet::new(),
        }
    }

    /// Whether the step from `before` became durable; on failure the strict side is kept.
    fn commits(&mut self, before: NumberState) -> bool {
        if std::mem::take(&mut self.commit_fails) {
            self.world.state = stricter(before.at(self.world.now), self.world.state, self.world.now);
            return false;
        }
        self.disk = self.world.state;
        true
    }

    fn take(&mut self, step: Step, lazy: bool) -> Result<(), TestCaseError> {
        let before = self.world.state;
        match step {
            Step::Wait(by) => self.world.advance(by),
            Step::NextCommitFails => self.commit_fails = true,
            Step::Crash => {
                self.world.state = self.disk;
                self.asked.clear();
                // What was on its way may arrive; nobody hears of it.
                self.sent.clear();
            }
            Step::Send(_) => {
                if let SendOutcome::Permitted(permit) = self.world.ask()
                    && self.commits(before)
                {
                    self.sent.push((permit, false));
                    self.carried.insert(permit.salt.0);
                }
            }
            Step::Resume { pick, .. } => {
                let Some((permit, _)) = self.picked(pick) else { return Ok(()) };
                if let ResumeOutcome::Permitted(again) = self.world.resumes(permit.salt) {
                    let is_held = self.world.state.verification().is_some_and(|v| v.held.is_some());
                    if (lazy && !is_held) || self.commits(before) {
                        self.sent.push((again, false));
                        self.carried.insert(again.salt.0);
                    }
                }
            }
            Step::Settle { pick, result } => self.settle(pick, result, lazy, before),
            Step::CheckNoCode => {
                let outcome = self.world.checks_wrong();
                self.checked(outcome, None, before)?;
            }
            Step::CheckOther => {
                let outcome = self.world.checks(&other_code());
                self.checked(outcome, None, before)?;
            }
            Step::CheckOurs { pick } => {
                let Some((permit, _)) = self.picked(pick) else { return Ok(()) };
                let code = self.world.code_of(&permit);
                let outcome = self.world.checks(&code);
                self.checked(outcome, Some(permit), before)?;
            }
            Step::Hear { pick, result } => self.hear(pick, result, lazy, before)?,
        }
        Ok(())
    }

    fn picked(&self, pick: usize) -> Option<(SendPermit, bool)> {
        (!self.sent.is_empty()).then(|| self.sent[pick % self.sent.len()])
    }

    fn settle(&mut self, pick: usize, result: GatewayResult, lazy: bool, before: NumberState) {
        let open: Vec<usize> = (0..self.sent.len()).filter(|i| !self.sent[*i].1).collect();
        if open.is_empty() {
            return;
        }
        let sent = &mut self.sent[open[pick % open.len()]];
        sent.1 = true;
        let permit = sent.0;
        self.world.settles(&permit, result);
        if let GatewayResult::Held(_) = result {
            self.held.insert(permit.salt.0);
        }
        let required = matches!(result, GatewayResult::Held(_) | GatewayResult::Failed);
        if required || !lazy {
            self.commits(before);
        }
    }

    fn checked(
        &mut self,
        outcome: CheckOutcome,
        ours: Option<SendPermit>,
        before: NumberState,
    ) -> Result<(), TestCaseError> {
        let now = self.world.now;
        if let CheckOutcome::Ask(_) = outcome {
            prop_assert!(self.asked.iter().all(|permit| permit.until <= now), "two are asked at once");
        }
        if matches!(outcome, CheckOutcome::Busy { .. }) {
            return Ok(());
        }
        let told = self.commits(before);
        match outcome {
            CheckOutcome::Approved => {
                let salt = ours.map(|permit| permit.salt.0).unwrap_or_default();
                let may_be_out = self.carried.contains(&salt) || !self.held.contains(&salt);
                prop_assert!(may_be_out, "a code that nobody has was approved");
                if told {
                    prop_assert!(self.approved.insert(salt), "approved twice");
                    self.evaluated = 0;
                }
            }
            CheckOutcome::Wrong { live: true, .. } | CheckOutcome::LockedNow { live: true, .. } if told => {
                self.evaluated += 1;
            }
            CheckOutcome::Ask(permit) if told => {
                self.evaluated += 1;
                self.asked.push(permit);
            }
            _ => {}
        }
        Ok(())
    }

    fn hear(
        &mut self,
        pick: usize,
        result: CheckResult,
        lazy: bool,
        before: NumberState,
    ) -> Result<(), TestCaseError> {
        if self.asked.is_empty() {
            return Ok(());
        }
        let permit = self.asked.swap_remove(pick % self.asked.len());
        let was_open =
            before.at(self.world.now).verification().is_some_and(|v| v.checking_until == permit.until);
        let outcome = self.world.hears(&permit, result);
        let may_be_lazy = match outcome {
            CheckSettled::Wrong { .. } => true,
            CheckSettled::Failed => result == CheckResult::Unknown,
            _ => false,
        };
        let told = (lazy && may_be_lazy) || self.commits(before);
        if result == CheckResult::NotAsked && was_open && self.evaluated > 0 {
            self.evaluated -= 1;
        }
        if outcome == CheckSettled::Approved && told {
            prop_assert!(permit.until > self.world.now, "approved late");
            prop_assert!(self.approved.insert(permit.salt.0), "approved twice");
            self.evaluated = 0;
        }
        Ok(())
    }

    fn holds(&mut self) -> Result<(), TestCaseError> {
        let (now, limit) = (self.world.now, self.world.policy.max_attempts);
        for state in [self.world.state, self.disk] {
            match state.present(&self.world.policy, now) {
                NumberState::Open { failures, .. } => {
                    prop_assert!(
                        failures >= self.evaluated,
                        "{} evaluated, {failures} counted",
                        self.evaluated
                    );
                }
                NumberState::Locked { .. } => {}
                NumberState::Fresh => {
                    if self.world.state.present(&self.world.policy, now) == NumberState::Fresh {
                        self.evaluated = 0;
                    }
                }
            }
        }
        prop_assert!(self.evaluated <= limit, "{} codes were evaluated", self.evaluated);
        Ok(())
    }
}
