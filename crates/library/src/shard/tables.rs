//! The records that a shard holds in memory, what is derived from them, and one decision's view of them.

use std::collections::BTreeMap;

use rand::rngs::StdRng;

use super::capacity::Capacity;
use super::record::{Id, Kinds, Record, RecordKey, Stored, decode_own, service_of};
use super::record_log::{Dated, List, OnDue};
use super::table::{Entry, Table};
use crate::domain::{ServiceId, Timestamp};
use crate::store::StoreError;

/// Encoded records with their keys.
pub type Records = Vec<(RecordKey, Stored)>;

/// Is told the durable changes of a kind, those of a decision together.
pub type Follower = Box<dyn FnMut(&mut dyn Iterator<Item = Change>) + Send>;

/// A record before and after a decision.
#[derive(Clone)]
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
    counted: BTreeMap<u8, Capacity>,
    /// These follow what is durable.
    lists: BTreeMap<u8, List>,
    followers: Vec<(u8, Follower)>,
    /// The record at which the sweep continues.
    sweep_at: Option<RecordKey>,
}

impl Tables {
    /// The record under a key, unless it has ended by `now`.
    pub fn get<R: Record>(&self, key: &RecordKey, now: Timestamp) -> Option<R> {
        decode_own(self.table.get(key).filter(|entry| now < entry.expires)?.bytes())
    }

    /// Whether there is a record under a key that has not ended by `now`.
    pub(super) fn is_live(&self, key: &RecordKey, now: Timestamp) -> bool {
        self.table.get(key).is_some_and(|entry| now < entry.expires)
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

    /// Looks at up to `looks` records of the kind of `from`, starting there. Returns the live ones, and the key to continue
    /// at.
    pub fn page(&self, from: RecordKey, looks: usize, now: Timestamp) -> (Records, Option<RecordKey>) {
        part(self.of_kind(from), looks, now)
    }

    /// As [`Tables::page`], of all kinds.
    pub fn slice(&self, from: RecordKey, looks: usize, now: Timestamp) -> (Records, Option<RecordKey>) {
        part(self.table.starting_at(from), looks, now)
    }

    /// Adds a record of a restore, before anything is listed or counted.
    ///
    /// # Errors
    /// [`StoreError`] if its kind is unknown, or it cannot be decoded.
    pub fn load(&mut self, key: RecordKey, record: &[u8], kinds: &Kinds) -> Result<(), StoreError> {
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
            capacity.count(service_of(&key.id), is);
        }
        change
    }

    /// Undoes these changes, the newest of the shard.
    pub fn undo(&mut self, changes: &[Change]) {
        for Change { key, before, .. } in changes.iter().rev() {
            self.set(*key, before.clone());
        }
    }

    /// These changes are durable.
    pub fn tell(&mut self, changes: &[Change]) {
        for change in changes {
            self.lists.get_mut(&change.key.kind).into_iter().for_each(|list| list.changed(change));
        }
        for (kind, follower) in &mut self.followers {
            let mut of_kind = changes.iter().filter(|change| change.key.kind == *kind).cloned().peekable();
            if of_kind.peek().is_some() {
                follower(&mut of_kind);
            }
        }
    }

    /// All records of a kind, as changes.
    fn all_of(&self, kind: u8) -> impl Iterator<Item = Change> {
        let records = self.of_kind(first(0, kind));
        records.map(|entry| Change { key: entry.key, before: None, after: Some(entry.stored()) })
    }

    /// Tells `follower` the present records of a kind, and all changes from now on.
    pub(super) fn follow(&mut self, kind: u8, mut follower: Follower) {
        follower(&mut self.all_of(kind));
        self.followers.push((kind, follower));
    }

    /// Keeps a list of the records of a kind.
    pub(super) fn list(&mut self, kind: u8, mut list: List) {
        self.all_of(kind).for_each(|change| list.changed(&change));
        self.lists.insert(kind, list);
    }

    pub(super) fn on_due(&mut self, kind: u8, on_due: OnDue) {
        if let Some(list) = self.lists.get_mut(&kind) {
            list.on_due = Some(on_due);
        }
    }

    /// Counts the records of a kind against a limit.
    pub(super) fn count(&mut self, kind: u8, capacity: Capacity) {
        self.of_kind(first(0, kind)).for_each(|entry| capacity.count(service_of(&entry.key.id), true));
        self.counted.insert(kind, capacity);
    }

    /// Looks at up to `looks` records of the list of a kind, from the newest one before `before` on. Returns the live ones,
    /// the newest first, and the place before which to continue.
    pub(super) fn newest(
        &self,
        kind: u8,
        before: Dated,
        looks: usize,
        now: Timestamp,
    ) -> (Records, Option<Dated>) {
        let Some(List { dated, .. }) = self.lists.get(&kind) else { return (Vec::new(), None) };
        let [mut one, mut other] = dated.each_ref().map(|of| of.range(..before).rev().peekable());
        let newest = std::iter::from_fn(|| if one.peek() > other.peek() { one.next() } else { other.next() });
        let looked: Vec<&Dated> = newest.take(looks).collect();
        let next = looked.last().filter(|_| looked.len() == looks).map(|last| **last);
        (part(looked.into_iter().filter_map(|(_, key)| self.table.get(key)), looks, now).0, next)
    }

    /// Hands over what is due.
    pub fn hand_over_due(&mut self, now: Timestamp) {
        self.lists.values_mut().for_each(|list| list.hand_over_due(now));
    }

    /// Removes some records of lists that have too many, or too old ones.
    pub fn forget(&mut self, now: Timestamp) -> Vec<Change> {
        self.lists.values_mut().for_each(|list| list.release(now));
        let gone = self.lists.values().flat_map(|list| {
            // What makes one needed, or has removed it, may not be durable.
            let places = |key: &RecordKey| (list.places)(self.table.get(key)?.bytes());
            let goes = move |(was_needed, key): &(bool, RecordKey)| {
                places(key).is_some_and(|of| *was_needed || of.needed_until <= now)
            };
            list.surplus(now).into_iter().filter(goes).map(|(_, key)| key)
        });
        let gone = gone.collect();
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

/// Looks at up to `looks` records. Returns the live ones, and the key to continue at.
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
    pub(super) changes: Vec<Change>,
    slot: u8,
    now: Timestamp,
}

impl<'a> Transaction<'a> {
    pub(super) const fn new(tables: &'a mut Tables, rng: &'a mut StdRng, slot: u8, now: Timestamp) -> Self {
        Self { tables, rng, changes: Vec::new(), slot, now }
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
        // A record that has ended, which `get` leaves out, is replaced too.
        if self.tables.table.get(&key).map(Entry::stored) != after {
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
        let records = self.tables.of_one_slot(first(self.slot, R::KIND));
        let live = records.filter(|entry| self.now < entry.expires);
        live.filter_map(|entry| Some((entry.key, decode_own(entry.bytes())?)))
    }

    /// Removes the live records of this kind and service in the slot of the decision for which `is_it` returns `true`. Returns
    /// them.
    pub fn remove<R: Record>(&mut self, service: ServiceId, is_it: impl Fn(&R) -> bool) -> Vec<R> {
        let mut removed: Vec<(RecordKey, R)> = self.iter().collect();
        removed.retain(|(key, record)| service_of(&key.id) == service && is_it(record));
        for (key, _) in &removed {
            self.put::<R>(key.id, None);
        }
        removed.into_iter().map(|(_, record)| record).collect()
    }

    const fn key<R: Record>(&self, id: Id) -> RecordKey {
        RecordKey { slot: self.slot, kind: R::KIND, id }
    }
}
