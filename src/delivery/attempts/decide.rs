//! Changes of the record within a decision about its number.

use super::log::{AttemptLog, PlannedSend, ReceiptOutcome, VerifyStatus};
use crate::config::AttemptLogSettings;
use crate::delivery::{Delivered, Failure, Permitted, PlanChange, Reason, SendStatus};
use crate::domain::{AttemptLogKey, GatewayName, PhoneNumber, ServiceId};
use crate::gateway::{Receipt, ReceiptStatus};
use crate::limits::guard::Ticket;
use crate::shard::{Durability, Id, Transaction};
use crate::template::MessageStyle;

/// The record of one verification within a decision.
pub struct AttemptLogWriter<'a, 'b> {
    view: &'a mut Transaction<'b>,
    key: AttemptLogKey,
    settings: AttemptLogSettings,
}

/// What a check finds in the record of its verification.
#[derive(Debug, Clone, Copy, Default)]
pub struct Checked {
    /// The gateway that accepted the last message.
    pub accepted_by: Option<GatewayName>,
    /// Whether it is the first check, or an approval without one.
    pub is_first: bool,
}

impl<'a, 'b> AttemptLogWriter<'a, 'b> {
    /// The record under `key`, which is in the slot of the decision.
    pub const fn new(
        view: &'a mut Transaction<'b>,
        key: AttemptLogKey,
        settings: AttemptLogSettings,
    ) -> Self {
        Self { view, key, settings }
    }

    /// Removes every record of this number in the slot of the decision, with its planned messages. Returns what the guard
    /// gets back for those; `None` without a record.
    pub fn erase(service: ServiceId, number: PhoneNumber, view: &mut Transaction<'_>) -> Option<Vec<Ticket>> {
        let is_about = |id: &Id, log: &AttemptLog| {
            AttemptLogKey::from_id(*id).service == service && log.number == number
        };
        let about = view.in_slot(is_about);
        for (id, _) in &about {
            view.put::<AttemptLog>(*id, None, Durability::Durable);
        }
        let held = |(_, log): &(Id, AttemptLog)| log.plan.as_ref()?.follow_up.allowance.refundable();
        (!about.is_empty()).then(|| about.iter().filter_map(held).collect())
    }

    fn log(&mut self) -> Option<AttemptLog> {
        self.view.get(self.key.id())
    }

    /// Lazy unless the plan changed.
    fn put(&mut self, log: &AttemptLog, plan_changed: bool) {
        let durability = if plan_changed { Durability::Durable } else { Durability::Lazy };
        self.view.put(self.key.id(), Some(log), durability);
    }

    /// Reserves numbers for the attempts of a permitted send. Returns the first, and [`Permitted::asked`]. Notes what the
    /// guard has taken for it, so that it is durable before the message leaves.
    pub fn permit(&mut self, number: PhoneNumber, taken: Option<Ticket>) -> (u8, Vec<GatewayName>) {
        let now = self.view.now();
        let Some(mut log) = self.log().or_else(|| {
            (self.settings.keep_at_most > 0).then(|| AttemptLog::new(number, now, self.settings))
        }) else {
            return (0, Vec::new());
        };
        let first = log.reserve();
        if let Some(ticket) = taken.filter(|ticket| !ticket.is_empty()) {
            log.take(ticket);
        }
        self.put(&log, false);
        (first, log.asked_in_vain())
    }

    /// Records a send that ended. Returns the record, and what the guard gets back for a planned message whose place it
    /// takes.
    pub fn settle(
        &mut self,
        number: PhoneNumber,
        style: &MessageStyle,
        permitted: &Permitted,
        delivered: &Delivered,
    ) -> (Option<AttemptLog>, Option<Ticket>) {
        let now = self.view.now();
        let is_planned = matches!(delivered.plan, PlanChange::Set(_));
        let log = self.log().or_else(|| {
            let is_kept = is_planned || (self.settings.keep_at_most > 0 && !delivered.attempts.is_empty());
            is_kept.then(|| AttemptLog::new(number, now, self.settings))
        });
        let Some(mut log) = log else { return (None, None) };
        let held = log.plan.as_ref().and_then(|plan| plan.follow_up.allowance.refundable());
        let plan_changed = log.settle(style, permitted, delivered);
        self.put(&log, plan_changed);
        (Some(log), held.filter(|_| plan_changed))
    }

    /// Records a check, or an approval by the caller. Returns the record.
    pub fn check(&mut self, status: VerifyStatus) -> Option<(AttemptLog, Checked)> {
        let mut log = self.log()?;
        let is_first = log.verify == VerifyStatus::New;
        let plan_changed = log.check(status, self.view.now());
        self.put(&log, plan_changed);
        let accepted_by = log.rows.iter().rfind(|row| row.status == SendStatus::Sent).map(|row| row.gateway);
        Some((log, Checked { accepted_by, is_first }))
    }

    /// Returns the plan if it is due.
    pub fn due(&mut self) -> Option<Box<PlannedSend>> {
        let now = self.view.now();
        self.log()?.plan.filter(|plan| plan.follow_up.due <= now)
    }

    /// Begins the planned send. The change is durable before delivery asks a gateway, therefore a crash does not repeat
    /// the send. Returns the number of its first attempt, and [`Permitted::asked`]: a retry asks in the order of the number.
    pub fn begin_follow_up(&mut self) -> (u8, Vec<GatewayName>) {
        let Some(mut log) = self.log() else { return (0, Vec::new()) };
        let begun = log.plan.take();
        let first = log.reserve();
        self.put(&log, begun.is_some());
        let is_step = begun.is_some_and(|plan| plan.follow_up.reason == Reason::NextStep);
        (first, if is_step { log.asked_in_vain() } else { Vec::new() })
    }

    /// Drops the planned send.
    pub fn drop_follow_up(&mut self, why: Failure) {
        if let Some(mut log) = self.log() {
            let plan_changed = log.drop_follow_up(why);
            self.put(&log, plan_changed);
        }
    }

    /// Records a provider's report, durably: a provider that gets an answer does not repeat the report. Also returns the
    /// record if the report changed it, and whether it is the first to say that the message arrived.
    pub fn receive(&mut self, receipt: &Receipt) -> (ReceiptOutcome, Option<(AttemptLog, bool)>) {
        let Some(mut log) = self.log() else { return (ReceiptOutcome::Unknown, None) };
        let row = log.rows.iter().find(|row| row.number == receipt.attempt.attempt);
        let is_repeated = row.and_then(|row| row.receipt) >= Some(ReceiptStatus::Delivered);
        let outcome = log.receive(receipt, self.view.now());
        match outcome {
            ReceiptOutcome::Recorded(_) => {
                self.view.put(self.key.id(), Some(&log), Durability::Durable);
                let has_arrived = !is_repeated && receipt.status >= ReceiptStatus::Delivered;
                (outcome, Some((log, has_arrived)))
            }
            ReceiptOutcome::Known | ReceiptOutcome::Early | ReceiptOutcome::Unknown => (outcome, None),
        }
    }
}
