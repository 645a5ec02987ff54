//! The events that webhooks are told.

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventType {
    /// A verification began.
    VerificationCreated,
    /// A message of it was taken by a gateway.
    VerificationSent,
    /// Its code was right, or the caller said so.
    VerificationApproved,
    /// The caller ended it.
    VerificationCanceled,
    /// No check of it is left.
    VerificationMaxAttempts,
    /// No message of it could be sent.
    VerificationFailed,
    /// Its time was over.
    VerificationExpired,
    /// A provider reported that a message arrived.
    MessageDelivered,
    /// A provider reported that a message did not arrive.
    MessageFailed,
}

impl EventType {
    /// Every type.
    pub const ALL: [Self; 9] = [
        Self::VerificationCreated,
        Self::VerificationSent,
        Self::VerificationApproved,
        Self::VerificationCanceled,
        Self::VerificationMaxAttempts,
        Self::VerificationFailed,
        Self::VerificationExpired,
        Self::MessageDelivered,
        Self::MessageFailed,
    ];

    /// What stands for all of them.
    pub const EVERY: &'static str = "*";

    /// Its name: `verification.created`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::VerificationCreated => "verification.created",
            Self::VerificationSent => "verification.sent",
            Self::VerificationApproved => "verification.approved",
            Self::VerificationCanceled => "verification.canceled",
            Self::VerificationMaxAttempts => "verification.max_attempts_reached",
            Self::VerificationFailed => "verification.failed",
            Self::VerificationExpired => "verification.expired",
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
    /// Whether it is told this.
    pub fn wants(&self, event: EventType) -> bool {
        self.status == super::WebhookStatus::Enabled
            && self.event_types.iter().any(|name| name == EventType::EVERY || name == event.as_str())
    }
}
