//! Rules of decisions.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::{CodeLength, ServerKey};

/// The parameters of every decision beside the state, the request and the time.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// The rules of the number's service.
    pub policy: Policy,
    /// The key that codes are derived with.
    pub key: &'a ServerKey,
    /// The longest duration of one send's delivery, from the decision on.
    pub send_budget: Duration,
    /// The longest duration of one check at a gateway that holds the code, from the decision to the decision about its
    /// result.
    pub check_budget: Duration,
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

impl Policy {
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
    /// The lifetime of the code.
    pub life: Duration,
    /// Number of digits.
    pub length: CodeLength,
}

impl SendOptions {
    /// The defaults of a service: six digits for ten minutes.
    pub const DEFAULT: Self = Self { life: Duration::from_secs(600), length: CodeLength::SIX };
}
