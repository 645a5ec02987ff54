//! Answers of the control socket's routes, which the command line prints with `--json`.

use serde::{Deserialize, Serialize};

use crate::delivery::attempts::ListedAttempt;
use crate::domain::Timestamp;
use crate::gateway::ReceiptStatus;

/// One message, with the whole number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    pub time: Timestamp,
    #[serde(rename = "type")]
    pub channel: String,
    pub to: String,
    pub gateway: String,
    pub priority: u8,
    pub send_status: String,
    pub verify_status: String,
    pub verified_at: Option<Timestamp>,
    pub retry_count: u32,
    pub max_retries_reached: bool,
    pub receipt_status: Option<String>,
    pub message_id: Option<String>,
    pub error_code: Option<u32>,
    pub parts: u8,
    /// Which attempt of which verification, as in callback addresses.
    pub attempt: String,
}

impl From<&ListedAttempt> for Message {
    fn from(listed: &ListedAttempt) -> Self {
        let attempt = &listed.attempt;
        Self {
            time: attempt.at,
            channel: attempt.channel.as_str().to_owned(),
            to: listed.number.e164(),
            gateway: attempt.gateway.as_str().to_owned(),
            priority: attempt.priority,
            send_status: attempt.status.as_str().to_owned(),
            verify_status: listed.verify_status.as_str().to_owned(),
            verified_at: listed.verified_at(),
            retry_count: attempt.retries,
            max_retries_reached: attempt.max_retries_reached,
            receipt_status: attempt.receipt.map(|receipt| ReceiptStatus::as_str(receipt).to_owned()),
            message_id: attempt.message_id.clone(),
            error_code: attempt.error_code,
            parts: listed.parts,
            attempt: listed.id.to_string(),
        }
    }
}
