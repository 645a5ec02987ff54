//! The snapshot that readers share. It follows the records of slot 0, and is replaced when a change is durable.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::service::ServiceRecord;
use super::{ApiKey, Credential, CredentialFingerprint, Origin, Service};
use crate::domain::{ServiceId, Sid};
use crate::engine::Policy;
use crate::shard::{Change, Record, Shards, Stored};

/// The present snapshot.
pub(super) type Current = Arc<ArcSwap<Snapshot>>;

/// Follows the records from here on.
pub(super) fn follow(shards: &Shards, configured: HashSet<String>) -> Current {
    let configured = Arc::new(configured);
    let current = Current::new(ArcSwap::from_pointee(Snapshot { configured, ..Snapshot::default() }));
    follow_kind::<ServiceRecord>(shards, &current, Snapshot::change_service);
    follow_kind::<Credential>(shards, &current, Snapshot::change_credential);
    current
}

fn follow_kind<R: Record>(
    shards: &Shards,
    current: &Current,
    change: fn(&mut Snapshot, Option<R>, Option<R>),
) {
    let current = Arc::clone(current);
    shards.follow::<R>(move |changes| {
        let mut next = Snapshot::clone(&current.load());
        for Change { before, after, .. } in changes {
            let record = |stored: &Option<Stored>| stored.as_ref().and_then(Stored::record);
            change(&mut next, record(before), record(after));
        }
        current.store(Arc::new(next));
    });
}

/// Services and credentials as readers see them.
#[derive(Clone, Default)]
pub(super) struct Snapshot {
    /// The services of config.json. Others of that origin are not served.
    configured: Arc<HashSet<String>>,
    /// Ids grow; therefore this is the order in which they were made.
    pub(super) by_id: BTreeMap<ServiceId, Arc<Service>>,
    pub(super) ids: HashMap<Sid, ServiceId>,
    /// `None` before the first start of a server is complete.
    pub(super) root: Option<CredentialFingerprint>,
    pub(super) keys: HashMap<Sid, Arc<ApiKey>>,
    /// Whether a key for the compatible routes was revoked.
    had_key: bool,
}

impl Snapshot {
    fn change_service(&mut self, before: Option<ServiceRecord>, after: Option<ServiceRecord>) {
        match (before, after) {
            (_, Some(ServiceRecord::Present(service))) => {
                if !matches!(&service.origin, Origin::Config(name) if !self.configured.contains(name)) {
                    self.ids.insert(service.sid, service.id);
                    self.by_id.insert(service.id, Arc::from(service));
                }
            }
            (Some(ServiceRecord::Present(service)), _) => {
                self.ids.remove(&service.sid);
                self.by_id.remove(&service.id);
            }
            (_, _) => {}
        }
    }

    fn change_credential(&mut self, before: Option<Credential>, after: Option<Credential>) {
        match (before, after) {
            (_, Some(Credential::Key(key))) => drop(self.keys.insert(key.sid, Arc::new(key))),
            (_, Some(Credential::Root(root))) => self.root = Some(root),
            (_, Some(Credential::HadKey)) => self.had_key = true,
            (Some(Credential::Key(key)), None) => drop(self.keys.remove(&key.sid)),
            (_, None) => {}
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
#[derive(Clone)]
pub struct Policies {
    pub(super) default: Policy,
    pub(super) current: Current,
}

impl Policies {
    /// Returns `true` if the service exists. The server sends no messages for a removed service.
    pub fn serves(&self, service: ServiceId) -> bool {
        service == ServiceId::DEFAULT || self.current.load().by_id.contains_key(&service)
    }

    /// The rules of a service.
    pub fn of(&self, service: ServiceId) -> Policy {
        if service == ServiceId::DEFAULT {
            return self.default;
        }
        self.current.load().by_id.get(&service).map_or(self.default, |of| of.settings.policy())
    }
}
