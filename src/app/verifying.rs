//! What serves verifications by themselves: counters, kept answers, webhooks, and what brings them together.

use std::sync::Arc;

use crate::clock::Clock;
use crate::config::Bounds;
use crate::delivery::Delivery;
use crate::domain::ServerKey;
use crate::engine::Sealer;
use crate::gateway::Poster;
use crate::limit::{self, Answers, Limits};
use crate::numbers::{Policies, Verifier};
use crate::registry::Registry;
use crate::shard::Shards;
use crate::verify::{Verifying, VerifyingParts};
use crate::webhook::{ATTEMPT_TIME, Outbox, OutboxBounds, OutboxDeps};

/// What it stands on.
pub(super) struct Ground<'a> {
    pub(super) shards: &'a Shards,
    pub(super) server_key: &'a ServerKey,
    pub(super) registry: &'a Registry,
    pub(super) bounds: &'a Bounds,
    /// Whether webhooks may be on this machine and in private networks.
    pub(super) private_webhooks: bool,
}

/// What counts and remembers beside the shards.
pub struct Beside {
    limits: Limits,
    answers: Answers,
    outbox: Outbox,
}

impl Beside {
    /// Reads what the store has, and delivers what is pending.
    pub(super) fn open(ground: &Ground<'_>) -> Self {
        let Ground { shards, server_key, registry, bounds, private_webhooks } = *ground;
        let limits = limit::Bounds { queue: bounds.commands, ..limit::Bounds::default() };
        Self {
            limits: Limits::new(shards, server_key, limits),
            answers: Answers::new(shards, server_key, limits),
            outbox: Outbox::start(OutboxDeps {
                shards: shards.clone(),
                sealer: Sealer::new(server_key),
                subscribers: Arc::new(registry.clone()),
                transport: Arc::new(Poster::new(private_webhooks, ATTEMPT_TIME)),
                bounds: OutboxBounds::default(),
            }),
        }
    }

    /// What serves verifications, from here on by the registry's rules.
    pub(super) fn serving(
        &self,
        registry: &Registry,
        verifier: &Verifier,
        delivery: &Arc<Delivery>,
        server_key: ServerKey,
        policies: Policies,
        clock: Arc<dyn Clock>,
    ) -> Verifying {
        Verifying::new(VerifyingParts {
            registry: registry.clone(),
            verifier: verifier.clone(),
            delivery: Arc::clone(delivery),
            limits: self.limits.clone(),
            answers: self.answers.clone(),
            server_key,
            policies,
            clock,
        })
    }

    /// What webhooks are told.
    pub(super) fn outbox(&self) -> Outbox {
        self.outbox.clone()
    }

    /// Ends attempts to deliver events.
    pub(super) async fn close(&self) {
        self.outbox.close().await;
    }
}
