//! Delivery attempts: what became of each message, and what is still to be sent.
//!
//! One record for each verification, with a row for each attempt, in the slot of its number. It is written in the commit of
//! the decision about the number: see [`TrackWriter`]. What is planned is made by the scheduler in `numbers`, which takes it from
//! an index over the records. This module reads, lists and forgets.

mod decide;
mod index;
mod list;
mod status;
#[cfg(test)]
pub(crate) mod tests;
mod track;

use std::collections::BTreeMap;
use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use self::index::{Dated, Indexes};
use crate::clock::Clock;
use crate::config::TrackerSettings;
use crate::domain::{Timestamp, TrackKey};
use crate::shard::{
    Command, Decision, Durability, Record, RecordKey, Refusal, ReplyContext, Router, Shards, Subject,
    Transaction,
};

pub use self::decide::TrackWriter;
pub use self::index::Due;
pub use self::list::{Listing, Seen, TrackQuery, TrackRow, seen};
pub use self::status::{StatusFilter, receipt_from_name};
pub use self::track::{EndedSend, MOST_ROWS, Plan, ReceiptOutcome, Row, Track, VerifyStatus};

/// Records that a walk reads at once. A shard decides nothing meanwhile, which takes half a millisecond.
const PAGE: usize = 512;

/// Records that are forgotten at once.
const FORGET_AT_ONCE: usize = 256;

/// How often records are looked for that are older than they are to be kept.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// A cheap handle on the records of all shards.
#[derive(Clone)]
pub struct Attempts {
    router: Arc<Router>,
    indexes: Arc<Indexes>,
    settings: TrackerSettings,
    /// Ends the task that forgets records, together with the last handle.
    _alive: Arc<watch::Sender<()>>,
}

/// Where the record under a key is.
fn record_key(key: TrackKey) -> RecordKey {
    RecordKey { slot: key.slot(), kind: Track::KIND, id: key.id() }
}

impl Attempts {
    /// Follows the records of these shards. Needs a tokio runtime.
    pub fn new(shards: &Shards, settings: TrackerSettings) -> Self {
        let router = Arc::clone(shards.router());
        let indexes = Arc::new(Indexes::new(router.shards(), settings.keep_at_most));
        let followed = Arc::clone(&indexes);
        shards.follow::<Track>(Arc::new(move |shard| Box::new(followed.begin(shard))));
        let alive = Arc::new(watch::Sender::new(()));
        let retention = Retention {
            router: Arc::clone(&router),
            indexes: Arc::downgrade(&indexes),
            clock: Arc::clone(shards.clock()),
            settings,
        };
        tokio::spawn(retention.run(alive.subscribe()));
        Self { router, indexes, settings, _alive: alive }
    }

    /// What is kept, and for how long.
    pub const fn settings(&self) -> TrackerSettings {
        self.settings
    }

    /// The record of one verification. `None` when there is none, or none any more.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while its shard cannot say.
    pub async fn track(&self, key: TrackKey) -> Result<Option<Track>, Refusal> {
        self.router.read(key.slot(), move |tables, now| tables.get(&record_key(key), now)).await
    }

    /// Shows every record to `look`, that with the newest attempt first, page by page. `look` learns as well that no attempt
    /// of a later page is newer than the given moment.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while a shard cannot say.
    async fn walk(
        &self,
        wanted: impl Fn(&TrackKey) -> bool,
        mut look: impl FnMut(Vec<(TrackKey, Track)>, Timestamp) -> ControlFlow<()>,
    ) -> Result<(), Refusal> {
        // An index that a shard was just given is complete when the shard answers.
        for shard in 0..self.router.shards() {
            self.router.read_shard(shard, |_, _| ()).await?;
        }
        let mut before = None;
        loop {
            let page = self.indexes.newest(before, PAGE);
            let Some(last) = page.last().copied() else { return Ok(()) };
            before = Some(last);
            let mut by_shard: BTreeMap<usize, Vec<TrackKey>> = BTreeMap::new();
            for (_, key) in page.into_iter().filter(|(_, key)| wanted(key)) {
                let owner = self.router.owner(key.slot()).ok_or(Refusal::Stopping)?;
                by_shard.entry(owner).or_default().push(key);
            }
            let mut found = Vec::new();
            for (shard, keys) in by_shard {
                let read = self.router.read_shard(shard, move |tables, now| {
                    let get = |key: TrackKey| Some((key, tables.get::<Track>(&record_key(key), now)?));
                    keys.into_iter().filter_map(get).collect::<Vec<_>>()
                });
                found.append(&mut read.await?);
            }
            if let Break(()) = look(found, last.0) {
                return Ok(());
            }
        }
    }

    /// Shows every attempt, in no exact order, of the records that `wanted` names.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while a shard cannot say.
    pub async fn each(
        &self,
        wanted: impl Fn(&TrackKey) -> bool,
        mut look: impl FnMut(Seen),
    ) -> Result<(), Refusal> {
        let each = |tracks: Vec<(TrackKey, Track)>, _| {
            tracks.iter().flat_map(|(key, track)| seen(*key, track)).for_each(&mut look);
            Continue(())
        };
        self.walk(wanted, each).await
    }

    /// The newest attempts that `fits` wants, the newest first, at most so many. Reads no more pages than that takes.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while a shard cannot say.
    pub async fn newest(
        &self,
        wanted: impl Fn(&TrackKey) -> bool,
        fits: impl Fn(&Seen) -> bool,
        most: usize,
    ) -> Result<Vec<Seen>, Refusal> {
        let mut rows: Vec<Seen> = Vec::new();
        let take = |tracks: Vec<(TrackKey, Track)>, latest_to_come: Timestamp| {
            rows.extend(tracks.iter().flat_map(|(key, track)| seen(*key, track)).filter(&fits));
            list::keep_newest(&mut rows, most, |seen| &seen.row);
            let is_complete = rows.len() == most && rows.last().is_none_or(|row| row.row.at > latest_to_come);
            if is_complete { Break(()) } else { Continue(()) }
        };
        self.walk(wanted, take).await?;
        Ok(rows)
    }

    /// The newest attempts that a query asks for.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while a shard cannot say.
    pub async fn list(&self, query: &TrackQuery) -> Result<Vec<TrackRow>, Refusal> {
        let found = self.newest(|_| true, |seen| query.fits(&seen.row), query.limit).await?;
        Ok(found.into_iter().map(|seen| seen.row).collect())
    }

    /// Takes the follow-ups whose time has come, at most so many.
    pub fn take_due(&self, now: Timestamp, most: usize) -> Vec<Due> {
        self.indexes.take_due(now, most)
    }

    /// A follow-up that was taken could not be made, and is due again at `until`, if it is still planned.
    pub fn put_back(&self, due: Due, until: Timestamp) {
        if let Some(shard) = self.router.owner(due.key.slot()) {
            self.indexes.put_back(shard, due.key, until);
        }
    }

    /// Whether nothing is planned.
    pub fn has_no_plans(&self) -> bool {
        self.indexes.has_no_plans()
    }

    /// Returns when something was planned since the last call.
    pub async fn planned(&self) {
        self.indexes.planned.notified().await;
    }
}

/// Forgets the oldest records that are too many or too old.
struct Retention {
    router: Arc<Router>,
    indexes: Weak<Indexes>,
    clock: Arc<dyn Clock>,
    settings: TrackerSettings,
}

impl Retention {
    async fn run(self, mut alive: watch::Receiver<()>) {
        while let Some(indexes) = self.indexes.upgrade() {
            tokio::select! {
                _ = alive.changed() => return,
                () = indexes.too_many.notified() => {}
                () = tokio::time::sleep(FORGET_EVERY) => {}
            }
            while self.forget(&indexes).await {}
        }
    }

    /// Forgets some, and returns whether there may be more.
    async fn forget(&self, indexes: &Indexes) -> bool {
        let TrackerSettings { keep_for, keep_at_most } = self.settings;
        let before = indexes.len();
        let too_many = before.saturating_sub(keep_at_most);
        let now = self.clock.now();
        // What was written while more was to be kept.
        let is_too_old = |(last_attempt, _): &Dated| now >= last_attempt.plus(keep_for);
        let oldest = indexes.oldest(FORGET_AT_ONCE).into_iter().enumerate();
        let forgotten = oldest.take_while(|(place, dated)| *place < too_many || is_too_old(dated));
        let answers: Vec<_> = forgotten.map(|(_, (_, key))| self.forget_one(key)).collect();
        for answer in answers {
            let _ = answer.await;
        }
        // Those that a shard keeps go when it sweeps, or the next time.
        indexes.len() < before
    }

    fn forget_one(&self, key: TrackKey) -> oneshot::Receiver<()> {
        let (done, answer) = oneshot::channel();
        self.router.send(Box::new(Forget { key, done }));
        answer
    }
}

/// Removes the record of a verification for which nothing is planned.
struct Forget {
    key: TrackKey,
    done: oneshot::Sender<()>,
}

impl Command for Forget {
    fn subject(&self) -> Subject {
        Subject { slot: self.key.slot(), id: self.key.id() }
    }

    fn decide(&mut self, view: &mut Transaction<'_>) -> Decision {
        let id = self.key.id();
        if view.get::<Track>(id).is_none_or(|track| track.plan.is_none()) {
            view.put::<Track>(id, None, Durability::Lazy);
        }
        Decision::Made
    }

    fn answer(self: Box<Self>, _: &mut ReplyContext<'_>) {
        let _ = self.done.send(());
    }

    fn refuse(self: Box<Self>, _: Refusal) {}
}
