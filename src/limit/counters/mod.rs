//! Counters of rate limits: the handle, and how a request is decided.

mod record;

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::Bounds;
use super::decide::{self, BucketRule, Counted, Counts, Verdict};
use super::desk::{Around, Book, Desk, OpenError, PageError, Pages, Seat};
use super::digest::{Digester, Place};
use crate::clock::Clock;
use crate::domain::{ServiceId, Sid, Timestamp};
use crate::store::{Key, Kind, Store};

/// Bytes of a value.
const LONGEST_VALUE: usize = 256;
/// Values that one request may be counted under.
const MOST_CHARGES: usize = 10;

/// One value that a request is counted under.
#[derive(Clone, PartialEq, Eq)]
pub struct Charge {
    /// Of which service the limit is.
    pub service: ServiceId,
    /// `RK`.
    pub limit: Sid,
    /// What the request passed for it; at most 256 bytes. It can be personal data, and is not stored.
    pub value: String,
    /// The limit's buckets. Without any there is no limit.
    pub buckets: Vec<BucketRule>,
}

impl std::fmt::Debug for Charge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Charge({}, {:?})", self.limit, self.buckets)
    }
}

/// Why a request does not pass. Nothing of it was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LimitRefusal {
    /// A bucket is full.
    #[error("the rate limit {limit} is reached")]
    Reached {
        /// Which limit; the one that lasts longest, if several are reached.
        limit: Sid,
        /// When there is room again, if nobody else comes first.
        until: Timestamp,
    },
    /// A value is longer than 256 bytes.
    #[error("a value for a rate limit is longer than {LONGEST_VALUE} bytes")]
    ValueTooLong,
    /// More than ten limits at once.
    #[error("a request names more than {MOST_CHARGES} rate limits")]
    TooManyCharges,
    /// As many values as may be are being counted already, and none of them has ended. Values that are known go on.
    #[error("too many values are being counted")]
    TooManyCounters,
    /// As many requests as may be are waiting.
    #[error("too many requests wait for their rate limits")]
    Overloaded,
    /// The count could not be made durable, or not read.
    #[error("the count could not be made durable")]
    StoreUnavailable,
}

/// What was counted: for [`Limits::give_back`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Taken(Vec<(Key, Vec<Counted>)>);

/// Counts requests. Clones are handles on the same counters.
#[derive(Clone)]
pub struct Limits {
    desk: Desk<Counters>,
    digester: Arc<Digester>,
}

impl Limits {
    /// Loads every counter. `server_key` is the server's key: values are hashed with it.
    ///
    /// # Errors
    /// When the store cannot be read, or a record makes no sense: there is no empty start in place of that.
    pub async fn open(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        server_key: &[u8],
        bounds: Bounds,
    ) -> Result<Self, OpenError> {
        // Counters are bounded by their number.
        let bounds = Bounds { answer_bytes: usize::MAX, ..bounds };
        let desk = Desk::open(Around { store, clock, bounds }, || Counters).await?;
        Ok(Self { desk, digester: Arc::new(Digester::new(server_key)) })
    }

    /// Counts a request under every charge, or under none. The answer comes when the counts are durable. The same limit with
    /// the same value twice counts once.
    ///
    /// # Errors
    /// [`LimitRefusal`]. After [`LimitRefusal::StoreUnavailable`] it may have been counted, if the store did not say.
    pub async fn take(&self, charges: Vec<Charge>) -> Result<Taken, LimitRefusal> {
        if charges.len() > MOST_CHARGES {
            return Err(LimitRefusal::TooManyCharges);
        }
        if charges.iter().any(|charge| charge.value.len() > LONGEST_VALUE) {
            return Err(LimitRefusal::ValueTooLong);
        }
        let mut placed: Vec<Placed> = charges.into_iter().map(|charge| self.place(charge)).collect();
        placed.retain(|charge| !charge.rules.is_empty());
        placed.sort_by_key(|charge| charge.place.key);
        placed.dedup_by_key(|charge| charge.place.key);
        if placed.is_empty() {
            return Ok(Taken::default());
        }
        let seat = self.desk.seat().ok_or(LimitRefusal::Overloaded)?;
        let (reply, answer) = oneshot::channel();
        self.desk.submit(Request::Take(Take { charges: placed, decided: None, reply, _seat: seat }));
        answer.await.unwrap_or(Err(LimitRefusal::StoreUnavailable))
    }

    /// For a request that came to nothing: counts it no longer, as far as it is still counted. Nobody waits for it, and when
    /// much is under way, or the store fails, it stays counted.
    pub fn give_back(&self, taken: Taken) {
        if let Some(seat) = self.desk.seat().filter(|_| !taken.0.is_empty()) {
            self.desk.submit(Request::GiveBack(taken, seat));
        }
    }

    fn place(&self, charge: Charge) -> Placed {
        let place = self.digester.counter(charge.service, &charge.limit, &charge.value);
        Placed { place, limit: charge.limit, rules: charge.buckets }
    }
}

/// A charge without its value.
struct Placed {
    place: Place,
    limit: Sid,
    rules: Vec<BucketRule>,
}

struct Take {
    charges: Vec<Placed>,
    decided: Option<Result<Taken, LimitRefusal>>,
    reply: oneshot::Sender<Result<Taken, LimitRefusal>>,
    _seat: Seat,
}

enum Request {
    Take(Take),
    GiveBack(Taken, #[expect(dead_code, reason = "held until it is done")] Seat),
}

/// One value's record.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Page {
    /// Tells the value from another with the same subject. Two such values, one pair among 10^19, are counted
    /// together: too strict, and never too loose.
    tag: u64,
    counts: Counts,
}

/// How they are decided.
struct Counters;

impl Book for Counters {
    const KIND: Kind = Kind::Counter;
    type Page = Page;
    type Request = Request;

    fn read(record: &[u8]) -> Result<Page, PageError> {
        record::decode(record)
    }

    fn write(page: &Page) -> Bytes {
        record::encode(page)
    }

    fn ends(page: &Page) -> Timestamp {
        page.counts.ends()
    }

    fn weight(_page: &Page) -> usize {
        0
    }

    fn keys(request: &Request) -> Vec<Key> {
        match request {
            Request::Take(take) => take.charges.iter().map(|charge| charge.place.key).collect(),
            Request::GiveBack(taken, _) => taken.0.iter().map(|(key, _)| *key).collect(),
        }
    }

    fn may_be_decided_twice(_request: &Request) -> bool {
        true
    }

    fn decide(&mut self, request: &mut Request, pages: &mut Pages<'_, Self>, now: Timestamp) {
        match request {
            Request::Take(take) => take.decided = Some(decide_take(&take.charges, pages, now)),
            Request::GiveBack(taken, _) => take_out(taken, pages, now),
        }
    }

    fn undo(&mut self, request: &mut Request, lost: &[Key], pages: &mut Pages<'_, Self>, now: Timestamp) {
        match request {
            Request::Take(take) => {
                if let Some(Ok(mut taken)) = take.decided.take() {
                    taken.0.retain(|(key, _)| !lost.contains(key));
                    take_out(&taken, pages, now);
                }
            }
            Request::GiveBack(taken, _) => taken.0.retain(|(key, _)| lost.contains(key)),
        }
    }

    fn leave(&mut self, request: Request) {
        if let Request::Take(take) = request {
            // Whoever asked may be gone; it stays counted then.
            let _ = take.reply.send(take.decided.unwrap_or(Err(LimitRefusal::StoreUnavailable)));
        }
    }

    fn fail(&mut self, request: Request) {
        if let Request::Take(take) = request {
            let _ = take.reply.send(Err(LimitRefusal::StoreUnavailable));
        }
    }
}

/// One owner has them all, so there is nothing to give back when the last of them refuses.
fn decide_take(
    charges: &[Placed],
    pages: &mut Pages<'_, Counters>,
    now: Timestamp,
) -> Result<Taken, LimitRefusal> {
    let nothing = Counts::default();
    let (mut granted, mut reached) = (Vec::with_capacity(charges.len()), None);
    for Placed { place, limit, rules } in charges {
        let counts = pages.page(&place.key).map_or(&nothing, |page| &page.counts);
        match decide::take(counts, rules, now) {
            Verdict::Granted { counts, places } => granted.push((counts, places)),
            Verdict::Refused { until } => reached = reached.max(Some((until, *limit))),
        }
    }
    if let Some((until, limit)) = reached {
        return Err(LimitRefusal::Reached { limit, until });
    }
    let keys: Vec<Key> = charges.iter().map(|charge| charge.place.key).collect();
    if !pages.has_room_for(&keys, 0) {
        return Err(LimitRefusal::TooManyCounters);
    }
    let mut taken = Vec::with_capacity(charges.len());
    for (Placed { place, rules, .. }, (counts, places)) in charges.iter().zip(granted) {
        let strict = pages.strict(&place.key).map_or(&nothing, |page| &page.counts);
        let strict = Page { tag: place.tag, counts: decide::count(strict, rules, now) };
        let tag = pages.page(&place.key).map_or(place.tag, |page| page.tag);
        if tag != place.tag {
            tracing::debug!("two values of rate limits have one hash, and are counted together");
        }
        pages.put(place.key, Some(Page { tag, counts }), Some(strict));
        taken.push((place.key, places));
    }
    Ok(Taken(taken))
}

fn take_out(taken: &Taken, pages: &mut Pages<'_, Counters>, now: Timestamp) {
    for (key, places) in &taken.0 {
        let Some(page) = pages.page(key) else { continue };
        let counts = decide::give_back(&page.counts, places, now);
        if counts != page.counts {
            let page = Page { tag: page.tag, counts };
            let strict = pages.strict(key).cloned();
            pages.put(*key, Some(page).filter(|page| !page.counts.tallies.is_empty()), strict);
        }
    }
}
