//! The facts of decided commands, for [`Metrics`].

use super::check::{CheckCommand, CheckDecision, EndCommand, SettleCheckCommand};
use super::command::{CommandKind, NumberCommand};
use super::record::NumberKey;
use super::reply::{CheckOutcome, Reply, SendOutcome};
use super::send::{SendCommand, SendDecision};
use crate::delivery::{Attempt, Delivered, Failure, PlanChange, SendStatus};
use crate::domain::{Channel, Timestamp};
use crate::engine::{EndOutcome, Ending, SendPermit, SendResult, Verification};
use crate::metrics::{
    CheckFacts, FailedAttemptFacts, Metrics, Recipient, SendEnd, SendFacts, VerificationFacts,
    VerificationStep,
};

/// Counts a decided command, and gives back the allowance of a message that was not sent. Called once for each, when its decision is durable or may be lazy.
pub(super) fn count(command: &NumberCommand) {
    let NumberCommand { key, kind, deps, checked, gives_back, .. } = command;
    let (key, metrics) = (*key, &*deps.metrics);
    let recipient = recipient(key);
    for ticket in gives_back {
        metrics.not_sent(recipient, ticket);
    }
    let step = |channel, step| {
        let gateway = checked.accepted_by.filter(|_| step != VerificationStep::Canceled);
        metrics.verification(&VerificationFacts { recipient, channel, gateway, step });
    };
    match kind {
        CommandKind::Send(SendCommand { decided: Some(decided), channel, allowance, .. }) => match decided {
            // Counted when the send ends.
            SendDecision::Permitted(_) => {}
            SendDecision::Silent(..) => metrics.send(&unsent(recipient, *channel, SendEnd::Test)),
            SendDecision::Refused(reply) => {
                let is_locked = matches!(reply.outcome, SendOutcome::Locked { .. });
                let outcome = if is_locked { SendEnd::Locked } else { SendEnd::Limited };
                metrics.send(&unsent(recipient, *channel, outcome));
                if let Some(ticket) = allowance.refundable() {
                    metrics.not_sent(recipient, &ticket);
                }
            }
        },
        CommandKind::Settle(settle) => {
            count_send(metrics, key, settle.channel, settle.begins, &settle.delivered);
        }
        CommandKind::Check(CheckCommand { decided: Some(CheckDecision::Reply(reply, _)), .. })
        | CommandKind::SettleCheck(SettleCheckCommand { decided: Some((reply, _)), .. }) => {
            let Reply { outcome, verification, .. } = reply;
            let channel = verification.as_ref().map(|verification| verification.channel);
            metrics.check(&CheckFacts { recipient, channel, outcome: *outcome });
            if let Some(channel) = channel.filter(|_| checked.is_first) {
                step(channel, VerificationStep::Tried);
            }
            if let (CheckOutcome::Approved, Some(channel)) = (outcome, channel) {
                step(channel, VerificationStep::Approved);
            }
        }
        CommandKind::End(EndCommand { ending, decided: Some(EndOutcome::Ended(Some(ended))), .. }) => {
            let channel = ended.details(&deps.policies.of(key.service)).channel;
            match ending {
                Ending::Approved => {
                    if checked.is_first {
                        step(channel, VerificationStep::Tried);
                    }
                    step(channel, VerificationStep::Approved);
                }
                Ending::Canceled => step(channel, VerificationStep::Canceled),
                Ending::Cleared | Ending::Erased => {}
            }
        }
        CommandKind::Send(_)
        | CommandKind::Resume(_)
        | CommandKind::Check(_)
        | CommandKind::End(_)
        | CommandKind::SettleCheck(_) => {}
    }
}

/// Whether the permitted message is the first of its verification. By the compatible routes a message that replaces a
/// live code belongs to the verification of that code.
pub(super) fn begins(SendPermit { verification, replaced }: &SendPermit, now: Timestamp) -> bool {
    let follows = |earlier: &Verification| now < earlier.expires;
    match verification.counted {
        Some(counted) => counted.sends == 1,
        None => verification.sending <= 1 && !replaced.as_ref().is_some_and(follows),
    }
}

const fn unsent(recipient: Recipient, channel: Channel, outcome: SendEnd) -> SendFacts {
    SendFacts { recipient, channel, gateway: None, outcome, error: None }
}

const fn recipient(NumberKey { service, number, is_test }: NumberKey) -> Recipient {
    Recipient { service, number, is_test }
}

/// Counts a send that has ended, and the verification that it began.
pub(super) fn count_send(
    metrics: &Metrics,
    key: NumberKey,
    channel: Channel,
    begins: bool,
    delivered: &Delivered,
) {
    for &Attempt { channel, gateway, class, .. } in &delivered.attempts {
        if let Some(error) = class {
            metrics.failed_attempt(&FailedAttemptFacts {
                recipient: recipient(key),
                channel,
                gateway,
                error,
            });
        }
    }
    // The last attempt is the one that decided.
    let last = delivered.attempts.last();
    let asked = last.filter(|attempt| attempt.class.is_some() || attempt.status == SendStatus::Sent);
    let outcome = match &delivered.result {
        SendResult::Accepted { .. } => SendEnd::Accepted,
        SendResult::Postponed { .. } => SendEnd::Postponed,
        SendResult::NumberRefused => SendEnd::NumberRefused,
        SendResult::Failed { may_have_been_sent: Some(_) } => SendEnd::Unknown,
        SendResult::Failed { may_have_been_sent: None }
            if matches!(delivered.reason, Some(Failure::BudgetSpent { .. } | Failure::RefusedByGuard)) =>
        {
            SendEnd::Limited
        }
        SendResult::Failed { may_have_been_sent: None } => SendEnd::Failed,
        SendResult::NoLongerUsable => SendEnd::Obsolete,
        SendResult::Overloaded => SendEnd::Overloaded,
    };
    if begins && outcome != SendEnd::Limited {
        metrics.verification(&VerificationFacts {
            recipient: recipient(key),
            channel,
            gateway: None,
            step: VerificationStep::Begun,
        });
    }
    metrics.send(&SendFacts {
        recipient: recipient(key),
        channel: last.map_or(channel, |attempt| attempt.channel),
        gateway: asked.map(|attempt| attempt.gateway),
        outcome,
        error: asked.and_then(|attempt| attempt.class),
    });
    let is_planned = matches!(delivered.plan, PlanChange::Set(_));
    if let Some(ticket) = delivered.allowance.refundable().filter(|_| !is_planned) {
        metrics.not_sent(recipient(key), &ticket);
    }
}
