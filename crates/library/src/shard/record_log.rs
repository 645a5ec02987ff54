//! Records that are listed by time, the newest first, of which only so many are kept; and their agenda, by which a shard
//! hands over those that are due.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;

use super::capacity::Shares;
use super::record::{Record, RecordKey, Refusal, Stored, decode_own, service_of};
use super::shards::Shards;
use super::tables::Transaction;
use crate::domain::{ServiceId, Timestamp};

/// Records that are read at once: the shards copy them in some 50 us.
const PAGE: usize = 512;

/// A record with a time. It belongs to the service with which its id begins.
pub trait LogRecord: Record {
    /// Its places now.
    fn places(&self) -> Places;
}

/// The records that a list is about.
pub struct LogRange<F> {
    /// Only those at this moment or after it.
    pub since: Timestamp,
    /// Only those before this moment.
    pub until: Option<Timestamp>,
    /// Only those for which it returns `true`.
    pub fits: F,
    /// The number of skipped records.
    pub skip: usize,
    /// The largest number of records.
    pub limit: usize,
}

/// A handle on the records of all shards.
#[derive(Clone)]
pub struct RecordLog<R> {
    shards: Shards,
    shared: Arc<Shared>,
    kind: PhantomData<fn() -> R>,
}

impl<R: LogRecord> RecordLog<R> {
    /// Lists the records of these shards. They keep at most so many, the newest, of those that are not needed and of those
    /// that are; and of those that are not needed, none of before `keep_for`.
    pub fn follow(shards: &Shards, keep_at_most: [usize; 2], keep_for: Duration) -> Self {
        let shared = Arc::<Shared>::default();
        let of_shards = Arc::clone(&shared);
        shards.set_up(move |tables| {
            let (dated, agenda) = Default::default();
            let places = |record: &[u8]| decode_own::<R>(record).map(|record| record.places());
            let shared = Arc::clone(&of_shards);
            tables.list(R::KIND, List { dated, agenda, keep_at_most, keep_for, places, shared });
        });
        Self { shards: shards.clone(), shared, kind: PhantomData }
    }

    /// The records that are needed.
    pub fn needed(&self) -> usize {
        self.shared.held[1].lock().held()
    }

    /// How many more of them a service may have under this limit.
    pub fn room(&self, service: ServiceId, limit: usize) -> usize {
        self.shared.held[1].lock().room(service, limit)
    }

    /// Calls `on_due` in a record's shard at each moment of [`Places::due`], and after a change for each that has passed.
    /// Must not block. Only the first one counts.
    pub fn on_due(&self, on_due: impl Fn(RecordKey) + Send + Sync + 'static) {
        let _ = self.shared.on_due.set(Box::new(on_due));
    }

    /// Hands the records of these services, or of all, to `visit` in pages, the newest record first, from the last one
    /// before `until` on. No record of a later page is newer than the timestamp. Dropping the future ends the work.
    ///
    /// # Errors
    /// As [`Shards::read`].
    pub async fn for_each_page(
        &self,
        services: Option<&[ServiceId]>,
        until: Option<Timestamp>,
        mut visit: impl FnMut(Vec<(RecordKey, R)>, Timestamp) -> ControlFlow<()>,
    ) -> Result<(), Refusal> {
        let services: Option<Arc<[ServiceId]>> = services.map(Arc::from);
        let most = PAGE.div_ceil(self.shards.count());
        let mut before = until.map_or(LAST, |until| (until, FIRST.1));
        loop {
            let _turn = self.shards.page_turn().await;
            let (mut found, mut next) = (Vec::new(), None);
            for slot in self.shards.one_of_each() {
                let services = services.clone();
                let read = move |view: &Transaction<'_>| {
                    let is_wanted = |key: &RecordKey| {
                        services.as_ref().is_none_or(|of| of.contains(&service_of(&key.id)))
                    };
                    view.tables.newest(R::KIND, before, most, is_wanted, view.now())
                };
                let (mut page, behind) = self.shards.read(slot, read).await?;
                found.append(&mut page);
                next = next.max(behind);
            }
            // Older ones come again: another shard may have some between them.
            found.retain(|(dated, _)| Some(*dated) >= next);
            found.sort_unstable_by_key(|(dated, _)| Reverse(*dated));
            let Some((latest_to_come, _)) = next.or(found.last().map(|(dated, _)| *dated)) else {
                return Ok(());
            };
            let records = found.into_iter().filter_map(|((_, key), stored)| Some((key, stored.record()?)));
            if visit(records.collect(), latest_to_come).is_break() {
                return Ok(());
            }
            let Some(next) = next else { return Ok(()) };
            before = next;
        }
    }

    /// The records that fit, the newest first; only those of `services`, if they are given.
    ///
    /// # Errors
    /// As [`Shards::read`].
    pub async fn list(
        &self,
        services: Option<&[ServiceId]>,
        range: LogRange<impl Fn(&R) -> bool>,
    ) -> Result<Vec<R>, Refusal> {
        self.list_parts(services, range, Duration::ZERO, |key, record| {
            vec![(record.places().at, *key, record)]
        })
        .await
    }

    /// The parts of records that fit, the newest first, and of one moment those with the greatest `K`. No part is newer than
    /// its record, and those that count are at most `span` older.
    ///
    /// # Errors
    /// As [`Shards::read`].
    pub async fn list_parts<K: Ord + Copy, T>(
        &self,
        services: Option<&[ServiceId]>,
        range: LogRange<impl Fn(&T) -> bool>,
        span: Duration,
        parts: impl Fn(&RecordKey, R) -> Vec<(Timestamp, K, T)>,
    ) -> Result<Vec<T>, Refusal> {
        let LogRange { since, until, fits, skip, limit } = range;
        let most = skip.saturating_add(limit);
        let mut found = Vec::new();
        let is_wanted = |(at, _, part): &(Timestamp, K, T)| {
            *at >= since && until.is_none_or(|until| *at < until) && fits(part)
        };
        let take = |records: Vec<(RecordKey, R)>, latest_to_come| {
            let of_page = records.into_iter().flat_map(|(key, record)| parts(&key, record));
            found.extend(of_page.filter(is_wanted));
            found.sort_unstable_by_key(|(at, of, _)| Reverse((*at, *of)));
            found.truncate(most);
            let is_complete = found.len() == most && found.last().is_none_or(|(at, ..)| *at > latest_to_come);
            if is_complete || latest_to_come < since { Break(()) } else { Continue(()) }
        };
        self.for_each_page(services, until.map(|until| until.plus(span)), take).await?;
        Ok(found.into_iter().skip(skip).map(|(_, _, part)| part).collect())
    }
}

// The records of one kind in one shard by time, of which only so many are kept, and their agenda.

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

/// Records are not forgotten for so long, however many there are: the guard has written by then what their messages were
/// charged.
const SETTLES_IN: Duration = Duration::from_secs(5);

/// What a record says of its places.
#[derive(Default)]
pub struct Places {
    /// Its place in lists.
    pub at: Timestamp,
    /// Its places in the agenda: when it is handed to [`RecordLog::on_due`](super::RecordLog::on_due).
    pub due: Vec<Timestamp>,
    /// Whether it stays, however many others there are.
    pub is_needed: bool,
}

/// What the lists of all shards share.
#[derive(Default)]
pub struct Shared {
    /// The records that may be forgotten, and those that are needed.
    held: [Mutex<Shares>; 2],
    pub on_due: OnceLock<Box<dyn Fn(RecordKey) + Send + Sync>>,
}

/// The list of one shard.
pub struct List {
    /// The records that may be forgotten, and those that are needed.
    dated: [BTreeSet<Dated>; 2],
    agenda: BTreeSet<Dated>,
    /// Of both, in all shards.
    keep_at_most: [usize; 2],
    keep_for: Duration,
    places: fn(&[u8]) -> Option<Places>,
    shared: Arc<Shared>,
}

impl List {
    /// Follows a change of a record.
    pub fn changed(&mut self, key: &RecordKey, before: Option<&Stored>, after: Option<&Stored>) {
        let [before, after] = [before, after].map(|stored| (self.places)(&stored?.bytes));
        let service = service_of(&key.id);
        if let Some(Places { at, due, is_needed }) = before {
            self.dated[usize::from(is_needed)].remove(&(at, *key));
            self.shared.held[usize::from(is_needed)].lock().remove(service, 1);
            for due in due {
                self.agenda.remove(&(due, *key));
            }
        }
        if let Some(Places { at, due, is_needed }) = after {
            self.dated[usize::from(is_needed)].insert((at, *key));
            self.shared.held[usize::from(is_needed)].lock().add(service, 1);
            self.agenda.extend(due.into_iter().map(|due| (due, *key)));
        }
    }

    /// At most so many wanted records before a place, the newest first, and the place before which to go on.
    pub fn page(
        &self,
        before: Dated,
        most: usize,
        is_wanted: impl Fn(&RecordKey) -> bool,
    ) -> (Vec<Dated>, Option<Dated>) {
        let [mut one, mut other] = self.dated.each_ref().map(|of| of.range(..before).rev().peekable());
        let newest = std::iter::from_fn(|| if one.peek() > other.peek() { one.next() } else { other.next() });
        let mut found = Vec::new();
        for (looked, dated) in newest.enumerate() {
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

    /// The oldest of the records that may be forgotten and of those that are needed, if there are too many; and of the first
    /// those that are too old.
    pub fn surplus(&self, now: Timestamp) -> Vec<RecordKey> {
        let (oldest, settled) = (now.minus(self.keep_for), now.minus(SETTLES_IN));
        let surplus = [0, 1].into_iter().flat_map(|kind| {
            let (dated, in_all) = (&self.dated[kind], self.shared.held[kind].lock().held());
            // Its part of those that are too many in all shards: one shard has most entries of the audit log.
            let too_many = dated.len() * in_all.saturating_sub(self.keep_at_most[kind]) / in_all.max(1);
            let goes = move |(place, (at, _)): &(usize, &Dated)| {
                kind == 0 && *at <= oldest || *place < too_many && *at <= settled
            };
            dated.iter().enumerate().take_while(goes).map(|(_, (_, key))| *key)
        });
        surplus.take(LOOKS).collect()
    }
}
