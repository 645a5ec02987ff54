//! Decisions about checks, and what the tracker is told of them.

use std::time::Duration;

use super::{Decision, Durability};
use crate::delivery::tracker::VerifyStatus;
use crate::domain::{ServerKey, ServiceId, Timestamp, TrackKey};
use crate::engine::{self, CheckOutcome, CheckResult, CheckSettled, NumberState, Policy, Salt, Submitted};
use crate::shard::command::{CheckCommand, CheckDecision, CheckNote, NumberKey, SettleCheckCommand};
use crate::shard::{CheckAnswer, Facts, Limit, Told};

pub fn check(
    check: &mut CheckCommand,
    NumberKey { service, number }: NumberKey,
    key: &ServerKey,
    policy: &Policy,
    state: NumberState,
    budget: Duration,
    now: Timestamp,
) -> Decision {
    let unlimited = policy.without_limits();
    let policy = if check.is_test { &unlimited } else { policy };
    let asked_about = state.present(policy, now).verification();
    let submitted = Submitted { code: check.code.as_ref(), number, service, key, named: check.named };
    let (next, outcome) = engine::check(state, policy, submitted, budget, now);
    let (answer, status) = match outcome {
        CheckOutcome::Busy { .. } => return Decision::Busy,
        CheckOutcome::Ask(permit) => {
            check.decided = Some(CheckDecision::Ask(permit));
            return Decision::Made(next, Durability::Required);
        }
        CheckOutcome::Approved => (CheckAnswer::Approved, VerifyStatus::Success),
        CheckOutcome::Wrong { attempts_left, live } => {
            (CheckAnswer::Wrong { attempts_left, live }, status_of_wrong(live))
        }
        CheckOutcome::LockedNow { until, live } => {
            (CheckAnswer::LockedNow { remaining: until.since(now), live }, status_of_wrong(live))
        }
        CheckOutcome::Locked { until } => {
            check.decided = Some(CheckDecision::Answer(locked(until, now).into(), None));
            return Decision::Made(next, Durability::Required);
        }
        CheckOutcome::NotFound => {
            check.decided = Some(CheckDecision::Answer(Told::limit(Limit::NotFound), None));
            return Decision::Made(next, Durability::Required);
        }
        CheckOutcome::NoChecksLeft { until } => {
            let remaining = until.map(|until| until.since(now));
            let told = Told::limit(Limit::NoChecksLeft { remaining });
            let facts = asked_about.map(|v| Facts::of(&v, policy));
            check.decided = Some(CheckDecision::Answer(told.about(facts), None));
            return Decision::Made(next, Durability::Required);
        }
    };
    // As it is now: this check may have been the last one.
    let facts = next.verification().or(asked_about).map(|v| Facts::of(&v, policy));
    let note = asked_about.map(|v| CheckNote { key: track_key(service, &v.salt), status });
    check.decided = Some(CheckDecision::Answer(Told::from(answer).about(facts), note));
    Decision::Made(next, Durability::Required)
}

pub fn settle(
    settle: &mut SettleCheckCommand,
    service: ServiceId,
    policy: &Policy,
    state: NumberState,
    now: Timestamp,
) -> Decision {
    let asked_about = state.present(policy, now).verification();
    let (next, outcome) = engine::settle_check(state, policy, &settle.permit, settle.result, now);
    let answer = match outcome {
        CheckSettled::Approved => CheckAnswer::Approved,
        CheckSettled::Wrong { attempts_left, live } => CheckAnswer::Wrong { attempts_left, live },
        CheckSettled::LockedNow { until, live } => {
            CheckAnswer::LockedNow { remaining: until.since(now), live }
        }
        CheckSettled::Locked { until } => locked(until, now),
        CheckSettled::Failed => CheckAnswer::GatewayFailed,
    };
    let status = match (settle.result, outcome) {
        (CheckResult::Approved, CheckSettled::Approved) => VerifyStatus::Success,
        (CheckResult::Wrong, _) => VerifyStatus::InvalidCode,
        (CheckResult::NotLive, _) => VerifyStatus::Expired,
        // An approval that came too late is as good as no answer.
        (CheckResult::Approved | CheckResult::NotAsked | CheckResult::Unknown, _) => {
            VerifyStatus::GatewayError
        }
    };
    let note = CheckNote { key: track_key(service, &settle.permit.salt), status };
    let facts = next.verification().or(asked_about).map(|v| Facts::of(&v, policy));
    settle.decided = Some((Told::from(answer).about(facts), note));
    // The attempt is durable already. If it is lost that a wrong code was asked about to the end, the
    // record says so by itself when its time has passed.
    let durability = match outcome {
        CheckSettled::Wrong { .. } => Durability::Lazy,
        CheckSettled::Failed if settle.result == CheckResult::Unknown => Durability::Lazy,
        CheckSettled::Approved
        | CheckSettled::LockedNow { .. }
        | CheckSettled::Locked { .. }
        | CheckSettled::Failed => Durability::Required,
    };
    Decision::Made(next, durability)
}

const fn status_of_wrong(live: bool) -> VerifyStatus {
    if live { VerifyStatus::InvalidCode } else { VerifyStatus::Expired }
}

fn locked(until: Timestamp, now: Timestamp) -> CheckAnswer {
    CheckAnswer::Locked { remaining: until.since(now) }
}

/// What a verification's sends are remembered under.
pub fn track_key(service: ServiceId, salt: &Salt) -> TrackKey {
    TrackKey { service, track: salt.track() }
}
