//! Random steps of a number whose codes a gateway may hold.

use std::time::Duration;

use proptest::prelude::*;

use super::world::GatewayResult;
use super::world::HOLDER;
use crate::domain::Code;
use crate::engine::CheckResult;

#[derive(Debug, Clone, Copy)]
pub enum Step {
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

pub fn step() -> impl Strategy<Value = Step> {
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

/// A code of another length than ours.
pub fn other_code() -> Code {
    Code::parse("0000000000").expect("a code")
}
