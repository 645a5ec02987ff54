//! Changes of the record within a decision about its number.

use super::track::{EndedSend, Plan, ReceiptOutcome, Track, VerifyStatus};
use crate::config::TrackerSettings;
use crate::delivery::{Dropped, PlanChange};
use crate::domain::{PhoneNumber, TrackKey};
use crate::gateway::Receipt;
use crate::shard::{Durability, Transaction};

/// One verification's record, as a decision sees it.
pub struct TrackWriter<'a, 'b> {
    view: &'a mut Transaction<'b>,
    key: TrackKey,
    settings: TrackerSettings,
}

impl<'a, 'b> TrackWriter<'a, 'b> {
    /// The record under `key`, which is in the slot of the decision.
    pub const fn new(view: &'a mut Transaction<'b>, key: TrackKey, settings: TrackerSettings) -> Self {
        Self { view, key, settings }
    }

    fn track(&mut self) -> Option<Track> {
        self.view.get(self.key.id())
    }

    /// Lazy unless the plan changed.
    fn put(&mut self, track: &Track, plan_changed: bool) {
        let durability = if plan_changed { Durability::Durable } else { Durability::Lazy };
        self.view.put(self.key.id(), Some(track), durability);
    }

    /// A send is permitted: takes numbers for its attempts, and returns the first.
    pub fn permit(&mut self, number: PhoneNumber) -> u8 {
        let now = self.view.now();
        let Some(mut track) = self
            .track()
            .or_else(|| (self.settings.keep_at_most > 0).then(|| Track::new(number, now, self.settings)))
        else {
            return 0;
        };
        let first = track.reserve();
        self.put(&track, false);
        first
    }

    /// A send has ended.
    pub fn settle(&mut self, number: PhoneNumber, ended: EndedSend<'_>) {
        let now = self.view.now();
        let is_planned = matches!(ended.delivered.plan, PlanChange::Set(_));
        let track = self.track().or_else(|| {
            let is_kept =
                is_planned || (self.settings.keep_at_most > 0 && !ended.delivered.attempts.is_empty());
            is_kept.then(|| Track::new(number, now, self.settings))
        });
        if let Some(mut track) = track {
            let plan_changed = track.settle(ended);
            self.put(&track, plan_changed);
        }
    }

    /// A code was checked, or the verification was ended as approved.
    pub fn check(&mut self, status: VerifyStatus) {
        if let Some(mut track) = self.track() {
            let plan_changed = track.check(status, self.view.now());
            self.put(&track, plan_changed);
        }
    }

    /// What is planned and due.
    pub fn due(&mut self) -> Option<Box<Plan>> {
        let now = self.view.now();
        self.track()?.plan.filter(|plan| plan.follow_up.due <= now)
    }

    /// What is planned begins. Durable before a gateway is asked: after a crash it is not made again. Returns the first of
    /// the numbers for its attempts.
    pub fn begin_follow_up(&mut self) -> u8 {
        let Some(mut track) = self.track() else { return 0 };
        let begun = track.begin_follow_up();
        let first = track.reserve();
        self.put(&track, begun.is_some());
        first
    }

    /// What is planned is not sent.
    pub fn drop_follow_up(&mut self, why: Dropped) {
        if let Some(mut track) = self.track() {
            let plan_changed = track.drop_follow_up(why);
            self.put(&track, plan_changed);
        }
    }

    /// A provider has reported something. Returns the record too where that was news.
    pub fn receive(&mut self, receipt: &Receipt) -> (ReceiptOutcome, Option<Track>) {
        let Some(mut track) = self.track() else { return (ReceiptOutcome::Unknown, None) };
        let (outcome, plan_changed) = track.receive(receipt, self.view.now());
        match outcome {
            ReceiptOutcome::News(_) => {
                self.put(&track, plan_changed);
                (outcome, Some(track))
            }
            ReceiptOutcome::Known | ReceiptOutcome::Early | ReceiptOutcome::Unknown => (outcome, None),
        }
    }
}
