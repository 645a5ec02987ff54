//! The services that need the open store: shards, delivery, registry, webhooks. The server and the library start them
//! in the same way.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::SeedableRng as _;
use rand::rngs::{StdRng, SysRng};
use scopeguard::ScopeGuard;

use super::{AccountFile, StartError, load_or_create, server_key};
use crate::clock::{Clock as _, EngineClock};
use crate::config::{Settings, StorageSettings};
use crate::delivery::attempts::Attempts;
use crate::delivery::{Delivery, DeliveryDeps, Results, Routed};
use crate::domain::{GatewayName, ServerKey, ServiceId};
use crate::engine::{NumberState, key_fingerprint};
use crate::limits::guard::{GuardConfig, PumpingGuard, ServerGuard};
use crate::node::history::History;
use crate::observe::metrics::{Metrics, NAMED_SERVICES, Reading};
use crate::registry::{Registry, RegistryDeps, ServiceSettings};
use crate::shard::{Capacity, LimitedTable, ShardDeps, Shards};
use crate::store::{EmbeddedStore, OpenOptions, Store, StoreError};
use crate::verification::hosted::HostedSessions;
use crate::verification::{Verifier, VerifierDeps};
use crate::webhook::{ATTEMPT_TIME, Outbox, OutboxBounds, network_transport};

/// A wall clock that is behind the data directory by less than this is not reported: clocks of different machines, and
/// of one machine before and after NTP has corrected it, differ a little.
const TOLERANCE: Duration = Duration::from_secs(90);

/// Arguments of [`Running::start`].
pub struct StartOptions {
    pub settings: Settings,
    /// The store and the server key of its records; `None` opens the data directory.
    pub records: Option<(ServerKey, Box<dyn Store>)>,
    /// Brought up to the time of the data directory.
    pub clock: EngineClock,
    pub gateways: Vec<Routed>,
    /// Whether the server accepts HTTP requests and therefore needs credentials. The library does not.
    pub serves: bool,
    pub metrics: Arc<Metrics>,
}

/// A reason why the server is not ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unready {
    /// The part that does not work, in a word that anyone may read.
    pub part: &'static str,
    /// For an operator.
    pub why: String,
}

pub struct Running {
    pub shards: Shards,
    pub delivery: Arc<Delivery>,
    pub registry: Registry,
    pub account: AccountFile,
    pub verifier: Arc<Verifier>,
    pub outbox: Arc<Outbox>,
    pub history: Arc<History>,
    pub guard: PumpingGuard,
    pub hosted: HostedSessions,
}

impl Running {
    /// Opens the store, loads what is in it, and starts the shards.
    pub async fn start(options: StartOptions) -> Result<Self, StartError> {
        let StartOptions { settings, records, clock, gateways, serves, metrics } = options;
        let Settings { storage, policy, bounds, templates, registry: services, .. } = settings;
        let account = AccountFile::of(&storage.data_dir);
        let (server_key, store) = if let Some(opened) = records {
            opened
        } else {
            // A first start that would be refused below makes no files.
            let exposed = services.unless_keys.clone().filter(|_| serves);
            if let Some(errors) = exposed.filter(|_| server_key::is_unused(&storage.data_dir)) {
                return Err(StartError::Exposed(errors));
            }
            open_store(storage, clock.clone()).await?
        };
        let told = store.newest_time();
        let mut seeder = seeded_rng()?;
        let rng_of_shards = StdRng::from_rng(&mut seeder);
        let deps = ShardDeps { store, clock: clock.clone(), bounds: bounds.clone(), metrics };
        let shards = start_shards(deps, settings.shards, rng_of_shards).await?;
        // A start that fails ends its shards.
        let unless_started = scopeguard::guard(shards.clone(), |shards| shards.stop());
        // Every shard has counted its numbers before it answers the start of the guard, below.
        let numbers = Capacity::following::<NumberState>(&shards, LimitedTable::Numbers, bounds.numbers);
        let guards =
            services.services.iter().map(|service| (service.name.clone(), service.guard.clone())).collect();
        let unless_keys = services.unless_keys.clone();
        let registry = Registry::open(RegistryDeps {
            shards: shards.clone(),
            settings: services,
            default: ServiceSettings::of_policy(settings.brand, &policy),
            templates: templates.clone(),
            gateways: super::names_of(&gateways),
            twilio_messaging_service: super::messaging_service(&settings.gateways),
        })
        .await?;
        // A server does not start on an address that other machines reach without a key.
        if serves {
            if let Some(errors) = unless_keys.filter(|_| registry.live_keys() == 0) {
                return Err(StartError::Exposed(errors));
            }
            account.create_if_none(&registry).await?;
        }
        registry.provide_names(shards.metrics().service_names());
        let transport = network_transport(settings.private_webhooks, ATTEMPT_TIME);
        let of = registry.clone();
        let outbox = Outbox::start(shards.clone(), &server_key, of, transport, OutboxBounds::default());
        let guard = GuardConfig {
            settings: settings.guard,
            services: registry.ids_of_configured(guards),
            pricing: settings.history.clone(),
            is_free: gateways.iter().all(|routed| routed.routed_as == GatewayName::Simulator),
        };
        let guard = ServerGuard::start(&shards, &server_key, bounds.numbers, registry.clone(), guard).await?;
        let attempts = Attempts::new(&shards, &server_key, settings.attempt_log);
        let taken = |service, number, ticket: &_| guard.take_again(service, number, ticket);
        attempts.taken_since(guard.unwritten_since(), taken).await?;
        let on_fall = outbox.fall_alerts();
        let results = Results::new(settings.history, on_fall);
        let last_errors = results.restore(&attempts, told).await?;
        let history = History::start(&shards, &server_key, results);
        let rng_of_sessions = StdRng::from_rng(&mut seeder);
        let hosted = HostedSessions::new(&shards, &server_key, bounds.hosted_sessions, rng_of_sessions);
        let of_delivery = shards.clone();
        let deps = DeliveryDeps {
            routing: settings.gateways.routing,
            settings: settings.delivery,
            services: Some(registry.clone()),
            templates,
            clock,
            rng: Mutex::new(StdRng::from_rng(&mut seeder)),
            bounds: bounds.clone(),
            metrics: Arc::clone(shards.metrics()),
            guard: Some(guard.clone()),
            results: Arc::clone(&history.results),
            may_send: Box::new(move || of_delivery.owns_records()),
        };
        let delivery = Arc::new(Delivery::new(gateways, deps));
        delivery.restore_last_errors(&last_errors);
        let verifier = Verifier::new(VerifierDeps {
            shards: shards.clone(),
            numbers,
            attempts,
            delivery: Arc::clone(&delivery),
            guard: guard.clone(),
            registry: registry.clone(),
            policies: registry.policies(policy),
            server_key,
            bounds,
            events: Arc::clone(&outbox),
        });
        verifier.settle_cut_off().await?;
        ScopeGuard::into_inner(unless_started);
        Ok(Self { shards, delivery, registry, account, verifier, outbox, history, guard, hosted })
    }

    /// Returns the reasons why the server is not ready; empty if it is.
    pub fn reasons_against(&self) -> Vec<Unready> {
        let ended = self.shards.has_failed().then(|| "a shard has ended; a restart helps".to_owned());
        let store = self.shards.store().health().err().or(ended).map(|why| Unready { part: "store", why });
        let gateways = self.delivery.readiness().err().into_iter().flatten();
        store.into_iter().chain(gateways.map(|why| Unready { part: "gateways", why })).collect()
    }

    /// Creates the counters of each service at zero; of the default one alone, if they are too many to have names.
    pub fn create_counters_at_zero(&self) {
        let most = if self.registry.count() <= NAMED_SERVICES { NAMED_SERVICES } else { 0 };
        let services = self.registry.services(0, most).into_iter().map(|service| service.id);
        let metrics = self.shards.metrics();
        services.chain([ServiceId::DEFAULT]).for_each(|service| metrics.create_service_at_zero(service));
    }

    /// The state for metrics. Waits for nothing.
    pub fn reading(&self) -> Reading {
        let [numbers, keys] = self.verifier.capacities();
        let tables: [&Capacity; 4] = [numbers, &self.guard.capacity, keys, &self.hosted.capacity];
        let mut tables = tables.map(Capacity::reading).to_vec();
        let (guard_tables, guard_dropped, budgets) = self.guard.reading();
        tables.extend(guard_tables);
        Reading {
            is_ready: self.reasons_against().is_empty(),
            gateways: self.delivery.readings(),
            tables,
            commands: self.verifier.in_flight.count(),
            webhook_backlog: self.outbox.backlog(),
            store: self.shards.store().sizes(),
            budgets,
            guard_dropped,
        }
    }

    /// Waits for every command in flight, writes what is not written yet, and closes the store.
    ///
    /// # Errors
    /// When the store could not be closed.
    pub async fn stop(&self) -> Result<(), StoreError> {
        self.verifier.stop().await;
        self.outbox.close().await;
        self.history.flush().await;
        self.guard.flush().await;
        self.shards.close().await
    }
}

/// Opens the data directory with its server key.
pub async fn open_store(
    storage: StorageSettings,
    clock: EngineClock,
) -> Result<(ServerKey, Box<dyn Store>), StartError> {
    let opened = tokio::task::spawn_blocking(move || {
        let key = load_or_create(&storage.data_dir, storage.server_key_file.as_deref())?;
        let options = OpenOptions::new(&storage.data_dir, key_fingerprint(&key), clock);
        let store = EmbeddedStore::open(&options)?;
        Ok::<_, StartError>((key, Box::new(store) as Box<dyn Store>))
    });
    opened.await.map_err(StartError::Interrupted)?
}

/// A generator seeded by the system.
pub fn seeded_rng() -> Result<StdRng, StartError> {
    StdRng::try_from_rng(&mut SysRng).map_err(StartError::NoRandomness)
}

/// Starts the shards of a node. Before that it brings their clock up to the newest time in the store: neither a restart nor a
/// clock that was set back prolongs a lockout or revives a code.
pub(super) async fn start_shards(deps: ShardDeps, shards: usize, rng: StdRng) -> Result<Shards, StoreError> {
    let newest = deps.store.newest_time();
    let behind = newest.since(deps.clock.now());
    deps.clock.at_least(newest);
    if behind > TOLERANCE {
        tracing::warn!(
            seconds = behind.as_secs(),
            "wall clock behind the data directory; if it is wrong, correct it and restart the server"
        );
    }
    Shards::start(deps, shards, super::kinds(), rng).await
}
