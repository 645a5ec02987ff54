//! The delivery of events. A record that is due in its shard has an event for a webhook: the webhook gets it when it has
//! one of eight places free, and what came of it is a decision, after which the next event of the verification goes.
//!
//! All that is here follows from the records and needs no durability. A crash repeats at most the posts under way.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use rand::Rng as _;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::record::{
    Delivery, DeliveryState, EventRecord, WebhookAttempt, WebhookHealth, is_too_old, slot_of,
};
use super::request::{self, AttemptError, Post, Posted, Transport};
use super::{Detail, Event, EventId, EventType};
use crate::domain::{ServerKey, ServiceId, Sid, Timestamp, record_id};
use crate::engine::{Sealer, SlotHash};
use crate::limits::guard::AlertConsumer;
use crate::observe::metrics::WebhookEnd;
use crate::observe::trace::{Span, Tracer};
use crate::registry::{Registry, Webhook, WebhookFields, WebhookStatus};
use crate::shard::{
    Id, RecordKey, RecordLog, Refusal, Shards, Shares, Subject, Transaction, Usage, service_of,
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
    /// Deliveries that are still to be made; beyond it new events are dropped. Twice as many verifications may have an end
    /// that is to be told.
    pub pending: usize,
    /// The same for one webhook: a dead one leaves half of its service's share to the others.
    pub pending_each: usize,
    /// Verifications that are remembered after the end of their deliveries; the oldest are forgotten first.
    pub kept: usize,
    /// Attempts that are in flight. A webhook has at most eight, and a failing one a single one.
    pub at_once: usize,
}

impl Default for OutboxBounds {
    fn default() -> Self {
        Self { pending: 100_000, pending_each: 25_000, kept: 50_000, at_once: 512 }
    }
}

/// Delivers pending events until it is dropped or closed.
pub struct Outbox {
    pub(super) shards: Shards,
    pub(super) registry: Registry,
    pub(super) sealer: Sealer,
    pub(super) log: RecordLog<EventRecord>,
    transport: Transport,
    tracer: Option<Arc<Tracer>>,
    bounds: OutboxBounds,
    queues: Arc<Mutex<Queues>>,
    /// An attempt holds one of them. Closed when none begins any more.
    places: Arc<Semaphore>,
}

/// A service and its webhook.
type Endpoint = (ServiceId, Sid);

#[derive(Default)]
struct Queues {
    of: HashMap<Endpoint, WebhookQueue>,
    /// The pending deliveries of each service.
    pending: Shares,
}

/// A webhook as its posts see it.
#[derive(Default)]
struct WebhookQueue {
    /// How many events of each verification it has not taken.
    pending: HashMap<RecordKey, usize>,
    /// The verifications whose next event is due.
    waiting: VecDeque<RecordKey>,
    /// These, and those whose event is on its way.
    busy: HashSet<RecordKey>,
    /// Events on their way.
    under_way: usize,
    load: WebhookLoad,
}

/// What is under way to a webhook, and how it answers.
#[derive(Debug, Clone, Default)]
pub struct WebhookLoad {
    pub pending: usize,
    /// Failures in a row.
    pub failures: u32,
    /// No attempt begins before this moment.
    pub not_before: Timestamp,
    /// The last error.
    pub last_error: Option<(Timestamp, String)>,
    /// Events that it did not get since the start, because there was no room.
    pub dropped: u64,
    pub last_dropped: Option<Timestamp>,
}

impl WebhookQueue {
    /// An attempt has ended. `result` is that in words. Returns `true` if the webhook begins or ceases to fail.
    fn report(&mut self, health: WebhookHealth, result: &str, now: Timestamp) -> bool {
        let (before, load) = (self.load.failures, &mut self.load);
        if matches!(health, WebhookHealth::Failing(_) | WebhookHealth::Gone) {
            load.last_error = Some((now, result.to_owned()));
        }
        match health {
            // Attempts that were under way together fail together: that is one failure.
            WebhookHealth::Failing(retry_after) if now >= load.not_before => {
                load.failures = before.saturating_add(1);
                load.not_before = now.plus(pause(load.failures, retry_after));
            }
            WebhookHealth::Up | WebhookHealth::Gone => {
                (load.failures, load.not_before) = (0, Timestamp::EPOCH);
            }
            WebhookHealth::Failing(_) | WebhookHealth::NotAsked => {}
        }
        if load.pending == 0 {
            (load.failures, load.not_before) = (0, Timestamp::EPOCH);
        }
        (before > 0) != (load.failures > 0)
    }
}

/// The pause of a webhook after this number of failures in a row.
fn pause(failures: u32, retry_after: Option<Duration>) -> Duration {
    let doubled = Duration::from_secs(1).saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
    doubled.max(retry_after.unwrap_or_default()).min(PAUSE_MAX)
}

/// Counts what is pending after a change of a record. `None` means absent.
fn count_pending(
    queues: &mut Queues,
    key: RecordKey,
    before: Option<&EventRecord>,
    after: Option<&EventRecord>,
) {
    fn of(record: Option<&EventRecord>) -> impl Iterator<Item = &Delivery> {
        record.into_iter().flat_map(EventRecord::pending)
    }
    let service = service_of(&key.id);
    // A shard that restarts has every record once more.
    for delivery in of(before).chain(of(after)) {
        let queue = queues.of.entry((service, delivery.webhook)).or_default();
        let was = queue.pending.remove(&key).unwrap_or_default();
        queue.load.pending -= was;
        queues.pending.remove(service, was);
    }
    for delivery in of(after) {
        let queue = queues.of.entry((service, delivery.webhook)).or_default();
        *queue.pending.entry(key).or_default() += 1;
        queue.load.pending += 1;
        queues.pending.add(service, 1);
    }
    for delivery in of(before) {
        let load = &mut queues.of.entry((service, delivery.webhook)).or_default().load;
        // One that is told nothing more does not fail any more.
        if load.pending == 0 {
            (load.failures, load.not_before) = (0, Timestamp::EPOCH);
        }
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
        let queues = Arc::<Mutex<Queues>>::default();
        let counted = Arc::clone(&queues);
        let log = RecordLog::follow(&shards, bounds.kept, Duration::MAX, move |key, before, after| {
            count_pending(&mut counted.lock(), *key, before, after);
        });
        let (sealer, places) = (Sealer::new(key), Arc::new(Semaphore::new(bounds.at_once)));
        let outbox =
            Arc::new(Self { shards, registry, sealer, log, transport, tracer, bounds, queues, places });
        let weak = Arc::downgrade(&outbox);
        outbox.log.on_due(move |key| drop(tokio::spawn(offer_events(Weak::clone(&weak), key))));
        outbox
    }

    /// Deliveries that are still to be made.
    pub fn backlog(&self) -> usize {
        self.queues.lock().pending.held()
    }

    /// Deliveries that are still to be made, and how many there may be.
    pub fn usage(&self) -> Usage {
        Usage { held: self.backlog(), limit: self.bounds.pending }
    }

    /// Further deliveries to a webhook that may be pending.
    pub(super) fn room(&self, endpoint: Endpoint) -> usize {
        let queues = self.queues.lock();
        let pending = queues.of.get(&endpoint).map_or(0, |queue| queue.load.pending);
        let room = queues.pending.room(endpoint.0, self.bounds.pending);
        room.min(self.bounds.pending_each.saturating_sub(pending))
    }

    /// Whether one more verification of a service may have an end that is to be told.
    pub(super) fn has_room_for_end(&self, service: ServiceId) -> bool {
        self.log.room(service, 2 * self.bounds.pending) > 0
    }

    /// The number of webhooks that fail.
    pub fn failing(&self) -> usize {
        self.queues.lock().of.values().filter(|queue| queue.load.failures > 0).count()
    }

    /// What is under way to a webhook, and how it answers.
    pub fn load(&self, service: ServiceId, webhook: Sid) -> WebhookLoad {
        let queues = self.queues.lock();
        queues.of.get(&(service, webhook)).map(|queue| queue.load.clone()).unwrap_or_default()
    }

    /// Counts an event that a webhook does not get. Returns how many these are.
    pub(super) fn count_dropped(&self, endpoint: Endpoint, now: Timestamp) -> u64 {
        let mut queues = self.queues.lock();
        let load = &mut queues.of.entry(endpoint).or_default().load;
        (load.dropped, load.last_dropped) = (load.dropped + 1, Some(now));
        load.dropped
    }

    /// Hands empty allowances and spent budgets to the webhooks of the service whose message led to them. Needs a tokio
    /// runtime.
    pub fn guard_alerts(self: &Arc<Self>, key: &ServerKey) -> AlertConsumer {
        let (slots, outbox) = (SlotHash::new(key), Arc::clone(self));
        Box::new(move |message, about| {
            let Some(service) = outbox.subscribed(message.service) else { return };
            let is_budget = about.subject.is_none();
            let event = Event {
                id: EventId::new([0; 16]),
                kind: if is_budget { EventType::GuardBudgetSpent } else { EventType::GuardBlocked },
                service: service.id,
                verification: service.sid,
                at: outbox.shards.clock().now(),
                to: message.number,
                channel: message.channel,
                status: "blocked".to_owned(),
                detail: Detail::Guard(about),
                tags: BTreeMap::new(),
            };
            let (outbox, slot) = (Arc::clone(&outbox), slots.of_number(service.id, message.number));
            tokio::spawn(async move {
                let kind = event.kind.as_str();
                let id = record_id(event.service, slot.into());
                let recorded = outbox.change(id, |outbox, view| outbox.record(0, event, view));
                if let Err(error) = recorded.await {
                    tracing::warn!(%error, event = kind, "event of the guard lost");
                }
            });
        })
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
        change: impl FnOnce(&Arc<Self>, &mut Transaction<'_>) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let (outbox, subject) = (Arc::clone(self), Subject { slot: slot_of(&id), id });
        let decide = move |view: &mut Transaction<'_>| Ok(change(&outbox, view));
        self.shards.router().decide_unbounded(subject, decide).await.unwrap_or(Err(Refusal::OutcomeUnknown))
    }

    /// An event of this record is due.
    fn enqueue(self: &Arc<Self>, endpoint: Endpoint, key: RecordKey) {
        {
            let queues = &mut *self.queues.lock();
            let queue = queues.of.entry(endpoint).or_default();
            if queue.busy.insert(key) {
                queue.waiting.push_back(key);
            }
        }
        self.begin(endpoint);
    }

    /// Begins the attempts that may begin. A webhook that fails has one at a time, with a pause between them.
    fn begin(self: &Arc<Self>, endpoint: Endpoint) {
        let queues = &mut *self.queues.lock();
        let Some(queue) = queues.of.get_mut(&endpoint) else { return };
        let at_once = if queue.load.failures > 0 { 1 } else { AT_ONCE };
        while queue.under_way < at_once
            && let Some(key) = queue.waiting.pop_front()
        {
            queue.under_way += 1;
            tokio::spawn(attempt(Arc::downgrade(self), endpoint, key));
        }
    }

    /// The attempt has ended; maybe the next event of the verification is due.
    fn finish(self: &Arc<Self>, endpoint: Endpoint, key: RecordKey) {
        let is_removed = matches!(self.asked(endpoint), Err((AttemptError::Removed, _)));
        {
            let queues = &mut *self.queues.lock();
            if let Some(queue) = queues.of.get_mut(&endpoint) {
                queue.busy.remove(&key);
                queue.under_way -= 1;
                if is_removed && queue.busy.is_empty() && queue.load.pending == 0 {
                    queues.of.remove(&endpoint);
                }
            }
        }
        self.begin(endpoint);
        tokio::spawn(offer_events(Arc::downgrade(self), key));
    }

    /// The time until a webhook may be asked again.
    fn pause_of(&self, endpoint: Endpoint) -> Duration {
        let not_before = self.queues.lock().of.get(&endpoint).map(|queue| queue.load.not_before);
        let left = not_before.unwrap_or_default().since(self.shards.clock().now());
        if self.asked(endpoint).is_ok() { left } else { Duration::ZERO }
    }

    /// The service and the webhook, or why it is not asked.
    fn asked(&self, (service, webhook): Endpoint) -> Result<(Sid, Webhook), (AttemptError, &'static str)> {
        let removed = (AttemptError::Removed, "the webhook was removed");
        let service = self.registry.service_by_id(service).ok_or(removed)?;
        let webhook = service.webhook(&webhook).map_err(|_| removed)?;
        match webhook.status {
            WebhookStatus::Enabled => Ok((service.sid, webhook.clone())),
            WebhookStatus::Disabled => Err((AttemptError::Disabled, "the webhook is disabled")),
        }
    }

    /// The request, or why the receiver is not asked.
    fn request(&self, delivery: &Delivery, now: Timestamp) -> Result<Post, (AttemptError, &'static str)> {
        let (service, webhook) = self.asked((delivery.event.service, delivery.webhook))?;
        if is_too_old(now, delivery.since) {
            return Err((AttemptError::TooOld, "its turn did not come in time"));
        }
        let body = request::body(self.registry.account_sid(), service, &delivery.event);
        // WebhookQueues compare the time of the signature with their clocks: that of decisions may be ahead of the wall
        // clock.
        let wall = self.shards.clock().wall();
        let headers = request::headers(&webhook.secret, delivery.event.id, wall, &body);
        Ok(Post { url: webhook.url, headers, body })
    }

    pub(super) async fn post(&self, post: Post) -> Posted {
        // In a separate task: the delivery continues even if it panics.
        let posted = tokio::spawn((self.transport)(post)).await;
        posted.unwrap_or_else(|_| Posted::not_answered((AttemptError::Broken, "the attempt was interrupted")))
    }

    /// The result of an attempt is durable.
    async fn concluded(&self, (of, webhook): Endpoint, delivery: &Delivery, health: WebhookHealth) {
        let result = delivery.attempts.last().map(WebhookAttempt::result).unwrap_or_default();
        let (found, event) = (self.registry.service_by_id(of), delivery.event.id);
        let service = found.as_ref().map(|found| found.name());
        if health == WebhookHealth::Gone
            && let Some(found) = &found
        {
            let fields = WebhookFields { status: Some(WebhookStatus::Disabled), ..WebhookFields::default() };
            // Before the next attempt begins.
            let disabled = self.registry.update_webhook(found.sid, webhook, fields).await.is_ok();
            tracing::warn!(service, %webhook, disabled, "webhook answered 410");
        }
        let now = self.shards.clock().now();
        let has_changed =
            self.queues.lock().of.entry((of, webhook)).or_default().report(health, &result, now);
        match health {
            WebhookHealth::Failing(_) if has_changed => {
                tracing::warn!(service, %webhook, result, "webhook failing, events are retried");
            }
            WebhookHealth::Up if has_changed => {
                tracing::info!(service, %webhook, "webhook takes events again");
            }
            _ => {}
        }
        let end = match delivery.state {
            DeliveryState::Delivered => WebhookEnd::Delivered,
            DeliveryState::Pending => WebhookEnd::Retried,
            DeliveryState::Failed => WebhookEnd::Failed,
        };
        self.shards.metrics().webhook(end);
        if end == WebhookEnd::Failed && health != WebhookHealth::NotAsked {
            tracing::warn!(service, %webhook, %event, result, "webhook event failed for good");
        } else {
            tracing::debug!(service, %webhook, %event, result, end = end.as_str(), "webhook event");
        }
    }
}

/// Makes a decision about a record until it is durable; `None` if the outbox ends before. While the store refuses it, this
/// must not keep a dropped outbox alive.
async fn decide<T: Send + 'static>(
    weak: &Weak<Outbox>,
    key: RecordKey,
    decide: impl Fn(&Arc<Outbox>, &mut Transaction<'_>) -> T + Clone + Send + 'static,
) -> Option<T> {
    loop {
        let outbox = weak.upgrade()?;
        let decide = decide.clone();
        let decided = outbox.change(key.id, decide).await;
        if decided.is_ok() || outbox.places.is_closed() {
            return decided.ok();
        }
        drop(outbox);
        // What was refused together is not decided again together.
        let [.., random, _] = key.id;
        sleep(RETRY + Duration::from_millis(4 * u64::from(random))).await;
    }
}

/// Records the end of a verification that is due, and offers its events to the webhooks.
async fn offer_events(weak: Weak<Outbox>, key: RecordKey) -> Option<()> {
    let read = move |outbox: &Arc<Outbox>, view: &mut Transaction<'_>| {
        outbox.expire(key.id, view);
        (view.get::<EventRecord>(key.id), view.now())
    };
    let (record, now) = decide(&weak, key, read).await?;
    let (record, outbox) = (record?, weak.upgrade()?);
    for delivery in record.next().filter(|delivery| delivery.due <= now) {
        outbox.enqueue((delivery.event.service, delivery.webhook), key);
    }
    Some(())
}

/// Posts the next event of a verification to a webhook, and records what came of it.
async fn attempt(weak: Weak<Outbox>, endpoint: Endpoint, key: RecordKey) -> Option<()> {
    loop {
        let left = weak.upgrade()?.pause_of(endpoint);
        if left.is_zero() {
            break;
        }
        sleep(left.min(LOOK_AT_CLOCK)).await;
    }
    let places = Arc::clone(&weak.upgrade()?.places);
    let _place = places.acquire_owned().await.ok()?;
    let next = move |_: &Arc<Outbox>, view: &mut Transaction<'_>| {
        let record = view.get::<EventRecord>(key.id)?;
        let next = record.next().find(|delivery| delivery.webhook == endpoint.1).cloned();
        Some((next.filter(|delivery| delivery.due <= view.now())?, view.now()))
    };
    let Some((delivery, at)) = decide(&weak, key, next).await? else {
        weak.upgrade()?.finish(endpoint, key);
        return None;
    };
    let outbox = weak.upgrade()?;
    let (id, webhook) = (delivery.event.id, delivery.webhook);
    let posted = match outbox.request(&delivery, at) {
        Ok(post) => {
            let span = outbox.tracer.as_ref().and_then(|tracer| tracer.delivery(id.to_bytes()));
            let posted = outbox.post(post).await;
            end_span(span, &delivery, &posted);
            posted
        }
        Err(reason) => Posted::not_answered(reason),
    };
    drop(outbox);
    let conclude = move |_: &Arc<Outbox>, view: &mut Transaction<'_>| {
        let mut record = view.get::<EventRecord>(key.id)?;
        let is_it =
            |of: &&mut Delivery| (of.event.id, of.webhook, of.state) == (id, webhook, DeliveryState::Pending);
        let delivery = record.deliveries.iter_mut().find(is_it)?;
        let random = view.rng().next_u32();
        let health = delivery.conclude(at, view.now(), posted.clone(), random);
        let concluded = delivery.clone();
        view.put(key.id, Some(&record));
        Some((concluded, health))
    };
    let concluded = decide(&weak, key, conclude).await?;
    let outbox = weak.upgrade()?;
    if let Some((delivery, health)) = concluded {
        outbox.concluded(endpoint, &delivery, health).await;
    }
    outbox.finish(endpoint, key);
    Some(())
}

fn end_span(span: Option<Span>, delivery: &Delivery, posted: &Posted) {
    let Some(mut span) = span else { return };
    span.text("onceward.event", delivery.event.kind.as_str());
    if let Ok(status) = posted.answer {
        span.number("http.response.status_code", status);
    }
    if !posted.is_taken() {
        span.fail();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_that_keeps_failing_is_asked_once_a_minute() {
        let pause = |failures| pause(failures, None).as_secs();
        assert_eq!([1, 2, 3, 6, 7, u32::MAX].map(pause), [1, 2, 4, 32, 60, 60]);
        assert_eq!(super::pause(1, Some(Duration::from_secs(7))).as_secs(), 7);
    }
}
