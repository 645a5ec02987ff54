//! The second layout: nothing is counted of a verification by itself. Read only.

use serde::Deserialize;

use super::{Kept, KeptHeld};

/// Its version.
pub const VERSION: u8 = 2;

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
    postponed: bool,
    held: Option<KeptHeld>,
    checking_until: u64,
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
        let Verification {
            salt,
            length,
            expires,
            sending,
            sending_until,
            sent,
            postponed,
            held,
            checking_until,
        } = v;
        Self {
            salt,
            length,
            expires,
            sending,
            sending_until,
            sent,
            postponed,
            held,
            checking_until,
            counted: None,
        }
    }
}
