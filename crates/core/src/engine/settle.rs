//! The result of a send, and its effect on the number.

use super::{NumberState, Rules, SendPermit, Verification, VerificationDetails};
use crate::domain::{Held, Timestamp};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendResult {
    /// A gateway that carries our code, or one that makes and holds its own (`held`), accepted the message. The provider's id
    /// of it.
    Accepted { message_id: String, held: Option<Held> },
    /// No gateway accepted the message yet; a later attempt is planned, and the request counts as accepted. The id that the
    /// client is given for it; and `None` if certainly no message was sent.
    Postponed { message_id: String, may_have_been_sent: Option<PossiblySent> },
    /// The number does not exist or cannot take messages; nothing was sent.
    NumberRefused,
    /// Every gateway refused for another reason, or did not answer in time. `None` if certainly no message was sent.
    Failed { may_have_been_sent: Option<PossiblySent> },
    /// The code was used, replaced, locked or expired before its message was sent.
    NoLongerUsable,
    /// Too many messages were waiting; nothing was sent.
    Overloaded,
}

impl SendResult {
    /// Returns `false` if certainly no message was sent and none will be.
    pub const fn may_still_arrive(&self) -> bool {
        matches!(
            self,
            Self::Accepted { .. } | Self::Postponed { .. } | Self::Failed { may_have_been_sent: Some(_) }
        )
    }
}

/// A message that may have been sent although no gateway accepted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PossiblySent {
    /// The gateway that holds its code; `None` if the code is ours.
    pub held: Option<Held>,
}

/// The state of the number in the reply to an accepted send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettleOutcome {
    /// Codes may be checked, and so many wrong ones are allowed.
    Open { attempts_left: u8 },
    /// Wrong codes locked the number while the message was on its way, until then.
    Locked { until: Timestamp },
}

/// Settles a send permit.
///
/// The count of wrong codes never changes. If no message with the code was sent, the code is withdrawn. The code that
/// it replaced becomes valid again, in its state at the replacement and until its own expiry. A code that may arrive
/// stays valid until another gateway accepts a message with its own code. A message that was certainly not sent does not
/// count. A result about a replaced or used code changes nothing. A check at a gateway continues.
pub fn settle(
    state: NumberState,
    rules: &Rules<'_>,
    permit: &SendPermit,
    result: &SendResult,
    now: Timestamp,
) -> (NumberState, SettleOutcome) {
    let policy = &rules.policy;
    let (state, open) = match state.opened(policy, now) {
        Ok(opened) => opened,
        Err((locked, until)) => return (locked, SettleOutcome::Locked { until }),
    };
    let outcome = SettleOutcome::Open { attempts_left: policy.attempts_left(open.failures.in_a_row) };
    let Some(sent) = open.verification.filter(|v| permit.is_for(v) && !v.is_canceled()) else {
        return (state, outcome);
    };
    let mut settled = after(sent, result);
    if !result.may_still_arrive() {
        settled.counted = settled.counted.map(|counted| without_message(counted, permit));
    }
    let verification = if settled.can_arrive() {
        Some(settled)
    } else {
        permit.replaced.filter(Verification::can_arrive).map(|earlier| with_counts_of(earlier, &settled))
    };
    (open.with(verification).with_end_by(policy), outcome)
}

/// The verification after one of its sends ended. The code of an accepted message is the only right one from then on. A
/// message that may have been sent changes nothing if an earlier message was or may have been sent.
const fn after(sent: Verification, result: &SendResult) -> Verification {
    let postponed = sent.postponed || matches!(result, SendResult::Postponed { .. });
    let next = Verification { sending: sent.sending.saturating_sub(1), postponed, ..sent };
    match *result {
        SendResult::Accepted { held, .. } => next.sent_with(held),
        SendResult::Postponed { may_have_been_sent: Some(PossiblySent { held }), .. }
        | SendResult::Failed { may_have_been_sent: Some(PossiblySent { held }) }
            if !sent.was_perhaps_sent() =>
        {
            next.sent_with(held)
        }
        _ => next,
    }
}

/// The counts without a message that was certainly not sent: it uses none of the verification's messages, and starts no
/// wait. Of a later message the wait stays.
fn without_message(counted: VerificationDetails, permit: &SendPermit) -> VerificationDetails {
    let (Some(before), Some(requested)) = (permit.before, permit.verification.counted) else {
        return counted;
    };
    let sends = counted.sends.saturating_sub(1);
    if counted.last_send != requested.last_send {
        return VerificationDetails { sends, ..counted };
    }
    VerificationDetails { sends, last_send: before.last_send, channel: before.channel, ..counted }
}

/// Restores the `earlier` code. If both belong to one verification, it keeps the wrong codes counted for `failed`.
/// Otherwise each failed message would grant another guess.
fn with_counts_of(earlier: Verification, failed: &Verification) -> Verification {
    let counted = match (failed.counted, earlier.counted) {
        (Some(since), Some(then)) if earlier.salt.id() == failed.salt.id() => Some(VerificationDetails {
            last_send: since.last_send.max(then.last_send),
            sends: since.sends.max(then.sends),
            wrong: since.wrong.max(then.wrong),
            spent: since.spent || then.spent,
            canceled: since.canceled || then.canceled,
            ..then
        }),
        (_, then) => then,
    };
    Verification { counted, ..earlier }
}
