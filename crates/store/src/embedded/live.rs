//! Every live record, once: those of the snapshot and of the journal after it. A start, a shard that restarts, an
//! export and `onceward check-data` all read with this.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use onceward_core::domain::Timestamp;

use super::error::OpenError;
use super::frame::RecordRef;
use super::health::locked;
use super::open::Copies;
use super::replay::{self, OnDamage, Place, Replayed};
use super::snapshot::OpenCopy;
use super::writer::Pinned;
use crate::{Key, Slots};

/// Where the records of a data directory are.
#[derive(Clone)]
pub(super) struct Files {
    pub(super) copies: Copies,
    pub(super) journal: PathBuf,
    pub(super) loading: Arc<Loading>,
}

/// Receives live records. An error ends the reading.
pub(super) type VisitLive<'a, E> = &'a mut dyn FnMut(Place<'_>, Key, Timestamp, &[u8]) -> Result<(), E>;

/// The live records of some slots in a directory whose journal was verified. Keeps the keys of the journal in memory,
/// not the records.
pub(super) struct LiveRecords {
    files: Files,
    /// `None` if there is no snapshot that can be read.
    copy: Option<OpenCopy>,
    slots: Slots,
    /// Which record of the journal, counted from the first, is the latest of its key.
    latest: HashMap<Key, u64>,
    pub(super) replayed: Replayed,
}

impl LiveRecords {
    /// Reads the journal up to the sequence `until`, or all of it.
    pub(super) fn find(
        files: Files,
        copy: Option<OpenCopy>,
        slots: Slots,
        until: Option<u64>,
        on_damage: OnDamage<'_>,
    ) -> Result<Self, OpenError> {
        files.loading.begin("reading the journal", 0);
        let covered = copy.as_ref().map(|copy| copy.snapshot.manifest.covered);
        let (mut latest, mut count) = (HashMap::new(), 0);
        let mut note = |_: Place<'_>, record: RecordRef<'_>| {
            count += 1;
            files.loading.at(count);
            if slots.contains(record.key.slot) {
                latest.insert(record.key, count);
            }
            Ok(())
        };
        let replayed = replay::read(&files.journal, covered, until, &mut note, on_damage)?;
        Ok(Self { files, copy, slots, latest, replayed })
    }

    /// The number of records, of which some may have expired or been replaced.
    pub(super) fn max_records(&self) -> u64 {
        let in_snapshot = self.copy.as_ref().map_or(0, |copy| copy.snapshot.manifest.records);
        in_snapshot + self.latest.len() as u64
    }

    /// The newest time in the snapshot and the journal.
    pub(super) fn newest_time(&self) -> Timestamp {
        let of_snapshot = self.copy.as_ref().map(|copy| copy.snapshot.manifest.time);
        of_snapshot.max(self.replayed.summary.newest).unwrap_or_default()
    }

    /// Whether these are the records of a state of the store.
    pub(super) fn is_of(&self, state: &Pinned, slots: Slots) -> bool {
        let has_snapshot = |copy: &OpenCopy| Arc::ptr_eq(&copy.snapshot, &state.snapshot);
        self.copy.as_ref().is_some_and(has_snapshot)
            && (self.replayed.last_sequence, self.slots) == (state.until, slots)
    }

    /// Visits every record that is alive at the later of `now` and the newest time in the directory. Therefore a clock
    /// that is behind does not revive expired records.
    pub(super) fn each<E: From<OpenError>>(
        mut self,
        now: Timestamp,
        visit: VisitLive<'_, E>,
    ) -> Result<(), E> {
        let now = now.max(self.newest_time());
        self.each_of_snapshot(now, visit)?;
        let covered = self.copy.as_ref().map(|copy| copy.snapshot.manifest.covered);
        let (mut count, mut refused) = (0, None);
        let mut visit_latest = |place: Place<'_>, RecordRef { key, expires, put }: RecordRef<'_>| {
            count += 1;
            let is_latest = self.latest.get(&key) == Some(&count);
            let Some(record) = put.filter(|_| is_latest && now < expires) else { return Ok(()) };
            visit(place, key, expires, record).map_err(|error| {
                refused = Some(error);
                OpenError::io("read", place.path)(io::Error::other(STOPPED))
            })
        };
        let until = Some(self.replayed.last_sequence);
        let read = replay::read(&self.files.journal, covered, until, &mut visit_latest, &mut Err);
        refused.map_or(Ok(()), Err)?;
        Ok(read.map(drop)?)
    }

    /// Reads a copy that fails a second time, and goes on from the record at which it failed.
    fn each_of_snapshot<E: From<OpenError>>(
        &mut self,
        now: Timestamp,
        visit: VisitLive<'_, E>,
    ) -> Result<(), E> {
        let Files { copies, loading, .. } = &self.files;
        let unreadable = |error| OpenError::snapshot(&copies.directory, error);
        let (mut visited, mut refused, mut has_failed) = (0, None, false);
        while let Some(copy) = &self.copy {
            loading.begin("loading", copy.snapshot.manifest.records);
            let mut count = 0;
            let read = copy.read(&mut |key, expires, record| {
                count += 1;
                if count <= visited {
                    return Ok(());
                }
                visited = count;
                loading.at(count);
                if now >= expires || !self.slots.contains(key.slot) || self.latest.contains_key(&key) {
                    return Ok(());
                }
                let place = Place { path: &copy.snapshot.path, frame: None };
                visit(place, key, expires, record).map_err(|error| {
                    refused = Some(error);
                    STOPPED.to_owned()
                })
            });
            match (read, refused.take()) {
                (_, Some(error)) => return Err(error),
                (Ok(()), None) => break,
                (Err(error), None) if has_failed => return Err(unreadable(error).into()),
                (Err(error), None) => {
                    tracing::warn!(reason = ?error, "snapshot unreadable, reading it again");
                    has_failed = true;
                    let snapshot = copy.snapshot.clone();
                    self.copy = None;
                    self.copy = Some(copies.open(&snapshot).map_err(unreadable)?);
                }
            }
        }
        Ok(())
    }
}

/// Ends a reading whose visitor has failed. The visitor's error is returned in its place.
const STOPPED: &str = "the reading was stopped";

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
        *locked(&self.step) = step;
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
        let step = *locked(&self.step);
        let (records, all) = (self.records.load(Ordering::Relaxed), self.all.load(Ordering::Relaxed));
        match (step, all) {
            ("", _) => f.write_str("opening the data directory"),
            (step, 0) => write!(f, "{step}, {records} records so far"),
            (step, all) => write!(f, "{step}, {records} of {all} records"),
        }
    }
}
