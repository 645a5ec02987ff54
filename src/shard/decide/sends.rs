//! Decisions about sends.

use std::time::Duration;

use super::{Decision, Durability};
use crate::domain::{ServerKey, Timestamp};
use crate::engine::{
    self, Begin, BeginOutcome, GatewayResult, NumberState, Policy, Reports, ResumeOutcome, Salt, SendOutcome,
    SettleOutcome,
};
use crate::shard::command::{
    NumberKey, ResumeCommand, ResumeDecision, SendCommand, SendDecision, SendEnd, SettleCommand,
};
use crate::shard::{Facts, Limit, Refusal, SendAnswer, Told};

pub fn send(
    send: &mut SendCommand,
    policy: &Policy,
    state: NumberState,
    salt: Salt,
    budget: Duration,
    now: Timestamp,
) -> Decision {
    let options = send.options.unwrap_or(policy.code);
    let (next, outcome) = engine::send(state, policy, options, salt, budget, now);
    send.decided = Some(match outcome {
        SendOutcome::Permitted(permit) => SendDecision::Permitted(permit),
        SendOutcome::Locked { until } => SendDecision::Locked { remaining: until.since(now) },
        SendOutcome::Busy { .. } => return Decision::Busy,
    });
    Decision::Made(next, Durability::Required)
}

#[expect(clippy::too_many_arguments, reason = "each is one thing that the decision rests on")]
pub fn begin(
    send: &mut SendCommand,
    NumberKey { service, number }: NumberKey,
    key: &ServerKey,
    policy: &Policy,
    state: NumberState,
    salt: Salt,
    budget: Duration,
    now: Timestamp,
) -> Decision {
    let wishes = send.begin.clone().unwrap_or_default();
    let unlimited = policy.without_limits();
    let policy = if wishes.is_test { &unlimited } else { policy };
    let asked = Begin {
        options: send.options.unwrap_or(policy.code),
        channel: send.channel,
        brought: wishes.brought.as_ref(),
        silent: wishes.is_test,
        number,
        service,
        key,
    };
    let (next, outcome) = engine::begin(state, policy, asked, salt, budget, now);
    let facts = next.verification().map(|v| Facts::of(&v, policy));
    let limited = |limit| SendDecision::Limited(limit, facts);
    send.decided = Some(match outcome {
        BeginOutcome::Permitted(permit) if wishes.is_test => SendDecision::Silent(permit),
        BeginOutcome::Permitted(permit) => SendDecision::Permitted(permit),
        BeginOutcome::Locked { until } => SendDecision::Locked { remaining: until.since(now) },
        BeginOutcome::NoChecksLeft { until } => {
            limited(Limit::NoChecksLeft { remaining: until.map(|until| until.since(now)) })
        }
        BeginOutcome::NoSendsLeft { until } => limited(Limit::NoSendsLeft { remaining: until.since(now) }),
        BeginOutcome::CoolingDown { until } => limited(Limit::CoolingDown { remaining: until.since(now) }),
        BeginOutcome::StillSending { until } => limited(Limit::StillSending { remaining: until.since(now) }),
        BeginOutcome::Busy { .. } => return Decision::Busy,
    });
    Decision::Made(next, Durability::Required)
}

pub fn resume(
    resume: &mut ResumeCommand,
    policy: &Policy,
    state: NumberState,
    budget: Duration,
    now: Timestamp,
) -> Decision {
    let (next, outcome) = engine::resume(state, policy, resume.due.about.salt, budget, now);
    let (decided, durability) = match outcome {
        // What gateways said of earlier sends may not be durable yet. Without it this one alone would decide
        // the code's fate after the shard has failed: a failure would withdraw a code that somebody has.
        ResumeOutcome::Permitted(permit) => (ResumeDecision::Permitted(permit), Durability::Required),
        ResumeOutcome::NotUsable => (ResumeDecision::NotUsable, Durability::Lazy),
        ResumeOutcome::Busy { .. } => return Decision::Busy,
    };
    resume.decided = Some(decided);
    Decision::Made(next, durability)
}

pub fn settle(
    settle: &mut SettleCommand,
    policy: &Policy,
    state: NumberState,
    earlier: &Reports,
    now: Timestamp,
) -> Decision {
    let result = result_of(&settle.end);
    let (next, outcome) = engine::settle(state, policy, &settle.permit, result, earlier, now);
    // As it is now, if it is still under way.
    let current = next.verification().filter(|v| v.salt == settle.permit.salt);
    let facts = current.map_or_else(|| Facts::of_permit(&settle.permit, policy), |v| Facts::of(&v, policy));
    let trouble = settle.trouble;
    let told = |answer| Told { trouble, ..Told::from(answer) }.about(Some(facts));
    settle.decided = Some(answer(&settle.end, outcome, now).map(told));
    let durability = match result {
        // A code that stays needs no second record: what is lost in a crash is only that its message
        // has been accepted, which a record of a send that was not settled allows for.
        GatewayResult::Accepted | GatewayResult::Unknown | GatewayResult::Postponed => Durability::Lazy,
        // A code that is withdrawn has to stay withdrawn. And without the holder's name the right code
        // would be compared with one that nobody has.
        GatewayResult::Failed | GatewayResult::Held(_) => Durability::Required,
    };
    Decision::Made(next, durability)
}

/// What the end of a send says about its code.
pub const fn result_of(end: &SendEnd) -> GatewayResult {
    match *end {
        SendEnd::Accepted { held: Some(held), .. }
        | SendEnd::Failed { may_have_been_sent: true, held: Some(held) } => GatewayResult::Held(held),
        SendEnd::Accepted { held: None, .. } => GatewayResult::Accepted,
        SendEnd::Failed { may_have_been_sent: true, held: None } => GatewayResult::Unknown,
        SendEnd::Postponed { .. } => GatewayResult::Postponed,
        SendEnd::NumberRefused
        | SendEnd::Failed { may_have_been_sent: false, .. }
        | SendEnd::NoLongerUsable
        | SendEnd::Overloaded => GatewayResult::Failed,
    }
}

fn answer(end: &SendEnd, outcome: SettleOutcome, now: Timestamp) -> Result<SendAnswer, Refusal> {
    match (end, outcome) {
        (
            SendEnd::Accepted { message_id, .. } | SendEnd::Postponed { message_id },
            SettleOutcome::Open { attempts_left },
        ) => {
            let postponed = matches!(end, SendEnd::Postponed { .. });
            Ok(SendAnswer::Sent { attempts_left, message_id: message_id.clone(), postponed })
        }
        (
            SendEnd::Accepted { .. }
            | SendEnd::Postponed { .. }
            | SendEnd::Failed { .. }
            | SendEnd::NoLongerUsable,
            SettleOutcome::Locked { until },
        ) => Ok(SendAnswer::Locked { remaining: until.since(now) }),
        (SendEnd::NumberRefused, _) => Ok(SendAnswer::NumberRefused),
        (SendEnd::Failed { .. } | SendEnd::NoLongerUsable, SettleOutcome::Open { .. }) => {
            Ok(SendAnswer::GatewayFailed)
        }
        (SendEnd::Overloaded, _) => Err(Refusal::SendsOverloaded),
    }
}
