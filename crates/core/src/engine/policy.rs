//! The rules that decisions are made by.

use std::time::Duration;

use crate::domain::CodeLength;

/// The rules of one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Wrong codes: of the number until it is locked ([`Lockout::Fixed`]), or of one verification until it is over
    /// ([`Lockout::Growing`]). At least 1; [`Policy::NO_LIMIT`] for as many as anybody likes.
    pub max_attempts: u8,
    /// How long a lockout lasts. Also how long a number's count is kept beyond its code's end.
    pub lockout: Duration,
    /// What too many wrong codes lead to.
    pub kind: Lockout,
    /// What a code is like unless the request says otherwise.
    pub code: SendOptions,
    /// What a further send of a live verification may do.
    pub sends: SendRules,
}

/// What too many wrong codes of a number lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lockout {
    /// The number is locked for a time, whoever asks.
    Fixed,
    /// Whoever does not name the verification has to wait, longer each time; whoever does, has not. So nobody who
    /// only knows a number can stop its owner (ASVS 5.0 6.1.1).
    Growing,
}

/// What a further send of a live verification may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendRules {
    /// Messages of one verification; `None` without a limit.
    pub max: Option<u8>,
    /// Whether it sends the same code, which ends when it would have; else a new one with a new life.
    pub keeps_code: bool,
    /// Whether it has to wait after the last: 30, 60, 120, then 300 s.
    pub cools_down: bool,
}

impl SendRules {
    /// Those of the contract's routes: as many as anybody likes, each with a new code.
    pub const CONTRACT: Self = Self { max: None, keeps_code: false, cools_down: false };
}

impl Policy {
    /// So many wrong codes are not counted.
    pub const NO_LIMIT: u8 = u8::MAX;

    /// Consecutive failures of a number after which nobody may try any more (NIST SP 800-63B-4, 3.2.2: at most 100).
    pub const HARD_STOP: u8 = 100;

    /// Whether so many wrong codes are too many.
    pub const fn is_spent(&self, wrong: u8) -> bool {
        wrong >= self.max_attempts && self.max_attempts != Self::NO_LIMIT
    }

    /// The same without limits: for numbers that nobody is sent anything to.
    #[must_use]
    pub const fn without_limits(self) -> Self {
        let sends = SendRules { max: None, cools_down: false, ..self.sends };
        Self { max_attempts: Self::NO_LIMIT, kind: Lockout::Growing, sends, ..self }
    }
}

/// What one verification's code is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendOptions {
    /// How long the code can be used.
    pub life: Duration,
    /// How many digits it has.
    pub length: CodeLength,
}
