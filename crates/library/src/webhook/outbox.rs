//! The delivery of events. A record that is due in its shard has an event for a webhook: the webhook gets it in its turn,
//! and what came of it is a decision, after which the next event of the verification goes.
//!
//! The outbox keeps nothing durable of its own: it follows the records. A crash repeats at most the posts under way.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

use std::collections::HashMap;
use std::ops::ControlFlow::{Break, Continue};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use rand::Rng as _;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::record::{Delivery, DeliveryState, Event, EventId, EventRecord, KEPT_FOR, WebhookAttempt};
use super::request::{Posted, Transport, post};
use crate::domain::{AttemptLogKey, ServerKey, ServiceId, Sid, Timestamp};
use crate::engine::{Sealer, SlotHash};
use crate::observe::log_limit::OncePerSecond;
use crate::observe::metrics::WebhookEnd;
use crate::registry::{Registry, Service, Webhook, WebhookFields, WebhookStatus};
use crate::shard::{
    Change, Id, LogRange, RecordKey, Refusal, Shards, Stored, Subject, Transaction, service_of,
};

/// Requests that a webhook has in flight at once.
const OF_EACH: usize = 8;

/// Those of all webhooks of a service. Receivers that never answer hold their places for long: those of eight services leave
/// half of all to others.
const OF_SERVICE: usize = 64;

/// Requests that are in flight to all webhooks.
const AT_ONCE: u32 = 1_024;

/// The longest time a stop waits for attempts in progress. Longer attempts are repeated after the next start.
const CLOSING: Duration = Duration::from_secs(3);

/// The wait before a decision that the store has refused is made again.
const RETRY: Duration = Duration::from_secs(1);

/// Limits of the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxBounds {
    /// Deliveries that may be pending; beyond it new events are dropped.
    pub pending: usize,
    /// The same for each webhook: those that a service has, at most 10, take no more than half of the places.
    pub pending_each: usize,
    /// Verifications that are remembered after the end of their deliveries; the oldest are forgotten first.
    pub kept: usize,
}

impl Default for OutboxBounds {
    fn default() -> Self {
        Self { pending: 200_000, pending_each: 10_000, kept: 50_000 }
    }
}

/// Delivers pending events until it is closed or the shards stop.
pub struct Outbox {
    pub(super) shards: Shards,
    pub(super) registry: Registry,
    pub(super) sealer: Sealer,
    pub(super) slots: SlotHash,
    transport: Transport,
    pending: Mutex<Pending>,
    bounds: OutboxBounds,
    /// An attempt holds one of them. Closed when none begins any more.
    places: Semaphore,
    dropped: OncePerSecond,
    failed: OncePerSecond,
}

/// Pending deliveries.
#[derive(Default)]
struct Pending {
    all: usize,
    by_webhook: HashMap<Sid, Line>,
    /// An attempt holds a place of its service.
    places: HashMap<ServiceId, Arc<Semaphore>>,
}

/// The deliveries to one webhook.
#[derive(Default)]
struct Line {
    load: WebhookLoad,
    /// An attempt holds the one of its verification.
    turns: Arc<[tokio::sync::Mutex<()>; OF_EACH]>,
}

impl Pending {
    /// Counts so many more to a webhook. Forgets one to which nothing is pending and for which no attempt waits.
    fn count(&mut self, webhook: Sid, by: isize) {
        let line = self.by_webhook.entry(webhook).or_default();
        self.all = self.all.saturating_add_signed(by);
        line.load.pending = line.load.pending.saturating_add_signed(by);
        if line.load.pending == 0 && Arc::strong_count(&line.turns) == 1 {
            self.by_webhook.remove(&webhook);
        }
    }

    fn places_of(&mut self, service: ServiceId) -> Arc<Semaphore> {
        let places = self.places.entry(service).or_insert_with(|| Arc::new(Semaphore::new(OF_SERVICE)));
        Arc::clone(places)
    }

    /// Forgets the places of a service for which no attempt waits.
    fn tidy(&mut self, service: ServiceId) {
        if self.places.get(&service).is_some_and(|places| Arc::strong_count(places) == 1) {
            self.places.remove(&service);
        }
    }
}

/// The deliveries that a webhook is still to get, and how it answers.
#[derive(Debug, Clone, Default)]
pub struct WebhookLoad {
    pub pending: usize,
    /// Of the last attempt, if it failed.
    pub last_error: Option<(Timestamp, String)>,
}

impl Outbox {
    /// Needs a tokio runtime. `transport` is a [`network_transport`](super::network_transport).
    pub fn start(
        shards: Shards,
        key: &ServerKey,
        registry: Registry,
        transport: Transport,
        bounds: OutboxBounds,
    ) -> Arc<Self> {
        let outbox = Arc::new(Self {
            sealer: Sealer::new(key),
            slots: SlotHash::new(key),
            pending: Mutex::default(),
            places: Semaphore::new(AT_ONCE as usize),
            dropped: OncePerSecond::default(),
            failed: OncePerSecond::default(),
            shards,
            registry,
            transport,
            bounds,
        });
        // The shards, which the outbox keeps alive, must not keep it alive.
        let [counts, offers] = [(); 2].map(|()| Arc::downgrade(&outbox));
        outbox.shards.follow::<EventRecord>(move |changes| {
            let Some(outbox) = counts.upgrade() else { return };
            let mut pending = outbox.pending.lock();
            for (stored, by) in changes.flat_map(|Change { before, after, .. }| [(after, 1), (before, -1)]) {
                let record: Option<EventRecord> = stored.as_ref().and_then(Stored::record);
                record.iter().flat_map(EventRecord::pending).for_each(|of| pending.count(of.webhook, by));
            }
        });
        outbox.shards.keep_newest::<EventRecord>([outbox.bounds.kept, usize::MAX], Duration::MAX);
        let offer = move |key: RecordKey| drop(tokio::spawn(Self::offer(Weak::clone(&offers), key.id)));
        outbox.shards.on_due::<EventRecord>(offer);
        outbox
    }

    /// Deliveries that are still to be made.
    pub fn backlog(&self) -> usize {
        self.pending.lock().all
    }

    /// Whether one more delivery to a webhook may be pending.
    pub(super) fn has_room(&self, webhook: Sid) -> bool {
        let Pending { all, by_webhook, .. } = &*self.pending.lock();
        let each = by_webhook.get(&webhook).map_or(0, |line| line.load.pending);
        *all < self.bounds.pending && each < self.bounds.pending_each
    }

    pub fn load(&self, webhook: Sid) -> WebhookLoad {
        self.pending.lock().by_webhook.get(&webhook).map(|line| line.load.clone()).unwrap_or_default()
    }

    /// Counts an event that a webhook does not get.
    pub(super) fn drop_event(&self, service: &Service) {
        self.shards.metrics().webhook(WebhookEnd::Dropped);
        let service = service.name();
        self.dropped.note(move |count| {
            tracing::warn!(service, count, "webhook events dropped; too many are pending");
        });
    }

    /// Begins no attempt any more, and waits up to 3 s for those that are under way.
    pub async fn close(&self) {
        let _ = timeout(CLOSING, self.places.acquire_many(AT_ONCE)).await;
        self.places.close();
    }

    /// Decides a change in the slot of the record with this id, again until it is durable; `None` after a stop.
    pub(super) async fn change<T: Send + 'static>(
        self: &Arc<Self>,
        id: Id,
        change: impl Fn(&Self, &mut Transaction<'_>) -> T + Clone + Send + 'static,
    ) -> Option<T> {
        let subject = Subject { slot: AttemptLogKey::from_id(id).slot(), id };
        loop {
            let (outbox, change) = (Arc::clone(self), change.clone());
            let made = self.shards.decide(subject, move |view| Ok(change(&outbox, view))).await.ok();
            if matches!(made, Some(Ok(_) | Err(Refusal::Stopping | Refusal::TooLarge)))
                || self.places.is_closed()
            {
                return made?.ok();
            }
            sleep(RETRY).await;
        }
    }

    /// Records the end of a verification, if that is due. Returns its deliveries that are due.
    async fn expire_and_next(self: &Arc<Self>, id: Id) -> Option<Vec<Delivery>> {
        let read = move |outbox: &Self, view: &mut Transaction<'_>| {
            outbox.expire(id, view);
            let (record, now) = (view.get::<EventRecord>(id), view.now());
            let next = record.iter().flat_map(|record| record.next().filter_map(|next| record.whole(next)));
            next.filter(|delivery| delivery.due <= now).collect()
        };
        self.change(id, read).await
    }

    /// Offers what is due of a verification to the webhooks. After each attempt the shard hands over what is due then.
    async fn offer(outbox: Weak<Self>, id: Id) -> Option<()> {
        let outbox = outbox.upgrade()?;
        for Delivery { webhook, .. } in outbox.expire_and_next(id).await? {
            tokio::spawn(Arc::clone(&outbox).take_turn(webhook, id));
        }
        Some(())
    }

    /// Makes an attempt when it is a verification's turn with a webhook; `None` after a stop, or if nothing is pending for
    /// it. Many may wait: this takes little memory until then.
    async fn take_turn(self: Arc<Self>, webhook: Sid, id: Id) -> Option<()> {
        let service = service_of(&id);
        let (turns, of_service) = {
            let pending = &mut *self.pending.lock();
            let turns = Arc::clone(&pending.by_webhook.get(&webhook)?.turns);
            (turns, pending.places_of(service))
        };
        let turn = id.iter().map(|byte| usize::from(*byte)).sum::<usize>() % OF_EACH;
        {
            let _turn = turns[turn].lock().await;
            let _places = (of_service.acquire().await.ok()?, self.places.acquire().await.ok()?);
            Box::pin(self.attempt(webhook, id)).await;
        }
        drop((turns, of_service));
        // It may have been the last one.
        let mut pending = self.pending.lock();
        pending.count(webhook, 0);
        pending.tidy(service);
        Some(())
    }

    /// Posts the next event of a verification to a webhook, and records what came of it. `None` after a stop, or if none is
    /// due.
    async fn attempt(self: &Arc<Self>, webhook: Sid, id: Id) -> Option<()> {
        let due = self.expire_and_next(id).await?;
        let Delivery { event, .. } = due.into_iter().find(|of| of.webhook == webhook)?;
        let at = self.shards.clock().now();
        let posted = self.post(&event, webhook).await;
        let (event_id, event_at, result) = (event.id, event.at, posted.clone());
        let conclude = move |_: &Self, view: &mut Transaction<'_>| {
            let mut record = view.get::<EventRecord>(id)?;
            let is_it = |of: &&mut Delivery<EventId>| {
                (of.event, of.webhook, of.state) == (event_id, webhook, DeliveryState::Pending)
            };
            let (now, random) = (view.now(), view.rng().next_u32());
            let made = result.clone().map(|posted| WebhookAttempt { at, took: now.since(at), posted });
            let end = record.deliveries.iter_mut().find(is_it)?.conclude(made, event_at, now, random);
            view.put(id, Some(&record));
            Some(end)
        };
        let end = self.change(id, conclude).await??;
        self.concluded(&event, webhook, posted, end).await;
        Some(())
    }

    /// Posts an event; `None` if the webhook is disabled or deleted.
    async fn post(&self, event: &Event, webhook: Sid) -> Option<Posted> {
        let service = self.registry.service_by_id(event.service)?;
        let webhook = service.webhook(&webhook).ok().filter(|of| of.status == WebhookStatus::Enabled)?;
        Some(self.ask(webhook, event.id, event.body.clone()).await)
    }

    async fn ask(&self, webhook: &Webhook, event: EventId, body: String) -> Posted {
        // Receivers compare the time of the signature with their clocks: that of decisions may be ahead of the wall clock.
        match post(webhook, event.to_string(), self.shards.clock().wall(), body) {
            // In a task of its own: after a panic the event would wait for a restart.
            Some(request) => tokio::spawn((self.transport)(request))
                .await
                .unwrap_or_else(|_panic| Posted::not_answered("a defect of this server, which its log has")),
            None => Posted::not_answered("its URL cannot be asked"),
        }
    }

    /// The result of an attempt is durable.
    async fn concluded(&self, event: &Event, webhook: Sid, posted: Option<Posted>, end: WebhookEnd) {
        self.shards.metrics().webhook(end);
        let Some(posted) = posted else { return };
        let error = (!posted.is_taken()).then(|| posted.result());
        if let Some(line) = self.pending.lock().by_webhook.get_mut(&webhook) {
            line.load.last_error = error.clone().map(|error| (self.shards.clock().now(), error));
        }
        let Some((result, service)) = error.zip(self.registry.service_by_id(event.service)) else { return };
        if posted.is_gone() {
            let fields = WebhookFields { status: Some(WebhookStatus::Disabled), ..WebhookFields::default() };
            // Before the next event of the verification.
            let _ = self.registry.update_webhook(service.sid, webhook, fields).await;
        }
        let (service, event, end) = (service.name(), event.id, end.as_str());
        self.failed.note(move |count| {
            tracing::warn!(service, %webhook, %event, result, end, count, "webhook delivery failed");
        });
    }

    /// The deliveries in a range by the moments of their events, the newest first; only of `services`, if they are given.
    /// Verifications are what is read.
    pub async fn list(
        &self,
        services: Option<&[ServiceId]>,
        range: LogRange<impl Fn(&Delivery) -> bool>,
    ) -> Result<Vec<Delivery>, Refusal> {
        let parts = |key, record: EventRecord| {
            let deliveries = record.deliveries.iter().filter_map(|of| record.whole(of)).enumerate();
            deliveries.map(|(place, delivery)| (delivery.event.at, (key, place), delivery)).collect()
        };
        self.shards.list(services, range, KEPT_FOR, parts).await
    }

    /// Posts a test to a webhook once, and says how it was answered. No log has it.
    pub async fn test(&self, service: &Service, webhook: &Webhook) -> Posted {
        let now = self.shards.clock().wall();
        let account_sid = self.registry.account_sid();
        let data = json!({ "account_sid": account_sid, "service_sid": service.sid, "status": "test" });
        let body = json!({ "type": "webhook.test", "timestamp": now, "data": data }).to_string();
        let id = u128::from_be_bytes(*webhook.sid.bytes()) ^ u128::from(now.as_millis());
        self.ask(webhook, EventId(id.to_be_bytes()), body).await
    }

    /// Makes the delivery of an event due again, from the first attempt on, behind those of its verification that are pending;
    /// a pending one is tried now. `false` if there is none. It is durable.
    pub async fn replay(&self, service: ServiceId, webhook: Sid, event: EventId) -> Result<bool, Refusal> {
        let is_it = move |of: &Delivery<EventId>| of.webhook == webhook && of.event == event;
        let mut found = None;
        let find = |records: Vec<(RecordKey, EventRecord)>, _| {
            let it = records.iter().find(|(_, record)| record.deliveries.iter().any(is_it));
            found = found.or(it.map(|(key, _)| *key));
            if found.is_some() { Break(()) } else { Continue(()) }
        };
        self.shards.newest_first(Some(&[service]), None, find).await?;
        let Some(RecordKey { slot, id, .. }) = found else { return Ok(false) };
        let replayed = self.shards.decide(Subject { slot, id }, move |view| {
            let Some(mut record) = view.get::<EventRecord>(id) else { return Ok(false) };
            record.deliveries.sort_by_key(|of| of.state != DeliveryState::Pending && is_it(of));
            let Some(of) = record.deliveries.iter_mut().find(|of| is_it(of)) else { return Ok(false) };
            (of.state, of.due) = (DeliveryState::Pending, view.now());
            of.attempts.clear();
            view.put(id, Some(&record));
            Ok(true)
        });
        replayed.await.unwrap_or(Err(Refusal::OutcomeUnknown))
    }
}
