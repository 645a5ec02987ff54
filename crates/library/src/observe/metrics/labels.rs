//! Labels of the counters, and the names of their values. No value comes from a client.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;

use crate::engine::CheckOutcome;

/// The value for everything beyond a bound.
pub(super) const OTHER: &str = "other";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfService {
    pub service: Arc<str>,
    pub channel: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OutcomeOfService {
    pub service: Arc<str>,
    pub channel: &'static str,
    pub outcome: &'static str,
}

/// Labels whose values are the server's own words.
pub(super) type Labels<const N: usize> = [(&'static str, &'static str); N];

pub(super) const CHECK_OUTCOMES: [&str; 8] =
    ["approved", "wrong", "expired", "locked_now", "locked", "no_checks_left", "not_found", "gateway_failed"];

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
