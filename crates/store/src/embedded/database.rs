//! The sled database of a snapshot.
//!
//! The store does not trust sled: it writes a database once, proves it on a copy, and from then on opens only copies. It has
//! chunks of records under consecutive numbers:
//! ```text
//! chunk: checksum 4 | records 4 | records, as in `stream::encode`
//! ```
//! The checksum is the CRC-32C of the chunk's number and everything behind it. Integers are big-endian.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use onceward_core::domain::Timestamp;
use sled::{Config, Db, IVec, Mode};

use super::manifest::Manifest;
use super::replay::Covered;
use crate::{Key, StoreError, stream};

/// Cached pages of an open database, in bytes. sled caches everything that is read until it is closed.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// A chunk is closed before it gets longer. A leaf of sled has up to 16 entries, and becomes a file of its own above
/// 128 KiB.
const CHUNK_BYTES: usize = 7 * 1024;

const CHUNK_HEAD: usize = 8;

/// Receives the records of a snapshot. An error ends the reading.
pub(super) type VisitRecord<'a, E> = &'a mut dyn FnMut(Key, Timestamp, &[u8]) -> Result<(), E>;

/// Makes a new database in a directory that is not there yet.
pub(super) fn create(directory: &Path) -> Result<Db, StoreError> {
    Ok(config(directory).create_new(true).open()?)
}

/// Opens one, and may write to it.
pub(super) fn open(directory: &Path) -> Result<Db, StoreError> {
    Ok(config(directory).open()?)
}

fn config(directory: &Path) -> Config {
    let config = Config::new().cache_capacity(CACHE_BYTES).flush_every_ms(None);
    config.mode(Mode::HighThroughput).path(directory)
}

impl From<sled::Error> for StoreError {
    fn from(error: sled::Error) -> Self {
        Self::Checkpoint(format!("the database of a snapshot: {error}"))
    }
}

/// Puts records together to chunks, and chunks into a database.
pub(super) struct ChunkWriter<'a> {
    database: &'a Db,
    chunk: Vec<u8>,
    in_chunk: u32,
    manifest: Manifest,
}

impl<'a> ChunkWriter<'a> {
    pub(super) fn new(database: &'a Db, covered: Covered, time: Timestamp) -> Self {
        let manifest = Manifest::empty(covered, time);
        Self { database, chunk: vec![0; CHUNK_HEAD], in_chunk: 0, manifest }
    }

    /// Adds encoded records; answers how many bytes went into the database.
    pub(super) fn add(&mut self, mut records: &[u8]) -> Result<usize, StoreError> {
        let mut written = 0;
        while !records.is_empty() {
            let all = records;
            let whole = stream::decode(&mut records);
            whole.ok_or_else(|| StoreError::Checkpoint("an owner gave a record that is cut".into()))?;
            let record = &all[..all.len() - records.len()];
            if self.in_chunk > 0 && self.chunk.len() + record.len() > CHUNK_BYTES {
                written += self.write()?;
            }
            self.chunk.extend_from_slice(record);
            self.in_chunk += 1;
        }
        Ok(written)
    }

    fn write(&mut self) -> Result<usize, StoreError> {
        if self.in_chunk == 0 {
            return Ok(0);
        }
        let key = self.manifest.chunks.to_be_bytes();
        self.chunk[4..8].copy_from_slice(&self.in_chunk.to_be_bytes());
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&key), &self.chunk[4..]);
        self.chunk[..4].copy_from_slice(&checksum.to_be_bytes());
        self.manifest.add_chunk(self.in_chunk, checksum);
        let bytes = self.chunk.len();
        self.database.insert(key, std::mem::replace(&mut self.chunk, vec![0; CHUNK_HEAD]))?;
        self.in_chunk = 0;
        Ok(bytes)
    }

    /// Writes the last chunk.
    pub(super) fn finish(mut self) -> Result<Manifest, StoreError> {
        self.write()?;
        self.database.flush()?;
        Ok(self.manifest)
    }
}

/// Gives every record of a database to `visit`. An error, made by `damaged`, if anything is not as the manifest says.
pub(super) fn read<E: From<StoreError>>(
    database: &Db,
    manifest: &Manifest,
    damaged: impl Fn(&str) -> StoreError,
    visit: VisitRecord<'_, E>,
) -> Result<(), E> {
    let mut found = Manifest::empty(manifest.covered, manifest.time);
    let mut read_one = |entry: sled::Result<(IVec, IVec)>| {
        let (key, value) = entry.map_err(|error| damaged(&error.to_string()))?;
        if key[..] != found.chunks.to_be_bytes() {
            return Err(damaged(&format!("chunk {} is missing", found.chunks)).into());
        }
        let chunk = Chunk::decode(&key, &value);
        let Chunk { checksum, records, mut rest } =
            chunk.ok_or_else(|| damaged(&format!("chunk {} is damaged", found.chunks)))?;
        found.add_chunk(records, checksum);
        while let Some((key, expires, record)) = stream::decode(&mut rest) {
            visit(key, expires, record)?;
        }
        Ok::<(), E>(())
    };
    let all = catch_unwind(AssertUnwindSafe(|| database.iter().try_for_each(&mut read_one)));
    all.map_err(|_| damaged("sled panicked when it was read"))??;
    if !found.has_same_chunks(manifest) {
        return Err(damaged(&format!("{} of {} records are there", found.records, manifest.records)).into());
    }
    Ok(())
}

/// An undamaged chunk.
struct Chunk<'a> {
    checksum: u32,
    records: u32,
    rest: &'a [u8],
}

impl<'a> Chunk<'a> {
    fn decode(key: &[u8], value: &'a [u8]) -> Option<Self> {
        let (checksum, checked) = value.split_first_chunk::<4>()?;
        let checksum = u32::from_be_bytes(*checksum);
        if crc32c::crc32c_append(crc32c::crc32c(key), checked) != checksum {
            return None;
        }
        let (records, rest) = checked.split_first_chunk::<4>()?;
        let records = u32::from_be_bytes(*records);
        let mut left = rest;
        let whole = (0..records).all(|_| stream::decode(&mut left).is_some());
        (whole && left.is_empty()).then_some(Self { checksum, records, rest })
    }
}
