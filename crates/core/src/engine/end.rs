//! The end of a verification, or of a number's counts, by decision of somebody who may.

use super::{NumberState, Policy, Tally, Verification};
use crate::domain::Timestamp;

/// What is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The verification comes to nothing. What was counted of the number stays.
    Canceled,
    /// Its owner was verified in another way: as a right code.
    Approved,
    /// The number is as one that never asked, whatever was counted.
    Cleared,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndOutcome {
    /// It is ended.
    Ended(Option<Verification>),
    /// There is no such verification under way.
    NotFound,
    /// A gateway is being asked about a submitted code: decide again when that is settled.
    Busy {
        /// When it is over, settled or not.
        until: Timestamp,
    },
}

/// Ends the verification that is under way, if it is the one that `is_meant` knows. Counts are cleared whatever is under
/// way.
pub fn end(
    state: NumberState,
    policy: &Policy,
    ending: Ending,
    is_meant: impl Fn(&Verification) -> bool,
    now: Timestamp,
) -> (NumberState, EndOutcome) {
    let state = state.present(policy, now);
    if let Some(asked) = state.verification().filter(|v| v.is_checking(now)) {
        return (state, EndOutcome::Busy { until: asked.checking_until });
    }
    let under_way = state.verification().filter(|v| now < v.expires && is_meant(v));
    match (ending, under_way) {
        (Ending::Cleared, _) | (Ending::Approved, Some(_)) => {
            (NumberState::Fresh, EndOutcome::Ended(under_way))
        }
        (Ending::Canceled | Ending::Approved, None) => (state, EndOutcome::NotFound),
        (Ending::Canceled, Some(_)) => (without_verification(state), EndOutcome::Ended(under_way)),
    }
}

fn without_verification(state: NumberState) -> NumberState {
    match state {
        NumberState::Open { failures: 0, tally: Tally::NONE, .. } => NumberState::Fresh,
        NumberState::Open { failures, keep_until, tally, verification: _ } => {
            NumberState::Open { failures, keep_until, tally, verification: None }
        }
        other @ (NumberState::Fresh | NumberState::Locked { .. }) => other,
    }
}
