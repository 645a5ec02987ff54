//! The registry of a data directory that no server uses, for the command line.

use std::sync::Arc;

use super::running::{close, open_store, start_shards};
use super::{AccountFile, StartError};
use crate::clock::{EngineClock, SystemClock};
use crate::config::Settings;
use crate::registry::{Registry, RegistryDeps, ServiceSettings};
use crate::shard::Shards;
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
        let (shards, _) = start_shards(&store, clock, 1, &settings.bounds, Arc::default()).await?;
        let Settings { storage, registry, brand, policy, .. } = settings;
        let account = AccountFile::of(&storage.data_dir, false);
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
