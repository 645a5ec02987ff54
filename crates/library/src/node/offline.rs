//! The registry of a data directory that no server uses, for the command line.

use std::sync::Arc;

use super::running::{close, go_on_from, open_store, seeded_rng};
use super::{AccountFile, StartError, kinds};
use crate::clock::{EngineClock, SystemClock};
use crate::config::{Bounds, Settings};
use crate::registry::{Registry, RegistryDeps, ServiceSettings};
use crate::shard::{ShardDeps, Shards};
use crate::store::{Store, StoreError};
use crate::template::Templates;

/// A registry with the directory's lock.
pub struct Offline {
    pub registry: Registry,
    pub account: AccountFile,
    shards: Shards,
    store: Arc<dyn Store>,
}

impl Offline {
    /// Opens the data directory; one that is not there is made, with its server key. Only services and credentials in
    /// it change.
    ///
    /// # Errors
    /// As a server's start.
    pub async fn open(settings: Settings) -> Result<Self, StartError> {
        let clock = Arc::new(EngineClock::over(Arc::new(SystemClock::start())));
        let (_, store) = open_store(settings.storage.clone(), Arc::clone(&clock)).await?;
        go_on_from(store.newest_time(), &clock);
        let Settings { storage, registry, brand, policy, .. } = settings;
        let account = AccountFile::of(&storage.data_dir, false);
        let bounds = Bounds::default();
        let shards = Shards::start(ShardDeps {
            store: Arc::clone(&store),
            clock,
            kinds: kinds::all(),
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
            templates: Templates::new(""),
            gateways: Vec::new(),
            twilio_messaging_service: None,
        })
        .await?;
        Ok(Self { registry, account, shards, store })
    }

    /// Closes the store.
    ///
    /// # Errors
    /// When it could not be closed in an orderly way; what was answered is in the journal.
    pub async fn close(self) -> Result<(), StoreError> {
        close(&self.shards, &*self.store).await
    }
}
