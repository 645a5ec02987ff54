//! Replies to commands about numbers. The shard sends a reply once every change that it reports is durable.

use crate::delivery::Failure;
use crate::delivery::attempts::AttemptLog;
use crate::domain::Timestamp;
use crate::engine::{Policy, Verification, VerificationDetails};
use crate::limits::guard::GuardRefusal;
use crate::limits::keys::{Earlier, KeyedRequest};

pub use crate::engine::{CheckOutcome, SendLimit};

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
    /// The reason why no gateway accepted the message.
    pub reason: Option<Failure>,
    /// Whether a message was sent, may have been, or will be tried again.
    pub may_have_been_sent: bool,
}

impl<O> Reply<O> {
    /// A reply without a gateway's error.
    pub fn new(outcome: O, at: Timestamp, verification: Option<VerificationSummary>) -> Self {
        let (earlier, attempts, reason) = (None, None, None);
        Self { outcome, at, earlier, verification, attempts, reason, may_have_been_sent: false }
    }
}

/// The outcome of a send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendOutcome {
    /// A gateway accepted the message, or it will be tried again until one does.
    Sent {
        /// Wrong codes still allowed.
        attempts_left: u8,
        /// The gateway's id of the message, or one of ours.
        message_id: String,
        /// Whether no gateway accepted the message yet: it is tried again in the background.
        postponed: bool,
    },
    /// The number is locked out.
    Locked {
        /// End of the lockout.
        until: Timestamp,
    },
    /// A rule of the verification forbids the message now.
    Limited(SendLimit),
    /// The pumping guard refuses the message.
    GuardRefused(GuardRefusal),
    /// The number does not exist or cannot take messages.
    NumberRefused,
    /// Every gateway refused for another reason, or did not answer in time.
    GatewayFailed,
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
    pub fn of(verification: &Verification, policy: &Policy) -> Self {
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
