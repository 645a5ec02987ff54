//! The records that a shard holds in memory, what is derived from them, and one decision's view of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::rngs::StdRng;

use super::capacity::Capacity;
use super::record::{Id, Kinds, Record, RecordError, RecordKey, Stored, decode_own};
use super::record_log::{Dated, List};
use super::table::{Entry, Table};
use crate::domain::Timestamp;

/// Records on their way between the store and a shard.
pub type Records = Vec<(RecordKey, Stored)>;

/// Is told the durable changes of a kind, those of a decision together.
pub type Follower = Box<dyn FnMut(&[&Change]) + Send>;

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
#[derive(Default)]
pub struct Tables {
    table: Table,
    /// These follow records as they are changed or undone.
    counted: BTreeMap<u8, Arc<Capacity>>,
    lists: BTreeMap<u8, List>,
    /// These follow what is durable.
    followers: Vec<(u8, Follower)>,
    /// The record at which the sweep continues.
    sweep_at: Option<RecordKey>,
}

/// Present records that a follower is told at once: more copies of records are never in memory.
const TOLD_AT_ONCE: usize = 1024;

impl Tables {
    /// The record under a key, unless it has ended by `now`.
    pub fn get<R: Record>(&self, key: &RecordKey, now: Timestamp) -> Option<R> {
        decode_own(self.table.get(key).filter(|entry| now < entry.expires)?.bytes())
    }

    /// The record under a key with its end, whether or not it has ended.
    pub fn stored(&self, key: &RecordKey) -> Option<Stored> {
        self.table.get(key).map(Entry::stored)
    }

    /// The number of records of a kind, ended ones included.
    pub fn len_of(&self, kind: u8) -> usize {
        self.of_kind(first(0, kind)).count()
    }

    /// The records of the kind and slot of this key, from it on.
    fn of_one_slot(&self, key: RecordKey) -> impl Iterator<Item = &Entry> {
        let is_it = move |entry: &&Entry| (entry.key.slot, entry.key.kind) == (key.slot, key.kind);
        self.table.starting_at(key).take_while(is_it)
    }

    /// The records of the kind of this key, from it on.
    fn of_kind(&self, from: RecordKey) -> impl Iterator<Item = &Entry> {
        let slots = (from.slot..=u8::MAX).map(move |slot| from.max(first(slot, from.kind)));
        slots.flat_map(|key| self.of_one_slot(key))
    }

    /// The records of a kind in a slot.
    pub fn of_slot<R: Record>(&self, slot: u8, now: Timestamp) -> impl Iterator<Item = (RecordKey, R)> {
        let records = self.of_one_slot(first(slot, R::KIND)).filter(move |entry| now < entry.expires);
        records.filter_map(|entry| Some((entry.key, decode_own(entry.bytes())?)))
    }

    /// The live ones of so many records of the kind of this key, from it on, and the one at which to go on.
    pub fn page(&self, from: RecordKey, looks: usize, now: Timestamp) -> (Records, Option<RecordKey>) {
        part(self.of_kind(from), looks, now)
    }

    /// The same of all records of its slot.
    pub(super) fn slice(
        &self,
        from: RecordKey,
        looks: usize,
        now: Timestamp,
    ) -> (Records, Option<RecordKey>) {
        let is_in_slot = move |entry: &&Entry| entry.key.slot == from.slot;
        part(self.table.starting_at(from).take_while(is_in_slot), looks, now)
    }

    /// Adds a record of a restore, before anything is listed or counted.
    ///
    /// # Errors
    /// [`RecordError`] if its kind is unknown, or it cannot be decoded.
    pub fn load(&mut self, key: RecordKey, record: &[u8], kinds: &Kinds) -> Result<(), RecordError> {
        let expires = (kinds.get(key.kind)?.expires)(record)?;
        self.table.set(key, Some((record, expires)));
        Ok(())
    }

    /// Sets or removes a record.
    pub fn set(&mut self, key: RecordKey, after: Option<Stored>) -> Change {
        let record = after.as_ref().map(|stored| (&stored.bytes[..], stored.expires));
        let change = Change { key, before: self.table.set(key, record), after };
        let (was, is) = (change.before.is_some(), change.after.is_some());
        if let Some(capacity) = self.counted.get(&key.kind).filter(|_| was != is) {
            capacity.changed(&key, is);
        }
        if let Some(list) = self.lists.get_mut(&key.kind) {
            list.changed(&key, change.before.as_ref(), change.after.as_ref());
        }
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
        for (kind, follower) in &mut self.followers {
            let of_kind: Vec<&Change> = changes.iter().filter(|change| change.key.kind == *kind).collect();
            if !of_kind.is_empty() {
                follower(&of_kind);
            }
        }
    }

    /// All records of a kind, as changes.
    fn all_of(&self, kind: u8) -> impl Iterator<Item = Change> {
        let records = self.of_kind(first(0, kind));
        records.map(|entry| Change { key: entry.key, before: None, after: Some(entry.stored()) })
    }

    /// Tells `follower` the present records of a kind, and all changes from now on. A kind has one follower.
    pub(super) fn follow(&mut self, kind: u8, mut follower: Follower) {
        let mut present = self.all_of(kind).peekable();
        while present.peek().is_some() {
            let part: Vec<Change> = present.by_ref().take(TOLD_AT_ONCE).collect();
            follower(&part.iter().collect::<Vec<_>>());
        }
        drop(present);
        self.followers.push((kind, follower));
    }

    /// Keeps a list of the records of a kind.
    pub(super) fn list(&mut self, kind: u8, mut list: List) {
        self.all_of(kind).for_each(|change| list.changed(&change.key, None, change.after.as_ref()));
        self.lists.insert(kind, list);
    }

    /// Counts the records of a kind against a limit.
    pub(super) fn count(&mut self, kind: u8, capacity: Arc<Capacity>) {
        self.of_kind(first(0, kind)).for_each(|entry| capacity.changed(&entry.key, true));
        self.counted.insert(kind, capacity);
    }

    /// Of the list of a kind, at most so many wanted records before a place, the newest first, and the place behind which to go on.
    pub(super) fn newest(
        &self,
        kind: u8,
        before: Dated,
        most: usize,
        is_wanted: impl Fn(&RecordKey) -> bool,
        now: Timestamp,
    ) -> (Vec<(Dated, Stored)>, Option<Dated>) {
        let Some(list) = self.lists.get(&kind) else { return (Vec::new(), None) };
        let (dated, next) = list.page(before, most, is_wanted);
        let live = |dated: Dated| Some((dated, self.stored(&dated.1).filter(|stored| now < stored.expires)?));
        (dated.into_iter().filter_map(live).collect(), next)
    }

    /// Hands over what is due.
    pub fn hand_over_due(&mut self, now: Timestamp) {
        self.lists.values_mut().for_each(|list| list.hand_over_due(now));
    }

    /// Removes some records of lists that have too many, or too old ones.
    pub fn forget(&mut self, now: Timestamp) -> Vec<Change> {
        let gone = self.lists.values().flat_map(|list| list.surplus(now)).collect();
        self.remove(gone)
    }

    fn remove(&mut self, keys: Vec<RecordKey>) -> Vec<Change> {
        keys.into_iter().map(|key| self.set(key, None)).collect()
    }

    /// Frees expired records among the next `looks`. Returns them.
    pub fn sweep(&mut self, looks: usize, now: Timestamp) -> Vec<Change> {
        let (expired, next) = {
            let mut records = self.table.starting_at(self.sweep_at.unwrap_or(first(0, 0)));
            let expired = records.by_ref().take(looks).filter(|entry| entry.expires <= now);
            (expired.map(|entry| entry.key).collect(), records.next().map(|entry| entry.key))
        };
        self.sweep_at = next;
        self.remove(expired)
    }
}

/// The live ones of so many records, and the one at which to go on.
fn part<'a>(
    mut records: impl Iterator<Item = &'a Entry>,
    looks: usize,
    now: Timestamp,
) -> (Records, Option<RecordKey>) {
    let live = records.by_ref().take(looks).filter(|entry| now < entry.expires);
    let part = live.map(|entry| (entry.key, entry.stored())).collect();
    (part, records.next().map(|entry| entry.key))
}

/// In front of the records of a kind in a slot.
pub(super) const fn first(slot: u8, kind: u8) -> RecordKey {
    RecordKey { slot, kind, id: [0; 12] }
}

/// Reads and writes the records of one decision. A write holds in memory at once; the shard undoes it if the store refuses
/// it, or if the command is refused.
pub struct Transaction<'a> {
    pub(super) tables: &'a mut Tables,
    rng: &'a mut StdRng,
    changes: Vec<Change>,
    slot: u8,
    now: Timestamp,
}

impl<'a> Transaction<'a> {
    pub(super) const fn new(tables: &'a mut Tables, rng: &'a mut StdRng, slot: u8, now: Timestamp) -> Self {
        Self { tables, rng, changes: Vec::new(), slot, now }
    }

    pub(super) fn into_changes(self) -> Vec<Change> {
        self.changes
    }

    /// The moment of the decision.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// The slot that all records of the decision belong to.
    pub const fn slot(&self) -> u8 {
        self.slot
    }

    /// The random source of the shard.
    pub const fn rng(&mut self) -> &mut StdRng {
        self.rng
    }

    /// The record of this kind about `id`; `None` if there is none or it has ended.
    pub fn get<R: Record>(&self, id: Id) -> Option<R> {
        self.tables.get(&self.key::<R>(id), self.now)
    }

    /// Writes the record under `id`; `None` removes it. A write that changes nothing is ignored.
    pub fn put<R: Record>(&mut self, id: Id, record: Option<&R>) {
        let (key, after) = (self.key::<R>(id), record.map(Stored::of));
        let is_ignored = match (self.tables.stored(&key), &after) {
            (Some(present), Some(after)) => present == *after,
            (Some(present), None) => present.expires <= self.now,
            (None, after) => after.is_none(),
        };
        if !is_ignored {
            self.changes.push(self.tables.set(key, after));
        }
    }

    /// Undoes what the decision has written.
    pub(super) fn discard(&mut self) {
        self.tables.undo(&self.changes);
        self.changes.clear();
    }

    /// The live records of this kind in the slot of the decision.
    pub fn iter<R: Record>(&self) -> impl Iterator<Item = (RecordKey, R)> {
        self.tables.of_slot(self.slot, self.now)
    }

    const fn key<R: Record>(&self, id: Id) -> RecordKey {
        RecordKey { slot: self.slot, kind: R::KIND, id }
    }
}
