//! What providers report about messages that they have taken.

use serde::{Deserialize, Serialize};

use super::ErrorClass;
use crate::domain::AttemptId;

/// One report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Which attempt it is about.
    pub attempt: AttemptId,
    /// The provider's id of the message or call.
    pub message_id: String,
    /// How far it came.
    pub status: ReceiptStatus,
    /// The provider's error code, if it has failed.
    pub code: Option<u32>,
    /// What that code means for what happens next.
    pub class: Option<ErrorClass>,
}

/// How far a message or call came, the furthest last. It only ever moves forward. Records contain the position in this
/// order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ReceiptStatus {
    /// Waits at the provider.
    Queued,
    /// On its way to the network, or the telephone rings.
    Sending,
    /// The network took it.
    Sent,
    /// Somebody has picked up, and listens.
    Answered,
    /// It did not arrive: undelivered, failed, busy, not answered, cancelled.
    Failed,
    /// It arrived, or the call was held.
    Delivered,
    /// Somebody has read it.
    Read,
}

impl ReceiptStatus {
    /// Every status.
    pub const ALL: [Self; 7] =
        [Self::Queued, Self::Sending, Self::Sent, Self::Answered, Self::Failed, Self::Delivered, Self::Read];

    /// The name in lists.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::Delivered => "delivered",
            Self::Read => "read",
        }
    }
}
