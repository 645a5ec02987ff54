//! The records that a shard holds in memory.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;

use super::record::{Kinds, Record, RecordError, RecordKey, RecordKind};
use super::stored::Stored;
use crate::domain::Timestamp;

/// Records of one kind, by key and by position.
///
/// A scan goes from the last position to the first. A removal may move the last record into the gap. A scan between
/// changes visits every record that exists during the whole scan, and may visit a moved record twice.
pub trait Table: Send {
    /// The number of records.
    fn len(&self) -> usize;
    /// Whether it holds none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The record under a key, with its end.
    fn get(&self, key: &RecordKey) -> Option<Stored>;
    /// The record at a position below [`Table::len`].
    fn at(&self, position: usize) -> Option<(RecordKey, Stored)>;
    /// The key and the end of the record at a position, without the record.
    fn end_at(&self, position: usize) -> Option<(RecordKey, Timestamp)>;
    /// Shrinks the record at a position to what matters at `now`.
    fn compact(&mut self, position: usize, now: Timestamp) {
        let _ = (position, now);
    }
    /// Inserts a record or replaces the one under its key.
    fn set(&mut self, key: RecordKey, record: Stored);
    /// Removes the record under a key. Returns `true` if it existed.
    fn remove(&mut self, key: &RecordKey) -> bool;
    /// Adds records of a restore. Each key occurs once.
    ///
    /// # Errors
    /// [`RecordError`] if a record cannot be decoded.
    fn load(&mut self, records: &[(RecordKey, Bytes)], kind: &RecordKind) -> Result<(), RecordError> {
        // Read first: the loop that adds them then waits for several places of a large table at once.
        let read = |(key, bytes): &(RecordKey, Bytes)| {
            let expires = (kind.expires)(bytes)?;
            let is_older = bytes.first() != Some(&kind.version);
            let bytes = if is_older { (kind.rewrite)(bytes)? } else { bytes.clone() };
            Ok((*key, Stored::encoded(bytes, expires)))
        };
        let records = records.iter().map(read).collect::<Result<Records, RecordError>>()?;
        for (key, stored) in records {
            self.set(key, stored);
        }
        Ok(())
    }
}

/// Records on their way between the store and a shard.
pub type Records = Vec<(RecordKey, Stored)>;

/// Follows the changes of one kind in memory: a secondary index, a schedule, a snapshot for readers.
pub trait Index: Send {
    /// Called for each change that the shard applies, and for each record of a restore. `None` means absent.
    fn changed(&mut self, key: &RecordKey, before: Option<&Stored>, after: Option<&Stored>);
    /// Called after the last change of a batch.
    fn batch_applied(&mut self) {}
}

/// All records of a shard.
pub struct Tables {
    by_kind: BTreeMap<u8, Box<dyn Table>>,
    indexes: BTreeMap<u8, Box<dyn Index>>,
    /// The position at which the sweep of each kind continues.
    sweep_at: BTreeMap<u8, usize>,
    /// Records of each kind added since the last sweep.
    added_since_sweep: BTreeMap<u8, usize>,
    scan: Scan,
}

/// The scan of a checkpoint over the records of one kind. It returns no record twice.
#[derive(Default)]
struct Scan {
    kind: u8,
    /// Records at or above this position were returned already, or were added after the scan began.
    position: usize,
    /// Records among them that a removal may have moved to a lower position.
    moved: HashSet<RecordKey>,
}

/// Additional records of a kind that a sweep examines for each one added since the last sweep. Therefore the sweep keeps
/// up with a flood of short-lived records: at most a quarter of the table is expired.
const LOOKS_PER_NEW_RECORD: usize = 4;

/// Maximum number of these in one sweep, of all kinds together: about a millisecond of work.
const MOST_LOOKS: usize = 32 * 1024;

impl Tables {
    /// Empty tables for these kinds.
    pub fn new(kinds: &Kinds) -> Self {
        Self {
            by_kind: kinds.iter().map(|kind| (kind.kind, (kind.table)())).collect(),
            indexes: BTreeMap::new(),
            sweep_at: BTreeMap::new(),
            added_since_sweep: BTreeMap::new(),
            scan: Scan::default(),
        }
    }

    /// Attaches an index to a kind. The index first receives every present record.
    pub fn follow(&mut self, kind: u8, mut index: Box<dyn Index>) {
        if let Some(table) = self.by_kind.get(&kind) {
            for (key, stored) in (0..table.len()).filter_map(|position| table.at(position)) {
                index.changed(&key, None, Some(&stored));
            }
        }
        index.batch_applied();
        self.indexes.insert(kind, index);
    }

    /// The record under a key, unless it has ended by `now`.
    pub fn get<R: Record>(&self, key: &RecordKey, now: Timestamp) -> Option<R> {
        self.stored(key).filter(|stored| now < stored.expires)?.record()
    }

    /// The record under a key with its end, whether or not it has ended.
    pub fn stored(&self, key: &RecordKey) -> Option<Stored> {
        self.by_kind.get(&key.kind)?.get(key)
    }

    /// The kinds that are held.
    pub fn kinds(&self) -> impl Iterator<Item = u8> {
        self.by_kind.keys().copied()
    }

    /// The number of records of a kind, ended ones included.
    pub fn len_of(&self, kind: u8) -> usize {
        self.by_kind.get(&kind).map_or(0, |table| table.len())
    }

    /// The records at `most` positions below `end` that are alive at `now`, and the end of the next page; 0 after the
    /// last page. Changes between two pages may repeat a record.
    pub fn page(&self, kind: u8, end: usize, most: usize, now: Timestamp) -> (Records, usize) {
        let Some(table) = self.by_kind.get(&kind) else { return (Records::new(), 0) };
        let end = end.min(table.len());
        let start = end.saturating_sub(most);
        let page = (start..end).rev().filter_map(|position| table.at(position));
        (page.filter(|(_, stored)| now < stored.expires).collect(), start)
    }

    /// The records of a kind that are alive at `now`.
    pub fn iter<R: Record>(&self, now: Timestamp) -> impl Iterator<Item = (RecordKey, R)> {
        let table = self.by_kind.get(&R::KIND);
        (0..table.map_or(0, |table| table.len()))
            .filter_map(move |position| table?.at(position))
            .filter(move |(_, stored)| now < stored.expires)
            .filter_map(|(key, stored)| Some((key, stored.record()?)))
    }

    /// The keys of a kind, those of ended records included.
    pub fn keys_of(&self, kind: u8) -> impl Iterator<Item = RecordKey> {
        let table = self.by_kind.get(&kind);
        let keys =
            (0..table.map_or(0, |table| table.len())).filter_map(move |position| table?.end_at(position));
        keys.map(|(key, _)| key)
    }

    /// Adds records of a restore. Each key occurs once.
    ///
    /// # Errors
    /// [`RecordError`] if the kind of a record is unknown, or a record cannot be decoded.
    pub fn load(&mut self, records: &[(RecordKey, Bytes)], kinds: &Kinds) -> Result<(), RecordError> {
        for records in records.chunk_by(|(a, _), (b, _)| a.kind == b.kind) {
            let Some((RecordKey { kind, .. }, _)) = records.first() else { continue };
            match (self.by_kind.get_mut(kind), kinds.get(*kind)) {
                (Some(table), Some(kind)) => table.load(records, kind)?,
                _ => return Err(RecordError::Kind(*kind)),
            }
        }
        Ok(())
    }

    /// Applies a change, and passes the old and the new record to the kind's index.
    pub fn set(&mut self, key: RecordKey, record: Option<Stored>) {
        let Some(table) = self.by_kind.get_mut(&key.kind) else { return };
        if let Some(index) = self.indexes.get_mut(&key.kind) {
            index.changed(&key, table.get(&key).as_ref(), record.as_ref());
        }
        if let Some(stored) = record {
            let before = table.len();
            table.set(key, stored);
            *self.added_since_sweep.entry(key.kind).or_default() += table.len() - before;
            return;
        }
        let last = table.len().saturating_sub(1);
        if self.scan.kind == key.kind
            && (1..=last).contains(&self.scan.position)
            && let Some((moved, _)) = table.end_at(last)
        {
            self.scan.moved.insert(moved);
        }
        table.remove(&key);
        if self.scan.kind == key.kind {
            // Records after the new end are newer than the scan.
            self.scan.position = self.scan.position.min(table.len());
        }
    }

    /// Every change of a batch has been applied.
    pub fn batch_applied(&mut self) {
        self.indexes.values_mut().for_each(|index| index.batch_applied());
    }

    /// Frees expired records, and compacts the others. Examines `looks` records of each kind, and more after a flood.
    /// Does not free records for which `keep` is true. Returns the freed records.
    pub fn sweep(
        &mut self,
        looks: usize,
        now: Timestamp,
        keep: impl Fn(&RecordKey) -> bool,
    ) -> Vec<RecordKey> {
        let added = std::mem::take(&mut self.added_since_sweep);
        let kinds: Vec<u8> = self.by_kind.keys().copied().collect();
        let (mut freed, mut left) = (Vec::new(), MOST_LOOKS);
        for kind in kinds {
            let further = (added.get(&kind).copied().unwrap_or(0) * LOOKS_PER_NEW_RECORD).min(left);
            left -= further;
            freed.append(&mut self.sweep_kind(kind, looks + further, now, &keep));
        }
        freed
    }

    /// The same for one kind.
    pub fn sweep_kind(
        &mut self,
        kind: u8,
        looks: usize,
        now: Timestamp,
        keep: impl Fn(&RecordKey) -> bool,
    ) -> Vec<RecordKey> {
        let mut freed = Vec::new();
        let mut at = self.sweep_at.get(&kind).copied().unwrap_or(0);
        for _ in 0..looks.min(self.len_of(kind)) {
            let Some(table) = self.by_kind.get_mut(&kind).filter(|table| !table.is_empty()) else { break };
            at = if at == 0 { table.len() - 1 } else { (at - 1).min(table.len() - 1) };
            match table.end_at(at) {
                Some((key, expires)) if expires <= now && !keep(&key) => {
                    self.set(key, None);
                    freed.push(key);
                }
                _ => table.compact(at, now),
            }
        }
        self.sweep_at.insert(kind, at);
        freed
    }

    /// Begins the scan of a kind for a checkpoint.
    pub fn begin_scan(&mut self, kind: u8) {
        self.scan = Scan { kind, position: self.len_of(kind), moved: HashSet::new() };
    }

    /// Returns up to `most` live records of the scan and the next position; 0 at the end.
    pub fn next_slice(&self, most: usize, now: Timestamp) -> (Vec<(RecordKey, Bytes, Timestamp)>, usize) {
        let Scan { kind, position, moved } = &self.scan;
        let Some(table) = self.by_kind.get(kind) else { return (Vec::new(), 0) };
        let from = (*position).min(table.len());
        let until = from.saturating_sub(most);
        let slice = (until..from).rev().filter_map(|position| table.at(position));
        let slice = slice.filter(|(key, stored)| now < stored.expires && !moved.contains(key));
        (slice.map(|(key, stored)| (key, stored.bytes(), stored.expires)).collect(), until)
    }

    /// Continues the scan below this position.
    pub fn advance_scan(&mut self, position: usize) {
        self.scan.position = position;
    }

    /// Ends the scan.
    pub fn end_scan(&mut self) {
        self.scan = Scan::default();
    }
}
