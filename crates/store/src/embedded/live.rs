//! Every live record, once: those of the snapshot and of the journal after it. A start, `onceward export` and `onceward
//! check-data` all read with this, the last two also beside a running server.

use std::collections::HashMap;
use std::path::Path;

use onceward_core::domain::Timestamp;

use super::directory::Directory;
use super::replay::{self, OpenSegment, Replayed};
use super::snapshot::{self, Manifest, SnapshotCopy};
use crate::record::RecordRef;
use crate::{Key, StoreError};

/// Readings of a state until an error counts.
const TRIES: usize = 3;

/// Receives live records. An error ends the reading.
pub type VisitLive<'a, E> = &'a mut dyn FnMut(Key, Timestamp, &[u8]) -> Result<(), E>;

/// The live records of a directory whose journal was verified. Keeps the keys of the journal in memory, not the records. A
/// checkpoint takes nothing away from it.
pub struct LiveRecords {
    pub(super) copy: SnapshotCopy,
    segments: Vec<OpenSegment>,
    /// Which record of the journal, counted from the first, is the latest of its key.
    latest: HashMap<Key, u64>,
    pub(super) replayed: Replayed,
}

impl LiveRecords {
    /// Finds the records of a directory, and the fingerprint of its server key in hex digits; `None` if nothing was ever
    /// written into it. Stops at the first damage. Changes nothing, except for a temporary copy of the snapshot.
    ///
    /// # Errors
    /// Why a start would be refused.
    pub fn read(dir: &Path) -> Result<Option<(String, Self)>, StoreError> {
        let directory = Directory::at(dir);
        let Some(key) = directory.key()? else { return Ok(None) };
        Ok(Some((key, Self::newest(&directory)?)))
    }

    /// Finds the newest records on the disk. Beside a running store a file can go away, and the end of the journal grow,
    /// while they are read: only an error that comes again counts.
    pub(super) fn newest(directory: &Directory) -> Result<Self, StoreError> {
        let mut errors = Vec::new();
        loop {
            match Self::find(directory) {
                Err(error) if errors.len() + 1 < TRIES && errors.last() != Some(&error) => errors.push(error),
                found => return found,
            }
        }
    }

    fn find(directory: &Directory) -> Result<Self, StoreError> {
        let sealed = snapshot::sealed(&directory.snapshot)?;
        let missing = || StoreError::snapshot_damaged(&directory.snapshot, "there is no snapshot in it");
        let newest = *sealed.last().ok_or_else(missing)?;
        let manifest = Manifest::load(&directory.snapshot, newest)?;
        let covered = manifest.covered;
        // Before the copy, which takes time: what is open stays.
        let segments = replay::open(&directory.journal, covered)?;
        let copy = manifest.copy(&directory.snapshot)?;
        let (mut latest, mut count) = (HashMap::new(), 0);
        let mut note = |record: RecordRef<'_>| {
            count += 1;
            latest.insert(record.key, count);
            Ok::<_, StoreError>(())
        };
        let replayed = replay::read(&segments, covered, None, &mut note)?;
        Ok(Self { copy, segments, latest, replayed })
    }

    /// The newest time in the snapshot and the journal.
    pub fn newest_time(&self) -> Timestamp {
        self.replayed.newest.max(self.copy.manifest.time)
    }

    /// Visits every record that is alive at the later of `now` and the newest time in the directory. Therefore a clock
    /// that is behind does not revive expired records. An error of the visitor ends the reading.
    pub fn each<E: From<StoreError>>(self, now: Timestamp, visit: VisitLive<'_, E>) -> Result<(), E> {
        let now = now.max(self.newest_time());
        let mut give = |RecordRef { key, expires, put }: RecordRef<'_>| {
            put.filter(|_| now < expires).map_or(Ok(()), |record| visit(key, expires, record))
        };
        let Self { copy, segments, latest, replayed } = self;
        copy.read(&mut |record| if latest.contains_key(&record.key) { Ok(()) } else { give(record) })?;
        let mut count = 0;
        let mut give_latest = |record: RecordRef<'_>| {
            count += 1;
            if latest.get(&record.key) == Some(&count) { give(record) } else { Ok(()) }
        };
        // Beside a running writer the journal has grown since, perhaps by a part of a frame.
        let (covered, until) = (copy.manifest.covered, Some(replayed.last.sequence));
        replay::read(&segments, covered, until, &mut give_latest).map(drop)
    }
}
