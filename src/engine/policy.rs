//! What a service allows.

use std::time::Duration;

use crate::domain::CodeLength;

/// The rules of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Wrong codes until lockout; at least 1.
    pub max_attempts: u8,
    /// How long a lockout lasts. Also how long a number's count is kept beyond its code's end.
    pub lockout: Duration,
    /// What a code is like unless the request says otherwise.
    pub code: SendOptions,
}

/// What one verification's code is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendOptions {
    /// How long the code can be used.
    pub life: Duration,
    /// How many digits it has.
    pub length: CodeLength,
}
