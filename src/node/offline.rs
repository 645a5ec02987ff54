//! The registry of a data directory that no server uses, for the command line.

use std::sync::Arc;

use super::running::{close, open_store, seeded_rng};
use super::{StartError, kinds};
use crate::clock::{EngineClock, SystemClock};
use crate::config::{Bounds, KeysSettings};
use crate::numbers::Capacity;
use crate::registry::{Registry, RegistryDeps, ServiceSettings};
use crate::shard::{ShardDeps, Shards};
use crate::store::{Store, StoreError};
use crate::template::Templates;

/// A registry with the directory's lock.
pub struct Offline {
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
        let (places, key_file) = ((storage.data_dir, storage.scratch), storage.server_key_file);
        let (_, store) = open_store(places, key_file, Arc::clone(&clock), Arc::default()).await?;
        let bounds = Bounds::default();
        let shards = Shards::start(ShardDeps {
            store: Arc::clone(&store),
            clock,
            kinds: kinds::all(&Capacity::new(bounds.numbers)),
            shards: 1,
            settings: kinds::shard_settings(&bounds),
            rng: seeded_rng()?,
            metrics: Arc::default(),
        })
        .await?;
        let registry = Registry::open(RegistryDeps {
            shards: shards.clone(),
            settings: registry,
            default: ServiceSettings::of_policy(brand, &policy),
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
        close(&self.shards, &*self.store).await
    }
}
