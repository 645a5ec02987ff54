//! The order of deliveries: pure decisions without I/O.
//!
//! Each webhook has a lane, and in it a chain for each verification: its deliveries go one after the other, and the next one
//! not before the end of the one before it is durable. A crash repeats at most the one under way.

use std::collections::{BTreeMap, HashMap};

use super::backoff::pause;
use super::record::{Seq, WebhookHealth};
use crate::domain::{ServiceId, Sid, Timestamp};

/// Names all deliveries to one webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct LaneKey {
    pub service: ServiceId,
    pub webhook: Sid,
}

/// All lanes.
pub(super) struct Lanes {
    by_webhook: HashMap<LaneKey, Lane>,
    pending: usize,
    under_way: usize,
    at_once: usize,
    at_once_each: usize,
}

#[derive(Default)]
struct Lane {
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

/// A change of a webhook's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HealthChange {
    Down,
    Up,
}

impl Lanes {
    pub(super) fn new(at_once: usize, at_once_each: usize) -> Self {
        Self { by_webhook: HashMap::new(), pending: 0, under_way: 0, at_once, at_once_each }
    }

    pub(super) fn pending(&self, lane: LaneKey) -> usize {
        self.by_webhook.get(&lane).map_or(0, |lane| lane.pending)
    }

    pub(super) fn pending_in_all(&self) -> usize {
        self.pending
    }

    pub(super) fn under_way(&self) -> usize {
        self.under_way
    }

    /// A delivery is pending, and due at this moment.
    pub(super) fn set(&mut self, key: LaneKey, verification: Sid, seq: Seq, due: Timestamp) {
        let lane = self.by_webhook.entry(key).or_default();
        let is_new = lane.change(verification, |chain| chain.waiting.insert(seq, due)).is_none();
        lane.pending += usize::from(is_new);
        self.pending += usize::from(is_new);
    }

    /// A delivery is pending no more.
    pub(super) fn remove(&mut self, key: LaneKey, verification: Sid, seq: Seq) {
        let Some(lane) = self.by_webhook.get_mut(&key) else { return };
        let was_pending = lane.change(verification, |chain| chain.waiting.remove(&seq)).is_some();
        lane.pending -= usize::from(was_pending);
        self.pending -= usize::from(was_pending);
        if lane.is_idle() {
            self.by_webhook.remove(&key);
        }
    }

    /// Returns `true` while an attempt of the delivery is under way.
    pub(super) fn is_under_way(&self, key: LaneKey, verification: Sid, seq: Seq) -> bool {
        let chain = self.by_webhook.get(&key).and_then(|lane| lane.chains.get(&verification));
        chain.is_some_and(|chain| chain.under_way == Some(seq))
    }

    /// Takes what is due and has a place, the longest due first: it is under way from then on.
    pub(super) fn take(&mut self, now: Timestamp) -> Option<Seq> {
        let may_go = self.open_lanes();
        let ready = may_go.filter(|(_, lane)| lane.not_before <= now).filter_map(|(key, lane)| {
            let (due, seq) = *lane.heads.first_key_value()?.0;
            (due <= now).then_some((due, seq, *key))
        });
        let (due, seq, key) = ready.min()?;
        let lane = self.by_webhook.get_mut(&key)?;
        let verification = lane.heads.remove(&(due, seq))?;
        lane.chains.get_mut(&verification)?.under_way = Some(seq);
        lane.under_way += 1;
        self.under_way += 1;
        Some(seq)
    }

    /// When something could go that cannot go now. Nothing, when only the end of an attempt can change that.
    pub(super) fn next_at(&self) -> Option<Timestamp> {
        self.open_lanes()
            .filter_map(|(_, lane)| Some(lane.heads.first_key_value()?.0.0.max(lane.not_before)))
            .min()
    }

    /// Lanes with a free place. One that is failing has a single place, and all of these together have half of the
    /// places: dead webhooks cost the others nothing.
    fn open_lanes(&self) -> impl Iterator<Item = (&LaneKey, &Lane)> {
        let full = self.under_way >= self.at_once;
        let failing: usize = self.by_webhook.values().filter(|l| l.failures > 0).map(|l| l.under_way).sum();
        let crowded = failing >= self.at_once.div_ceil(2);
        self.by_webhook.iter().filter(move |(_, lane)| match lane.failures {
            _ if full => false,
            0 => lane.under_way < self.at_once_each,
            _ => lane.under_way == 0 && !crowded,
        })
    }

    /// The attempt under way has ended, and what came of it is decided.
    pub(super) fn finish(&mut self, key: LaneKey, verification: Sid, seq: Seq) {
        let Some(lane) = self.by_webhook.get_mut(&key) else { return };
        let was_under_way =
            lane.change(verification, |chain| chain.under_way.take_if(|held| *held == seq)).is_some();
        lane.under_way -= usize::from(was_under_way);
        self.under_way -= usize::from(was_under_way);
        if lane.is_idle() {
            self.by_webhook.remove(&key);
        }
    }

    /// Takes over the result of an attempt.
    pub(super) fn report(
        &mut self,
        key: LaneKey,
        health: WebhookHealth,
        now: Timestamp,
    ) -> Option<HealthChange> {
        let lane = self.by_webhook.get_mut(&key)?;
        let before = lane.failures;
        match health {
            WebhookHealth::Failing(retry_after) => {
                // Attempts that were under way together fail together: that is one failure.
                if now >= lane.not_before {
                    lane.failures = before.saturating_add(1);
                    lane.not_before = now.plus(pause(lane.failures, retry_after));
                }
                (before == 0).then_some(HealthChange::Down)
            }
            WebhookHealth::Up | WebhookHealth::Gone => {
                (lane.failures, lane.not_before) = (0, Timestamp::EPOCH);
                (before > 0 && health == WebhookHealth::Up).then_some(HealthChange::Up)
            }
            WebhookHealth::NotAsked => None,
        }
    }
}

impl Lane {
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
