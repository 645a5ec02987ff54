//! The snapshot that readers share. One publisher follows the records of slot 0, and replaces it when a change is durable.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::mem::take;
use std::sync::{Arc, PoisonError, RwLock};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::credential::LiveKey;
use super::policies::OwnPolicies;
use super::service::ServiceRecord;
use super::{ApiKey, Credential, CredentialFingerprint, Origin, SafeNumber, Service};
use crate::domain::{PhoneNumber, ServiceId, Sid, SidKind};
use crate::shard::{Index, IndexFactory, Record, RecordKey, Shards, Stored};

pub(super) struct Published {
    pub(super) current: ArcSwap<Snapshot>,
    pub(super) policies: OwnPolicies,
    /// Grows with each change of a service.
    pub(super) generation: watch::Sender<u64>,
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
            default: Arc::new(default),
            root: None,
            keys: HashMap::new(),
            had_key: false,
        };
        let published = Arc::new(Self {
            current: ArcSwap::from_pointee(empty),
            policies: OwnPolicies::default(),
            generation: watch::Sender::new(0),
            safe_numbers: RwLock::default(),
        });
        let index_of = |kind| -> IndexFactory {
            let published = Arc::clone(&published);
            Arc::new(move |_| {
                let published = Arc::clone(&published);
                Box::new(Publisher { kind, anew: true, changes: Vec::new(), published })
            })
        };
        shards.follow::<ServiceRecord>(index_of(ServiceRecord::KIND));
        shards.follow::<Credential>(index_of(Credential::KIND));
        shards.follow::<SafeNumber>(index_of(SafeNumber::KIND));
        published
    }

    fn change_safe_numbers(&self, anew: bool, changes: Vec<Change>) {
        let mut list = self.safe_numbers.write().unwrap_or_else(PoisonError::into_inner);
        if anew {
            list.clear();
        }
        for (before, after) in changes {
            if let Some(entry) = read::<SafeNumber>(before.as_ref()) {
                list.remove(&entry.number);
            }
            list.extend(read::<SafeNumber>(after.as_ref()).map(|entry| (entry.number, entry)));
        }
    }

    fn change_services(&self, anew: bool, changes: Vec<Change>) {
        let mut next = Snapshot::clone(&self.current.load());
        if anew {
            (next.by_id, next.ids) = Default::default();
        }
        for (before, after) in changes {
            next.change_service(read(before.as_ref()), read(after.as_ref()));
        }
        // First: a service has its rules from the moment at which a client learns that it exists. Those of the default
        // service are in the settings.
        let own = next.by_id.values().filter(|service| service.id != ServiceId::DEFAULT);
        self.policies.store(Arc::new(own.map(|own| (own.id, own.settings.policy())).collect()));
        self.current.store(Arc::new(next));
        self.generation.send_modify(|generation| *generation += 1);
    }

    fn change_credentials(&self, anew: bool, changes: Vec<Change>) {
        let mut next = Snapshot::clone(&self.current.load());
        if anew {
            (next.root, next.keys, next.had_key) = Default::default();
        }
        for (before, after) in changes {
            next.change_credential(read(before.as_ref()), read(after.as_ref()));
        }
        self.current.store(Arc::new(next));
    }

    /// Whether a credential differs from the published one at most in its last use, which that one takes over.
    fn was_only_used(&self, after: Option<&Stored>) -> bool {
        let Some(Credential::Key { key, hash, number }) = read(after) else { return false };
        let used = LiveKey::new(key, hash, number);
        self.current.load().keys.get(&used.key.sid).is_some_and(|present| present.merge_last_use(&used))
    }
}

/// A record before and after a change.
type Change = (Option<Stored>, Option<Stored>);

fn read<R: Record>(stored: Option<&Stored>) -> Option<R> {
    stored.and_then(Stored::record)
}

/// The index of one kind in one shard. Only the owner of the slot gets changes, and therefore publishes.
struct Publisher {
    kind: u8,
    /// The shard has started, and everything follows.
    anew: bool,
    changes: Vec<Change>,
    published: Arc<Published>,
}

impl Index for Publisher {
    fn changed(&mut self, _: &RecordKey, before: Option<&Stored>, after: Option<&Stored>) {
        if self.kind == Credential::KIND && !self.anew && self.published.was_only_used(after) {
            return;
        }
        self.changes.push((before.cloned(), after.cloned()));
    }

    fn batch_applied(&mut self) {
        if self.changes.is_empty() {
            return;
        }
        let (anew, changes) = (take(&mut self.anew), take(&mut self.changes));
        match self.kind {
            ServiceRecord::KIND => self.published.change_services(anew, changes),
            Credential::KIND => self.published.change_credentials(anew, changes),
            _ => self.published.change_safe_numbers(anew, changes),
        }
    }
}

/// Services and credentials as readers see them.
#[derive(Clone)]
pub(super) struct Snapshot {
    /// The services of config.json. Others of that origin are not served.
    configured: Arc<HashSet<String>>,
    /// Ids grow; therefore this is the order in which they were made.
    by_id: BTreeMap<ServiceId, Arc<Service>>,
    ids: HashMap<Sid, ServiceId>,
    default: Arc<Service>,
    /// `None` before the first start of a server is complete.
    pub(super) root: Option<CredentialFingerprint>,
    pub(super) keys: HashMap<Sid, Arc<LiveKey>>,
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
                    live.merge_last_use(present);
                }
                self.keys.insert(live.key.sid, Arc::new(live));
            }
            None => {}
        }
    }

    /// The key with this id, if it can be used.
    pub(super) fn live_key(&self, sid: &Sid) -> Option<&Arc<LiveKey>> {
        self.keys.get(sid).filter(|live| self.accepts(&live.key))
    }

    pub(super) fn live_keys(&self) -> usize {
        self.keys.values().filter(|live| self.accepts(&live.key)).count()
    }

    /// Returns `true` if there is or was a key for the compatible routes and nothing else.
    pub(super) fn needs_key(&self) -> bool {
        self.had_key || self.keys.values().any(|live| live.key.is_for_compatible_routes())
    }

    pub(super) fn by_id(&self, id: ServiceId) -> Option<Arc<Service>> {
        self.by_id.get(&id).cloned()
    }

    /// Returns `true` if the key is neither revoked nor for a removed service.
    fn accepts(&self, key: &ApiKey) -> bool {
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
