//! What readers share: it never changes, and is replaced as a whole.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::credential::KeptKey;
use super::error::{RegistryError, not_found};
use super::{Origin, Scope, Service};
use crate::domain::{ServiceId, Sid, SidKind};

/// What people call the service of the compatible routes.
const DEFAULT_NAME: &str = "default";

/// Every service that is served.
#[derive(Clone)]
pub(super) struct Services {
    /// Ids grow, so this is the order in which they were made.
    by_id: BTreeMap<ServiceId, Arc<Service>>,
    ids: HashMap<Sid, ServiceId>,
    default: Arc<Service>,
}

impl Services {
    /// Only the default one.
    pub(super) fn new(default: Service) -> Self {
        let default = Arc::new(default);
        let mut services =
            Self { by_id: BTreeMap::new(), ids: HashMap::new(), default: Arc::clone(&default) };
        services.put(default);
        services
    }

    /// Adds a service, or replaces it.
    pub(super) fn put(&mut self, service: Arc<Service>) {
        if service.id == ServiceId::DEFAULT {
            self.default = Arc::clone(&service);
        }
        self.ids.insert(service.sid, service.id);
        self.by_id.insert(service.id, service);
    }

    pub(super) fn remove(&mut self, service: &Service) {
        self.ids.remove(&service.sid);
        self.by_id.remove(&service.id);
    }

    pub(super) fn by_id(&self, id: ServiceId) -> Option<Arc<Service>> {
        self.by_id.get(&id).cloned()
    }

    pub(super) fn has(&self, id: ServiceId) -> bool {
        self.by_id.contains_key(&id)
    }

    pub(super) fn by_sid(&self, sid: &Sid) -> Option<Arc<Service>> {
        self.ids.get(sid).and_then(|id| self.by_id(*id))
    }

    pub(super) fn default_service(&self) -> Arc<Service> {
        Arc::clone(&self.default)
    }

    pub(super) fn newest_first(&self) -> impl Iterator<Item = Arc<Service>> {
        self.by_id.values().rev().cloned()
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn find(&self, text: &str) -> Result<Arc<Service>, RegistryError> {
        if text == DEFAULT_NAME {
            return Ok(self.default_service());
        }
        if let Some(sid) = Sid::parse(SidKind::Service, text) {
            return self.by_sid(&sid).ok_or_else(|| not_found(&sid));
        }
        let configured =
            |service: &&Arc<Service>| matches!(&service.origin, Origin::Config(name) if name == text);
        if let Some(service) = self.by_id.values().find(configured) {
            return Ok(Arc::clone(service));
        }
        let mut called = self.by_id.values().filter(|service| service.friendly_name == text);
        match (called.next(), called.next()) {
            (Some(service), None) => Ok(Arc::clone(service)),
            (Some(_), Some(_)) => {
                let why = format!("{text:?} is the name of several services; give its id, VA...");
                Err(RegistryError::Invalid { field: "service", why })
            }
            (None, _) => Err(RegistryError::NotFound("service")),
        }
    }
}

/// Every credential.
#[derive(Clone, Default)]
pub(super) struct Credentials {
    /// The account's sid and the hash of its token; none before there is one.
    pub(super) root: Option<(Sid, [u8; 32])>,
    /// Whether the environment gave it.
    pub(super) root_is_given: bool,
    pub(super) keys: HashMap<Sid, Arc<KeptKey>>,
}

impl Credentials {
    /// Keys that can be used.
    pub(super) fn live<'a>(&'a self, services: &'a Services) -> impl Iterator<Item = &'a Arc<KeptKey>> {
        self.keys.values().filter(|kept| {
            kept.key.revoked.is_none() && kept.key.service.is_none_or(|service| services.has(service))
        })
    }

    /// Whether somebody made a key for the compatible routes and nothing else.
    pub(super) fn has_key_of_the_default_service(&self) -> bool {
        let is_one = |kept: &Arc<KeptKey>| {
            kept.key.revoked.is_none()
                && kept.key.service == Some(ServiceId::DEFAULT)
                && kept.key.scopes.has(Scope::Verify)
        };
        self.keys.values().any(is_one)
    }
}
