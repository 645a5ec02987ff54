//! What the files of a data directory say, without opening the store: for those who examine one.
//!
//! The same code reads them as at a start. Nothing is written, and nobody is kept from the files
//! meanwhile.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::changes::Changes;
use super::disk::{Disk, RealDisk};
use super::error::OpenError;
use super::frame;
use super::replay::replay;
use super::segment::LAST_NUMBER;
use super::snapshot::{Covered, Entry, Merged, Snapshot, SnapshotError};
use crate::{Key, Revision};
use onceward_core::domain::Timestamp;

/// What a journal says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalReading {
    /// The latest that was written under each key, in the order of the keys; `None` if it was removed.
    pub latest: Vec<(Key, Option<Bytes>)>,
    /// How many records there were.
    pub records: u64,
    /// How many segments they were in.
    pub segments: u64,
    /// The sequence of the last frame.
    pub last_sequence: u64,
    /// The time of the last frame.
    pub last_time: Timestamp,
    /// Whether the store was closed in order.
    pub closed: bool,
    /// The file whose end was torn, and where, in bytes from its beginning.
    pub torn: Option<(PathBuf, u64)>,
}

/// Reads the segments in the folder `journal` behind those that a snapshot covers up to
/// `covered_segment`, whose last frame was `covered_sequence`.
///
/// # Errors
/// As at a start: damage, a missing segment, a snapshot behind which nothing can follow, or what the file
/// system says.
pub fn journal(
    journal: &Path,
    covered_segment: u64,
    covered_sequence: u64,
) -> Result<JournalReading, OpenError> {
    if covered_segment.max(covered_sequence) > LAST_NUMBER {
        let detail = "it covers all that can be counted, so nothing can follow it".to_owned();
        return Err(OpenError::SnapshotDamaged { path: journal.to_owned(), detail });
    }
    let covered = Covered { segment: covered_segment, sequence: covered_sequence, time: Timestamp::EPOCH };
    let replayed = replay(journal, covered, |_| {})?;
    let latest = replayed.changes.sorted().into_iter().map(|(key, change)| (*key, change.put.clone()));
    Ok(JournalReading {
        latest: latest.collect(),
        records: replayed.records,
        segments: replayed.segments,
        last_sequence: replayed.last_sequence,
        last_time: replayed.last_time,
        closed: replayed.closed,
        torn: replayed.torn,
    })
}

/// The keys of the records of the frame that begins at the first of `bytes`, and how many bytes it
/// takes. `None` when there is no whole and undamaged frame whose records can be read.
pub fn frame(bytes: &[u8]) -> Option<(Vec<Key>, usize)> {
    let frame = frame::decode(bytes)?;
    let records = frame.records()?;
    Some((records.into_iter().map(|record| record.key).collect(), frame.bytes))
}

/// What a snapshot says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotReading {
    /// The last segment of the journal whose changes it has.
    pub covered_segment: u64,
    /// The last sequence in it.
    pub covered_sequence: u64,
    /// The layers that have any entries, the oldest first: the file, and its entries in their order.
    pub layers: Vec<(PathBuf, Vec<LayerEntry>)>,
    /// The newest entry under each key, in the order of the keys.
    pub latest: Vec<LayerEntry>,
}

/// What a layer of a snapshot has under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerEntry {
    /// The key.
    pub key: Key,
    /// The frame of the journal that it was written in.
    pub revision: Revision,
    /// From when on it no longer matters.
    pub gc_after: Timestamp,
    /// The record; `None` if it was removed.
    pub put: Option<Bytes>,
}

impl From<Entry> for LayerEntry {
    fn from(entry: Entry) -> Self {
        let Entry { key, sequence, gc_after, put } = entry;
        Self { key, revision: Revision(sequence), gc_after, put }
    }
}

/// Reads the layers in the folder `snapshot`.
///
/// # Errors
/// As at a start: damage, a missing layer, or what the file system says.
pub fn snapshot(snapshot: &Path) -> Result<SnapshotReading, OpenError> {
    let refused = |error| OpenError::snapshot(snapshot, error);
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut layers: Vec<(PathBuf, Vec<LayerEntry>)> = Vec::new();
    let mut see = |path: &Path, entry: &Entry| {
        if layers.last().is_none_or(|(last, _)| last != path) {
            layers.push((path.to_owned(), Vec::new()));
        }
        if let Some((_, entries)) = layers.last_mut() {
            entries.push(entry.clone().into());
        }
    };
    let opened = Snapshot::open(snapshot, &disk, Timestamp::EPOCH, &mut see).map_err(refused)?;
    let latest = opened.with(&Changes::default()).and_then(all).map_err(refused)?;
    let Covered { segment, sequence, .. } = opened.covered();
    Ok(SnapshotReading { covered_segment: segment, covered_sequence: sequence, layers, latest })
}

fn all(mut entries: Merged<'_>) -> Result<Vec<LayerEntry>, SnapshotError> {
    let mut all = Vec::new();
    while let Some(entry) = entries.next_entry()? {
        all.push(entry.into());
    }
    Ok(all)
}
