//! Rules of decisions.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::{CodeLength, ServerKey, Timestamp};

/// The parameters of every decision beside the state, the request and the time.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// The rules of the number's service.
    pub policy: Policy,
    /// The key that codes are derived with.
    pub key: &'a ServerKey,
    /// The longest duration of one send's delivery, and of one check at a gateway that holds the code, from the decision to
    /// the decision about its result.
    pub send_budget: Duration,
}

/// The rules of one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Wrong codes until the number is locked ([`LockoutRule::Fixed`]) or until the verification is used up. At least
    /// 1; the default is [`Policy::DEFAULT_MAX_ATTEMPTS`].
    pub max_attempts: u8,
    /// The consequence of too many wrong codes.
    pub lockout: LockoutRule,
    /// Properties of a code unless the request gives others.
    pub code: SendOptions,
    /// Rules for further messages of a live verification.
    pub sends: SendRules,
}

/// The consequence of too many wrong codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LockoutRule {
    /// The number is locked for this long, for every caller.
    Fixed(Duration),
    /// The verification takes no more codes, from any caller.
    Verification,
}

/// Rules for further messages of a live verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendRules {
    /// Maximum number of messages of one verification; `None` for no limit.
    pub max: Option<u8>,
    /// A further message carries the same code, and prolongs its life where little is left; otherwise a new code with a new
    /// life.
    pub keeps_code: bool,
    /// The caller has to wait between messages: 30, 60, 120, then 300 s.
    pub cools_down: bool,
}

impl SendRules {
    /// Default number of messages that a service allows for one verification.
    pub const DEFAULT_MAX: u8 = 5;

    /// The rules of the compatible routes: no limit, and each message has a new code.
    pub const CONTRACT: Self = Self { max: None, keeps_code: false, cools_down: false };
}

/// Properties of one verification's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendOptions {
    /// The lifetime of the code.
    pub life: Duration,
    /// Number of digits.
    pub length: CodeLength,
}

impl SendOptions {
    /// The defaults of a service: six digits for ten minutes.
    pub const DEFAULT: Self = Self { life: Duration::from_secs(600), length: CodeLength::SIX };
}

// The number of attempts, and the consequence of too many wrong codes.
//
// [`LockoutRule::Fixed`] locks the number: [`Policy::lockout_end`]. [`LockoutRule::Verification`] uses up the
// verification, and counts consecutive wrong codes over all verifications of the number ([`FailureCount`]).

/// Wrong codes of a number, over all its verifications, and the hard stop after too many of them: those in a row, which a
/// success clears, and those of the last time, which it does not. Otherwise the owner's sign-ins would clear the guesses of
/// another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureCount {
    /// The count. [`FailureCount::HARD_STOP_AT`] wrong codes begin a hard stop.
    pub in_a_row: u8,
    /// The time of the last wrong code. [`Timestamp::EPOCH`] with a fixed lockout, where the record's end ends the
    /// count.
    pub last: Timestamp,
    /// When the wrong codes that no success clears are forgotten. Each moves it by [`FailureCount::REMEMBERED`].
    pub forgotten: Timestamp,
}

impl FailureCount {
    /// No wrong codes.
    pub const NONE: Self = Self { in_a_row: 0, last: Timestamp::EPOCH, forgotten: Timestamp::EPOCH };

    /// Consecutive wrong codes after which no code is checked for [`FailureCount::HARD_STOP_TIME`] (NIST SP 800-63B-4,
    /// 3.2.2: at most 100).
    pub const HARD_STOP_AT: u8 = 100;

    /// The length of a hard stop.
    pub const HARD_STOP_TIME: Duration = Duration::from_secs(30 * 24 * 3_600);

    /// The count after a hard stop.
    pub const COUNT_AFTER_STOP: u8 = 50;

    /// Retention of a count after its last wrong code. Per retention an attacker has 99 guesses by waiting for the end
    /// of the count, or 150 by waiting for the ends of hard stops.
    pub const RETENTION: Duration = Duration::from_secs(90 * 24 * 3_600);

    /// How long each wrong code is remembered, one after the other: a hundred for as long as a hard stop lasts. A hundred of
    /// them begin a stop, too.
    pub const REMEMBERED: Duration =
        Duration::from_secs(Self::HARD_STOP_TIME.as_secs() / Self::HARD_STOP_AT as u64);

    /// The count at `now`: [`FailureCount::NONE`] after its retention, [`FailureCount::COUNT_AFTER_STOP`] after a hard
    /// stop.
    #[must_use]
    pub(super) fn at(mut self, now: Timestamp) -> Self {
        if self.stopped_until().is_some_and(|end| now >= end) {
            self.in_a_row = self.in_a_row.min(Self::COUNT_AFTER_STOP);
            self.forgotten = Timestamp::EPOCH;
        }
        if now >= self.forgotten {
            self.forgotten = Timestamp::EPOCH;
        }
        if !self.is_untimed() && now >= self.last.plus(Self::RETENTION) { Self::NONE } else { self }
    }

    /// Returns `true` if no wrong code has a time: there is none, or a fixed lockout counts, and the count ends with its
    /// record.
    pub(super) fn is_untimed(self) -> bool {
        self.last == Timestamp::EPOCH
    }

    #[must_use]
    pub(super) const fn counted(self) -> Self {
        Self { in_a_row: self.in_a_row.saturating_add(1), ..self }
    }

    /// Counts a wrong code that no success clears, and its time, beside [`counted`](Self::counted).
    #[must_use]
    pub(super) fn remembered(self, now: Timestamp) -> Self {
        Self { last: now, forgotten: self.forgotten.max(now).plus(Self::REMEMBERED), ..self }
    }

    /// What a success leaves.
    #[must_use]
    pub(super) const fn cleared(self) -> Self {
        Self { forgotten: self.forgotten, ..Self::NONE }
    }

    /// Undoes [`counted`](Self::counted).
    #[must_use]
    pub(super) const fn given_back(self) -> Self {
        match self.in_a_row {
            0 | 1 => self.cleared(),
            more => Self { in_a_row: more - 1, ..self },
        }
    }

    /// Undoes [`remembered`](Self::remembered) of the last wrong code.
    #[must_use]
    pub(super) fn unremembered(self) -> Self {
        let forgotten = self.forgotten.minus(Self::REMEMBERED);
        Self { forgotten: if forgotten <= self.last { Timestamp::EPOCH } else { forgotten }, ..self }
    }

    /// The end of the hard stop, if it has begun.
    pub fn stopped_until(self) -> Option<Timestamp> {
        let end = self.last.plus(Self::HARD_STOP_TIME);
        let remembers_a_hundred = self.forgotten > end.minus(Self::REMEMBERED);
        let has_begun = self.in_a_row >= Self::HARD_STOP_AT || remembers_a_hundred;
        (has_begun && !self.is_untimed()).then_some(end)
    }

    /// The end of the count's retention.
    pub(super) fn kept_until(self) -> Timestamp {
        self.last.plus(Self::RETENTION).max(self.forgotten)
    }
}

/// A fixed lockout must leave at least this many codes for each guess in a day.
const CODES_PER_DAILY_GUESS: u128 = 10;

impl Policy {
    /// Default number of wrong codes that a service allows.
    pub const DEFAULT_MAX_ATTEMPTS: u8 = 5;

    /// The wait after the last of `sends` messages of one verification: 30, 60, 120, then 300 s.
    pub(super) const fn wait_between_sends(sends: u8) -> Duration {
        Duration::from_secs(match sends {
            0 => 0,
            1 => 30,
            2 => 60,
            3 => 120,
            _ => 300,
        })
    }

    /// The length of a fixed lockout; zero for the other rule, which locks no number.
    pub const fn lockout_time(&self) -> Duration {
        match self.lockout {
            LockoutRule::Fixed(time) => time,
            LockoutRule::Verification => Duration::ZERO,
        }
    }

    /// Checks that a fixed lockout leaves an attacker at most a tenth of all codes in a day.
    ///
    /// # Errors
    /// The reason, as the end of a sentence that begins with the lockout.
    pub fn check_strength(&self) -> Result<(), String> {
        let LockoutRule::Fixed(time) = self.lockout else { return Ok(()) };
        let day = Duration::from_secs(24 * 3_600).as_millis();
        let guesses = u128::from(self.max_attempts) * day / time.as_millis().max(1);
        let (wrong, digits) = (self.max_attempts, self.code.length.get());
        if guesses * CODES_PER_DAILY_GUESS <= 10_u128.pow(u32::from(digits)) {
            return Ok(());
        }
        Err(format!(
            "allows {guesses} guesses a day, more than a tenth of all codes: choose a longer time, fewer wrong codes \
             than {wrong}, or codes of more than {digits} characters"
        ))
    }

    /// The end of the lockout that begins at `at` with the last of `failures` consecutive wrong codes; `None` while
    /// attempts are left, and without a fixed lockout.
    pub(super) fn lockout_end(&self, failures: FailureCount, at: Timestamp) -> Option<Timestamp> {
        let LockoutRule::Fixed(time) = self.lockout else { return None };
        self.is_spent(failures.in_a_row).then(|| at.plus(time))
    }

    /// Attempts left after `wrong` wrong codes.
    pub const fn attempts_left(&self, wrong: u8) -> u8 {
        self.max_attempts.saturating_sub(wrong)
    }

    /// Returns `true` if too many wrong codes lock the number.
    pub(super) const fn is_fixed(&self) -> bool {
        matches!(self.lockout, LockoutRule::Fixed(_))
    }

    /// Returns `true` if `wrong` wrong codes use up the attempts.
    pub(super) const fn is_spent(&self, wrong: u8) -> bool {
        wrong >= self.max_attempts
    }
}
