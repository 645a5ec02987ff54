//! The records of one kind in one shard by time, of which only so many are kept, and their agenda.

use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;

use super::record::{RecordKey, Stored, service_of};
use super::shares::Shares;
use super::table::Table;
use crate::domain::Timestamp;

/// Records that are looked at for a page, or to be forgotten, before the shard goes on.
const LOOKS: usize = 4_096;

/// Records that are handed over as due before the shard goes on.
const DUE_AT_ONCE: usize = 256;

/// The place of a record in a list.
pub type Dated = (Timestamp, RecordKey);

/// In front of every record.
pub const FIRST: Dated = (Timestamp::EPOCH, RecordKey { slot: 0, kind: 0, id: [0; 12] });

/// Behind every record.
pub const LAST: Dated = (Timestamp::MAX, RecordKey { slot: u8::MAX, kind: u8::MAX, id: [u8::MAX; 12] });

/// What a record says of its places.
#[derive(Default)]
pub struct Places {
    /// Its place in lists.
    pub at: Timestamp,
    /// Its places in the agenda: when it is handed to [`RecordLog::on_due`](super::RecordLog::on_due).
    pub due: Vec<Timestamp>,
    /// Until when it may not be forgotten although there are too many. [`Timestamp::MAX`] if not before its end.
    pub needed_until: Timestamp,
}

/// What the lists of all shards share.
#[derive(Default)]
pub struct Shared {
    pub count: AtomicUsize,
    /// The records that may never be forgotten.
    pub needed: Mutex<Shares>,
    pub on_due: OnceLock<Box<dyn Fn(RecordKey) + Send + Sync>>,
}

/// The list of one shard.
pub struct List {
    dated: BTreeSet<Dated>,
    agenda: BTreeSet<Dated>,
    /// The records that may be forgotten, now or later.
    forgettable: Shares,
    keep_at_most: usize,
    keep_for: Duration,
    /// Those up to here are looked at when no later one may be forgotten.
    looked_at: Dated,
    places: fn(&[u8]) -> Option<Places>,
    shared: Arc<Shared>,
}

impl List {
    /// An empty list that keeps the newest records.
    pub fn new(
        keep_at_most: usize,
        keep_for: Duration,
        places: fn(&[u8]) -> Option<Places>,
        shared: Arc<Shared>,
    ) -> Self {
        let (dated, agenda, forgettable) = (BTreeSet::new(), BTreeSet::new(), Shares::default());
        Self { dated, agenda, forgettable, keep_at_most, keep_for, looked_at: FIRST, places, shared }
    }

    /// Follows a change of a record.
    pub fn changed(&mut self, key: &RecordKey, before: Option<&Stored>, after: Option<&Stored>) {
        let [before, after] = [before, after].map(|stored| (self.places)(&stored?.bytes));
        let (service, was) = (service_of(&key.id), self.dated.len());
        if let Some(Places { at, due, needed_until }) = before {
            self.dated.remove(&(at, *key));
            self.count(needed_until, |shares| shares.remove(service, 1));
            for due in due {
                self.agenda.remove(&(due, *key));
            }
        }
        if let Some(Places { at, due, needed_until }) = after {
            self.dated.insert((at, *key));
            self.count(needed_until, |shares| shares.add(service, 1));
            self.agenda.extend(due.into_iter().map(|due| (due, *key)));
        }
        self.shared.count.fetch_add(self.dated.len().wrapping_sub(was), Ordering::Relaxed);
    }

    fn count(&mut self, needed_until: Timestamp, change: impl FnOnce(&mut Shares)) {
        if needed_until == Timestamp::MAX {
            change(&mut self.shared.needed.lock());
        } else {
            change(&mut self.forgettable);
        }
    }

    /// At most so many wanted records before a place, the newest first, and the place before which to go on.
    pub fn page(
        &self,
        before: Dated,
        most: usize,
        is_wanted: impl Fn(&RecordKey) -> bool,
    ) -> (Vec<Dated>, Option<Dated>) {
        let mut found = Vec::new();
        for (looked, dated) in self.dated.range(..before).rev().enumerate() {
            found.extend(is_wanted(&dated.1).then_some(*dated));
            if found.len() == most || looked + 1 == LOOKS {
                return (found, Some(*dated));
            }
        }
        (found, None)
    }

    /// Hands over the records that are due.
    pub fn hand_over_due(&mut self, now: Timestamp) {
        let Some(on_due) = self.shared.on_due.get() else { return };
        for _ in 0..DUE_AT_ONCE {
            let Some(due) = self.agenda.first().copied().filter(|(due, _)| *due <= now) else { return };
            self.agenda.remove(&due);
            on_due(due.1);
        }
    }

    /// The oldest records, if there are too many, or else those that are too old. A service with more than half of the
    /// records loses its own first. Records that may never be forgotten do not count as too many.
    pub fn surplus(&mut self, table: &Table, now: Timestamp) -> Vec<RecordKey> {
        let too_many = self.forgettable.held().saturating_sub(self.keep_at_most);
        let (oldest, half) = (now.minus(self.keep_for), self.keep_at_most / 2);
        let large = self.forgettable.larger_than(half).filter(|_| too_many > 0);
        let looked_at = self.dated.range((Excluded(self.looked_at), Unbounded)).take(LOOKS);
        let looked_at: Vec<Dated> =
            looked_at.take_while(|(at, _)| too_many > 0 || *at <= oldest).copied().collect();
        let goes = |key: &RecordKey| {
            let places = || (self.places)(table.get(key)?.bytes());
            large.is_none_or(|service| service == service_of(&key.id))
                && places().is_none_or(|places| places.needed_until <= now)
        };
        let most = if too_many > 0 { too_many } else { LOOKS };
        let gone: Vec<_> = looked_at.iter().map(|(_, key)| *key).filter(goes).take(most).collect();
        let may_be_more = looked_at.len() == LOOKS && gone.len() < most;
        self.looked_at = looked_at.last().copied().filter(|_| may_be_more).unwrap_or(FIRST);
        gone
    }
}
