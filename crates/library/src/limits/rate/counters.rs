//! Rate limit counters: their record, the handle, and how a request is decided.

use std::sync::Arc;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::decide::{self, BucketRule, Counted, ValueCounts};
use super::digest::Digester;
use crate::domain::{ServerKey, ServiceId, Sid, Timestamp};
use crate::shard::{
    Capacity, LimitedTable, Record, RecordKey, Refusal, Shards, Subject, Transaction, service_of,
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

/// Why a request does not pass. It is not counted, except perhaps after a [`Refusal::OutcomeUnknown`].
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
    /// Over shards that keep [`Counter`]s. At most `queue` requests wait for a decision or a commit.
    pub fn new(shards: &Shards, server_key: &ServerKey, records: usize, queue: usize) -> Self {
        Self {
            shards: shards.clone(),
            digester: Arc::new(Digester::new(server_key)),
            capacity: Capacity::following::<Counter>(shards, LimitedTable::Counters, records),
            queue: Arc::new(Semaphore::new(queue.clamp(1, Semaphore::MAX_PERMITS))),
        }
    }

    /// The limit on counters.
    pub fn capacity(&self) -> &Capacity {
        &self.capacity
    }

    /// Counts a request under every charge, or under none. The answer comes when the counts are durable. The same limit with
    /// the same value twice counts once.
    ///
    /// The counters can be in several shards. Each decides once, and those that counted are given back if another one
    /// refuses. Meanwhile another request may find them full.
    pub async fn take(&self, charges: Vec<Charge>) -> Result<Charged, LimitRefusal> {
        if charges.len() > MOST_CHARGES {
            return Err(LimitRefusal::TooManyCharges);
        }
        if charges.iter().any(|charge| charge.value.chars().count() > LONGEST_VALUE) {
            return Err(LimitRefusal::ValueTooLong);
        }
        let count = |Charge { service, limit, value, buckets }: Charge| {
            let (subject, tag) = self.digester.counter(service, &limit, &value);
            Count { subject, tag, limit, buckets }
        };
        let limited = charges.into_iter().filter(|charge| !charge.buckets.is_empty());
        let mut counts: Vec<Count> = limited.map(count).collect();
        counts.sort_by_key(|count| count.subject.id);
        counts.dedup_by_key(|count| count.subject);
        let _permit = self.queue.try_acquire().map_err(|_| Refusal::Overloaded)?;
        // A lone counter refuses without a commit: only of several would some be written and given back.
        if counts.len() > 1 {
            self.find_full(&counts).await?;
        }
        let asked = counts.into_iter().map(|count| self.ask(count));
        let (taken, refused): (Vec<_>, Vec<_>) = join_all(asked).await.into_iter().partition(Result::is_ok);
        let taken = Charged(taken.into_iter().flatten().collect());
        match longest(refused.into_iter().filter_map(Result::err)) {
            None => Ok(taken),
            Some(refusal) => {
                self.give_back(taken);
                Err(refusal)
            }
        }
    }

    /// Refuses before anything is written if a bucket is full already, so that a flood of refusals costs no commit.
    async fn find_full(&self, counts: &[Count]) -> Result<(), LimitRefusal> {
        let now = self.shards.clock().now();
        let key = |Subject { slot, id }: Subject| RecordKey { slot, kind: Counter::KIND, id };
        let found = self.shards.router().get_each(counts.iter().map(|count| key(count.subject))).await?;
        let full = counts.iter().filter_map(|count| {
            let stored = found.iter().find(|(found, _)| *found == key(count.subject));
            count.decide(stored.and_then(|(_, stored)| stored.record()).as_ref(), now).err()
        });
        longest(full).map_or(Ok(()), Err)
    }

    async fn ask(&self, count: Count) -> CountResult {
        let (subject, capacity) = (count.subject, Arc::clone(&self.capacity));
        let decided = self.shards.router().decide_unbounded(subject, move |view| {
            let present = view.get(subject.id);
            let (counter, places) = count.decide(present.as_ref(), view.now())?;
            if present.is_none() {
                capacity.make_room::<Counter>(service_of(&subject.id), view)?;
            }
            view.put(subject.id, Some(&counter));
            Ok((subject, places))
        });
        decided.await.unwrap_or(Err(LimitRefusal::Refused(Refusal::OutcomeUnknown)))
    }

    /// Removes a request that had no effect from its counters, as far as it is still counted. Returns at once. The request
    /// stays counted when the store fails.
    pub fn give_back(&self, taken: Charged) {
        for (subject, places) in taken.0 {
            let give_back = move |view: &mut Transaction<'_>| {
                if let Some(Counter { tag, counts }) = view.get(subject.id) {
                    let counter = Counter { tag, counts: decide::give_back(&counts, &places, view.now()) };
                    let counts_anything = !counter.counts.tallies.is_empty();
                    view.put(subject.id, counts_anything.then_some(&counter));
                }
                Ok::<_, Refusal>(())
            };
            drop(self.shards.router().decide_unbounded(subject, give_back));
        }
    }
}

/// Where a request was counted under one value.
type CountResult = Result<(Subject, Vec<Counted>), LimitRefusal>;

/// The refusal that lasts longest, or that the outcome of a count is unknown.
fn longest(refusals: impl Iterator<Item = LimitRefusal>) -> Option<LimitRefusal> {
    refusals.max_by_key(|refusal| match refusal {
        LimitRefusal::Reached { until, .. } => (false, *until),
        refusal => (*refusal == LimitRefusal::Refused(Refusal::OutcomeUnknown), Timestamp::MAX),
    })
}

/// A value that a request is to be counted under.
struct Count {
    subject: Subject,
    tag: u64,
    limit: Sid,
    buckets: Vec<BucketRule>,
}

impl Count {
    /// The counter with the request, and where it is counted.
    fn decide(
        &self,
        present: Option<&Counter>,
        now: Timestamp,
    ) -> Result<(Counter, Vec<Counted>), LimitRefusal> {
        let nothing = ValueCounts::default();
        let (tag, counts) = present.map_or((self.tag, &nothing), |Counter { tag, counts }| (*tag, counts));
        match decide::take(counts, &self.buckets, now) {
            Ok((counts, places)) => Ok((Counter { tag, counts }, places)),
            Err(until) => Err(LimitRefusal::Reached { limit: self.limit, until }),
        }
    }
}
