//! The deliveries that are still to be made, and the expected ends. Derived from the records of all shards; it needs no
//! durability.
//!
//! A verification has one delivery to a webhook under way until its end is durable. Therefore its events keep their order,
//! and a crash repeats at most the deliveries under way: eight of each webhook.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::record::{DeliveryState, EventRecord, Seq, WebhookAttempt, WebhookHealth, pause};
use crate::domain::{ServiceId, Sid, Timestamp};
use crate::registry::Service;
use crate::shard::{Id, RecordKey, Shares, service_of};

/// Requests that a webhook has in flight at once.
const AT_ONCE: usize = 8;

/// Limits of the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxBounds {
    /// Deliveries that are still to be made, and verifications with an expected expiry event. Beyond it events are dropped.
    pub pending: usize,
    /// The same for one webhook.
    pub pending_each: usize,
    /// Deliveries that are remembered after their end; the oldest are forgotten first.
    pub kept: usize,
    /// Attempts that are in flight. A webhook has at most eight, and a failing one a single one.
    pub at_once: usize,
}

impl Default for OutboxBounds {
    fn default() -> Self {
        Self {
            pending: 100_000,
            // A dead webhook takes at most half of the room.
            pending_each: 50_000,
            kept: 100_000,
            at_once: 512,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Endpoint {
    pub service: ServiceId,
    pub webhook: Sid,
}

pub(super) struct Queues {
    state: Mutex<State>,
    bounds: OutboxBounds,
    /// The last [`Seq`] of each slot. A failed commit leaves a gap.
    last: [AtomicU64; 256],
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
        let last = std::array::from_fn(|_| AtomicU64::new(0));
        Self { state: Mutex::default(), bounds, last, wake: Notify::new(), idle: Notify::new() }
    }

    pub(super) fn next_seq(&self, slot: u8, now: Timestamp) -> Seq {
        let Some(last) = self.last.get(usize::from(slot)) else { return Seq::next(0, slot, now) };
        // One shard owns the slot: no other thread draws from it.
        let next = Seq::next(last.load(Ordering::Relaxed), slot, now);
        last.store(next.0, Ordering::Relaxed);
        next
    }

    /// The number of further deliveries to a webhook that may be pending, besides `added` to other webhooks. Those of
    /// the batch in flight are not counted yet.
    pub(super) fn room(&self, service: ServiceId, webhook: Sid, added: usize) -> usize {
        let state = self.state.lock();
        let of_it =
            state.webhooks.get(&Endpoint { service, webhook }).map_or(0, |webhook| webhook.pending.len());
        let room = state.held.room(service, self.bounds.pending).saturating_sub(added);
        room.min(self.bounds.pending_each.saturating_sub(of_it))
    }

    pub(super) fn has_room_for_end(&self, service: ServiceId) -> bool {
        self.state.lock().held.room(service, self.bounds.pending) > 0
    }

    /// Counts an event that a webhook does not get. The log has the first one, and after it each doubling.
    pub(super) fn count_drop(&self, service: &Service, webhook: Sid, now: Timestamp) {
        let state = &mut *self.state.lock();
        let load = &mut state.webhook(Endpoint { service: service.id, webhook }).load;
        (load.dropped, load.last_dropped) = (load.dropped + 1, Some(now));
        let dropped = load.dropped;
        if dropped.is_power_of_two() {
            let (service, pending, expected) = (service.name(), state.pending(), state.ends.len());
            tracing::warn!(
                service, %webhook, dropped, pending, expected,
                "webhook events dropped; too many deliveries are pending"
            );
        }
    }

    pub(super) fn load(&self, endpoint: Endpoint) -> WebhookLoad {
        let state = self.state.lock();
        let load = |webhook: &Webhook| WebhookLoad { pending: webhook.pending.len(), ..webhook.load.clone() };
        state.webhooks.get(&endpoint).map(load).unwrap_or_default()
    }

    pub(super) fn failing(&self) -> usize {
        self.state.lock().webhooks.values().filter(|webhook| webhook.load.failures > 0).count()
    }

    pub(super) fn pending(&self) -> usize {
        self.state.lock().pending()
    }

    /// Deliveries that may be pending.
    pub(super) const fn most_pending(&self) -> usize {
        self.bounds.pending
    }

    pub(super) fn under_way(&self) -> usize {
        self.state.lock().under_way
    }

    #[cfg(test)]
    pub(super) fn expected(&self) -> usize {
        self.state.lock().ends.len()
    }

    /// No attempt begins any more.
    pub(super) fn close(&self) {
        self.state.lock().is_closing = true;
    }

    pub(super) fn is_closing(&self) -> bool {
        self.state.lock().is_closing
    }

    /// Takes up to `most` ends that are due, and begins every attempt that may begin.
    pub(super) fn take(&self, now: Timestamp, most: usize) -> Due {
        let (state, mut due) = (&mut *self.state.lock(), Due::default());
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
        self.state.lock().set_end(id, None, Some(due));
        self.wake.notify_one();
    }

    /// An attempt has ended, and its result is recorded. `said` is that in words. Returns `true` if the webhook begins or
    /// ceases to fail.
    pub(super) fn finish(&self, attempt: Attempt, health: WebhookHealth, said: &str, now: Timestamp) -> bool {
        let Attempt { endpoint, verification, .. } = attempt;
        let state = &mut *self.state.lock();
        let webhook = state.webhook(endpoint);
        webhook.under_way.remove(&verification);
        webhook.heads.extend(webhook.head(verification));
        let change = webhook.load.report(health, said, now);
        state.under_way -= 1;
        state.place(endpoint);
        state.remove_idle(endpoint);
        self.wake.notify_one();
        self.idle.notify_one();
        change
    }

    /// Sets when a delivery is due; `None` if it is not pending any more.
    pub(super) fn set(&self, endpoint: Endpoint, verification: Sid, seq: Seq, due: Option<Timestamp>) {
        self.state.lock().set(endpoint, verification, seq, due);
        self.wake.notify_one();
    }

    /// A record has changed, or is restored. `None` means absent.
    pub(super) fn changed(&self, key: &RecordKey, before: Option<&EventRecord>, after: Option<&EventRecord>) {
        let end = |record: Option<&EventRecord>| Some(record?.expected()?.due());
        let Some(seq) = Seq::of(&key.id) else {
            self.state.lock().set_end(key.id, end(before), end(after));
            return self.wake.notify_one();
        };
        if let Some(last) = self.last.get(usize::from(key.slot)) {
            last.fetch_max(seq.0, Ordering::Relaxed);
        }
        let Some(delivery) = after.or(before).and_then(EventRecord::delivery) else { return };
        let endpoint = Endpoint { service: delivery.event.service, webhook: delivery.webhook };
        let is_pending = after.is_some() && delivery.state == DeliveryState::Pending;
        if before.is_none()
            && let Some(last) = delivery.attempts.last().filter(|_| is_pending)
        {
            self.state.lock().webhook(endpoint).load.restore(last);
        }
        self.set(endpoint, delivery.event.verification, seq, is_pending.then_some(delivery.due));
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
        let Some(Webhook { pending, load, under_way, .. }) = self.webhooks.get_mut(&endpoint) else {
            return;
        };
        if !pending.is_empty() || !under_way.is_empty() {
            return;
        }
        (load.failures, load.not_before) = (0, Timestamp::EPOCH);
        if load.last_error.is_none() && load.dropped == 0 {
            self.webhooks.remove(&endpoint);
        }
    }
}

impl WebhookLoad {
    /// A delivery that failed before the start. Whether the webhook took others since is unknown: only an attempt can say
    /// that it fails.
    fn restore(&mut self, last: &WebhookAttempt) {
        if self.last_error.as_ref().is_none_or(|(at, _)| *at < last.at) {
            self.last_error = Some((last.at, last.said()));
        }
    }

    fn report(&mut self, health: WebhookHealth, said: &str, now: Timestamp) -> bool {
        let before = self.failures;
        if matches!(health, WebhookHealth::Failing(_) | WebhookHealth::Gone) {
            self.last_error = Some((now, said.to_owned()));
        }
        match health {
            WebhookHealth::Failing(retry_after) => {
                // Attempts that were under way together fail together: that is one failure.
                if now >= self.not_before {
                    self.failures = before.saturating_add(1);
                    self.not_before = now.plus(pause(self.failures, retry_after));
                }
            }
            WebhookHealth::Up | WebhookHealth::Gone => {
                (self.failures, self.not_before) = (0, Timestamp::EPOCH);
            }
            WebhookHealth::NotAsked => {}
            WebhookHealth::Removed => {
                (self.dropped, self.last_dropped, self.last_error) = (0, None, None);
            }
        }
        (before > 0) != (self.failures > 0)
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
