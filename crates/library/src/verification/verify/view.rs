//! Views of verifications and attempts for callers.

use serde::{Deserialize, Serialize};

use crate::delivery::attempts::ListedAttempt;
use crate::domain::{Channel, PhoneNumber, ServiceId, Sid, Timestamp};
use crate::engine::{LockoutState, VerificationDetails};
use crate::registry::TextError;
use crate::verification::numbers::{Refusal, VerificationSummary};

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

crate::named! {
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
        /// Its code has expired, or was voided. The API does not find such a verification.
        Expired = "expired",
        /// No gateway accepted its first message. The API does not find such a verification either.
        Failed = "failed",
    }
}

impl Status {
    /// Every status that the API shows.
    pub const SHOWN: [Self; 4] = [Self::Pending, Self::Approved, Self::Canceled, Self::MaxAttemptsReached];

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

/// The number of attempts that led to a verified number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    pub total: u64,
    pub converted: u64,
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
    /// The latest verification that is known.
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
    /// When it began; of one that ended, the time of its first message that is known.
    pub begun: Timestamp,
    /// When its code expires, or when it was approved. `None` if that is not known any more.
    pub ends: Option<Timestamp>,
    pub sends: u8,
    /// Its wrong codes. `None` if they are not known any more.
    pub wrong_codes: Option<u8>,
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
    /// No check is left. 60202.
    NoChecksLeft {
        /// Earliest next check.
        until: Timestamp,
    },
    /// No message is left. 60203.
    NoSendsLeft {
        /// Until one may be sent.
        until: Timestamp,
    },
    /// A rate limit is reached. 20429.
    TooMany { until: Timestamp },
    /// The next message to this number must wait. 20429.
    TooSoon { until: Timestamp },
    /// A budget of the operator has nothing left. 20429.
    BudgetSpent {
        /// The end of its hour or day.
        until: Timestamp,
    },
    /// The number is a landline, and was to get a text message; the words say what a mobile number of its country has.
    /// 60205.
    Landline(Option<&'static str>),
    /// The owner of the number has asked the provider for no messages. 21610.
    OptedOut,
    /// Too many requests for this number are being answered, or its verification had five messages in its first second. 60212.
    Concurrent,
    /// The provider blocks this range of numbers. 60410.
    Blocked,
    /// The pumping guard refuses the message. 60410.
    ByGuard {
        /// Whether only an allowance is empty that a request with `RiskCheck=disable` does not need.
        is_for_an_allowance: bool,
    },
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
    /// The circuit of every gateway for the number is open. 20502.
    OutOfService {
        /// When the next message may probe one of them.
        until: Timestamp,
    },
    /// The server refused the request.
    Unavailable(Refusal),
}
