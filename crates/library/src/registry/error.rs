//! Errors of the registry.

use super::keys::KEYS_PER_SERVICE;
use crate::config::services::{SettingError, TestNumber, service_parameters};
use crate::shard::Refusal;

pub type Result<T, E = RegistryError> = std::result::Result<T, E>;

/// Why the registry refused a change or a question.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    #[error("there is no such {}", .0.about().0)]
    NotFound(Item),
    #[error("{field} {why}")]
    Invalid {
        /// Its name in the JSON of an answer: `code_length`.
        field: &'static str,
        /// The accepted values, as the end of a sentence that begins with the field.
        why: String,
    },
    /// One with this name, interval or country exists already.
    #[error("this {} exists already", .0.about().0)]
    Exists(Item),
    /// It comes from the configuration, and is changed there.
    #[error("{0}")]
    ReadOnly(String),
    #[error("limit reached: at most {limit} {}", item.about().1)]
    TooMany { item: Item, limit: usize },
    /// The shard or its store refused it.
    #[error(transparent)]
    Store(Refusal),
}

/// A kind of object in the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    Service,
    Template,
    RateLimit,
    Bucket,
    MessagingConfiguration,
    TestNumber,
    Webhook,
    /// All API keys, revoked ones included.
    ApiKey,
    LiveKeyOfService,
    LiveKeyOfAccount,
}

impl Item {
    /// One, many, and how many there may be.
    const fn about(self) -> (&'static str, &'static str, usize) {
        match self {
            Self::Service => ("service", "services", 10_000),
            Self::Template => ("template", "templates", usize::MAX),
            Self::RateLimit => ("rate limit", "rate limits of this service", 25),
            Self::Bucket => ("bucket", "buckets of this rate limit", 10),
            // One for each country.
            Self::MessagingConfiguration => {
                ("messaging configuration", "messaging configurations of this service", usize::MAX)
            }
            Self::TestNumber => ("test number", "test numbers of this service", TestNumber::MOST),
            // Each event is sent to each.
            Self::Webhook => ("webhook", "webhooks of this service", 10),
            Self::ApiKey => ("API key", "API keys", 50_000),
            Self::LiveKeyOfService => ("API key", "live API keys for this service", KEYS_PER_SERVICE),
            Self::LiveKeyOfAccount => ("API key", "live API keys for all services", KEYS_PER_SERVICE),
        }
    }
}

impl RegistryError {
    pub(super) fn invalid(field: &'static str) -> impl FnOnce(String) -> Self {
        move |why| Self::Invalid { field, why }
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

impl From<Refusal> for RegistryError {
    fn from(refusal: Refusal) -> Self {
        // Too many changes wait for the disk.
        Self::Store(if refusal == Refusal::NumberBusy { Refusal::Overloaded } else { refusal })
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
    let (_, _, limit) = item.about();
    if used < limit { Ok(()) } else { Err(RegistryError::TooMany { item, limit }) }
}
