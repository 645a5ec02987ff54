//! The schedule of all deliveries over all shards. It is derived from their records and needs no durability.

use std::collections::hash_map::Entry as MapEntry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::queues::{Endpoint, HealthChange, Queues};
use super::record::{Delivery, DeliveryState, DroppedEvents, EventRecord, KEPT_FOR, Seq, WebhookHealth};
use super::recorder::Sequences;
use super::{EventId, EventType, OutboxBounds};
use crate::domain::{ServiceId, Sid, Timestamp};
use crate::registry::Service;
use crate::shard::{Id, Index, RecordKey, Shares, Stored, decode, service_of};

pub(super) struct Schedule {
    state: Mutex<State>,
    bounds: OutboxBounds,
    pub wake: Notify,
    pub idle: Notify,
}

struct State {
    entries: BTreeMap<Seq, Entry>,
    by_endpoint: HashMap<Endpoint, BTreeSet<Seq>>,
    /// Deliveries that have ended, by service. If there are too many, the oldest of the service with the most go first.
    ended: HashMap<ServiceId, BTreeSet<Seq>>,
    ended_counts: Shares,
    queues: Queues,
    /// Expected ends, by when they are due.
    ends: BTreeSet<(Timestamp, Id)>,
    expected: Shares,
    is_closing: bool,
    /// Counts of dropped events, with the moment of the last one.
    dropped: HashMap<Endpoint, DroppedCounts>,
    /// The services whose events are being dropped, with their names for the log.
    dropping: HashMap<ServiceId, String>,
}

/// The dropped events of a webhook in each slot: how many, and when the last one was dropped.
type DroppedCounts = HashMap<Id, (u64, Timestamp)>;

/// The sum of these counts, and the latest moment.
fn sum_dropped<'a>(counts: impl Iterator<Item = &'a DroppedCounts>) -> (u64, Option<Timestamp>) {
    let counts = counts.flat_map(HashMap::values);
    counts.fold((0, None), |(sum, latest), (count, last)| (sum + count, latest.max(Some(*last))))
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub endpoint: Endpoint,
    pub verification: Sid,
    pub id: EventId,
    pub kind: EventType,
    pub at: Timestamp,
    pub state: DeliveryState,
    pub due: Timestamp,
}

pub(super) enum Next {
    Expire(Id),
    Forget(Seq, ServiceId),
    Attempt(Seq, Entry),
    /// `None`: nothing is due until a record changes.
    Wait(Option<Timestamp>),
}

impl Entry {
    fn of(delivery: &Delivery) -> Self {
        let Delivery { id, event, webhook, state, due, .. } = delivery;
        Self {
            endpoint: Endpoint { service: event.service, webhook: *webhook },
            verification: event.verification,
            id: *id,
            kind: event.kind,
            at: event.at,
            state: *state,
            due: *due,
        }
    }
}

impl Schedule {
    pub(super) fn new(bounds: OutboxBounds) -> Self {
        let state = State {
            entries: BTreeMap::new(),
            by_endpoint: HashMap::new(),
            ended: HashMap::new(),
            ended_counts: Shares::default(),
            queues: Queues::new(bounds.at_once, bounds.at_once_each),
            ends: BTreeSet::new(),
            expected: Shares::default(),
            is_closing: false,
            dropped: HashMap::new(),
            dropping: HashMap::new(),
        };
        Self { state: Mutex::new(state), bounds, wake: Notify::new(), idle: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of further deliveries to a webhook that may be pending, besides `added` to other webhooks. Those of
    /// the batch in flight are not counted yet.
    pub(super) fn room(&self, service: ServiceId, webhook: Sid, added: usize) -> usize {
        let state = self.state();
        let of_it = state.queues.pending_of(Endpoint { service, webhook });
        let room = state.queues.pending().room(service, self.bounds.pending).saturating_sub(added);
        room.min(self.bounds.pending_each.saturating_sub(of_it))
    }

    pub(super) fn has_room_for_end(&self, service: ServiceId) -> bool {
        self.state().expected.room(service, self.bounds.expected) > 0
    }

    /// Logs that a service's events are being dropped, once until they are accepted again.
    pub(super) fn log_drop(&self, service: &Service, webhook: Sid) {
        let State { dropping, queues, expected, .. } = &mut *self.state();
        if let MapEntry::Vacant(new) = dropping.entry(service.id) {
            let service = new.insert(service.name());
            let (pending, expected) = (queues.pending().held(), expected.held());
            tracing::warn!(
                service, %webhook, pending, expected,
                "webhook events dropped; too many deliveries are pending"
            );
        }
    }

    /// The number of events that a webhook did not get, and when the last one was dropped.
    pub(super) fn dropped(&self, endpoint: Endpoint) -> (u64, Option<Timestamp>) {
        sum_dropped(self.state().dropped.get(&endpoint).into_iter())
    }

    pub(super) fn pending(&self) -> usize {
        self.state().queues.pending().held()
    }

    /// Deliveries of one service that may be pending.
    pub(super) const fn most_pending(&self) -> usize {
        self.bounds.pending
    }

    pub(super) fn under_way(&self) -> usize {
        self.state().queues.under_way()
    }

    #[cfg(test)]
    pub(super) fn counts(&self) -> super::tests::OutboxCounts {
        let state = self.state();
        super::tests::OutboxCounts {
            pending: state.queues.pending().held(),
            under_way: state.queues.under_way(),
            expected: state.expected.held(),
            dropped: sum_dropped(state.dropped.values()).0,
        }
    }

    pub(super) fn close(&self) {
        self.state().is_closing = true;
    }

    pub(super) fn is_closing(&self) -> bool {
        self.state().is_closing
    }

    pub(super) fn take(&self, now: Timestamp) -> Next {
        let mut state = self.state();
        if state.is_closing {
            return Next::Wait(None);
        }
        if let Some((due, id)) = state.ends.first().copied().filter(|(due, _)| *due <= now) {
            state.remove_end(due, id);
            return Next::Expire(id);
        }
        if let Some((seq, service)) = state.take_surplus(self.bounds.kept) {
            return Next::Forget(seq, service);
        }
        if let Some(seq) = state.queues.take(now)
            && let Some(entry) = state.entries.get(&seq)
        {
            return Next::Attempt(seq, *entry);
        }
        let first_end = state.ends.first().map(|(due, _)| *due);
        Next::Wait([first_end, state.queues.next_at()].into_iter().flatten().min())
    }

    /// An expiry event that could not be written is due again at `due`.
    pub(super) fn expire_again(&self, due: Timestamp, id: Id) {
        self.state().add_end(due, id);
        self.wake.notify_one();
    }

    pub(super) fn forget_again(&self, seq: Seq) {
        let mut state = self.state();
        let ended = state.entries.get(&seq).filter(|entry| entry.state != DeliveryState::Pending);
        if let Some(service) = ended.map(|entry| entry.endpoint.service) {
            state.set_ended(service, seq, true);
        }
    }

    /// The result of an attempt is recorded.
    pub(super) fn finish(
        &self,
        seq: Seq,
        entry: &Entry,
        health: WebhookHealth,
        now: Timestamp,
    ) -> Option<HealthChange> {
        let mut state = self.state();
        let change = state.queues.report(entry.endpoint, health, now);
        state.queues.finish(entry.endpoint, entry.verification, seq);
        drop(state);
        self.wake.notify_one();
        self.idle.notify_one();
        change
    }

    /// An attempt could not begin: its record could not be read.
    pub(super) fn postpone(&self, seq: Seq, entry: &Entry, due: Timestamp) {
        let mut state = self.state();
        if state.entries.contains_key(&seq) {
            state.queues.set(entry.endpoint, entry.verification, seq, due);
        }
        drop(state);
        self.finish(seq, entry, WebhookHealth::NotAsked, due);
    }

    pub(super) fn forget(&self, seq: Seq) {
        self.state().set(seq, None);
    }

    pub(super) fn is_under_way(&self, seq: Seq) -> bool {
        let state = self.state();
        let entry = state.entries.get(&seq);
        entry.is_some_and(|entry| state.queues.is_under_way(entry.endpoint, entry.verification, seq))
    }

    /// Up to `most` deliveries to a webhook before `before`, the newest first.
    pub(super) fn deliveries(
        &self,
        endpoint: Endpoint,
        before: Option<Seq>,
        most: usize,
        now: Timestamp,
    ) -> Vec<(Seq, Entry)> {
        let state = self.state();
        let Some(of_endpoint) = state.by_endpoint.get(&endpoint) else { return Vec::new() };
        let end = before.map_or(Bound::Unbounded, Bound::Excluded);
        let newest = of_endpoint.range((Bound::Unbounded, end)).rev().take(most);
        let entries = newest.filter_map(|seq| Some((*seq, *state.entries.get(seq)?)));
        let is_kept = |entry: &Entry| entry.state == DeliveryState::Pending || now.since(entry.at) < KEPT_FOR;
        entries.filter(|(_, entry)| is_kept(entry)).collect()
    }

    fn apply(&self, changes: impl Iterator<Item = Change>) {
        let mut state = self.state();
        for change in changes {
            match change {
                Change::Delivery(seq, entry) => state.set(seq, entry),
                Change::End(id, before, after) => {
                    if let Some(due) = before {
                        state.remove_end(due, id);
                    }
                    if let Some(due) = after {
                        state.add_end(due, id);
                    }
                }
                Change::Dropped(id, dropped, true) => {
                    let endpoint = Endpoint { service: dropped.service, webhook: dropped.webhook };
                    state.dropped.entry(endpoint).or_default().insert(id, (dropped.count, dropped.last));
                }
                Change::Dropped(id, dropped, false) => {
                    let endpoint = Endpoint { service: dropped.service, webhook: dropped.webhook };
                    if let Some(counts) = state.dropped.get_mut(&endpoint) {
                        counts.remove(&id);
                    }
                }
            }
        }
        let State { dropping, dropped, queues, expected, .. } = &mut *state;
        let OutboxBounds { pending, expected: most_expected, .. } = self.bounds;
        let has_room = |service: &ServiceId, _: &mut String| {
            queues.pending().room(*service, pending) > pending / 4 * 3
                && expected.room(*service, most_expected) > most_expected / 4 * 3
        };
        for (service, name) in dropping.extract_if(has_room) {
            let of_service = dropped.iter().filter(|(endpoint, _)| endpoint.service == service);
            let dropped_in_7_days = sum_dropped(of_service.map(|(_, counts)| counts)).0;
            tracing::info!(service = name, dropped_in_7_days, "webhook events accepted again");
        }
        drop(state);
        self.wake.notify_one();
    }
}

impl State {
    fn add_end(&mut self, due: Timestamp, id: Id) {
        self.expected.add(service_of(&id), usize::from(self.ends.insert((due, id))));
    }

    fn remove_end(&mut self, due: Timestamp, id: Id) {
        self.expected.remove(service_of(&id), usize::from(self.ends.remove(&(due, id))));
    }

    fn set(&mut self, seq: Seq, entry: Option<Entry>) {
        let Some(entry) = entry else {
            let Some(Entry { endpoint, verification, .. }) = self.entries.remove(&seq) else { return };
            self.queues.remove(endpoint, verification, seq);
            self.set_ended(endpoint.service, seq, false);
            if let Some(of_endpoint) = self.by_endpoint.get_mut(&endpoint) {
                of_endpoint.remove(&seq);
                if of_endpoint.is_empty() {
                    self.by_endpoint.remove(&endpoint);
                }
            }
            return;
        };
        let Entry { endpoint, verification, due, .. } = entry;
        self.entries.insert(seq, entry);
        self.by_endpoint.entry(endpoint).or_default().insert(seq);
        if entry.state == DeliveryState::Pending {
            self.queues.set(endpoint, verification, seq, due);
        } else {
            self.queues.remove(endpoint, verification, seq);
        }
        self.set_ended(endpoint.service, seq, entry.state != DeliveryState::Pending);
    }

    fn set_ended(&mut self, service: ServiceId, seq: Seq, has_ended: bool) {
        let of_service = self.ended.entry(service).or_default();
        if has_ended {
            self.ended_counts.add(service, usize::from(of_service.insert(seq)));
        } else {
            self.ended_counts.remove(service, usize::from(of_service.remove(&seq)));
        }
        if of_service.is_empty() {
            self.ended.remove(&service);
        }
    }

    /// If more than `kept` deliveries have ended: the oldest of the service with the most, so that a flood of one service
    /// removes no delivery of another.
    fn take_surplus(&mut self, kept: usize) -> Option<(Seq, ServiceId)> {
        if self.ended_counts.held() <= kept {
            return None;
        }
        let (service, _) = self.ended_counts.iter().max_by_key(|(_, ended)| *ended)?;
        let seq = *self.ended.get(&service)?.first()?;
        self.set_ended(service, seq, false);
        Some((seq, service))
    }
}

pub(super) struct Follower {
    pub schedule: Arc<Schedule>,
    pub sequences: Arc<Sequences>,
    pub changes: Vec<Change>,
}

pub(super) enum Change {
    Delivery(Seq, Option<Entry>),
    /// An expected end, with the moments at which it was and is due.
    End(Id, Option<Timestamp>, Option<Timestamp>),
    /// A count of dropped events, and whether it is present.
    Dropped(Id, Box<DroppedEvents>, bool),
}

impl Index for Follower {
    fn changed(&mut self, key: &RecordKey, before: Option<&Stored>, after: Option<&Stored>) {
        let read =
            |stored: Option<&Stored>| stored.and_then(|stored| decode::<EventRecord>(&stored.bytes).ok());
        let change = if let Some(seq) = Seq::of(&key.id) {
            self.sequences.raise(key.slot, seq);
            let entry = match read(after) {
                Some(EventRecord::Delivery(delivery)) => Some(Entry::of(&delivery)),
                Some(EventRecord::Expected(_) | EventRecord::Dropped(_)) | None => None,
            };
            Change::Delivery(seq, entry)
        } else {
            let due = |record| match record {
                Some(EventRecord::Expected(end)) => Some(end.due()),
                Some(EventRecord::Delivery(_) | EventRecord::Dropped(_)) | None => None,
            };
            match (read(before), read(after)) {
                (_, Some(EventRecord::Dropped(dropped))) => Change::Dropped(key.id, dropped, true),
                (Some(EventRecord::Dropped(dropped)), None) => Change::Dropped(key.id, dropped, false),
                (before, after) => Change::End(key.id, due(before), due(after)),
            }
        };
        self.changes.push(change);
    }

    fn batch_applied(&mut self) {
        if !self.changes.is_empty() {
            self.schedule.apply(self.changes.drain(..));
        }
    }
}
