//! The number of attempts, and the lockout after the last one.
//!
//! With [`Lockout::Fixed`] the number is locked: [`Policy::lockout_end`]. With [`Lockout::Growing`] the verification is
//! spent and callers who do not name it have to wait: [`GrowingLockout`].

use std::time::Duration;

use super::{CheckOutcome, NumberState, OpenNumber, Policy, SendRules, Verification, VerificationCounts};
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
    pub open: OpenNumber,
    pub verification: Verification,
}

impl GrowingLockout {
    /// Consecutive failures, named or not.
    const fn in_a_row(&self) -> u8 {
        self.open.failures.saturating_add(self.open.tally.named)
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
            self.open.tally.named = self.open.tally.named.saturating_add(1);
        } else {
            counted.unnamed = counted.unnamed.saturating_add(1);
            self.open.failures = self.open.failures.saturating_add(1);
            let wait = policy.wait_after(self.open.failures);
            self.open.tally.slow_until = self.open.tally.slow_until.max(now.plus(wait));
        }
        self.open.keep_until = self.open.keep_until.max(now.plus(policy.lockout));
        if policy.is_stopped(self.in_a_row()) {
            self.open.keep_until = Timestamp::MAX;
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
            self.open.tally.named = self.open.tally.named.saturating_sub(1);
        } else {
            counted.unnamed = counted.unnamed.saturating_sub(1);
            self.open.failures = self.open.failures.saturating_sub(1);
        }
        self.verification.counted = Some(counted);
        self
    }

    /// Attempts left for callers who name the verification (`is_named`), or for all others.
    pub(super) fn attempts_left(&self, is_named: bool, policy: &Policy) -> u8 {
        let counted = self.counted();
        policy.max_attempts.saturating_sub(if is_named { counted.wrong } else { counted.unnamed })
    }

    pub(super) fn state(self) -> NumberState {
        self.open.with(Some(self.verification))
    }

    /// Returns the refusal if this caller may not check a code now.
    pub(super) fn refusal(&self, is_named: bool, policy: &Policy, now: Timestamp) -> Option<CheckOutcome> {
        // Failures of callers who do not name the verification do not stop a caller who does.
        let in_a_row = if is_named { self.open.tally.named } else { self.in_a_row() };
        let until = if policy.max_attempts == Policy::NO_LIMIT {
            return None;
        } else if self.verification.is_spent() {
            Some(self.verification.expires)
        } else if policy.is_stopped(in_a_row) {
            None
        } else if !is_named && policy.is_spent(self.counted().unnamed) {
            Some(self.verification.expires.max(self.open.tally.slow_until))
        } else if !is_named && now < self.open.tally.slow_until {
            Some(self.open.tally.slow_until)
        } else {
            return None;
        };
        Some(CheckOutcome::NoChecksLeft { until })
    }
}
