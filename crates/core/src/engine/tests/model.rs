//! The engine against an independent model of the contract.
//!
//! The model has no salts, records or states: it remembers a number's history as plain facts (which codes were sent,
//! which wrong codes were counted and when) and derives the answers from the contract's text.

use std::time::Duration;

use proptest::prelude::*;

use super::world::GatewayResult;
use super::world::{SEND_BUDGET, World};
use crate::domain::{Code, Timestamp};
use crate::engine::{
    BeginOutcome, CheckOutcome, CheckStep, CheckStep::Decided, NumberState, SendPermit, SettleOutcome,
};

#[derive(Debug, Clone)]
enum Step {
    Send,
    Settle { pick: usize, result: GatewayResult },
    CheckSent { pick: usize },
    CheckWrong,
    Wait(Duration),
}

/// A permitted message: its code, and the known result.
struct Sent {
    code: String,
    permit: SendPermit,
    settled: bool,
}

/// The memory of a number by the contract.
#[derive(Default)]
struct Model {
    wrong_codes: u8,
    remembered_until: Option<Timestamp>,
    locked_until: Option<Timestamp>,
    /// The code that works now, and its end.
    good: Option<(String, Timestamp)>,
}

impl Model {
    fn at(&mut self, now: Timestamp) {
        let over = |end: Option<Timestamp>| end.is_some_and(|end| now >= end);
        if over(self.locked_until) || (self.locked_until.is_none() && over(self.remembered_until)) {
            *self = Self::default();
        }
    }

    fn check(&mut self, code: Option<&str>, limit: u8, lock: Duration, now: Timestamp) -> CheckStep {
        self.at(now);
        if let Some(until) = self.locked_until {
            return Decided(CheckOutcome::Locked { until });
        }
        if self.remembered_until.is_none() {
            return Decided(CheckOutcome::Wrong { attempts_left: limit, live: false });
        }
        let live = self.good.as_ref().filter(|(_, ends)| now < *ends);
        if live.is_some_and(|(good, _)| Some(good.as_str()) == code) {
            *self = Self::default();
            return Decided(CheckOutcome::Approved);
        }
        let live = live.is_some();
        self.wrong_codes += 1;
        if self.wrong_codes >= limit {
            let until = now.plus(lock);
            *self = Self { locked_until: Some(until), ..Self::default() };
            return Decided(CheckOutcome::LockedNow { until, live });
        }
        Decided(CheckOutcome::Wrong { attempts_left: limit - self.wrong_codes, live })
    }
}

fn step() -> impl Strategy<Value = Step> {
    let result = prop_oneof![
        4 => Just(GatewayResult::Accepted),
        1 => Just(GatewayResult::Failed),
        1 => Just(GatewayResult::Unknown),
    ];
    prop_oneof![
        3 => Just(Step::Send),
        4 => (any::<usize>(), result).prop_map(|(pick, result)| Step::Settle { pick, result }),
        3 => any::<usize>().prop_map(|pick| Step::CheckSent { pick }),
        5 => Just(Step::CheckWrong),
        2 => (1_u64..40_000).prop_map(|ms| Step::Wait(Duration::from_millis(ms))),
        1 => (1_u64..40).prop_map(|m| Step::Wait(Duration::from_secs(60 * m))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2 * ProptestConfig::default().cases, ..ProptestConfig::default() })]

    /// Sends are settled before the next step here: the contract's text is enough.
    #[test]
    fn every_answer_matches_the_contract(steps in proptest::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        let mut model = Model::default();
        let mut sent: Vec<Sent> = Vec::new();
        let (limit, lock, life) = (world.policy.max_attempts, world.policy.lockout_time(), world.policy.code.life);
        for step in steps {
            match step {
                Step::Wait(by) => world.advance(by),
                Step::CheckWrong => {
                    let expected = model.check(None, limit, lock, world.now);
                    prop_assert_eq!(world.checks_wrong(), expected);
                }
                Step::CheckSent { pick } => {
                    if sent.is_empty() { continue; }
                    let code = sent[pick % sent.len()].code.clone();
                    let expected = model.check(Some(&code), limit, lock, world.now);
                    prop_assert_eq!(world.checks(&Code::parse(&code).expect("a code")), expected);
                }
                Step::Send | Step::Settle { .. } => {
                    let result = if let Step::Settle { result, .. } = step { result } else { GatewayResult::Accepted };
                    model.at(world.now);
                    match (world.ask(), model.locked_until) {
                        (BeginOutcome::Locked { until }, Some(expected)) => prop_assert_eq!(until, expected),
                        (BeginOutcome::Permitted(permit), None) => {
                            let code = world.code_of(&permit).expose().to_owned();
                            let ends = world.now.plus(life);
                            let asked_before = model.remembered_until.is_some();
                            if result != GatewayResult::Failed {
                                model.good = Some((code.clone(), ends));
                            }
                            if result != GatewayResult::Failed || asked_before {
                                model.remembered_until = model.remembered_until.max(Some(ends.plus(lock)));
                            }
                            let outcome = world.settles(&permit, result);
                            let attempts_left = limit - model.wrong_codes;
                            prop_assert_eq!(outcome, SettleOutcome::Open { attempts_left });
                            sent.push(Sent { code, permit, settled: true });
                        }
                        (outcome, locked) => prop_assert!(false, "{outcome:?} while the model says {locked:?}"),
                    }
                }
            }
        }
    }

    /// Gateways answer in any order and at any time: the promises that always hold.
    #[test]
    fn the_promises_hold_for_gateway_answers_in_any_order(steps in proptest::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        let mut seen = Seen::default();
        for step in steps {
            match step {
                Step::Wait(by) => {
                    world.advance(by);
                    if world.state.unless_expired(world.now) == NumberState::Fresh {
                        seen.wrong_in_a_row = 0;
                    }
                }
                Step::Send => seen.send(&mut world)?,
                Step::Settle { pick, result } => seen.settle(&mut world, pick, result)?,
                Step::CheckSent { pick } => {
                    if seen.sent.is_empty() { continue; }
                    let code = seen.sent[pick % seen.sent.len()].code.clone();
                    let outcome = world.checks(&Code::parse(&code).expect("a code"));
                    seen.checked(&world, outcome, Some(code))?;
                }
                Step::CheckWrong => {
                    let outcome = world.checks_wrong();
                    seen.checked(&world, outcome, None)?;
                }
            }
        }
    }
}

/// The observations of a client.
#[derive(Default)]
struct Seen {
    sent: Vec<Sent>,
    approved: Vec<String>,
    wrong_in_a_row: u8,
}

impl Seen {
    fn send(&mut self, world: &mut World) -> Result<(), TestCaseError> {
        let good_before =
            world.state.unless_expired(world.now).verification().filter(|v| v.is_live(world.now));
        let on_its_way = |sent: &&Sent| {
            let asked_at = sent.permit.verification.expires.as_millis() - millis(world.policy.code.life);
            !sent.settled && world.now.as_millis() < asked_at + millis(SEND_BUDGET)
        };
        let carries_the_good_code =
            |sent: &&Sent| good_before.is_some_and(|v| v.salt == sent.permit.verification.salt);
        let repeats = self
            .sent
            .iter()
            .filter(on_its_way)
            .find(carries_the_good_code)
            .map(|s| s.permit.verification.salt);
        if let BeginOutcome::Permitted(permit) = world.ask() {
            if let Some(salt) = repeats {
                prop_assert_eq!(permit.verification.salt, salt, "a message on its way was made useless");
            }
            let code = world.code_of(&permit).expose().to_owned();
            self.sent.push(Sent { code, permit, settled: false });
        }
        Ok(())
    }

    fn settle(&mut self, world: &mut World, pick: usize, result: GatewayResult) -> Result<(), TestCaseError> {
        let open: Vec<usize> = (0..self.sent.len()).filter(|i| !self.sent[*i].settled).collect();
        if open.is_empty() {
            return Ok(());
        }
        let sent = &mut self.sent[open[pick % open.len()]];
        let failures = world.state.unless_expired(world.now).failures();
        world.settles(&sent.permit, result);
        sent.settled = true;
        prop_assert_eq!(world.state.failures(), failures, "a gateway's answer changed the count");
        Ok(())
    }

    fn checked(
        &mut self,
        world: &World,
        outcome: CheckStep,
        code: Option<String>,
    ) -> Result<(), TestCaseError> {
        let limit = world.policy.max_attempts;
        match outcome {
            Decided(CheckOutcome::Approved) => {
                let Some(code) = code else { return Err(TestCaseError::fail("a wrong code was approved")) };
                let in_time =
                    self.sent.iter().any(|s| s.code == code && world.now < s.permit.verification.expires);
                prop_assert!(in_time, "approved late");
                prop_assert!(!self.approved.contains(&code), "approved twice");
                self.approved.push(code);
                self.wrong_in_a_row = 0;
            }
            Decided(CheckOutcome::Wrong { attempts_left, live }) if attempts_left == limit => {
                prop_assert!(!live);
            }
            Decided(CheckOutcome::Wrong { attempts_left, .. }) => {
                self.wrong_in_a_row += 1;
                prop_assert_eq!(attempts_left, limit - self.wrong_in_a_row);
            }
            Decided(CheckOutcome::LockedNow { .. }) => {
                prop_assert_eq!(self.wrong_in_a_row + 1, limit);
                self.wrong_in_a_row = 0;
            }
            Decided(CheckOutcome::Locked { .. }) => {}
            outcome @ (CheckStep::AskGateway(_)
            | CheckStep::Busy { .. }
            | Decided(
                CheckOutcome::NoChecksLeft { .. } | CheckOutcome::NotFound | CheckOutcome::GatewayFailed,
            )) => {
                return Err(TestCaseError::fail(format!("{outcome:?} of a code that no gateway holds")));
            }
        }
        Ok(())
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).expect("a span that fits")
}
