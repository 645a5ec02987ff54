//! Parsed requests about verifications.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::delivery::Outgoing;
use crate::domain::{Code, PhoneNumber, Sid};
use crate::observe::trace::RequestId;

/// Begin a verification, or send its code again. Has no `Debug`: it may contain a code.
pub struct BeginRequest {
    /// The message. Its text is not known yet.
    pub message: Outgoing,
    /// How long the code can be used; `None` for the life of the service's codes.
    pub life: Option<Duration>,
    /// The host of the page that asks for the code: the last line of a text message names it for browsers, unless the
    /// text has such a line.
    pub web_host: Option<String>,
    /// Which template (`HJ`); `None` for the service's.
    pub template: Option<Sid>,
    pub substitutions: BTreeMap<String, String>,
    /// Values for rate limits, by their unique names.
    pub rate_limits: BTreeMap<String, String>,
    pub idempotency_key: Option<String>,
    /// Equal for equal requests: a SHA-256 over the fields as they were sent. Zero without a key.
    pub fingerprint: [u8; 32],
}

impl BeginRequest {
    /// A request without options.
    pub const fn new(message: Outgoing) -> Self {
        Self {
            message,
            life: None,
            web_host: None,
            template: None,
            substitutions: BTreeMap::new(),
            rate_limits: BTreeMap::new(),
            idempotency_key: None,
            fingerprint: [0; 32],
        }
    }
}

pub struct CheckCode {
    pub target: VerificationTarget,
    /// The number that the verification must have; `None` for any.
    pub number: Option<PhoneNumber>,
    /// The submitted code; `None` if the text cannot be a code, which does not count.
    pub code: Option<Code>,
    pub idempotency_key: Option<String>,
    /// Equal for requests that are equal apart from their codes.
    pub fingerprint: [u8; 32],
    pub request_id: Option<RequestId>,
}

impl CheckCode {
    /// A request without options.
    pub const fn new(target: VerificationTarget, code: Option<Code>) -> Self {
        Self { target, number: None, code, idempotency_key: None, fingerprint: [0; 32], request_id: None }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerificationTarget {
    Number(PhoneNumber),
    /// This one (`VE`).
    Sid(Sid),
}
