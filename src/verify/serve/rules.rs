//! The registry's rules as the shards' policies.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use crate::domain::ServiceId;
use crate::engine::Policy;
use crate::numbers::Policies;
use crate::registry::Registry;

/// The policies of the shards, and the version of the registry that they come from.
pub struct CurrentRules {
    policies: Policies,
    seen: Mutex<watch::Receiver<u64>>,
}

impl CurrentRules {
    /// Sets the policies from the registry.
    pub fn new(registry: &Registry, policies: Policies) -> Self {
        let seen = Mutex::new(registry.changes());
        policies.set(policies_of(registry));
        Self { policies, seen }
    }

    /// Reports changes of the registry.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets the policies again if the registry has changed: a service has its rules from the moment at which a client
    /// learns that it exists.
    pub(super) fn sync_policies(&self, registry: &Registry) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // While the lock is held no older rules replace these.
        if seen.has_changed().unwrap_or(true) {
            seen.mark_unchanged();
            self.policies.set(policies_of(registry));
        }
    }
}

fn policies_of(registry: &Registry) -> HashMap<ServiceId, Policy> {
    let services = registry.services(0, usize::MAX);
    // The settings have those of the default service.
    let own = services.iter().filter(|service| service.id != ServiceId::DEFAULT);
    own.map(|service| (service.id, service.settings.policy())).collect()
}
