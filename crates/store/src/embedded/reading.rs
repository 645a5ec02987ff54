//! Reads parts of a data directory without opening it, for fuzzing. The same code reads them as at a start.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use onceward_core::domain::Timestamp;

use super::chunk::{self, ChunkWriter};
use super::frame;
use super::replay::{self, Covered, JournalSummary, Place};
use super::segment::LAST_NUMBER;
use super::snapshot::Manifest;
use crate::{CopiedRecord, Key, StoreError, stream};

/// The contents of a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalReading {
    /// The latest that was written under each key; `None` if it was removed.
    pub latest: BTreeMap<Key, Option<Bytes>>,
    /// The sequence of the last frame.
    pub last_sequence: u64,
    pub summary: JournalSummary,
}

/// Reads the segments in the folder `journal` behind those that a snapshot covers up to
/// `covered_segment`, whose last frame was `covered_sequence`.
///
/// # Errors
/// As at a start, which takes no snapshot behind which nothing can follow.
pub fn journal(
    journal: &Path,
    covered_segment: u64,
    covered_sequence: u64,
) -> Result<JournalReading, StoreError> {
    if covered_segment.max(covered_sequence) >= LAST_NUMBER {
        return Err(StoreError::snapshot_damaged(journal, "nothing can follow it"));
    }
    let covered = Covered { segment: covered_segment, sequence: covered_sequence };
    let mut latest = BTreeMap::new();
    let mut see = |_: Place<'_>, record: frame::RecordRef<'_>| {
        latest.insert(record.key, record.put.map(Bytes::copy_from_slice));
        Ok::<_, StoreError>(())
    };
    let replayed = replay::read(journal, Some(covered), None, &mut see, &mut Err)?;
    Ok(JournalReading { latest, last_sequence: replayed.last_sequence, summary: replayed.summary })
}

/// The keys of the records of the frame that begins at the first of `bytes`, and how many bytes it
/// takes. `None` when there is no whole and undamaged frame whose records can be read.
pub fn frame(bytes: &[u8]) -> Option<(Vec<Key>, usize)> {
    let frame = frame::decode(bytes)?;
    let records = frame.records()?;
    Some((records.into_iter().map(|record| record.key).collect(), frame.bytes))
}

/// The entries of a snapshot's database.
pub type DatabaseEntries = BTreeMap<Vec<u8>, Vec<u8>>;

/// The records of a snapshot, from the text of its manifest and the entries of its database.
///
/// # Errors
/// The problem.
pub fn snapshot(manifest: &str, entries: &DatabaseEntries) -> Result<Vec<CopiedRecord>, StoreError> {
    let damaged = |detail: &str| StoreError::Checkpoint(detail.to_owned());
    let manifest = Manifest::decode(manifest).ok_or_else(|| damaged("it is not a manifest"))?;
    let mut records = Vec::new();
    chunk::read(entries.iter().map(Ok), &manifest, damaged, &mut |key, expires, record| {
        records.push(CopiedRecord { key, expires, record: Bytes::copy_from_slice(record) });
        Ok::<_, StoreError>(())
    })?;
    Ok(records)
}

/// The entries, and the text of the manifest, of a snapshot without files that has these records.
///
/// # Errors
/// None for records that the store takes.
pub fn write_snapshot(records: &[CopiedRecord]) -> Result<(String, DatabaseEntries), StoreError> {
    let mut writer = ChunkWriter::new(Covered::default(), Timestamp::EPOCH);
    let (mut entries, mut encoded) = (DatabaseEntries::new(), Vec::new());
    let mut insert = |key: [u8; 8], value| {
        entries.insert(key.to_vec(), value);
        Ok(())
    };
    for entry in records {
        stream::encode(&mut encoded, entry.key, entry.expires, &entry.record);
    }
    writer.add(&mut insert, &encoded)?;
    let manifest = writer.finish(&mut insert)?;
    Ok((manifest.encode(), entries))
}
