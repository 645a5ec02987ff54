//! What is remembered about one verification, and how what happens changes it.

use super::note::{Dropped, FollowUp, Hop, SendStatus, VerifyStatus};
use crate::domain::{Channel, GatewayName, PhoneNumber, Timestamp};
use crate::engine::Salt;
use crate::gateway::{Receipt, ReceiptStatus};
use crate::template::MessageStyle;

/// Rows that one verification can have. Somebody who asks again and again while the code stays
/// the same must not make a record grow; later attempts are not remembered.
pub(super) const ROWS_AT_MOST: u8 = 32;

/// Longest id that is kept. Providers' ids have 34 characters or so; a part of one is of no use, so
/// a longer one is left out.
const LONGEST_ID: usize = 100;

/// One verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Track {
    /// Whom its messages go to.
    pub number: PhoneNumber,
    /// When its first message was handed to a gateway.
    pub created: Timestamp,
    /// What became of it.
    pub verify: VerifyStatus,
    /// When that was decided.
    pub verify_at: Timestamp,
    /// Its attempts, at most 32.
    pub rows: Vec<Row>,
    /// What is still to be sent.
    pub plan: Option<Plan>,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// How it was to be delivered.
    pub channel: Channel,
    /// Who was asked.
    pub gateway: GatewayName,
    /// The gateway's place in the order for this number, from 0.
    pub priority: u8,
    /// What came of it.
    pub status: SendStatus,
    /// How often it was tried again.
    pub retries: u32,
    /// Whether it was given up because it was tried as often as is allowed.
    pub max_retries_reached: bool,
    /// When it was tried last.
    pub at: Timestamp,
    /// The provider's id of the message.
    pub message_id: Option<String>,
    /// The provider's error code.
    pub error_code: Option<u32>,
    /// What the provider reported.
    pub receipt: Option<ReceiptStatus>,
}

/// A follow-up with all that it takes to send it. Gone with it is the salt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Whom it goes to.
    pub number: PhoneNumber,
    /// What the code is derived from.
    pub salt: Salt,
    /// How the message is worded.
    pub style: MessageStyle,
    /// From this moment on nothing is sent any more.
    pub expires: Timestamp,
    /// When it is sent, how and why.
    pub follow_up: FollowUp,
}

/// Something that happened to a verification, not yet written down.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Send(Box<Send>),
    Check {
        status: VerifyStatus,
        at: Timestamp,
    },
    Receipt(Box<Receipt>),
    /// The row that was to be tried again is not, and why.
    Drop {
        row: u8,
        why: Dropped,
    },
}

/// A delivery, without what is known otherwise.
#[derive(Debug, Clone)]
pub(super) struct Send {
    pub(super) number: PhoneNumber,
    pub(super) at: Timestamp,
    pub(super) hops: Vec<Hop>,
    pub(super) retry_of: Option<u8>,
}

/// How many rows there are after a delivery, if there were `present` before.
pub(super) fn rows_after(present: u8, hops: &[Hop], retry_of: Option<u8>) -> u8 {
    let repeats = retry_of.is_some_and(|row| row < present) && !hops.is_empty();
    let added = hops.len() - usize::from(repeats);
    u8::try_from(added).map_or(ROWS_AT_MOST, |added| present.saturating_add(added).min(ROWS_AT_MOST))
}

impl Track {
    /// A verification of which nothing is known but its first delivery.
    pub(super) fn begun_by(send: &Send) -> Self {
        Self {
            number: send.number,
            created: send.at,
            verify: VerifyStatus::New,
            verify_at: send.at,
            rows: Vec::with_capacity(send.hops.len()),
            plan: None,
        }
    }

    /// The same, all of it earlier, if it says that it was begun after `now`: the clock that it was written
    /// by was ahead. It would be kept for too long, and hold up those behind it.
    #[must_use]
    pub(super) fn not_after(mut self, now: Timestamp) -> Self {
        let ahead = self.created.since(now);
        let earlier = |time: Timestamp| Timestamp::EPOCH.plus(time.since(Timestamp::EPOCH.plus(ahead)));
        self.created = earlier(self.created);
        self.verify_at = earlier(self.verify_at);
        for row in &mut self.rows {
            row.at = earlier(row.at);
        }
        if let Some(plan) = &mut self.plan {
            plan.expires = earlier(plan.expires);
            plan.follow_up.due = earlier(plan.follow_up.due);
        }
        self
    }

    /// Writes down what happened. Plans are kept elsewhere: see `plans`.
    pub(super) fn apply(&mut self, change: Change) {
        match change {
            Change::Send(send) => self.sent(*send),
            // Whoever proved the number has proved it: what comes later is about nothing any more.
            Change::Check { .. } if self.verify == VerifyStatus::Success => {}
            Change::Check { status, at } => (self.verify, self.verify_at) = (status, at),
            Change::Receipt(receipt) => self.reported(&receipt),
            Change::Drop { row, why } => self.dropped(row, why),
        }
    }

    fn sent(&mut self, send: Send) {
        let mut hops = send.hops.into_iter();
        let repeated = send.retry_of.and_then(|row| self.rows.get_mut(usize::from(row)));
        if let Some((row, hop)) = repeated.and_then(|row| Some((row, hops.next()?))) {
            *row = Row { retries: row.retries.saturating_add(1), ..Row::from(hop) };
        }
        for hop in hops {
            if self.rows.len() >= usize::from(ROWS_AT_MOST) {
                // What came last says more than the last of many failures.
                self.rows.pop();
            }
            self.rows.push(Row::from(hop));
        }
    }

    /// Applying a report again changes nothing, and one that comes late moves nothing back.
    fn reported(&mut self, receipt: &Receipt) {
        let Some(row) = self.rows.get_mut(usize::from(receipt.attempt.attempt)) else { return };
        if row.message_id.as_ref().is_some_and(|id| *id != receipt.message_id) {
            // A retry has sent another message since.
            tracing::debug!(attempt = %receipt.attempt, "a report about an earlier message of this attempt");
            return;
        }
        if row.receipt.is_some_and(|known| known >= receipt.status) {
            return;
        }
        row.receipt = Some(receipt.status);
        if row.message_id.is_none() {
            // The gateway did not answer in time, but it had taken the message.
            row.message_id = kept_id(receipt.message_id.clone());
            row.status = SendStatus::Sent;
        }
        row.error_code = receipt.code.or(row.error_code);
    }

    fn dropped(&mut self, row: u8, why: Dropped) {
        // A row that was sent stays sent: it was the next one that was not made.
        if let Some(row) = self.rows.get_mut(usize::from(row)).filter(|row| row.status != SendStatus::Sent) {
            row.status = SendStatus::Unsendable;
            row.max_retries_reached |= why == Dropped::MaxRetriesReached;
        }
    }

    /// The last message that a gateway took, if its id is known.
    pub(super) fn accepted(&self) -> Option<(GatewayName, String)> {
        let mut sent = self.rows.iter().rev().filter(|row| row.status == SendStatus::Sent);
        sent.find_map(|row| Some((row.gateway, row.message_id.clone()?)))
    }
}

impl From<Hop> for Row {
    fn from(hop: Hop) -> Self {
        let Hop { at, channel, gateway, priority, status, message_id, error_code } = hop;
        let message_id = message_id.and_then(kept_id);
        let (retries, max_retries_reached, receipt) = (0, false, None);
        Self {
            channel,
            gateway,
            priority,
            status,
            retries,
            max_retries_reached,
            at,
            message_id,
            error_code,
            receipt,
        }
    }
}

fn kept_id(id: String) -> Option<String> {
    (id.len() <= LONGEST_ID).then_some(id)
}
