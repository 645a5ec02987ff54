//! Labels of the counters, and the names of their values. No value comes from a client.

use std::fmt::{Error, Write as _};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};

use super::{GatewayEnd, GatewayOperation, SendEnd, WebhookEnd};
use crate::domain::ServiceId;
use crate::engine::CheckOutcome;
use crate::gateway::ErrorClass;

/// The value for everything beyond a bound.
pub(super) const OTHER: &str = "other";

/// Compared by the id, which is shorter than the name.
#[derive(Debug, Clone)]
pub(super) struct ServiceLabel {
    /// `None` for all services beyond the bound.
    pub id: Option<ServiceId>,
    pub name: Arc<str>,
}

impl PartialEq for ServiceLabel {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for ServiceLabel {}

impl Hash for ServiceLabel {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

impl EncodeLabelValue for ServiceLabel {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), Error> {
        encoder.write_str(&self.name)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfService {
    pub service: ServiceLabel,
    pub channel: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OutcomeOfService {
    pub service: ServiceLabel,
    pub channel: &'static str,
    pub outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfGateway {
    pub gateway: &'static str,
    pub operation: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OutcomeOfGateway {
    pub gateway: &'static str,
    pub operation: &'static str,
    pub outcome: &'static str,
}

/// The rule and the effect of a finding of the pumping guard.
pub(super) type Finding = [(&'static str, &'static str); 2];

/// A single label with its value.
pub(super) type One = [(&'static str, &'static str); 1];

/// Outcomes of sends.
pub(super) const SEND_ENDS: usize = SendEnd::ALL.len();

/// Outcomes of checks: the indices of [`check_outcome`].
pub(super) const CHECK_OUTCOMES: usize = 8;

/// Outcomes of requests to gateways: the indices of [`GatewayEnd::label`].
pub(super) const GATEWAY_ENDS: usize = 10;

/// Operations of gateways.
pub(super) const OPERATIONS: usize = GatewayOperation::ALL.len();

impl SendEnd {
    /// In the order of their indices.
    pub const ALL: [Self; 10] = [
        Self::Accepted,
        Self::Postponed,
        Self::NumberRefused,
        Self::Failed,
        Self::Unknown,
        Self::Obsolete,
        Self::Overloaded,
        Self::Test,
        Self::Locked,
        Self::Limited,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Postponed => "postponed",
            Self::NumberRefused => "number_refused",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Obsolete => "obsolete",
            Self::Overloaded => "overloaded",
            Self::Test => "test",
            Self::Locked => "locked",
            Self::Limited => "limited",
        }
    }
}

/// The index of an outcome, below [`CHECK_OUTCOMES`], and its label.
pub(super) const fn check_outcome(outcome: CheckOutcome) -> (usize, &'static str) {
    match outcome {
        CheckOutcome::Approved => (0, "approved"),
        CheckOutcome::Wrong { live: true, .. } => (1, "wrong"),
        CheckOutcome::Wrong { live: false, .. } => (2, "expired"),
        CheckOutcome::LockedNow { .. } => (3, "locked_now"),
        CheckOutcome::Locked { .. } => (4, "locked"),
        CheckOutcome::NoChecksLeft { .. } => (5, "no_checks_left"),
        CheckOutcome::NotFound => (6, "not_found"),
        CheckOutcome::GatewayFailed => (7, "gateway_failed"),
    }
}

impl GatewayOperation {
    /// In the order of their indices.
    pub const ALL: [Self; 3] = [Self::Send, Self::Check, Self::Confirm];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Check => "check",
            Self::Confirm => "confirm",
        }
    }
}

impl GatewayEnd {
    pub const fn as_str(self) -> &'static str {
        self.label().1
    }

    /// Its index, below [`GATEWAY_ENDS`], and its label.
    pub(super) const fn label(self) -> (usize, &'static str) {
        match self {
            Self::Answered => (0, "ok"),
            Self::Refused(ErrorClass::BadNumber) => (1, "bad_number"),
            Self::Refused(ErrorClass::NotReachableHere) => (2, "not_reachable"),
            Self::Refused(ErrorClass::OptedOut) => (3, "opted_out"),
            Self::Refused(ErrorClass::Retry { .. }) => (4, "retry"),
            Self::Refused(ErrorClass::Configuration) => (5, "configuration"),
            Self::Refused(ErrorClass::Fraud) => (6, "fraud"),
            Self::Refused(ErrorClass::Refused) => (7, "refused"),
            Self::Refused(ErrorClass::Ambiguous) => (8, "ambiguous"),
            Self::Silent => (9, "no_answer"),
        }
    }
}

impl WebhookEnd {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Retried => "retried",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}
