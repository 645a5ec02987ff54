//! The record of one verification's attempts, and its changes within decisions about its number, in whose slot it is.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::AttemptLogSettings;
use crate::delivery::{
    Attempt, Delivered, Failure, Permitted, PlanChange, PlannedMessage, Reason, SendStatus,
};
use crate::domain::{
    AttemptLogKey, Channel, GatewayName, NumberKey, PhoneNumber, Routing, ServiceId, Timestamp,
};
use crate::gateway::{ErrorClass, Receipt, ReceiptStatus};
use crate::limits::guard::Ticket;
use crate::shard::{LogRecord, Places, Record, Transaction};

/// Rows of one verification. A caller who asks again and again while the code stays the same must not make a record
/// grow.
pub const MOST_ROWS: usize = 32;

/// Longest id that is kept. Providers' ids have 34 characters or so; a part of one is of no use, so
/// a longer one is left out.
const LONGEST_ID: usize = 100;

/// Numbers that are reserved for the attempts of one send, because a send that begins before its end uses others: a send
/// asks each gateway at most once on each channel.
const NUMBERS_PER_SEND: u8 = {
    let [least, rest @ ..] = (Routing::MOST_TRIED * Channel::ALL.len()).to_le_bytes();
    assert!(rest[0] == 0);
    least
};

/// One verification. A planned message that has begun is not in it: after a crash it is never made again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptLog {
    /// The recipient.
    pub number: PhoneNumber,
    /// When its first message was permitted.
    pub created: Timestamp,
    /// When the record expires, if no message is planned.
    pub keep_until: Timestamp,
    /// The status of the verification.
    pub verify: VerifyStatus,
    /// When that was decided.
    pub verify_at: Timestamp,
    /// The number that the next send gives to its first attempt.
    pub next_attempt: u8,
    /// Its attempts, at most [`MOST_ROWS`].
    pub rows: Vec<Attempt>,
    /// The planned message.
    pub plan: Option<Box<PlannedMessage>>,
    /// What the guard took for its messages: a verification gives it back, and after a crash the guard takes it again, unless
    /// its own records contain it.
    pub taken: Vec<Ticket>,
    /// Parts of its last text message.
    pub parts: u8,
    /// When its code ends, as of its last message.
    pub ends: Timestamp,
    /// Whether another system made the code.
    pub is_carried: bool,
    /// Its messages at gateways, at most [`MOST_ROWS`]: a start finds here what the process before it had begun.
    pub begun: Vec<Begun>,
}

/// A message that was permitted and has not been settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// The number of its first attempt.
    pub first: u8,
    /// Due when it began.
    pub message: Box<PlannedMessage>,
}

/// How long the end of a verification takes to be settled: an answer to a check or a send may be late.
const SETTLED_IN: Duration = Duration::from_secs(60);

crate::named! {
    /// The status of a verification. Records contain the position in this order.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
    pub enum VerifyStatus {
        /// No code was submitted yet.
        New = "new",
        /// The right code was.
        Success = "success",
        /// A wrong code was.
        InvalidCode = "invalid_code",
        /// A code was submitted too late.
        Expired = "expired",
        /// The gateway that holds the code could not be asked.
        GatewayError = "gateway_error",
    }
}

/// The result of a receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReceiptOutcome {
    /// The attempt has come further, with its row now, and whether this report is the first to say that it arrived.
    Recorded(Box<Attempt>, bool),
    /// The send is still under way, and its attempts are not recorded yet.
    Early,
    /// It changes nothing: it came before, or late, or no such attempt of the gateway is known.
    Ignored,
}

impl Record for AttemptLog {
    const KIND: u8 = 2;
    const PLURAL: &'static str = "delivery attempts";
    const ID_ENDS_WITH_SLOT: bool = true;
    /// 33 messages with a text of 1,600 characters, and 34 tickets with the 250 windows of a service's rate limits.
    const LONGEST: usize = 768 * 1024;

    fn expires(&self) -> Timestamp {
        let kept = self.keep_until.max(self.needed_until());
        self.plan.as_ref().map_or(kept, |plan| kept.max(plan.expires))
    }
}

impl LogRecord for AttemptLog {
    fn places(&self) -> Places {
        Places {
            at: self.taken.iter().map(|ticket| ticket.at).fold(self.last_attempt_at(), Timestamp::max),
            due: self.plan.iter().map(|plan| plan.due).collect(),
            needed_until: if self.plan.is_some() { Timestamp::MAX } else { self.needed_until() },
        }
    }
}

impl AttemptLog {
    /// A verification whose first message is permitted now.
    pub fn new(number: PhoneNumber, now: Timestamp, settings: AttemptLogSettings) -> Self {
        Self {
            number,
            created: now,
            keep_until: now.plus(settings.keep_for),
            verify: VerifyStatus::New,
            verify_at: now,
            next_attempt: 0,
            rows: Vec::new(),
            plan: None,
            taken: Vec::new(),
            parts: 1,
            ends: Timestamp::EPOCH,
            is_carried: false,
            begun: Vec::new(),
        }
    }

    /// Until its end is settled: before, a right code would count as a failure, and the guard would get nothing back.
    fn needed_until(&self) -> Timestamp {
        match self.verify {
            _ if self.ends == Timestamp::EPOCH => Timestamp::EPOCH,
            VerifyStatus::Success => self.verify_at.plus(SETTLED_IN),
            _ => self.ends.plus(SETTLED_IN),
        }
    }

    /// Takes numbers for a message that is about to leave. Returns the first.
    fn begin(&mut self, message: PlannedMessage) -> u8 {
        let first = self.reserve();
        if self.begun.len() == MOST_ROWS {
            self.begun.remove(0);
        }
        // It may have left.
        let message = Box::new(PlannedMessage { allowance: None, ..message });
        self.begun.push(Begun { first, message });
        first
    }

    /// When an attempt was made last.
    pub fn last_attempt_at(&self) -> Timestamp {
        self.rows.iter().map(|row| row.at).fold(self.created, Timestamp::max)
    }

    /// Notes what the guard has taken for a message that is about to leave.
    pub fn take(&mut self, ticket: Ticket) {
        if self.taken.len() == MOST_ROWS {
            self.taken.remove(0);
        }
        self.taken.push(ticket);
    }

    /// The guard gets back what it has taken for a message that was not sent.
    pub fn give_back(&mut self, ticket: &Ticket) {
        let at = self.taken.iter().rposition(|taken| taken == ticket);
        at.map(|at| self.taken.remove(at));
    }

    /// Takes numbers for the attempts of a send that is about to begin, and returns the first.
    pub fn reserve(&mut self) -> u8 {
        let first = self.next_attempt;
        self.next_attempt = first.saturating_add(NUMBERS_PER_SEND);
        first
    }

    /// Records the attempts of a send, and its plan. Returns what the guard has taken for the replaced plan.
    pub fn settle(&mut self, permitted: &Permitted, delivered: &Delivered) -> Vec<Ticket> {
        let (first, made) = (permitted.first_attempt, &delivered.attempts);
        self.parts = self.parts.max(delivered.parts);
        // What was asked for a message that no gateway had been asked for takes the place of its row.
        let is_repeated = |row: &Attempt| made.iter().any(|attempt| attempt.number == row.number);
        self.rows.retain(|row| made.is_empty() || row.status != SendStatus::New || is_repeated(row));
        for attempt in made {
            self.add(attempt);
        }
        let used = made.iter().map(|attempt| attempt.number.saturating_add(1)).fold(first, u8::max);
        // A send that has begun meanwhile has the numbers after these: then the unused ones cannot be given back.
        if self.next_attempt == first.saturating_add(NUMBERS_PER_SEND) {
            self.next_attempt = used;
        }
        self.next_attempt = self.next_attempt.max(used);
        let next = match &delivered.plan {
            PlanChange::Keep => return Vec::new(),
            PlanChange::Set(planned) => Some(planned.clone()),
            PlanChange::End(dropped) => {
                let planned = permitted.planned.as_ref().map(|planned| planned.channel);
                let channel = made.last().map(|attempt| attempt.channel).or(planned);
                if let Some((why, channel)) = dropped.zip(channel) {
                    self.give_up(channel, why);
                }
                None
            }
        };
        // A send may have been under way when the right code came.
        let next = next.filter(|_| self.verify != VerifyStatus::Success);
        let replaced = self.tickets_of_plan();
        self.plan = next;
        replaced
    }

    /// What the guard gets back if the planned message does not leave.
    fn tickets_of_plan(&self) -> Vec<Ticket> {
        self.plan.as_ref().and_then(|plan| plan.allowance.clone()).unwrap_or_default()
    }

    fn add(&mut self, attempt: &Attempt) {
        let message_id = attempt.message_id.as_deref().and_then(kept_id);
        let mut row = Attempt { message_id, ..attempt.clone() };
        if let Some(place) = self.rows.iter().position(|row| row.number == attempt.number) {
            let repeated = self.rows.remove(place);
            row.retries = repeated.retries.saturating_add(1);
            // The row says that nothing left only if no try of it did: a time with a report is the time of that report.
            let never_left = repeated.receipt_at.filter(|_| repeated.receipt.is_none());
            row.receipt_at = never_left.and(row.receipt_at);
        }
        // The newest attempt is the last row, and says more than the one before it.
        self.rows.truncate(MOST_ROWS - 1);
        self.rows.push(row);
    }

    /// [`Permitted::repeated`] of a planned message.
    pub fn repeated_by(&self, planned: &PlannedMessage) -> Vec<(Channel, GatewayName, u8)> {
        let is_retried = matches!(planned.reason, Reason::Retry { .. });
        let is_its = |row: &&Attempt| row.channel == planned.channel && row.status != SendStatus::Sent;
        let rows = self.rows.iter().rev().filter(|row| is_retried && is_its(row));
        rows.map(|row| (row.channel, row.gateway, row.number)).collect()
    }

    /// Drops the planned send, if there is one: its code cannot be used any more.
    fn drop_plan(&mut self) {
        if let Some(plan) = self.plan.take().filter(|plan| plan.reason != Reason::NextStep) {
            self.give_up(plan.channel, Failure::NoLongerUsable);
        }
    }

    /// A message is not tried any more on its last channel.
    fn give_up(&mut self, channel: Channel, why: Failure) {
        for row in &mut self.rows {
            // A row that was sent stays sent: it was the next one that was not made.
            if row.channel == channel && row.status != SendStatus::Sent {
                row.status = SendStatus::Unsendable;
                row.max_retries_reached |= why == Failure::RetriesUsedUp;
            }
        }
    }

    /// Records the result of a check. Success drops the planned send.
    pub fn check(&mut self, status: VerifyStatus, now: Timestamp) {
        // A later result does not change a verified status.
        if self.verify == VerifyStatus::Success {
            return;
        }
        (self.verify, self.verify_at) = (status, now);
        if status == VerifyStatus::Success {
            self.drop_plan();
        }
    }

    /// Records a provider's report, and updates the plan. A repeated report changes nothing, and a late one moves
    /// nothing back.
    pub fn receive(&mut self, receipt: &Receipt, now: Timestamp) -> ReceiptOutcome {
        let number = receipt.attempt.attempt;
        let is_last = self.rows.last().is_some_and(|row| row.number == number);
        let Some(row) = self.rows.iter_mut().find(|row| row.number == number) else {
            let is_reserved = number < self.next_attempt;
            return if is_reserved { ReceiptOutcome::Early } else { ReceiptOutcome::Ignored };
        };
        // Another gateway's provider knows nothing of the message, whatever it says.
        if receipt.gateway.is_some_and(|gateway| gateway != row.gateway) {
            return ReceiptOutcome::Ignored;
        }
        // A retry has sent another message since.
        let is_of_another = row.message_id.as_ref().is_some_and(|id| *id != receipt.message_id);
        if is_of_another || row.receipt.is_some_and(|known| known >= receipt.status) {
            return ReceiptOutcome::Ignored;
        }
        let has_arrived =
            row.receipt < Some(ReceiptStatus::Delivered) && receipt.status >= ReceiptStatus::Delivered;
        (row.receipt, row.receipt_at) = (Some(receipt.status), Some(now));
        if row.message_id.is_none() {
            // The gateway did not answer in time, but it had taken the message.
            row.message_id = kept_id(&receipt.message_id);
            row.status = SendStatus::Sent;
        }
        row.error_code = receipt.code.or(row.error_code);
        row.said = receipt.said.clone().or(row.said.take());
        let row = row.clone();
        // A retry after doubt repeats what any of the gateways may have carried.
        let is_of_doubt = |plan: &PlannedMessage| plan.reason != Reason::NextStep && plan.allowance.is_none();
        if is_last || self.plan.as_deref().is_some_and(is_of_doubt) {
            self.react(receipt, now);
        }
        ReceiptOutcome::Recorded(Box::new(row), has_arrived)
    }

    /// Updates the plan. An arrived message, or a final failure, drops it. Another failed message makes a next step due.
    fn react(&mut self, receipt: &Receipt, now: Timestamp) {
        let Some(plan) = &mut self.plan else { return };
        match (receipt.status, receipt.class) {
            (
                ReceiptStatus::Failed,
                Some(ErrorClass::Fraud | ErrorClass::BadNumber | ErrorClass::OptedOut),
            )
            | (ReceiptStatus::Delivered | ReceiptStatus::Read, _) => self.plan = None,
            (ReceiptStatus::Failed, _) if plan.reason == Reason::NextStep => plan.due = now.min(plan.due),
            _ => {}
        }
    }

    /// The gateways whose message is not known to have arrived, the one that was asked last at the end.
    pub fn asked_in_vain(&self) -> Vec<GatewayName> {
        let mut asked = Vec::new();
        for row in &self.rows {
            asked.retain(|gateway| *gateway != row.gateway);
            let was_asked = matches!(row.status, SendStatus::Sent | SendStatus::GatewayError);
            if was_asked && row.receipt < Some(ReceiptStatus::Delivered) {
                asked.push(row.gateway);
            }
        }
        asked
    }

    /// The channel and the gateway of the last message that may have left, and when.
    pub fn last(&self) -> Option<(Channel, GatewayName, Timestamp)> {
        let last = self.rows.iter().rfind(|row| row.may_have_left())?;
        Some((last.channel, last.gateway, last.at))
    }
}

impl AttemptLog {
    /// Removes every record of this number in the slot of the decision, with its planned messages. Returns what the guard
    /// gets back for those; `None` without a record.
    pub fn erase(service: ServiceId, number: PhoneNumber, view: &mut Transaction<'_>) -> Option<Vec<Ticket>> {
        let removed = view.remove(service, |log: &Self| log.number == number);
        (!removed.is_empty()).then(|| removed.iter().flat_map(Self::tickets_of_plan).collect())
    }

    /// Reserves numbers for the attempts of a permitted send. Returns the first, and [`Permitted::asked`]. Notes what the
    /// guard has taken for it, and the message, so that both are durable before it leaves.
    pub fn permit_in(
        key: AttemptLogKey,
        of: NumberKey,
        settings: AttemptLogSettings,
        (message, taken): (PlannedMessage, Vec<Ticket>),
        view: &mut Transaction<'_>,
    ) -> (u8, Vec<GatewayName>) {
        let now = view.now();
        // Without the record a crash would lose what the message counted.
        let mut log = view.get(key.id()).unwrap_or_else(|| Self::new(of.number, now, settings));
        (log.ends, log.is_carried) = (message.expires, of.is_carried);
        let first = log.begin(message);
        for ticket in taken.into_iter().filter(|ticket| !ticket.is_empty()) {
            log.take(ticket);
        }
        view.put(key.id(), Some(&log));
        (first, log.asked_in_vain())
    }

    /// Records a send that ended. Returns the record, and what the guard gets back for a planned message whose place it
    /// takes.
    pub fn settle_in(
        of: NumberKey,
        settings: AttemptLogSettings,
        permitted: &Permitted,
        delivered: &Delivered,
        view: &mut Transaction<'_>,
    ) -> (Option<Self>, Vec<Ticket>) {
        let (id, now) = (permitted.log.id(), view.now());
        let is_planned = matches!(delivered.plan, PlanChange::Set(_));
        let is_kept = is_planned || !delivered.attempts.is_empty();
        let new = || is_kept.then(|| Self::new(of.number, now, settings));
        let Some(mut log) = view.get(id).or_else(new) else { return (None, Vec::new()) };
        (log.ends, log.is_carried) = (permitted.expires(), of.is_carried);
        let begun = log.begun.iter().position(|begun| begun.first == permitted.first_attempt);
        begun.map(|at| log.begun.remove(at));
        let replaced = log.settle(permitted, delivered);
        replaced.iter().chain(&delivered.certainly_not_sent()).for_each(|ticket| log.give_back(ticket));
        // A refused message leaves nothing.
        let is_void = delivered.certain_failure().is_some() && log.next_attempt == 0 && log.plan.is_none();
        view.put(id, (!is_void || !log.taken.is_empty()).then_some(&log));
        (Some(log), replaced)
    }

    /// Records a check, or an approval by the caller. Returns the record, whether this was the first, and what the guard has
    /// taken for the messages, and gives back if the code was right.
    pub fn check_in(
        key: AttemptLogKey,
        status: VerifyStatus,
        view: &mut Transaction<'_>,
    ) -> Option<(Self, bool, Vec<Ticket>)> {
        let mut log: Self = view.get(key.id())?;
        let is_first = log.verify == VerifyStatus::New;
        log.check(status, view.now());
        let is_right = status == VerifyStatus::Success;
        let taken = if is_right { std::mem::take(&mut log.taken) } else { Vec::new() };
        log.taken.extend(taken.iter().cloned().filter_map(Ticket::verified));
        view.put(key.id(), Some(&log));
        Some((log, is_first, taken))
    }

    /// Begins the planned send. The change is durable before delivery asks a gateway, therefore a crash does not repeat
    /// the send. Returns the number of its first attempt, and [`Permitted::asked`]: a retry asks in the order of the number.
    pub fn begin_plan(mut self, key: AttemptLogKey, view: &mut Transaction<'_>) -> (u8, Vec<GatewayName>) {
        let Some(plan) = self.plan.take() else { return (self.next_attempt, Vec::new()) };
        let is_step = plan.reason == Reason::NextStep;
        let first = self.begin(PlannedMessage { due: view.now(), ..*plan });
        view.put(key.id(), Some(&self));
        (first, if is_step { self.asked_in_vain() } else { Vec::new() })
    }

    /// The code of the planned send cannot be used any more.
    pub fn end_plan(mut self, key: AttemptLogKey, view: &mut Transaction<'_>) {
        self.tickets_of_plan().iter().for_each(|ticket| self.give_back(ticket));
        self.drop_plan();
        view.put(key.id(), Some(&self));
    }

    /// Records a provider's report, durably: a provider that gets an answer does not repeat the report. Also returns the
    /// record.
    pub fn receive_in(receipt: &Receipt, view: &mut Transaction<'_>) -> (ReceiptOutcome, Option<Self>) {
        let id = receipt.attempt.key.id();
        let Some(mut log) = view.get::<Self>(id) else { return (ReceiptOutcome::Ignored, None) };
        let outcome = log.receive(receipt, view.now());
        view.put(id, Some(&log));
        (outcome, Some(log))
    }
}

fn kept_id(id: &str) -> Option<String> {
    (id.len() <= LONGEST_ID).then(|| id.to_owned())
}
