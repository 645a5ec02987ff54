//! Services and what belongs to them: rules, limits, webhooks, keys.
//!
//! Slot 0 has one record for each service and credential. The API and the configuration create them. A change is a command
//! to that slot. Readers share a snapshot, which contains a change once it is durable.

#![expect(missing_docs, reason = "a field whose name says all needs no comment")]

pub mod audit;
mod belongings;
mod handle;
mod keys;
#[cfg(any(test, feature = "testing"))]
#[path = "tests/preset.rs"]
mod preset;
mod services;
mod template;
#[cfg(test)]
mod tests;
mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use self::audit::AuditEntry;
use self::handle::Inner;
use self::services::{sync_with_configuration, unnamed_default};
use crate::domain::{GatewayName, Sid};
use crate::shard::Shards;
use crate::template::Templates;

pub use crate::config::services::AccountSettings as AccountCredentials;
pub use crate::config::services::{RegistrySettings, Resend, ServiceSettings, TestNumber};
pub use crate::config::template_sid;
pub use crate::config::templates::Template;
pub use belongings::gateway_sid;
pub use handle::{Item, Policies, Registry, RegistryError};
pub use keys::{
    ApiKey, Caller, Credential, CredentialFingerprint, KEYS_PER_SERVICE, NewApiKey, Scope, Scopes,
};
#[cfg(test)]
pub(crate) use services::blank;
pub use services::{
    Bucket, MessagingConfiguration, Origin, RateLimit, SLOT, Service, ServiceRecord, Webhook, WebhookStatus,
};
pub use template::{TextError, TextOptions};
pub use webhooks::{EventType, WebhookFields};

/// The dependencies of a [`Registry`].
pub struct RegistryDeps {
    /// The owners of its records; [`ServiceRecord`] and [`Credential`] are among their kinds.
    pub shards: Shards,
    pub settings: RegistrySettings,
    /// The settings of the service of the compatible routes.
    pub default: ServiceSettings,
    pub templates: Templates,
    pub gateways: Vec<GatewayName>,
    /// Twilio's own id of the messaging service that text messages are sent from, if there is one.
    pub twilio_messaging_service: Option<Sid>,
}

impl Registry {
    /// Publishes the shards' records and updates them from the configuration. A service of config.json gets its id at
    /// the first start with it, and keeps the id.
    pub async fn open(parts: RegistryDeps) -> Result<Self, RegistryError> {
        let RegistryDeps { shards, mut settings, default, templates, gateways: names, .. } = parts;
        let now = shards.clock().wall();
        let services = std::mem::take(&mut settings.services);
        let mut gateways: Vec<(Sid, GatewayName)> =
            names.iter().map(|name| (gateway_sid(*name), *name)).collect();
        if names.contains(&GatewayName::TwilioMessages) {
            gateways.extend(parts.twilio_messaging_service.map(|sid| (sid, GatewayName::TwilioMessages)));
        }
        let catalog = Template::built_in().chain(std::mem::take(&mut settings.templates));
        let served = services.iter().map(|service| service.name.clone()).collect();
        shards.keep_newest::<AuditEntry>([audit::MOST; 2], Duration::MAX);
        let inner = Inner {
            current: handle::follow(&shards, served),
            default: Arc::new(unnamed_default(&default, now)),
            shards,
            given_root: settings.account.take().map(|account| (&account).into()),
            templates: catalog.map(|template| Template { created: now, ..template }).collect(),
            checks: templates,
            gateways,
            settings,
        };
        let registry = Self { inner: Arc::new(inner), author: None };
        // Decided after the shard has passed all records to the indexes.
        registry.decide(move |draft| sync_with_configuration(draft, &services, &default)).await?;
        Ok(registry)
    }
}
