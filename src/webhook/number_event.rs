//! Decisions about numbers, as the recorder of events sees them: in the commit of the decision, after its attempt log.

use std::collections::BTreeMap;

use crate::delivery::attempts::VerifyStatus;
use crate::delivery::{Attempt, Delivered};
use crate::domain::{AttemptLogKey, Channel, Timestamp};
use crate::engine::{CheckOutcome, Ending, SendPermit, Verification};
use crate::gateway::Receipt;

/// A decision about a number.
pub enum NumberEvent<'a> {
    /// A message is permitted.
    Permitted {
        /// The verification as it is now.
        verification: &'a Verification,
        /// The channel of the message.
        channel: Channel,
        /// The tags that the caller attached to the verification.
        tags: Option<&'a BTreeMap<String, String>>,
    },
    /// A send ended.
    Settled {
        /// The permit of the send.
        permit: &'a SendPermit,
        /// The number's verification as it is now, if it is still the one of the permit.
        verification: Option<&'a Verification>,
        /// The result.
        delivered: &'a Delivered,
        /// Whether it was planned, not requested by a client.
        is_follow_up: bool,
    },
    /// A code was checked.
    Checked {
        /// The verification before the check.
        verification: &'a Verification,
        /// The outcome of the check.
        outcome: CheckOutcome,
        /// Whether callers who name the verification have no attempt left after it.
        is_spent: bool,
    },
    /// A fixed lockout or a hard stop of the number begins.
    Locked {
        /// The verification whose check led to it, if the number has one.
        verification: Option<&'a Verification>,
        /// Its end.
        until: Timestamp,
    },
    /// A verification ended by request.
    Ended {
        /// The verification, as it was before.
        verification: &'a Verification,
        /// How.
        ending: Ending,
    },
    /// A provider reported progress of an attempt. A receipt that changes nothing is not recorded.
    Receipt {
        /// The record of the verification's attempts; [`AttemptLog`](crate::delivery::attempts::AttemptLog) has it as it is now.
        log: AttemptLogKey,
        /// The attempt as it is now.
        row: &'a Attempt,
        /// The status of the verification.
        status: VerifyStatus,
        /// The report.
        receipt: &'a Receipt,
    },
}
