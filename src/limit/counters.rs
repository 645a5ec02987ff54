//! Rate limit counters: their record, the handle, and how a request is decided.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, oneshot};

use super::Bounds;
use super::decide::{self, BucketRule, Counted, RateDecision, ValueCounts};
use super::digest::{Digest, Digester};
use crate::domain::{ServerKey, ServiceId, Sid, Timestamp};
use crate::shard::{
    After, Capacity, Command, Decided, Durability, LimitedTable, Record, Refusal, Reservation, Shards,
    Subject, Transaction, service_of,
};

/// Characters of a value.
const LONGEST_VALUE: usize = 255;
/// Values that one request may be counted under.
const MOST_CHARGES: usize = 10;

/// One value of a limit that a request is counted under.
#[derive(Clone, PartialEq, Eq)]
pub struct Charge {
    pub service: ServiceId,
    /// `RK`.
    pub limit: Sid,
    /// The value of the request; at most 255 characters. It can be personal data, and is not stored.
    pub value: String,
    /// The limit's buckets; without buckets there is no limit.
    pub buckets: Vec<BucketRule>,
}

impl std::fmt::Debug for Charge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Charge({}, {:?})", self.limit, self.buckets)
    }
}

/// Why a request does not pass. It is not counted, except after a [`Refusal::StoreUnavailable`] whose commit has an
/// unknown outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LimitRefusal {
    /// A bucket is full.
    #[error("the rate limit {limit} is reached")]
    Reached {
        /// The limit that lasts longest, if several are reached.
        limit: Sid,
        /// When there is room again, unless another request comes first.
        until: Timestamp,
    },
    #[error("a value for a rate limit is longer than {LONGEST_VALUE} characters")]
    ValueTooLong,
    /// More than ten limits at once.
    #[error("a request names more than {MOST_CHARGES} rate limits")]
    TooManyCharges,
    /// A shard or the queue refused it. If the table is full, known values are still counted.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// The counters that a request was charged to, for [`Limits::give_back`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Charged(Vec<(Subject, Vec<Counted>)>);

/// The record of one value of a limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Counter {
    /// Tells the value from another with the same subject. Two such values, one pair among 10^19, are counted
    /// together: too strict, and never too loose.
    tag: u64,
    counts: ValueCounts,
}

impl Record for Counter {
    const KIND: u8 = 5;
    const PLURAL: &'static str = "rate limit counters";

    fn expires(&self) -> Timestamp {
        self.counts.ends()
    }

    fn merge_pessimistic(before: Option<Self>, after: Option<Self>, now: Timestamp) -> Option<Self> {
        match (before, after) {
            (Some(Self { tag, counts }), Some(after)) => {
                Some(Self { tag, counts: decide::merge_pessimistic(counts, after.counts, now) })
            }
            (before, after) => after.or(before),
        }
    }
}

/// Counts requests. Clones are handles on the same counters.
#[derive(Clone)]
pub struct Limits {
    pub(super) shards: Shards,
    digester: Arc<Digester>,
    capacity: Arc<Capacity>,
    queue: Arc<Semaphore>,
}

impl Limits {
    /// Over shards that keep [`Counter`]s.
    pub fn new(shards: &Shards, server_key: &ServerKey, bounds: Bounds) -> Self {
        Self {
            shards: shards.clone(),
            digester: Arc::new(Digester::new(server_key)),
            capacity: Capacity::following::<Counter>(shards, LimitedTable::Counters, bounds.records),
            queue: Arc::new(Semaphore::new(bounds.queue.clamp(1, Semaphore::MAX_PERMITS))),
        }
    }

    /// The limit on counters.
    pub fn capacity(&self) -> &Capacity {
        &self.capacity
    }

    /// Counts a request under every charge, or under none. The answer comes when the counts are durable. The same limit with
    /// the same value twice counts once.
    ///
    /// The counters can be in several shards. They are taken one after the other in the order of their digests, and those
    /// already taken are given back when a later one refuses. Meanwhile another request may find them full.
    pub async fn take(&self, charges: Vec<Charge>) -> Result<Charged, LimitRefusal> {
        if charges.len() > MOST_CHARGES {
            return Err(LimitRefusal::TooManyCharges);
        }
        if charges.iter().any(|charge| charge.value.chars().count() > LONGEST_VALUE) {
            return Err(LimitRefusal::ValueTooLong);
        }
        let digest = |charge: Charge| {
            let Digest { subject, tag } = self.digester.counter(charge.service, &charge.limit, &charge.value);
            (!charge.buckets.is_empty()).then_some(Count {
                subject,
                tag,
                limit: charge.limit,
                rules: charge.buckets.into(),
            })
        };
        let mut counts: Vec<Count> = charges.into_iter().filter_map(digest).collect();
        counts.sort_by_key(|count| (count.subject.slot, count.subject.id));
        counts.dedup_by_key(|count| count.subject);
        if counts.is_empty() {
            return Ok(Charged::default());
        }
        let permit = Arc::clone(&self.queue).try_acquire_owned();
        let _permit = permit.map_err(|_| LimitRefusal::Refused(Refusal::Overloaded))?;
        if counts.len() > 1 {
            self.find_full(&counts).await?;
        }
        let mut taken = Charged::default();
        for count in counts {
            let subject = count.subject;
            match self.submit(count, Purpose::Take).await {
                Ok(places) => taken.0.push((subject, places)),
                Err(refusal) => {
                    self.give_back(taken);
                    return Err(refusal);
                }
            }
        }
        Ok(taken)
    }

    /// Refuses before anything is counted if a bucket is full already.
    async fn find_full(&self, counts: &[Count]) -> Result<(), LimitRefusal> {
        let looks = counts.iter().map(|count| self.submit(count.clone(), Purpose::Look));
        let until = |refusal: &LimitRefusal| match refusal {
            LimitRefusal::Reached { until, .. } => Some(*until),
            _ => None,
        };
        let refusals = futures_util::future::join_all(looks).await.into_iter().filter_map(Result::err);
        refusals.max_by_key(until).map_or(Ok(()), Err)
    }

    async fn submit(&self, count: Count, purpose: Purpose) -> Result<Vec<Counted>, LimitRefusal> {
        let (reply, answer) = oneshot::channel();
        self.shards.submit(CountCommand { count, purpose, capacity: Arc::clone(&self.capacity), reply });
        answer.await.unwrap_or(Err(LimitRefusal::Refused(Refusal::StoreUnavailable)))
    }

    /// Removes a request that had no effect from its counters, as far as it is still counted. Returns at once. The request
    /// stays counted when the queue is full or the store fails.
    pub fn give_back(&self, taken: Charged) {
        let Ok(permit) = Arc::clone(&self.queue).try_acquire_owned().map(Arc::new) else { return };
        for (subject, places) in taken.0 {
            let permit = Arc::clone(&permit);
            let give_back = move |view: &mut Transaction<'_>| {
                let _ = &permit;
                if let Some(Counter { tag, counts }) = view.get(subject.id) {
                    let counter = Counter { tag, counts: decide::give_back(&counts, &places, view.now()) };
                    let counts_anything = !counter.counts.tallies.is_empty();
                    view.put(subject.id, counts_anything.then_some(&counter), Durability::Lazy);
                }
                Ok::<_, Refusal>(())
            };
            drop(self.shards.router().decide_unbounded(subject, give_back));
        }
    }
}

/// A charge without its value.
#[derive(Clone)]
struct Count {
    subject: Subject,
    tag: u64,
    limit: Sid,
    rules: Arc<[BucketRule]>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// Only see whether a bucket is full.
    Look,
    Take,
}

/// Counts a request under one value, if every bucket lets it pass.
struct CountCommand {
    count: Count,
    purpose: Purpose,
    capacity: Arc<Capacity>,
    reply: oneshot::Sender<Result<Vec<Counted>, LimitRefusal>>,
}

impl CountCommand {
    fn verdict(&self, view: &mut Transaction<'_>) -> (Option<Counter>, RateDecision) {
        let present = view.get::<Counter>(self.count.subject.id);
        let nothing = ValueCounts::default();
        let counts = present.as_ref().map_or(&nothing, |counter| &counter.counts);
        let verdict = decide::take(counts, &self.count.rules, view.now());
        (present, verdict)
    }
}

impl Command for CountCommand {
    /// The place of a new record is held until the record is in its table.
    type Made = (Result<Vec<Counted>, LimitRefusal>, Option<Reservation>);

    fn subject(&self) -> Subject {
        self.count.subject
    }

    fn changes_nothing(&self, view: &mut Transaction<'_>) -> bool {
        self.purpose == Purpose::Look || matches!(self.verdict(view).1, RateDecision::Refused { .. })
    }

    fn decide(&self, view: &mut Transaction<'_>) -> Decided<Self::Made> {
        let Count { subject, tag, limit, .. } = self.count;
        let (present, verdict) = self.verdict(view);
        let (counts, places) = match verdict {
            RateDecision::Refused { until } => {
                return Decided::Made((Err(LimitRefusal::Reached { limit, until }), None));
            }
            RateDecision::Granted { .. } if self.purpose == Purpose::Look => {
                return Decided::Made((Ok(Vec::new()), None));
            }
            RateDecision::Granted { counts, places } => (counts, places),
        };
        let mut reserved = None;
        if present.is_none() {
            match self.capacity.reserve(service_of(&subject.id)) {
                Ok(reservation) => reserved = Some(reservation),
                Err(full) => return Decided::Full(full),
            }
        }
        let known = present.map_or(tag, |counter| counter.tag);
        if known != tag {
            tracing::debug!("rate limit values with equal digests counted together");
        }
        view.put(subject.id, Some(&Counter { tag: known, counts }), Durability::Durable);
        Decided::Made((Ok(places), reserved))
    }

    fn perform(self, (counted, _reserved): Self::Made, _: &mut After<'_>) {
        // If the caller is gone, it stays counted.
        let _ = self.reply.send(counted);
    }

    fn refuse(self, refusal: Refusal) {
        let _ = self.reply.send(Err(refusal.into()));
    }
}
