//! An attacker who knows only a number changes no answer to its owner: the same life of a number, once with an attacker
//! who guesses between all steps, and once without.

use proptest::prelude::*;

use super::growing_steps::{By, Number, Step, brought, growing_policy, named, step};
use super::held_steps::other_code;
use crate::domain::Code;
use crate::engine::{
    BeginOutcome, CheckOutcome, CheckResult, CheckStep, EndOutcome, Ending, Policy, ResumeOutcome, SendPermit,
};

/// A reply to the owner, or to the service that acts for the owner.
#[derive(Debug, PartialEq)]
enum Reply {
    Begun(BeginOutcome),
    Checked(CheckStep),
    GatewayReported(CheckOutcome),
    Resumed(ResumeOutcome),
    Ended(EndOutcome),
    /// Everything except the counts of checks by number.
    EndedOne(Option<(u8, u8)>),
}

/// One life of the number.
struct Life {
    number: Number,
    sent: Vec<SendPermit>,
    told: Vec<Reply>,
    guesses: u32,
}

impl Life {
    fn new(policy: Policy) -> Self {
        Self { number: Number::new(policy), sent: Vec::new(), told: Vec::new(), guesses: 0 }
    }

    /// A wrong code from a caller who does not name the verification. A gateway that holds the code is asked about it
    /// at once: meanwhile the shard lets every caller wait, which is no refusal.
    fn guess(&mut self, code: Option<&Code>, says: CheckResult) {
        if let CheckStep::AskGateway(permit) = self.number.submits(code, None) {
            self.number.check_reported(&permit, says);
        }
        self.guesses += 1;
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Wait(by) => self.number.now = self.number.now.plus(by),
            Step::Begin { brought: which, silent, result } => {
                let outcome = self.number.asks(brought(which).as_ref(), silent);
                if let BeginOutcome::Permitted(permit) = outcome {
                    self.sent.push(permit);
                    if !silent {
                        self.number.settles(&permit, result);
                    }
                }
                self.told.push(Reply::Begun(without_attacker(outcome)));
            }
            Step::CheckRight { pick, by } if by != By::Number && !self.sent.is_empty() => {
                let permit = self.sent[self.sent.len() - 1 - pick % self.sent.len()];
                let code = self.number.code_of(&permit);
                self.check(Some(&code), by, CheckResult::Approved);
            }
            Step::Guess { times, by, is_code } if by != By::Number => {
                let code = is_code.then(other_code);
                for _ in 0..times {
                    self.check(code.as_ref(), by, CheckResult::Wrong);
                }
            }
            Step::Resume { pick, result } if !self.sent.is_empty() => {
                let salt = self.sent[pick % self.sent.len()].verification.salt;
                let outcome = self.number.resumes(salt);
                if let ResumeOutcome::Permitted(mut permit) = outcome {
                    self.number.settles(&permit, result);
                    permit.verification.counted = None;
                    self.told.push(Reply::Resumed(ResumeOutcome::Permitted(permit)));
                } else {
                    self.told.push(Reply::Resumed(outcome));
                }
            }
            Step::End(ending) => {
                self.told.push(match self.number.ends(ending) {
                    EndOutcome::Ended(v) => {
                        let counted = v.filter(|_| ending != Ending::Cleared).and_then(|v| v.counted);
                        Reply::EndedOne(counted.map(|counted| (counted.sends, counted.wrong)))
                    }
                    other => Reply::Ended(other),
                });
            }
            _ => {}
        }
    }

    fn check(&mut self, code: Option<&Code>, by: By, says: CheckResult) {
        let outcome = self.number.submits(code, named(by, &self.sent));
        self.told.push(Reply::Checked(outcome));
        if let CheckStep::AskGateway(permit) = outcome {
            self.told.push(Reply::GatewayReported(self.number.check_reported(&permit, says)));
        }
    }
}

/// A permit as the owner sees it.
fn without_attacker(outcome: BeginOutcome) -> BeginOutcome {
    match outcome {
        BeginOutcome::Permitted(mut permit) => {
            permit.replaced = None;
            permit.verification.counted = permit.verification.counted.map(|mut counted| {
                counted.unnamed = 0;
                counted
            });
            BeginOutcome::Permitted(permit)
        }
        other => other,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2 * ProptestConfig::default().cases, ..ProptestConfig::default() })]

    #[test]
    fn guesses_by_an_attacker_change_no_answer_to_the_owner(
        policy in growing_policy(),
        steps in proptest::collection::vec((step(), 0_u8..6, any::<bool>(), any::<bool>()), 1..80),
    ) {
        let (mut alone, mut attacked) = (Life::new(policy), Life::new(policy));
        for (step, guesses, is_code, looked_at) in steps {
            for _ in 0..guesses {
                let says = if looked_at { CheckResult::Wrong } else { CheckResult::NotAsked };
                attacked.guess(is_code.then(other_code).as_ref(), says);
            }
            alone.take(step);
            attacked.take(step);
            prop_assert_eq!(alone.told.last(), attacked.told.last());
        }
        prop_assert_eq!(alone.told, attacked.told);
        prop_assert_eq!(alone.guesses, 0);
    }
}
