//! Lockouts that are not fixed, with everything in any order, crashes and failed commits: what has to hold all the
//! same, seen from outside.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::held_steps::other_code;
use super::verification_facts::InARow;
use super::verification_steps::{By, Number, Step, brought, named, policy, step};
use super::world::GatewayResult;
use super::world::SEND_BUDGET;
use crate::domain::{Code, Timestamp};
use crate::engine::{
    BeginOutcome, CheckOutcome, CheckPermit, CheckResult, CheckStep, CheckStep::Decided, EndOutcome, Ending,
    FailureCount, NumberState, OpenNumber, Policy, ResumeOutcome, SendPermit, VerificationName,
    merge_pessimistic,
};

/// A message that a gateway got, or may have got.
#[derive(Clone, Copy)]
struct Sent {
    permit: SendPermit,
    at: Timestamp,
    settled: bool,
}

/// A number, its durable state, and what its clients learned.
struct Run {
    number: Number,
    disk: NumberState,
    commit_fails: Option<bool>,
    sent: Vec<Sent>,
    asked: Vec<CheckPermit>,
    /// For each verification, wrong codes that a client learned of or that a gateway was asked about.
    guessed: HashMap<u64, u8>,
    /// The same of the number.
    in_a_row: InARow,
    approved: HashSet<u64>,
    over: HashSet<u64>,
}

impl Run {
    fn new(policy: Policy) -> Self {
        Self {
            number: Number::new(policy),
            disk: NumberState::Fresh,
            commit_fails: None,
            sent: Vec::new(),
            asked: Vec::new(),
            guessed: HashMap::new(),
            in_a_row: InARow::default(),
            approved: HashSet::new(),
            over: HashSet::new(),
        }
    }

    /// Commits the step from `before`. Returns `true` if it is durable and the client gets a reply; otherwise keeps the
    /// pessimistic state.
    fn commits(&mut self, before: NumberState) -> Result<bool, TestCaseError> {
        let Some(applied) = self.commit_fails.take() else {
            self.disk = self.number.state;
            return Ok(true);
        };
        let (now, after) = (self.number.now, self.number.state);
        let before = before.unless_expired(now);
        let kept = merge_pessimistic(before, after, now);
        is_not_looser(before, after, kept, now)?;
        self.number.state = kept;
        if applied {
            self.disk = after;
        }
        Ok(false)
    }

    fn take(&mut self, step: Step) -> Result<(), TestCaseError> {
        let before = self.number.state;
        match step {
            Step::Wait(by) => self.number.now = self.number.now.plus(by),
            Step::NextCommitFails { applied } => self.commit_fails = Some(applied),
            Step::Crash => {
                self.number.state = self.disk;
                self.asked.clear();
                // Messages in flight may arrive; their results are lost.
                self.sent.iter_mut().for_each(|sent| sent.settled = true);
            }
            Step::Begin { brought: which, silent, .. } => self.begin(which, silent, before)?,
            Step::Resume { pick, .. } => {
                let Some(sent) = self.picked(pick) else { return Ok(()) };
                if let ResumeOutcome::Permitted(permit) = self.number.resumes(sent.permit.verification.salt) {
                    self.permitted(&permit, false, before)?;
                }
            }
            Step::Settle { pick, result } => self.settle(pick, result, before)?,
            Step::CheckRight { pick, by } => {
                let Some(sent) = self.picked(pick) else { return Ok(()) };
                let code = self.number.code_of(&sent.permit);
                self.check(Some(&code), by)?;
            }
            Step::Guess { times, by, is_code } => {
                let code = is_code.then(other_code);
                for _ in 0..times {
                    self.check(code.as_ref(), by)?;
                }
            }
            Step::Hear { pick, result } => self.hear(pick, result, before)?,
            Step::End(ending) => {
                let under_way = before.unless_expired(self.number.now).verification().map(|v| v.salt.id());
                if let EndOutcome::Ended(ended) = self.number.ends(ending)
                    && self.commits(before)?
                {
                    self.over.extend(ended.and(under_way));
                    if ending != Ending::Canceled {
                        self.is_fresh();
                    }
                }
            }
        }
        self.counts_hold()
    }

    fn picked(&self, pick: usize) -> Option<Sent> {
        (!self.sent.is_empty()).then(|| self.sent[self.sent.len() - 1 - pick % self.sent.len()])
    }

    fn begin(
        &mut self,
        which: Option<usize>,
        silent: bool,
        before: NumberState,
    ) -> Result<(), TestCaseError> {
        let now = self.number.now;
        let current = before.unless_expired(now).verification().filter(|v| v.is_live(now));
        let on_its_way = self.sent.iter().rev().find(|sent| {
            let is_current =
                current.is_some_and(|v| v.salt == sent.permit.verification.salt && v.is_sending(now));
            !sent.settled && is_current && now < sent.at.plus(SEND_BUDGET)
        });
        let on_its_way = on_its_way.map(|sent| sent.permit.verification.salt);
        if let BeginOutcome::Permitted(permit) = self.number.asks(brought(which).as_ref(), silent) {
            if let Some(salt) = on_its_way {
                prop_assert_eq!(permit.verification.salt, salt, "a message on its way was made useless");
            }
            self.permitted(&permit, silent, before)?;
        }
        Ok(())
    }

    fn permitted(
        &mut self,
        permit: &SendPermit,
        silent: bool,
        before: NumberState,
    ) -> Result<(), TestCaseError> {
        let id = permit.verification.salt.id();
        prop_assert!(permit.verification.expires > self.number.now, "a message for a code that is over");
        prop_assert!(!self.over.contains(&id), "a message for a verification that is over");
        if self.commits(before)? {
            self.sent.push(Sent { permit: *permit, at: self.number.now, settled: silent });
        }
        Ok(())
    }

    fn settle(
        &mut self,
        pick: usize,
        result: GatewayResult,
        before: NumberState,
    ) -> Result<(), TestCaseError> {
        let open: Vec<usize> = (0..self.sent.len()).filter(|i| !self.sent[*i].settled).collect();
        if open.is_empty() {
            return Ok(());
        }
        let sent = &mut self.sent[open[pick % open.len()]];
        sent.settled = true;
        let permit = sent.permit;
        self.number.settles(&permit, result);
        self.commits(before).map(|_| ())
    }

    fn check(&mut self, code: Option<&Code>, by: By) -> Result<(), TestCaseError> {
        let (before, now) = (self.number.state, self.number.now);
        let permits: Vec<SendPermit> = self.sent.iter().map(|sent| sent.permit).collect();
        let name = named(by, &permits);
        let under_way = before.unless_expired(now).verification().map(|v| v.salt.id());
        let outcome = self.number.submits(code, name);
        match outcome {
            Decided(CheckOutcome::Approved) => {
                let id = under_way.expect("there is one");
                if self.commits(before)? {
                    self.approved(id, name)?;
                }
            }
            Decided(CheckOutcome::Wrong { live, .. }) => {
                prop_assert!(live, "it would be not found");
                if self.commits(before)? {
                    self.counted(under_way.expect("there is one"))?;
                }
            }
            CheckStep::AskGateway(permit) => {
                prop_assert!(self.asked.iter().all(|permit| permit.until <= now), "two are asked at once");
                if self.commits(before)? {
                    self.counted(under_way.expect("there is one"))?;
                    self.asked.push(permit);
                }
            }
            Decided(CheckOutcome::NoChecksLeft { .. } | CheckOutcome::NotFound) | CheckStep::Busy { .. } => {}
            Decided(
                CheckOutcome::Locked { .. } | CheckOutcome::LockedNow { .. } | CheckOutcome::GatewayFailed,
            ) => {
                prop_assert!(false, "{outcome:?} without a fixed lockout");
            }
        }
        Ok(())
    }

    /// A client learned that a code is wrong, or a gateway was asked.
    fn counted(&mut self, id: u64) -> Result<(), TestCaseError> {
        let (policy, now) = (self.number.policy, self.number.now);
        prop_assert!(!self.over.contains(&id), "a guess at a verification that is over");
        let guessed = self.guessed.entry(id).or_default();
        *guessed += 1;
        prop_assert!(*guessed <= policy.max_attempts, "{guessed} guesses at one verification");
        self.in_a_row.at_least(now);
        self.in_a_row.count(now);
        prop_assert!(self.in_a_row.wrong <= 100, "{} guesses in a row", self.in_a_row.wrong);
        Ok(())
    }

    fn approved(&mut self, id: u64, name: Option<VerificationName>) -> Result<(), TestCaseError> {
        let is_meant = name.is_none_or(|name| name == VerificationName::of(id));
        prop_assert!(is_meant, "another verification than the one that was named");
        prop_assert!(!self.over.contains(&id), "approved after its end");
        prop_assert!(self.approved.insert(id), "approved twice");
        self.over.insert(id);
        self.is_fresh();
        Ok(())
    }

    fn hear(&mut self, pick: usize, result: CheckResult, before: NumberState) -> Result<(), TestCaseError> {
        if self.asked.is_empty() {
            return Ok(());
        }
        let permit = self.asked.swap_remove(pick % self.asked.len());
        let id = permit.salt.id();
        let was_open = before
            .unless_expired(self.number.now)
            .verification()
            .is_some_and(|v| v.checking_until == permit.until);
        let outcome = self.number.check_reported(&permit, result);
        let told = self.commits(before)?;
        if result == CheckResult::NotAsked && was_open {
            // Given back, therefore it is no guess.
            self.guessed.entry(id).and_modify(|n| *n = n.saturating_sub(1));
            self.in_a_row.give_back();
        }
        if outcome == CheckOutcome::Approved && told {
            prop_assert!(permit.until > self.number.now, "approved late");
            self.approved(id, None)?;
        }
        Ok(())
    }

    fn is_fresh(&mut self) {
        self.in_a_row.succeed();
    }

    /// Memory and disk keep every count that a client learned.
    fn counts_hold(&mut self) -> Result<(), TestCaseError> {
        let (now, policy) = (self.number.now, self.number.policy);
        // After a success, which may be on the disk alone.
        let is_cleared = |state: &NumberState| state.verification().is_none() && state.failures() == 0;
        if is_cleared(&self.number.state.at(&policy, now)) {
            self.is_fresh();
        }
        self.in_a_row.at_least(now);
        let told_in_a_row = self.in_a_row.wrong;
        for state in [self.number.state, self.disk].map(|state| state.at(&policy, now)) {
            let NumberState::Open(open) = state else { continue };
            if is_cleared(&state) {
                continue;
            }
            let failures = open.failures.in_a_row;
            prop_assert!(failures >= told_in_a_row, "{failures} counted, {told_in_a_row} told");
            let Some(v) = open.verification.filter(|v| v.is_live(now)) else { continue };
            let told = self.guessed.get(&v.salt.id()).copied().unwrap_or_default();
            let wrong = v.counted.map_or(0, |counted| counted.wrong);
            prop_assert!(wrong >= told, "{wrong} counted of the verification, {told} told");
            prop_assert!(!self.over.contains(&v.salt.id()), "one that is over is live again");
        }
        Ok(())
    }
}

/// The state after a failed commit allows nothing more than the state before, and forgets no count.
fn is_not_looser(
    before: NumberState,
    after: NumberState,
    kept: NumberState,
    now: Timestamp,
) -> Result<(), TestCaseError> {
    let counts = |state: NumberState| match state {
        NumberState::Open(OpenNumber { failures, .. }) => failures.at(now),
        NumberState::Fresh | NumberState::Locked { .. } => FailureCount::NONE,
    };
    let (is, was, would_be) = (counts(kept), counts(before), counts(after));
    let holds = |is: FailureCount, was: FailureCount| {
        is.in_a_row >= was.in_a_row && is.last >= was.last && is.forgotten >= was.forgotten
    };
    prop_assert!(holds(is, was), "a count was forgotten");
    prop_assert!(holds(is, would_be), "a count once made was forgotten");
    let Some(live) = kept.verification().filter(|v| v.is_live(now)) else { return Ok(()) };
    let old = before.verification().filter(|v| v.is_live(now) && v.salt == live.salt);
    prop_assert!(old.is_some(), "a code is good that was not");
    let wrong = |v: &crate::engine::Verification| v.counted.map_or(0, |c| c.wrong);
    prop_assert!(old.is_some_and(|old| wrong(&live) >= wrong(&old) && live.expires <= old.expires));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2 * ProptestConfig::default().cases, ..ProptestConfig::default() })]

    /// Steps in any order; a crash restores the durable state, and a commit may fail.
    #[test]
    fn without_a_fixed_lockout_the_promises_hold_in_whatever_order(
        policy in policy(),
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let mut run = Run::new(policy);
        for step in steps {
            run.take(step)?;
        }
    }
}
