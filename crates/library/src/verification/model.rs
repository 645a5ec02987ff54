//! Requests about verifications, the replies to them, and what callers see. The shard sends a reply once every change that
//! it reports is durable.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

use serde::{Deserialize, Serialize};

use crate::delivery::Failure;
use crate::delivery::attempts::{AttemptLog, ListedAttempt};
use crate::domain::{Channel, Code, NumberKey, PhoneNumber, ServiceId, Sid, Timestamp};
pub use crate::engine::CheckOutcome;
use crate::engine::{self, LockoutState, NumberState, Policy, SlotHash, VerificationDetails};
use crate::limits::keys::{GivenKey, KeyedRequest};
use crate::named;
use crate::observe::trace::RequestId;
use crate::registry::TextError;
use crate::shard::{Id, Record, Refusal};

pub struct CheckCode {
    pub target: VerificationTarget,
    /// The number that the verification must have; `None` for any.
    pub number: Option<PhoneNumber>,
    /// The submitted code; `None` if the text cannot be a code, which does not count.
    pub code: Option<Code>,
    pub once: Option<GivenKey>,
    pub request_id: Option<RequestId>,
}

impl CheckCode {
    /// A request without options.
    pub const fn new(target: VerificationTarget, code: Option<Code>) -> Self {
        Self { target, number: None, code, once: None, request_id: None }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerificationTarget {
    Number(PhoneNumber),
    /// This one (`VE`).
    Sid(Sid),
}

/// The outcome of a command, and the verification it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply<O> {
    /// A [`SendOutcome`], a [`CheckOutcome`], or whether an end had an effect.
    pub outcome: O,
    /// When it was decided.
    pub at: Timestamp,
    /// The send came with the idempotency key of this earlier one, and was not carried out: `outcome` says nothing.
    pub earlier: Option<KeyedRequest>,
    /// The verification, unless the outcome is a refusal, or certainly no message was sent; of a carried code only once a
    /// gateway accepted it.
    pub verification: Option<VerificationSummary>,
    /// Its attempts, as the decision left them.
    pub attempts: Option<AttemptLog>,
}

impl<O> Reply<O> {
    /// A reply without attempts.
    pub const fn new(outcome: O, at: Timestamp, verification: Option<VerificationSummary>) -> Self {
        Self { outcome, at, earlier: None, verification, attempts: None }
    }
}

/// The outcome of a send.
pub type SendOutcome = Result<Sent, Failure>;

/// A message that a provider has taken, or that will be tried again in the background.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Wrong codes still allowed before the number is locked out.
    pub attempts_left: u8,
    /// The provider's id of the message, or one of ours while it waits for another try in the background.
    pub message_id: String,
    /// Whether no gateway took the message yet: it is tried again in the background, while the code lives.
    /// Only with the setting `sms.retry`.
    pub is_postponed: bool,
}

/// The public data of a verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerificationSummary {
    /// Its name among those of its number: [`Salt::id`](crate::engine::Salt::id).
    pub id: u64,
    /// When its code expires.
    pub expires: Timestamp,
    /// The compatible routes count wrong codes by number only.
    pub details: VerificationDetails,
}

impl VerificationSummary {
    /// The summary of a verification.
    pub fn of(verification: &engine::Verification, policy: &Policy) -> Self {
        let (id, expires) = (verification.salt.id(), verification.expires);
        Self { id, expires, details: verification.details(policy) }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// `VE`.
    pub sid: Sid,
    pub service: ServiceId,
    pub to: PhoneNumber,
    pub channel: Channel,
    pub status: Status,
    pub created: Timestamp,
    pub updated: Timestamp,
    /// Its messages so far, the oldest first.
    pub attempts: Vec<SealedAttempt>,
}

/// A message with a carried code that a gateway accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CarriedMessage {
    /// `VL`; `None` if no attempt is known, as of a test number, which gets no message.
    pub sid: Option<Sid>,
    pub channel: Channel,
    /// When the gateway accepted it.
    pub at: Timestamp,
    /// Whether an earlier request sent it.
    pub is_repeated: bool,
}

named! {
    /// Under Twilio's names.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Status {
        /// The code can be checked.
        Pending = "pending",
        /// The code was right.
        Approved = "approved",
        /// The caller ended it.
        Canceled = "canceled",
        /// No check is left.
        MaxAttemptsReached = "max_attempts_reached",
    }
}

impl Status {
    /// That of a verification that is kept.
    pub const fn of(summary: &VerificationSummary) -> Self {
        match summary.details {
            VerificationDetails { canceled: true, .. } => Self::Canceled,
            VerificationDetails { spent: true, .. } => Self::MaxAttemptsReached,
            _ => Self::Pending,
        }
    }
}

/// One attempt to deliver a message, with the ids that callers know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedAttempt {
    /// `VL`.
    pub sid: Sid,
    /// `VE`.
    pub verification: Sid,
    pub listed: ListedAttempt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Erasure {
    /// The services that had records of the number.
    pub services: usize,
    /// Something was known, and is erased.
    pub has_erased: bool,
    /// The end of a lockout, which stays until then.
    pub locked_until: Option<Timestamp>,
}

/// All that is known of a number in a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberStatus {
    /// The one that is under way, or was canceled, with its id, `VE`.
    pub verification: Option<(Sid, VerificationSummary)>,
    /// The lockout and the wrong codes in a row.
    pub lockout: LockoutState,
    /// The newest messages that are known, the newest first.
    pub messages: Vec<ListedAttempt>,
}

/// The most messages of a [`NumberStatus`]. A number has seldom more.
pub const MESSAGES: usize = 50;

/// Why a request was not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// Unknown or used.
    NotFound,
    /// An unusable value; the words say which and why.
    Invalid(String),
    /// The message cannot have the text that the request asks for.
    Text(TextError),
    /// The service or the gateway does not have what the request needs; the words say what.
    FeatureOff(&'static str),
    /// No check is left until then.
    NoChecksLeft { until: Timestamp },
    /// The verification that the first request with this idempotency key began has ended.
    Ended,
    /// The message was not sent, or the gateway that holds the code did not say whether it is right.
    Failed(Failure),
    /// The server refused the request.
    Unavailable(Refusal),
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self::Unavailable(refusal)
    }
}

/// A number that is locked out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LockedNumber {
    /// Until when.
    pub until: Timestamp,
    /// Where it is locked out.
    pub service: ServiceId,
    pub number: PhoneNumber,
    /// Consecutive wrong codes.
    pub wrong_codes: u8,
}

// The record of a number, and its key.

/// A fresh number has no record.
impl Record for NumberState {
    const KIND: u8 = 1;
    const PLURAL: &'static str = "numbers";

    /// A test number has the slot of its number.
    fn slot(id: &Id, slots: &SlotHash) -> u8 {
        NumberKey::from_id(id).map_or_else(|| slots.of(*id), |key| slots.of_number(key.service, key.number))
    }

    fn expires(&self) -> Timestamp {
        self.ends().unwrap_or(Timestamp::EPOCH)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::CodeLength;
    use crate::engine::{FailureCount, OpenNumber, Salt, SendOptions, Verification};
    use crate::shard::{INLINE, encode};

    /// Plan with 100 bytes for such a number: the entry has 72, and its chunk has room.
    #[test]
    fn a_number_with_a_code_of_the_compatible_routes_is_in_its_entry() {
        let century = Timestamp::from_millis(4_000_000_000_000);
        let options = SendOptions { life: Duration::ZERO, length: CodeLength::new(10).expect("a length") };
        let beginning = Verification::beginning(Salt([7; 16]), &options, century);
        let verification = Some(Verification { sending: u8::MAX, sent: true, postponed: true, ..beginning });
        let open = OpenNumber { failures: FailureCount::NONE, keep_until: century, verification };
        assert!(encode(&NumberState::Open(open)).len() <= INLINE);
    }
}
