//! A delivery as the API shows it: JSON with the names that Twilio's lists have.

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::EventId;
use super::record::{Delivery, DeliveryState, WebhookAttempt};
use super::request::AttemptError;
use crate::domain::{DateTime, Sid, SidKind};

/// A delivery of an event to a webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Delivery")]
pub struct DeliveryView<'a> {
    /// The account.
    #[schemars(with = "String", regex(pattern = "^AC[0-9a-f]{32}$"))]
    pub account_sid: Sid,
    /// The service.
    #[schemars(with = "String", regex(pattern = "^VA[0-9a-f]{32}$"))]
    pub service_sid: Sid,
    /// The webhook.
    #[schemars(with = "String", regex(pattern = "^YW[0-9a-f]{32}$"))]
    pub webhook_sid: Sid,
    /// The event's id, which receivers see as `webhook-id`.
    #[serde(serialize_with = "text")]
    #[schemars(with = "String", regex(pattern = "^evt_[0-9a-f]{32}$"))]
    pub event_id: EventId,
    /// The event's name.
    #[schemars(example = &"verification.approved")]
    pub event_type: &'static str,
    /// The verification; null for an event of the pumping guard.
    #[schemars(with = "Option<String>", regex(pattern = "^VE[0-9a-f]{32}$"))]
    pub verification_sid: Option<Sid>,
    /// `pending`, `delivered` or `failed`.
    #[schemars(with = "String", example = &"delivered")]
    pub status: DeliveryState,
    /// When the event happened.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub date_created: DateTime,
    /// When it is tried next; null when it is not.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub next_attempt: Option<DateTime>,
    /// The latest attempts, the oldest first.
    pub attempts: Vec<AttemptView<'a>>,
}

/// An attempt to deliver an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "DeliveryAttempt")]
pub struct AttemptView<'a> {
    /// When it began.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub date: DateTime,
    /// Duration in milliseconds.
    pub duration_ms: u64,
    /// The HTTP status of the answer.
    pub status_code: Option<u16>,
    /// Why there was no answer, or no attempt: `timed_out`.
    #[schemars(with = "Option<String>")]
    pub error: Option<AttemptError>,
    /// The same in words.
    pub error_message: Option<&'a str>,
}

impl<'a> DeliveryView<'a> {
    pub fn of(delivery: &'a Delivery, account: Sid, service: Sid) -> Self {
        let Delivery { id, event, webhook, state, due, attempts, .. } = delivery;
        Self {
            account_sid: account,
            service_sid: service,
            webhook_sid: *webhook,
            event_id: *id,
            event_type: event.kind.as_str(),
            verification_sid: Some(event.verification).filter(|sid| sid.kind() == SidKind::Verification),
            status: *state,
            date_created: event.at.into(),
            next_attempt: (*state == DeliveryState::Pending).then(|| (*due).into()),
            attempts: attempts.iter().map(AttemptView::of).collect(),
        }
    }
}

impl<'a> AttemptView<'a> {
    fn of(attempt: &'a WebhookAttempt) -> Self {
        Self {
            date: attempt.at.into(),
            duration_ms: u64::try_from(attempt.took.as_millis()).unwrap_or(u64::MAX),
            status_code: attempt.status,
            error: attempt.error,
            error_message: attempt.detail.as_deref(),
        }
    }
}

fn text<S: Serializer>(id: &EventId, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(id)
}
