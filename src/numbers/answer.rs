//! What callers are told. It leaves the shard only when it is durable.

use std::time::Duration;

use crate::delivery::Trouble;
use crate::domain::{Channel, CodeLength, Timestamp};
use crate::engine::{Counted, Policy, SendPermit, Verification};

/// What became of a send. Leaves the shard only when it is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendAnswer {
    /// The provider accepted the message, or it will be tried again until one does.
    Sent {
        /// Wrong codes still allowed.
        attempts_left: u8,
        /// The provider's id of the message, or one of ours.
        message_id: String,
        /// Whether no gateway took it yet: it is tried again in the background.
        postponed: bool,
    },
    /// The number is locked out.
    Locked {
        /// Until it may ask again.
        remaining: Duration,
    },
    /// The provider says that the number does not exist or cannot take messages.
    NumberRefused,
    /// The provider refused otherwise, or did not answer in time.
    GatewayFailed,
}

/// What became of a check. Leaves the shard only when it is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckAnswer {
    /// The code was right, and is now used.
    Approved,
    /// It was not.
    Wrong {
        /// Wrong codes still allowed after this one.
        attempts_left: u8,
        /// Whether there was a live code to compare with.
        live: bool,
    },
    /// This wrong code used the last attempt: the number is locked from now on.
    LockedNow {
        /// Until it may ask again.
        remaining: Duration,
        /// Whether there was a live code to compare with.
        live: bool,
    },
    /// The number was locked already; the code was not looked at.
    Locked {
        /// Until it may ask again.
        remaining: Duration,
    },
    /// The gateway that holds the code did not say whether it is right. The attempt counts, unless the
    /// gateway surely did not look at the code.
    GatewayFailed,
}

/// An answer and what it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told<A> {
    /// The answer, or the rule that stands against it.
    pub answer: Result<A, Limit>,
    /// The verification.
    pub facts: Option<Facts>,
    /// What a gateway said, where no message was sent.
    pub trouble: Option<Trouble>,
}

impl<A> Told<A> {
    /// That a rule stands against it.
    pub const fn limit(limit: Limit) -> Self {
        Self { answer: Err(limit), facts: None, trouble: None }
    }

    /// The same, with what it is about.
    #[must_use]
    pub fn about(self, facts: Option<Facts>) -> Self {
        Self { facts, ..self }
    }
}

impl<A> From<A> for Told<A> {
    fn from(answer: A) -> Self {
        Self { answer: Ok(answer), facts: None, trouble: None }
    }
}

/// A rule that stands against a request. Durable, as every answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// There is no such verification under way.
    NotFound,
    /// No attempt is left.
    NoChecksLeft {
        /// Until when; `None` until an operator says so.
        remaining: Option<Duration>,
    },
    /// The verification has had all its messages.
    NoSendsLeft {
        /// Until it ends.
        remaining: Duration,
    },
    /// The next message has to wait.
    CoolingDown {
        /// So long.
        remaining: Duration,
    },
    /// A message with another code is still on its way.
    StillSending {
        /// So long at most.
        remaining: Duration,
    },
}

/// What is known of a verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// What names it among those of its number: [`Salt::track`](crate::engine::Salt::track).
    pub track: u64,
    /// When it began.
    pub begun: Timestamp,
    /// When its last message was asked for.
    pub last_send: Timestamp,
    /// When its code ends.
    pub expires: Timestamp,
    /// How the last message was to be delivered.
    pub channel: Channel,
    /// Digits of the code.
    pub length: CodeLength,
    /// Messages that were asked for.
    pub sends: u8,
    /// Whether nobody may try its code any more.
    pub spent: bool,
}

impl Facts {
    /// Of a verification. One that was asked for by the contract's routes says less of itself.
    pub fn of(verification: &Verification, policy: &Policy) -> Self {
        let Verification { salt, length, expires, counted, .. } = *verification;
        Self::from_parts(salt.track(), length, expires, counted, policy)
    }

    /// Of the verification that a message was permitted for.
    pub fn of_permit(permit: &SendPermit, policy: &Policy) -> Self {
        let SendPermit { salt, length, expires, counted, .. } = *permit;
        Self::from_parts(salt.track(), length, expires, counted, policy)
    }

    fn from_parts(
        track: u64,
        length: CodeLength,
        expires: Timestamp,
        counted: Option<Counted>,
        policy: &Policy,
    ) -> Self {
        let begun = counted.map_or_else(|| expires.minus(policy.code.life), |counted| counted.begun);
        Self {
            track,
            begun,
            last_send: counted.map_or(begun, |counted| counted.last_send),
            expires,
            channel: counted.map_or(Channel::Sms, |counted| counted.channel),
            length,
            sends: counted.map_or(1, |counted| counted.sends),
            spent: counted.is_some_and(|counted| counted.spent),
        }
    }
}
