//! Codes that a gateway holds, against an independent model: every answer, with sends that are settled at once.

use proptest::prelude::*;

use super::held_steps::{Step, other_code, step};
use super::world::GatewayResult;
use super::world::{CHECK_BUDGET, World};
use crate::domain::{Code, Timestamp};
use crate::engine::{
    BeginOutcome, CheckOutcome, CheckPermit, CheckResult, CheckStep, CheckStep::Decided, ResumeOutcome,
    SendPermit,
};

/// The messages with one salt, by the contract.
#[derive(Clone)]
struct Outstanding {
    salt: [u8; 16],
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

    fn check(&mut self, submitted: &Submitted<'_>, world: &World) -> Expected {
        self.at(world);
        let (limit, lockout, now) = (world.policy.max_attempts, world.policy.lockout_time(), world.now);
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
        if let (Some(code), Submitted::Ours(text)) = (&live, submitted)
            && code.ours == *text
            && !code.held
        {
            *self = Self::default();
            return Expected::Approved;
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

    fn hear(&mut self, permit: &CheckPermit, result: CheckResult, world: &World) -> Expected {
        self.at(world);
        let limit = world.policy.max_attempts;
        if self.locked_until.is_some() {
            return Expected::Locked;
        }
        if self.asking_until != Some(permit.until) {
            return match result {
                CheckResult::Wrong | CheckResult::NotLive => {
                    Expected::Wrong { attempts_left: limit - self.counted, live: false }
                }
                _ => Expected::Failed,
            };
        }
        self.asking_until = None;
        match result {
            CheckResult::Approved => {
                *self = Self::default();
                return Expected::Approved;
            }
            CheckResult::NotAsked => {
                self.counted -= 1;
                return Expected::Failed;
            }
            CheckResult::NotLive | CheckResult::Wrong | CheckResult::Unknown => {}
        }
        let ours_is_out = self.outstanding.as_ref().is_some_and(|code| code.ours_is_out);
        let live = result != CheckResult::NotLive || ours_is_out;
        if self.counted >= limit {
            self.lock(Some(world.now.plus(world.policy.lockout_time())));
            return Expected::LockedNow { live };
        }
        if result == CheckResult::Unknown {
            return Expected::Failed;
        }
        Expected::Wrong { attempts_left: limit - self.counted, live }
    }

    /// A permitted send that is settled at once.
    fn sent(&mut self, permit: &SendPermit, ours: String, result: GatewayResult, world: &World) {
        let asked_before = self.remembered_until.is_some();
        if result != GatewayResult::Failed {
            self.outstanding = Some(Outstanding {
                salt: permit.verification.salt.0,
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

/// An outcome without times.
#[derive(Debug, PartialEq, Eq)]
enum Expected {
    Approved,
    Wrong { attempts_left: u8, live: bool },
    LockedNow { live: bool },
    Locked,
    Failed,
    Ask,
    Busy,
}

impl From<CheckStep> for Expected {
    fn from(step: CheckStep) -> Self {
        match step {
            Decided(outcome) => outcome.into(),
            CheckStep::AskGateway(_) => Self::Ask,
            CheckStep::Busy { .. } => Self::Busy,
        }
    }
}

impl From<CheckOutcome> for Expected {
    fn from(outcome: CheckOutcome) -> Self {
        match outcome {
            CheckOutcome::Approved => Self::Approved,
            CheckOutcome::Wrong { attempts_left, live } => Self::Wrong { attempts_left, live },
            CheckOutcome::LockedNow { live, .. } => Self::LockedNow { live },
            CheckOutcome::Locked { .. } => Self::Locked,
            CheckOutcome::GatewayFailed => Self::Failed,
            other @ (CheckOutcome::NoChecksLeft { .. } | CheckOutcome::NotFound) => {
                panic!("{other:?} where the lockout is fixed and nothing is named")
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
                    prop_assert_eq!(Expected::from(outcome), expected);
                }
                Step::Hear { pick, result } => {
                    if asked.is_empty() { continue; }
                    let permit = asked.swap_remove(pick % asked.len());
                    let expected = model.hear(&permit, result, &world);
                    prop_assert_eq!(Expected::from(world.check_reported(&permit, result)), expected);
                }
                Step::Send(result) => {
                    model.at(&world);
                    match world.ask() {
                        BeginOutcome::Permitted(permit) => {
                            prop_assert!(model.locked_until.is_none() && model.asking_until.is_none());
                            let ours = world.code_of(&permit).expose().to_owned();
                            model.sent(&permit, ours, result, &world);
                            world.settles(&permit, result);
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
}
