//! Counters over time: sends, verifications and estimated cost by service, country, channel and gateway, in buckets of an
//! hour and a day.
//!
//! [`History`] receives the facts that [`crate::observe::metrics`] counts. Every ten seconds it adds them to records of the shards:
//! a crash loses the last ten seconds. No record contains a number.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

mod record;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::ControlFlow::{Break, Continue};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::delivery::Results;
use crate::domain::{Channel, GatewayName, Region, ServerKey, Timestamp};
use crate::engine::SlotHash;
use crate::observe::metrics::Fact;
use crate::shard::{Record, RecordKey, Refusal, Shards, Subject, Transaction};

pub use self::record::{Counts, Delays, Failures, Group, RefusedBy, Resolution, Row, Series};

/// Interval between additions to the records. A crash loses at most this.
const INTERVAL: Duration = Duration::from_secs(10);

/// A message sees what was known of gateways this time before it.
const PUBLISHED_EVERY: Duration = Duration::from_secs(1);

/// Records of all shards. With more the oldest are forgotten.
const MOST_RECORDS: usize = 200_000;

/// Series that wait to be added. Facts of further ones are not counted.
const MOST_PENDING: usize = 65_536;

type Pending = hashbrown::HashMap<Series, Counts>;

pub struct History {
    shards: Shards,
    slots: SlotHash,
    /// What came of messages by each gateway: learns from the same facts.
    pub results: Arc<Results>,
    /// Counts that no record has.
    counted: Mutex<Pending>,
    /// Held while counts are on their way to the records.
    flushing: tokio::sync::Mutex<()>,
}

impl History {
    /// Counts what happens in these shards from now on, and tells it these results, until the last handle
    /// is gone. Needs a tokio runtime.
    pub fn start(shards: &Shards, server_key: &ServerKey, results: Results) -> Arc<Self> {
        shards.keep_newest::<Row>([MOST_RECORDS, 0], Duration::MAX);
        let history = Arc::new(Self {
            shards: shards.clone(),
            slots: SlotHash::new(server_key),
            results: Arc::new(results),
            counted: Mutex::default(),
            flushing: tokio::sync::Mutex::default(),
        });
        let counts = Arc::downgrade(&history);
        shards.metrics().pass_on_to(move |fact| {
            if let Some(history) = counts.upgrade() {
                history.results.learn(fact);
                history.count(fact);
            }
        });
        history.publish();
        let publishes = Arc::downgrade(&history);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(PUBLISHED_EVERY).await;
                let Some(history) = publishes.upgrade() else { return };
                history.publish();
            }
        });
        let adds = Arc::downgrade(&history);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(INTERVAL).await;
                let Some(history) = adds.upgrade() else { return };
                history.flush().await;
            }
        });
        history
    }

    /// From now on decisions see what is known of gateways.
    pub fn publish(&self) {
        self.results.publish(self.shards.clock().now());
    }

    /// The currency of the estimated cost, by its three letters.
    pub fn currency(&self) -> &str {
        &self.results.pricing.currency
    }

    /// The estimated price of a message by a gateway, in millionths of the currency.
    pub fn price(&self, gateway: GatewayName, country: Option<Region>, channel: Channel) -> u64 {
        self.results.pricing.list().of_gateway(Some(gateway), country, channel)
    }

    /// The series of the buckets that start at or after `from` and before `to`, by time. Every fact until now is in them.
    ///
    /// # Errors
    /// [`Refusal::Stopping`] while a shard does not run, [`Refusal::StoreUnavailable`] and [`Refusal::OutcomeUnknown`] if
    /// the store does not confirm what was read.
    pub async fn between(
        &self,
        resolution: Resolution,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<Row>, Refusal> {
        self.flush().await;
        let mut rows = Vec::new();
        let page = |records: Vec<(RecordKey, Row)>, latest_to_come: Timestamp| {
            let is_wanted =
                |row: &Row| row.series.resolution == resolution && (from..to).contains(&row.series.start);
            rows.extend(records.into_iter().map(|(_, row)| row).filter(is_wanted));
            if latest_to_come < from { Break(()) } else { Continue(()) }
        };
        self.shards.newest_first(None, Some(to), page).await?;
        rows.sort_unstable_by_key(|row| row.series);
        Ok(rows)
    }

    /// Counts a fact in its series of this hour and this day.
    fn count(&self, fact: &Fact) {
        let Some((service, group, counts)) = record::counts_of(fact, &self.results.pricing) else { return };
        let now = self.shards.clock().now();
        for resolution in Resolution::ALL {
            let series = Series { resolution, start: resolution.bucket(now), service, group };
            self.keep(Row { series, counts });
        }
    }

    /// Keeps counts until the next flush.
    fn keep(&self, Row { series, counts }: Row) {
        let mut counted = self.counted.lock();
        if counted.len() < MOST_PENDING || counted.contains_key(&series) {
            *counted.entry(series).or_default() += counts;
        }
    }

    /// Adds all facts to the records. A shard that does not run gets its part later.
    pub async fn flush(&self) {
        self.publish();
        // A reader waits for what another flush is adding.
        let _turn = self.flushing.lock().await;
        let counted = std::mem::take(&mut *self.counted.lock());
        let rows = counted.into_iter().map(|(series, counts)| Row { series, counts });
        // Each is on its way before the first is waited for, also if the caller goes away.
        let added: Vec<_> = rows.map(|row| (row, self.add(&row))).collect();
        for (row, added) in added {
            // Without an answer the shard has failed, and the row may be counted.
            if let Ok(Err(_)) = added.await {
                self.keep(row);
            }
        }
    }

    /// Adds counts to the record of their series. After a refusal they are not counted, unless the outcome of a commit is
    /// unknown.
    fn add(&self, row: &Row) -> oneshot::Receiver<Result<(), Refusal>> {
        let (row, id) = (*row, row.series.id());
        let add = move |view: &mut Transaction<'_>| {
            if view.now() < row.expires() {
                let mut counts = view.get::<Row>(id).map(|known| known.counts).unwrap_or_default();
                counts += row.counts;
                view.put(id, Some(&Row { counts, ..row }));
            }
            Ok(())
        };
        self.shards.decide(Subject { slot: self.slots.of(id), id }, add)
    }
}

/// Sums rows by any part of their series.
pub fn totals<K: Ord>(rows: &[Row], by: impl Fn(&Series) -> K) -> BTreeMap<K, Counts> {
    let mut totals = BTreeMap::<K, Counts>::new();
    for Row { series, counts } in rows {
        *totals.entry(by(series)).or_default() += *counts;
    }
    totals
}
