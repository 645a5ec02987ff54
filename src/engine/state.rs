//! The state of one number in one service.

use crate::domain::{CodeLength, Timestamp};

/// The random bytes that a code is derived from, together with the server key. Also what tells
/// one code of a number from the next.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt(pub [u8; 16]);

impl std::fmt::Debug for Salt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Salt(***)")
    }
}

/// The life of one number in one service. A number that never asked, one that was verified and
/// one whose record has ended are all the same: [`NumberState::Fresh`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberState {
    /// Nothing is known of this number.
    Fresh,
    /// Codes may be sent and checked.
    Open {
        /// Consecutive wrong codes. Neither a resend nor a new verification resets them
        /// (NIST SP 800-63B-4, 3.2.2); success and the end of a lockout do.
        failures: u8,
        /// When this record ends and the number is fresh again.
        keep_until: Timestamp,
        /// The outstanding code, if there is one. It may have expired.
        verification: Option<Verification>,
    },
    /// No code is sent or checked.
    Locked {
        /// When the lockout ends and the number is fresh again.
        until: Timestamp,
    },
}

/// One outstanding code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verification {
    /// What the code is derived from.
    pub salt: Salt,
    /// How many digits it has.
    pub length: CodeLength,
    /// From this moment on the code cannot succeed.
    pub expires: Timestamp,
    /// Sends of this code that the gateway has not answered yet.
    pub sending: u8,
    /// By when those sends are certainly over, answered or not.
    pub sending_until: Timestamp,
    /// Whether some message with this code was, or may have been, accepted by a gateway.
    pub sent: bool,
}

impl Verification {
    /// Whether the code can still succeed.
    pub fn is_live(&self, now: Timestamp) -> bool {
        now < self.expires
    }

    /// Whether a message with this code may be on its way to the gateway right now.
    pub fn is_sending(&self, now: Timestamp) -> bool {
        self.sending > 0 && now < self.sending_until
    }
}

impl NumberState {
    /// The state at `now`: a record whose time has come is fresh, whether or not a sweep has
    /// been by. Every decision begins here, so that nothing depends on the sweep's timing.
    #[must_use]
    pub fn at(self, now: Timestamp) -> Self {
        match self.ends() {
            Some(end) if now >= end => Self::Fresh,
            _ => self,
        }
    }

    /// When the number becomes fresh by itself; `None` if it is already.
    pub const fn ends(&self) -> Option<Timestamp> {
        match self {
            Self::Fresh => None,
            Self::Open { keep_until, .. } => Some(*keep_until),
            Self::Locked { until } => Some(*until),
        }
    }

    /// Consecutive wrong codes so far.
    pub const fn failures(&self) -> u8 {
        match self {
            Self::Open { failures, .. } => *failures,
            Self::Fresh | Self::Locked { .. } => 0,
        }
    }

    /// The outstanding code, live or late.
    pub const fn verification(&self) -> Option<Verification> {
        match self {
            Self::Open { verification, .. } => *verification,
            Self::Fresh | Self::Locked { .. } => None,
        }
    }
}
