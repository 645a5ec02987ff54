//! Lockouts that are not fixed, against an independent model: every answer, while sends are settled at once.

use std::time::Duration;

use proptest::prelude::*;

use super::verification_facts::Model;
use super::world::{ACCEPTED, FAILED, HELD, HOLDER, POSTPONED, World, mins, name_of, other_code};
use crate::domain::{Code, CodeLength};
use crate::engine::{
    BeginOutcome, CheckOutcome, CheckPermit, CheckResult, CheckStep, CheckStep::Decided, EndOutcome, Ending,
    LockoutRule, Policy, PossiblySent, ResumeOutcome, SendOptions, SendPermit, SendResult, SendRules,
    VerificationName, VerificationOptions,
};

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
            Step::Begin { brought: which, silent, result } => self.begin(which, silent, &result)?,
            Step::Resume { pick, result } => self.resume(pick, &result)?,
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
                    EndOutcome::Busy => Err(()),
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
        result: &SendResult,
    ) -> Result<(), TestCaseError> {
        let (policy, now) = (self.number.policy, self.number.now);
        let brings = which.map(|which| Code::parse(BROUGHT[which]).expect("a code"));
        let expected = self.model.begin(&policy, now, brings.as_ref());
        let outcome = self.number.ask_for(VerificationOptions {
            supplied_code: brings.as_ref(),
            is_test: silent,
            is_carried: false,
        });
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
            prop_assert!(!repeats || was.code == known.code);
        }
        // The code is right at once, unless a gateway holds another one until this message is accepted. A test number's
        // is right without a message.
        let copy = self.number.clone().submits(Some(&code), Some(known.name));
        prop_assert_eq!(copy == Decided(CheckOutcome::Approved), silent || !known.held);
        if silent {
            self.model.settled(&ACCEPTED, None, None);
        } else {
            self.number.settles(&permit, result);
            let counts = was_live.map_or((0, now), |was| (was.messages, was.asked_last));
            self.model.settled(result, before.filter(|_| !repeats), Some(counts));
        }
        self.sent.push(permit);
        Ok(())
    }

    fn resume(&mut self, pick: usize, result: &SendResult) -> Result<(), TestCaseError> {
        if self.sent.is_empty() {
            return Ok(());
        }
        let (salt, now) = (self.sent[pick % self.sent.len()].verification.salt, self.number.now);
        self.model.at(now);
        let usable = self.model.live(now).filter(|known| known.salt == salt && !known.used_up).cloned();
        let is_usable = usable.is_some();
        let prolonged = usable.and_then(|known| known.after_a_message(&self.number.policy, now));
        match self.number.resumes(salt) {
            ResumeOutcome::Permitted(permit) => {
                prop_assert!(self.model.asking_until.is_none());
                prop_assert_eq!(Some(permit.verification.expires), prolonged);
                self.number.settles(&permit, result);
                let known = self.model.current.as_mut().expect("it is usable");
                (known.postponed, known.ends) = (false, permit.verification.expires);
                self.model.settled(result, None, None);
            }
            ResumeOutcome::NotUsable => prop_assert_eq!(prolonged, None),
            ResumeOutcome::Busy => prop_assert!(is_usable && self.model.asking_until.is_some()),
        }
        Ok(())
    }

    fn check(&mut self, code: Option<&Code>, by: By) -> Result<(), TestCaseError> {
        let name = named(by, &self.sent);
        let expected = self.model.check(&self.number.policy, self.number.now, code, name);
        let outcome = self.number.submits(code, name);
        if let CheckStep::AskGateway(permit) = outcome {
            self.asked.push(permit);
        }
        prop_assert_eq!(outcome, expected);
        Ok(())
    }
}

/// Codes that callers supply; for an outsider, some are as long as ours.
const BROUGHT: [&str; 3] = ["111111", "222222", "33333333"];

#[derive(Debug, Clone)]
enum Step {
    Begin {
        brought: Option<usize>,
        silent: bool,
        result: SendResult,
    },
    Resume {
        pick: usize,
        result: SendResult,
    },
    /// The code of an earlier permit.
    CheckRight {
        pick: usize,
        by: By,
    },
    /// Several wrong codes.
    Guess {
        times: u8,
        by: By,
        is_code: bool,
    },
    Hear {
        pick: usize,
        result: CheckResult,
    },
    End(Ending),
    Wait(Duration),
    Crash,
}

/// The way in which a check names its verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Number,
    /// The last one.
    Name,
    /// An earlier one, or an unknown one.
    OtherName(usize),
}

fn by() -> impl Strategy<Value = By> {
    prop_oneof![5 => Just(By::Name), 4 => Just(By::Number), 1 => any::<usize>().prop_map(By::OtherName)]
}

fn wait() -> impl Strategy<Value = Duration> {
    prop_oneof![
        4 => (1_u64..15_000).prop_map(Duration::from_millis),
        4 => (1_u64..600).prop_map(Duration::from_secs),
        1 => (1_u64..120).prop_map(mins),
        1 => (20_u64..60).prop_map(|hours| mins(60 * hours)),
        1 => (25_u64..100).prop_map(|days| mins(24 * 60 * days)),
    ]
}

fn ending() -> impl Strategy<Value = Ending> {
    prop_oneof![6 => Just(Ending::Canceled), 1 => Just(Ending::Approved), 1 => Just(Ending::Cleared)]
}

fn send_result() -> impl Strategy<Value = SendResult> {
    let unknown = |held| SendResult::Failed { may_have_been_sent: Some(PossiblySent { held }) };
    prop_oneof![
        3 => Just(HELD),
        2 => Just(ACCEPTED),
        1 => Just(POSTPONED),
        1 => Just(FAILED),
        1 => Just(unknown(None)),
        1 => Just(unknown(Some(HOLDER))),
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
    let begins = (proptest::option::weighted(0.2, 0..BROUGHT.len()), any::<bool>(), send_result()).prop_map(
        |(brought, silent, result)| Step::Begin { brought, silent: silent && brought.is_some(), result },
    );
    let guesses = (1_u8..40, by(), any::<bool>());
    prop_oneof![
        8 => begins,
        2 => (any::<usize>(), send_result()).prop_map(|(pick, result)| Step::Resume { pick, result }),
        3 => (0..3_usize, by()).prop_map(|(pick, by)| Step::CheckRight { pick, by }),
        6 => by().prop_map(|by| Step::Guess { times: 1, by, is_code: true }),
        3 => guesses.prop_map(|(times, by, is_code)| Step::Guess { times, by, is_code }),
        4 => (any::<usize>(), check_result()).prop_map(|(pick, result)| Step::Hear { pick, result }),
        2 => ending().prop_map(Step::End),
        6 => wait().prop_map(Step::Wait),
        1 => Just(Step::Crash),
    ]
}

/// The rules of a service without a fixed lockout.
fn policy() -> impl Strategy<Value = Policy> {
    let max = prop_oneof![Just(1_u8), Just(3), Just(5), Just(60)];
    let sends = prop_oneof![Just(None), Just(Some(2)), Just(Some(5))];
    let life = prop_oneof![Just(mins(1)), Just(mins(10))];
    (max, sends, any::<bool>(), any::<bool>(), life).prop_map(
        |(max_attempts, max, keeps_code, cools_down, life)| Policy {
            max_attempts,
            lockout: LockoutRule::Verification,
            code: SendOptions { life, length: CodeLength::SIX },
            sends: SendRules { max, keeps_code, cools_down },
        },
    )
}

/// The name in a check, after these permits.
fn named(by: By, permits: &[SendPermit]) -> Option<VerificationName> {
    let unknown = VerificationName::from_bits(1);
    match by {
        By::Number => None,
        By::Name => Some(permits.last().map_or(unknown, name_of)),
        By::OtherName(pick) if permits.is_empty() || pick % 4 == 0 => Some(unknown),
        By::OtherName(pick) => Some(name_of(&permits[pick % permits.len()])),
    }
}
