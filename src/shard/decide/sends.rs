//! Decisions about sends.

use std::time::Duration;

use super::{Decision, Durability};
use crate::domain::Timestamp;
use crate::engine::{
    self, GatewayResult, NumberState, Policy, Reports, ResumeOutcome, Salt, SendOutcome, SettleOutcome,
};
use crate::shard::command::{
    ResumeCommand, ResumeDecision, SendCommand, SendDecision, SendEnd, SettleCommand,
};
use crate::shard::{Refusal, SendAnswer};

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
    settle.decided = Some(answer(&settle.end, outcome, now));
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
