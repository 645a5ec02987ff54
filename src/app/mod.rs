//! The composition root: builds every layer from the settings and ties them together.

mod announce;
mod bind;
mod file_limit;
mod front_end;
mod server_key;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use rand::rngs::{StdRng, SysRng};
use rand::{SeedableRng, TryRng};

use crate::clock::{Clock, SystemClock};
use crate::config::Settings;
use crate::delivery::tracker::Tracker;
use crate::delivery::{Delivery, DeliveryParts, Routed};
use crate::engine::{Policies, key_fingerprint};
use crate::gateway::{Gateway, GatewaySettingsError, Simulator, TwilioMessages};
use crate::http::Deps;
use crate::shard::{Parts, Verifier};
use crate::store::{EmbeddedStore, OpenError, OpenOptions, Store, StoreError};

pub use bind::bind;
pub use front_end::LateVerifier;
pub use server_key::{KeyError, load_or_create};

/// Why the program did not start. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The system would not deliver signals.
    #[error("the system refused to deliver stop signals: {0}")]
    Signals(io::Error),
    /// The address is taken or not ours.
    #[error(
        "listen on {address}: {source}; {} with --listen or test-hostname and test-port",
        bind::advice(source)
    )]
    Bind {
        /// As configured.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The system would not say where we listen.
    #[error("read the address that was bound: {0}")]
    Address(io::Error),
    /// The server key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The store.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// A gateway's settings.
    #[error(transparent)]
    Gateway(#[from] GatewaySettingsError),
    /// The shards.
    #[error(transparent)]
    Shards(#[from] crate::shard::StartError),
    /// The system has no randomness to give.
    #[error("the system gave no random bytes: {0}")]
    NoRandomness(rand::rngs::SysError),
    /// A thread of the start died.
    #[error("the start was interrupted: {0}")]
    Interrupted(tokio::task::JoinError),
}

/// The running program: cheap to clone, shared by the front end and the life cycle.
#[derive(Clone)]
pub struct App {
    clock: Arc<dyn Clock>,
    gateway: Arc<dyn Gateway>,
    verifier: LateVerifier,
    store: Arc<OnceLock<Arc<dyn Store>>>,
    stopping: Arc<AtomicBool>,
    deps: Arc<Deps<LateVerifier>>,
}

impl App {
    /// Builds what needs no disk: the gateway and the front end's parts.
    pub fn new(settings: &Settings) -> Result<Self, StartError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let (gateway, simulator): (Arc<dyn Gateway>, _) =
            if let Some(twilio) = &settings.gateways.twilio_messages {
                (Arc::new(TwilioMessages::new(twilio, Arc::clone(&clock))?), None)
            } else {
                let simulator = Arc::new(Simulator::new(Arc::clone(&clock)));
                (Arc::clone(&simulator) as Arc<dyn Gateway>, Some(simulator))
            };
        let verifier = LateVerifier::default();
        let store = Arc::new(OnceLock::new());
        let stopping = Arc::new(AtomicBool::new(false));
        let readiness = front_end::readiness(&verifier, &store, &gateway, &stopping);
        let prefix = SysRng.try_next_u32().map_err(StartError::NoRandomness)?;
        let deps = front_end::deps(settings, verifier.clone(), readiness, simulator, prefix);
        Ok(Self { clock, gateway, verifier, store, stopping, deps: Arc::new(deps) })
    }

    /// Opens the store, loads every number and starts the shards. From then on requests are
    /// decided.
    pub async fn start(&self, settings: &Settings) -> Result<(), StartError> {
        let (data_dir, key_file) = (settings.data_dir.clone(), settings.server_key_file.clone());
        let clock = Arc::clone(&self.clock);
        let opened = tokio::task::spawn_blocking(move || {
            let key = load_or_create(&data_dir, key_file.as_deref())?;
            let store = EmbeddedStore::open(OpenOptions::new(data_dir, key_fingerprint(&key), clock))?;
            Ok::<_, StartError>((key, Arc::new(store) as Arc<dyn Store>))
        });
        let (server_key, store) = opened.await.map_err(StartError::Interrupted)??;
        let _ = self.store.set(Arc::clone(&store));
        let mut seed = [0; 32];
        SysRng.try_fill_bytes(&mut seed).map_err(StartError::NoRandomness)?;
        let mut seeder = StdRng::from_seed(seed);
        let gateway = Routed { routed_as: self.gateway.name(), gateway: Arc::clone(&self.gateway) };
        let delivery = Delivery::new(DeliveryParts {
            gateways: vec![gateway],
            routing: settings.gateways.routing.clone(),
            settings: settings.delivery.clone(),
            templates: settings.templates.clone(),
            tracker: Tracker::default(),
            clock: Arc::clone(&self.clock),
            rng: StdRng::from_rng(&mut seeder),
            bounds: settings.bounds.clone(),
        });
        let seeder = std::sync::Mutex::new(seeder);
        let verifier = Verifier::start(Parts {
            store,
            delivery: Arc::new(delivery),
            clock: Arc::clone(&self.clock),
            policies: Policies::new(settings.policy.clone()),
            server_key,
            seeds: Box::new(move || {
                let mut seeder = seeder.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                StdRng::from_rng(&mut *seeder)
            }),
            shards: settings.shards,
            bounds: settings.bounds.clone(),
        })
        .await?;
        self.verifier.set(verifier);
        Ok(())
    }

    /// What the front end serves with.
    pub fn front_end(&self) -> Arc<Deps<LateVerifier>> {
        Arc::clone(&self.deps)
    }

    /// From now on `/readyz` says that the server is stopping.
    pub fn begin_stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Waits for every command in flight, then closes the store.
    pub async fn finish(&self) -> Result<(), StoreError> {
        if let Some(verifier) = self.verifier.verifier() {
            verifier.stop().await;
        }
        match self.store.get() {
            Some(store) => store.close().await,
            None => Ok(()),
        }
    }
}
