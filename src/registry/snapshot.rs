//! The snapshot that readers share. One publisher follows the records of slot 0, and replaces it when a change is durable.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::mem::take;
use std::sync::{Arc, PoisonError, RwLock};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::credential::{LiveKey, StoredKey};
use super::policies::OwnPolicies;
use super::service::ServiceRecord;
use super::{ApiKey, Credential, CredentialFingerprint, Origin, SafeNumber, Service};
use crate::domain::{PhoneNumber, ServiceId, Sid};
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
    pub(super) by_id: BTreeMap<ServiceId, Arc<Service>>,
    pub(super) ids: HashMap<Sid, ServiceId>,
    pub(super) default: Arc<Service>,
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
            Some(Credential::Key(StoredKey { key, .. }))
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
            Some(Credential::Key(stored)) => {
                let live = LiveKey::new(stored);
                if let Some(present) = self.keys.get(&live.stored.key.sid) {
                    live.take_last_use_of(present);
                }
                self.keys.insert(live.stored.key.sid, Arc::new(live));
            }
            None => {}
        }
    }

    /// The key with this id, if it can be used.
    pub(super) fn live_key(&self, sid: &Sid) -> Option<&Arc<LiveKey>> {
        self.keys.get(sid).filter(|live| self.accepts(&live.stored.key))
    }

    pub(super) fn live_keys(&self) -> usize {
        self.keys.values().filter(|live| self.accepts(&live.stored.key)).count()
    }

    /// Returns `true` if there is or was a key for the compatible routes and nothing else.
    pub(super) fn needs_key(&self) -> bool {
        self.had_key || self.keys.values().any(|live| live.stored.key.is_for_compatible_routes())
    }

    /// Returns `true` if the key is neither revoked nor for a removed service.
    fn accepts(&self, key: &ApiKey) -> bool {
        key.revoked.is_none() && key.service.is_none_or(|id| self.by_id.contains_key(&id))
    }
}
