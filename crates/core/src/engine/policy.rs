//! The rules that decisions are made by.

use std::time::Duration;

use crate::domain::{CodeLength, ServerKey};

/// What every decision rests on beside the state, the request and the time.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// The rules of the number's service.
    pub policy: Policy,
    /// The key that codes are derived with.
    pub key: &'a ServerKey,
    /// How long delivery may take for one send, from the decision on.
    pub send_budget: Duration,
    /// How long a gateway that holds a code may take for one check, from the decision to the decision about its
    /// result.
    pub check_budget: Duration,
}

/// The rules of one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Wrong codes until the number is locked ([`Lockout::Fixed`]) or until the verification is spent
    /// ([`Lockout::Growing`]). At least 1; [`Policy::NO_LIMIT`] for no limit.
    pub max_attempts: u8,
    /// How long a lockout lasts. Also how long a number's count is kept beyond its code's end.
    pub lockout: Duration,
    /// The consequence of too many wrong codes.
    pub kind: Lockout,
    /// Properties of a code unless the request gives others.
    pub code: SendOptions,
    /// Rules for further messages of a live verification.
    pub sends: SendRules,
}

/// The consequence of too many wrong codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lockout {
    /// The number is locked for a time, for every caller.
    Fixed,
    /// A caller who does not name the verification has to wait, longer each time; a caller who names it has not.
    /// Therefore an attacker who only knows a number cannot lock its owner out (ASVS 5.0 6.1.1).
    Growing,
}

/// Rules for further messages of a live verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendRules {
    /// Messages of one verification; `None` without a limit.
    pub max: Option<u8>,
    /// Whether a further message carries the same code, whose end does not change; otherwise a new code with a new life.
    pub keeps_code: bool,
    /// Whether a further message has to wait after the last one: 30, 60, 120, then 300 s.
    pub cools_down: bool,
}

impl SendRules {
    /// Those of the contract's routes: no limit, and each message has a new code.
    pub const CONTRACT: Self = Self { max: None, keeps_code: false, cools_down: false };
}

/// The first wait of `Policy::wait_after`, in seconds; each further one is twice as long.
const FIRST_WAIT: u64 = 30;

impl Policy {
    /// Wrong codes that a service allows unless it is configured otherwise.
    pub const DEFAULT_MAX_ATTEMPTS: u8 = 5;

    /// `max_attempts` without a limit: wrong codes are not counted.
    pub const NO_LIMIT: u8 = u8::MAX;

    /// Consecutive failures of a number after which no check is allowed (NIST SP 800-63B-4, 3.2.2: at most 100).
    pub const HARD_STOP: u8 = 100;

    /// The longest of the waits in `Policy::wait_after`.
    pub const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60);

    /// Whether `wrong` codes use up the attempts.
    pub const fn is_spent(&self, wrong: u8) -> bool {
        wrong >= self.max_attempts && self.max_attempts != Self::NO_LIMIT
    }

    /// The same without limits: for test numbers, which are sent no messages.
    #[must_use]
    pub const fn without_limits(self) -> Self {
        let sends = SendRules { max: None, cools_down: false, ..self.sends };
        Self { max_attempts: Self::NO_LIMIT, kind: Lockout::Growing, sends, ..self }
    }

    /// How long a caller who does not name the verification has to wait after `failures` in a row: not at all before
    /// the attempts of one verification are used, then 30 s, and twice as long each time, up to an hour.
    pub(super) fn wait_after(&self, failures: u8) -> Duration {
        if !self.is_spent(failures) {
            return Duration::ZERO;
        }
        let doublings = u32::from(failures - self.max_attempts).min(16);
        Duration::from_secs(FIRST_WAIT << doublings).min(Self::LONGEST_WAIT)
    }

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
}

/// Properties of one verification's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendOptions {
    /// How long the code can be used.
    pub life: Duration,
    /// Number of digits.
    pub length: CodeLength,
}
