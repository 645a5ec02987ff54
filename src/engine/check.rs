//! Is a submitted code right?

use super::{NumberState, Policy, derive_code};
use crate::domain::{Code, PhoneNumber, ServerKey, ServiceId, Timestamp};

/// What was submitted, and what is needed to judge it.
#[derive(Debug, Clone, Copy)]
pub struct Submitted<'a> {
    /// The code; `None` when the text cannot be one, which counts as a wrong code.
    pub code: Option<&'a Code>,
    /// Whose it is.
    pub number: PhoneNumber,
    /// The namespace it was sent in.
    pub service: ServiceId,
    /// What codes are derived with.
    pub key: &'a ServerKey,
}

/// The outcome of a check. Nobody may be told before the state it comes with is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckOutcome {
    /// Right, and now used.
    Approved,
    /// Wrong, late, or nothing was outstanding.
    Wrong {
        /// Wrong codes still allowed after this one.
        attempts_left: u8,
        /// Whether there was a live code to compare with.
        live: bool,
    },
    /// Wrong, and the last one allowed: locked from now on.
    LockedNow {
        /// When the lockout ends.
        until: Timestamp,
        /// Whether there was a live code to compare with.
        live: bool,
    },
    /// Locked already; the code was not looked at.
    Locked {
        /// When the lockout ends.
        until: Timestamp,
    },
}

/// Decides a check.
///
/// A right code works once, clears the count and makes the number fresh. A late code counts as a
/// wrong one. A number that never asked learns nothing and leaves no state.
pub fn check(
    state: NumberState,
    policy: &Policy,
    submitted: Submitted<'_>,
    now: Timestamp,
) -> (NumberState, CheckOutcome) {
    let (failures, keep_until, verification) = match state.at(now) {
        NumberState::Locked { until } => return (state, CheckOutcome::Locked { until }),
        NumberState::Fresh => {
            let outcome = CheckOutcome::Wrong { attempts_left: policy.max_attempts, live: false };
            return (NumberState::Fresh, outcome);
        }
        NumberState::Open { failures, keep_until, verification } => (failures, keep_until, verification),
    };
    let live = verification.filter(|v| v.is_live(now));
    let right = live.is_some_and(|v| {
        let expected = derive_code(submitted.key, &v.salt, submitted.number, submitted.service, v.length);
        submitted.code.is_some_and(|code| code.matches(&expected))
    });
    if right {
        return (NumberState::Fresh, CheckOutcome::Approved);
    }
    let live = live.is_some();
    let failures = failures.saturating_add(1);
    if failures >= policy.max_attempts {
        let until = now.plus(policy.lockout);
        return (NumberState::Locked { until }, CheckOutcome::LockedNow { until, live });
    }
    let next = NumberState::Open { failures, keep_until, verification };
    (next, CheckOutcome::Wrong { attempts_left: policy.max_attempts - failures, live })
}
