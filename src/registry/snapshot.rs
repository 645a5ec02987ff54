//! The snapshot that readers share. Indexes over the records of slot 0 publish it when a change is durable.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::mem::take;
use std::sync::{Arc, PoisonError, RwLock};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::credential::LiveKey;
use super::policies::OwnPolicies;
use super::service::ServiceRecord;
use super::{ApiKey, Credential, Origin, Root, SafeNumber, Service};
use crate::domain::{PhoneNumber, ServiceId, Sid, SidKind};
use crate::shard::{Index, Record, RecordKey, Shards, Stored};

pub(super) struct Published {
    pub(super) services: ArcSwap<Services>,
    pub(super) policies: OwnPolicies,
    /// Grows with each change of a service.
    pub(super) generation: watch::Sender<u64>,
    pub(super) credentials: ArcSwap<Credentials>,
    pub(super) safe_numbers: RwLock<HashMap<PhoneNumber, SafeNumber>>,
}

impl Published {
    /// Follows the records from here on. `configured` are the services of config.json: others of that origin are not
    /// served.
    pub(super) fn follow(shards: &Shards, configured: HashSet<String>, default: Service) -> Arc<Self> {
        let empty = Services::new(default);
        let published = Arc::new(Self {
            services: ArcSwap::from_pointee(empty.clone()),
            policies: OwnPolicies::default(),
            generation: watch::Sender::new(0),
            credentials: ArcSwap::default(),
            safe_numbers: RwLock::default(),
        });
        let configured = Arc::new(configured);
        let services =
            move || ServiceSnapshot { configured: Arc::clone(&configured), services: empty.clone() };
        published.follow_with(shards, services);
        published.follow_with(shards, Credentials::default);
        published.follow_with(shards, SafeNumbers::default);
        published
    }

    fn follow_with<S: Snapshot>(
        self: &Arc<Self>,
        shards: &Shards,
        empty: impl Fn() -> S + Send + Sync + 'static,
    ) {
        let published = Arc::clone(self);
        shards.follow::<S::Record>(Arc::new(move |_| {
            Box::new(Publisher { snapshot: empty(), changed: false, published: Arc::clone(&published) })
        }));
    }
}

/// The next snapshot of one kind of record.
trait Snapshot: Send + 'static {
    type Record: Record;
    /// Applies a change. Returns `true` if there is something to publish.
    fn change(&mut self, before: Option<Self::Record>, after: Option<Self::Record>) -> bool;
    fn publish(&mut self, published: &Published);
}

/// The index of one kind in one shard. Only the owner of the slot gets changes, and therefore publishes.
struct Publisher<S> {
    snapshot: S,
    changed: bool,
    published: Arc<Published>,
}

impl<S: Snapshot> Index for Publisher<S> {
    fn changed(&mut self, _: &RecordKey, before: Option<&Stored>, after: Option<&Stored>) {
        let read = |stored: Option<&Stored>| stored.and_then(Stored::record::<S::Record>);
        self.changed |= self.snapshot.change(read(before), read(after));
    }

    fn batch_applied(&mut self) {
        if self.changed {
            self.changed = false;
            self.snapshot.publish(&self.published);
        }
    }
}

#[derive(Clone)]
pub(super) struct Services {
    /// Ids grow; therefore this is the order in which they were made.
    by_id: BTreeMap<ServiceId, Arc<Service>>,
    ids: HashMap<Sid, ServiceId>,
    default: Arc<Service>,
}

impl Services {
    fn new(default: Service) -> Self {
        Self { by_id: BTreeMap::new(), ids: HashMap::new(), default: Arc::new(default) }
    }

    fn put(&mut self, service: Arc<Service>) {
        if service.id == ServiceId::DEFAULT {
            self.default = Arc::clone(&service);
        }
        self.ids.insert(service.sid, service.id);
        self.by_id.insert(service.id, service);
    }

    pub(super) fn by_id(&self, id: ServiceId) -> Option<Arc<Service>> {
        self.by_id.get(&id).cloned()
    }

    /// Returns `true` if the key is neither revoked nor for a removed service.
    pub(super) fn accept(&self, key: &ApiKey) -> bool {
        key.revoked.is_none() && key.service.is_none_or(|id| self.by_id.contains_key(&id))
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

    pub(super) fn title(&self, service: &Service) -> String {
        let name = &service.settings.friendly_name;
        let is_another =
            |other: &Arc<Service>| other.id != service.id && other.settings.friendly_name == *name;
        titled(service, self.by_id.values().any(is_another))
    }

    /// [`title`](Self::title) of many services, in one pass over all.
    pub(super) fn titles(&self, services: &[Arc<Service>]) -> Vec<String> {
        let mut named = HashMap::<&str, usize>::new();
        for service in self.by_id.values() {
            *named.entry(&service.settings.friendly_name).or_default() += 1;
        }
        let is_shared = |service: &Service| named.get(&*service.settings.friendly_name) > Some(&1);
        services.iter().map(|service| titled(service, is_shared(service))).collect()
    }

    /// The service by its id, its name in config.json, or `default`: names that no tenant can give a service of its own.
    pub(super) fn find_exact(&self, text: &str) -> Option<Arc<Service>> {
        let sid = Sid::parse(SidKind::Service, text);
        let named = |found: &&Arc<Service>| match &found.origin {
            Origin::Default if text == ServiceId::DEFAULT_NAME => true,
            Origin::Config(name) if name == text => true,
            _ => sid.is_some_and(|sid| found.sid == sid),
        };
        self.by_id.values().find(named).cloned()
    }

    /// The service that an operator names: by its id, its name in config.json, its friendly name, or `default`.
    pub(super) fn find(&self, text: &str) -> Result<Arc<Service>, String> {
        if let Some(service) = self.find_exact(text) {
            return Ok(service);
        }
        let called = self.by_id.values().filter(|found| found.settings.friendly_name == text);
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
}

fn titled(service: &Service, is_shared: bool) -> String {
    let name = &service.settings.friendly_name;
    if is_shared { format!("{name} ({})", service.sid) } else { name.clone() }
}

struct ServiceSnapshot {
    configured: Arc<HashSet<String>>,
    services: Services,
}

impl Snapshot for ServiceSnapshot {
    type Record = ServiceRecord;

    fn change(&mut self, before: Option<ServiceRecord>, after: Option<ServiceRecord>) -> bool {
        if let Some(ServiceRecord::Present(service)) = before {
            self.services.ids.remove(&service.sid);
            self.services.by_id.remove(&service.id);
        }
        if let Some(ServiceRecord::Present(service)) = after
            && !matches!(&service.origin, Origin::Config(name) if !self.configured.contains(name))
        {
            self.services.put(Arc::from(service));
        }
        true
    }

    fn publish(&mut self, published: &Published) {
        // First: a service has its rules from the moment at which a client learns that it exists. Those of the default
        // service are in the settings.
        let own = self.services.by_id.values().filter(|service| service.id != ServiceId::DEFAULT);
        published.policies.store(Arc::new(own.map(|own| (own.id, own.settings.policy())).collect()));
        published.services.store(Arc::new(self.services.clone()));
        published.generation.send_modify(|generation| *generation += 1);
    }
}

#[derive(Clone, Default)]
pub(super) struct Credentials {
    /// `None` before the first start of a server is complete.
    pub(super) root: Option<Root>,
    pub(super) keys: HashMap<Sid, Arc<LiveKey>>,
    /// Whether a key for the compatible routes was revoked.
    had_key: bool,
}

impl Credentials {
    /// Keys that can be used.
    pub(super) fn live<'a>(&'a self, services: &'a Services) -> impl Iterator<Item = &'a Arc<LiveKey>> {
        self.keys.values().filter(|live| services.accept(&live.key))
    }

    /// Returns `true` if there is or was a key for the compatible routes and nothing else.
    pub(super) fn needs_key(&self) -> bool {
        self.had_key || self.keys.values().any(|live| live.key.is_for_compatible_routes())
    }
}

impl Snapshot for Credentials {
    type Record = Credential;

    fn change(&mut self, before: Option<Credential>, after: Option<Credential>) -> bool {
        match before {
            Some(Credential::Key { key, .. })
                if after.as_ref().and_then(Credential::key) != Some(key.sid) =>
            {
                self.keys.remove(&key.sid);
            }
            Some(Credential::Root(_)) => self.root = None,
            Some(Credential::HadKey) => self.had_key = false,
            _ => {}
        }
        match after {
            Some(Credential::Root(root)) => self.root = Some(root),
            Some(Credential::HadKey) => self.had_key = true,
            Some(Credential::Key { key, hash, number }) => {
                let live = LiveKey::new(key, hash, number);
                if let Some(present) = self.keys.get(&live.key.sid) {
                    if present.merge_last_use(&live) {
                        return false;
                    }
                    live.merge_last_use(present);
                }
                self.keys.insert(live.key.sid, Arc::new(live));
            }
            None => {}
        }
        true
    }

    fn publish(&mut self, published: &Published) {
        published.credentials.store(Arc::new(self.clone()));
    }
}

/// Changes of the safe list: up to 100,000 numbers are not copied for one of them.
struct SafeNumbers {
    /// The list is being rebuilt, by a shard that has started.
    anew: bool,
    changes: Vec<(Option<SafeNumber>, Option<SafeNumber>)>,
}

impl Default for SafeNumbers {
    fn default() -> Self {
        Self { anew: true, changes: Vec::new() }
    }
}

impl Snapshot for SafeNumbers {
    type Record = SafeNumber;

    fn change(&mut self, before: Option<SafeNumber>, after: Option<SafeNumber>) -> bool {
        self.changes.push((before, after));
        true
    }

    fn publish(&mut self, published: &Published) {
        let mut list = published.safe_numbers.write().unwrap_or_else(PoisonError::into_inner);
        if take(&mut self.anew) {
            list.clear();
        }
        for (before, after) in self.changes.drain(..) {
            if let Some(entry) = before {
                list.remove(&entry.number);
            }
            list.extend(after.map(|entry| (entry.number, entry)));
        }
    }
}
