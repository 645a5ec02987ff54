//! What the files of a data directory say, without opening the store: for those who examine one.
//!
//! The same code reads them as at a start. Nothing is written, and nobody is kept from the files
//! meanwhile.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::error::OpenError;
use super::frame;
use super::replay::replay;
use super::snapshot::Covered;
use crate::domain::Timestamp;
use crate::store::Key;

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
    if covered_segment.max(covered_sequence) == u64::MAX {
        let detail = "it covers all that can be counted, so nothing can follow it".to_owned();
        return Err(OpenError::SnapshotDamaged { path: journal.to_owned(), detail });
    }
    let covered = Covered { segment: covered_segment, sequence: covered_sequence };
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
