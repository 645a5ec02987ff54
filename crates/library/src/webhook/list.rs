//! Lists of deliveries, and deliveries that are made due again.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

use std::ops::ControlFlow::{Break, Continue};

use sha2::{Digest as _, Sha256};

use super::queues::{Endpoint, WebhookLoad};
use super::record::{Delivery, DeliveryState, EventRecord, Seq};
use super::{Event, EventId, EventType, Outbox, Post, Posted};
use super::{dispatch, request};
use crate::domain::{ServiceId, Sid, Timestamp};
use crate::registry::{Service, Webhook};
use crate::shard::{LogPart, LogRange, RecordKey, Refusal};

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
    /// The most deliveries of the service that are read; `None` for all.
    pub read: Option<usize>,
}

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
    /// Deliveries to a webhook, the newest event first. Empty for an unknown webhook.
    pub async fn deliveries(
        &self,
        service: ServiceId,
        webhook: Sid,
        query: &DeliveryQuery,
    ) -> Result<LogPart<Delivery>, Refusal> {
        let DeliveryQuery { state, kind, after, before, skip, limit, read } = *query;
        let is_wanted = |delivery: &Delivery| {
            delivery.webhook == webhook
                && state.is_none_or(|state| state == delivery.state)
                && kind.is_none_or(|kind| kind == delivery.event.kind)
        };
        let fits = |record: &EventRecord| record.delivery().is_some_and(is_wanted);
        let (since, read) = (after.unwrap_or(Timestamp::EPOCH), read.unwrap_or(usize::MAX));
        let range = LogRange { since, until: before, fits, skip, limit, read };
        let found = self.inner.log.list(Some(&[service]), range).await?;
        Ok(found.filter_map(|record| record.into_delivery().map(|delivery| *delivery)))
    }

    /// The deliveries, to any webhook, for which `fits` returns `true`, the newest event first.
    pub async fn deliveries_that(
        &self,
        fits: impl Fn(&Delivery) -> bool,
        limit: usize,
    ) -> Result<Vec<Delivery>, Refusal> {
        let fits = |record: &EventRecord| record.delivery().is_some_and(&fits);
        let (since, read) = (Timestamp::EPOCH, usize::MAX);
        let range = LogRange { since, until: None, fits, skip: 0, limit, read };
        let found = self.inner.log.list(None, range).await?;
        Ok(found.filter_map(|record| record.into_delivery().map(|delivery| *delivery)).records)
    }

    /// What was or will be posted of an event.
    pub fn payload(&self, service: Sid, event: &Event) -> String {
        let body = request::body(self.inner.registry.account_sid(), service, event);
        String::from_utf8_lossy(&body).into_owned()
    }

    /// Posts a test to a webhook once, and says how it was answered. No log has it.
    pub async fn test(&self, service: &Service, webhook: &Webhook) -> Posted {
        let (inner, now) = (&self.inner, self.inner.clock().wall());
        let body = request::test_body(inner.registry.account_sid(), service.sid, now);
        let digest: [u8; 32] = Sha256::digest(format!("test {} {}", webhook.sid, now.as_millis())).into();
        let id = EventId::new(std::array::from_fn(|at| digest[at]));
        let headers = request::headers(&webhook.secret, id, now, &body);
        inner.post(Post { url: webhook.url.clone(), headers, body }).await
    }

    /// The number of webhooks that fail.
    pub fn failing(&self) -> usize {
        self.inner.queues.failing()
    }

    /// What is under way to a webhook, and how it answers.
    pub fn load(&self, service: ServiceId, webhook: Sid) -> WebhookLoad {
        self.inner.queues.load(Endpoint { service, webhook })
    }

    /// Makes deliveries due again, with the same ids, from the first attempt on. Returns how many; they are durable. Those
    /// of one verification go in the order of its events.
    pub async fn replay(&self, service: ServiceId, webhook: Sid, what: Replay) -> Result<usize, ReplayError> {
        let inner = &self.inner;
        let mut wanted: Vec<Seq> = Vec::new();
        let find = |records: Vec<(RecordKey, EventRecord)>, latest_to_come: Timestamp| {
            let is_wanted = |delivery: &Delivery| delivery.webhook == webhook && what.wants(delivery);
            let found = records.iter().filter(|(_, record)| record.delivery().is_some_and(is_wanted));
            wanted.extend(found.filter_map(|(key, _)| Seq::of(&key.id)));
            match what {
                Replay::Event(_) if !wanted.is_empty() => Break(()),
                Replay::FailedSince(since) | Replay::AllSince(since) if latest_to_come < since => Break(()),
                _ => Continue(()),
            }
        };
        inner.log.for_each_page(Some(&[service]), None, find).await?;
        wanted.sort_unstable();
        if wanted.is_empty() && matches!(what, Replay::Event(_)) {
            return Err(ReplayError::NotFound);
        }
        let mut count = 0;
        let mut rest = wanted.as_slice();
        while !rest.is_empty() {
            let room = inner.queues.room(service, webhook, 0).min(REPLAYED_AT_ONCE).min(rest.len());
            if room == 0 {
                return Err(ReplayError::NoRoom(count));
            }
            let (part, later) = rest.split_at(room);
            rest = later;
            let replay = |seq: &Seq| {
                let id = seq.key(service).id;
                inner.change(id, move |_, view| dispatch::replay(id, view))
            };
            for is_due in futures_util::future::join_all(part.iter().map(replay)).await {
                count += usize::from(is_due?);
            }
        }
        Ok(count)
    }
}

impl Replay {
    fn wants(&self, delivery: &Delivery) -> bool {
        let (at, state) = (delivery.event.at, delivery.state);
        match *self {
            Self::Event(id) => delivery.id == id,
            Self::FailedSince(since) => state == DeliveryState::Failed && at >= since,
            Self::AllSince(since) => state != DeliveryState::Pending && at >= since,
        }
    }
}
