//! Decisions about checks, and what the tracker is told of them.

use super::{Decision, Durability};
use crate::delivery::tracker::VerifyStatus;
use crate::domain::{ServiceId, Timestamp, TrackKey};
use crate::engine::{self, CheckOutcome, CheckResult, CheckStep, NumberState, Rules, Salt, Submitted};
use crate::shard::command::{CheckCommand, CheckDecision, CheckNote, NumberKey, SettleCheckCommand};
use crate::shard::{CheckAnswer, Facts, Limit, Told};

pub fn check(
    check: &mut CheckCommand,
    NumberKey { service, number }: NumberKey,
    mut rules: Rules<'_>,
    state: NumberState,
    now: Timestamp,
) -> Decision {
    if check.is_test {
        rules.policy = rules.policy.without_limits();
    }
    let policy = &rules.policy;
    let asked_about = state.present(policy, now).verification();
    let submitted = Submitted { code: check.code.as_ref(), number, service, named: check.named };
    let (next, step) = engine::check(state, &rules, submitted, now);
    let outcome = match step {
        CheckStep::Busy { .. } => return Decision::Busy,
        CheckStep::Ask(permit) => {
            check.decided = Some(CheckDecision::Ask(permit));
            return Decision::Made(next, Durability::Required);
        }
        CheckStep::Decided(outcome) => outcome,
    };
    // As it is now: this check may have been the last one.
    let facts = next.verification().or(asked_about).map(|v| Facts::of(&v, policy));
    let (facts, status) = match outcome {
        CheckOutcome::Approved => (facts, Some(VerifyStatus::Success)),
        CheckOutcome::Wrong { live, .. } | CheckOutcome::LockedNow { live, .. } => {
            (facts, Some(if live { VerifyStatus::InvalidCode } else { VerifyStatus::Expired }))
        }
        CheckOutcome::GatewayFailed => (facts, Some(VerifyStatus::GatewayError)),
        CheckOutcome::NoChecksLeft { .. } => (facts, None),
        CheckOutcome::Locked { .. } | CheckOutcome::NotFound => (None, None),
    };
    let note =
        asked_about.zip(status).map(|(v, status)| CheckNote { key: track_key(service, &v.salt), status });
    check.decided = Some(CheckDecision::Answer(told(outcome, now).about(facts), note));
    Decision::Made(next, Durability::Required)
}

pub fn settle(
    settle: &mut SettleCheckCommand,
    service: ServiceId,
    rules: &Rules<'_>,
    state: NumberState,
    now: Timestamp,
) -> Decision {
    let asked_about = state.present(&rules.policy, now).verification();
    let (next, outcome) = engine::settle_check(state, rules, &settle.permit, settle.result, now);
    let status = match (settle.result, outcome) {
        (CheckResult::Approved, CheckOutcome::Approved) => VerifyStatus::Success,
        (CheckResult::Wrong, _) => VerifyStatus::InvalidCode,
        (CheckResult::NotLive, _) => VerifyStatus::Expired,
        // An approval that came too late is as good as no answer.
        (CheckResult::Approved | CheckResult::NotAsked | CheckResult::Unknown, _) => {
            VerifyStatus::GatewayError
        }
    };
    let note = CheckNote { key: track_key(service, &settle.permit.salt), status };
    let facts = next.verification().or(asked_about).map(|v| Facts::of(&v, &rules.policy));
    settle.decided = Some((told(outcome, now).about(facts), note));
    // The attempt is durable already. If it is lost that a wrong code was asked about to the end, the
    // record says so by itself when its time has passed.
    let durability = match outcome {
        CheckOutcome::Wrong { .. } => Durability::Lazy,
        CheckOutcome::GatewayFailed if settle.result == CheckResult::Unknown => Durability::Lazy,
        CheckOutcome::Approved
        | CheckOutcome::LockedNow { .. }
        | CheckOutcome::Locked { .. }
        | CheckOutcome::NoChecksLeft { .. }
        | CheckOutcome::NotFound
        | CheckOutcome::GatewayFailed => Durability::Required,
    };
    Decision::Made(next, durability)
}

fn told(outcome: CheckOutcome, now: Timestamp) -> Told<CheckAnswer> {
    match outcome {
        CheckOutcome::Approved => CheckAnswer::Approved.into(),
        CheckOutcome::Wrong { attempts_left, live } => CheckAnswer::Wrong { attempts_left, live }.into(),
        CheckOutcome::LockedNow { until, live } => {
            CheckAnswer::LockedNow { remaining: until.since(now), live }.into()
        }
        CheckOutcome::Locked { until } => CheckAnswer::Locked { remaining: until.since(now) }.into(),
        CheckOutcome::GatewayFailed => CheckAnswer::GatewayFailed.into(),
        CheckOutcome::NotFound => Told::limit(Limit::NotFound),
        CheckOutcome::NoChecksLeft { until } => {
            Told::limit(Limit::NoChecksLeft { remaining: until.map(|until| until.since(now)) })
        }
    }
}

/// What a verification's sends are remembered under.
pub fn track_key(service: ServiceId, salt: &Salt) -> TrackKey {
    TrackKey { service, track: salt.track() }
}
