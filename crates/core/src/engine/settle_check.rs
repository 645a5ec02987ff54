//! What the gateway that holds a code says about a submitted one.

use super::check_growing::Open;
use super::{CheckPermit, Lockout, NumberState, Policy, Tally, Verification};
use crate::domain::Timestamp;

/// What came of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckResult {
    /// The code is right, and the gateway accepts it no second time.
    Approved,
    /// It is wrong.
    Wrong,
    /// The gateway has no code to compare with.
    NotLive,
    /// The gateway surely did not look at it.
    NotAsked,
    /// Nobody knows whether it did.
    Unknown,
}

/// What the caller of a check is told that had to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckSettled {
    /// Right, and now used.
    Approved,
    /// It was not.
    Wrong {
        /// Wrong codes still allowed after this one.
        attempts_left: u8,
        /// Whether there was a live code to compare with.
        live: bool,
    },
    /// It used the last attempt: locked from now on.
    LockedNow {
        /// When the lockout ends.
        until: Timestamp,
        /// Whether there was a live code to compare with.
        live: bool,
    },
    /// Locked meanwhile, because the answer took too long.
    Locked {
        /// When the lockout ends.
        until: Timestamp,
    },
    /// The gateway did not say, or too late.
    Failed,
}

/// Settles a check permit.
///
/// The attempt was counted when the permit was given; only a code that surely nobody looked at gives it
/// back. An approval counts only while the permit is open, that is for the verification that it was
/// given for, before its time has ended, and once: the first settlement closes it.
pub fn settle_check(
    state: NumberState,
    policy: &Policy,
    permit: &CheckPermit,
    result: CheckResult,
    now: Timestamp,
) -> (NumberState, CheckSettled) {
    let state = state.present(policy, now);
    let (failures, keep_until, tally, current) = match state {
        NumberState::Locked { until } => return (state, CheckSettled::Locked { until }),
        NumberState::Fresh => (0, Timestamp::EPOCH, Tally::NONE, None),
        NumberState::Open { failures, keep_until, tally, verification } => {
            (failures, keep_until, tally, verification)
        }
    };
    let Some(open) = current.filter(|v| v.salt == permit.salt && v.checking_until == permit.until) else {
        return (state, too_late(result, policy.max_attempts.saturating_sub(failures)));
    };
    if policy.kind == Lockout::Growing {
        return growing(Open { failures, keep_until, tally, verification: open }, policy, permit, result);
    }
    let kept = Verification { checking_until: Timestamp::EPOCH, ..open };
    let verification = Some(kept);
    // A provider that knows of no code may say so of a wrong one too (Sinch does). So the verification
    // goes on to its end: asking again costs an attempt, and a right code after a typing error works.
    let live = match result {
        CheckResult::Approved => return (NumberState::Fresh, CheckSettled::Approved),
        CheckResult::Wrong | CheckResult::Unknown => true,
        // Ours, if it is out, was compared before anybody was asked.
        CheckResult::NotLive => kept.sent,
        CheckResult::NotAsked => {
            let failures = failures.saturating_sub(1);
            return (NumberState::Open { failures, keep_until, tally, verification }, CheckSettled::Failed);
        }
    };
    if policy.is_spent(failures) {
        let until = now.plus(policy.lockout);
        return (NumberState::Locked { until }, CheckSettled::LockedNow { until, live });
    }
    let settled = match result {
        CheckResult::Unknown => CheckSettled::Failed,
        _ => CheckSettled::Wrong { attempts_left: policy.max_attempts.saturating_sub(failures), live },
    };
    (NumberState::Open { failures, keep_until, tally, verification }, settled)
}

/// The same where a lockout grows: the attempt is counted against the verification or the number.
fn growing(
    open: Open,
    policy: &Policy,
    permit: &CheckPermit,
    result: CheckResult,
) -> (NumberState, CheckSettled) {
    let verification = Verification { checking_until: Timestamp::EPOCH, ..open.verification };
    let open = Open { verification, ..open };
    let attempts_left = open.attempts_left(permit.is_named, policy);
    let wrong = |live| (open.state(), CheckSettled::Wrong { attempts_left, live });
    match result {
        CheckResult::Approved => (NumberState::Fresh, CheckSettled::Approved),
        CheckResult::NotAsked => (open.give_back(permit.is_named).state(), CheckSettled::Failed),
        CheckResult::Unknown => (open.state(), CheckSettled::Failed),
        CheckResult::Wrong => wrong(true),
        CheckResult::NotLive => wrong(open.verification.sent),
    }
}

/// The permit is not open any more: the state stays as it is, and nothing is approved.
const fn too_late(result: CheckResult, attempts_left: u8) -> CheckSettled {
    match result {
        CheckResult::Wrong | CheckResult::NotLive => CheckSettled::Wrong { attempts_left, live: false },
        CheckResult::Approved | CheckResult::NotAsked | CheckResult::Unknown => CheckSettled::Failed,
    }
}
