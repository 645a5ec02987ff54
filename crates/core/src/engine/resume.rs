//! May the code that is out be sent once more, without anybody asking?

use std::time::Duration;

use super::send::permit_for;
use super::{NumberState, Policy, Salt, SendPermit, Verification};
use crate::domain::Timestamp;

/// What a later send of the same code may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResumeOutcome {
    /// Hand a message to the gateway, then [`settle`](fn@super::settle) the permit.
    Permitted(SendPermit),
    /// The code was used, replaced or locked, or it has expired.
    NotUsable,
    /// A gateway is being asked about a submitted code: decide again when that is settled.
    Busy {
        /// When it is over, settled or not.
        until: Timestamp,
    },
}

/// Decides whether the code of `salt` may be sent once more: only while it is the number's live one.
///
/// Nothing is prolonged. A send that the client asks for meanwhile repeats the code, as it does while
/// any other message is on its way. `send_budget` is how long the gateway may take to answer.
pub fn resume(
    state: NumberState,
    policy: &Policy,
    salt: Salt,
    send_budget: Duration,
    now: Timestamp,
) -> (NumberState, ResumeOutcome) {
    let state = state.present(policy, now);
    let NumberState::Open { failures, keep_until, tally, verification: Some(current) } = state else {
        return (state, ResumeOutcome::NotUsable);
    };
    if current.salt != salt || !current.is_live(now) {
        return (state, ResumeOutcome::NotUsable);
    }
    if current.is_checking(now) {
        return (state, ResumeOutcome::Busy { until: current.checking_until });
    }
    let verification = Verification {
        sending: current.sending.saturating_add(1),
        sending_until: current.sending_until.max(now.plus(send_budget)),
        postponed: false,
        ..current
    };
    let next = NumberState::Open { failures, keep_until, tally, verification: Some(verification) };
    (next, ResumeOutcome::Permitted(permit_for(&current, None)))
}
