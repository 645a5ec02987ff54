//! The registry of a data directory that no server uses, for the command line.

use std::sync::Arc;

use rand::rngs::{StdRng, SysRng};
use rand::{SeedableRng, TryRng};

use super::shards;
use super::{StartError, default_service, load_or_create};
use crate::clock::{EngineClock, SystemClock};
use crate::config::{Bounds, KeysSettings};
use crate::engine::key_fingerprint;
use crate::numbers::Capacity;
use crate::registry::{Registry, RegistryDeps};
use crate::shard::{ShardDeps, Shards};
use crate::store::{EmbeddedStore, OpenError, OpenOptions, Store, StoreError};
use crate::template::Templates;

/// A registry with the directory's lock.
pub struct Offline {
    /// Services and credentials.
    pub registry: Registry,
    shards: Shards,
    store: Arc<dyn Store>,
}

impl Offline {
    /// Opens the data directory; one that is not there is made, with its server key. Only services and credentials in it
    /// change.
    ///
    /// # Errors
    /// As a server's start.
    pub async fn open(settings: KeysSettings) -> Result<Self, StartError> {
        let KeysSettings { storage, registry, brand, policy } = settings;
        let clock = Arc::new(EngineClock::over(Arc::new(SystemClock::start())));
        let raised = Arc::clone(&clock);
        let opened = tokio::task::spawn_blocking(move || {
            let key = load_or_create(&storage.data_dir, storage.server_key_file.as_deref())?;
            let options =
                OpenOptions::new(&storage.data_dir, key_fingerprint(&key), Arc::clone(&raised) as _);
            let store = EmbeddedStore::open(options)?;
            raised.at_least(store.newest_time());
            Ok::<_, StartError>(Arc::new(store) as Arc<dyn Store>)
        });
        let store = opened.await.map_err(StartError::Interrupted)??;
        let mut seed = [0; 32];
        SysRng.try_fill_bytes(&mut seed).map_err(StartError::NoRandomness)?;
        let bounds = Bounds::default();
        let shards = Shards::start(ShardDeps {
            store: Arc::clone(&store),
            clock,
            kinds: shards::kinds(&Capacity::new(bounds.numbers)),
            shards: 1,
            settings: shards::settings(&bounds),
            rng: StdRng::from_seed(seed),
        })
        .await?;
        let registry = Registry::open(RegistryDeps {
            shards: shards.clone(),
            settings: registry,
            default: default_service(brand, &policy),
            // No message is sent from here.
            templates: Templates::new("", ""),
            gateways: Vec::new(),
            twilio_messaging_service: None,
        })
        .await?;
        Ok(Self { registry, shards, store })
    }

    /// Closes the store.
    ///
    /// # Errors
    /// When it could not be closed in an orderly way; what was answered is in the journal.
    pub async fn close(self) -> Result<(), StoreError> {
        self.shards.flush().await;
        // The last checkpoint needs the shards.
        let closed = self.store.close().await;
        self.shards.stop();
        closed
    }
}

impl StartError {
    /// Whether another program has the data directory open.
    pub const fn is_in_use(&self) -> bool {
        matches!(self, Self::Store(OpenError::InUse { .. }))
    }
}
