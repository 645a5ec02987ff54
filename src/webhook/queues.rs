//! The order of deliveries: pure decisions without I/O.
//!
//! Each webhook has a queue, and in it a chain for each verification: a delivery begins when the end of the one before
//! it is durable. A crash repeats at most the one under way.

use std::collections::{BTreeMap, HashMap};

use super::backoff::pause;
use super::record::{Seq, WebhookHealth};
use crate::domain::{ServiceId, Sid, Timestamp};
use crate::shard::Shares;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Endpoint {
    pub service: ServiceId,
    pub webhook: Sid,
}

pub(super) struct Queues {
    by_endpoint: HashMap<Endpoint, Queue>,
    pending: Shares,
    under_way: Shares,
    at_once: usize,
    at_once_each: usize,
}

#[derive(Default)]
struct Queue {
    chains: HashMap<Sid, Chain>,
    /// The first of each chain without an attempt under way, by when it is due, with its verification.
    heads: BTreeMap<(Timestamp, Seq), Sid>,
    pending: usize,
    under_way: usize,
    /// Failures in a row.
    failures: u32,
    not_before: Timestamp,
}

/// The deliveries of one verification to one webhook.
#[derive(Default)]
struct Chain {
    waiting: BTreeMap<Seq, Timestamp>,
    /// Under way, until its end is durable.
    under_way: Option<Seq>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HealthChange {
    Down,
    Up,
}

impl Queues {
    pub(super) fn new(at_once: usize, at_once_each: usize) -> Self {
        let (pending, under_way) = (Shares::default(), Shares::default());
        Self { by_endpoint: HashMap::new(), pending, under_way, at_once, at_once_each }
    }

    pub(super) fn pending_of(&self, endpoint: Endpoint) -> usize {
        self.by_endpoint.get(&endpoint).map_or(0, |queue| queue.pending)
    }

    pub(super) const fn pending(&self) -> &Shares {
        &self.pending
    }

    pub(super) const fn under_way(&self) -> usize {
        self.under_way.held()
    }

    pub(super) fn set(&mut self, endpoint: Endpoint, verification: Sid, seq: Seq, due: Timestamp) {
        let queue = self.by_endpoint.entry(endpoint).or_default();
        let is_new = queue.change(verification, |chain| chain.waiting.insert(seq, due)).is_none();
        queue.pending += usize::from(is_new);
        self.pending.add(endpoint.service, usize::from(is_new));
    }

    pub(super) fn remove(&mut self, endpoint: Endpoint, verification: Sid, seq: Seq) {
        let Some(queue) = self.by_endpoint.get_mut(&endpoint) else { return };
        let was_pending = queue.change(verification, |chain| chain.waiting.remove(&seq)).is_some();
        queue.pending -= usize::from(was_pending);
        self.pending.remove(endpoint.service, usize::from(was_pending));
        if queue.is_idle() {
            self.by_endpoint.remove(&endpoint);
        }
    }

    pub(super) fn is_under_way(&self, endpoint: Endpoint, verification: Sid, seq: Seq) -> bool {
        let chain = self.by_endpoint.get(&endpoint).and_then(|queue| queue.chains.get(&verification));
        chain.is_some_and(|chain| chain.under_way == Some(seq))
    }

    /// Begins an attempt of the delivery that has been due for the longest time, if the bounds allow one.
    pub(super) fn take(&mut self, now: Timestamp) -> Option<Seq> {
        let may_go = self.open_queues();
        let ready = may_go.filter(|(_, queue)| queue.not_before <= now).filter_map(|(endpoint, queue)| {
            let (due, seq) = *queue.heads.first_key_value()?.0;
            (due <= now).then_some((due, seq, *endpoint))
        });
        let (due, seq, endpoint) = ready.min()?;
        let queue = self.by_endpoint.get_mut(&endpoint)?;
        let verification = queue.heads.remove(&(due, seq))?;
        queue.chains.get_mut(&verification)?.under_way = Some(seq);
        queue.under_way += 1;
        self.under_way.add(endpoint.service, 1);
        Some(seq)
    }

    /// When the next delivery can begin; `None` if only the end of an attempt can change that.
    pub(super) fn next_at(&self) -> Option<Timestamp> {
        self.open_queues()
            .filter_map(|(_, queue)| Some(queue.heads.first_key_value()?.0.0.max(queue.not_before)))
            .min()
    }

    /// Queues with a free place. A failing one has a single place, and the failing ones of a service together have half
    /// of its places. A service gets a place while it has fewer than are free. Therefore several services whose
    /// receivers hang leave places for the others.
    fn open_queues(&self) -> impl Iterator<Item = (&Endpoint, &Queue)> {
        let mut failing = Shares::default();
        for (endpoint, queue) in self.by_endpoint.iter().filter(|(_, queue)| queue.failures > 0) {
            failing.add(endpoint.service, queue.under_way);
        }
        let free = self.at_once.saturating_mul(2).saturating_sub(self.under_way.held());
        self.by_endpoint.iter().filter(move |(endpoint, queue)| match queue.failures {
            _ if self.under_way.of(endpoint.service) >= free => false,
            0 => queue.under_way < self.at_once_each,
            _ => queue.under_way == 0 && failing.of(endpoint.service) < self.at_once.div_ceil(2),
        })
    }

    /// The result of the attempt under way is recorded.
    pub(super) fn finish(&mut self, endpoint: Endpoint, verification: Sid, seq: Seq) {
        let Some(queue) = self.by_endpoint.get_mut(&endpoint) else { return };
        let was_under_way =
            queue.change(verification, |chain| chain.under_way.take_if(|held| *held == seq)).is_some();
        queue.under_way -= usize::from(was_under_way);
        self.under_way.remove(endpoint.service, usize::from(was_under_way));
        if queue.is_idle() {
            self.by_endpoint.remove(&endpoint);
        }
    }

    pub(super) fn report(
        &mut self,
        endpoint: Endpoint,
        health: WebhookHealth,
        now: Timestamp,
    ) -> Option<HealthChange> {
        let queue = self.by_endpoint.get_mut(&endpoint)?;
        let before = queue.failures;
        match health {
            WebhookHealth::Failing(retry_after) => {
                // Attempts that were under way together fail together: that is one failure.
                if now >= queue.not_before {
                    queue.failures = before.saturating_add(1);
                    queue.not_before = now.plus(pause(queue.failures, retry_after));
                }
                (before == 0).then_some(HealthChange::Down)
            }
            WebhookHealth::Up | WebhookHealth::Gone => {
                (queue.failures, queue.not_before) = (0, Timestamp::EPOCH);
                (before > 0 && health == WebhookHealth::Up).then_some(HealthChange::Up)
            }
            WebhookHealth::NotAsked => None,
        }
    }
}

impl Queue {
    /// Changes a chain, and keeps its head where it belongs.
    fn change<T>(&mut self, verification: Sid, change: impl FnOnce(&mut Chain) -> T) -> T {
        let chain = self.chains.entry(verification).or_default();
        if let Some(head) = chain.head() {
            self.heads.remove(&head);
        }
        let changed = change(chain);
        match chain.head() {
            Some(head) => drop(self.heads.insert(head, verification)),
            None if chain.waiting.is_empty() && chain.under_way.is_none() => {
                self.chains.remove(&verification);
            }
            None => {}
        }
        changed
    }

    fn is_idle(&self) -> bool {
        self.chains.is_empty() && self.under_way == 0
    }
}

impl Chain {
    /// The delivery that may go first, and when; `None` while an attempt is under way.
    fn head(&self) -> Option<(Timestamp, Seq)> {
        let (seq, due) = self.waiting.first_key_value().filter(|_| self.under_way.is_none())?;
        Some((*due, *seq))
    }
}
