//! Lockouts that are not fixed, against an independent model: every answer, while sends are settled at once.

use proptest::prelude::*;

use super::verification_facts::{Model, Submission};
use super::verification_steps::{By, Step, brought, named, policy, step};
use super::world::{GatewayResult, World, other_code};
use crate::domain::Code;
use crate::engine::{
    BeginOutcome, CheckOutcome, CheckPermit, CheckStep, CheckStep::Decided, EndOutcome, ResumeOutcome,
    SendPermit,
};

struct Run {
    number: World,
    model: Model,
    sent: Vec<SendPermit>,
    asked: Vec<CheckPermit>,
}

impl Run {
    fn take(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Wait(by) => self.number.now = self.number.now.plus(by),
            Step::Crash => self.asked.clear(),
            Step::Begin { brought: which, silent, result } => self.begin(which, silent, result)?,
            Step::Resume { pick, result } => self.resume(pick, result)?,
            Step::CheckRight { pick, by } => {
                if self.sent.is_empty() {
                    return Ok(());
                }
                let chosen = self.sent.len() - 1 - pick % self.sent.len();
                let code = self.number.code_of(&self.sent[chosen]);
                self.check(Some(&code), by)?;
            }
            Step::Guess { times, by, is_code } => {
                let code = is_code.then(other_code);
                for _ in 0..times {
                    self.check(code.as_ref(), by)?;
                }
            }
            Step::Hear { pick, result } => {
                if self.asked.is_empty() {
                    return Ok(());
                }
                let permit = self.asked.swap_remove(pick % self.asked.len());
                let expected = self.model.hear(&self.number.policy, self.number.now, &permit, result);
                prop_assert_eq!(self.number.check_reported(&permit, result), expected);
            }
            Step::End(ending) => {
                let expected = self.model.end(ending, self.number.now);
                let found = match self.number.ends(ending) {
                    EndOutcome::Ended(_) => Ok(true),
                    EndOutcome::NotFound => Ok(false),
                    EndOutcome::Busy { until } => Err(until),
                };
                prop_assert_eq!(found, expected);
            }
        }
        Ok(())
    }

    fn begin(
        &mut self,
        which: Option<usize>,
        silent: bool,
        result: GatewayResult,
    ) -> Result<(), TestCaseError> {
        let (policy, now) = (self.number.policy, self.number.now);
        let expected = self.model.begin(&policy, now);
        let brings = brought(which);
        let outcome = self.number.ask_for(brings.as_ref(), silent);
        let BeginOutcome::Permitted(permit) = outcome else {
            prop_assert_eq!(Some(outcome), expected);
            return Ok(());
        };
        prop_assert_eq!(expected, None);
        let code = self.number.code_of(&permit);
        if let Some(brings) = &brings {
            prop_assert_eq!(code.expose(), brings.expose());
        }
        let before = self.model.current.clone();
        let was_live = self.model.live(now).cloned();
        let repeats = self.model.begun(&policy, now, &permit, &code, brings.is_some());
        let known = self.model.current.clone().expect("it was begun");
        let told = permit.verification.counted.map(|counted| (counted.begun, counted.sends));
        prop_assert_eq!(told, Some((known.begun, known.messages)));
        prop_assert_eq!(permit.verification.expires, known.ends);
        if let Some(was) = &was_live {
            prop_assert_eq!(was.name, known.name, "a verification keeps its name");
            prop_assert_eq!(was.salt == known.salt, repeats);
            prop_assert!(!repeats || (was.ends == known.ends && was.code == known.code));
        }
        // The code is right at once, unless a gateway holds another one until this message is accepted. A test number's
        // is right without a message.
        let copy = self.number.clone().submits(Some(&code), Some(known.name));
        prop_assert_eq!(copy == Decided(CheckOutcome::Approved), silent || !known.held);
        if silent {
            self.model.settled(GatewayResult::Accepted, None, None);
        } else {
            self.number.settles(&permit, result);
            let counts = was_live.map_or((0, now), |was| (was.messages, was.asked_last));
            self.model.settled(result, before.filter(|_| !repeats), Some(counts));
        }
        self.sent.push(permit);
        Ok(())
    }

    fn resume(&mut self, pick: usize, result: GatewayResult) -> Result<(), TestCaseError> {
        if self.sent.is_empty() {
            return Ok(());
        }
        let (salt, now) = (self.sent[pick % self.sent.len()].verification.salt, self.number.now);
        self.model.at(now);
        let is_usable = self.model.live(now).is_some_and(|known| known.salt == salt && !known.used_up);
        match self.number.resumes(salt) {
            ResumeOutcome::Permitted(permit) => {
                prop_assert!(is_usable && self.model.asking_until.is_none());
                self.number.settles(&permit, result);
                self.model.current.as_mut().expect("it is usable").postponed = false;
                self.model.settled(result, None, None);
            }
            ResumeOutcome::NotUsable => prop_assert!(!is_usable),
            ResumeOutcome::Busy { until } => {
                prop_assert!(is_usable);
                prop_assert_eq!(Some(until), self.model.asking_until);
            }
        }
        Ok(())
    }

    fn check(&mut self, code: Option<&Code>, by: By) -> Result<(), TestCaseError> {
        let name = named(by, &self.sent);
        let asked = Submission { code: code.map(Code::expose), name };
        let expected = self.model.check(&self.number.policy, self.number.now, &asked);
        let outcome = self.number.submits(code, name);
        if let CheckStep::AskGateway(permit) = outcome {
            self.asked.push(permit);
        }
        prop_assert_eq!(outcome, expected);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2 * ProptestConfig::default().cases, ..ProptestConfig::default() })]

    /// Sends are settled at once here; a gateway's answers about codes come late, in any order, or never.
    #[test]
    fn without_a_fixed_lockout_every_answer_is_the_one_that_the_rules_say(
        policy in policy(),
        steps in proptest::collection::vec(step(), 1..100),
    ) {
        let (number, model) = (World::of_service(policy), Model::default());
        let mut run = Run { number, model, sent: Vec::new(), asked: Vec::new() };
        for step in steps {
            run.take(step)?;
        }
    }
}
