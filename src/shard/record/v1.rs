//! The first layout: codes that no gateway holds. Read only.

use serde::Deserialize;

use super::Kept;

/// Its version.
pub const VERSION: u8 = 1;

#[derive(Deserialize)]
pub enum State {
    Open { failures: u8, keep_until: u64, verification: Option<Verification> },
    Locked { until: u64 },
}

#[derive(Deserialize)]
pub struct Verification {
    salt: [u8; 16],
    length: u8,
    expires: u64,
    sending: u8,
    sending_until: u64,
    sent: bool,
}

impl State {
    /// The same in today's layout.
    pub fn upgrade(self) -> super::State {
        match self {
            Self::Locked { until } => super::State::Locked { until },
            Self::Open { failures, keep_until, verification } => super::State::Open {
                failures,
                keep_until,
                verification: verification.map(Kept::from),
                tally: None,
            },
        }
    }
}

impl From<Verification> for Kept {
    fn from(v: Verification) -> Self {
        Self {
            salt: v.salt,
            length: v.length,
            expires: v.expires,
            sending: v.sending,
            sending_until: v.sending_until,
            sent: v.sent,
            postponed: false,
            held: None,
            checking_until: 0,
            counted: None,
        }
    }
}
