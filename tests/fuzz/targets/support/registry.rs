//! Shards over a store in memory, and a registry with only the default service.

use std::sync::Arc;
use std::time::Duration;

use onceward::clock::ManualClock;
use onceward::config::Bounds;
use onceward::domain::{CodeLength, GatewayName, Timestamp};
use onceward::engine::{LockoutRule, Policy, SendOptions, SendRules};
use onceward::node::kinds;
use onceward::numbers::NumberCapacity;
use onceward::registry::{Registry, RegistryDeps, RegistrySettings, ServiceSettings};
use onceward::shard::{ShardDeps, Shards};
use onceward::store::MemoryStore;
use onceward::template::Templates;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

/// One shard whose clock stands still at `now`.
pub async fn shards(store: &Arc<MemoryStore>, now: Timestamp) -> Shards {
    let bounds = Bounds::default();
    Shards::start(ShardDeps {
        store: store.clone(),
        clock: Arc::new(ManualClock::starting_at(now)),
        kinds: kinds::all(
            &NumberCapacity::new(bounds.numbers),
            &onceward::guard::VerifiedNumbers::new(1_000),
        ),
        shards: 1,
        settings: kinds::shard_settings(&bounds),
        rng: StdRng::seed_from_u64(1),
        metrics: Arc::default(),
    })
    .await
    .expect("shards")
}

pub async fn registry(shards: Shards, settings: RegistrySettings) -> Registry {
    let policy = Policy {
        max_attempts: Policy::DEFAULT_MAX_ATTEMPTS,
        lockout: LockoutRule::Fixed(Duration::from_secs(60)),
        code: SendOptions { life: Duration::from_secs(30), length: CodeLength::SIX },
        sends: SendRules::CONTRACT,
    };
    let default = ServiceSettings::of_policy("Acme".to_owned(), &policy);
    Registry::open(RegistryDeps {
        shards,
        settings,
        default,
        templates: Templates::new("{code}", "{code}"),
        gateways: vec![GatewayName::Simulator],
        twilio_messaging_service: None,
    })
    .await
    .expect("an empty store")
}
