//! The handle of callers: the services, and what holds for all of them.

use std::sync::Arc;

use arc_swap::Guard;

use super::audit::{Actor, AuditLog, Author};
use super::credential::CredentialFingerprint;
use super::error::{Item, RegistryError, Result};
use super::service::{Origin, Service};
use super::snapshot::{Current, Policies, Snapshot};
use crate::config::NumberRule;
use crate::config::services::RegistrySettings;
use crate::config::templates::Template;
use crate::domain::{GatewayName, PhoneNumber, ServiceId, Sid, SidKind};
use crate::engine::Policy;
use crate::observe::metrics::ServiceNames;
use crate::shard::Shards;
use crate::template::Templates;

/// The services that this installation has, and who may use them. Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    pub(super) inner: Arc<Inner>,
    /// Who changes the registry through this handle; `None` for the server itself and for programs that embed the library.
    pub(super) author: Option<Author>,
}

pub(super) struct Inner {
    pub(super) shards: Shards,
    pub(super) current: Current,
    /// Stands for the default service until the store has been read.
    pub(super) default: Arc<Service>,
    /// The account's credentials, where the environment gives them.
    pub(super) given_root: Option<CredentialFingerprint>,
    pub(super) templates: Vec<Arc<Template>>,
    /// The texts of the settings, and what every text must be.
    pub(super) checks: Templates,
    /// Gateways that are configured, with the ids that messaging configurations name them by.
    pub(super) gateways: Vec<(Sid, GatewayName)>,
    /// Without services, templates and account.
    pub(super) settings: RegistrySettings,
    pub(super) audit: AuditLog,
}

impl Registry {
    pub(super) fn snapshot(&self) -> Guard<Arc<Snapshot>> {
        self.inner.current.load()
    }

    /// The author of changes that `actor` asks for, by the request with this id.
    pub fn author(&self, actor: Actor, request_id: Option<&str>) -> Author {
        let keep_until = self.inner.shards.clock().now().plus(self.inner.settings.audit_retention);
        Author { actor, request_id: request_id.map(str::to_owned), keep_until }
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
        let current = Arc::clone(&self.inner.current);
        names.set(move |id| Some(current.load().by_id.get(&id)?.name()));
    }

    pub fn service(&self, sid: &Sid) -> Result<Arc<Service>> {
        let snapshot = self.snapshot();
        let found = snapshot.ids.get(sid).and_then(|id| snapshot.by_id.get(id));
        found.cloned().ok_or(RegistryError::NotFound(Item::Service))
    }

    /// The name of a service for people: its friendly name, with the sid if another service has the same, and behind
    /// `default`.
    pub fn title(&self, service: &Service) -> String {
        let name = &service.settings.friendly_name;
        let has_it = |other: &&Arc<Service>| other.settings.friendly_name == *name;
        let is_shared = self.snapshot().by_id.values().filter(has_it).count() > 1;
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
        self.service_by_id(ServiceId::DEFAULT).unwrap_or_else(|| Arc::clone(&self.inner.default))
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
        Policies { default, current: Arc::clone(&self.inner.current) }
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
