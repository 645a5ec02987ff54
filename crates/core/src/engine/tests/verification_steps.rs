//! Random steps of a number of a service without a fixed lockout.

use std::time::Duration;

use proptest::prelude::*;

use super::world::{GatewayResult, HOLDER, mins};
use crate::domain::{Code, CodeLength};
use crate::engine::{
    CheckResult, Ending, LockoutRule, Policy, SendOptions, SendPermit, SendRules, VerificationName,
};

/// Codes that callers supply; for an outsider, some are as long as ours.
pub const BROUGHT: [&str; 3] = ["111111", "222222", "33333333"];

#[derive(Debug, Clone, Copy)]
pub enum Step {
    Begin {
        brought: Option<usize>,
        silent: bool,
        result: GatewayResult,
    },
    Resume {
        pick: usize,
        result: GatewayResult,
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
pub enum By {
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

fn gateway_result() -> impl Strategy<Value = GatewayResult> {
    prop_oneof![
        3 => Just(GatewayResult::Held(HOLDER)),
        2 => Just(GatewayResult::Accepted),
        1 => Just(GatewayResult::Postponed),
        1 => Just(GatewayResult::Failed),
        1 => Just(GatewayResult::Unknown),
        1 => Just(GatewayResult::UnknownHeld(HOLDER)),
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

pub fn step() -> impl Strategy<Value = Step> {
    let begins =
        (proptest::option::weighted(0.2, 0..BROUGHT.len()), any::<bool>(), gateway_result()).prop_map(
            |(brought, silent, result)| Step::Begin { brought, silent: silent && brought.is_some(), result },
        );
    let guesses = (1_u8..40, by(), any::<bool>());
    prop_oneof![
        8 => begins,
        2 => (any::<usize>(), gateway_result()).prop_map(|(pick, result)| Step::Resume { pick, result }),
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
pub fn policy() -> impl Strategy<Value = Policy> {
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

/// The code that a caller supplies.
pub fn brought(which: Option<usize>) -> Option<Code> {
    which.map(|which| Code::parse(BROUGHT[which]).expect("a code"))
}

/// The name of the verification of a permit.
pub fn name_of(permit: &SendPermit) -> VerificationName {
    VerificationName::of(permit.verification.salt.id())
}

/// The name in a check, after these permits.
pub fn named(by: By, permits: &[SendPermit]) -> Option<VerificationName> {
    let unknown = VerificationName::from_bits(1);
    match by {
        By::Number => None,
        By::Name => Some(permits.last().map_or(unknown, name_of)),
        By::OtherName(pick) if permits.is_empty() || pick % 4 == 0 => Some(unknown),
        By::OtherName(pick) => Some(name_of(&permits[pick % permits.len()])),
    }
}
