//! Is a submitted code right?

use std::time::Duration;

use super::{Lockout, NumberState, Policy, Salt, Verification, check_growing, code_of};
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
    /// Which verification the caller named, by what its [`Salt::track`] begins with; `None` for whatever is under way.
    pub named: Option<VerificationName>,
}

/// What names one verification of a number: the upper 54 bits of its [`Salt::track`], which is what an id has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerificationName(u64);

impl VerificationName {
    /// How many bits it has.
    pub const BITS: u32 = 54;

    /// Of a verification.
    pub const fn of_track(track: u64) -> Self {
        Self(track >> (u64::BITS - Self::BITS))
    }

    /// From its bits; those that are too many are left out.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits & ((1 << Self::BITS) - 1))
    }

    /// Its bits.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether it names this one.
    pub fn is_of(self, verification: &Verification) -> bool {
        self == Self::of_track(verification.salt.track())
    }
}

impl Submitted<'_> {
    /// Whether the caller said which verification is meant.
    pub const fn is_named(&self) -> bool {
        self.named.is_some()
    }

    /// Whether this one is meant.
    pub fn is_about(&self, verification: &Verification) -> bool {
        self.named.is_none_or(|name| name.is_of(verification))
    }
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
    /// No attempt is left to this caller; the code was not looked at.
    NoChecksLeft {
        /// When there is one; `None` until an operator says so.
        until: Option<Timestamp>,
    },
    /// The verification that the caller named, or any, is not under way.
    NotFound,
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
    /// Whether the caller named the verification.
    pub is_named: bool,
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
    let (failures, keep_until, tally, verification) = match state {
        NumberState::Locked { until } => return (state, CheckOutcome::Locked { until }),
        NumberState::Fresh if policy.kind == Lockout::Growing || submitted.is_named() => {
            return (NumberState::Fresh, CheckOutcome::NotFound);
        }
        NumberState::Fresh => {
            let outcome = CheckOutcome::Wrong { attempts_left: policy.max_attempts, live: false };
            return (NumberState::Fresh, outcome);
        }
        NumberState::Open { failures, keep_until, tally, verification } => {
            (failures, keep_until, tally, verification)
        }
    };
    if let Some(asked) = verification.filter(|v| v.is_checking(now)) {
        return (state, CheckOutcome::Busy { until: asked.checking_until });
    }
    if policy.kind == Lockout::Growing {
        return check_growing::check(state, policy, submitted, check_budget, now);
    }
    let live = verification.filter(|v| v.is_live(now));
    if submitted.is_named() && !live.is_some_and(|v| submitted.is_about(&v)) {
        return (state, CheckOutcome::NotFound);
    }
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
            tally,
            verification: Some(Verification { checking_until: until, ..v }),
        };
        return (
            next,
            CheckOutcome::Ask(CheckPermit { salt: v.salt, held, until, is_named: submitted.is_named() }),
        );
    }
    let live = live.is_some();
    if policy.is_spent(failures) {
        let until = now.plus(policy.lockout);
        return (NumberState::Locked { until }, CheckOutcome::LockedNow { until, live });
    }
    let next = NumberState::Open { failures, keep_until, tally, verification };
    (next, CheckOutcome::Wrong { attempts_left: policy.max_attempts.saturating_sub(failures), live })
}

pub(super) fn is_ours(verification: &Verification, submitted: Submitted<'_>) -> bool {
    let Submitted { code, number, service, key, named: _ } = submitted;
    verification.ours_may_be_out()
        && code.is_some_and(|code| {
            let Verification { salt, length, .. } = verification;
            code.matches(&code_of(key, salt, number, service, *length, verification.offset()))
        })
}
