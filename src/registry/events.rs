//! The types of webhook events.

use serde::{Deserialize, Serialize};

/// The type of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EventType {
    /// A verification began.
    Created,
    /// A gateway accepted a message.
    Sent,
    /// The code was right, or the caller approved it.
    Approved,
    /// The caller ended it.
    Canceled,
    /// No check of it is left.
    MaxAttemptsReached,
    /// No message of it could be sent.
    Failed,
    /// It expired.
    Expired,
    /// A provider reported that a message arrived.
    MessageDelivered,
    /// A provider reported that a message did not arrive.
    MessageFailed,
}

impl EventType {
    /// Every type.
    pub const ALL: [Self; 9] = [
        Self::Created,
        Self::Sent,
        Self::Approved,
        Self::Canceled,
        Self::MaxAttemptsReached,
        Self::Failed,
        Self::Expired,
        Self::MessageDelivered,
        Self::MessageFailed,
    ];

    /// The name that stands for all types.
    pub const EVERY: &'static str = "*";

    /// Its name: `verification.created`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "verification.created",
            Self::Sent => "verification.sent",
            Self::Approved => "verification.approved",
            Self::Canceled => "verification.canceled",
            Self::MaxAttemptsReached => "verification.max_attempts_reached",
            Self::Failed => "verification.failed",
            Self::Expired => "verification.expired",
            Self::MessageDelivered => "message.delivered",
            Self::MessageFailed => "message.failed",
        }
    }

    /// From its name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.as_str() == text)
    }
}

impl super::Webhook {
    /// Returns `true` if the webhook is enabled and subscribes to this type.
    pub fn subscribes_to(&self, event: EventType) -> bool {
        self.status == super::WebhookStatus::Enabled
            && self.event_types.iter().any(|name| name == EventType::EVERY || name == event.as_str())
    }
}
