//! Every live record, once: those of the snapshot and of the journal after it. A start, a shard that restarts, an
//! export and `onceward check-data` all read with this.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use onceward_core::domain::Timestamp;
use parking_lot::{Mutex, RwLock};

use super::frame::RecordRef;
use super::replay::{self, JournalSummary, OnDamage, Place, Replayed};
use super::snapshot::{Listing, OpenCopy, Snapshot};
use crate::{CopiedRecord, Key, Slots, StoreError};

/// Where a running store copies its snapshot if it cannot do so in the data directory.
const IN_MEMORY: &str = "/dev/shm";

/// Where the records of a data directory are.
#[derive(Clone)]
pub(super) struct Files {
    pub(super) journal: PathBuf,
    pub(super) snapshot: PathBuf,
    /// The time limit for sled to open a copy.
    pub(super) deadline: Duration,
    pub(super) loading: Arc<Loading>,
    /// Held by readers, until which a checkpoint removes nothing.
    pub(super) in_use: Arc<RwLock<()>>,
}

impl Files {
    /// Opens a copy of the newest snapshot, in a second attempt if the first one fails. Opens an older one only if the
    /// journal has every segment after it; then also returns why the newest cannot be used.
    fn open_newest(&self) -> Result<(OpenCopy, Option<String>), StoreError> {
        let missing = |detail| StoreError::snapshot_damaged(&self.snapshot, detail);
        let listing = Listing::of(&self.snapshot)
            .map_err(|error| if error.is_not_found() { missing("it is missing") } else { error })?;
        let newest = listing.sealed.last().ok_or_else(|| missing("there is no snapshot in it"))?;
        let open = |segment| {
            Arc::new(Snapshot::load(&self.snapshot, segment)?).open_copy(&self.snapshot, self.deadline)
        };
        let error = match open(*newest).or_else(|_| open(*newest)) {
            Ok(copy) => return Ok((copy, None)),
            Err(error) => error,
        };
        let segments = replay::numbers(&self.journal).unwrap_or_default();
        for segment in listing.sealed.iter().rev().skip(1) {
            // A missing segment between the older snapshot and the rest would silently undo acknowledged changes.
            let is_whole = (segment + 1..=*newest).all(|number| segments.binary_search(&number).is_ok());
            if let Some(copy) = is_whole.then(|| open(*segment).ok()).flatten() {
                return Ok((copy, Some(error.to_string())));
            }
        }
        Err(error)
    }

    /// Reads the snapshot and verifies the journal. After damage that `on_damage` ignores, reads on as well as possible.
    pub(super) fn find(&self, on_damage: OnDamage<'_>) -> Result<LiveRecords, StoreError> {
        self.loading.begin("verifying the snapshot", 0);
        let (copy, unusable) = match self.open_newest() {
            Ok((copy, unusable)) => (Some(copy), unusable),
            // The journal may have all remaining data.
            Err(error) => on_damage(error).map(|()| (None, None))?,
        };
        LiveRecords::find(self, copy, unusable, Slots::all(), None, on_damage)
    }

    /// The records of some slots in a state of the store that a reader has kept from changes.
    pub(super) fn find_pinned(
        &self,
        snapshot: &Arc<Snapshot>,
        until: u64,
        slots: Slots,
    ) -> Result<LiveRecords, StoreError> {
        let copy = snapshot.open_copy(&self.snapshot, self.deadline).or_else(|error| {
            // A shard that has failed comes back also while the disk is full.
            snapshot.open_copy(Path::new(IN_MEMORY), self.deadline).map_err(|_| error)
        })?;
        LiveRecords::find(self, Some(copy), None, slots, Some(until), &mut Err)
    }
}

/// Receives live records. An error ends the reading.
pub type VisitLive<'a, E> = &'a mut dyn FnMut(Place<'_>, Key, Timestamp, &[u8]) -> Result<(), E>;

/// The live records of some slots in a directory whose journal was verified. Keeps the keys of the journal in memory,
/// not the records.
pub struct LiveRecords {
    files: Files,
    /// `None` if there is no snapshot that can be read.
    copy: Option<OpenCopy>,
    /// Why the newest snapshot cannot be used, if an older one is.
    unusable: Option<String>,
    slots: Slots,
    /// Which record of the journal, counted from the first, is the latest of its key.
    latest: HashMap<Key, u64>,
    pub(super) replayed: Replayed,
}

impl LiveRecords {
    /// Reads the journal up to the sequence `until`, or all of it.
    fn find(
        files: &Files,
        copy: Option<OpenCopy>,
        unusable: Option<String>,
        slots: Slots,
        until: Option<u64>,
        on_damage: OnDamage<'_>,
    ) -> Result<Self, StoreError> {
        files.loading.begin("reading the journal", 0);
        let covered = copy.as_ref().map(|copy| copy.snapshot.manifest.covered);
        let (mut latest, mut count) = (HashMap::new(), 0);
        let mut note = |_: Place<'_>, record: RecordRef<'_>| {
            count += 1;
            files.loading.at(count);
            if slots.contains(record.key.slot) {
                latest.insert(record.key, count);
            }
            Ok::<_, StoreError>(())
        };
        let replayed = replay::read(&files.journal, covered, until, &mut note, on_damage)?;
        Ok(Self { files: files.clone(), copy, unusable, slots, latest, replayed })
    }

    pub(super) fn snapshot(&self) -> Option<&Arc<Snapshot>> {
        self.copy.as_ref().map(|copy| &copy.snapshot)
    }

    /// Records in the snapshot; `None` if it cannot be read.
    pub fn snapshot_records(&self) -> Option<u64> {
        self.snapshot().map(|snapshot| snapshot.manifest.records)
    }

    /// Why the newest snapshot cannot be used, if an older one is.
    pub fn unusable_snapshot(&self) -> Option<&str> {
        self.unusable.as_deref()
    }

    /// The part of the journal that was read.
    pub fn journal(&self) -> &JournalSummary {
        &self.replayed.summary
    }

    /// The newest time in the snapshot and the journal.
    pub fn newest_time(&self) -> Timestamp {
        let of_snapshot = self.snapshot().map(|snapshot| snapshot.manifest.time);
        of_snapshot.max(self.replayed.summary.newest).unwrap_or_default()
    }

    /// Whether these are the records of a state of the store.
    pub(super) fn is_of(&self, snapshot: &Arc<Snapshot>, until: u64, slots: Slots) -> bool {
        self.snapshot().is_some_and(|own| Arc::ptr_eq(own, snapshot))
            && (self.replayed.last_sequence, self.slots) == (until, slots)
    }

    /// Visits every record that is alive at the later of `now` and the newest time in the directory. Therefore a clock
    /// that is behind does not revive expired records. An error of the visitor ends the reading.
    pub fn each<E: From<StoreError>>(self, now: Timestamp, visit: VisitLive<'_, E>) -> Result<(), E> {
        let now = now.max(self.newest_time());
        let Self { files: Files { journal, loading, .. }, copy, slots, latest, replayed, .. } = &self;
        if let Some(copy) = copy {
            let place = Place { path: &copy.snapshot.path, frame: None };
            loading.begin("loading", copy.snapshot.manifest.records);
            let mut count = 0;
            copy.read(&mut |key, expires, record| {
                count += 1;
                loading.at(count);
                let is_replaced = latest.contains_key(&key);
                if now >= expires || !slots.contains(key.slot) || is_replaced {
                    return Ok(());
                }
                visit(place, key, expires, record)
            })?;
        }
        let covered = copy.as_ref().map(|copy| copy.snapshot.manifest.covered);
        let mut count = 0;
        let mut visit_latest = |place: Place<'_>, RecordRef { key, expires, put }: RecordRef<'_>| {
            count += 1;
            let is_latest = latest.get(&key) == Some(&count);
            put.filter(|_| is_latest && now < expires)
                .map_or(Ok(()), |record| visit(place, key, expires, record))
        };
        // Beside a running writer the journal has grown since, perhaps by a part of a frame.
        let until = Some(replayed.last_sequence);
        replay::read(journal, covered, until, &mut visit_latest, &mut Err).map(drop)
    }

    /// The same with the records in a form of their own, at the newest time in the directory.
    pub fn each_copied<E: From<StoreError>>(
        self,
        visit: &mut dyn FnMut(Place<'_>, CopiedRecord) -> Result<(), E>,
    ) -> Result<(), E> {
        self.each(Timestamp::EPOCH, &mut |place, key, expires, record| {
            visit(place, CopiedRecord { key, expires, record: Bytes::copy_from_slice(record) })
        })
    }
}

/// The progress of reading a data directory, as text for people.
#[derive(Debug, Default)]
pub struct Loading {
    step: Mutex<&'static str>,
    records: AtomicU64,
    all: AtomicU64,
}

impl Loading {
    /// Begins a step, such as "reading the journal". `all` is the expected number of records, or 0.
    pub(super) fn begin(&self, step: &'static str, all: u64) {
        *self.step.lock() = step;
        self.all.store(all, Ordering::Relaxed);
        self.records.store(0, Ordering::Relaxed);
    }

    /// Sets the number of records so far.
    pub(super) fn at(&self, records: u64) {
        self.records.store(records, Ordering::Relaxed);
    }
}

impl fmt::Display for Loading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = *self.step.lock();
        let (records, all) = (self.records.load(Ordering::Relaxed), self.all.load(Ordering::Relaxed));
        match (step, all) {
            ("", _) => f.write_str("opening the data directory"),
            (step, 0) => write!(f, "{step}, {records} records so far"),
            (step, all) => write!(f, "{step}, {records} of {all} records"),
        }
    }
}
