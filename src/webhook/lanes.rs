//! Which delivery goes next. Decisions without I/O.
//!
//! Each webhook has a lane, and in it a chain for each verification: its deliveries go one after the other, and the next one
//! not before the end of the one before it is on the disk, so that a crash repeats at most the one under way.

use std::collections::{BTreeMap, HashMap};

use super::delivery::{LaneKey, Standing};
use super::schedule::peace;
use super::seq::Seq;
use crate::domain::{Sid, Timestamp};

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
    /// The first of each chain that is not held, by when it is due, with its verification.
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
    /// Under way, or ended and not yet on the disk.
    held_by: Option<Seq>,
}

/// What can be said of a webhook that could not be said before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Worse,
    Better,
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

    /// A delivery that is to be tried.
    pub(super) fn add(&mut self, key: LaneKey, verification: Sid, seq: Seq, due: Timestamp) {
        let lane = self.by_webhook.entry(key).or_default();
        lane.pending += 1;
        self.pending += 1;
        let _ = lane.change(verification, |chain| chain.waiting.insert(seq, due));
    }

    /// One that waits is due earlier, or later. Says whether it was waiting.
    pub(super) fn move_to(&mut self, key: LaneKey, verification: Sid, seq: Seq, due: Timestamp) -> bool {
        let Some(lane) = self.by_webhook.get_mut(&key) else { return false };
        lane.change(verification, |chain| {
            let is_free = chain.held_by != Some(seq);
            chain.waiting.get_mut(&seq).filter(|_| is_free).map(|at| *at = due).is_some()
        })
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
        lane.chains.get_mut(&verification)?.held_by = Some(seq);
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
    /// places, so that dead webhooks cost the others nothing.
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

    /// It failed, and is tried again.
    pub(super) fn postpone(&mut self, key: LaneKey, verification: Sid, seq: Seq, due: Timestamp) {
        let Some(lane) = self.by_webhook.get_mut(&key) else { return };
        lane.under_way = lane.under_way.saturating_sub(1);
        self.under_way = self.under_way.saturating_sub(1);
        lane.change(verification, |chain| {
            chain.held_by = None;
            chain.waiting.insert(seq, due);
        });
    }

    /// It is not tried any more. What comes after it still waits.
    pub(super) fn end(&mut self, key: LaneKey) {
        let Some(lane) = self.by_webhook.get_mut(&key) else { return };
        lane.under_way = lane.under_way.saturating_sub(1);
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// Its end is on the disk.
    pub(super) fn release(&mut self, key: LaneKey, verification: Sid, seq: Seq) {
        let Some(lane) = self.by_webhook.get_mut(&key) else { return };
        lane.pending = lane.pending.saturating_sub(1);
        self.pending = self.pending.saturating_sub(1);
        lane.change(verification, |chain| {
            chain.waiting.remove(&seq);
            if chain.held_by == Some(seq) {
                chain.held_by = None;
            }
        });
        if lane.is_idle() {
            self.by_webhook.remove(&key);
        }
    }

    /// What an attempt says of the webhook.
    pub(super) fn hear(&mut self, key: LaneKey, standing: Standing, now: Timestamp) -> Option<Turn> {
        let lane = self.by_webhook.get_mut(&key)?;
        let before = lane.failures;
        match standing {
            Standing::Failing(retry_after) => {
                // Attempts that were under way together fail together: that is one failure.
                if now >= lane.not_before {
                    lane.failures = before.saturating_add(1);
                    lane.not_before = now.plus(peace(lane.failures, retry_after));
                }
                (before == 0).then_some(Turn::Worse)
            }
            Standing::Well | Standing::Gone => {
                (lane.failures, lane.not_before) = (0, Timestamp::EPOCH);
                (before > 0 && standing == Standing::Well).then_some(Turn::Better)
            }
            Standing::NotAsked => None,
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
            None if chain.waiting.is_empty() && chain.held_by.is_none() => {
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
    /// What may go first, and when; nothing while the chain is held.
    fn head(&self) -> Option<(Timestamp, Seq)> {
        let (seq, due) = self.waiting.first_key_value().filter(|_| self.held_by.is_none())?;
        Some((*due, *seq))
    }
}
