//! What a decision about a number means for the records beside it, such as webhook events: they are written in the
//! decision's own commit. The delivery attempts are written before the recorders are called.

use std::collections::BTreeMap;

use super::record::NumberKey;
use crate::attempts::{Row, VerifyStatus};
use crate::delivery::Delivered;
use crate::domain::{Channel, Timestamp, TrackKey};
use crate::engine::{CheckOutcome, Ending, SendPermit, Verification};
use crate::gateway::Receipt;
use crate::shard::Transaction;
use crate::template::MessageStyle;

/// A decision that others keep records of.
pub enum Happened<'a> {
    /// A message is permitted. `is_silent` for a test number, which is sent none.
    Permitted {
        /// The right to send it.
        permit: &'a SendPermit,
        /// The verification as it is now.
        verification: &'a Verification,
        /// How it is delivered.
        channel: Channel,
        /// How it is worded.
        style: &'a MessageStyle,
        /// Whether no message is sent.
        is_silent: bool,
        /// What the caller attached to the verification.
        tags: Option<&'a BTreeMap<String, String>>,
    },
    /// A send ended.
    Settled {
        /// The permit of the send.
        permit: &'a SendPermit,
        /// The number's verification as it is now, if it is still the one of the permit.
        verification: Option<&'a Verification>,
        /// How its message is worded.
        style: &'a MessageStyle,
        /// How it ended.
        delivered: &'a Delivered,
        /// Whether it was planned, not asked for by a client.
        is_follow_up: bool,
    },
    /// A code was checked.
    Checked {
        /// The verification that was asked about, as it was before.
        verification: &'a Verification,
        /// What came of it.
        outcome: CheckOutcome,
        /// The same for the list of attempts.
        status: VerifyStatus,
        /// Whether callers who name the verification have no attempt left after it.
        is_spent: bool,
    },
    /// A verification ended by request.
    Ended {
        /// The verification, as it was before.
        verification: &'a Verification,
        /// How.
        ending: Ending,
    },
    /// A provider reported that an attempt came further. A receipt that changes nothing does not happen.
    Receipt {
        /// The record of the verification's attempts; [`Track`](crate::attempts::Track) has it as it is now.
        track: TrackKey,
        /// The attempt as it is now.
        row: &'a Row,
        /// What became of the verification so far.
        status: VerifyStatus,
        /// The report.
        receipt: &'a Receipt,
    },
}

/// Keeps records of what happens to numbers. Pure: it only changes records of the transaction.
pub trait Recorder: Send + Sync {
    /// Takes in one decision about `key`, made at `now`.
    fn record(&self, key: NumberKey, happened: &Happened<'_>, now: Timestamp, view: &mut Transaction<'_>);
}
