//! Lists of deliveries, and deliveries that are made due again.

use std::collections::HashMap;

use super::command::{WebhookOutcome, WebhookRequest};
use super::queues::Endpoint;
use super::record::{Delivery, DeliveryState, EventRecord, Seq};
use super::schedule::Entry;
use super::{EventId, EventType, Inner, Outbox};
use crate::domain::{ServiceId, Sid, Timestamp};
use crate::shard::{RecordKey, Refusal, Stored, decode};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeliveryQuery {
    pub state: Option<DeliveryState>,
    pub kind: Option<EventType>,
    /// At or after this moment.
    pub after: Option<Timestamp>,
    /// Before this moment.
    pub before: Option<Timestamp>,
    pub skip: usize,
    pub limit: usize,
}

const PAGE_MAX: usize = 1_000;

/// Entries that are looked at under one lock.
const PART: usize = 4_096;

const REPLAYED_AT_ONCE: usize = 256;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryPage {
    pub deliveries: Vec<Delivery>,
    pub has_more: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    /// This event. If it is still pending, it is tried now.
    Event(EventId),
    /// Every event at or after a moment whose delivery has failed.
    FailedSince(Timestamp),
    /// Every event at or after a moment whose delivery has ended.
    AllSince(Timestamp),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    #[error("this webhook has no such event, or it is older than what is kept")]
    NotFound,
    /// With the number of deliveries that are due again.
    #[error("too many deliveries are pending already; {0} of these are delivered again")]
    NoRoom(usize),
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Outbox {
    /// Deliveries to a webhook, the newest event first. Empty for an unknown webhook.
    pub async fn deliveries(
        &self,
        service: ServiceId,
        webhook: Sid,
        query: &DeliveryQuery,
    ) -> Result<DeliveryPage, Refusal> {
        let _turn = self.inner.shards.router().page_turn().await;
        let limit = query.limit.min(PAGE_MAX);
        let mut wanted = self.inner.wanted(Endpoint { service, webhook }, |entry| query.wants(entry));
        let found: Vec<Seq> = wanted.by_ref().skip(query.skip).take(limit).collect();
        let has_more = found.len() == limit && wanted.next().is_some();
        let mut read = self.inner.read_each(service, &found).await?;
        // Records that expired meanwhile are left out.
        let deliveries = found.iter().filter_map(|seq| read.remove(seq)).collect();
        Ok(DeliveryPage { deliveries, has_more })
    }

    /// The number of events that a webhook did not get, and when the last one was dropped.
    pub fn dropped(&self, service: ServiceId, webhook: Sid) -> (u64, Option<Timestamp>) {
        self.inner.schedule.dropped(Endpoint { service, webhook })
    }

    /// Makes deliveries due again, with the same ids, from the first attempt on. Returns how many; they are durable. Those
    /// of one verification go in the order of its events.
    pub async fn replay(&self, service: ServiceId, webhook: Sid, what: Replay) -> Result<usize, ReplayError> {
        let inner = &self.inner;
        let turn = inner.shards.router().page_turn().await;
        let wanted = inner.wanted(Endpoint { service, webhook }, |entry| what.wants(entry));
        let mut wanted: Vec<Seq> = wanted.collect();
        drop(turn);
        wanted.reverse();
        if wanted.is_empty() && matches!(what, Replay::Event(_)) {
            return Err(ReplayError::NotFound);
        }
        let mut count = 0;
        let mut rest = wanted.as_slice();
        while !rest.is_empty() {
            let room = inner.schedule.room(service, webhook, 0).min(REPLAYED_AT_ONCE).min(rest.len());
            if room == 0 {
                return Err(ReplayError::NoRoom(count));
            }
            let (part, later) = rest.split_at(room);
            rest = later;
            // One that is under way is tried now anyway.
            let (trying, others): (Vec<Seq>, Vec<Seq>) =
                part.iter().partition(|seq| inner.schedule.is_under_way(**seq));
            count += trying.len();
            let asked = others.into_iter().map(|seq| inner.ask(seq.key(service).id, WebhookRequest::Replay));
            for outcome in futures_util::future::join_all(asked).await {
                count += usize::from(outcome? == WebhookOutcome::Done);
            }
        }
        Ok(count)
    }
}

impl DeliveryQuery {
    fn wants(&self, entry: &Entry) -> bool {
        self.state.is_none_or(|state| state == entry.state)
            && self.kind.is_none_or(|kind| kind == entry.kind)
            && self.after.is_none_or(|after| entry.at >= after)
            && self.before.is_none_or(|before| entry.at < before)
    }
}

impl Replay {
    fn wants(&self, entry: &Entry) -> bool {
        let has_ended = entry.state != DeliveryState::Pending;
        match *self {
            Self::Event(id) => entry.id == id,
            Self::FailedSince(since) => entry.state == DeliveryState::Failed && entry.at >= since,
            Self::AllSince(since) => has_ended && entry.at >= since,
        }
    }
}

impl Inner {
    /// The deliveries of a webhook that `wants` selects, the newest first.
    fn wanted(&self, endpoint: Endpoint, wants: impl Fn(&Entry) -> bool) -> impl Iterator<Item = Seq> {
        let now = self.clock().now();
        let first = self.schedule.deliveries(endpoint, None, PART, now);
        let parts = std::iter::successors(Some(first), move |part: &Vec<(Seq, Entry)>| {
            let (last, _) = part.last()?;
            Some(self.schedule.deliveries(endpoint, Some(*last), PART, now))
        });
        let entries = parts.take_while(|part| !part.is_empty()).flatten();
        entries.filter(move |(_, entry)| wants(entry)).map(|(seq, _)| seq)
    }

    async fn read_each(&self, service: ServiceId, seqs: &[Seq]) -> Result<HashMap<Seq, Delivery>, Refusal> {
        let keys = seqs.iter().map(|seq| seq.key(service));
        let found = self.shards.router().get_each(keys).await?;
        let delivery = |(key, stored): (RecordKey, Stored)| match decode(&stored.bytes) {
            Ok(EventRecord::Delivery(delivery)) => Some((Seq::of(&key.id)?, *delivery)),
            Ok(EventRecord::Expected(_) | EventRecord::Dropped(_)) | Err(_) => None,
        };
        Ok(found.into_iter().filter_map(delivery).collect())
    }
}
