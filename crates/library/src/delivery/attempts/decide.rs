//! Changes of the record within a decision about its number, in whose slot it is.

use super::log::{AttemptLog, ReceiptOutcome, VerifyStatus};
use crate::config::AttemptLogSettings;
use crate::delivery::{Delivered, Failure, Permitted, PlanChange, Reason, SendStatus};
use crate::domain::{AttemptLogKey, GatewayName, PhoneNumber, ServiceId};
use crate::gateway::{Receipt, ReceiptStatus};
use crate::limits::guard::Ticket;
use crate::shard::{RecordKey, Transaction, service_of};
use crate::template::MessageStyle;

/// What a check finds in the record of its verification.
#[derive(Debug, Clone, Default)]
pub struct Checked {
    /// The gateway that accepted the last message.
    pub accepted_by: Option<GatewayName>,
    /// Whether it is the first check, or an approval without one.
    pub is_first: bool,
    /// What the guard has taken for its messages, and gives back if the code was right.
    pub taken: Vec<Ticket>,
}

impl AttemptLog {
    /// Removes every record of this number in the slot of the decision, with its planned messages. Returns what the guard
    /// gets back for those; `None` without a record.
    pub fn erase(service: ServiceId, number: PhoneNumber, view: &mut Transaction<'_>) -> Option<Vec<Ticket>> {
        let mut about: Vec<(RecordKey, Self)> = view.iter().collect();
        about.retain(|(key, log)| service_of(&key.id) == service && log.number == number);
        for (RecordKey { id, .. }, _) in &about {
            view.put::<Self>(*id, None);
        }
        let held = |log: &Self| log.plan.as_ref().map(|plan| plan.follow_up.allowance.refundable());
        (!about.is_empty()).then(|| about.iter().filter_map(|(_, log)| held(log)).flatten().collect())
    }

    /// Reserves numbers for the attempts of a permitted send. Returns the first, and [`Permitted::asked`]. Notes what the
    /// guard has taken for it, so that it is durable before the message leaves.
    pub fn permit(
        key: AttemptLogKey,
        number: PhoneNumber,
        settings: AttemptLogSettings,
        taken: Vec<Ticket>,
        view: &mut Transaction<'_>,
    ) -> (u8, Vec<GatewayName>) {
        let now = view.now();
        // Without the record a crash would lose what the message counted.
        let is_kept = settings.keep_at_most > 0 || taken.iter().any(|of| !of.counted.is_empty());
        let new = || is_kept.then(|| Self::new(number, now, settings));
        let Some(mut log) = view.get(key.id()).or_else(new) else { return (0, Vec::new()) };
        let first = log.reserve();
        for ticket in taken.into_iter().filter(|ticket| !ticket.is_empty()) {
            log.take(ticket);
        }
        view.put(key.id(), Some(&log));
        (first, log.asked_in_vain())
    }

    /// Records a send that ended. Returns the record, and what the guard gets back for a planned message whose place it
    /// takes.
    pub fn record(
        number: PhoneNumber,
        settings: AttemptLogSettings,
        style: &MessageStyle,
        permitted: &Permitted,
        delivered: &Delivered,
        view: &mut Transaction<'_>,
    ) -> (Option<Self>, Vec<Ticket>) {
        let (key, now) = (permitted.log, view.now());
        let is_planned = matches!(delivered.plan, PlanChange::Set(_));
        let is_kept = is_planned || (settings.keep_at_most > 0 && !delivered.attempts.is_empty());
        let new = || is_kept.then(|| Self::new(number, now, settings));
        let Some(mut log) = view.get(key.id()).or_else(new) else { return (None, Vec::new()) };
        // `settle` drops or replaces the plan, and with it what the guard gets back.
        let held = log.plan.as_ref().map(|plan| plan.follow_up.allowance.refundable());
        let plan_changed = log.settle(style, permitted, delivered);
        let held = held.filter(|_| plan_changed).unwrap_or_default();
        held.iter().chain(&delivered.certainly_not_sent()).for_each(|ticket| log.give_back(ticket));
        view.put(key.id(), Some(&log));
        (Some(log), held)
    }

    /// Records a check, or an approval by the caller. Returns the record.
    pub fn checked(
        key: AttemptLogKey,
        status: VerifyStatus,
        view: &mut Transaction<'_>,
    ) -> Option<(Self, Checked)> {
        let mut log: Self = view.get(key.id())?;
        let is_first = log.verify == VerifyStatus::New;
        log.check(status, view.now());
        let is_right = status == VerifyStatus::Success;
        let taken = if is_right { std::mem::take(&mut log.taken) } else { Vec::new() };
        log.taken.extend(taken.iter().cloned().filter_map(Ticket::verified));
        view.put(key.id(), Some(&log));
        let accepted_by = log.rows.iter().rfind(|row| row.status == SendStatus::Sent).map(|row| row.gateway);
        Some((log, Checked { accepted_by, is_first, taken }))
    }

    /// Begins the planned send. The change is durable before delivery asks a gateway, therefore a crash does not repeat
    /// the send. Returns the number of its first attempt, and [`Permitted::asked`]: a retry asks in the order of the number.
    pub fn begin_follow_up(
        mut self,
        key: AttemptLogKey,
        view: &mut Transaction<'_>,
    ) -> (u8, Vec<GatewayName>) {
        let begun = self.plan.take();
        let first = self.reserve();
        view.put(key.id(), Some(&self));
        let is_step = begun.is_some_and(|plan| plan.follow_up.reason == Reason::NextStep);
        (first, if is_step { self.asked_in_vain() } else { Vec::new() })
    }

    /// The code of the planned send cannot be used any more.
    pub fn end_follow_up(mut self, key: AttemptLogKey, view: &mut Transaction<'_>) {
        let held = self.plan.as_ref().map(|plan| plan.follow_up.allowance.refundable());
        held.iter().flatten().for_each(|ticket| self.give_back(ticket));
        self.drop_follow_up(Failure::NoLongerUsable);
        view.put(key.id(), Some(&self));
    }

    /// Records a provider's report, durably: a provider that gets an answer does not repeat the report. Also returns the
    /// record if the report changed it, and whether it is the first to say that the message arrived.
    pub fn reported(receipt: &Receipt, view: &mut Transaction<'_>) -> (ReceiptOutcome, Option<(Self, bool)>) {
        let id = receipt.attempt.key.id();
        let Some(mut log) = view.get::<Self>(id) else { return (ReceiptOutcome::Unknown, None) };
        let row = log.rows.iter().find(|row| row.number == receipt.attempt.attempt);
        let is_repeated = row.and_then(|row| row.receipt) >= Some(ReceiptStatus::Delivered);
        let outcome = log.receive(receipt, view.now());
        let has_changed = matches!(outcome, ReceiptOutcome::Recorded(_));
        if has_changed {
            view.put(id, Some(&log));
        }
        let has_arrived = !is_repeated && receipt.status >= ReceiptStatus::Delivered;
        (outcome, has_changed.then_some((log, has_arrived)))
    }
}
