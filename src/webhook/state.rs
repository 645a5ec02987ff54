//! What the outbox knows, and how that changes. No I/O.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _};

use super::delivery::{Delivery, DeliveryState, LaneKey, Standing};
use super::expected::{Expected, Timers};
use super::lanes::{Lanes, Turn};
use super::seq::Seq;
use super::transport::Posted;
use super::{About, Event, EventId, EventType, OutboxBounds};
use crate::domain::{ServiceId, Sid, Timestamp};
use crate::store::Revision;

pub(super) struct State {
    pub records: BTreeMap<Seq, Entry>,
    /// Ended, and written: they may be forgotten, the oldest first.
    pub ended: BTreeSet<Seq>,
    /// Which deliveries each webhook has.
    pub by_lane: HashMap<LaneKey, BTreeSet<Seq>>,
    pub lanes: Lanes,
    pub timers: Timers,
    pub unwritten: Unwritten,
    pub bounds: OutboxBounds,
    pub closing: bool,
    pub dropped: u64,
    last: Seq,
    dropping: bool,
    rng: StdRng,
}

/// One record, in memory as far as it is needed.
pub(super) struct Entry {
    pub service: ServiceId,
    pub revision: Revision,
    /// Whether the store may have it.
    pub asked: bool,
    pub what: What,
}

pub(super) enum What {
    /// Still to be made, or not yet written.
    Delivery(Box<Delivery>),
    /// Ended and written: the rest is on the disk.
    Ended(Ended),
    Expected(Box<Expected>),
    /// To be removed from the disk.
    Removed,
}

/// What lists need to know of a delivery before they read it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended {
    pub id: EventId,
    pub webhook: Sid,
    pub kind: EventType,
    pub at: Timestamp,
    pub state: DeliveryState,
}

/// What is to be written, in the order in which it was changed first.
#[derive(Default)]
pub(super) struct Unwritten {
    queue: VecDeque<Seq>,
    queued: HashSet<Seq>,
}

impl Unwritten {
    pub(super) fn push(&mut self, seq: Seq) {
        if self.queued.insert(seq) {
            self.queue.push_back(seq);
        }
    }

    pub(super) fn take(&mut self, at_most: usize) -> Vec<Seq> {
        let taken: Vec<Seq> = self.queue.drain(..at_most.min(self.queue.len())).collect();
        for seq in &taken {
            self.queued.remove(seq);
        }
        taken
    }

    pub(super) fn has(&self, seq: Seq) -> bool {
        self.queued.contains(&seq)
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }
}

/// What became of an attempt.
#[derive(Debug, Clone)]
pub(super) struct Concluded {
    pub id: EventId,
    pub lane: LaneKey,
    pub state: DeliveryState,
    pub standing: Standing,
    pub turn: Option<Turn>,
}

impl State {
    pub(super) fn new(bounds: OutboxBounds, rng: StdRng) -> Self {
        Self {
            records: BTreeMap::new(),
            ended: BTreeSet::new(),
            by_lane: HashMap::new(),
            lanes: Lanes::new(bounds.at_once, bounds.at_once_each),
            timers: Timers::default(),
            unwritten: Unwritten::default(),
            bounds,
            closing: false,
            dropped: 0,
            last: Seq::default(),
            dropping: false,
            rng,
        }
    }

    pub(super) fn new_id(&mut self) -> EventId {
        EventId::new(self.rng.random())
    }

    pub(super) fn next_seq(&mut self, now: Timestamp) -> Seq {
        self.last = self.last.next(now);
        self.last
    }

    /// What the store had.
    pub(super) fn restore(&mut self, seq: Seq, entry: Entry) {
        self.last = self.last.max(seq);
        match &entry.what {
            What::Delivery(delivery) => {
                let (lane, verification) = (delivery.lane(), delivery.event.verification);
                self.lanes.add(lane, verification, seq, delivery.due);
                self.by_lane.entry(lane).or_default().insert(seq);
            }
            What::Ended(ended) => {
                let lane = LaneKey { service: entry.service, webhook: ended.webhook };
                self.by_lane.entry(lane).or_default().insert(seq);
                self.ended.insert(seq);
            }
            What::Expected(expected) => {
                self.timers.set(expected.service, expected.verification, seq, expected.expires);
            }
            What::Removed => {}
        }
        self.records.insert(seq, entry);
    }

    /// An event is to be told to each of `webhooks`. Says whether there was room.
    pub(super) fn tell(&mut self, id: EventId, event: &Event, webhooks: &[Sid], now: Timestamp) -> bool {
        let mut all = true;
        let mut event = event.clone();
        self.fill_in_tags(event.service, event.verification, &mut event.about);
        for webhook in webhooks {
            let lane = LaneKey { service: event.service, webhook: *webhook };
            if !self.has_room(lane) {
                self.drop_one();
                all = false;
                continue;
            }
            let seq = self.next_seq(now);
            let delivery = Delivery::new(id, event.clone(), *webhook, now);
            let what = What::Delivery(Box::new(delivery));
            let entry = Entry { service: event.service, revision: Revision::ABSENT, asked: false, what };
            self.restore(seq, entry);
            self.unwritten.push(seq);
        }
        all
    }

    pub(super) fn has_room(&self, lane: LaneKey) -> bool {
        self.lanes.pending_in_all() < self.bounds.pending
            && self.lanes.pending(lane) < self.bounds.pending_each
            && self.unwritten.len() < self.bounds.unwritten
    }

    /// The end of a verification is expected, in place of one that was expected before.
    pub(super) fn expect_end(
        &mut self,
        service: ServiceId,
        verification: Sid,
        at: (Timestamp, Timestamp),
        about: About,
    ) {
        let (now, expires) = at;
        let mut about = about;
        self.fill_in_tags(service, verification, &mut about);
        let before = self.timers.of(service, verification);
        if before.is_none() && self.timers.len() >= self.bounds.expected
            || self.unwritten.len() >= self.bounds.unwritten
        {
            return self.drop_one();
        }
        let seq = before.unwrap_or_else(|| self.next_seq(now));
        let id = match self.records.get(&seq).map(|entry| &entry.what) {
            Some(What::Expected(expected)) => expected.id,
            _ => self.new_id(),
        };
        let what = What::Expected(Box::new(Expected { id, service, verification, expires, about }));
        let entry = self.records.entry(seq);
        let blank = Entry { service, revision: Revision::ABSENT, asked: false, what: What::Removed };
        entry.or_insert(blank).what = what;
        self.timers.set(service, verification, seq, expires);
        self.unwritten.push(seq);
    }

    /// The request that began a verification has tags; those about its code have none.
    fn fill_in_tags(&self, service: ServiceId, verification: Sid, about: &mut About) {
        let expected = self.timers.of(service, verification).and_then(|seq| self.records.get(&seq));
        if let Some(Entry { what: What::Expected(expected), .. }) = expected
            && about.tags.is_empty()
        {
            about.tags.clone_from(&expected.about.tags);
        }
    }

    /// A verification has ended otherwise.
    pub(super) fn expect_no_end(&mut self, service: ServiceId, verification: Sid) {
        if let Some(seq) = self.timers.remove(service, verification) {
            self.remove(seq);
        }
    }

    /// A verification that has expired by now. It is expected no more, and its record goes once its event is told.
    pub(super) fn take_expired(&mut self, now: Timestamp) -> Option<(Seq, EventId, Event)> {
        let seq = self.timers.due(now)?;
        let Some(Entry { what: What::Expected(expected), .. }) = self.records.get(&seq) else { return None };
        let (id, event) = (expected.id, expected.event());
        self.timers.remove(event.service, event.verification);
        Some((seq, id, event))
    }

    /// Removes a record from the disk.
    pub(super) fn remove(&mut self, seq: Seq) {
        if let Some(entry) = self.records.get_mut(&seq) {
            entry.what = What::Removed;
            self.unwritten.push(seq);
        }
    }

    /// The delivery whose turn it is; it is under way then.
    pub(super) fn take(&mut self, now: Timestamp) -> Option<(Seq, Delivery)> {
        if self.closing || self.unwritten.len() >= self.bounds.unwritten {
            return None;
        }
        let seq = self.lanes.take(now)?;
        match &self.records.get(&seq)?.what {
            What::Delivery(delivery) => Some((seq, Delivery::clone(delivery))),
            What::Ended(_) | What::Expected(_) | What::Removed => None,
        }
    }

    /// An attempt that began at `at` has ended.
    pub(super) fn conclude(
        &mut self,
        seq: Seq,
        at: Timestamp,
        now: Timestamp,
        posted: Posted,
    ) -> Option<Concluded> {
        let random = self.rng.next_u32();
        let Some(What::Delivery(delivery)) = self.records.get_mut(&seq).map(|entry| &mut entry.what) else {
            return None;
        };
        let standing = delivery.conclude(at, now, posted, random);
        let (lane, verification) = (delivery.lane(), delivery.event.verification);
        match delivery.state {
            DeliveryState::Pending => self.lanes.postpone(lane, verification, seq, delivery.due),
            DeliveryState::Delivered | DeliveryState::Failed => self.lanes.end(lane),
        }
        let (id, state) = (delivery.id, delivery.state);
        let turn = self.lanes.hear(lane, standing, now);
        self.unwritten.push(seq);
        Some(Concluded { id, lane, state, standing, turn })
    }

    /// The record is on the disk as it was when its writing began.
    pub(super) fn written(&mut self, seq: Seq, revision: Revision) {
        let is_outdated = self.unwritten.has(seq);
        let Some(entry) = self.records.get_mut(&seq) else { return };
        entry.revision = revision;
        if is_outdated {
            return;
        }
        match &entry.what {
            What::Delivery(delivery) if delivery.state != DeliveryState::Pending => {
                let ended = Ended::of(delivery);
                let (lane, verification) = (delivery.lane(), delivery.event.verification);
                entry.what = What::Ended(ended);
                self.lanes.release(lane, verification, seq);
                self.ended.insert(seq);
            }
            What::Removed => drop(self.records.remove(&seq)),
            What::Delivery(_) | What::Ended(_) | What::Expected(_) => {}
        }
        self.say_if_room_again();
    }

    /// Forgets the oldest of what is too old or too much. Says how many there were.
    pub(super) fn forget(&mut self, now: Timestamp, at_most: usize) -> usize {
        for forgotten in 0..at_most {
            let Some(seq) = self.ended.first().copied() else { return forgotten };
            let outlived = now.since(seq.at()) >= self.bounds.kept_for;
            if !outlived && self.ended.len() <= self.bounds.kept {
                return forgotten;
            }
            self.ended.remove(&seq);
            if let Some(Entry { service, what: What::Ended(ended), .. }) = self.records.get(&seq) {
                self.leave_lane(LaneKey { service: *service, webhook: ended.webhook }, seq);
            }
            self.remove(seq);
        }
        at_most
    }

    fn leave_lane(&mut self, lane: LaneKey, seq: Seq) {
        if let Some(of_lane) = self.by_lane.get_mut(&lane) {
            of_lane.remove(&seq);
            if of_lane.is_empty() {
                self.by_lane.remove(&lane);
            }
        }
    }

    fn drop_one(&mut self) {
        self.dropped += 1;
        if !std::mem::replace(&mut self.dropping, true) {
            let (pending, unwritten) = (self.lanes.pending_in_all(), self.unwritten.len());
            tracing::warn!(
                pending,
                unwritten,
                "webhooks take events too slowly, or the disk does; new events for them are dropped"
            );
        }
    }

    fn say_if_room_again(&mut self) {
        let has_room = self.lanes.pending_in_all() < self.bounds.pending / 2
            && self.unwritten.len() < self.bounds.unwritten / 2;
        if self.dropping && has_room {
            self.dropping = false;
            tracing::warn!(dropped = self.dropped, "events for webhooks are kept again");
        }
    }
}

impl Ended {
    pub(super) fn of(delivery: &Delivery) -> Self {
        let Delivery { id, event, webhook, state, .. } = delivery;
        Self { id: *id, webhook: *webhook, kind: event.kind, at: event.at, state: *state }
    }
}
