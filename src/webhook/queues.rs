//! The deliveries that are still to be made, and the expected ends. Derived from the records of all shards; it needs no
//! durability.
//!
//! A verification has one delivery to a webhook under way until its end is durable. Therefore its events keep their order,
//! and a crash repeats at most the deliveries under way: eight of each webhook.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::OutboxBounds;
use super::backoff::pause;
use super::record::{DeliveryState, EventRecord, Seq, WebhookHealth};
use super::recorder::Sequences;
use crate::domain::{ServiceId, Sid, Timestamp};
use crate::registry::Service;
use crate::shard::{Id, RecordKey, Shares, service_of};

/// Requests that a webhook has in flight at once.
const AT_ONCE: usize = 8;

/// A webhook that drops events is logged once in this time.
const LOG_DROPS_EVERY: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Endpoint {
    pub service: ServiceId,
    pub webhook: Sid,
}

pub(super) struct Queues {
    state: Mutex<State>,
    bounds: OutboxBounds,
    /// An attempt or an end may be due earlier.
    pub wake: Notify,
    /// An attempt has ended.
    pub idle: Notify,
}

#[derive(Default)]
struct State {
    webhooks: HashMap<Endpoint, Webhook>,
    /// The webhooks whose next attempt may begin, by when.
    ready: BTreeSet<(Timestamp, Endpoint)>,
    under_way: usize,
    /// Expected ends, by when they are due.
    ends: BTreeSet<(Timestamp, Id)>,
    /// Pending deliveries and expected ends.
    held: Shares,
    is_closing: bool,
}

/// Kept while deliveries are pending, and until the webhook is removed if there is something to tell about it.
#[derive(Default)]
struct Webhook {
    /// When each delivery is due, by verification, in the order of its events.
    pending: BTreeMap<(Sid, Seq), Timestamp>,
    /// The first delivery of each verification that has none under way, by when it is due.
    heads: BTreeSet<(Timestamp, Sid, Seq)>,
    /// The verifications with a delivery under way.
    under_way: HashSet<Sid>,
    /// Its entry in [`State::ready`].
    ready: Option<Timestamp>,
    load: WebhookLoad,
    dropped: Dropped,
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

/// A delivery that is under way until [`Queues::finish`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt {
    pub endpoint: Endpoint,
    pub verification: Sid,
    pub seq: Seq,
}

/// The work that may begin now.
#[derive(Default)]
pub(super) struct Due {
    pub ends: Vec<Id>,
    pub attempts: Vec<Attempt>,
    /// When more is due.
    pub next: Option<Timestamp>,
}

impl Queues {
    pub(super) fn new(bounds: OutboxBounds) -> Self {
        Self { state: Mutex::default(), bounds, wake: Notify::new(), idle: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of further deliveries to a webhook that may be pending, besides `added` to other webhooks. Those of
    /// the batch in flight are not counted yet.
    pub(super) fn room(&self, service: ServiceId, webhook: Sid, added: usize) -> usize {
        let state = self.state();
        let of_it =
            state.webhooks.get(&Endpoint { service, webhook }).map_or(0, |webhook| webhook.pending.len());
        let room = state.held.room(service, self.bounds.pending).saturating_sub(added);
        room.min(self.bounds.pending_each.saturating_sub(of_it))
    }

    pub(super) fn has_room_for_end(&self, service: ServiceId) -> bool {
        self.state().held.room(service, self.bounds.pending) > 0
    }

    /// Counts an event that a webhook does not get, and logs it from time to time.
    pub(super) fn count_drop(&self, service: &Service, webhook: Sid, now: Timestamp) {
        let state = &mut *self.state();
        let dropped = &mut state.webhook(Endpoint { service: service.id, webhook }).dropped;
        (dropped.count, dropped.last) = (dropped.count + 1, now);
        if dropped.logged.is_none_or(|logged| now.since(logged) >= LOG_DROPS_EVERY) {
            dropped.logged = Some(now);
            let (service, dropped) = (service.name(), dropped.count);
            let (pending, expected) = (state.pending(), state.ends.len());
            tracing::warn!(
                service, %webhook, dropped, pending, expected,
                "webhook events dropped; too many deliveries are pending"
            );
        }
    }

    /// The number of events that a webhook did not get since the start, and when the last one was dropped.
    pub(super) fn dropped(&self, endpoint: Endpoint) -> (u64, Option<Timestamp>) {
        let dropped = self.state().webhooks.get(&endpoint).map(|webhook| webhook.dropped).unwrap_or_default();
        (dropped.count, (dropped.count > 0).then_some(dropped.last))
    }

    pub(super) fn load(&self, endpoint: Endpoint) -> WebhookLoad {
        let state = self.state();
        let load = |webhook: &Webhook| WebhookLoad { pending: webhook.pending.len(), ..webhook.load.clone() };
        state.webhooks.get(&endpoint).map(load).unwrap_or_default()
    }

    pub(super) fn failing(&self) -> usize {
        self.state().webhooks.values().filter(|webhook| webhook.load.failures > 0).count()
    }

    pub(super) fn note_error(&self, endpoint: Endpoint, at: Timestamp, said: String) {
        self.state().webhook(endpoint).load.last_error = Some((at, said));
    }

    /// The webhook was removed.
    pub(super) fn forget(&self, endpoint: Endpoint) {
        let state = &mut *self.state();
        let webhook = state.webhook(endpoint);
        (webhook.dropped, webhook.load.last_error) = (Dropped::default(), None);
        state.remove_idle(endpoint);
    }

    pub(super) fn pending(&self) -> usize {
        self.state().pending()
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
            pending: state.pending(),
            under_way: state.under_way,
            expected: state.ends.len(),
            dropped: state.webhooks.values().map(|webhook| webhook.dropped.count).sum(),
        }
    }

    /// No attempt begins any more.
    pub(super) fn close(&self) {
        self.state().is_closing = true;
    }

    pub(super) fn is_closing(&self) -> bool {
        self.state().is_closing
    }

    /// Takes up to `most` ends that are due, and begins every attempt that may begin.
    pub(super) fn take(&self, now: Timestamp, most: usize) -> Due {
        let (state, mut due) = (&mut *self.state(), Due::default());
        if state.is_closing {
            return due;
        }
        while due.ends.len() < most
            && let Some((at, id)) = state.ends.first().copied().filter(|(at, _)| *at <= now)
        {
            state.set_end(id, Some(at), None);
            due.ends.push(id);
        }
        due.next = state.ends.first().map(|(at, _)| *at);
        while state.under_way < self.bounds.at_once
            && let Some((at, endpoint)) = state.ready.first().copied()
        {
            if at > now {
                due.next = due.next.into_iter().chain([at]).min();
                break;
            }
            due.attempts.extend(state.begin(endpoint));
        }
        due
    }

    /// An expiry event that could not be written is due again at `due`.
    pub(super) fn expire_again(&self, due: Timestamp, id: Id) {
        self.state().set_end(id, None, Some(due));
        self.wake.notify_one();
    }

    /// An attempt has ended, and its result is recorded. Returns the webhook's health, if that has changed.
    pub(super) fn finish(
        &self,
        attempt: Attempt,
        health: WebhookHealth,
        now: Timestamp,
    ) -> Option<WebhookHealth> {
        let Attempt { endpoint, verification, .. } = attempt;
        let state = &mut *self.state();
        let webhook = state.webhook(endpoint);
        webhook.under_way.remove(&verification);
        webhook.heads.extend(webhook.head(verification));
        let change = webhook.load.report(health, now);
        state.under_way -= 1;
        state.place(endpoint);
        state.remove_idle(endpoint);
        self.wake.notify_one();
        self.idle.notify_one();
        change
    }

    /// Sets when a delivery is due; `None` if it is not pending any more.
    pub(super) fn set(&self, endpoint: Endpoint, verification: Sid, seq: Seq, due: Option<Timestamp>) {
        self.state().set(endpoint, verification, seq, due);
        self.wake.notify_one();
    }
}

impl State {
    fn webhook(&mut self, endpoint: Endpoint) -> &mut Webhook {
        self.webhooks.entry(endpoint).or_default()
    }

    fn pending(&self) -> usize {
        self.held.held() - self.ends.len()
    }

    fn set_end(&mut self, id: Id, before: Option<Timestamp>, after: Option<Timestamp>) {
        let service = service_of(&id);
        if let Some(due) = before {
            self.held.remove(service, usize::from(self.ends.remove(&(due, id))));
        }
        if let Some(due) = after {
            self.held.add(service, usize::from(self.ends.insert((due, id))));
        }
    }

    fn set(&mut self, endpoint: Endpoint, verification: Sid, seq: Seq, due: Option<Timestamp>) {
        if due.is_none() && !self.webhooks.contains_key(&endpoint) {
            return;
        }
        let before = usize::from(self.webhook(endpoint).set(verification, seq, due));
        self.held.add(endpoint.service, usize::from(due.is_some()));
        self.held.remove(endpoint.service, before);
        self.place(endpoint);
        self.remove_idle(endpoint);
    }

    fn begin(&mut self, endpoint: Endpoint) -> Option<Attempt> {
        let webhook = self.webhook(endpoint);
        let (_, verification, seq) = webhook.heads.pop_first()?;
        webhook.under_way.insert(verification);
        self.under_way += 1;
        self.place(endpoint);
        Some(Attempt { endpoint, verification, seq })
    }

    /// Updates when the next attempt of a webhook may begin. A webhook that fails has one attempt at a time, with a pause
    /// between them.
    fn place(&mut self, endpoint: Endpoint) {
        let Some(Webhook { heads, load, under_way, ready, .. }) = self.webhooks.get_mut(&endpoint) else {
            return;
        };
        let at_once = if load.failures > 0 { 1 } else { AT_ONCE };
        let head = heads.first().filter(|_| under_way.len() < at_once);
        let at = head.map(|(due, ..)| load.not_before.max(*due));
        if let Some(before) = std::mem::replace(ready, at) {
            self.ready.remove(&(before, endpoint));
        }
        self.ready.extend(at.map(|at| (at, endpoint)));
    }

    fn remove_idle(&mut self, endpoint: Endpoint) {
        let Some(Webhook { pending, load, under_way, dropped, .. }) = self.webhooks.get_mut(&endpoint) else {
            return;
        };
        if !pending.is_empty() || !under_way.is_empty() {
            return;
        }
        *load = WebhookLoad { last_error: load.last_error.take(), ..WebhookLoad::default() };
        if load.last_error.is_none() && dropped.count == 0 {
            self.webhooks.remove(&endpoint);
        }
    }
}

impl WebhookLoad {
    fn report(&mut self, health: WebhookHealth, now: Timestamp) -> Option<WebhookHealth> {
        let before = self.failures;
        match health {
            WebhookHealth::Failing(retry_after) => {
                // Attempts that were under way together fail together: that is one failure.
                if now >= self.not_before {
                    self.failures = before.saturating_add(1);
                    self.not_before = now.plus(pause(self.failures, retry_after));
                }
                (before == 0).then_some(health)
            }
            WebhookHealth::Up | WebhookHealth::Gone => {
                (self.failures, self.not_before) = (0, Timestamp::EPOCH);
                (before > 0).then_some(health)
            }
            WebhookHealth::NotAsked => None,
        }
    }
}

impl Webhook {
    /// Sets when a delivery is due; `None` removes it. Returns whether it was present.
    fn set(&mut self, verification: Sid, seq: Seq, due: Option<Timestamp>) -> bool {
        if let Some(head) = self.head(verification) {
            self.heads.remove(&head);
        }
        let before = match due {
            Some(due) => self.pending.insert((verification, seq), due),
            None => self.pending.remove(&(verification, seq)),
        };
        if !self.under_way.contains(&verification) {
            self.heads.extend(self.head(verification));
        }
        before.is_some()
    }

    fn head(&self, verification: Sid) -> Option<(Timestamp, Sid, Seq)> {
        let mut own = self.pending.range((verification, Seq::default())..);
        let ((of, seq), due) = own.next()?;
        (*of == verification).then_some((*due, verification, *seq))
    }
}

/// Follows the records of one shard.
pub(super) struct Follower {
    pub queues: Arc<Queues>,
    pub sequences: Arc<Sequences>,
}

impl Follower {
    pub fn changed(&self, key: &RecordKey, before: Option<&EventRecord>, after: Option<&EventRecord>) {
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
