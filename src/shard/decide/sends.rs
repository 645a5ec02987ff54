//! Decisions about sends.

use super::{Decision, Durability};
use crate::domain::Timestamp;
use crate::engine::{
    self, Begin, BeginOutcome, NumberState, OwnVerification, ResumeOutcome, Rules, Salt, SendResult,
    SettleOutcome,
};
use crate::shard::command::{
    NumberKey, ResumeCommand, ResumeDecision, SendCommand, SendDecision, SettleCommand,
};
use crate::shard::{Facts, Limit, Refusal, SendAnswer, Told};

pub fn begin(
    send: &mut SendCommand,
    NumberKey { service, number }: NumberKey,
    mut rules: Rules<'_>,
    state: NumberState,
    salt: Salt,
    now: Timestamp,
) -> Decision {
    let wishes = send.begin.as_ref();
    let is_test = wishes.is_some_and(|wishes| wishes.is_test);
    if is_test {
        rules.policy = rules.policy.without_limits();
    }
    let request = Begin {
        service,
        number,
        options: send.options.unwrap_or(rules.policy.code),
        channel: send.channel,
        own: wishes.map(|wishes| OwnVerification { brought: wishes.brought.as_ref(), silent: is_test }),
    };
    let (next, outcome) = engine::begin(state, &rules, request, salt, now);
    let facts = next.verification().map(|v| Facts::of(&v, &rules.policy));
    let limited = |limit| SendDecision::Limited(limit, facts);
    send.decided = Some(match outcome {
        BeginOutcome::Permitted(permit) if is_test => SendDecision::Silent(permit),
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

pub fn resume(resume: &mut ResumeCommand, rules: &Rules<'_>, state: NumberState, now: Timestamp) -> Decision {
    let (next, outcome) = engine::resume(state, rules, resume.due.about.salt, now);
    let (decided, durability) = match outcome {
        // The results of earlier sends may not be durable yet. Without this record the result of this send alone
        // would decide the code's fate after the shard has failed: a failure would withdraw a code that a person has.
        ResumeOutcome::Permitted(permit) => (ResumeDecision::Permitted(permit), Durability::Required),
        ResumeOutcome::NotUsable => (ResumeDecision::NotUsable, Durability::Lazy),
        ResumeOutcome::Busy { .. } => return Decision::Busy,
    };
    resume.decided = Some(decided);
    Decision::Made(next, durability)
}

pub fn settle(settle: &mut SettleCommand, rules: &Rules<'_>, state: NumberState, now: Timestamp) -> Decision {
    let SettleCommand { permit, result, trouble, .. } = settle;
    let (next, outcome) = engine::settle(state, rules, permit, result, now);
    // As it is now, if it is still under way.
    let current = next.verification().filter(|v| v.salt == permit.salt);
    let policy = &rules.policy;
    let facts = current.map_or_else(|| Facts::of_permit(permit, policy), |v| Facts::of(&v, policy));
    let told = |answer| Told { trouble: *trouble, ..Told::from(answer) }.about(Some(facts));
    let durability = match result {
        // A code that stays needs no second record: what is lost in a crash is only that its message
        // has been accepted, which a record of a send that was not settled allows for.
        SendResult::Accepted { held: None, .. }
        | SendResult::Failed { may_have_been_sent: true, held: None }
        | SendResult::Postponed { .. } => Durability::Lazy,
        // A code that is withdrawn has to stay withdrawn. And without the holder's name the right code
        // would be compared with one that was never sent.
        SendResult::Accepted { held: Some(_), .. }
        | SendResult::NumberRefused
        | SendResult::Failed { .. }
        | SendResult::NoLongerUsable
        | SendResult::Overloaded => Durability::Required,
    };
    settle.decided = Some(answer(result, outcome, now).map(told));
    Decision::Made(next, durability)
}

fn answer(result: &SendResult, outcome: SettleOutcome, now: Timestamp) -> Result<SendAnswer, Refusal> {
    match (result, outcome) {
        (
            SendResult::Accepted { message_id, .. } | SendResult::Postponed { message_id },
            SettleOutcome::Open { attempts_left },
        ) => {
            let postponed = matches!(result, SendResult::Postponed { .. });
            Ok(SendAnswer::Sent { attempts_left, message_id: message_id.clone(), postponed })
        }
        (
            SendResult::Accepted { .. }
            | SendResult::Postponed { .. }
            | SendResult::Failed { .. }
            | SendResult::NoLongerUsable,
            SettleOutcome::Locked { until },
        ) => Ok(SendAnswer::Locked { remaining: until.since(now) }),
        (SendResult::NumberRefused, _) => Ok(SendAnswer::NumberRefused),
        (SendResult::Failed { .. } | SendResult::NoLongerUsable, SettleOutcome::Open { .. }) => {
            Ok(SendAnswer::GatewayFailed)
        }
        (SendResult::Overloaded, _) => Err(Refusal::SendsOverloaded),
    }
}
