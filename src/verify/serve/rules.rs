//! The registry's rules as the shards' policies.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::domain::ServiceId;
use crate::engine::{Lockout, Policy, SendOptions, SendRules};
use crate::numbers::Policies;
use crate::registry::{LockoutRule, Registry, Resend, Rules};

/// How long a number's count is kept after its last failure where a lockout grows: one guess an hour does
/// not outlast it.
const COUNT_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

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
    // Those of the default service come with the settings.
    let own = services.iter().filter(|service| service.id != ServiceId::DEFAULT);
    own.map(|service| (service.id, policy_of(&service.rules))).collect()
}

fn policy_of(rules: &Rules) -> Policy {
    let (kind, lockout) = match rules.lockout {
        LockoutRule::Fixed(span) => (Lockout::Fixed, span),
        LockoutRule::Growing => (Lockout::Growing, COUNT_KEPT),
    };
    Policy {
        max_attempts: rules.max_checks,
        lockout,
        kind,
        code: SendOptions { life: rules.code_life, length: rules.code_length },
        sends: SendRules {
            max: rules.max_sends,
            keeps_code: rules.resend == Resend::Keep,
            cools_down: rules.cooling_down,
        },
    }
}
