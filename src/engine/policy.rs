//! What a service allows.

use std::collections::HashMap;
use std::time::Duration;

use crate::domain::{CodeLength, ServiceId};

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

/// The rules of every service.
#[derive(Debug, Clone)]
pub struct Policies {
    default: Policy,
    others: HashMap<ServiceId, Policy>,
}

impl Policies {
    /// The rules of the default service, which also hold for services that have none of their own.
    pub fn new(default: Policy) -> Self {
        Self { default, others: HashMap::new() }
    }

    /// Adds the rules of one more service.
    #[must_use]
    pub fn with(mut self, service: ServiceId, policy: Policy) -> Self {
        self.others.insert(service, policy);
        self
    }

    /// The rules of a service.
    pub fn of(&self, service: ServiceId) -> &Policy {
        self.others.get(&service).unwrap_or(&self.default)
    }
}
