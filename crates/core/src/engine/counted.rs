//! What is counted of a verification that was asked for by itself, and of a number whose lockout grows.

use std::time::Duration;

use super::Policy;
use crate::domain::{Channel, Timestamp};

/// What is counted of one verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// When it began.
    pub begun: Timestamp,
    /// When its last message was asked for.
    pub last_send: Timestamp,
    /// How that was to be delivered.
    pub channel: Channel,
    /// Messages that were asked for.
    pub sends: u8,
    /// Wrong codes from callers who named it.
    pub wrong: u8,
    /// Wrong codes from callers who only named the number.
    pub unnamed: u8,
    /// Whether those who name it have used their last attempt.
    pub spent: bool,
    /// What is added to the derived code, digit for digit as one number, so that it becomes the one that the caller
    /// brought along. It says nothing without the server key.
    pub offset: u64,
}

/// What is counted of a number beside the failures of those who do not name their verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Consecutive wrong codes from callers who named their verification.
    pub named: u8,
    /// Until when nobody may try who does not.
    pub slow_until: Timestamp,
}

/// The first wait, in seconds; each further one is twice as long.
const FIRST_WAIT: u64 = 30;

/// The longest wait.
pub const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60);

/// How long a number may keep its count when it has reached the hard stop: until somebody says otherwise. Fits into six
/// bytes, which is what memory has for a moment.
pub const FOR_EVER: Timestamp = Timestamp::from_millis((1 << 48) - 1);

impl Tally {
    /// Nothing was counted.
    pub const NONE: Self = Self { named: 0, slow_until: Timestamp::EPOCH };

    /// The stricter of two.
    #[must_use]
    pub fn stricter(self, other: Self) -> Self {
        Self { named: self.named.max(other.named), slow_until: self.slow_until.max(other.slow_until) }
    }
}

impl Counted {
    /// Of a verification that begins, before its first message.
    pub const fn beginning(at: Timestamp, channel: Channel) -> Self {
        Self { begun: at, last_send: at, channel, sends: 0, wrong: 0, unnamed: 0, spent: false, offset: 0 }
    }

    /// The stricter of two about one verification.
    #[must_use]
    pub fn stricter(self, other: Self) -> Self {
        Self {
            last_send: self.last_send.max(other.last_send),
            sends: self.sends.max(other.sends),
            wrong: self.wrong.max(other.wrong),
            unnamed: self.unnamed.max(other.unnamed),
            spent: self.spent || other.spent,
            ..other
        }
    }
}

/// How long those who do not name their verification have to wait after so many failures in a row: nothing before the
/// attempts of one verification are used, then 30 s, and twice as long each time, up to an hour.
pub fn wait_after(failures: u8, policy: &Policy) -> Duration {
    if !policy.is_spent(failures) {
        return Duration::ZERO;
    }
    let doublings = u32::from(failures - policy.max_attempts).min(16);
    Duration::from_secs(FIRST_WAIT << doublings).min(LONGEST_WAIT)
}

/// The wait between two messages of one verification: 30, 60, 120, then 300 s.
pub const fn cooling_down(sends: u8) -> Duration {
    Duration::from_secs(match sends {
        0 => 0,
        1 => 30,
        2 => 60,
        3 => 120,
        _ => 300,
    })
}
