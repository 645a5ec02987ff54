//! What the tracker knows in memory, and what each note does to it. Nothing here waits.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::index::Index;
use super::note::{Dropped, Due, Parcel, Reason, SendNote, VerifyStatus};
use super::pending::{Pending, Reply, Urgent};
use super::plans::Plans;
use super::track::{Change, Plan, Send, rows_after};
use crate::config::TrackerSettings;
use crate::domain::{Timestamp, TrackKey};
use crate::gateway::{ErrorClass, Receipt, ReceiptStatus};
use crate::store::StoreError;

/// Notes that may wait for the disk: about five seconds of ten thousand sends a second, and some
/// 25 MB.
const WAITING_AT_MOST: usize = 50_000;

/// As many again are kept for what concerns follow-ups.
const RESERVE: usize = 50_000;

/// Follow-ups that may be planned: each is remembered whole.
const PLANNED_AT_MOST: usize = 100_000;

/// A call that was answered lasts no longer than this: the code is read twice in half of the time.
const CALL: Duration = Duration::from_secs(60);

/// Follow-ups that are handed out at once.
const DUE_AT_ONCE: usize = 256;

/// A check or a report may come before the send it is about was noted, but not longer before than
/// a send takes.
const EARLY_FOR: Duration = Duration::from_secs(15);

/// Verifications for which such notes are kept, and notes for each: they are rare.
const EARLY_AT_MOST: usize = 1_000;
const EARLY_EACH: usize = 8;

/// Everything behind the tracker's lock.
pub(super) struct State {
    settings: TrackerSettings,
    waiting_at_most: usize,
    pub(super) index: Index,
    pub(super) pending: Pending,
    pub(super) plans: Plans,
    early: HashMap<TrackKey, Vec<(Timestamp, Change)>>,
    dropped: u64,
    dropping: bool,
    /// Something waits to be written.
    pub(super) wake: Arc<Notify>,
    /// A follow-up is due earlier than those before.
    pub(super) earlier: Arc<Notify>,
}

impl State {
    pub(super) fn new(settings: TrackerSettings, index: Index, plans: Plans) -> Self {
        Self {
            settings,
            waiting_at_most: WAITING_AT_MOST,
            index,
            pending: Pending::default(),
            plans,
            early: HashMap::new(),
            dropped: 0,
            dropping: false,
            wake: Arc::default(),
            earlier: Arc::default(),
        }
    }

    /// Notes a delivery.
    pub(super) fn send(&mut self, note: SendNote, now: Timestamp) {
        let planned = note.next.is_some();
        let known = self.index.get(&note.about.key).is_some();
        if self.settings.keep_at_most == 0 && !planned && !known {
            return;
        }
        let reserve = if planned { RESERVE } else { 0 };
        if self.is_full(reserve) || (planned && self.plans.len() >= PLANNED_AT_MOST) {
            self.plans.end(&note.about.key);
            return self.drop_note();
        }
        let (key, plan) = self.sent(note, now);
        match plan {
            Some(plan) => {
                let first = self.plans.plan(key, plan);
                self.tell_if(first);
            }
            None => drop(self.plans.end(&key)),
        }
        self.bring_early(key);
    }

    /// Notes a delivery that somebody waits for. What is planned with it is planned when it is
    /// durable.
    pub(super) fn send_urgently(&mut self, note: SendNote, now: Timestamp, reply: Reply) {
        let full = self.is_full(RESERVE) || self.plans.len() >= PLANNED_AT_MOST;
        if full {
            let what = "too many follow-ups are planned or wait for the disk";
            let _ = reply.send(Err(StoreError::Unavailable(what.into())));
            return;
        }
        let (key, plan) = self.sent(note, now);
        self.plans.end(&key);
        let plan = plan.map(|plan| self.plans.propose(key, plan));
        self.pending.hurry(key, Urgent { reply, plan });
        self.bring_early(key);
    }

    /// Has the record say that nothing is planned any more, for it is made now. Without a record there
    /// is nothing to say.
    pub(super) fn begin(&mut self, key: TrackKey, reply: Reply) {
        if self.index.get(&key).is_none() {
            let _ = reply.send(Ok(()));
            return;
        }
        self.plans.begin(&key);
        self.again(key);
        self.pending.hurry(key, Urgent { reply, plan: None });
    }

    /// It could not begin: it is due again then.
    pub(super) fn begin_again(&mut self, key: TrackKey, due: Timestamp) {
        if self.plans.contains(&key) {
            let first = self.plans.begin_again(key, due);
            self.tell_if(first);
            self.again(key);
        }
    }

    /// Counts the rows of a delivery, queues it, and says what is to be planned.
    fn sent(&mut self, note: SendNote, now: Timestamp) -> (TrackKey, Option<Plan>) {
        let SendNote { about: Parcel { key, number, salt, style, expires }, hops, retry_of, next } = note;
        let at = hops.first().map_or(now, |hop| hop.at);
        let slot = self.index.slot(key, at);
        slot.attempts = rows_after(slot.attempts, &hops, retry_of);
        // A delivery that was under way when the right code came.
        let next = next.filter(|_| !slot.verified);
        self.push(key, Change::Send(Box::new(Send { number, at, hops, retry_of })));
        (key, next.map(|follow_up| Plan { number, salt, style, expires, follow_up }))
    }

    /// Notes what became of a verification.
    pub(super) fn check(&mut self, key: TrackKey, status: VerifyStatus, now: Timestamp) {
        let change = Change::Check { status, at: now };
        let Some(slot) = self.index.get_mut(&key) else { return self.keep_early(key, change, now) };
        if status == VerifyStatus::Success {
            slot.verified = true;
            // What was to be tried again is not: the row says so.
            if self.plans.contains(&key) {
                self.drop_follow_up(key, Dropped::NotUsable);
            }
        }
        if self.is_full(0) {
            return self.drop_note();
        }
        self.push(key, change);
    }

    /// Notes that what is planned will not be done.
    pub(super) fn drop_follow_up(&mut self, key: TrackKey, why: Dropped) {
        let row = match self.plans.end(&key).map(|plan| plan.follow_up.reason) {
            Some(Reason::Retry { attempt, .. }) => Some(attempt),
            // The message before it stays as it is.
            Some(Reason::NextStep) => None,
            None => self.index.get(&key).and_then(|slot| slot.attempts.checked_sub(1)),
        };
        if self.index.get(&key).is_none() {
            return;
        }
        if self.is_full(RESERVE) {
            return self.drop_note();
        }
        match row {
            Some(row) => self.push(key, Change::Drop { row, why }),
            // The plan is gone from its record too.
            None => self.again(key),
        }
    }

    /// Notes a provider's report. A step that waits for it reacts at once.
    pub(super) fn receipt(&mut self, receipt: Receipt, now: Timestamp) {
        let key = receipt.attempt.key;
        let attempts = self.index.get(&key).map_or(0, |slot| slot.attempts);
        if receipt.attempt.attempt >= attempts {
            return self.keep_early(key, Change::Receipt(Box::new(receipt)), now);
        }
        let reacts = receipt.attempt.attempt + 1 == attempts && self.react(key, &receipt, now);
        if self.is_full(if reacts { RESERVE } else { 0 }) {
            return self.drop_note();
        }
        self.push(key, Change::Receipt(Box::new(receipt)));
    }

    /// Whether it changed a plan.
    fn react(&mut self, key: TrackKey, receipt: &Receipt, now: Timestamp) -> bool {
        let next_step = |plan: &Plan| plan.follow_up.reason == Reason::NextStep;
        if !self.plans.get(&key).is_some_and(next_step) {
            return false;
        }
        match (receipt.status, receipt.class) {
            (
                ReceiptStatus::Failed,
                Some(ErrorClass::Fraud | ErrorClass::BadNumber | ErrorClass::OptedOut),
            )
            | (ReceiptStatus::Delivered | ReceiptStatus::Read, _) => drop(self.plans.end(&key)),
            (ReceiptStatus::Failed, _) => {
                let first = self.plans.hasten(key, now);
                self.tell_if(first);
            }
            (ReceiptStatus::Answered, _) => return self.plans.hold_until(key, now, now.plus(CALL)),
            (ReceiptStatus::Queued | ReceiptStatus::Sending | ReceiptStatus::Sent, _) => return false,
        }
        true
    }

    /// Hands out what is due.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Vec<Due> {
        let due = self.plans.take_due(now, DUE_AT_ONCE);
        due.into_iter()
            .map(|(key, Plan { number, salt, style, expires, follow_up })| Due {
                about: Parcel { key, number, salt, style, expires },
                follow_up,
            })
            .collect()
    }

    /// Forgets the oldest. Says which of them the store may still have.
    pub(super) fn forget(&mut self, now: Timestamp, at_most: usize) -> Vec<TrackKey> {
        let (plans, pending) = (&self.plans, &self.pending);
        let needed = |key: &TrackKey| plans.contains(key) || pending.is_urgent_for(key);
        let forgotten = self.index.forget(now, &self.settings, at_most, needed);
        for (key, _) in &forgotten {
            self.pending.remove(key);
        }
        forgotten.into_iter().filter(|(_, slot)| slot.stored).map(|(key, _)| key).collect()
    }

    /// What was noted too early and is still about nothing is left out.
    pub(super) fn forget_early(&mut self, now: Timestamp) {
        let mut forgotten = 0;
        self.early.retain(|_, notes| {
            let before = notes.len();
            notes.retain(|(at, _)| now.since(*at) < EARLY_FOR);
            forgotten += before - notes.len();
            !notes.is_empty()
        });
        if forgotten > 0 {
            tracing::debug!(forgotten, "checks and reports about sends that are not known");
        }
    }

    fn keep_early(&mut self, key: TrackKey, change: Change, now: Timestamp) {
        let has_room = self.early.len() < EARLY_AT_MOST || self.early.contains_key(&key);
        if self.settings.keep_at_most == 0 || !has_room {
            tracing::debug!("a check or a report about a send that is not known");
            return;
        }
        let notes = self.early.entry(key).or_default();
        if notes.len() < EARLY_EACH {
            notes.push((now, change));
        }
    }

    /// What came before the note of its send happens now.
    fn bring_early(&mut self, key: TrackKey) {
        for (at, change) in self.early.remove(&key).unwrap_or_default() {
            match change {
                Change::Check { status, .. } => self.check(key, status, at),
                Change::Receipt(receipt) => self.receipt(*receipt, at),
                Change::Send(_) | Change::Drop { .. } => {}
            }
        }
    }

    fn push(&mut self, key: TrackKey, change: Change) {
        self.wake_if_first();
        self.pending.push(key, change);
    }

    /// Its record has to be written, though nothing new happened.
    pub(super) fn again(&mut self, key: TrackKey) {
        self.wake_if_first();
        self.pending.again(key);
    }

    fn wake_if_first(&self) {
        if self.pending.is_empty() {
            self.wake.notify_one();
        }
    }

    fn tell_if(&self, first: bool) {
        if first {
            self.earlier.notify_one();
        }
    }

    fn is_full(&self, reserve: usize) -> bool {
        self.pending.len() >= self.waiting_at_most + reserve
    }

    fn drop_note(&mut self) {
        self.dropped += 1;
        if !std::mem::replace(&mut self.dropping, true) {
            tracing::warn!(
                waiting = self.pending.len(),
                "notes of sends come faster than they can be written; the list of sends will lack some"
            );
        }
    }

    /// Says how many notes were dropped, when there is room again.
    pub(super) fn say_if_room_again(&mut self) {
        if self.dropping && self.pending.len() < self.waiting_at_most / 2 {
            self.dropping = false;
            let dropped = std::mem::take(&mut self.dropped);
            tracing::warn!(dropped, "notes of sends are written again");
        }
    }

    /// With a smaller bound.
    #[cfg(test)]
    pub(super) fn limit_waiting_to(&mut self, notes: usize) {
        self.waiting_at_most = notes;
    }
}
