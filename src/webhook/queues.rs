//! The deliveries that are still to be made, and the expected ends. Derived from the records of all shards; it needs no
//! durability.
//!
//! Each webhook has eight lanes, and a verification's deliveries are all in one of them. One worker serves a lane, and
//! makes a delivery when the end of the one before it is durable. Therefore the events of a verification keep their order,
//! and a crash repeats at most the delivery under way of each lane.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};

use super::OutboxBounds;
use super::backoff::pause;
use super::record::{DeliveryState, EventRecord, Seq, WebhookHealth};
use super::recorder::Sequences;
use crate::domain::{ServiceId, Sid, Timestamp};
use crate::registry::Service;
use crate::shard::{Id, LogFollower, RecordKey, Shares, service_of};

/// Lanes of a webhook: the requests that it has in flight at once.
const LANES: usize = 8;

/// A webhook that drops events is logged once in this time.
const LOG_DROPS_EVERY: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Endpoint {
    pub service: ServiceId,
    pub webhook: Sid,
}

pub(super) struct Queues {
    state: Mutex<State>,
    bounds: OutboxBounds,
    /// One for each attempt in flight.
    pub places: Semaphore,
    /// A lane has no worker, or an end is expected.
    pub wake: Notify,
    /// An attempt has ended.
    pub idle: Notify,
}

#[derive(Default)]
struct State {
    by_webhook: HashMap<Endpoint, Queue>,
    pending: Shares,
    under_way: usize,
    /// Lanes with deliveries and without a worker.
    unserved: Vec<LaneId>,
    /// Expected ends, by when they are due.
    ends: BTreeSet<(Timestamp, Id)>,
    expected: Shares,
    dropped: HashMap<Endpoint, Dropped>,
    /// The last error of each webhook since the start.
    errors: HashMap<Endpoint, (Timestamp, String)>,
    is_closing: bool,
}

#[derive(Default)]
struct Queue {
    lanes: [Lane; LANES],
    pending: usize,
    under_way: usize,
    /// Failures in a row.
    failures: u32,
    not_before: Timestamp,
}

#[derive(Default)]
struct Lane {
    /// When each delivery is due, by verification, in the order of its events.
    waiting: BTreeMap<(Sid, Seq), Timestamp>,
    /// The first delivery of each verification, by when it is due.
    heads: BTreeSet<(Timestamp, Sid, Seq)>,
    under_way: Option<Seq>,
    has_worker: bool,
    /// For its worker: what it waits for may have come.
    changed: Arc<Notify>,
}

/// What is under way to a webhook, and how it answers.
#[derive(Debug, Clone, Default)]
pub struct WebhookLoad {
    pub pending: usize,
    /// Failures in a row.
    pub failures: u32,
    /// No attempt begins before this moment.
    pub not_before: Timestamp,
    /// The last error since the start.
    pub last_error: Option<(Timestamp, String)>,
}

/// The events that a webhook did not get since the start.
#[derive(Debug, Clone, Copy, Default)]
struct Dropped {
    count: u64,
    last: Timestamp,
    logged: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct LaneId {
    pub endpoint: Endpoint,
    lane: usize,
}

/// The work of the outbox besides that of the lanes with a worker.
pub(super) struct Due {
    pub ends: Vec<Id>,
    /// Lanes that need a worker, which waits for the notification.
    pub lanes: Vec<(LaneId, Arc<Notify>)>,
    /// When the next end is due.
    pub next: Option<Timestamp>,
}

/// The next step of a lane's worker.
pub(super) enum Next {
    /// This delivery of a verification is under way until [`Queues::finish`].
    Attempt(Seq, Sid),
    /// Nothing can begin for this time, or until the lane changes.
    Wait(Option<Duration>),
    /// The lane is empty and has no worker any more.
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HealthChange {
    Down,
    Up,
}

/// The lane of a verification. The last byte of a sealed id is as good as a hash.
const fn lane_of(verification: Sid) -> usize {
    let [.., last] = *verification.bytes();
    last as usize % LANES
}

impl Queues {
    pub(super) fn new(bounds: OutboxBounds) -> Self {
        let places = Semaphore::new(bounds.at_once);
        Self { state: Mutex::default(), bounds, places, wake: Notify::new(), idle: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of further deliveries to a webhook that may be pending, besides `added` to other webhooks. Those of
    /// the batch in flight are not counted yet.
    pub(super) fn room(&self, service: ServiceId, webhook: Sid, added: usize) -> usize {
        let state = self.state();
        let of_it = state.by_webhook.get(&Endpoint { service, webhook }).map_or(0, |queue| queue.pending);
        let room = state.pending.room(service, self.bounds.pending).saturating_sub(added);
        room.min(self.bounds.pending_each.saturating_sub(of_it))
    }

    pub(super) fn has_room_for_end(&self, service: ServiceId) -> bool {
        self.state().expected.room(service, self.bounds.expected) > 0
    }

    /// Counts an event that a webhook does not get, and logs it from time to time.
    pub(super) fn count_drop(&self, service: &Service, webhook: Sid, now: Timestamp) {
        let state = &mut *self.state();
        let dropped = state.dropped.entry(Endpoint { service: service.id, webhook }).or_default();
        (dropped.count, dropped.last) = (dropped.count + 1, now);
        if dropped.logged.is_none_or(|logged| now.since(logged) >= LOG_DROPS_EVERY) {
            dropped.logged = Some(now);
            let (dropped, pending, expected) = (dropped.count, state.pending.held(), state.expected.held());
            let service = service.name();
            tracing::warn!(
                service, %webhook, dropped, pending, expected,
                "webhook events dropped; too many deliveries are pending"
            );
        }
    }

    /// The number of events that a webhook did not get since the start, and when the last one was dropped.
    pub(super) fn dropped(&self, endpoint: Endpoint) -> (u64, Option<Timestamp>) {
        let dropped = self.state().dropped.get(&endpoint).copied();
        dropped.map_or((0, None), |Dropped { count, last, .. }| (count, Some(last)))
    }

    pub(super) fn load(&self, endpoint: Endpoint) -> WebhookLoad {
        let state = self.state();
        let load = state.by_webhook.get(&endpoint).map(|queue| WebhookLoad {
            pending: queue.pending,
            failures: queue.failures,
            not_before: queue.not_before,
            last_error: None,
        });
        WebhookLoad { last_error: state.errors.get(&endpoint).cloned(), ..load.unwrap_or_default() }
    }

    pub(super) fn failing(&self) -> usize {
        self.state().by_webhook.values().filter(|queue| queue.failures > 0).count()
    }

    pub(super) fn note_error(&self, endpoint: Endpoint, at: Timestamp, said: String) {
        self.state().errors.insert(endpoint, (at, said));
    }

    /// The webhook was removed.
    pub(super) fn forget(&self, endpoint: Endpoint) {
        let state = &mut *self.state();
        state.dropped.remove(&endpoint);
        state.errors.remove(&endpoint);
    }

    pub(super) fn pending(&self) -> usize {
        self.state().pending.held()
    }

    /// Deliveries of one service that may be pending.
    pub(super) const fn most_pending(&self) -> usize {
        self.bounds.pending
    }

    pub(super) fn under_way(&self) -> usize {
        self.state().under_way
    }

    #[cfg(test)]
    pub(super) fn counts(&self) -> super::tests::OutboxCounts {
        let state = self.state();
        super::tests::OutboxCounts {
            pending: state.pending.held(),
            under_way: state.under_way,
            expected: state.expected.held(),
            dropped: state.dropped.values().map(|dropped| dropped.count).sum(),
            workers: state
                .by_webhook
                .values()
                .flat_map(|queue| &queue.lanes)
                .filter(|l| l.has_worker)
                .count(),
        }
    }

    /// No attempt begins any more.
    pub(super) fn close(&self) {
        self.state().is_closing = true;
    }

    pub(super) fn is_closing(&self) -> bool {
        self.state().is_closing
    }

    /// Takes up to `most` ends that are due, and every lane that needs a worker.
    pub(super) fn take(&self, now: Timestamp, most: usize) -> Due {
        let state = &mut *self.state();
        if state.is_closing {
            return Due { ends: Vec::new(), lanes: Vec::new(), next: None };
        }
        let is_due = |(due, _): &&(Timestamp, Id)| *due <= now;
        let ends: Vec<_> = state.ends.iter().take_while(is_due).take(most).copied().collect();
        for (due, id) in &ends {
            state.set_end(*id, Some(*due), None);
        }
        let State { unserved, by_webhook, .. } = state;
        let lanes = unserved.drain(..).filter_map(|id| {
            let lane = by_webhook.get(&id.endpoint)?.lanes.get(id.lane)?;
            Some((id, Arc::clone(&lane.changed)))
        });
        let lanes = lanes.collect();
        let ends = ends.into_iter().map(|(_, id)| id).collect();
        Due { ends, lanes, next: state.ends.first().map(|(due, _)| *due) }
    }

    /// An expiry event that could not be written is due again at `due`.
    pub(super) fn expire_again(&self, due: Timestamp, id: Id) {
        self.state().set_end(id, None, Some(due));
        self.wake.notify_one();
    }

    /// The next step of a lane's worker. A webhook that fails has one attempt at a time, with a pause between them.
    pub(super) fn next(&self, id: LaneId, now: Timestamp) -> Next {
        let state = &mut *self.state();
        let Some(queue) = state.by_webhook.get_mut(&id.endpoint) else { return Next::End };
        let (is_failing, under_way, not_before) = (queue.failures > 0, queue.under_way, queue.not_before);
        let Some(lane) = queue.lanes.get_mut(id.lane) else { return Next::End };
        let Some((due, verification, seq)) = lane.heads.first().copied().filter(|_| !state.is_closing) else {
            lane.has_worker = false;
            state.remove_idle(id.endpoint);
            return Next::End;
        };
        if is_failing && under_way > 0 {
            return Next::Wait(None);
        }
        let begins = due.max(not_before);
        if begins > now {
            return Next::Wait(Some(begins.since(now)));
        }
        lane.under_way = Some(seq);
        queue.under_way += 1;
        state.under_way += 1;
        Next::Attempt(seq, verification)
    }

    /// The attempt of a lane has ended, and its result is recorded.
    pub(super) fn finish(&self, id: LaneId, health: WebhookHealth, now: Timestamp) -> Option<HealthChange> {
        let state = &mut *self.state();
        let queue = state.by_webhook.get_mut(&id.endpoint)?;
        if queue.lanes.get_mut(id.lane)?.under_way.take().is_some() {
            queue.under_way -= 1;
            state.under_way -= 1;
        }
        let change = queue.report(health, now);
        // The other lanes of a webhook that fails or failed wait for this one.
        queue.lanes.iter().filter(|lane| lane.has_worker).for_each(|lane| lane.changed.notify_one());
        self.idle.notify_one();
        change
    }

    /// Sets when a delivery is due; `None` if it is not pending any more.
    pub(super) fn set(&self, endpoint: Endpoint, verification: Sid, seq: Seq, due: Option<Timestamp>) {
        self.state().set(endpoint, verification, seq, due);
        self.wake.notify_one();
    }

    pub(super) fn is_under_way(&self, endpoint: Endpoint, verification: Sid, seq: Seq) -> bool {
        let state = self.state();
        let queue = state.by_webhook.get(&endpoint);
        queue
            .and_then(|queue| queue.lanes.get(lane_of(verification)))
            .is_some_and(|lane| lane.under_way == Some(seq))
    }
}

impl State {
    fn set_end(&mut self, id: Id, before: Option<Timestamp>, after: Option<Timestamp>) {
        let service = service_of(&id);
        if let Some(due) = before {
            self.expected.remove(service, usize::from(self.ends.remove(&(due, id))));
        }
        if let Some(due) = after {
            self.expected.add(service, usize::from(self.ends.insert((due, id))));
        }
    }

    fn set(&mut self, endpoint: Endpoint, verification: Sid, seq: Seq, due: Option<Timestamp>) {
        if due.is_none() && !self.by_webhook.contains_key(&endpoint) {
            return;
        }
        let (queue, lane_of) = (self.by_webhook.entry(endpoint).or_default(), lane_of(verification));
        let Some(lane) = queue.lanes.get_mut(lane_of) else { return };
        match (lane.set(verification, seq, due), due) {
            (false, Some(_)) => {
                queue.pending += 1;
                self.pending.add(endpoint.service, 1);
            }
            (true, None) => {
                queue.pending -= 1;
                self.pending.remove(endpoint.service, 1);
            }
            (true, Some(_)) | (false, None) => {}
        }
        if due.is_some() && !lane.has_worker {
            lane.has_worker = true;
            self.unserved.push(LaneId { endpoint, lane: lane_of });
        }
        self.remove_idle(endpoint);
    }

    fn remove_idle(&mut self, endpoint: Endpoint) {
        let is_idle = |queue: &Queue| queue.pending == 0 && !queue.lanes.iter().any(|lane| lane.has_worker);
        if self.by_webhook.get(&endpoint).is_some_and(is_idle) {
            self.by_webhook.remove(&endpoint);
        }
    }
}

impl Queue {
    fn report(&mut self, health: WebhookHealth, now: Timestamp) -> Option<HealthChange> {
        let before = self.failures;
        match health {
            WebhookHealth::Failing(retry_after) => {
                // Attempts that were under way together fail together: that is one failure.
                if now >= self.not_before {
                    self.failures = before.saturating_add(1);
                    self.not_before = now.plus(pause(self.failures, retry_after));
                }
                (before == 0).then_some(HealthChange::Down)
            }
            WebhookHealth::Up | WebhookHealth::Gone => {
                (self.failures, self.not_before) = (0, Timestamp::EPOCH);
                (before > 0 && health == WebhookHealth::Up).then_some(HealthChange::Up)
            }
            WebhookHealth::NotAsked => None,
        }
    }
}

impl Lane {
    /// Sets when a delivery is due; `None` removes it. Returns whether it was present.
    fn set(&mut self, verification: Sid, seq: Seq, due: Option<Timestamp>) -> bool {
        if let Some(head) = self.head(verification) {
            self.heads.remove(&head);
        }
        let before = match due {
            Some(due) => self.waiting.insert((verification, seq), due),
            None => self.waiting.remove(&(verification, seq)),
        };
        self.heads.extend(self.head(verification));
        self.changed.notify_one();
        before.is_some()
    }

    fn head(&self, verification: Sid) -> Option<(Timestamp, Sid, Seq)> {
        let mut own = self.waiting.range((verification, Seq::default())..);
        let ((of, seq), due) = own.next()?;
        (*of == verification).then_some((*due, verification, *seq))
    }
}

/// Follows the records of one shard.
pub(super) struct Follower {
    pub queues: Arc<Queues>,
    pub sequences: Arc<Sequences>,
}

impl LogFollower<EventRecord> for Follower {
    fn changed(&mut self, key: &RecordKey, before: Option<&EventRecord>, after: Option<&EventRecord>) {
        let end = |record: Option<&EventRecord>| match record {
            Some(EventRecord::Expected(end)) => Some(end.due()),
            Some(EventRecord::Delivery(_)) | None => None,
        };
        let Some(seq) = Seq::of(&key.id) else {
            self.queues.state().set_end(key.id, end(before), end(after));
            return self.queues.wake.notify_one();
        };
        self.sequences.raise(key.slot, seq);
        let delivery = |record: Option<&EventRecord>| match record {
            Some(EventRecord::Delivery(delivery)) => {
                let endpoint = Endpoint { service: delivery.event.service, webhook: delivery.webhook };
                let due = (delivery.state == DeliveryState::Pending).then_some(delivery.due);
                Some((endpoint, delivery.event.verification, due))
            }
            Some(EventRecord::Expected(_)) | None => None,
        };
        let (before, after) = (delivery(before), delivery(after));
        if let Some((endpoint, verification, _)) = after.or(before) {
            let due = after.and_then(|(_, _, due)| due);
            self.queues.set(endpoint, verification, seq, due);
        }
    }
}
