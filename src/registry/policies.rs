//! The rules of every service, as decisions use them.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::domain::ServiceId;
use crate::engine::Policy;

/// A cheap handle on the rules of every service. Each decision looks its rules up once.
#[derive(Debug, Clone)]
pub struct Policies {
    default: Policy,
    others: OwnPolicies,
}

/// The rules of the services that have their own. The registry replaces them together with its services.
pub(super) type OwnPolicies = Arc<ArcSwap<HashMap<ServiceId, Policy>>>;

impl Policies {
    /// The rules of the default service, which also hold for services that have none of their own.
    pub fn new(default: Policy) -> Self {
        Self { default, others: Arc::default() }
    }

    pub(super) const fn shared(default: Policy, others: OwnPolicies) -> Self {
        Self { default, others }
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
