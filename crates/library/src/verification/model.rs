//! Requests about verifications, the replies to them, and what callers see. The shard sends a reply once every change that
//! it reports is durable.

#![expect(missing_docs, reason = "a name that says all needs no comment")]

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::delivery::attempts::{AttemptLog, ListedAttempt};
use crate::delivery::{Failure, Outgoing};
use crate::domain::{Channel, Code, NumberKey, PhoneNumber, ServiceId, Sid, Timestamp};
pub use crate::engine::CheckOutcome;
use crate::engine::{self, LockoutState, NumberState, Policy, SlotHash, VerificationDetails};
use crate::limits::keys::{Earlier, KeyedRequest};
use crate::named;
use crate::observe::trace::RequestId;
use crate::registry::TextError;
use crate::shard::{Id, Record, Refusal};

/// Begin a verification, or send its code again. Has no `Debug`: it may contain a code.
pub struct BeginRequest {
    /// The message. Its text is not known yet.
    pub message: Outgoing,
    /// How long the code can be used; `None` for the life of the service's codes.
    pub life: Option<Duration>,
    /// Which template (`HJ`); `None` for the service's.
    pub template: Option<Sid>,
    pub substitutions: BTreeMap<String, String>,
    /// Values for rate limits, by their unique names.
    pub rate_limits: BTreeMap<String, String>,
    pub idempotency_key: Option<String>,
    /// Equal for equal requests: a SHA-256 over the fields as they were sent. Zero without a key.
    pub fingerprint: [u8; 32],
}

impl BeginRequest {
    /// A request without options.
    pub const fn new(message: Outgoing) -> Self {
        Self {
            message,
            life: None,
            template: None,
            substitutions: BTreeMap::new(),
            rate_limits: BTreeMap::new(),
            idempotency_key: None,
            fingerprint: [0; 32],
        }
    }
}

pub struct CheckCode {
    pub target: VerificationTarget,
    /// The number that the verification must have; `None` for any.
    pub number: Option<PhoneNumber>,
    /// The submitted code; `None` if the text cannot be a code, which does not count.
    pub code: Option<Code>,
    pub idempotency_key: Option<String>,
    /// Equal for requests that are equal apart from their codes.
    pub fingerprint: [u8; 32],
    pub request_id: Option<RequestId>,
}

impl CheckCode {
    /// A request without options.
    pub const fn new(target: VerificationTarget, code: Option<Code>) -> Self {
        Self { target, number: None, code, idempotency_key: None, fingerprint: [0; 32], request_id: None }
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
    /// The request came with the idempotency key of an earlier one, and was not carried out: `outcome` says nothing.
    pub earlier: Option<Earlier>,
    /// The verification, unless the outcome is a refusal.
    pub verification: Option<VerificationSummary>,
    /// Its attempts, as the decision left them.
    pub attempts: Option<AttemptLog>,
    /// Whether a message was sent, may have been, or will be tried again.
    pub may_have_been_sent: bool,
}

impl<O> Reply<O> {
    /// A reply without attempts.
    pub const fn new(outcome: O, at: Timestamp, verification: Option<VerificationSummary>) -> Self {
        Self { outcome, at, earlier: None, verification, attempts: None, may_have_been_sent: false }
    }
}

/// The outcome of a send.
pub type SendOutcome = Result<Sent, Failure>;

/// A message that a gateway accepted, or that will be tried again until one does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Wrong codes still allowed.
    pub attempts_left: u8,
    /// The gateway's id of the message, or one of ours.
    pub message_id: String,
    /// Whether no gateway accepted the message yet: it is tried again in the background.
    pub postponed: bool,
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

    /// What an answer says of a verification that is known only by a request with an idempotency key.
    pub const fn remembered(
        &KeyedRequest { verification: id, channel, .. }: &KeyedRequest,
        begun: Timestamp,
        last_send: Timestamp,
        expires: Timestamp,
    ) -> Self {
        let details =
            VerificationDetails { last_send, sends: 1, ..VerificationDetails::beginning(begun, channel) };
        Self { id, expires, details }
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
    pub to: PhoneNumber,
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
    /// The service, `VA`.
    pub service_sid: Sid,
    pub service_name: String,
    /// The one that is under way, or was canceled.
    pub verification: Option<VerificationStatus>,
    /// The lockout and the wrong codes in a row.
    pub lockout: LockoutState,
    /// The newest messages that are known, the oldest first.
    pub messages: Vec<ListedAttempt>,
}

impl NumberStatus {
    /// The most messages. A number has seldom more.
    pub const MESSAGES: usize = 50;
}

/// A verification as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerificationStatus {
    /// `VE`.
    pub sid: Sid,
    pub status: Status,
    pub begun: Timestamp,
    /// When its code expires.
    pub ends: Timestamp,
    pub sends: u8,
    pub wrong_codes: u8,
}

/// Why a request was not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// Unknown or used. 20404.
    NotFound,
    /// An unusable value; the words say which and why. 60200.
    Invalid(String),
    /// The message cannot have the text that the request asks for.
    Text(TextError),
    /// The service or the gateway does not have what the request needs; the words say what. 60204.
    FeatureOff(&'static str),
    /// No gateway sends to this number on this channel. 60223.
    ChannelOff,
    /// No check is left until then. 60202.
    NoChecksLeft { until: Timestamp },
    /// No message is left until then. 60203.
    NoSendsLeft { until: Timestamp },
    /// A rate limit is reached. 20429.
    TooMany { until: Timestamp },
    /// The next message to this number must wait. 20429.
    TooSoon { until: Timestamp },
    /// A budget of the operator has nothing left until the end of its hour or day. 20429.
    BudgetSpent { until: Timestamp },
    /// The number is a landline, and was to get a text message. 60205.
    Landline,
    /// The owner of the number has asked the provider for no messages. 21610.
    OptedOut,
    /// Too many requests for this number are being answered. 60212.
    Concurrent,
    /// The provider blocks this range of numbers. 60410.
    Blocked,
    /// The pumping guard refuses the message, perhaps only because an allowance is empty that a request with
    /// `RiskCheck=disable` does not need. 60410.
    ByGuard { is_for_an_allowance: bool },
    /// The country is not allowed. 60605.
    Country,
    /// The idempotency key was used with another request. 20422.
    OtherRequest,
    /// The verification that the first request with this idempotency key began has ended. 20409.
    Ended,
    /// A newer carried code took the place of this one. 20409.
    Replaced,
    /// The provider refused or did not answer. 20502.
    GatewayFailed,
    /// The circuit of every gateway for the number is open; then the next message may probe one of them. 20502.
    OutOfService { until: Timestamp },
    /// The server refused the request.
    Unavailable(Refusal),
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

named! {
    /// The state of a number before an operator cleared it.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Cleared {
        /// The server had no record of it.
        Unknown = "unknown",
        /// There was a record, and no lockout.
        NotLocked = "not locked",
        /// A lockout or a wait after wrong codes has ended.
        Locked = "locked",
    }
}

// The record of a number, and its key.

/// A fresh number has no record.
impl Record for NumberState {
    const KIND: u8 = 1;
    const PLURAL: &'static str = "numbers";

    /// A test number has the slot of its number.
    fn slot(&self, id: &Id, slots: &SlotHash) -> u8 {
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
