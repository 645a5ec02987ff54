//! A service: stored, shown and decided by in this form.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::TestNumber;
use crate::domain::{CodeLength, Locale, ServiceId, Sid, Timestamp};

/// A namespace with its own rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of its own in Twilio's API")]
pub struct Service {
    /// The namespace of its numbers' records. Never reused.
    pub id: ServiceId,
    /// `VA`.
    pub sid: Sid,
    /// The creator.
    pub origin: Origin,
    /// The name in messages; at most 30 characters.
    pub friendly_name: String,
    /// How codes and attempts are counted.
    pub rules: Rules,
    /// A request may bring its own code.
    pub custom_code_enabled: bool,
    /// Text messages warn that the code is not to be shared.
    pub do_not_share_warning_enabled: bool,
    /// Text messages to numbers known to be landlines are refused.
    pub skip_sms_to_landlines: bool,
    /// Stored and shown without effect: lookups that need no provider are always made.
    pub lookup_enabled: bool,
    /// Kept and shown: whether a key must be pressed in calls is the gateway's setting.
    pub dtmf_input_required: bool,
    /// Kept and shown.
    pub tts_name: Option<String>,
    /// Kept and shown: transaction parameters are not served.
    pub psd2_enabled: bool,
    /// Kept and shown.
    pub verify_event_subscription_enabled: bool,
    /// The template where a request names none.
    pub default_template: Option<Sid>,
    /// The language where neither the request nor the number's country leads to one.
    pub locale: Option<Locale>,
    /// Channels that are tried one after another, as the setting `workflow` spells it; `None` for the server's.
    pub workflow: Option<String>,
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

/// How codes and attempts are counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// Digits of a code.
    pub code_length: CodeLength,
    /// How long a code can be used.
    pub code_life: Duration,
    /// Wrong codes: of one verification with [`LockoutRule::Growing`], of the number with [`LockoutRule::Fixed`].
    pub max_checks: u8,
    /// Messages of one verification; `None` without a limit.
    pub max_sends: Option<u8>,
    /// The consequence of too many wrong codes.
    pub lockout: LockoutRule,
    /// The code of a further send of a live verification.
    pub resend: Resend,
    /// A further send has to wait: 30, 60, 120, then 300 s after the last.
    pub cooling_down: bool,
}

/// The consequence of too many wrong codes for a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LockoutRule {
    /// The number is locked for this long, for every client.
    Fixed(Duration),
    /// Checks without the verification's id have to wait, longer each time; checks with it do not.
    Growing,
}

/// The code of a further send of a live verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resend {
    /// It sends the same code, which ends when it would have.
    Keep,
    /// It sends a new code with a new life.
    New,
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
