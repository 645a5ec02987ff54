//! A delivery as the API shows it: JSON with the names that Twilio's lists have.

use serde::Serialize;

use super::{Delivery, DeliveryState, WebhookAttempt};
use crate::domain::Sid;

/// One delivery of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeliveryView {
    /// The account.
    pub account_sid: String,
    /// The service.
    pub service_sid: String,
    /// The webhook.
    pub webhook_sid: String,
    /// The event's id, which receivers see as `webhook-id`.
    pub event_id: String,
    /// The event's name.
    pub event_type: &'static str,
    /// The verification.
    pub verification_sid: String,
    /// `pending`, `delivered` or `failed`.
    pub status: &'static str,
    /// When the event happened.
    pub date_created: String,
    /// When it is tried next; `null` when it is not.
    pub next_attempt: Option<String>,
    /// The latest attempts, the oldest first.
    pub attempts: Vec<AttemptView>,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AttemptView {
    /// When it began.
    pub date: String,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// The HTTP status that was answered.
    pub status_code: Option<u16>,
    /// Why there was no answer, or no attempt: `timed_out`.
    pub error: Option<&'static str>,
    /// The same in words.
    pub error_message: Option<String>,
}

impl DeliveryView {
    /// As it is shown.
    pub fn of(delivery: &Delivery, account: Sid, service: Sid) -> Self {
        let Delivery { id, event, webhook, state, due, attempts, .. } = delivery;
        Self {
            account_sid: account.to_string(),
            service_sid: service.to_string(),
            webhook_sid: webhook.to_string(),
            event_id: id.to_string(),
            event_type: event.kind.as_str(),
            verification_sid: event.verification.to_string(),
            status: state.as_str(),
            date_created: event.at.rfc3339_seconds().to_string(),
            next_attempt: (*state == DeliveryState::Pending).then(|| due.rfc3339_seconds().to_string()),
            attempts: attempts.iter().map(AttemptView::of).collect(),
        }
    }
}

impl AttemptView {
    fn of(attempt: &WebhookAttempt) -> Self {
        Self {
            date: attempt.at.rfc3339_seconds().to_string(),
            duration_ms: u64::try_from(attempt.took.as_millis()).unwrap_or(u64::MAX),
            status_code: attempt.status,
            error: attempt.error.map(super::AttemptError::as_str),
            error_message: attempt.detail.clone(),
        }
    }
}
