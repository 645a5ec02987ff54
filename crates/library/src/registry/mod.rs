//! Services and what belongs to them: rules, limits, webhooks, keys, the safe list.
//!
//! Slot 0 has one record for each service, credential and safe number. The API and the configuration create them. A
//! change is a command to that slot. Readers share a snapshot, which contains a change once it is durable.

#![expect(missing_docs, reason = "a field whose name says all needs no comment")]

pub mod audit;
mod belongings;
mod command;
mod credential;
mod error;
mod keys;
mod service;
mod services;
mod snapshot;
mod template;
#[cfg(test)]
mod tests;
mod webhooks;
#[cfg(any(test, feature = "testing"))]
#[path = "tests/world.rs"]
pub mod world;

use std::sync::Arc;

use arc_swap::Guard;

use self::audit::{Actor, AuditLog, Author};
use self::command::NEW;
use self::credential::hash;
use self::services::{checked_services, sync_with_configuration, unnamed_default};
use self::snapshot::{Published, Snapshot};
use crate::config::NumberRule;
use crate::config::services::AccountSettings;
use crate::domain::{GatewayName, PhoneNumber, ServiceId, Sid, SidKind};
use crate::engine::Policy;
use crate::observe::metrics::ServiceNames;
use crate::shard::Shards;
use crate::template::Templates;

pub use crate::config::services::{RegistrySettings, Resend, ServiceSettings, TestNumber};
pub use crate::config::template_sid;
pub use crate::config::templates::{Template, Translation};
pub use belongings::{SafeNumber, gateway_sid};
pub use credential::{
    AccountCredentials, ApiKey, Caller, Credential, CredentialFingerprint, NewApiKey, Scope, Scopes,
    Unauthenticated,
};
pub use error::{Item, OpenError, RegistryError};
pub use keys::{KEYS_PER_SERVICE, Revocation};
pub use service::{
    Bucket, KINDS, MessagingConfiguration, Origin, RateLimit, SLOT, Service, ServiceRecord, Webhook,
    WebhookStatus,
};
pub use services::check_test_numbers;
pub use snapshot::Policies;
pub use template::{TextError, TextOptions};
pub use webhooks::{EventType, WebhookFields};

/// The services that this installation has, and who may use them. Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
    /// Who changes the registry through this handle; `None` for the server itself and for programs that embed the library.
    author: Option<Author>,
}

struct Inner {
    shards: Shards,
    published: Arc<Published>,
    /// The account's credentials, where the environment gives them.
    given_root: Option<CredentialFingerprint>,
    templates: Vec<Arc<Template>>,
    /// The texts of the settings, and what every text must be.
    checks: Templates,
    /// Gateways that are configured, with the ids that messaging configurations name them by.
    gateways: Vec<(Sid, GatewayName)>,
    /// Without services, templates and account.
    settings: RegistrySettings,
    audit: AuditLog,
}

/// The dependencies of a [`Registry`].
pub struct RegistryDeps {
    /// The owners of its records; [`ServiceRecord`], [`Credential`] and [`SafeNumber`] are among their kinds.
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
    pub async fn open(parts: RegistryDeps) -> Result<Self, OpenError> {
        let RegistryDeps { shards, mut settings, default, templates, gateways: names, .. } = parts;
        let now = shards.clock().wall();
        let services = checked_services(std::mem::take(&mut settings.services), now)?;
        let mut gateways: Vec<(Sid, GatewayName)> =
            names.iter().map(|name| (gateway_sid(*name), *name)).collect();
        if names.contains(&GatewayName::TwilioMessages) {
            gateways.extend(parts.twilio_messaging_service.map(|sid| (sid, GatewayName::TwilioMessages)));
        }
        let served = services.iter().map(|service| service.name.clone()).collect();
        let root = |AccountSettings { sid, token }| CredentialFingerprint { sid, hash: hash(token.expose()) };
        let inner = Inner {
            audit: AuditLog::follow(&shards, audit::MOST),
            published: Published::follow(&shards, served, unnamed_default(&default, now)),
            shards,
            given_root: settings.account.take().map(root),
            templates: template::catalog(std::mem::take(&mut settings.templates), now),
            checks: templates,
            gateways,
            settings,
        };
        let registry = Self { inner: Arc::new(inner), author: None };
        // Decided after the shard has passed all records to the indexes.
        let synced = registry.decide::<ServiceRecord, _, OpenError>(NEW, move |draft| {
            sync_with_configuration(draft, &services, &default)
        });
        synced.await?;
        Ok(registry)
    }

    fn snapshot(&self) -> Guard<Arc<Snapshot>> {
        self.inner.published.current.load()
    }

    /// The author of changes that `actor` asks for, by the request with this id.
    pub fn author(&self, actor: Actor, request_id: Option<&str>) -> Author {
        let request_id = request_id.map(str::to_owned);
        Author { actor, request_id, keep_for: self.inner.settings.audit_retention }
    }

    /// A handle whose changes have this author.
    #[must_use]
    pub fn on_behalf_of(&self, author: Author) -> Self {
        Self { inner: Arc::clone(&self.inner), author: Some(author) }
    }

    /// Whether verifications may be sent to the number, by the setting `numbers`.
    pub fn accepts(&self, number: PhoneNumber) -> bool {
        self.inner.settings.numbers == NumberRule::Possible || number.is_in_a_plan()
    }

    /// The entries about changes.
    pub fn audit(&self) -> &AuditLog {
        &self.inner.audit
    }

    /// The service with this id, as it is now; `None` when it was removed or is not in the configuration any more. Never
    /// waits.
    pub fn service_by_id(&self, id: ServiceId) -> Option<Arc<Service>> {
        self.snapshot().by_id.get(&id).cloned()
    }

    /// Makes the services known by their names in the log and in metrics.
    pub fn provide_names(&self, names: &ServiceNames) {
        let published = Arc::clone(&self.inner.published);
        names.set(move |id| Some(published.current.load().by_id.get(&id)?.name()));
    }

    pub fn service(&self, sid: &Sid) -> Result<Arc<Service>, RegistryError> {
        let snapshot = self.snapshot();
        let found = snapshot.ids.get(sid).and_then(|id| snapshot.by_id.get(id));
        found.cloned().ok_or(RegistryError::NotFound(Item::Service))
    }

    /// The name of a service for people: its friendly name, with the sid if another service has the same, and behind
    /// `default`.
    pub fn title(&self, service: &Service) -> String {
        let name = &service.settings.friendly_name;
        let is_shared = self.snapshot().shared_names.contains(name);
        match service.origin {
            Origin::Default if name != ServiceId::DEFAULT_NAME => {
                format!("{} ({name})", ServiceId::DEFAULT_NAME)
            }
            _ if is_shared => format!("{name} ({})", service.sid),
            _ => name.clone(),
        }
    }

    /// The [`title`](Self::title) of a service that may have been deleted.
    pub fn title_of(&self, id: ServiceId) -> String {
        let service = self.service_by_id(id);
        service.map_or_else(|| "a deleted service".to_owned(), |service| self.title(&service))
    }

    /// Finds a service by its sid, `default`, or its name in config.json: names that no tenant can take.
    pub fn find_service_exact(&self, text: &str) -> Option<Arc<Service>> {
        let sid = Sid::parse(SidKind::Service, text);
        let is_named = |found: &&Arc<Service>| match &found.origin {
            Origin::Default if text == ServiceId::DEFAULT_NAME => true,
            Origin::Config(name) if name == text => true,
            _ => sid.is_some_and(|sid| found.sid == sid),
        };
        self.snapshot().by_id.values().find(is_named).cloned()
    }

    /// Finds a service by its sid, `default`, its name in config.json, or its friendly name if that is unique.
    pub fn find_service(&self, text: &str) -> Result<Arc<Service>, String> {
        if let Some(service) = self.find_service_exact(text) {
            return Ok(service);
        }
        let snapshot = self.snapshot();
        let called = snapshot.by_id.values().filter(|found| found.settings.friendly_name == text);
        let called: Vec<_> = called.collect();
        match &called[..] {
            [service] => Ok(Arc::clone(service)),
            [] => Err(format!(
                "there is no service {text:?}; name it by its id (VA...), its name in config.json, its friendly name, or default"
            )),
            several => {
                let ids: Vec<_> = several.iter().map(|service| service.sid.to_string()).collect();
                Err(format!("{text:?} is the name of several services; give the id: {}", ids.join(" or ")))
            }
        }
    }

    /// The service behind the compatible routes.
    pub fn default_service(&self) -> Arc<Service> {
        Arc::clone(&self.snapshot().default)
    }

    /// At most `limit` services after the first `skip`, the newest first.
    pub fn services(&self, skip: usize, limit: usize) -> Vec<Arc<Service>> {
        self.snapshot().by_id.values().rev().skip(skip).take(limit).cloned().collect()
    }

    pub fn count(&self) -> usize {
        self.snapshot().by_id.len()
    }

    /// The rules of every service, those of the default one as given.
    pub fn policies(&self, default: Policy) -> Policies {
        Policies { default, others: Arc::clone(&self.inner.published.policies) }
    }

    /// Returns `true` if the compatible routes (`/api/*`, `/send-code`, `/verify-code`) need the account's credentials or a key
    /// that may verify in the default service: where unauthenticated clients reach the server and are not allowed to, and
    /// since a key for just that exists, also when it is revoked.
    pub fn compatible_routes_need_key(&self) -> bool {
        let RegistrySettings { local_only, allows_unauthenticated, .. } = self.inner.settings;
        !allows_unauthenticated && (!local_only || self.snapshot().needs_key())
    }

    /// Whether the operator allows every client the compatible routes.
    pub fn allows_unauthenticated(&self) -> bool {
        self.inner.settings.allows_unauthenticated
    }

    pub fn live_keys(&self) -> usize {
        self.snapshot().live_keys()
    }
}
