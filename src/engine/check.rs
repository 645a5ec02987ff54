//! Is a submitted code right?

use std::time::Duration;

use super::{NumberState, Policy, Salt, Verification, derive_code};
use crate::domain::{Code, Held, PhoneNumber, ServerKey, ServiceId, Timestamp};

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
    /// Counted. Ask the gateway that holds the code, then [`settle_check`](super::settle_check) the
    /// permit.
    Ask(CheckPermit),
    /// A gateway is being asked about an earlier code: decide again when that is settled.
    Busy {
        /// When it is over, settled or not.
        until: Timestamp,
    },
}

/// The right to ask a gateway about one submitted code, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckPermit {
    /// The verification that it is about.
    pub salt: Salt,
    /// Who is to be asked.
    pub held: Held,
    /// When it ends, which also tells it from an earlier permit of the same verification. What the
    /// gateway says later is not believed.
    pub until: Timestamp,
}

/// Decides a check.
///
/// A right code works once, clears the count and makes the number fresh. A late code counts as a
/// wrong one. A number that never asked learns nothing and leaves no state.
///
/// A code that a gateway holds is compared with ours first, if ours may be out too. If that does not
/// decide it, the attempt is counted before the gateway is asked, even if it is the last one: whatever
/// happens to the answer, no guess is free. `check_budget` is how long the asking may take in all.
pub fn check(
    state: NumberState,
    policy: &Policy,
    submitted: Submitted<'_>,
    check_budget: Duration,
    now: Timestamp,
) -> (NumberState, CheckOutcome) {
    let state = state.present(policy, now);
    let (failures, keep_until, verification) = match state {
        NumberState::Locked { until } => return (state, CheckOutcome::Locked { until }),
        NumberState::Fresh => {
            let outcome = CheckOutcome::Wrong { attempts_left: policy.max_attempts, live: false };
            return (NumberState::Fresh, outcome);
        }
        NumberState::Open { failures, keep_until, verification } => (failures, keep_until, verification),
    };
    if let Some(asked) = verification.filter(|v| v.is_checking(now)) {
        return (state, CheckOutcome::Busy { until: asked.checking_until });
    }
    let live = verification.filter(|v| v.is_live(now));
    if live.is_some_and(|v| is_ours(&v, submitted)) {
        return (NumberState::Fresh, CheckOutcome::Approved);
    }
    let failures = failures.saturating_add(1);
    // What cannot be a code is wrong whoever is asked.
    if let Some((v, held)) =
        live.and_then(|v| v.held.map(|held| (v, held))).filter(|_| submitted.code.is_some())
    {
        let until = now.plus(check_budget);
        let next = NumberState::Open {
            failures,
            // The record outlives the asking, and then a lockout.
            keep_until: keep_until.max(until.plus(policy.lockout)),
            verification: Some(Verification { checking_until: until, ..v }),
        };
        return (next, CheckOutcome::Ask(CheckPermit { salt: v.salt, held, until }));
    }
    let live = live.is_some();
    if failures >= policy.max_attempts {
        let until = now.plus(policy.lockout);
        return (NumberState::Locked { until }, CheckOutcome::LockedNow { until, live });
    }
    let next = NumberState::Open { failures, keep_until, verification };
    (next, CheckOutcome::Wrong { attempts_left: policy.max_attempts - failures, live })
}

fn is_ours(verification: &Verification, submitted: Submitted<'_>) -> bool {
    let Submitted { code, number, service, key } = submitted;
    verification.ours_may_be_out()
        && code.is_some_and(|code| {
            code.matches(&derive_code(key, &verification.salt, number, service, verification.length))
        })
}
