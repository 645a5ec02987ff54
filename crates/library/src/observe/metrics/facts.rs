//! Facts: what happened, once for each occurrence, from the one place that knows it. [`super::Metrics`] receives them.

use std::sync::Arc;
use std::time::Duration;

use onceward_core::guard::Rule;
use prometheus_client::encoding::EncodeLabelSet;

use crate::domain::{Channel, GatewayName, NumberKey, Timestamp};
use crate::engine::CheckOutcome;
use crate::gateway::ErrorClass;

/// What happened to a verification or a message. Its number is counted by country and is not kept.
#[derive(Debug, Clone, Copy)]
pub enum Fact {
    Verification {
        recipient: NumberKey,
        /// The channel of its last message.
        channel: Channel,
        /// The gateway of the last message of one that was tried, approved or canceled, if it is known.
        gateway: Option<GatewayName>,
        step: VerificationStep,
        /// The time since that message, if it is known.
        took: Option<Duration>,
    },
    Send(SendFacts),
    /// A message of a verification has left, or may have. Its code can be entered until `ends`.
    Left {
        recipient: NumberKey,
        channel: Channel,
        gateway: GatewayName,
        ends: Timestamp,
        /// Whether it was entered before the gateway had answered.
        is_verified: bool,
    },
    /// A request for a message that a gateway did not accept, whether another gateway accepted the message or not.
    FailedAttempt {
        recipient: NumberKey,
        channel: Channel,
        gateway: GatewayName,
        error: ErrorClass,
    },
    /// A message that arrived, by the report of its provider.
    Delivered {
        recipient: NumberKey,
        channel: Channel,
        gateway: GatewayName,
        /// The time from the gateway's answer until the report.
        took: Duration,
    },
    Check {
        recipient: NumberKey,
        /// The channel of the verification's last message; `None` if the answer is about no verification.
        channel: Option<Channel>,
        outcome: CheckOutcome,
    },
    /// A message was refused, by the guard or another rule.
    Refused(NumberKey, Channel, Rule),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerificationStep {
    /// Counted when its first send ends, unless a spent budget refused it.
    Begun,
    /// Its first code was checked, or a client approved it without one. Only with a record of its messages.
    Tried,
    /// By a right code, or by a client that verified the person in another way.
    Approved,
    Canceled,
}

/// The end of a send. A background retry is a further send.
#[derive(Debug, Clone, Copy)]
pub struct SendFacts {
    pub recipient: NumberKey,
    /// The channel of the last message.
    pub channel: Channel,
    /// The gateway that accepted the message, else the one that was asked last.
    pub gateway: Option<GatewayName>,
    pub outcome: SendEnd,
    /// The class of the last gateway's error.
    pub error: Option<ErrorClass>,
    /// What the message is paid for, in text messages.
    pub parts: u8,
}

crate::named! {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum SendEnd {
        Accepted = "accepted",
        /// No gateway accepted it yet; a retry is planned.
        Postponed = "postponed",
        /// The number does not exist or takes no such messages.
        NumberRefused = "number_refused",
        /// No gateway accepted it.
        Failed = "failed",
        /// No gateway accepted it, and one may have sent it.
        Unknown = "unknown",
        /// The code was used, replaced, locked or expired before a gateway was asked.
        Obsolete = "obsolete",
        /// Too many messages were waiting for the gateway.
        Overloaded = "overloaded",
        /// The same message was being sent: its answer is this request's too, and nothing is sent.
        Joined = "joined",
        /// A test number: nothing is sent.
        Test = "test",
        /// Refused: the number is locked out.
        Locked = "locked",
        /// Refused by a rule of the verification, or by a spent budget.
        Limited = "limited",
    }
}

crate::named! {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum GatewayOperation {
        Send = "send",
        /// Asks about a code that the gateway holds.
        Check = "check",
    }
}

crate::named! {
    /// The result of an attempt to deliver a webhook's event, or the decision not to.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum WebhookEnd {
        Delivered = "delivered",
        /// To be tried again.
        Retried = "retried",
        /// Given up.
        Failed = "failed",
        /// Not recorded: too many deliveries are pending.
        Dropped = "dropped",
    }
}

crate::named! {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum NodeState {
        /// This node owns the records and answers requests.
        Owner = "owner",
        /// Another node owns them.
        Standby = "standby",
        /// No node owns them, this node is the owner and loads them or stops, or etcd does not answer.
        NoOwner = "no_owner",
    }
}

// Labels of the counters, and the names of their values. No value comes from a client.

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
