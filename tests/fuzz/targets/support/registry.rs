//! Shards over a store in memory, and a registry with only the default service.

use std::sync::Arc;

use onceward::clock::ManualClock;
use onceward::config::Bounds;
use onceward::domain::{GatewayName, Timestamp};
use onceward::guard::VerifiedNumbers;
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
        kinds: kinds::all(&NumberCapacity::new(bounds.numbers), &VerifiedNumbers::new(1_000)),
        shards: 1,
        settings: kinds::shard_settings(&bounds),
        rng: StdRng::seed_from_u64(1),
        metrics: Arc::default(),
    })
    .await
    .expect("shards")
}

pub async fn registry(shards: Shards, settings: RegistrySettings) -> Registry {
    let default = ServiceSettings { friendly_name: "Acme".to_owned(), ..ServiceSettings::default() };
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
