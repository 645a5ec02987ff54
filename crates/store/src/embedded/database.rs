//! sled behind the few calls that snapshots need: tests can make each of them fail, hang or lie.
//!
//! The store does not trust sled: it writes a database once, proves it on a copy, and from then on opens only copies.

use std::path::{Path, PathBuf};

/// Cached pages of an open database, in bytes. sled caches everything that is read until it is closed.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// Makes and opens databases.
pub(super) trait SledBackend: Send + Sync + 'static {
    /// Makes a new database in a directory that is not there yet.
    fn create(&self, directory: &Path) -> Result<Box<dyn Database>, String>;

    /// Opens one, and may write to it.
    fn open(&self, directory: &Path) -> Result<Box<dyn Database>, String>;
}

/// Receives entries in the order of their keys. An error ends the reading.
pub(super) type VisitEntry<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<(), String>;

/// An open database. Dropping it closes it.
pub(super) trait Database: Send {
    fn insert(&mut self, key: [u8; 8], value: Vec<u8>) -> Result<(), String>;
    fn flush(&mut self) -> Result<(), String>;
    fn each(&self, visit: VisitEntry<'_>) -> Result<(), String>;
}

/// The implementation with sled.
pub(super) struct Sled;

impl SledBackend for Sled {
    fn create(&self, directory: &Path) -> Result<Box<dyn Database>, String> {
        open(directory, &config().path(directory).create_new(true))
    }

    fn open(&self, directory: &Path) -> Result<Box<dyn Database>, String> {
        open(directory, &config().path(directory))
    }
}

fn config() -> sled::Config {
    sled::Config::new().cache_capacity(CACHE_BYTES).flush_every_ms(None).mode(sled::Mode::HighThroughput)
}

fn open(directory: &Path, config: &sled::Config) -> Result<Box<dyn Database>, String> {
    match config.open() {
        Ok(database) => Ok(Box::new(SledDatabase { database, directory: directory.to_owned() })),
        Err(error) => Err(failed(directory, &error)),
    }
}

fn failed(directory: &Path, error: &sled::Error) -> String {
    format!("the database {}: {error}", directory.display())
}

struct SledDatabase {
    database: sled::Db,
    directory: PathBuf,
}

impl Database for SledDatabase {
    fn insert(&mut self, key: [u8; 8], value: Vec<u8>) -> Result<(), String> {
        self.database.insert(key, value).map(drop).map_err(|error| failed(&self.directory, &error))
    }

    fn flush(&mut self) -> Result<(), String> {
        self.database.flush().map(drop).map_err(|error| failed(&self.directory, &error))
    }

    fn each(&self, visit: VisitEntry<'_>) -> Result<(), String> {
        for entry in self.database.iter() {
            let (key, value) = entry.map_err(|error| failed(&self.directory, &error))?;
            visit(&key, &value)?;
        }
        Ok(())
    }
}
