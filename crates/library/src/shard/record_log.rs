//! Records that are listed by time, the newest first, of which only so many are kept; and their agenda, by which a shard
//! hands over those that are due.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::record::{Record, RecordKey, Refusal, decode_own, service_of};
use super::shards::{PAGE, Shards};
use super::tables::{Change, Records, Transaction, first};
use crate::domain::{ServiceId, Timestamp};

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

impl Shards {
    /// Lists the records of a kind by time. The shards together keep at most so many that are not needed, and so many that
    /// are needed: the oldest go. One that is not needed also goes when it is older than `keep_for`.
    pub fn keep_newest<R: LogRecord>(&self, keep_at_most: [usize; 2], keep_for: Duration) {
        let held = Arc::<[AtomicUsize; 2]>::default();
        self.set_up(move |tables| {
            let places = |record: &[u8]| decode_own::<R>(record).map(|record| record.places());
            let (dated, needed, agenda, on_due) = Default::default();
            let held = Arc::clone(&held);
            tables
                .list(R::KIND, List { dated, needed, held, agenda, keep_at_most, keep_for, places, on_due });
        });
    }

    /// Calls `on_due` in a record's shard at each moment of [`Places::due`], and when a change is durable for each that has
    /// passed. Must not block. The records are listed already.
    pub fn on_due<R: LogRecord>(&self, on_due: impl Fn(RecordKey) + Clone + Send + 'static) {
        self.set_up(move |tables| tables.on_due(R::KIND, Box::new(on_due.clone())));
    }

    /// Hands the records of these services, or of all, to `visit` in pages, one shard after the other. The newest record of a
    /// shard before `until` comes first. No record of the shard's later pages is newer than the timestamp: `Break` leaves them
    /// out.
    ///
    /// # Errors
    /// As [`Shards::read`].
    pub async fn newest_first<R: LogRecord>(
        &self,
        services: Option<&[ServiceId]>,
        until: Option<Timestamp>,
        mut visit: impl FnMut(Vec<(RecordKey, R)>, Timestamp) -> ControlFlow<()>,
    ) -> Result<(), Refusal> {
        let most = PAGE.div_ceil(self.count());
        let page =
            move |view: &Transaction<'_>, before| view.tables.newest(R::KIND, before, most, view.now());
        let is_wanted = |key: &RecordKey| services.is_none_or(|of| of.contains(&service_of(&key.id)));
        let each = |records: Records, next: Option<Dated>| {
            let wanted = records.into_iter().filter(|(key, _)| is_wanted(key));
            let records = wanted.filter_map(|(key, stored)| Some((key, stored.record()?)));
            visit(records.collect(), next.map(|(at, _)| at).unwrap_or_default())
        };
        self.pages((until.unwrap_or(Timestamp::MAX), first(0, 0)), page, each).await
    }

    /// The parts of records that fit, the newest first, and of one moment those with the greatest `K`; only of `services`, if
    /// they are given. No part is newer than its record, and those that count are at most `span` older.
    ///
    /// # Errors
    /// As [`Shards::read`].
    pub async fn list<R: LogRecord, K: Ord + Copy, T>(
        &self,
        services: Option<&[ServiceId]>,
        range: LogRange<impl Fn(&T) -> bool>,
        span: Duration,
        parts: impl Fn(RecordKey, R) -> Vec<(Timestamp, K, T)>,
    ) -> Result<Vec<T>, Refusal> {
        let LogRange { since, until, fits, skip, limit } = range;
        let most = skip.saturating_add(limit);
        let mut found = Vec::new();
        let is_wanted = |(at, _, part): &(Timestamp, K, T)| {
            *at >= since && until.is_none_or(|until| *at < until) && fits(part)
        };
        let take = |records: Vec<(RecordKey, R)>, latest_to_come| {
            found.extend(records.into_iter().flat_map(|(key, record)| parts(key, record)).filter(is_wanted));
            found.sort_unstable_by_key(|(at, of, _)| Reverse((*at, *of)));
            found.truncate(most);
            let is_complete = found.len() == most && found.last().is_none_or(|(at, ..)| *at > latest_to_come);
            if is_complete || latest_to_come < since { Break(()) } else { Continue(()) }
        };
        self.newest_first(services, until.map(|until| until.plus(span)), take).await?;
        Ok(found.into_iter().skip(skip).map(|(_, _, part)| part).collect())
    }
}

// The records of one kind in one shard by time, of which only so many are kept, and their agenda.

/// Records that are looked at to be forgotten before the shard goes on.
const LOOKS: usize = 4_096;

/// Records that are handed over as due before the shard goes on.
const DUE_AT_ONCE: usize = 256;

/// The place of a record in a list.
pub type Dated = (Timestamp, RecordKey);

/// Records are not forgotten for so long, however many there are: the guard has written by then what their messages were
/// charged.
const SETTLES_IN: Duration = Duration::from_secs(5);

/// What a record says of its places.
#[derive(Default)]
pub struct Places {
    /// Its place in lists.
    pub at: Timestamp,
    /// Its places in the agenda: when [`Shards::on_due`] hands it over.
    pub due: Vec<Timestamp>,
    /// Until then it stays, however many others there are, and however old it is.
    pub needed_until: Timestamp,
}

/// The list of one shard. It follows what is durable.
pub struct List {
    /// The records that may be forgotten, and those that are needed.
    pub dated: [BTreeSet<Dated>; 2],
    /// When those that are needed are not any more, with their places in lists.
    pub needed: BTreeSet<(Timestamp, Dated)>,
    /// How many there are of both in all shards.
    pub held: Arc<[AtomicUsize; 2]>,
    pub agenda: BTreeSet<Dated>,
    /// Of both, in all shards.
    pub keep_at_most: [usize; 2],
    pub keep_for: Duration,
    pub places: fn(&[u8]) -> Option<Places>,
    pub on_due: Option<OnDue>,
}

/// See [`Shards::on_due`].
pub type OnDue = Box<dyn Fn(RecordKey) + Send>;

impl List {
    /// Follows a change of a record.
    pub fn changed(&mut self, Change { key, before, after }: &Change) {
        let [before, after] = [before, after].map(|stored| (self.places)(&stored.as_ref()?.bytes));
        if let Some(Places { at, due, needed_until }) = before {
            self.needed.remove(&(needed_until, (at, *key)));
            for (dated, held) in self.dated.iter_mut().zip(&*self.held) {
                held.fetch_sub(usize::from(dated.remove(&(at, *key))), Ordering::Relaxed);
            }
            for due in due {
                self.agenda.remove(&(due, *key));
            }
        }
        if let Some(Places { at, due, needed_until }) = after {
            let is_needed = needed_until > Timestamp::EPOCH;
            self.dated[usize::from(is_needed)].insert((at, *key));
            self.held[usize::from(is_needed)].fetch_add(1, Ordering::Relaxed);
            if is_needed && needed_until < Timestamp::MAX {
                self.needed.insert((needed_until, (at, *key)));
            }
            self.agenda.extend(due.into_iter().map(|due| (due, *key)));
        }
    }

    /// Hands over the records that are due.
    pub fn hand_over_due(&mut self, now: Timestamp) {
        let Some(on_due) = &self.on_due else { return };
        for _ in 0..DUE_AT_ONCE {
            let Some(due) = self.agenda.first().copied().filter(|(due, _)| *due <= now) else { return };
            self.agenda.remove(&due);
            on_due(due.1);
        }
    }

    /// Those that were needed until now may be forgotten.
    pub fn release(&mut self, now: Timestamp) {
        for _ in 0..LOOKS {
            let is_over = self.needed.first().is_some_and(|(until, _)| *until <= now);
            let Some((_, dated)) = is_over.then(|| self.needed.pop_first()).flatten() else { return };
            self.dated[1].remove(&dated);
            self.dated[0].insert(dated);
            self.held[1].fetch_sub(1, Ordering::Relaxed);
            self.held[0].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The oldest of the records that may be forgotten (`false`) and of those that are needed, if there are too many; and of
    /// the first those that are too old.
    pub fn surplus(&self, now: Timestamp) -> Vec<(bool, RecordKey)> {
        let (oldest, settled) = (now.minus(self.keep_for), now.minus(SETTLES_IN));
        let surplus = [0, 1].into_iter().flat_map(|kind| {
            let (dated, in_all) = (&self.dated[kind], self.held[kind].load(Ordering::Relaxed));
            // Its part of those that are too many in all shards: one shard has most entries of the audit log.
            let too_many = dated.len() * in_all.saturating_sub(self.keep_at_most[kind]) / in_all.max(1);
            let goes = move |(place, (at, _)): &(usize, &Dated)| {
                kind == 0 && *at <= oldest || *place < too_many && *at <= settled
            };
            dated.iter().enumerate().take_while(goes).map(move |(_, (_, key))| (kind == 1, *key))
        });
        surplus.take(LOOKS).collect()
    }
}
