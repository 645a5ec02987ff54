//! The contract with its fixed lockout, against an independent model: every answer, with sends that are settled at once,
//! also about codes that a gateway holds.

use std::time::Duration;

use proptest::prelude::*;

use super::world::{CHECK_BUDGET, GatewayResult, HOLDER, World, other_code};
use crate::domain::{Code, Timestamp};
use crate::engine::{
    BeginOutcome, CheckOutcome, CheckPermit, CheckResult, CheckStep, CheckStep::Decided, ResumeOutcome, Salt,
    SendPermit, SettleOutcome,
};

#[derive(Debug, Clone, Copy)]
enum Step {
    Send(GatewayResult),
    Resume { pick: usize, result: GatewayResult },
    CheckOurs { pick: usize },
    CheckOther,
    CheckNoCode,
    Hear { pick: usize, result: CheckResult },
    Wait(Duration),
    Crash,
}

pub fn gateway_result() -> impl Strategy<Value = GatewayResult> {
    prop_oneof![
        3 => Just(GatewayResult::Held(HOLDER)),
        2 => Just(GatewayResult::Accepted),
        1 => Just(GatewayResult::Postponed),
        1 => Just(GatewayResult::Failed),
        1 => Just(GatewayResult::Unknown),
        1 => Just(GatewayResult::UnknownHeld(HOLDER)),
    ]
}

pub fn check_result() -> impl Strategy<Value = CheckResult> {
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
        6 => gateway_result().prop_map(Step::Send),
        2 => (any::<usize>(), gateway_result()).prop_map(|(pick, result)| Step::Resume { pick, result }),
        2 => any::<usize>().prop_map(|pick| Step::CheckOurs { pick }),
        6 => Just(Step::CheckOther),
        1 => Just(Step::CheckNoCode),
        8 => (any::<usize>(), check_result()).prop_map(|(pick, result)| Step::Hear { pick, result }),
        3 => (1_u64..15_000).prop_map(|ms| Step::Wait(Duration::from_millis(ms))),
        1 => (1_u64..40).prop_map(|m| Step::Wait(Duration::from_secs(60 * m))),
        1 => Just(Step::Crash),
    ]
}

/// The messages with one salt, by the contract.
#[derive(Clone)]
struct Outstanding {
    salt: Salt,
    ours: String,
    ours_is_out: bool,
    held: bool,
    postponed: bool,
    ends: Timestamp,
}

/// The memory of a number, in plain facts.
#[derive(Default)]
struct Model {
    counted: u8,
    remembered_until: Option<Timestamp>,
    locked_until: Option<Timestamp>,
    outstanding: Option<Outstanding>,
    asking_until: Option<Timestamp>,
}

/// A submitted code.
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
                self.lock(asked_until.map(|end| end.plus(world.policy.lockout_time())));
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

    fn check(&mut self, submitted: &Submitted<'_>, world: &World) -> CheckStep {
        self.at(world);
        let (limit, lockout, now) = (world.policy.max_attempts, world.policy.lockout_time(), world.now);
        if let Some(until) = self.locked_until {
            return Decided(CheckOutcome::Locked { until });
        }
        if self.remembered_until.is_none() {
            return Decided(CheckOutcome::Wrong { attempts_left: limit, live: false });
        }
        if let Some(until) = self.asking_until {
            return CheckStep::Busy { until };
        }
        let live = self.outstanding.clone().filter(|code| now < code.ends);
        if let (Some(code), Submitted::Ours(text)) = (&live, submitted)
            && code.ours == *text
            && !code.held
        {
            *self = Self::default();
            return Decided(CheckOutcome::Approved);
        }
        self.counted += 1;
        if let Some(code) = live.as_ref().filter(|code| code.held && !matches!(submitted, Submitted::NoCode))
        {
            let until = now.plus(CHECK_BUDGET);
            self.asking_until = Some(until);
            self.remember(until.plus(lockout));
            return CheckStep::AskGateway(CheckPermit { salt: code.salt, held: HOLDER, until });
        }
        Decided(self.wrong(live.is_some(), world))
    }

    /// What a wrong code that was counted leads to.
    fn wrong(&mut self, live: bool, world: &World) -> CheckOutcome {
        let limit = world.policy.max_attempts;
        if self.counted >= limit {
            let until = world.now.plus(world.policy.lockout_time());
            self.lock(Some(until));
            return CheckOutcome::LockedNow { until, live };
        }
        CheckOutcome::Wrong { attempts_left: limit - self.counted, live }
    }

    fn hear(&mut self, permit: &CheckPermit, result: CheckResult, world: &World) -> CheckOutcome {
        self.at(world);
        if let Some(until) = self.locked_until {
            return CheckOutcome::Locked { until };
        }
        if self.asking_until != Some(permit.until) {
            let attempts_left = world.policy.max_attempts - self.counted;
            return match result {
                CheckResult::Wrong | CheckResult::NotLive => {
                    CheckOutcome::Wrong { attempts_left, live: false }
                }
                _ => CheckOutcome::GatewayFailed,
            };
        }
        self.asking_until = None;
        match result {
            CheckResult::Approved => {
                *self = Self::default();
                return CheckOutcome::Approved;
            }
            CheckResult::NotAsked => {
                self.counted -= 1;
                return CheckOutcome::GatewayFailed;
            }
            CheckResult::NotLive | CheckResult::Wrong | CheckResult::Unknown => {}
        }
        let ours_is_out = self.outstanding.as_ref().is_some_and(|code| code.ours_is_out);
        match self.wrong(result != CheckResult::NotLive || ours_is_out, world) {
            CheckOutcome::Wrong { .. } if result == CheckResult::Unknown => CheckOutcome::GatewayFailed,
            outcome => outcome,
        }
    }

    /// A permitted send that is settled at once.
    fn sent(&mut self, permit: &SendPermit, ours: String, result: GatewayResult, world: &World) {
        let asked_before = self.remembered_until.is_some();
        if result != GatewayResult::Failed {
            self.outstanding = Some(Outstanding {
                salt: permit.verification.salt,
                ours,
                ours_is_out: matches!(result, GatewayResult::Accepted | GatewayResult::Unknown),
                held: matches!(result, GatewayResult::Held(_) | GatewayResult::UnknownHeld(_)),
                postponed: result == GatewayResult::Postponed,
                ends: permit.verification.expires,
            });
        }
        if result != GatewayResult::Failed || asked_before {
            self.remember(permit.verification.expires.plus(world.policy.lockout_time()));
        }
    }

    fn resumed(&mut self, result: GatewayResult) {
        let Some(code) = &mut self.outstanding else { return };
        code.postponed = result == GatewayResult::Postponed;
        // The last accepted message decides which code is right; one that may have been sent only if there is none.
        let is_first = !code.ours_is_out && !code.held;
        match result {
            GatewayResult::Accepted => (code.ours_is_out, code.held) = (true, false),
            GatewayResult::Held(_) => (code.ours_is_out, code.held) = (false, true),
            GatewayResult::Unknown => code.ours_is_out |= is_first,
            GatewayResult::UnknownHeld(_) => code.held |= is_first,
            GatewayResult::Postponed | GatewayResult::Failed => {}
        }
        if !code.postponed && !code.ours_is_out && !code.held {
            self.outstanding = None;
            if self.counted == 0 {
                *self = Self::default();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2 * ProptestConfig::default().cases, ..ProptestConfig::default() })]

    /// Sends are settled at once here; a gateway's answers about codes come late, in any order, or never.
    #[test]
    fn every_gateway_check_matches_the_contract(steps in proptest::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        let mut model = Model::default();
        let mut sent: Vec<SendPermit> = Vec::new();
        let mut asked: Vec<CheckPermit> = Vec::new();
        for step in steps {
            match step {
                Step::Wait(by) => world.advance(by),
                Step::Crash => asked.clear(),
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
                    if let CheckStep::AskGateway(permit) = outcome {
                        asked.push(permit);
                    }
                    prop_assert_eq!(outcome, expected);
                }
                Step::Hear { pick, result } => {
                    if asked.is_empty() { continue; }
                    let permit = asked.swap_remove(pick % asked.len());
                    let expected = model.hear(&permit, result, &world);
                    prop_assert_eq!(world.check_reported(&permit, result), expected);
                }
                Step::Send(result) => {
                    model.at(&world);
                    match world.ask() {
                        BeginOutcome::Permitted(permit) => {
                            prop_assert!(model.locked_until.is_none() && model.asking_until.is_none());
                            let ours = world.code_of(&permit).expose().to_owned();
                            model.sent(&permit, ours, result, &world);
                            let attempts_left = world.policy.max_attempts - model.counted;
                            prop_assert_eq!(world.settles(&permit, result), SettleOutcome::Open { attempts_left });
                            sent.push(permit);
                        }
                        BeginOutcome::Locked { until } => prop_assert_eq!(Some(until), model.locked_until),
                        BeginOutcome::Busy { until } => prop_assert_eq!(Some(until), model.asking_until),
                        other @ BeginOutcome::Limited(_) => prop_assert!(false, "{other:?} by the contract's routes"),
                    }
                }
                Step::Resume { pick, result } => {
                    if sent.is_empty() { continue; }
                    model.at(&world);
                    let salt = sent[pick % sent.len()].verification.salt;
                    let usable = model.outstanding.as_ref().is_some_and(|c| c.salt == salt && world.now < c.ends);
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
}
