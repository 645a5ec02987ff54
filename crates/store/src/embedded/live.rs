//! Every live record, once: those of the snapshot and of the journal after it. A start, a shard that restarts, `onceward
//! export` and `onceward check-data` all read with this, the last two also beside a running server.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use onceward_core::domain::Timestamp;

use super::directory::Directory;
use super::frame::RecordRef;
use super::replay::{self, OpenSegment, Replayed};
use super::snapshot::{Listing, OpenCopy, Snapshot};
use crate::{Key, Slots, StoreError};

/// Readings of a state until an error counts.
const TRIES: usize = 3;

/// What is read: a snapshot, and the journal after it up to a sequence, or all of it.
pub(super) type State = (Arc<Snapshot>, Option<u64>);

/// Where a running store copies its snapshot if it cannot do so in the data directory.
const IN_MEMORY: &str = "/dev/shm";

impl Directory {
    /// The newest state on the disk.
    pub(super) fn newest(&self) -> Result<State, StoreError> {
        let missing = |detail| StoreError::snapshot_damaged(&self.snapshot, detail);
        let listing = Listing::of(&self.snapshot)
            .map_err(|error| if error.is_not_found() { missing("it is missing") } else { error })?;
        let newest = listing.sealed.last().ok_or_else(|| missing("there is no snapshot in it"))?;
        Ok((Arc::new(Snapshot::load(&self.snapshot, *newest)?), None))
    }

    /// Finds the records of a state. Beside a running store a file can go away, and the end of the journal grow, while
    /// they are read: only an error that comes again counts.
    pub(super) fn find(
        &self,
        slots: Slots,
        state: impl Fn() -> Result<State, StoreError>,
    ) -> Result<LiveRecords, StoreError> {
        let mut errors = Vec::new();
        loop {
            let found = state().and_then(|state| LiveRecords::find(self, state, slots));
            match found {
                Err(error) if errors.len() + 1 < TRIES && errors.last() != Some(&error) => errors.push(error),
                found => return found,
            }
        }
    }
}

/// Receives live records. An error ends the reading.
pub type VisitLive<'a, E> = &'a mut dyn FnMut(Key, Timestamp, &[u8]) -> Result<(), E>;

/// The live records of some slots in a directory whose journal was verified. Keeps the keys of the journal in memory,
/// not the records. A checkpoint takes nothing away from it.
pub struct LiveRecords {
    copy: OpenCopy,
    segments: Vec<OpenSegment>,
    slots: Slots,
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
        let directory = Directory::existing(dir);
        let Some(key) = directory.key()? else { return Ok(None) };
        Ok(Some((key, directory.find(Slots::all(), || directory.newest())?)))
    }

    fn find(directory: &Directory, (snapshot, until): State, slots: Slots) -> Result<Self, StoreError> {
        let covered = snapshot.manifest.covered;
        // Before the copy, which takes time: what is open stays.
        let segments = replay::open(&directory.journal, covered)?;
        let copy = snapshot.open_copy(&directory.snapshot).or_else(|error| match until {
            // A shard that has failed comes back also while the disk is full.
            Some(_) => snapshot.open_copy(Path::new(IN_MEMORY)).map_err(|_| error),
            None => Err(error),
        })?;
        let (mut latest, mut count) = (HashMap::new(), 0);
        let mut note = |record: RecordRef<'_>| {
            count += 1;
            if slots.contains(record.key.slot) {
                latest.insert(record.key, count);
            }
            Ok::<_, StoreError>(())
        };
        let replayed = replay::read(&segments, covered, until, &mut note)?;
        Ok(Self { copy, segments, slots, latest, replayed })
    }

    pub(super) fn snapshot(&self) -> &Arc<Snapshot> {
        &self.copy.snapshot
    }

    /// The newest time in the snapshot and the journal.
    pub fn newest_time(&self) -> Timestamp {
        self.replayed.newest.unwrap_or_default().max(self.snapshot().manifest.time)
    }

    /// Whether these are the records of a state of the store.
    pub(super) fn is_of(&self, (snapshot, until): &State, slots: Slots) -> bool {
        Arc::ptr_eq(self.snapshot(), snapshot)
            && (Some(self.replayed.last_sequence), self.slots) == (*until, slots)
    }

    /// Visits every record that is alive at the later of `now` and the newest time in the directory. Therefore a clock
    /// that is behind does not revive expired records. An error of the visitor ends the reading.
    pub fn each<E: From<StoreError>>(self, now: Timestamp, visit: VisitLive<'_, E>) -> Result<(), E> {
        let now = now.max(self.newest_time());
        let Self { copy, segments, slots, latest, replayed } = &self;
        copy.read(&mut |key, expires, record| {
            let is_replaced = latest.contains_key(&key);
            if now >= expires || !slots.contains(key.slot) || is_replaced {
                return Ok(());
            }
            visit(key, expires, record)
        })?;
        let mut count = 0;
        let mut visit_latest = |RecordRef { key, expires, put }: RecordRef<'_>| {
            count += 1;
            let is_latest = latest.get(&key) == Some(&count);
            put.filter(|_| is_latest && now < expires).map_or(Ok(()), |record| visit(key, expires, record))
        };
        // Beside a running writer the journal has grown since, perhaps by a part of a frame.
        let until = Some(replayed.last_sequence);
        replay::read(segments, self.snapshot().manifest.covered, until, &mut visit_latest).map(drop)
    }
}
