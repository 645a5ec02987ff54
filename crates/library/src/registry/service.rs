//! A service: stored, shown and decided by in this form; and the kinds of record of the registry, all of them in slot
//! 0.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::credential::Credential;
use super::error::{Item, RegistryError, Result};
use crate::config::services::{ServiceSettings, TestNumber};
use crate::domain::{ServiceId, Sid, SidKind, Timestamp, record_id};
use crate::engine::SlotHash;
use crate::shard::{Id, Record};

/// A namespace with its own rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// The namespace of its numbers' records. Never reused.
    pub id: ServiceId,
    /// `VA`.
    pub sid: Sid,
    pub origin: Origin,
    pub settings: ServiceSettings,
    pub rate_limits: Vec<RateLimit>,
    pub messaging: Vec<MessagingConfiguration>,
    pub webhooks: Vec<Webhook>,
    pub test_numbers: Vec<TestNumber>,
    pub created: Timestamp,
    pub updated: Timestamp,
}

impl Service {
    /// The key in logs and metrics: `default`, the name in config.json, or the sid. It never changes, and commands
    /// accept it. People read [`Registry::title`](super::Registry::title).
    pub fn name(&self) -> String {
        match &self.origin {
            Origin::Default => ServiceId::DEFAULT_NAME.to_owned(),
            Origin::Config(name) => name.clone(),
            Origin::Api => self.sid.to_string(),
        }
    }

    pub fn rate_limit(&self, sid: &Sid) -> Result<&RateLimit> {
        found(self.rate_limits.iter(), Item::RateLimit, |limit| limit.sid == *sid)
    }

    pub(super) fn rate_limit_mut(&mut self, sid: &Sid) -> Result<&mut RateLimit> {
        found(self.rate_limits.iter_mut(), Item::RateLimit, |limit| limit.sid == *sid)
    }

    /// The configuration for a country, in capitals or not.
    pub fn messaging(&self, country: &str) -> Result<&MessagingConfiguration> {
        found(self.messaging.iter(), Item::MessagingConfiguration, |kept| kept.is_for(country))
    }

    pub fn webhook(&self, sid: &Sid) -> Result<&Webhook> {
        found(self.webhooks.iter(), Item::Webhook, |webhook| webhook.sid == *sid)
    }
}

/// A service that nothing belongs to.
pub(crate) fn blank(
    id: ServiceId,
    sid: Sid,
    origin: Origin,
    settings: ServiceSettings,
    now: Timestamp,
) -> Service {
    Service {
        id,
        sid,
        origin,
        settings,
        rate_limits: Vec::new(),
        messaging: Vec::new(),
        webhooks: Vec::new(),
        test_numbers: Vec::new(),
        created: now,
        updated: now,
    }
}

/// Stands for the default service until the store has been read.
pub(super) fn unnamed_default(settings: &ServiceSettings, now: Timestamp) -> Service {
    let sid = Sid::new(SidKind::Service, [0; 16]);
    blank(ServiceId::DEFAULT, sid, Origin::Default, settings.clone(), now)
}

/// The one of a service's belongings that is meant.
pub(super) fn found<T>(
    mut kept: impl Iterator<Item = T>,
    item: Item,
    is_it: impl FnMut(&T) -> bool,
) -> Result<T> {
    kept.find(is_it).ok_or(RegistryError::NotFound(item))
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
    pub sid: Sid,
    pub unique_name: String,
    pub description: Option<String>,
    /// The largest number, and its window.
    pub buckets: Vec<Bucket>,
    pub created: Timestamp,
    pub updated: Timestamp,
}

/// A limit of `max` requests with one value in `interval` seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    pub sid: Sid,
    pub max: u32,
    pub interval: u32,
    pub created: Timestamp,
    pub updated: Timestamp,
}

impl RateLimit {
    pub fn bucket(&self, sid: &Sid) -> Result<&Bucket> {
        found(self.buckets.iter(), Item::Bucket, |bucket| bucket.sid == *sid)
    }
}

/// The gateway for a country.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessagingConfiguration {
    /// Two letters of ISO 3166-1, in capitals.
    pub country: String,
    /// `MG`: names a gateway, see `gateway_sid`.
    pub messaging_service: Sid,
    pub created: Timestamp,
    pub updated: Timestamp,
}

impl MessagingConfiguration {
    pub(super) fn is_for(&self, country: &str) -> bool {
        self.country.eq_ignore_ascii_case(country)
    }
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    pub sid: Sid,
    pub friendly_name: String,
    /// Names of events, or `*` for all.
    pub event_types: Vec<String>,
    /// Where they go: http or https.
    pub url: String,
    pub status: WebhookStatus,
    /// The key of the signatures (Standard Webhooks): 24 to 64 random bytes.
    pub secret: Vec<u8>,
    pub created: Timestamp,
    pub updated: Timestamp,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Webhook({})", self.sid)
    }
}

crate::named! {
    /// Whether a webhook receives events.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
    pub enum WebhookStatus {
        Enabled = "enabled",
        Disabled = "disabled",
    }
}

/// The slot of every record of the registry.
pub const SLOT: u8 = 0;

/// A revoked key is listed for this long: a program that goes on using it can be named.
pub(super) const REVOKED_KEPT: Duration = Duration::from_secs(30 * 24 * 3_600);

/// The record of a service. A removed service leaves its id, which is never reused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ServiceRecord {
    Present(Box<Service>),
    Removed,
}

pub fn service_id(service: ServiceId) -> Id {
    record_id(service, 0)
}

/// The id of a credential's record, by its number. The account's is 0.
pub fn credential_id(number: u64) -> Id {
    record_id(ServiceId::DEFAULT, number)
}

/// A record in slot 0 without an end.
impl Record for ServiceRecord {
    const KIND: u8 = 3;
    const PLURAL: &'static str = "services";

    fn slot(&self, _: &Id, _: &SlotHash) -> u8 {
        SLOT
    }

    fn expires(&self) -> Timestamp {
        Timestamp::MAX
    }
}

impl Record for Credential {
    const KIND: u8 = 4;
    const PLURAL: &'static str = "credentials";

    fn slot(&self, _: &Id, _: &SlotHash) -> u8 {
        SLOT
    }

    fn expires(&self) -> Timestamp {
        match self {
            Self::Key(key) => key.revoked.map_or(Timestamp::MAX, |revoked| revoked.plus(REVOKED_KEPT)),
            Self::Root(_) | Self::HadKey => Timestamp::MAX,
        }
    }
}
