//! The delivery of events. A record that is due in its shard has an event for a webhook: the webhook gets it in its turn,
//! and what came of it is a decision, after which the next event of the verification goes.
//!
//! All that is here follows from the records and needs no durability. A crash repeats at most the posts under way.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::Rng as _;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::record::{Delivery, DeliveryState, EventRecord, WebhookAttempt, slot_of};
use super::request::{Posted, Transport, post};
use crate::domain::{ServerKey, ServiceId, Sid, Timestamp};
use crate::engine::{Sealer, SlotHash};
use crate::observe::log_limit::OncePerSecond;
use crate::observe::metrics::{TableReading, WebhookEnd};
use crate::registry::{Registry, Service, WebhookFields, WebhookStatus};
use crate::shard::{Change, Id, RecordKey, RecordLog, Refusal, Shards, Stored, Subject, Transaction};

/// Requests that a webhook has in flight at once; one while it fails.
const OF_EACH: u32 = 8;

/// Requests that are in flight to all webhooks.
const AT_ONCE: u32 = 512;

/// The longest time a stop waits for attempts in progress. Longer attempts are repeated after the next start.
const CLOSING: Duration = Duration::from_secs(3);

/// The wait before a decision that the store has refused is made again.
const RETRY: Duration = Duration::from_secs(1);

/// Limits of the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxBounds {
    /// Verifications that may have something to be told; beyond it new events are dropped.
    pub verifications: usize,
    /// Deliveries to one webhook that may be pending: a dead one must not take the places of its service's others.
    pub pending_each: usize,
    /// Verifications that are remembered after the end of their deliveries; the oldest are forgotten first.
    pub kept: usize,
}

impl Default for OutboxBounds {
    fn default() -> Self {
        Self { verifications: 200_000, pending_each: 25_000, kept: 50_000 }
    }
}

/// Delivers pending events until it is closed or the shards stop.
pub struct Outbox {
    pub(super) shards: Shards,
    pub(super) registry: Registry,
    pub(super) sealer: Sealer,
    pub(super) slots: SlotHash,
    pub(super) log: RecordLog<EventRecord>,
    pub(super) transport: Transport,
    lines: Arc<Lines>,
    bounds: OutboxBounds,
    /// An attempt holds one of them. Closed when none begins any more.
    places: Semaphore,
    /// The verifications of which it is asked what is due, and whether to ask once more after that.
    offered: Mutex<HashMap<RecordKey, bool>>,
    /// The verifications with an event that has its turn with a webhook or waits for it.
    busy: Mutex<HashSet<(RecordKey, Sid)>>,
    dropped: OncePerSecond,
    failed: OncePerSecond,
}

/// The webhooks that are to be told something.
type Lines = Mutex<HashMap<Sid, Line>>;

struct Line {
    turns: Arc<Semaphore>,
    load: WebhookLoad,
}

impl Default for Line {
    fn default() -> Self {
        Self { turns: Arc::new(Semaphore::new(OF_EACH as usize)), load: WebhookLoad::default() }
    }
}

/// What a webhook is to be told yet, and how it answers.
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
        let lines = Arc::<Lines>::default();
        let counted = Arc::clone(&lines);
        shards.follow::<EventRecord>(move |changes| {
            let mut lines = counted.lock();
            let both = changes.iter().flat_map(|Change { before, after, .. }| [(after, 1), (before, -1)]);
            for (stored, by) in both {
                let record: Option<EventRecord> = stored.as_ref().and_then(Stored::record);
                for delivery in record.iter().flat_map(EventRecord::pending) {
                    let pending = &mut lines.entry(delivery.webhook).or_default().load.pending;
                    *pending = pending.saturating_add_signed(by);
                    if *pending == 0 {
                        lines.remove(&delivery.webhook);
                    }
                }
            }
        });
        let outbox = Arc::new(Self {
            sealer: Sealer::new(key),
            slots: SlotHash::new(key),
            log: RecordLog::follow(&shards, [bounds.kept, usize::MAX], Duration::MAX),
            places: Semaphore::new(AT_ONCE as usize),
            offered: Mutex::default(),
            busy: Mutex::default(),
            dropped: OncePerSecond::default(),
            failed: OncePerSecond::default(),
            shards,
            registry,
            transport,
            lines,
            bounds,
        });
        // The shards, which the outbox keeps alive, must not keep it alive.
        let weak = Arc::downgrade(&outbox);
        outbox.log.on_due(move |key| {
            if let Some(outbox) = weak.upgrade() {
                outbox.offer(key);
            }
        });
        outbox
    }

    /// Deliveries that are still to be made.
    pub fn backlog(&self) -> usize {
        self.lines.lock().values().map(|line| line.load.pending).sum()
    }

    /// Verifications that have something to be told, and how many there may be.
    pub fn reading(&self) -> TableReading {
        TableReading { name: "webhook deliveries", held: self.log.needed(), limit: self.bounds.verifications }
    }

    /// Further verifications of a service that may have something to be told.
    pub(super) fn places_of(&self, service: ServiceId) -> usize {
        self.log.room(service, self.bounds.verifications)
    }

    /// Whether one more delivery to a webhook may be pending.
    pub(super) fn has_room(&self, webhook: Sid) -> bool {
        self.load(webhook).pending < self.bounds.pending_each
    }

    pub fn load(&self, webhook: Sid) -> WebhookLoad {
        self.lines.lock().get(&webhook).map(|line| line.load.clone()).unwrap_or_default()
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

    /// Carries out a change in the slot of the record with this id. It is durable when this returns.
    pub(super) async fn change<T: Send + 'static>(
        self: &Arc<Self>,
        id: Id,
        change: impl FnOnce(&Self, &mut Transaction<'_>) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let (outbox, subject) = (Arc::clone(self), Subject { slot: slot_of(&id), id });
        let decided = self.shards.decide(subject, move |view| Ok(change(&outbox, view)));
        decided.await.unwrap_or(Err(Refusal::OutcomeUnknown))
    }

    /// Carries out a change until it is durable; `None` after a stop.
    async fn insist<T: Send + 'static>(
        self: &Arc<Self>,
        id: Id,
        change: impl Fn(&Self, &mut Transaction<'_>) -> T + Clone + Send + 'static,
    ) -> Option<T> {
        loop {
            let made = self.change(id, change.clone()).await;
            if matches!(made, Ok(_) | Err(Refusal::Stopping)) || self.places.is_closed() {
                return made.ok();
            }
            sleep(RETRY).await;
        }
    }

    /// The deliveries of a verification that are due, and the moment. Records its end, if that is due.
    async fn due(self: &Arc<Self>, RecordKey { id, .. }: RecordKey) -> Option<(Vec<Delivery>, Timestamp)> {
        let read = move |outbox: &Self, view: &mut Transaction<'_>| {
            outbox.expire(id, view);
            let (record, now) = (view.get::<EventRecord>(id), view.now());
            let next = record.iter().flat_map(EventRecord::next);
            (next.filter(|delivery| delivery.due <= now).cloned().collect(), now)
        };
        self.insist(id, read).await
    }

    /// Offers what is due of a verification to the webhooks. A store that refuses its end has the shard hand it over again:
    /// meanwhile one task insists.
    fn offer(self: Arc<Self>, key: RecordKey) {
        if *self.offered.lock().entry(key).and_modify(|again| *again = true).or_insert(false) {
            return;
        }
        tokio::spawn(async move {
            let due = self.due(key).await;
            let again = self.offered.lock().remove(&key);
            for Delivery { webhook, .. } in due?.0 {
                if self.busy.lock().insert((key, webhook)) {
                    tokio::spawn(Arc::clone(&self).take_turn(webhook, key));
                }
            }
            if again == Some(true) {
                self.offer(key);
            }
            Some(())
        });
    }

    /// Waits until it is a verification's turn with a webhook; `None` after a stop. Many may wait: this takes little memory
    /// until then.
    async fn take_turn(self: Arc<Self>, webhook: Sid, key: RecordKey) -> Option<()> {
        let turns = Arc::clone(&self.lines.lock().entry(webhook).or_default().turns);
        let mut turn = turns.acquire().await.ok()?;
        if self.load(webhook).last_error.is_some() {
            // Many that hang must not take the places of the others.
            drop(turn);
            turn = turns.acquire_many(OF_EACH).await.ok()?;
        }
        let place = self.places.acquire().await.ok()?;
        Box::pin(self.attempt(webhook, key)).await?;
        drop((turn, place));
        self.busy.lock().remove(&(key, webhook));
        // Maybe the next event of the verification is due.
        self.offer(key);
        Some(())
    }

    /// Posts the next event of a verification to a webhook, and records what came of it. `None` after a stop.
    async fn attempt(self: &Arc<Self>, webhook: Sid, key: RecordKey) -> Option<()> {
        let (due, at) = self.due(key).await?;
        let Some(delivery) = due.into_iter().find(|delivery| delivery.webhook == webhook) else {
            return Some(());
        };
        let posted = self.post(&delivery).await;
        let (id, result) = (delivery.event.id, posted.clone());
        let conclude = move |_: &Self, view: &mut Transaction<'_>| {
            let mut record = view.get::<EventRecord>(key.id)?;
            let is_it = |of: &&mut Delivery| {
                (of.event.id, of.webhook, of.state) == (id, webhook, DeliveryState::Pending)
            };
            let delivery = record.deliveries.iter_mut().find(is_it)?;
            match result.clone() {
                Some(posted) => delivery.conclude(at, view.now(), posted, view.rng().next_u32()),
                None => delivery.state = DeliveryState::Failed,
            }
            let concluded = delivery.clone();
            view.put(key.id, Some(&record));
            Some(concluded)
        };
        if let Some(delivery) = self.insist(key.id, conclude).await? {
            self.concluded(&delivery, posted).await;
        }
        Some(())
    }

    /// Posts an event; `None` if the webhook is disabled or deleted.
    async fn post(&self, Delivery { event, webhook, .. }: &Delivery) -> Option<Posted> {
        let service = self.registry.service_by_id(event.service)?;
        let webhook = service.webhook(webhook).ok()?;
        if webhook.status == WebhookStatus::Disabled {
            return None;
        }
        // Receivers compare the time of the signature with their clocks: that of decisions may be ahead of the wall clock.
        let post = post(webhook, event.id.to_string(), self.shards.clock().wall(), event.body.clone());
        // In a task of its own: after a panic the verification would be busy until a restart.
        let posted = tokio::spawn((self.transport)(post)).await;
        let defect = "a defect of this server, which its log has";
        Some(posted.unwrap_or_else(|_panic| Posted::not_answered(defect)))
    }

    /// The result of an attempt is durable.
    async fn concluded(&self, delivery: &Delivery, posted: Option<Posted>) {
        let (event, webhook) = (delivery.event.id, delivery.webhook);
        let end = match delivery.state {
            DeliveryState::Delivered => WebhookEnd::Delivered,
            DeliveryState::Pending => WebhookEnd::Retried,
            DeliveryState::Failed => WebhookEnd::Failed,
        };
        self.shards.metrics().webhook(end);
        let Some(posted) = posted else { return };
        let result = delivery.attempts.last().map(WebhookAttempt::result).unwrap_or_default();
        let error = (!posted.is_taken()).then(|| (self.shards.clock().now(), result.clone()));
        if let Some(line) = self.lines.lock().get_mut(&webhook) {
            line.load.last_error = error;
        }
        if posted.is_taken() {
            return;
        }
        let Some(service) = self.registry.service_by_id(delivery.event.service) else { return };
        if posted.status == Some(410) {
            let fields = WebhookFields { status: Some(WebhookStatus::Disabled), ..WebhookFields::default() };
            // Before the next attempt begins.
            let disabled = self.registry.update_webhook(service.sid, webhook, fields).await.is_ok();
            tracing::warn!(service = service.name(), %webhook, disabled, "webhook answered 410");
        }
        let (service, end) = (service.name(), end.as_str());
        self.failed.note(move |count| {
            tracing::warn!(service, %webhook, %event, result, end, count, "webhook delivery failed");
        });
    }
}
