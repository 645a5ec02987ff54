//! Chunks of records, as the database of a snapshot has them.
//!
//! It has chunks of records under consecutive numbers, and the manifest without files under the last key:
//! ```text
//! chunk: checksum 4 | records 4 | records, as in `owner::encode`
//! ```
//! The checksum is the CRC-32C of the chunk's number and everything behind it. Integers are big-endian.

use std::panic::{AssertUnwindSafe, catch_unwind};

use onceward_core::domain::Timestamp;

use super::database::Database;
use super::replay::Covered;
use super::snapshot::Manifest;
use crate::{Key, owner};

/// A chunk is closed before it gets longer. A leaf of sled has up to 16 entries, and becomes a file of its own above
/// 128 KiB.
const CHUNK_BYTES: usize = 7 * 1024;

const CHUNK_HEAD: usize = 8;

/// The key behind those of all chunks.
const LAST_KEY: [u8; 8] = [0xFF; 8];

/// Receives the records of a snapshot. An error ends the reading.
pub(super) type VisitRecord<'a> = &'a mut dyn FnMut(Key, Timestamp, &[u8]) -> Result<(), String>;

/// Puts records together to chunks, and chunks into a database.
pub(super) struct ChunkWriter {
    chunk: Vec<u8>,
    in_chunk: u32,
    manifest: Manifest,
}

impl ChunkWriter {
    pub(super) fn new(covered: Covered, time: Timestamp) -> Self {
        let manifest = Manifest::empty(covered, time);
        Self { chunk: vec![0; CHUNK_HEAD], in_chunk: 0, manifest }
    }

    /// Adds encoded records; answers how many bytes went into the database.
    pub(super) fn add(&mut self, to: &mut dyn Database, mut records: &[u8]) -> Result<usize, String> {
        let mut written = 0;
        while !records.is_empty() {
            let all = records;
            owner::decode(&mut records).ok_or("an owner gave a record that is cut")?;
            let record = &all[..all.len() - records.len()];
            if self.in_chunk > 0 && self.chunk.len() + record.len() > CHUNK_BYTES {
                written += self.write(to)?;
            }
            self.chunk.extend_from_slice(record);
            self.in_chunk += 1;
        }
        Ok(written)
    }

    fn write(&mut self, to: &mut dyn Database) -> Result<usize, String> {
        if self.in_chunk == 0 {
            return Ok(0);
        }
        let key = self.manifest.chunks.to_be_bytes();
        self.chunk[4..8].copy_from_slice(&self.in_chunk.to_be_bytes());
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&key), &self.chunk[4..]);
        self.chunk[..4].copy_from_slice(&checksum.to_be_bytes());
        self.manifest.add_chunk(self.in_chunk, checksum);
        let bytes = self.chunk.len();
        to.insert(key, std::mem::replace(&mut self.chunk, vec![0; CHUNK_HEAD]))?;
        self.in_chunk = 0;
        Ok(bytes)
    }

    /// Writes the last chunk and the manifest behind it.
    pub(super) fn finish(&mut self, to: &mut dyn Database) -> Result<Manifest, String> {
        self.write(to)?;
        to.insert(LAST_KEY, self.manifest.encode().into_bytes())?;
        Ok(self.manifest.clone())
    }
}

/// Gives every record of a database to `visit`. An error if anything is not as the manifest says.
pub(super) fn read(
    database: &dyn Database,
    manifest: &Manifest,
    visit: VisitRecord<'_>,
) -> Result<(), String> {
    let mut found = Manifest::empty(manifest.covered, manifest.time);
    let mut last = None;
    let mut entry = |key: &[u8], value: &[u8]| {
        if key == LAST_KEY {
            last = std::str::from_utf8(value).ok().and_then(Manifest::decode);
            return Ok(());
        }
        if key != found.chunks.to_be_bytes() {
            return Err(format!("chunk {} is missing", found.chunks));
        }
        let damaged = || format!("chunk {} is damaged", found.chunks);
        let (checksum, checked) = value.split_first_chunk::<4>().ok_or_else(damaged)?;
        let checksum = u32::from_be_bytes(*checksum);
        if crc32c::crc32c_append(crc32c::crc32c(key), checked) != checksum {
            return Err(damaged());
        }
        let (records, mut rest) = checked.split_first_chunk::<4>().ok_or_else(damaged)?;
        let records = u32::from_be_bytes(*records);
        for _ in 0..records {
            let (key, expires, record) = owner::decode(&mut rest).ok_or_else(damaged)?;
            visit(key, expires, record)?;
        }
        if !rest.is_empty() {
            return Err(damaged());
        }
        found.add_chunk(records, checksum);
        Ok(())
    };
    let all = catch_unwind(AssertUnwindSafe(|| database.each(&mut entry)));
    all.map_err(|_| "sled panicked when it was read".to_owned())??;
    let expected = manifest.without_files();
    if found != expected || last.as_ref() != Some(&expected) {
        return Err(format!("{} of {} records are there", found.records, expected.records));
    }
    Ok(())
}
