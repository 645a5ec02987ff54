//! Errors of the registry.

use super::credential::KEYS_PER_SERVICE;
use crate::config::services::{SettingError, TestNumber, service_parameters};
use crate::shard::Refusal;

pub type Result<T, E = RegistryError> = std::result::Result<T, E>;

/// Why the registry refused a change or a question.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    #[error("there is no such {0}")]
    NotFound(Item),
    #[error("{field} {why}")]
    Invalid {
        /// Its name in the JSON of an answer: `code_length`.
        field: &'static str,
        /// The accepted values, as the end of a sentence that begins with the field.
        why: String,
    },
    /// One with this name, interval or country exists already.
    #[error("this {0} exists already")]
    Exists(Item),
    /// It comes from the configuration, and is changed there.
    #[error("{0}")]
    ReadOnly(String),
    #[error("limit reached: at most {limit} {item}s")]
    TooMany { item: Item, limit: usize },
    /// The shard or its store refused it.
    #[error(transparent)]
    Store(#[from] Refusal),
}

crate::named! {
    /// A kind of object in the registry.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Item {
        Service = "service",
        Template = "template",
        RateLimit = "rate limit",
        Bucket = "bucket",
        MessagingConfiguration = "messaging configuration",
        TestNumber = "test number",
        Webhook = "webhook",
        /// Revoked ones included.
        ApiKey = "API key",
        /// One that is not revoked, for one service, or for all.
        LiveKey = "live API key",
    }
}

impl Item {
    const fn limit(self) -> usize {
        match self {
            Self::Service => 10_000,
            Self::RateLimit => 25,
            // Each event is sent to each webhook.
            Self::Bucket | Self::Webhook => 10,
            Self::TestNumber => TestNumber::MOST,
            Self::ApiKey => 50_000,
            Self::LiveKey => KEYS_PER_SERVICE,
            // One for each country; the configuration has templates.
            Self::MessagingConfiguration | Self::Template => usize::MAX,
        }
    }
}

impl RegistryError {
    pub(super) fn invalid(field: &'static str) -> impl FnOnce(String) -> Self {
        move |why| Self::Invalid { field, why }
    }

    pub(super) const fn too_many(item: Item) -> Self {
        Self::TooMany { item, limit: item.limit() }
    }

    pub(super) fn missing(field: &'static str) -> Self {
        Self::invalid(field)("is missing".to_owned())
    }
}

impl From<SettingError> for RegistryError {
    fn from(error: SettingError) -> Self {
        let SettingError { key, why } = error;
        let parameter = service_parameters().iter().find(|parameter| parameter.key == key);
        Self::Invalid { field: parameter.map_or("service", |parameter| &parameter.field), why }
    }
}

/// Why the registry cannot be opened. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The services of the configuration could not be made durable.
    #[error(
        "write the services of the configuration: {0}; see that the disk has space, or start with the configuration of \
         before, which needs no write"
    )]
    Refused(#[from] Refusal),
    /// The configuration is invalid for the stored services.
    #[error("{subject}: it {problem}\n    given by {origin}")]
    Settings {
        /// The setting: `services.shop.test-numbers`.
        subject: String,
        problem: String,
        origin: String,
    },
}

/// Refuses one more beside those that exist.
pub(super) fn check_room(used: usize, item: Item) -> Result<()> {
    if used < item.limit() { Ok(()) } else { Err(RegistryError::too_many(item)) }
}
