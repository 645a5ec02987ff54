//! What a gateway's answer does to the number it was about.

use super::{NumberState, Policy, Reports, SendPermit, Tally, Verification};
use crate::domain::{Held, Timestamp};

/// How a send ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GatewayResult {
    /// A gateway that carries our code accepted the message.
    Accepted,
    /// A gateway that makes and holds the code itself accepted the message, or may have.
    Held(Held),
    /// Nothing was sent yet; it will be tried again without anybody asking.
    Postponed,
    /// Surely nothing was sent.
    Failed,
    /// Nobody knows: a message with our code may arrive.
    Unknown,
}

/// What the caller of an accepted send is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettleOutcome {
    /// The count as it is now.
    Open {
        /// Wrong codes still allowed.
        attempts_left: u8,
    },
    /// Wrong codes locked the number while the message was on its way.
    Locked {
        /// When the lockout ends.
        until: Timestamp,
    },
}

/// Settles a send permit.
///
/// The count of wrong codes stays as it is, whatever the gateway said. A code that surely reached
/// nobody is withdrawn, and the one it replaced is good again for the rest of its life, with all that
/// was heard of it meanwhile; a code that may arrive stays good. A check that is being asked meanwhile is not
/// touched. What is said of a code that was replaced changes nothing yet: whoever settles takes
/// [note](Reports::note) of it.
pub fn settle(
    state: NumberState,
    policy: &Policy,
    permit: &SendPermit,
    result: GatewayResult,
    earlier: &Reports,
    now: Timestamp,
) -> (NumberState, SettleOutcome) {
    let state = state.present(policy, now);
    let (failures, keep_until, tally, current) = match state {
        NumberState::Locked { until } => return (state, SettleOutcome::Locked { until }),
        NumberState::Fresh => {
            return (state, SettleOutcome::Open { attempts_left: policy.max_attempts });
        }
        NumberState::Open { failures, keep_until, tally, verification } => {
            (failures, keep_until, tally, verification)
        }
    };
    let outcome = SettleOutcome::Open { attempts_left: policy.max_attempts.saturating_sub(failures) };
    let Some(mut verification) = current.filter(|v| v.salt == permit.salt) else {
        // Replaced or used in the meantime.
        return (state, outcome);
    };
    verification.hears(result);
    let next = if verification.reached_nobody() {
        match earlier.comes_back(permit).map(|old| with_counts_of(old, &verification)) {
            None if failures == 0 && tally == Tally::NONE => NumberState::Fresh,
            verification => NumberState::Open { failures, keep_until, tally, verification },
        }
    } else {
        NumberState::Open { failures, keep_until, tally, verification: Some(verification) }
    };
    (next, outcome)
}

/// A code that comes back. If the one that failed was a later code of the same verification, whatever was counted
/// meanwhile stays counted: else every message that fails would be worth a guess.
fn with_counts_of(old: Verification, failed: &Verification) -> Verification {
    let counted = match (failed.counted, old.counted) {
        (Some(since), Some(then)) if old.salt.track() == failed.salt.track() => Some(since.stricter(then)),
        (_, then) => then,
    };
    Verification { counted, ..old }
}
