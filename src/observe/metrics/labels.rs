//! Labels of the counters, and the names of their values. No value comes from a client.

use std::fmt::{Error, Write as _};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};

use super::GatewayEnd;
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

pub(super) const fn check_outcome(outcome: CheckOutcome) -> &'static str {
    match outcome {
        CheckOutcome::Approved => "approved",
        CheckOutcome::Wrong { live: true, .. } => "wrong",
        CheckOutcome::Wrong { live: false, .. } => "expired",
        CheckOutcome::LockedNow { .. } => "locked_now",
        CheckOutcome::Locked { .. } => "locked",
        CheckOutcome::NoChecksLeft { .. } => "no_checks_left",
        CheckOutcome::NotFound => "not_found",
        CheckOutcome::GatewayFailed => "gateway_failed",
    }
}

impl GatewayEnd {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "ok",
            Self::Refused(ErrorClass::BadNumber) => "bad_number",
            Self::Refused(ErrorClass::NotReachableHere) => "not_reachable",
            Self::Refused(ErrorClass::OptedOut) => "opted_out",
            Self::Refused(ErrorClass::Retry { .. }) => "retry",
            Self::Refused(ErrorClass::Configuration) => "configuration",
            Self::Refused(ErrorClass::Fraud) => "fraud",
            Self::Refused(ErrorClass::Refused) => "refused",
            Self::Refused(ErrorClass::Ambiguous) => "ambiguous",
            Self::Silent => "no_answer",
        }
    }
}
