//! A service: stored, shown and decided by in this form.

use serde::{Deserialize, Serialize};

use super::{ServiceSettings, TestNumber};
use crate::domain::{ServiceId, Sid, Timestamp};

/// A namespace with its own rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// The namespace of its numbers' records. Never reused.
    pub id: ServiceId,
    /// `VA`.
    pub sid: Sid,
    /// The creator.
    pub origin: Origin,
    /// What a user can set.
    pub settings: ServiceSettings,
    /// Named limits on values that requests pass.
    pub rate_limits: Vec<RateLimit>,
    /// The gateways for single countries.
    pub messaging: Vec<MessagingConfiguration>,
    /// The receivers of its events.
    pub webhooks: Vec<Webhook>,
    /// Numbers that are never sent anything.
    pub test_numbers: Vec<TestNumber>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was changed last.
    pub updated: Timestamp,
}

/// The creator of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// The service of the compatible routes: the top-level settings are its rules.
    Default,
    /// `services` of config.json, under this name. Changed there, and not over the API.
    Config(String),
    /// A client, over the API.
    Api,
}

/// A named limit: a request passes a value for it, and each of its buckets counts that value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimit {
    /// `RK`.
    pub sid: Sid,
    /// The name in requests.
    pub unique_name: String,
    /// The name for people.
    pub description: Option<String>,
    /// How often in which time.
    pub buckets: Vec<Bucket>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was changed last.
    pub updated: Timestamp,
}

/// A limit of `max` requests with one value in `interval` seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// `BL`.
    pub sid: Sid,
    /// Requests; at least 1.
    pub max: u32,
    /// Seconds; at least 1.
    pub interval: u32,
    /// When it was made.
    pub created: Timestamp,
    /// When it was changed last.
    pub updated: Timestamp,
}

/// The gateway for a country.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessagingConfiguration {
    /// Two letters of ISO 3166-1, in capitals.
    pub country: String,
    /// `MG`: names a gateway, see `gateway_sid`.
    pub messaging_service: Sid,
    /// When it was made.
    pub created: Timestamp,
    /// When it was changed last.
    pub updated: Timestamp,
}

/// A receiver of events.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// `YW`.
    pub sid: Sid,
    /// The name for people.
    pub friendly_name: String,
    /// Names of events, or `*` for all.
    pub event_types: Vec<String>,
    /// Where they go: http or https.
    pub url: String,
    /// A disabled webhook receives nothing.
    pub status: WebhookStatus,
    /// The key of the signatures (Standard Webhooks): 24 to 64 random bytes.
    pub secret: Vec<u8>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was changed last.
    pub updated: Timestamp,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Webhook({})", self.sid)
    }
}

/// Whether a webhook receives events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WebhookStatus {
    /// Events are delivered.
    Enabled,
    /// Nothing is delivered.
    Disabled,
}
