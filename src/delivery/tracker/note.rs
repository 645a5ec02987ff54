//! What the tracker is told, and what it asks to be done later.

use crate::domain::{Channel, GatewayName, PhoneNumber, Timestamp, TrackKey};
use crate::engine::Salt;
use crate::template::MessageStyle;

/// What happened in one delivery: a send that somebody asked for, or a follow-up.
#[derive(Debug, Clone)]
pub struct SendNote {
    /// The verification and its message.
    pub about: Parcel,
    /// The gateways that were asked, in that order.
    pub hops: Vec<Hop>,
    /// The row of an earlier attempt that the first hop repeats: it counts one retry more.
    pub retry_of: Option<u8>,
    /// What is to be done later, in place of whatever was planned before.
    pub next: Option<FollowUp>,
}

/// A verification's message, as far as it must be known to send it again. The code is not in it:
/// it is derived from the salt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parcel {
    /// Whose sends these are.
    pub key: TrackKey,
    /// Whom they go to.
    pub number: PhoneNumber,
    /// What the code is derived from.
    pub salt: Salt,
    /// How the message is worded.
    pub style: MessageStyle,
    /// From this moment on nothing is sent any more.
    pub expires: Timestamp,
}

/// One gateway that was asked once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// When it answered, or when it was given up.
    pub at: Timestamp,
    /// How it was to be delivered.
    pub channel: Channel,
    /// Who was asked.
    pub gateway: GatewayName,
    /// Its place in the order in which gateways are tried for this number, from 0.
    pub priority: u8,
    /// What came of it.
    pub status: SendStatus,
    /// The provider's id of the message.
    pub message_id: Option<String>,
    /// The provider's error code.
    pub error_code: Option<u32>,
}

/// How far a send came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendStatus {
    /// Not tried yet.
    New,
    /// The gateway refused it, failed, or did not answer.
    GatewayError,
    /// The gateway took it.
    Sent,
    /// It is not tried any more.
    Unsendable,
}

/// What became of a verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerifyStatus {
    /// No code was submitted yet.
    New,
    /// The right code was.
    Success,
    /// A wrong code was.
    InvalidCode,
    /// A code was submitted too late.
    Expired,
    /// The gateway that holds the code could not be asked.
    GatewayError,
}

/// A send that is to be made later, without anybody waiting for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowUp {
    /// When.
    pub due: Timestamp,
    /// How it is to be delivered.
    pub channel: Channel,
    /// Why.
    pub reason: Reason,
    /// The step of the workflow that it belongs to, from 0.
    pub step: u8,
    /// Messages that gateways have taken for this verification so far.
    pub sent: u8,
}

/// Why a send is made later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// No gateway took it yet.
    Retry {
        /// The row of the attempt that is repeated.
        attempt: u8,
        /// Retries made so far.
        retries: u32,
    },
    /// It is the next step's turn, unless the message before it arrives.
    NextStep,
}

/// A follow-up whose time has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// What is to be sent to whom.
    pub about: Parcel,
    /// How and why.
    pub follow_up: FollowUp,
}

/// Why a planned send is not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// Its code was used, replaced or locked, or it has expired.
    NotUsable,
    /// It was tried as often as is allowed.
    MaxRetriesReached,
    /// The verification has cost as many messages as it may.
    BudgetSpent,
    /// A gateway gave an answer after which nothing is tried again, such as a number that does not
    /// exist.
    Refused,
}
