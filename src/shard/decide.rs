//! From a command and a state to a decision: the engine's pure functions, and nothing else.

use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;

use super::command::{Command, CommandKind, NumberKey, SendDecision, SendEnd, SettleCommand};
use super::{CheckAnswer, Refusal, SendAnswer};
use crate::domain::{ServerKey, Timestamp};
use crate::engine::{
    self, CheckOutcome, GatewayResult, NumberState, Policies, Policy, Salt, SendOutcome, SettleOutcome,
    Submitted,
};

/// What decisions are made with, besides state and time.
pub struct Judge {
    /// The rules of every service.
    pub policies: Policies,
    /// What codes are derived with.
    pub key: ServerKey,
    /// Where salts come from.
    pub rng: StdRng,
    /// How long delivery may take for one send.
    pub send_budget: Duration,
}

/// Whether the new state has to be durable before the answer may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// It has to be.
    Required,
    /// Losing it in a crash harms nobody: it is written along with the next change.
    Lazy,
}

impl Judge {
    /// Decides a command, notes the decision in it, and returns the number's next state.
    pub fn decide(
        &mut self,
        command: &mut Command,
        state: NumberState,
        now: Timestamp,
    ) -> (NumberState, Durability) {
        let Command { key, kind, .. } = command;
        let policy = self.policies.of(key.service);
        match kind {
            CommandKind::Send(send) => {
                let mut salt = [0; 16];
                self.rng.fill_bytes(&mut salt);
                let options = send.options.unwrap_or(policy.code);
                let (next, outcome) = engine::send(state, policy, options, Salt(salt), self.send_budget, now);
                send.decided = Some(match outcome {
                    SendOutcome::Permitted(permit) => SendDecision::Permitted(permit),
                    SendOutcome::Locked { until } => SendDecision::Locked { remaining: until.since(now) },
                });
                (next, Durability::Required)
            }
            CommandKind::Check(check) => {
                let NumberKey { service, number } = *key;
                let submitted = Submitted { code: check.code.as_ref(), number, service, key: &self.key };
                let (next, outcome) = engine::check(state, policy, submitted, now);
                check.decided = Some(check_answer(outcome, now));
                (next, Durability::Required)
            }
            CommandKind::Settle(settle) => decide_settle(settle, policy, state, now),
        }
    }
}

fn check_answer(outcome: CheckOutcome, now: Timestamp) -> CheckAnswer {
    match outcome {
        CheckOutcome::Approved => CheckAnswer::Approved,
        CheckOutcome::Wrong { attempts_left, live } => CheckAnswer::Wrong { attempts_left, live },
        CheckOutcome::LockedNow { until, live } => {
            CheckAnswer::LockedNow { remaining: until.since(now), live }
        }
        CheckOutcome::Locked { until } => CheckAnswer::Locked { remaining: until.since(now) },
    }
}

fn decide_settle(
    settle: &mut SettleCommand,
    policy: &Policy,
    state: NumberState,
    now: Timestamp,
) -> (NumberState, Durability) {
    let result = match &settle.end {
        SendEnd::Accepted { .. } => GatewayResult::Accepted,
        SendEnd::Failed { may_have_been_sent: true } => GatewayResult::Unknown,
        SendEnd::NumberRefused | SendEnd::Failed { may_have_been_sent: false } | SendEnd::Overloaded => {
            GatewayResult::Failed
        }
    };
    let (next, outcome) = engine::settle(state, policy, &settle.permit, result, now);
    settle.decided = Some(match (&settle.end, outcome) {
        (SendEnd::Accepted { message_id }, SettleOutcome::Open { attempts_left }) => {
            Ok(SendAnswer::Sent { attempts_left, message_id: message_id.clone() })
        }
        (SendEnd::Accepted { .. } | SendEnd::Failed { .. }, SettleOutcome::Locked { until }) => {
            Ok(SendAnswer::Locked { remaining: until.since(now) })
        }
        (SendEnd::NumberRefused, _) => Ok(SendAnswer::NumberRefused),
        (SendEnd::Failed { .. }, SettleOutcome::Open { .. }) => Ok(SendAnswer::GatewayFailed),
        (SendEnd::Overloaded, _) => Err(Refusal::SendsOverloaded),
    });
    // A code that stays needs no second record: what is lost in a crash is only that its message
    // has been accepted. A code that is withdrawn has to stay withdrawn.
    let durability = match result {
        GatewayResult::Accepted | GatewayResult::Unknown => Durability::Lazy,
        GatewayResult::Failed => Durability::Required,
    };
    (next, durability)
}
