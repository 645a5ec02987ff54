//! The snapshot that readers share. One publisher follows the records of slot 0, and replaces it when a change is durable.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::mem::take;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::RwLock;

use super::service::ServiceRecord;
use super::{ApiKey, Credential, CredentialFingerprint, Origin, SafeNumber, Service};
use crate::domain::{PhoneNumber, ServiceId, Sid};
use crate::engine::Policy;
use crate::shard::{Index, Record, RecordKey, Shards, Stored};

pub(super) struct Published {
    pub(super) current: ArcSwap<Snapshot>,
    pub(super) policies: OwnPolicies,
    /// Up to 100,000, which are not copied for one of them.
    pub(super) safe_numbers: RwLock<HashMap<PhoneNumber, SafeNumber>>,
}

impl Published {
    /// Follows the records from here on.
    pub(super) fn follow(shards: &Shards, configured: HashSet<String>, default: Service) -> Arc<Self> {
        let empty = Snapshot {
            configured: Arc::new(configured),
            by_id: BTreeMap::new(),
            ids: HashMap::new(),
            shared_names: HashSet::new(),
            default: Arc::new(default),
            root: None,
            keys: HashMap::new(),
            had_key: false,
        };
        let published = Arc::new(Self {
            current: ArcSwap::from_pointee(empty),
            policies: OwnPolicies::default(),
            safe_numbers: RwLock::default(),
        });
        follow::<ServiceRecord>(shards, &published, Self::change_services);
        follow::<Credential>(shards, &published, Self::change_credentials);
        follow::<SafeNumber>(shards, &published, Self::change_safe_numbers);
        published
    }

    fn change_safe_numbers(&self, anew: bool, changes: Vec<Change<SafeNumber>>) {
        let mut list = self.safe_numbers.write();
        if anew {
            list.clear();
        }
        for (before, after) in changes {
            if let Some(entry) = before {
                list.remove(&entry.number);
            }
            list.extend(after.map(|entry| (entry.number, entry)));
        }
    }

    fn change_services(&self, anew: bool, changes: Vec<Change<ServiceRecord>>) {
        let mut next = Snapshot::clone(&self.current.load());
        if anew {
            (next.by_id, next.ids) = Default::default();
        }
        for (before, after) in changes {
            next.change_service(before, after);
        }
        let (mut names, mut shared_names) = (HashSet::new(), HashSet::new());
        for Service { settings, .. } in next.by_id.values().map(|service| &**service) {
            if !names.insert(&settings.friendly_name) {
                shared_names.insert(settings.friendly_name.clone());
            }
        }
        next.shared_names = shared_names;
        // First: a service has its rules from the moment at which a client learns that it exists. Those of the default
        // service are in the settings.
        let own = next.by_id.values().filter(|service| service.id != ServiceId::DEFAULT);
        self.policies.store(Arc::new(own.map(|own| (own.id, own.settings.policy())).collect()));
        self.current.store(Arc::new(next));
    }

    fn change_credentials(&self, anew: bool, changes: Vec<Change<Credential>>) {
        let mut next = Snapshot::clone(&self.current.load());
        if anew {
            (next.root, next.keys, next.had_key) = Default::default();
        }
        for (before, after) in changes {
            next.change_credential(before, after);
        }
        self.current.store(Arc::new(next));
    }
}

/// A record before and after a change.
type Change<R> = (Option<R>, Option<R>);

/// The index of one kind in one shard. Only the owner of the slot gets changes, and therefore publishes.
struct Publisher<R> {
    /// The shard has started, and everything follows.
    anew: bool,
    changes: Vec<Change<R>>,
    publish: fn(&Published, bool, Vec<Change<R>>),
    published: Arc<Published>,
}

fn follow<R: Record>(
    shards: &Shards,
    published: &Arc<Published>,
    publish: fn(&Published, bool, Vec<Change<R>>),
) {
    let published = Arc::clone(published);
    shards.follow::<R>(Arc::new(move |_| {
        let published = Arc::clone(&published);
        Box::new(Publisher { anew: true, changes: Vec::new(), publish, published })
    }));
}

impl<R: Record> Index for Publisher<R> {
    fn changed(&mut self, _: &RecordKey, before: Option<&Stored>, after: Option<&Stored>) {
        self.changes.push((before.and_then(Stored::record), after.and_then(Stored::record)));
    }

    fn batch_applied(&mut self) {
        if !self.changes.is_empty() {
            (self.publish)(&self.published, take(&mut self.anew), take(&mut self.changes));
        }
    }
}

/// Services and credentials as readers see them.
#[derive(Clone)]
pub(super) struct Snapshot {
    /// The services of config.json. Others of that origin are not served.
    configured: Arc<HashSet<String>>,
    /// Ids grow; therefore this is the order in which they were made.
    pub(super) by_id: BTreeMap<ServiceId, Arc<Service>>,
    pub(super) ids: HashMap<Sid, ServiceId>,
    /// Friendly names that several services have.
    pub(super) shared_names: HashSet<String>,
    pub(super) default: Arc<Service>,
    /// `None` before the first start of a server is complete.
    pub(super) root: Option<CredentialFingerprint>,
    pub(super) keys: HashMap<Sid, Arc<ApiKey>>,
    /// Whether a key for the compatible routes was revoked.
    had_key: bool,
}

impl Snapshot {
    fn change_service(&mut self, before: Option<ServiceRecord>, after: Option<ServiceRecord>) {
        if let Some(ServiceRecord::Present(service)) = before {
            self.ids.remove(&service.sid);
            self.by_id.remove(&service.id);
        }
        if let Some(ServiceRecord::Present(service)) = after
            && !matches!(&service.origin, Origin::Config(name) if !self.configured.contains(name))
        {
            let service: Arc<Service> = Arc::from(service);
            if service.id == ServiceId::DEFAULT {
                self.default = Arc::clone(&service);
            }
            self.ids.insert(service.sid, service.id);
            self.by_id.insert(service.id, service);
        }
    }

    fn change_credential(&mut self, before: Option<Credential>, after: Option<Credential>) {
        match before {
            Some(Credential::Key(key)) => drop(self.keys.remove(&key.sid)),
            Some(Credential::Root(_)) => self.root = None,
            Some(Credential::HadKey) => self.had_key = false,
            None => {}
        }
        match after {
            Some(Credential::Key(key)) => drop(self.keys.insert(key.sid, Arc::new(key))),
            Some(Credential::Root(root)) => self.root = Some(root),
            Some(Credential::HadKey) => self.had_key = true,
            None => {}
        }
    }

    /// The key with this id, if it can be used.
    pub(super) fn live_key(&self, sid: &Sid) -> Option<&Arc<ApiKey>> {
        self.keys.get(sid).filter(|key| self.accepts(key))
    }

    pub(super) fn live_keys(&self) -> usize {
        self.keys.values().filter(|key| self.accepts(key)).count()
    }

    /// Returns `true` if there is or was a key for the compatible routes and nothing else.
    pub(super) fn needs_key(&self) -> bool {
        self.had_key || self.keys.values().any(|key| key.is_for_compatible_routes())
    }

    /// Returns `true` if the key is neither revoked nor for a removed service.
    fn accepts(&self, key: &ApiKey) -> bool {
        key.revoked.is_none() && key.service.is_none_or(|id| self.by_id.contains_key(&id))
    }
}

/// A cheap handle on the rules of every service. Each decision looks its rules up once.
#[derive(Debug, Clone)]
pub struct Policies {
    pub(super) default: Policy,
    pub(super) others: OwnPolicies,
}

/// The rules of the services that have their own. The registry replaces them together with its services.
type OwnPolicies = Arc<ArcSwap<HashMap<ServiceId, Policy>>>;

impl Policies {
    /// The rules of the default service, which also hold for services that have none of their own.
    pub fn new(default: Policy) -> Self {
        Self { default, others: Arc::default() }
    }

    /// Replaces the rules of all services but the default one.
    pub fn set(&self, others: HashMap<ServiceId, Policy>) {
        self.others.store(Arc::new(others));
    }

    /// Returns `true` if the service exists. The server sends no messages for a removed service.
    pub fn serves(&self, service: ServiceId) -> bool {
        service == ServiceId::DEFAULT || self.others.load().contains_key(&service)
    }

    /// The rules of a service.
    pub fn of(&self, service: ServiceId) -> Policy {
        if service == ServiceId::DEFAULT {
            return self.default;
        }
        self.others.load().get(&service).copied().unwrap_or(self.default)
    }
}
