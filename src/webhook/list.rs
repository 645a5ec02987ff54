//! What became of deliveries, for lists.

use std::ops::Bound;

use super::delivery::{Delivery, DeliveryState, LaneKey};
use super::record::{self, Kept};
use super::seq::Seq;
use super::state::{Ended, State, What};
use super::{EventType, Inner, Outbox, flush};
use crate::domain::{ServiceId, Sid, Timestamp};
use crate::store::{Key, StoreError};

/// Which deliveries are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeliveryQuery {
    /// That are so far.
    pub state: Option<DeliveryState>,
    /// Of this kind of event.
    pub kind: Option<EventType>,
    /// Of events at or after this moment.
    pub after: Option<Timestamp>,
    /// Of events before this moment.
    pub before: Option<Timestamp>,
    /// Leave out so many.
    pub skip: usize,
    /// At most so many; no more than 1,000.
    pub limit: usize,
}

/// The most that is listed at once.
const PAGE_MAX: usize = 1_000;

/// What is looked at without a pause for others.
const PART: usize = 4_096;

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryPage {
    /// The newest event first.
    pub deliveries: Vec<Delivery>,
    /// Whether there are more behind them.
    pub has_more: bool,
}

/// A delivery in memory, or where it is to be read.
pub(super) enum Place {
    Here(Box<Delivery>),
    There(Key),
}

impl Outbox {
    /// Deliveries to a webhook, the newest event first. Nothing for a webhook that is not known.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn deliveries(
        &self,
        service: ServiceId,
        webhook: Sid,
        query: &DeliveryQuery,
    ) -> Result<DeliveryPage, StoreError> {
        let limit = query.limit.min(PAGE_MAX);
        let mut wanted = self.inner.wanted(LaneKey { service, webhook }, |seen| query.wants(seen));
        let found: Vec<Seq> = wanted.by_ref().skip(query.skip).take(limit).map(|(seq, _)| seq).collect();
        let has_more = found.len() == limit && wanted.next().is_some();
        let places = {
            let state = self.inner.state();
            found.into_iter().filter_map(|seq| state.place(seq)).collect()
        };
        Ok(DeliveryPage { deliveries: self.inner.read(places).await?, has_more })
    }
}

impl State {
    /// Deliveries to a webhook, the newest event first, from below `below` on.
    fn part(&self, lane: LaneKey, below: Option<Seq>) -> Vec<(Seq, Ended)> {
        let Some(of_lane) = self.by_lane.get(&lane) else { return Vec::new() };
        let end = below.map_or(Bound::Unbounded, Bound::Excluded);
        let newest = of_lane.range((Bound::Unbounded, end)).rev().take(PART);
        newest.filter_map(|seq| Some((*seq, self.seen(*seq)?))).collect()
    }

    /// What is known of a delivery without reading it.
    pub(super) fn seen(&self, seq: Seq) -> Option<Ended> {
        match &self.records.get(&seq)?.what {
            What::Delivery(delivery) => Some(Ended::of(delivery)),
            What::Ended(ended) => Some(*ended),
            What::Expected(_) | What::Removed => None,
        }
    }

    pub(super) fn place(&self, seq: Seq) -> Option<Place> {
        let entry = self.records.get(&seq)?;
        match &entry.what {
            What::Delivery(delivery) => Some(Place::Here(delivery.clone())),
            What::Ended(_) => Some(Place::There(flush::key_of(entry, seq))),
            What::Expected(_) | What::Removed => None,
        }
    }
}

impl DeliveryQuery {
    fn wants(&self, seen: &Ended) -> bool {
        self.state.is_none_or(|state| state == seen.state)
            && self.kind.is_none_or(|kind| kind == seen.kind)
            && self.after.is_none_or(|after| seen.at >= after)
            && self.before.is_none_or(|before| seen.at < before)
    }
}

impl Inner {
    /// Those of a webhook's deliveries that are wanted, the newest event first. Whoever emits an event waits for a part
    /// of the list at most.
    pub(super) fn wanted(
        &self,
        lane: LaneKey,
        wants: impl Fn(&Ended) -> bool,
    ) -> impl Iterator<Item = (Seq, Ended)> {
        let first = self.state().part(lane, None);
        let parts = std::iter::successors(Some(first), move |part| {
            let (last, _) = part.last()?;
            Some(self.state().part(lane, Some(*last)))
        });
        parts.take_while(|part| !part.is_empty()).flatten().filter(move |(_, seen)| wants(seen))
    }

    /// Brings deliveries from where they are, in their order. What was forgotten meanwhile is left out.
    pub(super) async fn read(&self, places: Vec<Place>) -> Result<Vec<Delivery>, StoreError> {
        let there = |place: &Place| match place {
            Place::Here(_) => None,
            Place::There(key) => Some(*key),
        };
        let keys: Vec<Key> = places.iter().filter_map(there).collect();
        let mut loaded =
            if keys.is_empty() { Vec::new() } else { self.store.load(&keys, self.commit_timeout).await? }
                .into_iter();
        let brought = places.into_iter().filter_map(|place| match place {
            Place::Here(delivery) => Some(*delivery),
            Place::There(key) => {
                let (_, bytes) = loaded.next()??;
                let kept = record::decode(key.service, &bytes);
                let kept =
                    kept.inspect_err(|error| tracing::error!(%error, "a delivery is left out of a list"));
                match kept.ok()? {
                    Kept::Delivery(delivery) => Some(*delivery),
                    Kept::Expected(_) => None,
                }
            }
        });
        Ok(brought.collect())
    }
}
