//! The delivery of events. A record that is due in its shard has an event for a webhook: the webhook gets it in its turn,
//! and what came of it is a decision, after which the next event of the verification goes.
//!
//! All that is here follows from the records and needs no durability. A crash repeats at most the posts under way.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use rand::Rng as _;
use tokio::sync::{Mutex as AsyncMutex, Semaphore};
use tokio::time::{sleep, timeout};

use super::record::{Delivery, DeliveryState, EventRecord, WebhookAttempt, slot_of};
use super::request::{AttemptError, Posted, Transport, post};
use crate::domain::{ServerKey, ServiceId, Sid, Timestamp};
use crate::engine::{Sealer, SlotHash};
use crate::observe::metrics::WebhookEnd;
use crate::observe::trace::Tracer;
use crate::registry::{Registry, Service, WebhookFields, WebhookStatus};
use crate::shard::{
    Change, Id, RecordKey, RecordLog, Refusal, Shards, Stored, Subject, Transaction, Usage, service_of,
};

/// Requests that a webhook has in flight at once.
const AT_ONCE: usize = 8;

/// The longest time a stop waits for attempts in progress. Longer attempts are repeated after the next start.
const CLOSING: Duration = Duration::from_secs(3);

/// Maximum time between two readings of the clock while a webhook pauses, because an operator may set the clock.
const LOOK_AT_CLOCK: Duration = Duration::from_secs(10);

/// The wait before a decision that the store has refused is made again.
const RETRY: Duration = Duration::from_secs(1);

/// The longest pause of a webhook that fails.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Limits of the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxBounds {
    /// Verifications that may have something to be told; beyond it new events are dropped.
    pub verifications: usize,
    /// Deliveries to one webhook that may be pending: a dead one must not take the places of its service's others.
    pub pending_each: usize,
    /// Verifications that are remembered after the end of their deliveries; the oldest are forgotten first.
    pub kept: usize,
    /// Attempts that are in flight. A webhook has at most eight, and a failing one a single one.
    pub at_once: usize,
}

impl Default for OutboxBounds {
    fn default() -> Self {
        Self { verifications: 200_000, pending_each: 25_000, kept: 50_000, at_once: 512 }
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
    pub(super) lines: Arc<Lines>,
    tracer: Option<Arc<Tracer>>,
    bounds: OutboxBounds,
    /// An attempt holds one of them. Closed when none begins any more.
    places: Arc<Semaphore>,
    /// The verifications of which it is asked what is due, and whether to ask once more after that.
    offered: Mutex<HashMap<RecordKey, bool>>,
}

/// A service and its webhook.
type Endpoint = (ServiceId, Sid);

/// The webhooks that were told something.
pub(super) struct Lines {
    pub of: Mutex<HashMap<Endpoint, Arc<Line>>>,
    registry: Registry,
}

/// What is under way to a webhook.
pub(super) struct Line {
    turns: Semaphore,
    /// Held through the attempt of a webhook that fails.
    alone: AsyncMutex<()>,
    /// The verifications with an event that has its turn or waits for it.
    busy: Mutex<HashSet<RecordKey>>,
    load: Mutex<WebhookLoad>,
}

/// What is under way to a webhook, and how it answers.
#[derive(Debug, Clone, Default)]
pub struct WebhookLoad {
    pub pending: usize,
    /// Failures in a row. One that is told nothing more does not fail any more.
    pub failures: u32,
    /// No attempt begins before this moment.
    pub not_before: Timestamp,
    /// The last error.
    pub last_error: Option<(Timestamp, String)>,
    /// Events that it did not get since the start, because there was no room.
    pub dropped: u64,
    pub last_dropped: Option<Timestamp>,
}

impl Lines {
    fn get(&self, endpoint: Endpoint) -> Arc<Line> {
        let mut lines = self.of.lock();
        if !lines.contains_key(&endpoint) {
            let is_there = |(service, webhook): &Endpoint| {
                let found = self.registry.service_by_id(*service);
                found.is_some_and(|found| found.webhook(webhook).is_ok())
            };
            lines.retain(|of, line| line.load.lock().pending > 0 || is_there(of));
        }
        let new = || Line {
            turns: Semaphore::new(AT_ONCE),
            alone: AsyncMutex::default(),
            busy: Mutex::default(),
            load: Mutex::default(),
        };
        Arc::clone(lines.entry(endpoint).or_insert_with(|| Arc::new(new())))
    }

    /// Counts what is pending in a record.
    fn count(&self, service: ServiceId, record: Option<&Stored>, by: isize) {
        let record: Option<EventRecord> = record.and_then(Stored::record);
        for delivery in record.iter().flat_map(EventRecord::pending) {
            let line = self.get((service, delivery.webhook));
            let mut load = line.load.lock();
            load.pending = load.pending.saturating_add_signed(by);
        }
    }
}

impl WebhookLoad {
    /// The receiver was asked. Returns `true` if the webhook begins or ceases to fail.
    fn report(&mut self, posted: &Posted, result: &str, now: Timestamp) -> bool {
        let before = self.failures;
        if !posted.is_taken() {
            self.last_error = Some((now, result.to_owned()));
        }
        if posted.is_taken() || posted.answer == Ok(410) {
            (self.failures, self.not_before) = (0, Timestamp::EPOCH);
        } else if now >= self.not_before {
            // Attempts that were under way together fail together: that is one failure.
            self.failures = before.saturating_add(1);
            let pause = Duration::from_secs(1).saturating_mul(2_u32.saturating_pow(before));
            self.not_before = now.plus(pause.max(posted.retry_after.unwrap_or_default()).min(PAUSE_MAX));
        }
        (before > 0) != (self.failures > 0)
    }
}

impl Outbox {
    /// Needs a tokio runtime. `transport` is a [`network_transport`](super::network_transport), and `tracer` makes the
    /// spans of deliveries.
    pub fn start(
        shards: Shards,
        key: &ServerKey,
        registry: Registry,
        transport: Transport,
        bounds: OutboxBounds,
        tracer: Option<Arc<Tracer>>,
    ) -> Arc<Self> {
        let lines = Arc::new(Lines { of: Mutex::default(), registry: registry.clone() });
        let counted = Arc::clone(&lines);
        shards.follow::<EventRecord>(move |changes| {
            for Change { key, before, after } in changes {
                counted.count(service_of(&key.id), before.as_ref(), -1);
                counted.count(service_of(&key.id), after.as_ref(), 1);
            }
        });
        let log = RecordLog::follow(&shards, bounds.kept, Duration::MAX);
        let outbox = Arc::new(Self {
            sealer: Sealer::new(key),
            slots: SlotHash::new(key),
            places: Arc::new(Semaphore::new(bounds.at_once)),
            offered: Mutex::default(),
            shards,
            registry,
            log,
            transport,
            lines,
            tracer,
            bounds,
        });
        // Neither the shards nor a task that waits must keep it alive.
        let weak = Arc::downgrade(&outbox);
        outbox.log.on_due(move |key| Self::offer(Weak::clone(&weak), key));
        outbox
    }

    /// Deliveries that are still to be made.
    pub fn backlog(&self) -> usize {
        self.lines.of.lock().values().map(|line| line.load.lock().pending).sum()
    }

    /// Verifications that have something to be told, and how many there may be.
    pub fn usage(&self) -> Usage {
        Usage { held: self.log.needed(), limit: self.bounds.verifications }
    }

    /// Further verifications of a service that may have something to be told.
    pub(super) fn places_of(&self, service: ServiceId) -> usize {
        self.log.room(service, self.bounds.verifications)
    }

    /// Further deliveries to a webhook that may be pending.
    pub(super) fn room(&self, endpoint: Endpoint) -> usize {
        let line = self.lines.get(endpoint);
        self.bounds.pending_each.saturating_sub(line.load.lock().pending)
    }

    /// The number of webhooks that fail.
    pub fn failing(&self) -> usize {
        let endpoints: Vec<Endpoint> = self.lines.of.lock().keys().copied().collect();
        endpoints.into_iter().filter(|(service, webhook)| self.load(*service, *webhook).failures > 0).count()
    }

    pub fn load(&self, service: ServiceId, webhook: Sid) -> WebhookLoad {
        let line = self.lines.of.lock().get(&(service, webhook)).cloned();
        let load = line.map(|line| line.load.lock().clone()).unwrap_or_default();
        WebhookLoad { failures: if load.pending > 0 { load.failures } else { 0 }, ..load }
    }

    /// Counts an event that a webhook does not get. The log has the first one, and after it each doubling.
    pub(super) fn drop_event(&self, service: &Service, webhook: Sid, now: Timestamp) {
        self.shards.metrics().webhook(WebhookEnd::Dropped);
        let line = self.lines.get((service.id, webhook));
        let mut load = line.load.lock();
        (load.dropped, load.last_dropped) = (load.dropped + 1, Some(now));
        if load.dropped.is_power_of_two() {
            let (service, dropped, pending) = (service.name(), load.dropped, load.pending);
            tracing::warn!(service, %webhook, dropped, pending, "webhook events dropped; too many are pending");
        }
    }

    /// Begins no attempt any more, and waits up to 3 s for those that are under way.
    pub async fn close(&self) {
        let all = u32::try_from(self.bounds.at_once).unwrap_or(u32::MAX);
        let _ = timeout(CLOSING, self.places.acquire_many(all)).await;
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
        weak: &Weak<Self>,
        RecordKey { id, .. }: RecordKey,
        change: impl Fn(&Self, &mut Transaction<'_>) -> T + Clone + Send + 'static,
    ) -> Option<T> {
        loop {
            let outbox = weak.upgrade()?;
            let made = outbox.change(id, change.clone()).await;
            if matches!(made, Ok(_) | Err(Refusal::Stopping)) || outbox.places.is_closed() {
                return made.ok();
            }
            drop(outbox);
            // What was refused together is not decided again together.
            let [.., random, _] = id;
            sleep(RETRY + Duration::from_millis(4 * u64::from(random))).await;
        }
    }

    /// The deliveries of a verification that are due, and the moment. Records its end, if that is due.
    async fn due(weak: &Weak<Self>, key: RecordKey) -> Option<(Vec<Delivery>, Timestamp)> {
        let read = move |outbox: &Self, view: &mut Transaction<'_>| {
            outbox.expire(key.id, view);
            let (record, now) = (view.get::<EventRecord>(key.id), view.now());
            let next = record.iter().flat_map(EventRecord::next);
            (next.filter(|delivery| delivery.due <= now).cloned().collect(), now)
        };
        Self::insist(weak, key, read).await
    }

    /// Offers what is due of a verification to the webhooks. A store that refuses its end has the shard hand it over again:
    /// meanwhile one task insists.
    fn offer(weak: Weak<Self>, key: RecordKey) {
        let Some(outbox) = weak.upgrade() else { return };
        if *outbox.offered.lock().entry(key).and_modify(|again| *again = true).or_insert(false) {
            return;
        }
        drop(outbox);
        tokio::spawn(async move {
            let due = Self::due(&weak, key).await;
            let outbox = weak.upgrade()?;
            let again = outbox.offered.lock().remove(&key);
            let (due, _) = due?;
            for Delivery { webhook, .. } in due {
                let line = outbox.lines.get((service_of(&key.id), webhook));
                if line.busy.lock().insert(key) {
                    tokio::spawn(Self::take_turn(Weak::clone(&weak), webhook, line, key));
                }
            }
            if again == Some(true) {
                Self::offer(weak, key);
            }
            Some(())
        });
    }

    /// Waits until it is a verification's turn with a webhook; `None` after a stop. Many may wait: this takes little memory
    /// until then.
    async fn take_turn(weak: Weak<Self>, webhook: Sid, line: Arc<Line>, key: RecordKey) -> Option<()> {
        let turn = line.turns.acquire().await.ok()?;
        let alone = line.alone.lock().await;
        loop {
            let now = weak.upgrade()?.shards.clock().now();
            let left = line.load.lock().not_before.since(now);
            if left.is_zero() {
                break;
            }
            sleep(left.min(LOOK_AT_CLOCK)).await;
        }
        let alone = (line.load.lock().failures > 0).then_some(alone);
        Box::pin(Self::attempt(&weak, webhook, &line, key)).await?;
        drop((turn, alone));
        line.busy.lock().remove(&key);
        // Maybe the next event of the verification is due.
        Self::offer(weak, key);
        Some(())
    }

    /// Posts the next event of a verification to a webhook, and records what came of it. `None` after a stop.
    async fn attempt(weak: &Weak<Self>, webhook: Sid, line: &Line, key: RecordKey) -> Option<()> {
        let places = Arc::clone(&weak.upgrade()?.places);
        let _place = places.acquire().await.ok()?;
        let (due, at) = Self::due(weak, key).await?;
        let Some(delivery) = due.into_iter().find(|delivery| delivery.webhook == webhook) else {
            return Some(());
        };
        let posted = weak.upgrade()?.post(&delivery, at).await;
        let (id, result) = (delivery.event.id, posted.clone());
        let conclude = move |_: &Self, view: &mut Transaction<'_>| {
            let mut record = view.get::<EventRecord>(key.id)?;
            let is_it = |of: &&mut Delivery| {
                (of.event.id, of.webhook, of.state) == (id, webhook, DeliveryState::Pending)
            };
            let delivery = record.deliveries.iter_mut().find(is_it)?;
            let random = view.rng().next_u32();
            delivery.conclude(at, view.now(), result.clone(), random);
            let concluded = delivery.clone();
            view.put(key.id, Some(&record));
            Some(concluded)
        };
        if let Some(delivery) = Self::insist(weak, key, conclude).await? {
            weak.upgrade()?.concluded(line, &delivery, &posted).await;
        }
        Some(())
    }

    /// Posts an event, or says why the receiver is not asked.
    async fn post(&self, delivery: &Delivery, now: Timestamp) -> Posted {
        let not_asked = |error, words: &str| Posted::not_answered((error, words));
        let event = &delivery.event;
        let service = self.registry.service_by_id(event.service);
        let found = service.as_ref().and_then(|service| service.webhook(&delivery.webhook).ok());
        let Some(webhook) = found else {
            return not_asked(AttemptError::Removed, "the webhook was removed");
        };
        if webhook.status == WebhookStatus::Disabled {
            return not_asked(AttemptError::Disabled, "the webhook is disabled");
        }
        if delivery.is_too_old(now) {
            return not_asked(AttemptError::TooOld, "its turn did not come in time");
        }
        // Receivers compare the time of the signature with their clocks: that of decisions may be ahead of the wall clock.
        let post = post(webhook, event.id.to_string(), self.shards.clock().wall(), event.body.clone());
        let span = self.tracer.as_ref().and_then(|tracer| tracer.delivery(event.id.0));
        // In a task of its own: after a panic the verification would be busy until a restart.
        let posted = tokio::spawn((self.transport)(post)).await;
        let defect = "a defect of this server, which its log has";
        let posted = posted.unwrap_or_else(|_panic| not_asked(AttemptError::Broken, defect));
        if let Some(mut span) = span {
            span.text("onceward.event", event.kind.as_str());
            posted.answer.into_iter().for_each(|status| span.number("http.response.status_code", status));
            if !posted.is_taken() {
                span.fail();
            }
        }
        posted
    }

    /// The result of an attempt is durable.
    async fn concluded(&self, line: &Line, delivery: &Delivery, posted: &Posted) {
        let Delivery { event, webhook, state, .. } = delivery;
        let result = delivery.attempts.last().map(WebhookAttempt::result).unwrap_or_default();
        let found = self.registry.service_by_id(event.service);
        let (service, event) = (found.as_ref().map(|found| found.name()), event.id);
        if posted.answer == Ok(410)
            && let Some(found) = &found
        {
            let fields = WebhookFields { status: Some(WebhookStatus::Disabled), ..WebhookFields::default() };
            // Before the next attempt begins.
            let disabled = self.registry.update_webhook(found.sid, *webhook, fields).await.is_ok();
            tracing::warn!(service, %webhook, disabled, "webhook answered 410");
        }
        let (is_asked, now) = (posted.is_of_receiver(), self.shards.clock().now());
        let has_changed = is_asked && line.load.lock().report(posted, &result, now);
        if has_changed && posted.is_taken() {
            tracing::info!(service, %webhook, "webhook takes events again");
        } else if has_changed {
            tracing::warn!(service, %webhook, result, "webhook failing, events are retried");
        }
        let end = match state {
            DeliveryState::Delivered => WebhookEnd::Delivered,
            DeliveryState::Pending => WebhookEnd::Retried,
            DeliveryState::Failed => WebhookEnd::Failed,
        };
        self.shards.metrics().webhook(end);
        if end == WebhookEnd::Failed && is_asked {
            tracing::warn!(service, %webhook, %event, result, "webhook event failed for good");
        }
    }
}
