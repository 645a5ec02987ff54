//! The records that a shard holds in memory.

use std::collections::BTreeMap;
use std::iter::successors;

use bytes::Bytes;

use super::kinds::{Kinds, RecordKind};
use super::map::{END, Map, Position};
use super::record::{Record, RecordError, RecordKey, Stored};
use crate::domain::Timestamp;

/// Records on their way between the store and a shard.
pub type Records = Vec<(RecordKey, Stored)>;

/// Follows the durable changes of one kind: a secondary index, a schedule, a snapshot for readers.
pub trait Index: Send {
    /// Called for each change when it is durable, and for each record of a restore. `None` means absent.
    fn changed(&mut self, key: &RecordKey, before: Option<&Stored>, after: Option<&Stored>);
    /// Called after the last change of a batch.
    fn batch_applied(&mut self) {}
    /// Called after each batch, and at least every 150 ms.
    fn tick(&mut self, _now: Timestamp) {}
    /// Whether it follows memory instead: each change when it is decided, and when it is undone.
    fn follows_memory(&self) -> bool {
        false
    }
}

/// A record before and after a decision.
pub struct Change {
    /// The record.
    pub key: RecordKey,
    /// `None` if it was absent.
    pub before: Option<Stored>,
    /// `None` if it was removed.
    pub after: Option<Stored>,
}

/// All records of a shard.
pub struct Tables {
    by_kind: BTreeMap<u8, KindTable>,
    scan: Scan,
}

/// The records of one kind.
struct KindTable {
    table: Map,
    index: Option<Box<dyn Index>>,
    /// The position at which the sweep continues.
    sweep_at: Position,
    added_since_sweep: usize,
}

/// The scan of a checkpoint over all records, slot by slot.
#[derive(Default)]
struct Scan {
    /// The kinds and slots that are left.
    left: Vec<(u8, u8)>,
    /// The records that are left of those before. One that is added later is in the journal.
    keys: Vec<RecordKey>,
}

/// Additional records of a kind that a sweep examines for each one added since the last sweep. Therefore the sweep keeps
/// up with a flood of short-lived records: at most a quarter of the table is expired.
const LOOKS_PER_NEW_RECORD: usize = 4;

/// Maximum number of these in one sweep, of all kinds together: about a millisecond of work.
const MOST_LOOKS: usize = 32 * 1024;

impl Tables {
    /// Empty tables for these kinds.
    pub fn new(kinds: &Kinds) -> Self {
        let empty = |kind: &RecordKind| {
            let table = KindTable { table: (kind.table)(), index: None, sweep_at: END, added_since_sweep: 0 };
            (kind.kind, table)
        };
        Self { by_kind: kinds.iter().map(empty).collect(), scan: Scan::default() }
    }

    /// Attaches an index to a kind. The index first receives every present record.
    pub fn follow(&mut self, kind: u8, mut index: Box<dyn Index>) {
        let Some(of_kind) = self.by_kind.get_mut(&kind) else { return };
        for (_, key, _) in walk(&of_kind.table, END) {
            index.changed(&key, None, of_kind.table.get(&key).as_ref());
        }
        index.batch_applied();
        of_kind.index = Some(index);
    }

    /// The record under a key, unless it has ended by `now`.
    pub fn get<R: Record>(&self, key: &RecordKey, now: Timestamp) -> Option<R> {
        self.stored(key).filter(|stored| now < stored.expires)?.record()
    }

    fn table(&self, kind: u8) -> Option<&Map> {
        self.by_kind.get(&kind).map(|of_kind| &of_kind.table)
    }

    /// The record under a key with its end, whether or not it has ended.
    pub fn stored(&self, key: &RecordKey) -> Option<Stored> {
        self.table(key.kind)?.get(key)
    }

    /// The number of records of a kind, ended ones included.
    pub fn len_of(&self, kind: u8) -> usize {
        self.table(kind).map_or(0, Map::count)
    }

    /// The records at `most` positions before `end` that are alive at `now`, and the end of the next page, if there is
    /// one. Changes between two pages may repeat a record.
    pub fn page(&self, kind: u8, end: Position, most: usize, now: Timestamp) -> (Records, Option<Position>) {
        let page: Vec<_> = self.walk(kind, end).take(most).collect();
        let next = page.last().filter(|_| page.len() == most).map(|(position, ..)| *position);
        let live = page.into_iter().filter(|(.., expires)| now < *expires);
        (live.filter_map(|(_, key, _)| Some((key, self.stored(&key)?))).collect(), next)
    }

    /// The keys of a kind, those of ended records included.
    pub fn keys_of(&self, kind: u8) -> impl Iterator<Item = RecordKey> {
        self.walk(kind, END).map(|(_, key, _)| key)
    }

    /// The same for one slot.
    pub fn keys_in(&self, kind: u8, slot: u8) -> impl Iterator<Item = RecordKey> {
        let keys = self.walk(kind, (slot, usize::MAX)).map(|(_, key, _)| key);
        keys.take_while(move |key| key.slot == slot)
    }

    fn walk(&self, kind: u8, end: Position) -> impl Iterator<Item = (Position, RecordKey, Timestamp)> {
        self.table(kind).into_iter().flat_map(move |table| walk(table, end))
    }

    /// Adds records of a restore. Each key occurs once.
    ///
    /// # Errors
    /// [`RecordError`] if the kind of a record is unknown, or a record cannot be decoded.
    pub fn load(&mut self, records: &[(RecordKey, Bytes)], kinds: &Kinds) -> Result<(), RecordError> {
        for records in records.chunk_by(|(a, _), (b, _)| a.kind == b.kind) {
            let Some((RecordKey { kind, .. }, _)) = records.first() else { continue };
            let (Some(KindTable { table, .. }), Some(known)) = (self.by_kind.get_mut(kind), kinds.get(*kind))
            else {
                return Err(RecordError::Kind(*kind));
            };
            // Read first: the loop that adds them then waits for several places of a large table at once.
            let read = |(key, bytes): &(RecordKey, Bytes)| Ok((*key, (known.read)(bytes)?));
            for (key, stored) in records.iter().map(read).collect::<Result<Records, RecordError>>()? {
                table.set(key, &stored);
            }
        }
        Ok(())
    }

    /// Sets or removes a record.
    pub fn set(&mut self, key: RecordKey, after: Option<Stored>) -> Change {
        let change = Change { key, before: self.stored(&key), after };
        let Some(KindTable { table, index, added_since_sweep, .. }) = self.by_kind.get_mut(&key.kind) else {
            return change;
        };
        if let Some(index) = index.as_mut().filter(|index| index.follows_memory()) {
            index.changed(&key, change.before.as_ref(), change.after.as_ref());
        }
        if let Some(stored) = &change.after {
            *added_since_sweep += usize::from(change.before.is_none());
            table.set(key, stored);
            return change;
        }
        table.remove(&key);
        change
    }

    /// Brings back what was before these changes, the last of all.
    pub fn undo(&mut self, changes: &[Change]) {
        for Change { key, before, .. } in changes.iter().rev() {
            self.set(*key, before.clone());
        }
    }

    /// These changes are durable.
    pub fn tell(&mut self, changes: &[Change]) {
        for Change { key, before, after } in changes {
            let index = self.by_kind.get_mut(&key.kind).and_then(|of_kind| of_kind.index.as_mut());
            if let Some(index) = index.filter(|index| !index.follows_memory()) {
                index.changed(key, before.as_ref(), after.as_ref());
            }
        }
    }

    /// Every change of a batch was told.
    pub fn batch_applied(&mut self) {
        let indexes = self.by_kind.values_mut().filter_map(|of_kind| of_kind.index.as_mut());
        indexes.for_each(|index| index.batch_applied());
    }

    /// Tells the indexes the time.
    pub fn tick(&mut self, now: Timestamp) {
        self.by_kind
            .values_mut()
            .filter_map(|of_kind| of_kind.index.as_mut())
            .for_each(|index| index.tick(now));
    }

    /// Frees expired records, and compacts the others. Examines `looks` records of each kind, and more after a flood.
    /// Returns the freed records.
    pub fn sweep(&mut self, looks: usize, now: Timestamp) -> Vec<Change> {
        let added =
            |(kind, table): (&u8, &mut KindTable)| (*kind, std::mem::take(&mut table.added_since_sweep));
        let added: Vec<(u8, usize)> = self.by_kind.iter_mut().map(added).collect();
        let (mut freed, mut left) = (Vec::new(), MOST_LOOKS);
        for (kind, added) in added {
            let further = (added * LOOKS_PER_NEW_RECORD).min(left);
            left -= further;
            freed.append(&mut self.sweep_kind(kind, looks + further, now));
        }
        freed
    }

    /// The same for one kind.
    pub fn sweep_kind(&mut self, kind: u8, looks: usize, now: Timestamp) -> Vec<Change> {
        let mut freed = Vec::new();
        for _ in 0..looks.min(self.len_of(kind)) {
            let Some(KindTable { table, sweep_at, .. }) = self.by_kind.get_mut(&kind) else { break };
            let next = table.before(*sweep_at).or_else(|| table.before(END));
            let Some((position, key, expires)) = next else { break };
            *sweep_at = position;
            if expires <= now {
                freed.push(self.set(key, None));
            } else {
                table.compact(position, now);
            }
        }
        freed
    }

    /// Begins a scan for a checkpoint.
    pub fn begin_scan(&mut self) {
        let slots = |kind: &u8| {
            (0..=u8::MAX).map({
                let kind = *kind;
                move |slot| (kind, slot)
            })
        };
        self.scan = Scan { left: self.by_kind.keys().flat_map(slots).collect(), keys: Vec::new() };
    }

    /// The live ones of the next `most` records of the scan; `None` at its end.
    pub fn next_slice(&mut self, most: usize, now: Timestamp) -> Option<Vec<(RecordKey, Bytes, Timestamp)>> {
        let Scan { mut left, mut keys } = std::mem::take(&mut self.scan);
        while keys.len() < most
            && let Some((kind, slot)) = left.pop()
        {
            keys.extend(self.keys_in(kind, slot));
        }
        let slice = keys.split_off(keys.len().saturating_sub(most));
        self.scan = Scan { left, keys };
        let live = slice.iter().filter_map(|key| Some((*key, self.stored(key)?)));
        let live = live.filter(|(_, stored)| now < stored.expires);
        let live = live.map(|(key, stored)| (key, stored.bytes, stored.expires)).collect();
        (!slice.is_empty()).then_some(live)
    }

    /// Whether a scan is under way.
    pub const fn is_scanned(&self) -> bool {
        !(self.scan.left.is_empty() && self.scan.keys.is_empty())
    }

    /// Ends the scan.
    pub fn end_scan(&mut self) {
        self.scan = Scan::default();
    }
}

/// The records of a table before a position, from the last to the first.
fn walk(table: &Map, end: Position) -> impl Iterator<Item = (Position, RecordKey, Timestamp)> {
    successors(table.before(end), |(position, ..)| table.before(*position))
}
