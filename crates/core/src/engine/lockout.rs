//! The number of attempts, and the lockout after the last one.
//!
//! With [`Lockout::Fixed`] the number is locked: [`Policy::lockout_end`]. With [`Lockout::Growing`] the verification is
//! spent and callers who do not name it have to wait: [`GrowingLockout`].

use std::time::Duration;

use super::{CheckOutcome, NumberCounts, NumberState, Policy, SendRules, Verification, VerificationCounts};
use crate::domain::{Channel, Timestamp};

/// The consequence of too many wrong codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lockout {
    /// The number is locked for a time, for every caller.
    Fixed,
    /// A caller who does not name the verification has to wait, longer each time; a caller who names it does not.
    /// Therefore an attacker who only knows a number cannot lock its owner out (ASVS 5.0 6.1.1).
    Growing,
}

/// The first wait of `Policy::wait_after`, in seconds; each further one is twice as long.
const FIRST_WAIT: u64 = 30;

/// The longest of these waits.
const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60);

impl Policy {
    /// Default number of wrong codes that a service allows.
    pub const DEFAULT_MAX_ATTEMPTS: u8 = 5;

    /// `max_attempts` without a limit: wrong codes are not counted.
    pub const NO_LIMIT: u8 = u8::MAX;

    /// Consecutive wrong codes for a number after which no check is allowed (NIST SP 800-63B-4, 3.2.2: at most 100).
    pub const HARD_STOP: u8 = 100;

    /// The same policy without limits: for test numbers, which are sent no messages.
    #[must_use]
    pub const fn without_limits(self) -> Self {
        let sends = SendRules { max: None, cools_down: false, ..self.sends };
        Self { max_attempts: Self::NO_LIMIT, kind: Lockout::Growing, sends, ..self }
    }

    /// The end of the lockout that begins at `at` with the last of `failures` consecutive wrong codes; `None` while
    /// attempts are left, and always with [`Lockout::Growing`].
    pub(super) fn lockout_end(&self, failures: u8, at: Timestamp) -> Option<Timestamp> {
        (self.kind == Lockout::Fixed && self.is_spent(failures)).then(|| at.plus(self.lockout))
    }

    /// Returns `true` if `wrong` wrong codes use up the attempts.
    pub(super) const fn is_spent(&self, wrong: u8) -> bool {
        wrong >= self.max_attempts && self.max_attempts != Self::NO_LIMIT
    }

    /// Returns `true` if `failures` consecutive wrong codes end all checks until an operator clears the number.
    pub(super) const fn is_stopped(&self, failures: u8) -> bool {
        failures >= Self::HARD_STOP && self.max_attempts != Self::NO_LIMIT
    }

    /// The wait of a caller who does not name the verification after `failures` in a row: none before
    /// the attempts of one verification are used, then 30 s, and twice as long each time, up to an hour.
    fn wait_after(&self, failures: u8) -> Duration {
        if !self.is_spent(failures) {
            return Duration::ZERO;
        }
        let doublings = u32::from(failures - self.max_attempts).min(16);
        Duration::from_secs(FIRST_WAIT << doublings).min(LONGEST_WAIT)
    }
}

/// The counts of [`Lockout::Growing`] in an open state with a verification.
#[derive(Debug, Clone, Copy)]
pub(super) struct GrowingLockout {
    pub failures: u8,
    pub keep_until: Timestamp,
    pub tally: NumberCounts,
    pub verification: Verification,
}

impl GrowingLockout {
    /// Consecutive failures, named or not.
    const fn in_a_row(&self) -> u8 {
        self.failures.saturating_add(self.tally.named)
    }

    fn counted(&self) -> VerificationCounts {
        self.verification.counted.unwrap_or(VerificationCounts {
            sends: 1,
            ..VerificationCounts::beginning(self.verification.expires, Channel::Sms)
        })
    }

    /// Counts a wrong code.
    pub(super) fn fail(mut self, is_named: bool, policy: &Policy, now: Timestamp) -> Self {
        let mut counted = self.counted();
        if is_named {
            counted.wrong = counted.wrong.saturating_add(1);
            counted.spent = policy.is_spent(counted.wrong);
            self.tally.named = self.tally.named.saturating_add(1);
        } else {
            counted.unnamed = counted.unnamed.saturating_add(1);
            self.failures = self.failures.saturating_add(1);
            let wait = policy.wait_after(self.failures);
            self.tally.slow_until = self.tally.slow_until.max(now.plus(wait));
        }
        self.keep_until = self.keep_until.max(now.plus(policy.lockout));
        if policy.is_stopped(self.in_a_row()) {
            self.keep_until = Timestamp::MAX;
        }
        self.verification.counted = Some(counted);
        self
    }

    /// Uncounts an attempt, because the gateway certainly did not compare the code.
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

    /// Attempts left for callers who name the verification (`is_named`), or for all others.
    pub(super) fn attempts_left(&self, is_named: bool, policy: &Policy) -> u8 {
        let counted = self.counted();
        policy.max_attempts.saturating_sub(if is_named { counted.wrong } else { counted.unnamed })
    }

    pub(super) const fn state(self) -> NumberState {
        let Self { failures, keep_until, tally, verification } = self;
        NumberState::Open { failures, keep_until, tally, verification: Some(verification) }
    }

    /// Returns the refusal if this caller may not check a code now.
    pub(super) fn refusal(&self, is_named: bool, policy: &Policy, now: Timestamp) -> Option<CheckOutcome> {
        let until = |until| Some(CheckOutcome::NoChecksLeft { until });
        if policy.max_attempts == Policy::NO_LIMIT {
            return None;
        }
        if self.verification.is_spent() {
            return until(Some(self.verification.expires));
        }
        if is_named {
            // Failures of callers who do not name the verification do not stop a caller who does.
            return policy.is_stopped(self.tally.named).then_some(CheckOutcome::NoChecksLeft { until: None });
        }
        if policy.is_stopped(self.in_a_row()) {
            return until(None);
        }
        if policy.is_spent(self.counted().unnamed) {
            return until(Some(self.verification.expires.max(self.tally.slow_until)));
        }
        if now < self.tally.slow_until { until(Some(self.tally.slow_until)) } else { None }
    }
}
