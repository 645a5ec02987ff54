//! sled, as snapshots need it.
//!
//! The store does not trust sled: it writes a database once, proves it on a copy, and from then on opens only copies.

use std::path::{Path, PathBuf};

use crate::StoreError;

/// Cached pages of an open database, in bytes. sled caches everything that is read until it is closed.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// An open database. Dropping it closes it.
pub(super) struct Database {
    sled: sled::Db,
    directory: PathBuf,
}

impl Database {
    /// Makes a new database in a directory that is not there yet.
    pub(super) fn create(directory: &Path) -> Result<Self, StoreError> {
        Self::with(directory, &config(directory).create_new(true))
    }

    /// Opens one, and may write to it.
    pub(super) fn open(directory: &Path) -> Result<Self, StoreError> {
        Self::with(directory, &config(directory))
    }

    fn with(directory: &Path, config: &sled::Config) -> Result<Self, StoreError> {
        let directory = directory.to_owned();
        config.open().map_err(failed(&directory)).map(|sled| Self { sled, directory })
    }

    pub(super) fn insert(&self, key: [u8; 8], value: Vec<u8>) -> Result<(), StoreError> {
        self.sled.insert(key, value).map(drop).map_err(failed(&self.directory))
    }

    pub(super) fn flush(&self) -> Result<(), StoreError> {
        self.sled.flush().map(drop).map_err(failed(&self.directory))
    }

    /// The entries in the order of their keys.
    pub(super) fn entries(&self) -> impl Iterator<Item = Result<(sled::IVec, sled::IVec), StoreError>> {
        self.sled.iter().map(|entry| entry.map_err(failed(&self.directory)))
    }
}

fn config(directory: &Path) -> sled::Config {
    let config = sled::Config::new().cache_capacity(CACHE_BYTES).flush_every_ms(None);
    config.mode(sled::Mode::HighThroughput).path(directory)
}

fn failed(directory: &Path) -> impl FnOnce(sled::Error) -> StoreError + '_ {
    move |error| StoreError::Checkpoint(format!("the database {}: {error}", directory.display()))
}

#[cfg(test)]
impl Database {
    pub(super) fn remove(&self, key: [u8; 8]) {
        self.sled.remove(key).expect("removed").expect("an entry");
        self.flush().expect("flushed");
    }
}
