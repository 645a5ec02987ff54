//! Codes that a gateway holds, with steps in any order, crashes and failed commits: the promises that always hold.

use std::collections::HashSet;

use proptest::prelude::*;

use super::held_steps::{Step, other_code, step};
use super::world::GatewayResult;
use super::world::World;
use crate::engine::{
    BeginOutcome, CheckOutcome, CheckPermit, CheckResult, CheckStep, CheckStep::Decided, NumberState,
    OpenNumber, ResumeOutcome, SendPermit, merge_pessimistic,
};

proptest! {
    #![proptest_config(ProptestConfig { cases: 2 * ProptestConfig::default().cases, ..ProptestConfig::default() })]

    /// Steps in any order; a crash restores the durable state, and a commit may fail.
    #[test]
    fn the_promises_hold_for_gateway_checks_in_any_order(
        steps in proptest::collection::vec((step(), any::<bool>()), 1..100)
    ) {
        let mut run = Run::new();
        for (step, lazy) in steps {
            run.take(step, lazy)?;
            run.holds()?;
        }
    }
}

/// A number, its durable state, and the observations of an outsider who also sees the gateways.
struct Run {
    world: World,
    disk: NumberState,
    commit_fails: bool,
    /// Every permitted send, and whether it is settled.
    sent: Vec<(SendPermit, bool)>,
    asked: Vec<CheckPermit>,
    /// Codes that the engine or a gateway compared since the number was last fresh.
    evaluated: u8,
    approved: HashSet<[u8; 16]>,
    /// Salts with our code, which may have left through a gateway that carries it.
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

    /// Commits the step from `before`. Returns `false` after a failure, and keeps the pessimistic state.
    fn commits(&mut self, before: NumberState) -> bool {
        if std::mem::take(&mut self.commit_fails) {
            self.world.state =
                merge_pessimistic(before.unless_expired(self.world.now), self.world.state, self.world.now);
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
                // Messages in flight may arrive; their results are lost.
                self.sent.clear();
            }
            Step::Send(_) => {
                if let BeginOutcome::Permitted(permit) = self.world.ask()
                    && self.commits(before)
                {
                    self.sent.push((permit, false));
                    self.carried.insert(permit.verification.salt.0);
                }
            }
            Step::Resume { pick, .. } => {
                let Some((permit, _)) = self.picked(pick) else { return Ok(()) };
                if let ResumeOutcome::Permitted(again) = self.world.resumes(permit.verification.salt) {
                    let is_held = self.world.state.verification().is_some_and(|v| v.held.is_some());
                    if (lazy && !is_held) || self.commits(before) {
                        self.sent.push((again, false));
                        self.carried.insert(again.verification.salt.0);
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
        if let GatewayResult::Held(_) | GatewayResult::UnknownHeld(_) = result {
            self.held.insert(permit.verification.salt.0);
        }
        let holder = |state: NumberState| state.verification().and_then(|v| v.held);
        let required = result == GatewayResult::Failed || holder(before) != holder(self.world.state);
        if required || !lazy {
            self.commits(before);
        }
    }

    fn checked(
        &mut self,
        outcome: CheckStep,
        ours: Option<SendPermit>,
        before: NumberState,
    ) -> Result<(), TestCaseError> {
        let now = self.world.now;
        if let CheckStep::AskGateway(_) = outcome {
            prop_assert!(self.asked.iter().all(|permit| permit.until <= now), "two are asked at once");
        }
        if matches!(outcome, CheckStep::Busy { .. }) {
            return Ok(());
        }
        let told = self.commits(before);
        match outcome {
            Decided(CheckOutcome::Approved) => {
                let salt = ours.map(|permit| permit.verification.salt.0).unwrap_or_default();
                let may_be_out = self.carried.contains(&salt) || !self.held.contains(&salt);
                prop_assert!(may_be_out, "a code that was never sent was approved");
                if told {
                    prop_assert!(self.approved.insert(salt), "approved twice");
                    self.evaluated = 0;
                }
            }
            Decided(CheckOutcome::Wrong { live: true, .. } | CheckOutcome::LockedNow { live: true, .. })
                if told =>
            {
                self.evaluated += 1;
            }
            CheckStep::AskGateway(permit) if told => {
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
        let was_open = before
            .unless_expired(self.world.now)
            .verification()
            .is_some_and(|v| v.checking_until == permit.until);
        let outcome = self.world.check_reported(&permit, result);
        let may_be_lazy = match outcome {
            CheckOutcome::Wrong { .. } => true,
            CheckOutcome::GatewayFailed => result == CheckResult::Unknown,
            _ => false,
        };
        let told = (lazy && may_be_lazy) || self.commits(before);
        if result == CheckResult::NotAsked && was_open && self.evaluated > 0 {
            self.evaluated -= 1;
        }
        if outcome == CheckOutcome::Approved && told {
            prop_assert!(permit.until > self.world.now, "approved late");
            prop_assert!(self.approved.insert(permit.salt.0), "approved twice");
            self.evaluated = 0;
        }
        Ok(())
    }

    fn holds(&mut self) -> Result<(), TestCaseError> {
        let (now, limit) = (self.world.now, self.world.policy.max_attempts);
        for state in [self.world.state, self.disk] {
            match state.at(&self.world.policy, now) {
                NumberState::Open(OpenNumber { failures, .. }) => {
                    let counted = failures.in_a_row;
                    prop_assert!(
                        counted >= self.evaluated,
                        "{} evaluated, {counted} counted",
                        self.evaluated
                    );
                }
                NumberState::Locked { .. } => {}
                NumberState::Fresh => {
                    if self.world.state.at(&self.world.policy, now) == NumberState::Fresh {
                        self.evaluated = 0;
                    }
                }
            }
        }
        prop_assert!(self.evaluated <= limit, "{} codes were evaluated", self.evaluated);
        Ok(())
    }
}
