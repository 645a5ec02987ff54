//! Lists of deliveries, and deliveries that are made due again.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

use std::ops::ControlFlow::{Break, Continue};
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;

use super::Outbox;
use super::record::{Delivery, DeliveryState, EventId, EventRecord, KEPT_FOR};
use super::request::{Posted, post};
use crate::domain::{ServiceId, Sid, Timestamp};
use crate::registry::{Service, Webhook};
use crate::shard::{Id, LogPart, LogRange, RecordKey, Refusal};

const REPLAYED_AT_ONCE: usize = 256;

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
    /// The deliveries, to any webhook, for which `fits` returns `true`, the newest event first.
    pub async fn deliveries_that(
        &self,
        fits: impl Fn(&Delivery) -> bool,
        limit: usize,
    ) -> Result<Vec<Delivery>, Refusal> {
        let (since, read) = (Timestamp::EPOCH, usize::MAX);
        let range = LogRange { since, until: None, fits, skip: 0, limit, read };
        Ok(self.list(None, range).await?.records)
    }

    /// The deliveries in a range by the moments of their events, the newest first; only of `services`, if they are given.
    /// Verifications are what is read.
    pub async fn list(
        &self,
        services: Option<&[ServiceId]>,
        range: LogRange<impl Fn(&Delivery) -> bool>,
    ) -> Result<LogPart<Delivery>, Refusal> {
        let parts = |key: &RecordKey, record: EventRecord| {
            let deliveries = record.deliveries.into_iter().enumerate();
            deliveries.map(|(place, delivery)| (delivery.event.at, (*key, place), delivery)).collect()
        };
        self.log.list_parts(services, range, KEPT_FOR, parts).await
    }

    /// Posts a test to a webhook once, and says how it was answered. No log has it.
    pub async fn test(&self, service: &Service, webhook: &Webhook) -> Posted {
        let now = self.shards.clock().wall();
        let account_sid = self.registry.account_sid();
        let data = json!({ "account_sid": account_sid, "service_sid": service.sid, "status": "test" });
        let body = json!({ "type": "webhook.test", "timestamp": now, "data": data }).to_string();
        let id = u128::from_be_bytes(*webhook.sid.bytes()) ^ u128::from(now.as_millis());
        (self.transport)(post(webhook, EventId(id.to_be_bytes()).to_string(), now, body)).await
    }

    /// Makes deliveries due again, with the same ids, from the first attempt on, behind those of their verification that are
    /// pending. Returns how many; they are durable.
    pub async fn replay(
        self: &Arc<Self>,
        service: ServiceId,
        webhook: Sid,
        what: Replay,
    ) -> Result<usize, ReplayError> {
        let is_wanted = move |delivery: &Delivery| delivery.webhook == webhook && what.wants(delivery);
        let is_added = |of: &&Delivery| of.state != DeliveryState::Pending && is_wanted(of);
        let mut wanted = Vec::new();
        let find = |records: Vec<(RecordKey, EventRecord)>, latest_to_come: Timestamp| {
            let found = records.iter().filter(|(_, record)| record.deliveries.iter().any(is_wanted));
            wanted.extend(found.map(|(key, of)| (key.id, of.deliveries.iter().filter(is_added).count())));
            let is_all = match what {
                Replay::Event(_) => !wanted.is_empty(),
                Replay::FailedSince(since) | Replay::AllSince(since) => latest_to_come < since,
            };
            if is_all { Break(()) } else { Continue(()) }
        };
        self.log.for_each_page(Some(&[service]), None, find).await?;
        if wanted.is_empty() && matches!(what, Replay::Event(_)) {
            return Err(ReplayError::NotFound);
        }
        let mut room = self.room((service, webhook)).min(self.places_of(service));
        let fits = |(_, added): &&(Id, usize)| room.checked_sub(*added).map(|left| room = left).is_some();
        let fitting: Vec<Id> = wanted.iter().take_while(fits).map(|(id, _)| *id).collect();
        let is_cut = fitting.len() < wanted.len();
        let replay = |id| {
            self.change(id, move |_, view| {
                let Some(mut record) = view.get::<EventRecord>(id) else { return 0 };
                let count = record.replay(is_wanted, view.now());
                view.put(id, Some(&record));
                count
            })
        };
        let replayed = stream::iter(fitting).map(replay).buffer_unordered(REPLAYED_AT_ONCE);
        let count = replayed.try_collect::<Vec<usize>>().await?.into_iter().sum();
        if is_cut { Err(ReplayError::NoRoom(count)) } else { Ok(count) }
    }
}

impl Replay {
    fn wants(&self, delivery: &Delivery) -> bool {
        let (at, state) = (delivery.event.at, delivery.state);
        match *self {
            Self::Event(id) => delivery.event.id == id,
            Self::FailedSince(since) => state == DeliveryState::Failed && at >= since,
            Self::AllSince(since) => state != DeliveryState::Pending && at >= since,
        }
    }
}
