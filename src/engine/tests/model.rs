//! The engine against an independent model of the contract.
//!
//! The model knows nothing of salts, records or states: it remembers what happened to a number as
//! plain facts (which codes went out, which wrong codes were counted and when) and answers from
//! them by the contract's words.

use std::time::Duration;

use proptest::prelude::*;

use super::world::{SEND_BUDGET, World};
use crate::domain::{Code, Timestamp};
use crate::engine::{CheckOutcome, GatewayResult, SendOutcome, SendPermit, SettleOutcome};

#[derive(Debug, Clone)]
enum Step {
    Send,
    Settle { pick: usize, result: GatewayResult },
    CheckSent { pick: usize },
    CheckWrong,
    Wait(Duration),
}

/// A message that was permitted: its code, and what is known of its fate.
struct Sent {
    code: String,
    permit: SendPermit,
    settled: bool,
}

/// What the contract says a number remembers.
#[derive(Default)]
struct Model {
    wrong_codes: u8,
    remembered_until: Option<Timestamp>,
    locked_until: Option<Timestamp>,
    /// The code that works now, and until when.
    good: Option<(String, Timestamp)>,
}

impl Model {
    fn at(&mut self, now: Timestamp) {
        let over = |end: Option<Timestamp>| end.is_some_and(|end| now >= end);
        if over(self.locked_until) || (self.locked_until.is_none() && over(self.remembered_until)) {
            *self = Self::default();
        }
    }

    fn check(&mut self, code: Option<&str>, limit: u8, lock: Duration, now: Timestamp) -> CheckOutcome {
        self.at(now);
        if let Some(until) = self.locked_until {
            return CheckOutcome::Locked { until };
        }
        if self.remembered_until.is_none() {
            return CheckOutcome::Wrong { attempts_left: limit, live: false };
        }
        let live = self.good.as_ref().filter(|(_, ends)| now < *ends);
        if live.is_some_and(|(good, _)| Some(good.as_str()) == code) {
            *self = Self::default();
            return CheckOutcome::Approved;
        }
        let live = live.is_some();
        self.wrong_codes += 1;
        if self.wrong_codes >= limit {
            let until = now.plus(lock);
            *self = Self { locked_until: Some(until), ..Self::default() };
            return CheckOutcome::LockedNow { until, live };
        }
        CheckOutcome::Wrong { attempts_left: limit - self.wrong_codes, live }
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
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Sends are settled before the next step here, so that the contract's words are enough.
    #[test]
    fn every_answer_is_the_one_that_the_contract_says(steps in proptest::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        let mut model = Model::default();
        let mut sent: Vec<Sent> = Vec::new();
        let (limit, lock, life) = (world.policy.max_attempts, world.policy.lockout, world.policy.code.life);
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
                        (SendOutcome::Locked { until }, Some(expected)) => prop_assert_eq!(until, expected),
                        (SendOutcome::Permitted(permit), None) => {
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

    /// Gateways answer in any order and as late as they like: what must hold all the same.
    #[test]
    fn whatever_order_gateways_answer_in_the_promises_hold(steps in proptest::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        let mut sent: Vec<Sent> = Vec::new();
        let mut approved: Vec<String> = Vec::new();
        let mut wrong_in_a_row = 0_u8;
        for step in steps {
            match step {
                Step::Wait(by) => {
                    world.advance(by);
                    if world.state.at(world.now) == crate::engine::NumberState::Fresh { wrong_in_a_row = 0; }
                }
                Step::Send => if let SendOutcome::Permitted(permit) = world.ask() {
                    let code = world.code_of(&permit).expose().to_owned();
                    // No message still on its way may carry a code that this send made useless.
                    for other in sent.iter().filter(|s| !s.settled) {
                        let sent_at = other.permit.expires.since(Timestamp::EPOCH).saturating_sub(world.policy.code.life);
                        let on_its_way = world.now.since(Timestamp::EPOCH) < sent_at + SEND_BUDGET;
                        let useless = approved.contains(&other.code) || world.now >= other.permit.expires;
                        let voided = other.permit.salt != permit.salt;
                        if on_its_way && !useless && wrong_in_a_row == 0 && approved.is_empty() {
                            prop_assert!(!voided, "a message on its way was made useless");
                        }
                    }
                    sent.push(Sent { code, permit, settled: false });
                },
                Step::Settle { pick, result } => {
                    let open: Vec<usize> = (0..sent.len()).filter(|i| !sent[*i].settled).collect();
                    if open.is_empty() { continue; }
                    let index = open[pick % open.len()];
                    let failures = world.state.at(world.now).failures();
                    let permit = sent[index].permit;
                    world.settles(&permit, result);
                    sent[index].settled = true;
                    prop_assert_eq!(world.state.failures(), failures, "a gateway's answer changed the count");
                }
                Step::CheckSent { pick } => {
                    if sent.is_empty() { continue; }
                    let one = &sent[pick % sent.len()];
                    let code = Code::parse(&one.code).expect("a code");
                    let late = world.now >= one.permit.expires;
                    match world.checks(&code) {
                        CheckOutcome::Approved => {
                            prop_assert!(!approved.contains(&one.code), "approved twice");
                            let same_code_still_good = sent.iter().any(|s| s.code == one.code && world.now < s.permit.expires);
                            prop_assert!(!late || same_code_still_good, "approved late");
                            approved.push(one.code.clone());
                            wrong_in_a_row = 0;
                        }
                        CheckOutcome::Wrong { live, attempts_left } => {
                            if attempts_left < world.policy.max_attempts { wrong_in_a_row += 1; } else { prop_assert!(!live); }
                        }
                        CheckOutcome::LockedNow { .. } => { prop_assert_eq!(wrong_in_a_row + 1, world.policy.max_attempts); wrong_in_a_row = 0; }
                        CheckOutcome::Locked { .. } => {}
                    }
                }
                Step::CheckWrong => match world.checks_wrong() {
                    CheckOutcome::Approved => prop_assert!(false, "no code was approved"),
                    CheckOutcome::Wrong { attempts_left, .. } => {
                        if attempts_left < world.policy.max_attempts {
                            wrong_in_a_row += 1;
                            prop_assert_eq!(attempts_left, world.policy.max_attempts - wrong_in_a_row);
                        }
                    }
                    CheckOutcome::LockedNow { .. } => {
                        prop_assert_eq!(wrong_in_a_row + 1, world.policy.max_attempts);
                        wrong_in_a_row = 0;
                    }
                    CheckOutcome::Locked { .. } => {}
                },
            }
        }
    }
}
