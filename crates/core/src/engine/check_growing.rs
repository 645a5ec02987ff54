//! Is this the code, where a lockout grows?

use std::time::Duration;

use super::check::is_ours;
use super::counted::{FOR_EVER, wait_after};
use super::{CheckOutcome, CheckPermit, Counted, NumberState, Policy, Submitted, Tally, Verification};
use crate::domain::{Channel, Timestamp};

/// The parts of an open state.
#[derive(Debug, Clone, Copy)]
pub(super) struct Open {
    pub(super) failures: u8,
    pub(super) keep_until: Timestamp,
    pub(super) tally: Tally,
    pub(super) verification: Verification,
}

impl Open {
    /// Consecutive failures, named or not.
    const fn in_a_row(&self) -> u8 {
        self.failures.saturating_add(self.tally.named)
    }

    fn counted(&self) -> Counted {
        self.verification
            .counted
            .unwrap_or(Counted { sends: 1, ..Counted::beginning(self.verification.expires, Channel::Sms) })
    }

    /// One more wrong code: of those who name the verification, or of those who do not.
    pub(super) fn fail(mut self, is_named: bool, policy: &Policy, now: Timestamp) -> Self {
        let mut counted = self.counted();
        if is_named {
            counted.wrong = counted.wrong.saturating_add(1);
            counted.spent = policy.is_spent(counted.wrong);
            self.tally.named = self.tally.named.saturating_add(1);
        } else {
            counted.unnamed = counted.unnamed.saturating_add(1);
            self.failures = self.failures.saturating_add(1);
            let wait = wait_after(self.failures, policy);
            self.tally.slow_until = self.tally.slow_until.max(now.plus(wait));
        }
        self.keep_until = self.keep_until.max(now.plus(policy.lockout));
        if self.in_a_row() >= Policy::HARD_STOP && policy.max_attempts != Policy::NO_LIMIT {
            self.keep_until = FOR_EVER;
        }
        self.verification.counted = Some(counted);
        self
    }

    /// The attempt was counted, and surely nobody looked at the code.
    pub(super) fn give_back(mut self, is_named: bool) -> Self {
        let mut counted = self.counted();
        if is_named {
            counted.wrong = counted.wrong.saturating_sub(1);
            counted.spent = false;
            self.tally.named = self.tally.named.saturating_sub(1);
        } else {
            counted.unnamed = counted.unnamed.saturating_sub(1);
            self.failures = self.failures.saturating_sub(1);
        }
        self.verification.counted = Some(counted);
        self
    }

    /// Attempts that the same caller has left.
    pub(super) fn attempts_left(&self, is_named: bool, policy: &Policy) -> u8 {
        let counted = self.counted();
        policy.max_attempts.saturating_sub(if is_named { counted.wrong } else { counted.unnamed })
    }

    pub(super) const fn state(self) -> NumberState {
        let Self { failures, keep_until, tally, verification } = self;
        NumberState::Open { failures, keep_until, tally, verification: Some(verification) }
    }

    /// Why this caller may not try now.
    fn refusal(&self, is_named: bool, policy: &Policy, now: Timestamp) -> Option<CheckOutcome> {
        let until = |until| Some(CheckOutcome::NoChecksLeft { until });
        if policy.max_attempts == Policy::NO_LIMIT {
            return None;
        }
        if self.verification.is_spent() {
            return until(Some(self.verification.expires));
        }
        if is_named {
            // Whoever does not name it cannot stop whoever does.
            return (self.tally.named >= Policy::HARD_STOP)
                .then_some(CheckOutcome::NoChecksLeft { until: None });
        }
        if self.in_a_row() >= Policy::HARD_STOP {
            return until(None);
        }
        if policy.is_spent(self.counted().unnamed) {
            return until(Some(self.verification.expires.max(self.tally.slow_until)));
        }
        if now < self.tally.slow_until { until(Some(self.tally.slow_until)) } else { None }
    }
}

/// Decides a check. A wrong code counts against the verification if the caller named it, and against the number if not;
/// without a verification under way there is nothing to guess, and nothing counts.
pub(super) fn check(
    state: NumberState,
    policy: &Policy,
    submitted: Submitted<'_>,
    check_budget: Duration,
    now: Timestamp,
) -> (NumberState, CheckOutcome) {
    let NumberState::Open { failures, keep_until, tally, verification: Some(v) } = state else {
        return (state, CheckOutcome::NotFound);
    };
    if now >= v.expires || !submitted.is_about(&v) {
        return (state, CheckOutcome::NotFound);
    }
    let open = Open { failures, keep_until, tally, verification: v };
    let is_named = submitted.is_named();
    if let Some(refusal) = open.refusal(is_named, policy, now) {
        return (state, refusal);
    }
    if is_ours(&v, submitted) {
        return (NumberState::Fresh, CheckOutcome::Approved);
    }
    let mut next = open.fail(is_named, policy, now);
    if let Some(held) = v.held.filter(|_| submitted.code.is_some()) {
        let until = now.plus(check_budget);
        // The record outlives the asking.
        next.keep_until = next.keep_until.max(until.plus(policy.lockout));
        next.verification.checking_until = until;
        return (next.state(), CheckOutcome::Ask(CheckPermit { salt: v.salt, held, until, is_named }));
    }
    let outcome = CheckOutcome::Wrong { attempts_left: next.attempts_left(is_named, policy), live: true };
    (next.state(), outcome)
}
